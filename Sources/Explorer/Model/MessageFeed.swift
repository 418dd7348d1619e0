import TerminalCells

/// What was said to the user: the log, and what is shown right now.
public struct MessageFeed: Sendable {
    /// Lines that are kept, at most.
    static let capacity = 2000

    public private(set) var messages: [LoggedMessage] = []
    public var notice: Notice?

    public init() {}

    /// Takes away what was shown long enough.
    mutating func endNotice(at now: Double, byKey: Bool) {
        guard let notice else { return }
        if notice.until.map({ now > $0 }) ?? byKey { self.notice = nil }
    }

    mutating func record(_ message: LoggedMessage) {
        messages.append(message)
        if messages.count > Self.capacity { messages.removeFirst(messages.count - Self.capacity) }
    }
}

/// A line of the message log.
public struct LoggedMessage: Sendable, Hashable {
    public enum Kind: Sendable, Hashable { case info, warning, failure }
    public var time: Double
    public var kind: Kind
    public var text: String
}

/// A message shown for a few seconds, or until a key is pressed.
public struct Notice: Sendable, Hashable {
    public var kind: Toast.Kind
    public var text: String
    /// `nil` for what must not be missed: the next key takes it away.
    public var until: Double?
}
