import Foundation
import ModelGraph
import OnnxRuntime
import Testing

@testable import Recipes
@testable import Techniques

/// What the pruning tests share: sample models, random inputs, runs in ONNX Runtime, masked models.
enum Pruning {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    static func sample(_ name: String) throws -> Model {
        try Model.read(path: repository.appendingPathComponent("SampleModels/\(name).onnx").path)
    }

    static let samples = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]

    /// Normally distributed numbers, the same for the same seed.
    static func normal(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
        func uniform() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Double((state ^ (state >> 29)) >> 11) + 0.5) / Double(1 << 53)
        }
        return (0..<count).map { _ in Float((-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform())) * scale }
    }

    static func normal(_ name: String, _ dims: [Int], seed: UInt64, scale: Float = 1) -> Tensor {
        Tensor(name: name, floats: normal(dims.reduce(1, *), seed: seed, scale: scale), dims: dims)
    }

    /// Inputs for a model whose dimensions without extent get `batch`.
    static func inputs(for model: Model, batch: Int = 3, seed: UInt64 = 7) -> [Tensor] {
        model.graph.requiredInputs.enumerated().map { number, info in
            normal(info.name, (info.shape ?? []).map { $0.fixedValue ?? batch }, seed: seed + UInt64(number))
        }
    }

    struct Output {
        var name: String
        var shape: [Int]
        var values: [Float]
    }

    /// Runs a model in ONNX Runtime, through the very bytes that would be written.
    static func run(_ model: Model, _ inputs: [Tensor]) throws -> [Output] {
        let bytes = try model.serialized().joined()
        let library = try RuntimeLibrary.load()
        let session = try bytes.withUnsafeBytes { try Session(library: library, model: $0, options: SessionOptions(), label: "test") }
        let feeds = try inputs.map { tensor -> (String, Value) in
            let type = try #require(Value.ElementType(rawValue: tensor.elementType.rawValue))
            return (tensor.name, try Value(borrowing: tensor.storage.bytes, elementType: type, shape: tensor.dims, owner: tensor.storage))
        }
        let names = model.graph.outputs.map(\.name)
        return try zip(names, session.run(inputs: feeds, outputs: names)).map { name, value in
            Output(name: name, shape: value.shape ?? [], values: try value.floats())
        }
    }

    /// Shapes of all intermediate values.
    static func shapes(of model: Model, _ inputs: [Tensor]) throws -> [String: [Int]] {
        var exposed = model
        let listed = Set(model.graph.outputs.map(\.name))
        for node in model.graph.nodes {
            for output in node.outputs where !output.isEmpty && !listed.contains(output) {
                exposed.graph.outputs.append(ValueInfo(name: output, elementType: nil, shape: nil))
            }
        }
        var shapes = Dictionary(try run(exposed, inputs).map { ($0.name, $0.shape) }, uniquingKeysWith: { $1 })
        for input in inputs { shapes[input.name] = input.dims }
        return shapes
    }

    /// Largest difference of two runs, relative to the largest value (but values under 0.01 count as they are: the tail of a
    /// sigmoid has no relative precision).
    static func difference(_ a: [Output], _ b: [Output]) throws -> Float {
        try #require(a.map(\.shape) == b.map(\.shape))
        var largest: Float = 0
        for (x, y) in zip(a, b) {
            let scale = max(x.values.map(abs).max() ?? 0, 1e-2)
            for (p, q) in zip(x.values, y.values) { largest = max(largest, abs(p - q) / scale) }
            try #require(x.values.allSatisfy(\.isFinite) && y.values.allSatisfy(\.isFinite))
        }
        return largest
    }

    /// A recipe of one step.
    static func recipe(_ technique: String, _ parameters: [String: ParameterValue] = [:], layers: LayerSelector = .all) -> Recipe {
        Recipe(steps: [RecipeStep(technique: technique, parameters: ParameterValues(parameters), layers: layers)])
    }

    static func apply(_ recipe: Recipe, to model: Model, shapes: [String: [Int]] = [:]) throws -> AppliedModel {
        try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext(shapes: shapes))
    }

    /// Structure of a model's channels.
    static func structure(_ model: Model, shapes: [String: [Int]] = [:]) -> ChannelStructure {
        ChannelStructure(of: model, layers: model.layers(), shapes: shapes)
    }

    /// Names of the layers of every group, in order.
    static func groups(_ model: Model, shapes: [String: [Int]] = [:]) -> [[String]] {
        let layers = model.layers()
        return structure(model, shapes: shapes).groups.map { $0.layers.map { layers[$0].id } }
    }

    /// The model with the weights that read removed channels set to zero, all else as it was: what the cut model must compute.
    ///
    /// Needs nothing of the cut itself: only which inputs of which layers are said to go.
    static func masked(_ model: Model, _ structure: ChannelStructure, removed: [Bool]) -> Model {
        var result = model
        let layers = model.layers()
        for (index, layer) in layers.enumerated() {
            let units = structure.inputUnits[index]
            zero(&result, layer, layer.weight, axis: layer.inputAxis, units, removed)
            // Recurrent weights read the layer's own hidden units.
            for name in layer.otherWeights {
                guard let hidden = model.initializer(name, from: layer.path)?.tensor.dims[layer.inputAxis] else { continue }
                zero(&result, layer, name, axis: layer.inputAxis, Array(structure.outputUnits[index].prefix(hidden)), removed)
            }
        }
        // Weights that reach their product through a Reshape, Transpose or Slice belong to no layer.
        for (use, key, axes) in structure.cut.uses where use.path.isMain && ["Reshape", "Transpose", "Slice"].contains(model.graph.nodes[use.node].opType) {
            for (axis, number) in axes.enumerated() {
                if let number { zero(&result, layers[0], key.name, axis: axis, structure.cut.axisUnits[number], removed) }
            }
        }
        return result
    }

    private static func zero(_ model: inout Model, _ layer: Layer, _ name: String, axis: Int, _ units: [Int32], _ removed: [Bool]) {
        guard let tensor = model.initializer(name, from: layer.path)?.tensor, tensor.elementType.isFloatingPoint, var values = tensor.floats(),
            units.contains(where: { $0 >= 0 && removed[Int($0)] })
        else { return }
        let inner = tensor.dims[(axis + 1)...].reduce(1, *)
        for index in values.indices {
            let unit = units[index / inner % tensor.dims[axis]]
            if unit >= 0, removed[Int(unit)] { values[index] = 0 }
        }
        model.graph.initializers[name] = tensor.withFloats(values)
    }

    /// Cuts `ratio` of every group by rank and compares the result with the masked model.
    static func cutAgainstMask(_ model: Model, inputs: [Tensor], shapes: [String: [Int]] = [:], ratio: Double) throws -> (difference: Float, removed: Int, cut: Model) {
        let layers = model.layers()
        let structure = structure(model, shapes: shapes)
        let norms = layers.map { layer in
            OutputNorms(of: ([layer.weight] + layer.otherWeights).compactMap { model.initializer($0, from: layer.path)?.tensor }, axis: layer.outputAxis)
        }
        let forecast = ChannelForecast(structure, norms: norms)
        let request = ChannelSelection.Request(ratio: ratio, criterion: .l1, isGlobal: false, multiple: 1, minimum: 1)
        let selection = ChannelSelection(structure, requests: structure.groups.map { _ in request }) { forecast.ranking(by: $0) }
        var cut = model
        try structure.cut.apply(to: &cut, removed: selection.removed)
        let difference = try difference(run(masked(model, structure, removed: selection.removed), inputs), run(cut, inputs))
        return (difference, selection.removed.count { $0 }, cut)
    }

    static func temporaryFolder() throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lathe-pruning-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder.path
    }

    /// What a Python script prints. One that fails fails the test.
    static func python(_ script: String, _ arguments: [String]) throws -> String {
        let process = Process()
        let python = ProcessInfo.processInfo.environment["LATHE_PYTHON"] ?? repository.appendingPathComponent(".deps/venv/bin/python").path
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = ["-c", script] + arguments
        let (out, errors) = (Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = errors
        try process.run()
        let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let problem = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "python failed: \(problem)")
        return text
    }
}
