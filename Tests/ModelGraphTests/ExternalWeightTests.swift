import Testing

@testable import ModelGraph

/// What goes to the runtime beside the proto, and what has to stay in it.
@Suite struct ExternalWeightTests {
    /// Sizes of a Split into 200 parts: ONNX Runtime's shape inference reads them from the proto, and refuses a model that keeps them elsewhere.
    @Test func listsOfIntegersStayInTheProto() throws {
        let parts = (0..<200).map { "part\($0)" }
        let nodes = [
            Node("MatMul", inputs: ["x", "weight"], outputs: ["m"]),
            Node("Split", inputs: ["m", "sizes"], outputs: parts, attributes: [Attribute("axis", .int(1))]),
            Node("Concat", inputs: parts.reversed(), outputs: ["y"], attributes: [Attribute("axis", .int(1))]),
            Node("Gather", inputs: ["y", "table"], outputs: ["z"], attributes: [Attribute("axis", .int(1))]),
        ]
        let graph = Graph(
            name: "g", nodes: nodes, inputs: [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(400)])],
            outputs: [ValueInfo(name: "z", elementType: .float32, shape: nil)],
            initializers: [
                Tensor(name: "sizes", int64s: [Int64](repeating: 2, count: 200), dims: [200]),
                Tensor(name: "weight", floats: [Float](repeating: 1, count: 160_000), dims: [400, 400]),
                Tensor(name: "table", int64s: [Int64](repeating: 1, count: 400), dims: [20, 20]),
            ])
        let outside = try Model(graph: graph, opset: 17).serializedWithoutWeights().weights.map(\.name)
        #expect(Set(outside) == ["weight", "table"])
    }
}
