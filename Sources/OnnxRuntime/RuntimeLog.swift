import Synchronization

/// What ONNX Runtime would have written to stderr, kept instead: on a full-screen terminal stderr is the screen.
/// Holds the most recent messages; older ones are dropped.
public final class RuntimeLog: Sendable {
    public struct Message: Sendable, Hashable {
        /// 0 verbose, 1 information, 2 warning, 3 error, 4 fatal.
        public var severity: Int
        /// The label of the session that spoke, or "lathe" for the library itself.
        public var session: String
        /// One line.
        public var text: String
    }

    private static let capacity = 256
    private let messages = Mutex<[Message]>([])

    /// The messages kept, oldest first.
    public var recent: [Message] { messages.withLock { $0 } }

    /// Takes the messages out, oldest first.
    public func drain() -> [Message] {
        messages.withLock { kept in
            defer { kept = [] }
            return kept
        }
    }

    func append(_ message: Message) {
        messages.withLock { kept in
            if kept.count >= Self.capacity { kept.removeFirst(kept.count - Self.capacity + 1) }
            kept.append(message)
        }
    }
}
