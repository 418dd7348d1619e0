/// What the engine tells a user when something cannot be done: one line that says where and what was expected.
public struct EngineError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// A recipe that cannot be read or does not fit the model.
        case recipe
        /// A technique that does not apply, or cannot come at this place.
        case technique
        /// Data that cannot be used.
        case data
        /// The runtime is missing or refused the model.
        case runtime
        /// A model file that cannot be used.
        case model
        /// Work that was cancelled.
        case cancelled
    }

    public let kind: Kind
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }

    public static let cancelled = EngineError(.cancelled, "canceled")
}
