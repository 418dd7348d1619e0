import Foundation
import PythonOracle
import Testing

@testable import ModelGraph

/// Graphs that no runtime accepts are refused when they are read, in one line that names the node.
@Suite struct GraphValidationTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var title: String
        var node: Node
        var expected: String
        var testDescription: String { title }
    }

    static func node(_ type: String, _ inputs: [String], _ outputs: [String], _ attributes: [Attribute] = []) -> Node {
        Node(type, name: "/odd", inputs: inputs, outputs: outputs, attributes: attributes)
    }

    static let cases = [
        Case(title: "no output", node: node("MatMul", ["x", "w"], []), expected: "node '/odd', MatMul: it has no output"),
        Case(title: "only an unnamed output", node: node("Transpose", ["x"], [""]), expected: "node '/odd', Transpose: it has no output"),
        Case(title: "no input", node: node("Relu", [], ["r"]), expected: "node '/odd', Relu: expected at least 1 input, found 0"),
        Case(title: "an unnamed input", node: node("Gemm", ["x", ""], ["r"]), expected: "node '/odd', Gemm: expected at least 2 inputs, found 1"),
        Case(title: "a normalization without statistics", node: node("BatchNormalization", ["x", "w", "w"], ["r"]), expected: "expected at least 5 inputs, found 3"),
        Case(title: "made twice", node: node("Relu", ["x"], ["y"]), expected: "value 'y' is made by more than one node"),
        Case(title: "stride 0", node: node("MaxPool", ["x"], ["r"], [Attribute("strides", .ints([0, 1]))]), expected: "attribute strides is 0, expected 1 to 2147483648"),
        Case(title: "huge dilation", node: node("MaxPool", ["x"], ["r"], [Attribute("dilations", .ints([1 << 62, 1]))]), expected: "attribute dilations is 4611686018427387904"),
        Case(title: "axis beyond any rank", node: node("Concat", ["x"], ["r"], [Attribute("axis", .int(1 << 40))]), expected: "attribute axis is 1099511627776"),
        Case(title: "a long name", node: node(String(repeating: "W", count: 3), [], []), expected: "it has no output"),
    ]

    private func model(adding nodes: [Node]) -> Model {
        var graph = Graph(name: "test")
        graph.inputs = [ValueInfo(name: "x", elementType: .float32, shape: [.symbolic("batch"), .fixed(6)])]
        graph.initializers["w"] = Tensor(name: "w", floats: [Float](repeating: 0.5, count: 24), dims: [6, 4])
        graph.nodes = [Node("MatMul", name: "product", inputs: ["x", "w"], outputs: ["y"])] + nodes
        graph.outputs = [ValueInfo(name: "y", elementType: .float32, shape: nil)]
        return Model(graph: graph, opset: 17)
    }

    private func read(_ model: Model) throws -> Model {
        let folder = try TemporaryFolder()
        let path = folder.path + "/m.onnx"
        try model.serialized().write(to: path)
        return try Model.read(path: path)
    }

    @Test(arguments: cases) func whatIsWrongIsNamed(_ given: Case) throws {
        let error = try #require(throws: ModelGraphError.self) { try read(model(adding: [given.node])) }
        #expect(error.message.contains(given.expected) && !error.message.contains("\n"), "\(error.message)")
    }

    @Test func longNamesAreCutInTheMiddle() throws {
        var odd = Self.node("Relu", [], ["r"])
        odd.name = String(repeating: "long/", count: 1000)
        let error = try #require(throws: ModelGraphError.self) { try read(model(adding: [odd])) }
        #expect(error.message.count < 400 && error.message.contains("…"))
    }

    /// Operators of others are theirs to judge; optional operands may be left out.
    @Test func whatIsValidIsRead() throws {
        var other = Self.node("Anything", [], [])
        other.domain = "com.example"
        var lstm = Self.node("LSTM", ["x", "x", "x"], ["", "h"])
        lstm.name = "lstm"
        let clip = Self.node("Clip", ["x", "", "m"], ["c"])
        #expect(try read(model(adding: [other, lstm, clip])).graph.nodes.count == 4)
        for name in ["lenet-5", "resnet-8", "transformer", "lstm"] { _ = try Model.read(path: Samples.path(name)) }
    }

    /// The table of operands says for no operator more than ONNX does.
    @Test func requiredInputsAreOnnxs() throws {
        let text = try Python.run(
            """
            import onnx
            least = {}
            for s in onnx.defs.get_all_schemas_with_history():
                if s.domain == '': least[s.name] = min(least.get(s.name, 99), s.min_input)
            print(' '.join(f'{name}:{count}' for name, count in sorted(least.items())))
            """)
        var known = 0
        for word in text.split(whereSeparator: \.isWhitespace) {
            let parts = word.split(separator: ":")
            guard parts.count == 2, let count = Int(parts[1]) else { continue }
            known += 1
            // A node with one input fewer is refused, with just enough it is not.
            let enough = Node(String(parts[0]), name: "n", inputs: [String](repeating: "x", count: count), outputs: ["r"])
            #expect(throws: Never.self, "\(word)") { try read(model(adding: [enough])) }
            guard count > 0, parts[0] != "Loop" else { continue }
            let few = Node(String(parts[0]), name: "n", inputs: [String](repeating: "x", count: count - 1), outputs: ["r"])
            #expect(throws: ModelGraphError.self, "\(word)") { try read(model(adding: [few])) }
        }
        #expect(known > 150)
    }

    @Test func aFileMayHaveAnyName() {
        #expect(["m", "m.onnx", "/m", "a/m", "/a/b/m", "é", ""].map(\.folder) == ["", "", "/", "a", "/a/b", "", ""])
    }
}
