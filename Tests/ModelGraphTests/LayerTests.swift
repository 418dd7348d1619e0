import PythonOracle
import Testing

@testable import ModelGraph

@Suite struct LayerTests {
    @Test func sampleLayersAreFound() throws {
        let folder = Repository.root + "/SampleModels"
        let lenet = try Model.read(path: folder + "/lenet-5.onnx").layers()
        #expect(lenet.map(\.kind) == [.conv, .conv, .gemm, .gemm])
        #expect(lenet.map(\.weightCount) == [500, 25_000, 400_000, 5_000])
        let mlp = try Model.read(path: folder + "/lenet-300-100.onnx").layers()
        #expect(mlp.map(\.weightCount) == [235_200, 30_000, 1_000])
    }

    @Test func topologicalSortRestoresOrderAndFindsCycles() throws {
        var graph = Graph(
            name: "g",
            nodes: [
                Node("Relu", inputs: ["b"], outputs: ["c"]), Node("Relu", inputs: ["a"], outputs: ["b"]),
                Node("Relu", inputs: ["x"], outputs: ["a"]),
            ], inputs: [ValueInfo(name: "x", elementType: .float32, shape: nil)], outputs: [ValueInfo(name: "c", elementType: .float32, shape: nil)])
        try graph.sortTopologically()
        #expect(graph.nodes.map { $0.outputs[0] } == ["a", "b", "c"])
        graph.nodes[0].inputs = ["c"]
        #expect(throws: ModelGraphError.self) { try graph.sortTopologically() }
    }

    @Test func deadCodeGoesAndListedInitializersStay() {
        var graph = Graph(
            name: "g", nodes: [Node("Relu", inputs: ["x"], outputs: ["y"]), Node("Add", inputs: ["x", "w"], outputs: ["unused"])],
            inputs: [
                ValueInfo(name: "x", elementType: .float32, shape: nil), ValueInfo(name: "listed", elementType: .float32, shape: nil),
            ], outputs: [ValueInfo(name: "y", elementType: .float32, shape: nil)],
            initializers: [Tensor(name: "w", floats: [1], dims: [1]), Tensor(name: "listed", floats: [1], dims: [1])])
        graph.removeDeadCode()
        #expect(graph.nodes.count == 1)
        #expect(Array(graph.initializers.keys) == ["listed"])
    }

    /// Brevitas and QONNX keep the floats a network was trained with and round them as it runs: they count with the operator's bits.
    @Test func weightsRoundedByTrainingOperators() throws {
        func layers(_ operation: String, _ domain: String, bits: [Float]) -> [Layer] {
            let rounding = Node(operation, domain: domain, inputs: ["w", "scale", "zero", "bits"], outputs: ["rounded"])
            let graph = Graph(
                name: "g", nodes: [rounding, Node("Conv", inputs: ["x", "rounded"], outputs: ["y"])],
                inputs: [ValueInfo(name: "x", elementType: .float32, shape: nil)], outputs: [ValueInfo(name: "y", elementType: .float32, shape: nil)],
                initializers: [
                    Tensor(name: "w", floats: [Float](repeating: 0.5, count: 54), dims: [2, 3, 3, 3]), Tensor(name: "scale", floats: [0.1], dims: []),
                    Tensor(name: "zero", floats: [0], dims: []), Tensor(name: "bits", floats: bits, dims: [bits.count]),
                ])
            return Model(graph: graph).layers()
        }
        for domain in ["onnx.brevitas", "qonnx.custom_op.general"] {
            let layer = try #require(layers("Quant", domain, bits: [4]).first)
            #expect(layer.weight == "w" && layer.weightShape == [2, 3, 3, 3] && layer.quantization?.bits == 4 && !layer.isFloat)
            #expect(layers("BipolarQuant", domain, bits: [4]).first?.quantization?.bits == 1)
        }
        // What cannot be known is not guessed.
        #expect(layers("Quant", "onnx.brevitas", bits: [4, 8]).isEmpty && layers("Quant", "onnx.brevitas", bits: [-.infinity]).isEmpty)
        // An operator that nobody here knows: the weight is there, of the width it is stored in.
        let other = try #require(layers("Quant", "elsewhere", bits: [4]).first)
        #expect(other.weight == "w" && other.quantization?.bits == 32 && !other.isFloat)
    }
}
