import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Transforms that must not change what a model computes, and must make what is quantized afterwards better.
@Suite struct EqualizationTests {
    static let techniques = ["cross-layer-equalization", "smoothquant", "awq"]

    /// Graphs with the patterns on which channels can be scaled, with channels of very different size.
    static func model(_ pattern: String) -> Model {
        var b = GraphBuilder(input: pattern.hasPrefix("conv") ? [nil, 3, 9, 9] : [nil, 5, 12])
        func uneven(_ name: String, _ dims: [Int], axis: Int) {
            // Channels from 1/16 to 16.
            guard let tensor = b.graph.initializers[name], let values = tensor.floats() else { return }
            let inner = dims[(axis + 1)...].reduce(1, *)
            b.graph.initializers[name] = tensor.withFloats(values.enumerated().map { $1 * Float(sign: .plus, exponent: ($0 / inner % dims[axis]) % 9 - 4, significand: 1) })
        }
        switch pattern {
        case "conv-relu":
            let first = b.node("Relu", [b.conv("x", "c1", (3, 16))], "r1")
            uneven("c1.weight", [16, 3, 3, 3], axis: 0)
            return b.model(b.conv(first, "c2", (16, 8)))
        case "conv-batchnorm":
            let first = b.node("Relu", [b.batchNormalization(b.conv("x", "c1", (3, 16), bias: false), "n1", 16)], "r1")
            uneven("n1.scale", [16], axis: 0)
            let second = b.node("Relu", [b.batchNormalization(b.conv(first, "c2", (16, 8)), "n2", 8)], "r2")
            return b.model(b.conv(second, "c3", (8, 4), kernel: 1))
        case "conv-depthwise":
            let first = b.node("LeakyRelu", [b.conv("x", "c1", (3, 16))], "r1", [("alpha", .float(0.2))])
            uneven("c1.weight", [16, 3, 3, 3], axis: 0)
            let second = b.node("Relu", [b.conv(first, "c2", (16, 16), group: 16)], "r2")
            let pooled = b.node("MaxPool", [second], "p", [("kernel_shape", .integers([2, 2]))])
            return b.model(b.conv(pooled, "c3", (16, 8), kernel: 1))
        case "conv-grouped":
            let first = b.node("Relu", [b.conv("x", "c1", (3, 16))], "r1")
            uneven("c1.weight", [16, 3, 3, 3], axis: 0)
            return b.model(b.conv(first, "c2", (16, 8), group: 4))
        case "conv-bias-added":
            // A bias in a node of its own.
            _ = b.constant("shift", [1, 16, 1, 1])
            let first = b.node("Relu", [b.node("Add", [b.conv("x", "c1", (3, 16), bias: false), "shift"], "a1")], "r1")
            uneven("c1.weight", [16, 3, 3, 3], axis: 0)
            return b.model(b.conv(first, "c2", (16, 8)))
        case "norm-three":
            let parameters = [b.constant("gamma", [12]), b.constant("beta", [12])]
            let normed = b.node("LayerNormalization", ["x"] + parameters, "n")
            uneven("gamma", [12], axis: 0)
            return b.model(b.matMul(normed, "q", (12, 8)), b.matMul(normed, "k", (12, 8)), b.matMul(normed, "v", (12, 10)))
        case "norm-written-out":
            let scaled = b.node("Mul", [b.constant("gamma", [12]), "x"], "m")
            uneven("gamma", [12], axis: 0)
            return b.model(b.matMul(b.node("Add", [scaled, b.constant("beta", [12])], "a"), "h", (12, 8)))
        case "matmul-relu":
            let hidden = b.node("Relu", [b.node("Add", [b.matMul("x", "h", (12, 20)), b.constant("bias", [20])], "a")], "r")
            uneven("h.weight", [12, 20], axis: 1)
            return b.model(b.matMul(hidden, "y", (20, 6)))
        default:
            let divided = b.node("Div", ["x", b.positive("divisor", [12])], "d")
            return b.model(b.matMul(divided, "y", (12, 6)))
        }
    }

    static let patterns = ["conv-relu", "conv-batchnorm", "conv-depthwise", "conv-grouped", "conv-bias-added", "norm-three", "norm-written-out", "matmul-relu", "divided"]

    static func data(_ model: Model) -> [[Tensor]] { (0..<3).map { Fixture.inputs(for: model, batch: 8, seed: 50 + $0) } }

    @Test(arguments: patterns, techniques) func outputsStay(pattern: String, technique: String) throws {
        let model = Self.model(pattern)
        let layers = model.layers()
        let refusals = try #require(TechniqueRegistry.technique(technique)).refusals(for: layers, in: model, shapes: [:])
        // A first layer has nothing before it that could take a factor; only layers do for equalization across layers.
        if technique == "cross-layer-equalization", pattern.hasPrefix("norm") || pattern == "divided" {
            #expect(refusals.allSatisfy { $0 != nil })
            return
        }
        #expect(refusals.contains { $0 == nil }, "\(refusals)")
        let made = try Fixture.apply(technique, to: model, calibration: Self.data(model)).model
        #expect(try PythonComparison.difference(model, made) < 2e-5, "\(pattern)")
        #expect(made.layers().map(\.id) == layers.map(\.id) && made.layers().allSatisfy(\.isFloat))
        let changed = layers.contains { made.graph.initializers[$0.weight]?.contentHash != model.graph.initializers[$0.weight]?.contentHash }
        #expect(changed || technique == "awq", "\(pattern): nothing was scaled")
        #expect(try made.serialized().joined() == Fixture.apply(technique, to: model, calibration: Self.data(model)).model.serialized().joined())
    }

    /// After equalization both sides of a pair have the same range for each channel: r₁ = r₂ = √(r₁·r₂).
    @Test func rangesAreEqual() throws {
        let made = try Fixture.apply("cross-layer-equalization", ["iterations": .integer(100)], to: Self.model("conv-depthwise")).model
        let layers = made.layers()
        for (first, second) in zip(layers, layers.dropFirst()) {
            let before = first.largestPerOutput(try #require(made.graph.initializers[first.weight]))
            let after = second.largestPerInput(try #require(made.graph.initializers[second.weight]), channels: 16)
            #expect(zip(before, after).allSatisfy { abs($0 / $1 - 1) < 0.03 }, "\(first.id), \(second.id)")
        }
    }

    /// Per-tensor weights of uneven channels: quantized after equalization they lose less.
    @Test(arguments: ["conv-relu", "conv-depthwise", "matmul-relu"]) func equalizedWeightsQuantizeBetter(pattern: String) throws {
        let model = Self.model(pattern)
        let coarse: [String: ParameterValue] = ["bits": .integer(6), "granularity": .choice("tensor"), "storage": .choice("simulated")]
        let plain = try Fixture.apply("weight-quantization", coarse, to: model).model
        let equalized = try Fixture.apply("cross-layer-equalization", to: model).model
        let better = try Fixture.apply("weight-quantization", coarse, to: equalized).model
        let differences = try PythonComparison.differences([(model, plain), (model, better)])
        #expect(differences[1] < 0.8 * differences[0], "\(differences)")
    }

    /// Outliers in some channels of an activation: its range shrinks, in the measure that alpha says.
    @Test func smoothedActivationsAreEven() throws {
        let model = Self.model("norm-three")
        let data = Self.data(model)
        func ratio(_ model: Model) throws -> Float {
            let layer = try #require(model.layers().first)
            let inputs = try #require(
                try InputStatistics.gather(of: model, layers: [layer], gram: false, limit: 100, context: RewriteContext(calibration: FixedCalibration(batches: data)))[layer.id])
            return (inputs.largestMagnitude.max() ?? 0) / (inputs.largestMagnitude.min() ?? 1)
        }
        let before = try ratio(model)
        let half = try ratio(Fixture.apply("smoothquant", ["alpha": .real(0.5)], to: model, calibration: data).model)
        let full = try ratio(Fixture.apply("smoothquant", ["alpha": .real(1)], to: model, calibration: data).model)
        #expect(before > 10 && half < before / 2 && abs(full - 1) < 1e-3, "\(before), \(half), \(full)")
    }

    /// AWQ is never worse on its calibration data than no scaling, and better where inputs are uneven.
    @Test func awqRoundsBetter() throws {
        let model = Self.model("norm-three")
        let data = Self.data(model)
        let coarse: [String: ParameterValue] = ["bits": .integer(3), "granularity": .choice("channel"), "storage": .choice("simulated")]
        let scaled = try Fixture.apply("awq", ["bits": .integer(3)], to: model, calibration: data).model
        func error(_ candidate: Model) throws -> Double {
            let rounded = try Fixture.apply("weight-quantization", coarse, to: candidate).model
            return try data.reduce(0.0) { sum, batch in
                let (truth, got) = (try Fixture.run(model, batch), try Fixture.run(rounded, batch))
                return sum + zip(truth, got).reduce(0.0) { $0 + zip($1.0.values, $1.1.values).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) } }
            }
        }
        let (plain, better) = (try error(model), try error(scaled))
        #expect(better < 0.8 * plain, "\(better), without \(plain)")
    }

    /// What cannot take a factor without changing the model's function is refused.
    @Test func refusals() throws {
        // Read by an addition as well.
        var b = GraphBuilder(input: [nil, 3, 6, 6])
        let first = b.node("Relu", [b.conv("x", "c1", (3, 8))], "r1")
        let residual = b.model(b.node("Add", [first, b.conv(first, "c2", (8, 8))], "y"))
        // Behind a bounded activation.
        var c = GraphBuilder(input: [nil, 3, 6, 6])
        let bounded = c.model(c.conv(c.node("Sigmoid", [c.conv("x", "c1", (3, 8))], "s"), "c2", (8, 4)))
        // One weight in two layers.
        let folder = try TemporaryFolder()
        let tied = try PythonComparison.form("tied", in: folder)
        // The value is an output of the model.
        var d = GraphBuilder(input: [nil, 3, 6, 6])
        let shown = d.node("Relu", [d.conv("x", "c1", (3, 8))], "r1")
        let output = d.model(d.conv(shown, "c2", (8, 4)), "r1")
        for (model, words) in [(residual, "Add"), (bounded, "Sigmoid"), (tied, "shared"), (output, "output")] {
            for technique in Self.techniques {
                let subject = try #require(TechniqueRegistry.technique(technique))
                let reasons = subject.refusals(for: model.layers(), in: model, shapes: [:])
                #expect(reasons.allSatisfy { $0 != nil } && reasons.contains { $0?.contains(words) ?? false }, "\(technique): \(reasons)")
            }
        }
    }

    /// A constant that a branch outside reads too is copied, not changed under it.
    @Test func constantsReadElsewhereStay() throws {
        var b = GraphBuilder(input: [nil, 5, 12])
        let gamma = b.constant("gamma", [12])
        let scaled = b.matMul(b.node("Mul", ["x", gamma], "m"), "h", (12, 8))
        let model = b.model(scaled, b.node("Add", ["x", gamma], "other"))
        let made = try Fixture.apply("smoothquant", to: model, calibration: Self.data(model)).model
        #expect(try PythonComparison.difference(model, made) < 2e-5)
        #expect(made.graph.initializers["gamma"]?.contentHash == model.graph.initializers["gamma"]?.contentHash)
    }
}
