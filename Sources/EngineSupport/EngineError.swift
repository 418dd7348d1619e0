/// What the engine tells a user when something cannot be done: one line that says where and what was expected.
public struct EngineError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// A recipe that cannot be read or does not fit the model.
        case recipe
        /// A technique that does not apply, or cannot come at this place.
        case technique
        /// Data that cannot be used.
        case data
        /// A label that is none of the classes. Whoever knows the sample says where it stands.
        case label
        /// The runtime is missing or refused the model.
        case runtime
        /// A model file that cannot be used.
        case model
        /// Work that was cancelled.
        case cancelled
    }

    /// A step of a recipe.
    public struct Step: Hashable, Sendable {
        /// From 1, among the steps that are switched on.
        public var number: Int
        public var technique: String

        public init(number: Int, technique: String) {
            self.number = number
            self.technique = technique
        }
    }

    public let kind: Kind
    /// The step that cannot be done; `nil` where it is not about one.
    public let step: Step?
    /// What is wrong, without the step.
    public let reason: String

    public init(_ kind: Kind, step: Step? = nil, _ reason: String) {
        self.kind = kind
        self.step = step
        self.reason = reason
    }

    /// One line for the user.
    public var message: String { step.map { "step \($0.number), \($0.technique): \(reason)" } ?? reason }

    public var description: String { message }

    public static let cancelled = EngineError(.cancelled, "canceled")
}
