import ModelGraph
import OnnxRuntime
import PythonOracle
import TestSupport
import Testing

@testable import Measurement
@testable import Recipes
@testable import Techniques

/// The step `float32`: what computes or stores in halves and doubles goes on in single precision.
@Suite struct SinglePrecisionTests {
    static let halves = ["gemm", "matmul", "conv", "embedding", "constant_node"]

    /// Halves are floats already: widening them gives the model that was narrowed, but for the rounding.
    @Test(arguments: halves, ["compute", "weights"]) func halvesAreWidened(form: String, mode: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        let half = try Fixture.apply("fp16", ["mode": .choice(mode)], to: model).model
        let wide = try Fixture.apply("float32", [:], to: half).model
        #expect(wide.layers().map(\.id) == model.layers().map(\.id))
        #expect(wide.layers().allSatisfy { $0.weightType == .float32 && $0.isFloat })
        #expect(!wide.graph.nodes.contains { $0.isStandard("Cast") && $0.int("to") == 10 }, "no value is narrowed any more")
        let differences = try PythonComparison.differences([(half, wide), (model, wide)])
        #expect(differences.count == 2 && differences.allSatisfy { $0 < 5e-3 }, "\(form) \(mode): \(differences)")
    }

    /// A file of halves throughout, inputs and outputs too, keeps their types, and is then quantized like any other.
    @Test func inputsAndOutputsKeepTheirTypes() throws {
        let folder = try TemporaryFolder()
        var model = try PythonComparison.form("gemm", in: folder)
        for (name, tensor) in model.graph.initializers where tensor.elementType == .float32 {
            model.graph.initializers[name] = Tensor(name: name, float16s: (tensor.floats() ?? []).map { Float16($0) }, dims: tensor.dims)
        }
        for index in model.graph.inputs.indices { model.graph.inputs[index].elementType = .float16 }
        for index in model.graph.outputs.indices { model.graph.outputs[index].elementType = .float16 }
        let wide = try Fixture.apply("float32", [:], to: model).model
        #expect(wide.graph.inputs.map(\.elementType) == [.float16] && wide.graph.outputs.map(\.elementType) == [.float16])
        #expect(wide.graph.inputs.map(\.name) == model.graph.inputs.map(\.name) && wide.graph.outputs.map(\.name) == model.graph.outputs.map(\.name))
        let applied = try Fixture.apply("dynamic-int8", [:], to: model)
        let integers = applied.model
        #expect(applied.reports[0].notes == ["the model computes in float32 from here on; weights that 16 bits hold exactly stay so in the file"])
        #expect(try integers.serialized().joined() == Fixture.apply("dynamic-int8", [:], to: wide).model.serialized().joined(), "as with float32 as a step")
        #expect(integers.layers().allSatisfy { $0.quantization?.bits == 8 })
        let differences = try PythonComparison.differences([(model, wide), (model, integers)], exact: true)
        #expect(differences.count == 2 && differences[0] < 5e-3 && differences[1] < 0.05, "\(differences)")
    }

    /// What a technique leaves alone takes no more room in the file than before: pruning a file of halves gives a file of halves.
    @Test(arguments: ["fp16", "bf16"]) func whatIsLeftAloneStaysNarrow(technique: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("gemm", in: folder)
        let narrow = try Fixture.apply(technique, [:], to: model).model
        let pruned = try Fixture.apply("magnitude-pruning", ["sparsity": .real(0.5)], to: narrow).model
        #expect(pruned.layers().map(\.weightType) == narrow.layers().map(\.weightType))
        #expect(try pruned.serialized().byteCount <= narrow.serialized().byteCount + 64)
        let plain = try Fixture.apply("magnitude-pruning", ["sparsity": .real(0.5)], to: Fixture.apply("float32", [:], to: narrow).model).model
        let differences = try PythonComparison.differences([(plain, pruned)])
        #expect(differences == [0])
        // And is taken up again by the next step.
        let integers = try Fixture.apply("dynamic-int8", [:], to: pruned).model
        #expect(integers.layers().allSatisfy { $0.quantization?.bits == 8 })
    }

    /// Bodies of If and Loop read and declare the same types as what stands around them.
    @Test func subgraphsFollow() throws {
        let folder = try TemporaryFolder()
        var model = try PythonComparison.form("subgraph", in: folder)
        func narrowed(_ graph: Graph) -> Graph {
            var graph = graph
            for (name, tensor) in graph.initializers where tensor.elementType == .float32 {
                graph.initializers[name] = Tensor(name: name, float16s: (tensor.floats() ?? []).map { Float16($0) }, dims: tensor.dims)
            }
            for index in graph.inputs.indices where graph.inputs[index].elementType == .float32 { graph.inputs[index].elementType = .float16 }
            for index in graph.outputs.indices where graph.outputs[index].elementType == .float32 { graph.outputs[index].elementType = .float16 }
            for (name, info) in graph.valueInfos where info.elementType == .float32 { graph.valueInfos[name]?.elementType = .float16 }
            return graph
        }
        for path in model.graph.graphPaths() {
            if let graph = model.graph[path] { model.graph[path] = narrowed(graph) }
        }
        #expect(model.layers().contains { !$0.path.isMain && $0.weightType == .float16 })
        let wide = try Fixture.apply("float32", [:], to: model).model
        #expect(wide.layers().allSatisfy { $0.weightType == .float32 })
        let differences = try PythonComparison.differences([(model, wide)])
        #expect(differences.count == 1 && differences.allSatisfy { $0 < 5e-3 }, "\(differences)")
    }
}

/// A product in halves that ONNX Runtime's own optimizer crashes over (seen in a GRU network that Python's converter made).
@Suite struct TransposeFusionCrashTests {
    private static func model(_ type: ElementType) -> Model {
        let values: [Float] = (0..<20).map { Float($0) / 16 }
        let weight = type == .float16 ? Tensor(name: "w", float16s: values.map { Float16($0) }, dims: [4, 5]) : Tensor(name: "w", floats: values, dims: [4, 5])
        let nodes = [
            Node("Transpose", inputs: ["x"], outputs: ["t"], attributes: [Attribute("perm", .integers([1, 0, 2]))]),
            Node("MatMul", name: "product", inputs: ["t", "w"], outputs: ["y"]),
        ]
        return Model(
            graph: Graph(
                name: "g", nodes: nodes, inputs: [ValueInfo(name: "x", elementType: type, shape: [.fixed(2), .fixed(3), .fixed(4)])],
                outputs: [ValueInfo(name: "y", elementType: type, shape: nil)], initializers: [weight]))
    }

    /// Without the switch this ends the process that runs the tests.
    @Test func loadsAllTheSame() throws {
        let half = Self.model(.float16)
        #expect(TransposeFusionCrash.threatens(half) && !TransposeFusionCrash.threatens(Self.model(.float32)))
        let runner = try ModelRunner(half, library: try RuntimeLibrary.load())
        #expect(runner.session.inputs.map(\.name) == ["x"])
    }
}
