import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Archive
@testable import EngineSupport
@testable import Factorization
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques

@Suite struct SparseStorageTests {
    private static func step(_ technique: String, _ parameters: [String: ParameterValue] = [:]) -> RecipeStep {
        RecipeStep(technique: technique, parameters: ParameterValues(parameters))
    }

    private static func apply(_ model: Model, _ steps: RecipeStep...) throws -> AppliedModel {
        try RecipeExecutor(baseline: model).apply(Recipe(steps: steps), context: RewriteContext())
    }

    private static func pruning(_ sparsity: Double) -> RecipeStep { step("magnitude-pruning", ["sparsity": .real(sparsity)]) }

    /// Files are as much smaller as zeros make them, and stock ONNX Runtime computes the same from them, to the bit.
    @Test(arguments: ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"])
    func prunedSampleModels(name: String) throws {
        let model = try Fixture.sample(name)
        let inputs = Fixture.inputs(for: model)
        for (sparsity, limit) in [(0.7, 0.37), (0.9, 0.14), (0.95, 0.08)] {
            let dense = try Self.apply(model, Self.pruning(sparsity)).model
            let sparse = try Self.apply(model, Self.pruning(sparsity), Self.step("sparse-storage")).model
            let layers = model.layers().reduce(0) { $0 + $1.weightCount * 4 }
            let before = try dense.serialized().byteCount
            let after = try sparse.serialized().byteCount
            #expect(Double(after) <= limit * Double(layers) + Double(before - layers) + 12_000, "\(name) \(sparsity): \(after) of \(before)")
            let (expected, found) = (try Fixture.run(dense, inputs), try Fixture.run(sparse, inputs))
            #expect(zip(expected, found).allSatisfy { $0.values.map(\.bitPattern) == $1.values.map(\.bitPattern) }, "\(name) \(sparsity)")
            // Whatever else reads the model sees the same weights.
            let bytes = TensorStorage(copying: try sparse.serialized().joined())
            let read = try Model.read(bytes: bytes.bytes, owner: bytes, directory: nil)
            #expect(try read.serialized().joined() == bytes.bytes.elementsEqualArray, "\(name): not the same bytes when written again")
            let (a, b) = (try FigureCounting.figures(of: dense, shapes: nil), try FigureCounting.figures(of: read, shapes: nil))
            #expect(a.parameters == b.parameters && a.nonZeros == b.nonZeros && a.layers.map(\.id) == b.layers.map(\.id))
            #expect(b.serializedBytes.value == Double(after))
            #expect(b.layers.reduce(0) { $0 + $1.serializedBytes } < 0.5 * a.layers.reduce(0) { $0 + $1.serializedBytes })
        }
    }

    @Test(arguments: ["lenet-5", "lstm", "transformer"]) func withoutZerosNothingChanges(name: String) throws {
        let model = try Fixture.sample(name)
        let applied = try Self.apply(model, Self.step("sparse-storage"))
        #expect(try applied.model.serialized().joined() == model.serialized().joined())
        #expect(applied.reports[0].notes.contains { $0.contains("all stay dense") })
    }

    /// Shared values and few bits beside the distances.
    @Test(arguments: [
        ([step("weight-sharing", ["bits": .integer(4)])], 0.16), ([step("weight-sharing", ["bits": .integer(5), "storage": .choice("codebook")])], 0.18),
        ([step("weight-quantization", ["bits": .integer(4)])], 0.17), ([step("weight-quantization", ["bits": .integer(8)])], 0.20),
        ([step("weight-quantization", ["bits": .integer(4), "storage": .choice("simulated"), "granularity": .choice("tensor")])], 0.17),
        ([step("codebook-quantization")], 0.18), ([step("fp16")], 0.20), ([step("dynamic-int8")], 0.25),
    ])
    func fewValues(steps: [RecipeStep], limit: Double) throws {
        let model = try Fixture.sample("lenet-5")
        let pruned = [Self.pruning(0.85)] + steps
        let executor = RecipeExecutor(baseline: model)
        let dense = try executor.apply(Recipe(steps: pruned), context: RewriteContext()).model
        let sparse = try executor.apply(Recipe(steps: pruned + [Self.step("sparse-storage")]), context: RewriteContext()).model
        let label = steps.map(\.canonical).joined()
        let share = Double(try sparse.serialized().byteCount) / Double(try model.serialized().byteCount)
        #expect(share < limit * 0.6, "\(label): \(share)")
        #expect(try sparse.serialized().byteCount < dense.serialized().byteCount)
        let inputs = Fixture.inputs(for: model)
        let (expected, found) = (try Fixture.run(dense, inputs), try Fixture.run(sparse, inputs))
        #expect(zip(expected, found).allSatisfy { $0.values.map(\.bitPattern) == $1.values.map(\.bitPattern) }, "\(label)")
        let (a, b) = (try FigureCounting.figures(of: dense, shapes: nil), try FigureCounting.figures(of: sparse, shapes: nil))
        #expect(a.parameters == b.parameters && a.nonZeros == b.nonZeros, "\(label): \(a.nonZeros) \(b.nonZeros)")
    }

    /// Later steps see dense weights, and the file leaves zeros out all the same.
    @Test func aSparseFileIsCompressedLikeAnyOther() throws {
        let model = try Fixture.sample("lenet-300-100")
        let sparse = try Self.apply(model, Self.pruning(0.8), Self.step("sparse-storage")).model
        let bytes = TensorStorage(copying: try sparse.serialized().joined())
        let read = try Model.read(bytes: bytes.bytes, owner: bytes, directory: nil)
        let again = try Self.apply(read, Self.pruning(0.95)).model
        #expect(try again.serialized().byteCount * 2 < bytes.byteCount)
        let direct = try Self.apply(model, Self.pruning(0.95), Self.step("sparse-storage"))
        for (name, tensor) in direct.model.graph.initializers { #expect(again.graph.initializers[name]?.contentHash == tensor.contentHash, "\(name)") }
        let factored = try Self.apply(read, Self.step("svd")).model
        #expect(factored.layers().count > read.layers().count)
    }

    /// The archive is not larger for it and gives the very file back.
    @Test(arguments: ["lenet-300-100", "resnet-8", "lstm"]) func archivesHoldTheSame(name: String) throws {
        let model = try Fixture.sample(name)
        let steps = [Self.pruning(0.9), Self.step("weight-sharing", ["bits": .integer(4)])]
        let executor = RecipeExecutor(baseline: model)
        let dense = try Archive.pack(executor.apply(Recipe(steps: steps), context: RewriteContext()).model)
        let sparse = try executor.apply(Recipe(steps: steps + [Self.step("sparse-storage"), Self.step("huffman")]), context: RewriteContext()).model
        let packed = try Archive.pack(sparse)
        #expect(packed.byteCount < dense.byteCount + dense.byteCount / 10 + 400)
        #expect(packed.serializedByteCount == (try sparse.serialized().byteCount))
        let folder = try TemporaryFolder()
        try packed.write(to: folder.file("m.lathe"))
        try Archive.extract(path: folder.file("m.lathe"), to: folder.file("m.onnx"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file("m.onnx"))).elementsEqual(try sparse.serialized().joined()))
        let unpacked = try packed.joined().withUnsafeBytes { try Archive.unpack($0) }
        #expect(try unpacked.serialized().joined() == sparse.serialized().joined())
        #expect(unpacked.metadata["lathe.sparse"] == nil)
    }

    /// Predicted files are near enough to draw.
    @Test(arguments: ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"])
    func predictedSizesAreNear(name: String) throws {
        let model = try Fixture.sample(name)
        let layers = model.layers()
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: nil, cancellation: Cancellation())
        let predictor = Predictor(baseline: try FigureCounting.figures(of: model, shapes: nil), layers: layers, summaries: summaries, refusals: [:])
        for sparsity in [0.5, 0.7, 0.9, 0.97] {
            for others in [[], [Self.step("weight-sharing", ["bits": .integer(4)])], [Self.step("weight-quantization", ["bits": .integer(6)])]] {
                let recipe = Recipe(steps: [Self.pruning(sparsity)] + others + [Self.step("sparse-storage")])
                let predicted = try predictor.figures(for: recipe).serializedBytes.value
                let counted = Double(try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()).model.serialized().byteCount)
                #expect(abs(predicted - counted) < 0.15 * counted + 3000, "\(name), \(recipe.steps.map(\.canonical)): predicted \(predicted), counted \(counted)")
            }
        }
    }

    @Test func orders() throws {
        let storage = Self.step("sparse-storage")
        #expect(RecipeOrder.refusal(of: Self.step("weight-sharing"), after: [storage])?.contains("must come before sparse-storage") == true)
        #expect(RecipeOrder.refusal(of: Self.step("huffman"), after: [storage]) == nil)
        #expect(RecipeOrder.refusal(of: storage, after: [Self.step("huffman")])?.contains("must come before huffman") == true)
        #expect(RecipeOrder.refusal(of: storage, after: [Self.step("weight-quantization")]) == nil)
    }

    /// Before operator set 11 there is no CumSum; before IR version 4 initializers are listed as inputs.
    @Test func oldModels() throws {
        var values = [Float](repeating: 0, count: 10_000)
        for index in stride(from: 5, to: 10_000, by: 40) { values[index] = Float(index) }
        for (opset, version) in [(9, 3), (10, 4), (11, 3), (13, 6)] {
            let graph = Graph(
                name: "g", nodes: [Node("MatMul", name: "m", inputs: ["x", "w"], outputs: ["y"])],
                inputs: [ValueInfo(name: "x", elementType: .float32, shape: [.fixed(1), .fixed(100)])]
                    + (version < 4 ? [ValueInfo(name: "w", elementType: .float32, shape: [.fixed(100), .fixed(100)])] : []),
                outputs: [ValueInfo(name: "y", elementType: .float32, shape: [.fixed(1), .fixed(100)])], initializers: [Tensor(name: "w", floats: values, dims: [100, 100])])
            let model = Model(graph: graph, opset: opset, irVersion: version)
            let sparse = try Self.apply(model, Self.step("sparse-storage")).model
            #expect(try sparse.serialized().byteCount < 5000, "opset \(opset)")
            let inputs = Fixture.inputs(for: sparse)
            #expect(inputs.count == 1)
            #expect(try Fixture.run(model, Fixture.inputs(for: model)).map(\.values) == Fixture.run(sparse, inputs).map(\.values), "opset \(opset)")
        }
    }

    @Test func whatCallersMayReplaceIsRefused() throws {
        let values = [Float](repeating: 0, count: 10_000)
        let graph = Graph(
            name: "g", nodes: [Node("MatMul", name: "m", inputs: ["x", "w"], outputs: ["y"])],
            inputs: ["x", "w"].map { ValueInfo(name: $0, elementType: .float32, shape: [.fixed(100), .fixed(100)]) },
            outputs: [ValueInfo(name: "y", elementType: .float32, shape: [.fixed(100), .fixed(100)])], initializers: [Tensor(name: "w", floats: values, dims: [100, 100])])
        #expect(throws: EngineError.self) { try Self.apply(Model(graph: graph), Self.step("sparse-storage")) }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var elementsEqualArray: [UInt8] { [UInt8](self) }
}
