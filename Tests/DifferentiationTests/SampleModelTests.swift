import Foundation
import ModelGraph
import OnnxRuntime
import Testing

@testable import Differentiation

/// Whole training graphs of the sample models.
@Suite struct SampleModelTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("SampleModels")
    private static let batch = 4

    /// The change of the loss along the gradient of all weights is the gradient's length.
    @Test(arguments: ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "lstm", "transformer"])
    func theLossMovesAsTheGradientSays(_ name: String) throws {
        let library = try GradientCheck.runtime.get()
        var forward = try Model.read(path: Self.folder.appendingPathComponent("\(name).onnx").path)
        let trained = Set(forward.layers().flatMap { [$0.weight] + $0.otherWeights + [$0.bias].compactMap { $0 } })
            .filter { forward.graph.initializers[$0]?.elementType == .float32 }.sorted()
        #expect(!trained.isEmpty)
        var data: [String: [Float]] = [:]
        var numbers = FixedNumbers(seed: 2)
        for index in forward.graph.inputs.indices {
            let dims = [Self.batch] + (forward.graph.inputs[index].shape ?? []).dropFirst().map { $0.fixedValue ?? 1 }
            forward.graph.inputs[index].shape = dims.map { .fixed($0) }
            data[forward.graph.inputs[index].name] = numbers.signed(dims.reduce(1, *))
        }
        let (shapes, integers) = try probe(forward, data, library)
        let output = try #require(forward.graph.outputs.first?.name)
        let labels = ValueInfo(name: "labels", elementType: .int64, shape: [.fixed(Self.batch)])
        let made = try GradientGraph(
            forward: forward, shapes: shapes, integers: integers, trained: trained,
            loss: [LossTerm(.crossEntropy(smoothing: 0.1), value: output, target: "labels")], targets: [labels], batch: Self.batch, shard: Self.batch)
        #expect(made.barriers == [])
        #expect(Set(made.gradients.keys) == Set(trained))

        let session = try GradientCheck.session(made.model, library)
        let weights = Dictionary(uniqueKeysWithValues: trained.map { ($0, forward.graph.initializers[$0]?.floats() ?? []) })
        func run(_ weights: [String: [Float]], _ outputs: [String]) throws -> [Value] {
            let feeds = try made.model.graph.inputs.map { input in
                let dims = input.shape?.compactMap(\.fixedValue) ?? []
                if input.name == "labels" { return ("labels", try Value([3, 1, 4, 1] as [Int64], shape: dims, library: library)) }
                return (input.name, try Value(try #require(weights[input.name] ?? data[input.name]), shape: dims, library: library))
            }
            return try session.run(inputs: feeds, outputs: outputs)
        }
        let names = try trained.map { try #require(made.gradients[$0]) }
        let gradients = Dictionary(uniqueKeysWithValues: zip(trained, try run(weights, names).map { try $0.floats() }))
        let length = gradients.values.reduce(0.0) { $1.reduce($0) { $0 + Double($1) * Double($1) } }.squareRoot()
        #expect(length > 0)
        func loss(at distance: Double) throws -> Double {
            let moved = Dictionary(uniqueKeysWithValues: trained.map { name in
                (name, zip(weights[name] ?? [], gradients[name] ?? []).map { Float(Double($0) + Double($1) / length * distance) })
            })
            return Double(try run(moved, [GradientGraph.loss])[0].floats()[0])
        }
        // The loss moves by a hundredth; rounding is a millionth of it.
        let h = 0.01 / length
        let slope = (8 * (try loss(at: h) - loss(at: -h)) - (try loss(at: 2 * h) - loss(at: -2 * h))) / (12 * h)
        #expect(abs(slope - length) < 2e-3 * length, "the gradient is \(length) long, the loss moves by \(slope)")
    }

    /// Shapes of all values, and the contents of small integer ones, as the engine's probe finds them.
    private func probe(_ model: Model, _ data: [String: [Float]], _ library: RuntimeLibrary) throws -> ([String: [Int]], [String: [Int]]) {
        var open = model
        open.graph.outputs = model.graph.nodes.flatMap(\.outputs).filter { !$0.isEmpty }.map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        let results = try GradientCheck.session(open, library, optimised: false).run(inputs: try GradientCheck.feeds(open, data, library))
        var shapes: [String: [Int]] = [:], integers: [String: [Int]] = [:]
        for (output, result) in zip(open.graph.outputs, results) {
            shapes[output.name] = result.shape
            if result.elementType == .int64, result.elementCount <= 64 { integers[output.name] = try result.integers().map { Int($0) } }
        }
        for (name, values) in data { shapes[name] = model.graph.inputs.first { $0.name == name }?.shape?.compactMap(\.fixedValue) ?? [values.count] }
        return (shapes, integers)
    }
}
