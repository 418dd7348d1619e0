/// What can be wrong with a model file or with an edit of a graph. Each message is one line and says where.
public struct ModelGraphError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// The file cannot be read or written.
        case file
        /// The bytes are not an ONNX model, or are damaged.
        case damaged
        /// A tensor's data does not fit its declared type and shape.
        case tensor
        /// The graph is not well formed, or an edit would make it so.
        case graph
    }

    public let kind: Kind
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }
}
