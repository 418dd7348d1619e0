/// The command that gives the same files from a shell.
enum ShellCommand {
    /// Paths as they stand on a command line, quoted where they have to be.
    static func apply(_ model: String, recipe: String, output: String, data: String?) -> String {
        var parts = ["lathe", "apply", quoted(model), "--recipe", quoted(recipe), "--output", quoted(output)]
        // Calibration and training need it.
        if let data { parts += ["--data", quoted(data)] }
        return parts.joined(separator: " ")
    }

    private static func quoted(_ text: String) -> String {
        guard !text.isEmpty, text.allSatisfy({ $0.isLetter || $0.isNumber || "/._-+=:@%".contains($0) }) else {
            return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
        }
        return text
    }
}
