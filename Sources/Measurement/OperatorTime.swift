/// Time of one operator node from the runtime's profiler, milliseconds, median over runs.
public struct OperatorTime: Sendable {
    public var node: String
    public var opType: String
    public var milliseconds: Double

    public init(node: String, opType: String, milliseconds: Double) {
        self.node = node
        self.opType = opType
        self.milliseconds = milliseconds
    }
}
