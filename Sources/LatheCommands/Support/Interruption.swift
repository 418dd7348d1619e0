import Dispatch
import EngineSupport
import Foundation

/// Turns SIGINT, SIGTERM and SIGHUP into a cancellation, so that a command cleans up behind itself; a second signal ends
/// the program at once. A signal that was ignored when the program started stays so: that is what `nohup`, and a shell's `&`, ask for.
///
/// `@unchecked Sendable`: nothing changes after `init`, and dispatch sources may be released from any thread.
final class Interruption: @unchecked Sendable {
    /// Lives as long as the process: with its sources gone the signals would be ignored for good.
    private static let shared = Interruption()

    /// Takes the signals over, once.
    static func watch() -> Cancellation { shared.cancellation }

    private let cancellation = Cancellation()
    private let sources: [any DispatchSourceSignal]

    private init() {
        let cancellation = cancellation
        sources = [SIGINT, SIGTERM, SIGHUP].compactMap { number in
            let before = signal(number, SIG_IGN)
            if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { return nil }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if cancellation.isCancelled { _exit(128 + number) }
                cancellation.cancel()
            }
            source.resume()
            return source
        }
    }
}
