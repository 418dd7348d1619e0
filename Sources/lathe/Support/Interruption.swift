import CompressionEngine
import Dispatch
import Foundation

/// Turns SIGINT, SIGTERM and SIGHUP into a cancellation, so that a command cleans up behind itself; a second signal ends
/// the program at once.
final class Interruption {
    let cancellation = Cancellation()
    private var sources: [any DispatchSourceSignal] = []

    init() {
        // The explorer's guard blocked them for the terminal thread; here nobody else takes them.
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            sigaddset(&set, number)
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            let cancellation = cancellation
            source.setEventHandler {
                if cancellation.isCancelled { _exit(128 + number) }
                cancellation.cancel()
            }
            source.resume()
            sources.append(source)
        }
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }
}
