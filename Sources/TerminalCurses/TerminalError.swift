/// Why a terminal cannot be used, in words for the user.
public struct TerminalError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}
