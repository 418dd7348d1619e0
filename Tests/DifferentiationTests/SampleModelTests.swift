import Foundation
import ModelGraph
import OnnxRuntime
import Testing

@testable import Differentiation

/// Whole training graphs of the sample models.
@Suite struct SampleModelTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("SampleModels")

    /// The change of the loss along the gradient of all weights is the gradient's length.
    @Test(arguments: ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "lstm", "transformer"])
    func theLossMovesAsTheGradientSays(_ name: String) throws {
        let library = try GradientCheck.runtime.get()
        let batch = 4
        var (forward, trained) = try Self.model(name)
        #expect(!trained.isEmpty)
        var data: [String: [Float]] = [:]
        var numbers = FixedNumbers(seed: 2)
        for index in forward.graph.inputs.indices {
            let dims = [batch] + (forward.graph.inputs[index].shape ?? []).dropFirst().map { $0.fixedValue ?? 1 }
            forward.graph.inputs[index].shape = dims.map { .fixed($0) }
            data[forward.graph.inputs[index].name] = numbers.signed(dims.reduce(1, *))
        }
        let (shapes, integers) = try probe(forward, data, library)
        let output = try #require(forward.graph.outputs.first?.name)
        let labels = ValueInfo(name: "labels", elementType: .int64, shape: [.fixed(batch)])
        let made = try GradientGraph(
            forward: forward, shapes: shapes, integers: integers, trained: trained,
            loss: [LossTerm(.crossEntropy(smoothing: 0.1), value: output, target: "labels")], targets: [labels], batch: batch, shard: batch)
        #expect(made.barriers == [])
        #expect(Set(made.gradients.keys) == Set(trained))

        let session = try GradientCheck.session(made.model, library)
        let weights = Dictionary(uniqueKeysWithValues: trained.map { ($0, forward.graph.initializers[$0]?.floats() ?? []) })
        func run(_ weights: [String: [Float]], _ outputs: [String]) throws -> [Value] {
            let feeds = try made.model.graph.inputs.map { input in
                let dims = input.shape?.compactMap(\.fixedValue) ?? []
                if input.name == "labels" { return ("labels", try Value((0..<batch).map { Int64([3, 1, 4, 1][$0 % 4]) }, shape: dims, library: library)) }
                return (input.name, try Value(try #require(weights[input.name] ?? data[input.name]), shape: dims, library: library))
            }
            return try session.run(inputs: feeds, outputs: outputs)
        }
        let names = try trained.map { try #require(made.gradients[$0]) }
        let gradients = Dictionary(uniqueKeysWithValues: zip(trained, try run(weights, names).map { try $0.floats() }))
        let length = gradients.values.reduce(0.0) { $1.reduce($0) { $0 + Double($1) * Double($1) } }.squareRoot()
        #expect(length > 0)
        func loss(at distance: Double) throws -> Double {
            let moved = Dictionary(
                uniqueKeysWithValues: trained.map { name in
                    (name, zip(weights[name] ?? [], gradients[name] ?? []).map { Float(Double($0) + Double($1) / length * distance) })
                })
            return Double(try run(moved, [GradientGraph.loss])[0].floats()[0])
        }
        // The loss moves by a hundredth; rounding is a millionth of it.
        let h = 0.01 / length
        let slope = (8 * (try loss(at: h) - loss(at: -h)) - (try loss(at: 2 * h) - loss(at: -2 * h))) / (12 * h)
        #expect(abs(slope - length) < 2e-3 * length, "the gradient is \(length) long, the loss moves by \(slope)")
    }

    private static func model(_ name: String) throws -> (Model, [String]) {
        let forward = try Model.read(path: Self.folder.appendingPathComponent("\(name).onnx").path)
        let trained = Set(forward.layers().flatMap { [$0.weight] + $0.otherWeights + [$0.bias].compactMap { $0 } })
            .filter { forward.graph.initializers[$0]?.elementType == .float32 }.sorted()
        return (forward, trained)
    }

    /// Eight samples lie behind the width (`BatchFolding`), four of them outermost: the halves' gradients add up to the whole's.
    @Test(arguments: ["lenet-5", "resnet-8", "ds-cnn"])
    func foldedBatchesHaveTheSameGradients(_ name: String) throws {
        let library = try GradientCheck.runtime.get()
        let (model, trained) = try Self.model(name)
        let dims = (model.graph.inputs[0].shape ?? []).dropFirst().map { $0.fixedValue ?? 1 }
        let size = dims.reduce(1, *)
        var numbers = FixedNumbers(seed: 3)
        let (samples, labels) = (numbers.signed(8 * size), (0..<8).map { Int64($0) })
        func gradients(_ range: Range<Int>) throws -> [[Float]] {
            var forward = model
            let (input, shape) = (model.graph.inputs[0].name, [range.count] + dims)
            forward.graph.inputs[0].shape = shape.map { .fixed($0) }
            let values = Array(samples[range.lowerBound * size..<range.upperBound * size])
            let (shapes, integers) = try probe(forward, [input: values], library)
            let output = try #require(forward.graph.outputs.first?.name)
            let made = try GradientGraph(
                forward: forward, shapes: shapes, integers: integers, trained: trained, loss: [LossTerm(.crossEntropy(smoothing: 0), value: output, target: "labels")],
                targets: [ValueInfo(name: "labels", elementType: .int64, shape: [.fixed(range.count)])], batch: 8, shard: range.count)
            #expect(made.model.graph.nodes.contains { $0.isStandard("Transpose") && $0.ints("perm") == [1, 2, 3, 0] } == (range.count == 8))
            let feeds = try made.model.graph.inputs.map { value in
                if value.name == "labels" { return ("labels", try Value(Array(labels[range]), shape: [range.count], library: library)) }
                let given = value.name == input ? values : forward.graph.initializers[value.name]?.floats() ?? []
                return (value.name, try Value(given, shape: value.shape?.compactMap(\.fixedValue) ?? [], library: library))
            }
            let names = try trained.map { try #require(made.gradients[$0]) }
            return try GradientCheck.session(made.model, library).run(inputs: feeds, outputs: names).map { try $0.floats() }
        }
        let (whole, first, second) = (try gradients(0..<8), try gradients(0..<4), try gradients(4..<8))
        for (index, name) in trained.enumerated() {
            let length = whole[index].reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let distance = whole[index].indices.reduce(0.0) { $0 + pow(Double(whole[index][$1]) - Double(first[index][$1]) - Double(second[index][$1]), 2) }.squareRoot()
            #expect(distance <= 1e-5 * max(length, 1e-3), "\(name)")
        }
    }

    /// Shapes of all values, and the contents of small integer ones, as the engine's probe finds them.
    private func probe(_ model: Model, _ data: [String: [Float]], _ library: RuntimeLibrary) throws -> ([String: [Int]], [String: [Int]]) {
        var open = model
        open.graph.outputs = model.graph.nodes.flatMap(\.outputs).filter { !$0.isEmpty }.map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        let results = try GradientCheck.session(open, library, optimized: false).run(inputs: try GradientCheck.feeds(open, data, library))
        var shapes: [String: [Int]] = [:]
        var integers: [String: [Int]] = [:]
        for (output, result) in zip(open.graph.outputs, results) {
            shapes[output.name] = result.shape
            if result.elementType == .int64, result.elementCount <= 64 { integers[output.name] = try result.integers().map { Int($0) } }
        }
        for (name, values) in data { shapes[name] = model.graph.inputs.first { $0.name == name }?.shape?.compactMap(\.fixedValue) ?? [values.count] }
        return (shapes, integers)
    }
}
