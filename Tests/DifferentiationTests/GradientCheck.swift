import Foundation
import ModelGraph
import OnnxRuntime
import PythonOracle
import Testing

@testable import Differentiation

/// A forward graph whose gradient is compared with differences.
struct GradientCase: Sendable, CustomTestStringConvertible {
    let name: String
    let sketch: Sketch
    /// Step of the differences where the runtime computes an operator in float32 only.
    var step: Float = 0.01

    /// A graph of one output.
    init(_ name: String, opset: Int = 17, step: Float = 0.01, _ make: (inout Sketch) -> String) {
        self = .several(name, opset: opset, step: step) { [make(&$0)] }
    }

    static func several(_ name: String, opset: Int = 17, step: Float = 0.01, _ make: (inout Sketch) -> [String]) -> GradientCase {
        var sketch = Sketch(opset: opset)
        sketch.finish(make(&sketch))
        return GradientCase(name: name, sketch: sketch, step: step)
    }

    private init(name: String, sketch: Sketch, step: Float) {
        self.name = name
        self.sketch = sketch
        self.step = step
    }

    var testDescription: String { name }
}

/// Gradients of Σ y·r by the differentiator and by differences, for fixed random r over all outputs y.
struct GradientCheck {
    struct Outcome {
        /// Largest difference of an element, by the largest element of the same gradient, over all inputs.
        var error = 0.0
        var worst = ""
        var isDouble = false
    }

    private let model: Model
    private let values: [String: [Float]]
    private let inputs: [String]
    private let shapes: [String: [Int]]
    private let outputs: [String]
    private let weights: [String: [Float]]
    private let step: Float
    private let library: RuntimeLibrary

    /// - Parameter ones: takes r = 1 instead of random numbers.
    init(_ example: GradientCase, ones: Bool = false) throws {
        library = try Self.runtime.get()
        inputs = example.sketch.differentiated
        values = example.sketch.values
        step = example.step
        model = example.sketch.model
        outputs = model.graph.outputs.map(\.name)
        shapes = try Self.shapes(of: Self.lowered(model), values, library)
        var numbers = FixedNumbers(seed: 7)
        var weights: [String: [Float]] = [:]
        for output in outputs {
            let count = (shapes[output] ?? []).reduce(1, *)
            weights[output] = ones ? [Float](repeating: 1, count: count) : numbers.signed(count)
        }
        self.weights = weights
    }

    static let runtime: Result<RuntimeLibrary, any Error> = Result {
        if ProcessInfo.processInfo.environment["LATHE_ONNXRUNTIME"] != nil { return try RuntimeLibrary.load() }
        return try RuntimeLibrary.load(path: Repository.root + "/.deps/onnxruntime")
    }

    // MARK: By the differentiator

    /// Gradients of Σ y·r with respect to every input.
    func gradients() throws -> [String: [Float]] {
        var b = GradientBuilder(model, shapes: shapes)
        var parts: [String] = []
        for output in outputs {
            let dims = try b.shape(output)
            let product = try b.multiply(output, b.constant(weights[output] ?? [], dims))
            parts.append(try b.sum(product, axes: Array(dims.indices), keep: false))
        }
        let loss = try b.total(parts)
        var differentiator = Differentiator()
        let found = try differentiator.gradients(of: loss, for: inputs, in: &b)
        if let barrier = differentiator.barriers.first { throw DifferentiationError("\(barrier.opType): \(barrier.reason)") }
        try Macro.lower(&b)
        var graph = Graph(name: "gradient", nodes: b.nodes, inputs: model.graph.inputs, outputs: [], initializers: Array(b.constants.values))
        let wanted = inputs.compactMap { name in found[name].map { (name, $0) } }
        // A gradient may be an input itself, and one value may be the gradient of several.
        for (name, gradient) in wanted {
            graph.nodes.append(Node("Identity", inputs: [gradient], outputs: ["gradient of \(name)"]))
            graph.outputs.append(ValueInfo(name: "gradient of \(name)", elementType: .float32, shape: nil))
        }
        // Rules may rewrite the forward part: it has to compute what the model does.
        graph.outputs += model.graph.outputs
        graph.removeDeadCode()
        var whole = model
        whole.graph = graph
        let read = Set(graph.nodes.flatMap(\.inputs))
        whole.graph.inputs.removeAll { !read.contains($0.name) }
        let results = try Self.session(whole, library).run(inputs: try Self.feeds(whole, values, library))
        var gradients: [String: [Float]] = [:]
        for ((name, _), result) in zip(wanted, results) {
            guard result.shape == shapes[name] else { throw DifferentiationError("the gradient of \(name) has shape \(result.shape ?? [])") }
            gradients[name] = try result.floats()
        }
        let forward = try Self.session(Self.lowered(model), library, optimized: false).run(inputs: try Self.feeds(model, values, library))
        for ((name, expected), found) in zip(zip(outputs, forward), results.dropFirst(wanted.count)) {
            for (x, y) in zip(try expected.floats(), try found.floats()) where abs(x - y) > 1e-5 * max(abs(x), 1) {
                throw DifferentiationError("output \(name) is \(y) in the training graph, \(x) in the model")
            }
        }
        // The builder's idea of every shape is what rules go by: it has to be true.
        for (value, dims) in try Self.shapes(of: whole, values, library) {
            if let believed = b.shapes[value], believed != dims { throw DifferentiationError("'\(value)' is \(dims), not \(believed)") }
        }
        return gradients
    }

    // MARK: By differences

    func outcome() throws -> Outcome {
        let found = try gradients()
        var outcome = Outcome()
        let standard = try Self.lowered(model)
        var forward = try? Forward(Self.inDouble(standard), values, weights, library, isDouble: true)
        if forward != nil, (try? forward?.value([:])) == nil { forward = nil }
        outcome.isDouble = forward != nil
        let function = try forward ?? Forward(standard, values, weights, library, isDouble: false)
        // Exact to the fourth order. Double: errors of 1e-9; float32: rounding of 1e-7 over the step.
        let h = outcome.isDouble ? 1e-3 : Double(step)
        func difference(_ name: String, _ direction: [Double]) throws -> Double {
            func at(_ distance: Double) throws -> Double { try function.value([name: direction.map { $0 * distance }]) }
            return (8 * (try at(h) - at(-h)) - (try at(2 * h) - at(-2 * h))) / (12 * h)
        }
        for name in inputs {
            let count = values[name]?.count ?? 0
            guard let gradient = found[name], gradient.count == count else { throw DifferentiationError("there is no gradient of \(name)") }
            var numbers = FixedNumbers(seed: 3)
            // Every element of small inputs; of larger ones as many as keep the test quick.
            let chosen = count <= 150 ? Array(0..<count) : (0..<100).map { _ in numbers.below(count) }
            var expected: [(Double, Double)] = try chosen.map { element in
                var direction = [Double](repeating: 0, count: count)
                direction[element] = 1
                return (Double(gradient[element]), try difference(name, direction))
            }
            // And all of them at once, along one direction of unit length.
            let all = numbers.signed(count).map(Double.init)
            let length = all.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let unit = all.map { $0 / max(length, 1e-9) }
            expected.append((zip(gradient, unit).reduce(0) { $0 + Double($1.0) * $1.1 }, try difference(name, unit)))
            let scale = max(expected.map { abs($0.1) }.max() ?? 0, 1e-2)
            for (index, pair) in expected.enumerated() {
                let error = pair.0.isFinite ? abs(pair.0 - pair.1) / scale : .infinity
                guard error > outcome.error else { continue }
                outcome.error = error
                outcome.worst = "\(name)[\(index < chosen.count ? String(chosen[index]) : "along a direction")]: \(pair.0), not \(pair.1)"
            }
        }
        return outcome
    }

    /// Σ y·r of the forward graph at inputs moved a little.
    private struct Forward {
        let session: Session
        let inputs: [ValueInfo]
        let values: [String: [Float]]
        let weights: [[Float]]
        let isDouble: Bool
        let library: RuntimeLibrary

        init(_ model: Model, _ values: [String: [Float]], _ weights: [String: [Float]], _ library: RuntimeLibrary, isDouble: Bool) throws {
            session = try GradientCheck.session(model, library, optimized: false)
            inputs = model.graph.inputs
            self.values = values
            self.weights = model.graph.outputs.map { weights[$0.name] ?? [] }
            self.isDouble = isDouble
            self.library = library
        }

        func value(_ moves: [String: [Double]]) throws -> Double {
            let feeds = try inputs.map { input in
                var numbers = (values[input.name] ?? []).map(Double.init)
                if let move = moves[input.name] { for index in numbers.indices { numbers[index] += move[index] } }
                let dims = input.shape?.compactMap(\.fixedValue) ?? []
                return (input.name, try isDouble ? Value(numbers, shape: dims, library: library) : Value(numbers.map { Float($0) }, shape: dims, library: library))
            }
            var total = 0.0
            for (result, weights) in zip(try session.run(inputs: feeds), weights) {
                for (y, r) in zip(try result.doubles(), weights) { total += y * Double(r) }
            }
            return total
        }
    }

    // MARK: Models

    /// The model with macros made standard operators.
    private static func lowered(_ model: Model) throws -> Model {
        guard model.graph.nodes.contains(where: { $0.domain == Macro.domain }) else { return model }
        var b = GradientBuilder(model, shapes: [:])
        try Macro.lower(&b)
        var lowered = model
        lowered.graph.nodes = b.nodes
        lowered.graph.initializers = b.constants
        return lowered
    }

    /// Shapes of all values, from a run with every one of them given out.
    static func shapes(of model: Model, _ values: [String: [Float]], _ library: RuntimeLibrary) throws -> [String: [Int]] {
        var open = model
        var seen: Set<String> = []
        open.graph.outputs = model.graph.nodes.flatMap(\.outputs).filter { !$0.isEmpty && seen.insert($0).inserted }
            .map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        let results = try session(open, library, optimized: false).run(inputs: try feeds(open, values, library))
        var shapes: [String: [Int]] = [:]
        for (output, result) in zip(open.graph.outputs, results) { shapes[output.name] = result.shape }
        for input in model.graph.inputs { shapes[input.name] = input.shape?.compactMap(\.fixedValue) }
        return shapes
    }

    /// The same computation in float64. Operators that have no such kernel are refused by the runtime.
    private static func inDouble(_ model: Model) throws -> Model {
        var wide = model
        // What stays float32 by definition: scales and regions of resizing.
        let narrow = Set(model.graph.nodes.filter { ["Resize", "Upsample"].contains($0.opType) }.flatMap { $0.inputs.dropFirst() })
        for index in wide.graph.inputs.indices where wide.graph.inputs[index].elementType == .float32 { wide.graph.inputs[index].elementType = .float64 }
        for (name, tensor) in model.graph.initializers where tensor.elementType == .float32 && !narrow.contains(name) {
            let numbers = (tensor.floats() ?? []).map(Double.init)
            wide.graph.initializers[name] = try Tensor(
                name: name, elementType: .float64, dims: tensor.dims, storage: TensorStorage(copying: numbers))
        }
        for index in wide.graph.nodes.indices where wide.graph.nodes[index].int("to") == 1 { wide.graph.nodes[index].set("to", .integer(11)) }
        return wide
    }

    static func session(_ model: Model, _ library: RuntimeLibrary, optimized: Bool = true) throws -> Session {
        var options = SessionOptions()
        if !optimized { options.graphOptimizationLevel = .disable }
        return try Session(library: library, model: model.serialized().joined(), options: options, label: model.graph.name)
    }

    static func feeds(_ model: Model, _ values: [String: [Float]], _ library: RuntimeLibrary) throws -> [(String, Value)] {
        try model.graph.inputs.map { input in
            (input.name, try Value(values[input.name] ?? [], shape: input.shape?.compactMap(\.fixedValue) ?? [], library: library))
        }
    }
}
