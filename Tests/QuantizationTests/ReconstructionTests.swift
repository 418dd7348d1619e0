import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import LinearAlgebra
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// GPTQ and adaptive rounding against NumPy, and what they must never be: worse than nearest rounding.
@Suite struct ReconstructionTests {
    /// Inputs that hang together, as activations do: x = A·z with fewer z than x, plus noise.
    static func inputs(columns: Int, rows: Int = 600, seed: UInt64 = 31) -> [Float] {
        let hidden = max(columns / 3, 1)
        let mixing = Fixture.normal(hidden * columns, seed: seed)
        let latent = Fixture.normal(rows * hidden, seed: seed + 1)
        let noise = Fixture.normal(rows * columns, seed: seed + 2, scale: 0.2)
        let mixed = DenseReference.product(latent.map(Double.init), mixing.map(Double.init), rows: rows, inner: hidden, columns: columns)
        return zip(noise, mixed).map { $0 + Float($1) }
    }

    static func layerInputs(_ values: [Float], columns: Int, outputs: Int) -> LayerInputs {
        let rows = values.count / columns
        let zeros = [Float](repeating: 0, count: columns)
        return LayerInputs(
            shape: .init(groups: 1, rows: outputs, columns: columns), rows: rows, mean: zeros, meanSquare: zeros, meanMagnitude: zeros,
            largestMagnitude: zeros, gram: DenseReference.gram(values, columns: columns))
    }

    static func quantize(
        _ tensor: Tensor, _ inputs: LayerInputs, _ method: Reconstruction.Method, bits: Int, granularity: Granularity = .channel, symmetric: Bool = true
    ) throws -> [Float] {
        let layer = try #require(WeightStorageTests.layer(tensor))
        let view = try WeightView(tensor, of: layer, granularity: granularity, groupSize: 16)
        let reconstruction = Reconstruction(inputs: inputs, content: ContentHash(), method: method, damping: 0.01, cancellation: Cancellation())
        return view.cropped(
            WeightQuantizer.dequantize(
                try WeightQuantizer.quantize(view, format: WeightFormat(bits: bits, symmetric: symmetric), rounding: .reconstruction(reconstruction), memo: LayerMemo())))
    }

    /// tr((W − Q)·H·(W − Q)ᵀ) with H damped as the methods damp it.
    static func objective(_ weights: [Float], _ rounded: [Float], _ inputs: LayerInputs) -> Double {
        let n = inputs.shape.columns
        var damped = inputs.gram.map(Double.init)
        let mean = (0..<n).reduce(0.0) { $0 + damped[$1 * n + $1] } / Double(n)
        for index in 0..<n { damped[index * n + index] += 0.01 * mean }
        let errors = zip(weights, rounded).map { Double($0) - Double($1) }
        let products = DenseReference.product(errors, damped, rows: weights.count / n, inner: n, columns: n)
        return zip(errors, products).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// R is upper triangular and RᵀR is the inverse.
    @Test(arguments: [1, 2, 9, 64, 200]) func inverseFactor(n: Int) throws {
        let inputs = Self.layerInputs(Self.inputs(columns: n), columns: n, outputs: 1)
        var gram = inputs.gram
        for index in 0..<n { gram[index * n + index] += 0.1 }
        let factor = try Lapack.inverseFactor(gram, count: n, raising: 0.01)
        #expect((0..<n).allSatisfy { i in factor[(i * n)..<(i * n + i)].allSatisfy { $0 == 0 } })
        // (RᵀR)·A = I.
        let doubles = factor.map(Double.init)
        let inverse = DenseReference.product(doubles, doubles, rows: n, inner: n, columns: n, transposedA: true)
        let identity = DenseReference.product(inverse, gram.map(Double.init), rows: n, inner: n, columns: n)
        let worst = identity.indices.map { abs(identity[$0] - ($0 % (n + 1) == 0 ? 1 : 0)) }.max() ?? 1
        #expect(worst < 1e-3)
    }

    /// A matrix that rounding has made singular is raised until it can be factored; one that is not finite is an error.
    @Test func inverseFactorOfSingularMatrices() throws {
        let factor = try Lapack.inverseFactor([1, 1, 1, 1], count: 2, raising: 0.01)
        #expect(factor.allSatisfy { $0.isFinite })
        #expect(message { _ = try Lapack.inverseFactor([.nan, 0, 0, 1], count: 2, raising: 0.01) }.contains("not finite"))
    }

    /// Codes of GPTQ's algorithm 1 in NumPy with double precision: column by column, without blocks.
    @Test(arguments: [20, 150, 300], [true, false]) func errorFeedbackIsGPTQs(columns: Int, byActivation: Bool) throws {
        let folder = try TemporaryFolder()
        let outputs = 70
        let tensor = Fixture.normal("w", [outputs, columns], seed: 8)
        let inputs = Self.layerInputs(Self.inputs(columns: columns), columns: columns, outputs: outputs)
        let rounded = try Self.quantize(tensor, inputs, .errorFeedback(byActivation: byActivation, sweeps: 0), bits: 3)
        try folder.write("w.bin", [UInt8](tensor.storage.bytes))
        try folder.write("h.bin", inputs.gram.withUnsafeBytes { Array($0) })
        try Python.run(
            """
            n, act = int(args[1]), args[2] == 'true'
            w = np.fromfile(args[0] + '/w.bin', np.float32).reshape(-1, n).astype(np.float64)
            h = np.fromfile(args[0] + '/h.bin', np.float32).reshape(n, n).astype(np.float64)
            s = np.abs(w).max(1) / 3
            p = np.argsort(-np.diag(h), kind='stable') if act else np.arange(n)
            h = h + 0.01 * np.diag(h).mean() * np.eye(n)
            u = np.linalg.cholesky(np.linalg.inv(h[np.ix_(p, p)])).T
            x, q = w[:, p].copy(), np.zeros_like(w)
            for j in range(n):
                q[:, j] = np.clip(np.rint(x[:, j] / s), -3, 3) * s
                x[:, j:] -= np.outer((x[:, j] - q[:, j]) / u[j, j], u[j, j:])
            out = np.empty_like(q); out[:, p] = q
            out.astype(np.float32).tofile(args[0] + '/q.bin')
            """, folder.path, "\(columns)", "\(byActivation)")
        let truth = try Python.floats(folder.path + "/q.bin")
        let scale = try #require(tensor.floats()?.map(abs).max()) / 3
        // Single precision rounds a tie otherwise now and then, and what follows in that row then differs.
        let same = zip(rounded, truth).count { abs($0 - $1) < scale * 0.01 }
        #expect(Double(same) > 0.97 * Double(truth.count), "\(same) of \(truth.count)")
        let weights = try #require(tensor.floats())
        let (ours, theirs) = (Self.objective(weights, rounded, inputs), Self.objective(weights, truth, inputs))
        #expect(abs(ours - theirs) < 0.02 * theirs, "\(ours), NumPy \(theirs)")
    }

    @Test(arguments: [2, 3, 4, 6], [Granularity.tensor, .channel, .group]) func betterThanNearest(bits: Int, granularity: Granularity) throws {
        let (outputs, columns) = (40, 50)
        let tensor = Fixture.normal("w", [outputs, columns], seed: 12)
        let weights = try #require(tensor.floats())
        let inputs = Self.layerInputs(Self.inputs(columns: columns), columns: columns, outputs: outputs)
        for symmetric in [true, false] {
            let layer = try #require(WeightStorageTests.layer(tensor))
            let view = try WeightView(tensor, of: layer, granularity: granularity, groupSize: 16)
            let nearest = view.cropped(
                WeightQuantizer.dequantize(try WeightQuantizer.quantize(view, format: WeightFormat(bits: bits, symmetric: symmetric), rounding: .nearest, memo: LayerMemo())))
            let start = Self.objective(weights, nearest, inputs)
            let rounding = try Self.quantize(tensor, inputs, .upOrDown(sweeps: 50), bits: bits, granularity: granularity, symmetric: symmetric)
            let feedback = try Self.quantize(tensor, inputs, .errorFeedback(byActivation: true, sweeps: 0), bits: bits, granularity: granularity, symmetric: symmetric)
            let swept = try Self.quantize(tensor, inputs, .errorFeedback(byActivation: true, sweeps: 10), bits: bits, granularity: granularity, symmetric: symmetric)
            #expect(Self.objective(weights, rounding, inputs) < 0.6 * start)
            #expect(Self.objective(weights, feedback, inputs) < 0.6 * start)
            #expect(Self.objective(weights, swept, inputs) <= Self.objective(weights, feedback, inputs) * 1.0001)
            // Up or down, and no further.
            let widest = zip(rounding, nearest).map { abs($0 - $1) }.max() ?? 0
            let step = (tensor.floats()?.map(abs).max() ?? 0) * 2 / Float((1 << bits) - 2)
            #expect(widest <= step * 1.001)
        }
    }

    /// Few enough weights for all 2¹⁰ ways of rounding: the descent ends at one that no single change betters, near the best.
    @Test func upOrDownIsNearTheBest() throws {
        let columns = 10
        let tensor = Fixture.normal("w", [6, columns], seed: 40)
        let weights = try #require(tensor.floats())
        let inputs = Self.layerInputs(Self.inputs(columns: columns), columns: columns, outputs: 6)
        let rounded = try Self.quantize(tensor, inputs, .upOrDown(sweeps: 100), bits: 4)
        var (sum, best) = (0.0, 0.0)
        for row in 0..<6 {
            let one = LayerInputs(
                shape: .init(groups: 1, rows: 1, columns: columns), rows: inputs.rows, mean: inputs.mean, meanSquare: inputs.mean, meanMagnitude: inputs.mean,
                largestMagnitude: inputs.mean, gram: inputs.gram)
            let part = Array(weights[(row * columns)..<((row + 1) * columns)])
            let mine = Array(rounded[(row * columns)..<((row + 1) * columns)])
            let scale = (part.map(abs).max() ?? 1) / 7
            let own = Self.objective(part, mine, one)
            var least = Double.infinity
            for choice in 0..<(1 << columns) {
                let candidate = part.enumerated().map { index, value in min(max((value / scale).rounded(.down) + Float(choice >> index & 1), -7), 7) * scale }
                least = min(least, Self.objective(part, candidate, one))
            }
            for index in 0..<columns {
                for other in [(part[index] / scale).rounded(.down), (part[index] / scale).rounded(.up)] where abs(other) <= 7 {
                    var changed = mine
                    changed[index] = other * scale
                    #expect(Self.objective(part, changed, one) >= own * 0.999)
                }
            }
            sum += own
            best += least
        }
        #expect(sum < 2 * best)
    }

    /// Zeros are what pruning made, and stay.
    @Test func zerosStayZero() throws {
        let values = Fixture.normal(20 * 30, seed: 2).enumerated().map { $0 % 3 == 0 ? 0 : $1 }
        let tensor = Tensor(name: "w", floats: values, dims: [20, 30])
        let inputs = Self.layerInputs(Self.inputs(columns: 30), columns: 30, outputs: 20)
        for method in [Reconstruction.Method.errorFeedback(byActivation: true, sweeps: 5), .upOrDown(sweeps: 20)] {
            for symmetric in [true, false] {
                let rounded = try Self.quantize(tensor, inputs, method, bits: 3, symmetric: symmetric)
                #expect(zip(values, rounded).allSatisfy { $0 != 0 || $1 == 0 })
            }
        }
    }

    static let forms = [
        "gemm", "gemm_transB", "gemm_transA", "matmul", "matmul_batched_input", "conv", "conv_strided", "conv_1d", "conv_3d", "conv_same", "conv_1x1", "grouped", "depthwise",
        "tied",
    ]

    /// Data on which a form can be calibrated.
    static func calibration(for model: Model) -> [[Tensor]] { (0..<4).map { Fixture.inputs(for: model, batch: 8, seed: 90 + $0) } }

    /// Every storage holds the same values, and the layer's outputs over the calibration data are nearer the original's than with nearest rounding.
    @Test(arguments: forms, ["gptq", "adaround"]) func everyFormAndStorage(form: String, technique: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        let data = Self.calibration(for: model)
        for granularity in ["tensor", "channel", "group"] {
            var parameters: [String: ParameterValue] = [
                "bits": .integer(4), "granularity": .choice(granularity), "group-size": .choice("16"), "storage": .choice("simulated"), "range": .choice("minmax"),
            ]
            let nearest = try Fixture.apply("weight-quantization", parameters, to: model).model
            let simulated = try Fixture.apply(technique, parameters, to: model, calibration: data).model
            var pairs: [(Model, Model)] = []
            for storage in ["packed", "dequantize", "matmulnbits"] {
                parameters["storage"] = .choice(storage)
                parameters["activations"] = .choice("float32")
                let stored = try Fixture.apply(technique, parameters, to: model, calibration: data).model
                #expect(stored.layers().allSatisfy { !$0.isFloat }, "\(form) \(storage)")
                #expect(
                    try stored.serialized().joined() == Fixture.apply(technique, parameters, to: model, calibration: data).model.serialized().joined(), "the same bytes twice")
                pairs.append((simulated, stored))
            }
            let differences = try PythonComparison.differences(pairs)
            #expect(
                differences[0] < 1e-5 && differences[1] < (form.hasPrefix("conv") || form == "grouped" || form == "depthwise" ? 1e-5 : 0.03) && differences[2] < 1e-5,
                "\(form) \(granularity): \(differences)")
            // One weight of two layers is fitted to both, and neither alone need gain.
            guard form != "tied" else { continue }
            func error(_ candidate: Model) throws -> Double {
                var sum = 0.0
                for batch in data {
                    let (truth, got) = (try Fixture.run(model, batch), try Fixture.run(candidate, batch))
                    for (a, b) in zip(truth[0].values, got[0].values) { sum += Double((a - b) * (a - b)) }
                }
                return sum
            }
            #expect(try error(simulated) < error(nearest), "\(form) \(granularity)")
        }
    }

    @Test(arguments: [
        ("lstm", "recurrent"), ("embedding", "looked up"), ("matmul_left", "left operand"), ("batched_constant", "not one matrix"), ("conv_transpose", "transposed convolutions"),
    ])
    func refusesWithAReason(form: String, reason: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        for technique in ["gptq", "adaround"] {
            let said = message { _ = try Fixture.apply(technique, to: model, calibration: [Fixture.inputs(for: model)]) }
            #expect(said.contains(reason), "\(said)")
        }
    }
}
