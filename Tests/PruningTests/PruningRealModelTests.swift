import Foundation
import ModelGraph
import OnnxRuntime
import TestSupport
import Testing

@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

/// Files named by the environment.
private enum RealModels {
    static let files: [String] = {
        guard let folder = ProcessInfo.processInfo.environment["LATHE_REAL_MODELS"],
            let all = FileManager.default.enumerator(atPath: folder)?.allObjects as? [String]
        else { return [] }
        return all.filter { $0.hasSuffix(".onnx") }.map { folder + "/" + $0 }.sorted()
    }()
}

/// Models from the field. `LATHE_REAL_MODELS=<folder>` runs these tests on every `.onnx` file below the folder; there
/// are none in the repository.
@Suite(.enabled(if: !RealModels.files.isEmpty)) struct PruningRealModelTests {
    /// Random inputs and the shapes they lead to, for the first guess at open extents that the model takes.
    private func prepare(_ model: Model) throws -> (inputs: [Tensor], shapes: [String: [Int]])? {
        for guess in PlaceholderInputs.Guess.allCases {
            guard let inputs = try? PlaceholderInputs.tensors(for: model.graph, guess: guess) else { return nil }
            let filled = inputs.enumerated().map { number, tensor in
                tensor.elementType == .float32 ? Fixture.normal(tensor.name, tensor.dims, seed: UInt64(number) + 1) : tensor
            }
            if let shapes = try? ShapeProbe.shapes(of: model, inputs: filled, library: RuntimeLibrary.load(), cancellation: Cancellation()) {
                return (filled, shapes.dims)
            }
        }
        return nil
    }

    @Test(arguments: RealModels.files) func cutModelsRun(path: String) throws {
        let model = try Model.read(path: path)
        guard let (inputs, shapes) = try prepare(model) else {
            print("\(path): does not run on made-up inputs")
            return
        }
        let structure = Fixture.structure(model, shapes: shapes)
        var lines = ["\(path): \(structure.refusals.count { $0 == nil }) of \(structure.refusals.count) layers in \(structure.groups.count) groups"]
        let original = try Fixture.run(model, inputs)
        guard original.allSatisfy({ $0.values.allSatisfy(\.isFinite) }) else { return print("\(path): gives no finite outputs on random inputs") }
        // What a zero is in integer weights only their zero points tell: such models are only run.
        let integers = model.layers().contains { !$0.isFloat }
        if integers, !structure.groups.isEmpty {
            let applied = try? Fixture.apply(Fixture.recipe("structured-pruning"), to: model, shapes: shapes)
            if let applied { #expect(try Fixture.run(applied.model, inputs).map(\.shape) == original.map(\.shape), "\(path)") }
            lines.append("  " + (applied?.reports[0].notes.first ?? "no layer can be pruned"))
        }
        for ratio in [0.25, 0.7] where !structure.groups.isEmpty && !integers {
            let (difference, removed, cut) = try Fixture.cutAgainstMask(model, inputs: inputs, shapes: shapes, ratio: ratio)
            lines.append(
                "  \(ratio): removed \(removed) units, difference from masked \(difference), \(try model.serialized().byteCount) → \(try cut.serialized().byteCount) bytes")
            // Half-precision models agree to half precision.
            #expect(difference < (model.layers().contains { $0.weightType == .float16 } ? 1e-3 : 2e-5), "\(path)")
            #expect(try Fixture.run(cut, inputs).map(\.shape) == original.map(\.shape))
            #expect(cut.graph.outputs.map { "\($0.name) \($0.shape ?? [])" } == model.graph.outputs.map { "\($0.name) \($0.shape ?? [])" })
            #expect(cut.graph.requiredInputs.map { "\($0.name) \($0.shape ?? [])" } == model.graph.requiredInputs.map { "\($0.name) \($0.shape ?? [])" })
        }
        print(lines.joined(separator: "\n"))
    }
}
