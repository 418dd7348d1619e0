import Foundation

/// Where results that outlive the program are kept.
public enum StateFolder {
    /// A file or folder in `$XDG_STATE_HOME/lathe`, by default `~/.local/state/lathe`.
    public static func path(_ name: String) -> String {
        let environment = ProcessInfo.processInfo.environment
        let state = environment["XDG_STATE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? NSHomeDirectory() + "/.local/state"
        return state + "/lathe/" + name
    }
}
