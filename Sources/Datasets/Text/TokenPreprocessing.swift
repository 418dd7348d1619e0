/// How sequences of token ids become rows of one length.
public struct TokenPreprocessing: Sendable, Hashable {
    /// Tokens of a row; `nil`: what the model's input has, else those of the longest line.
    public var length: Int?
    /// What fills up token ids.
    public var pad = 0

    public init() {}
}
