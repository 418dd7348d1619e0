import EngineSupport
import Foundation
import LinearAlgebra
import ModelGraph
import Techniques

/// Low-rank factorization that is best for the layer's outputs on calibration data rather than for its weights.
public struct ActivationAwareSVD: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "activation-aware-svd", title: "Activation-aware SVD", family: .factorization,
        summary: "SVD that approximates the layer's outputs on calibration data instead of its weights",
        details: """
            Plain SVD treats all directions of a layer's input alike, but some hardly occur. Let G be the mean of x·xᵀ over calibration inputs, with \
            Cholesky factor G = L·Lᵀ. The mean squared error of the outputs is then ‖(W − W′)·L‖². The truncated singular value decomposition of W·L, \
            multiplied by L⁻¹, is its exact minimizer at that rank (truncation-aware whitening of SVD-LLM). With whitening scale, L is instead the \
            diagonal of the inputs' mean magnitudes to the power α, which treats channels one by one (ASVD).

            The graph is that of svd: the same sizes, MACs and run time at equal rank, but outputs closer to the original's. Modes energy and vbmf use \
            the singular values of W·L. It takes one run over the samples and, for each layer, a Cholesky factorization of an inputs × inputs matrix.
            """,
        source: "Wang et al., SVD-LLM: Truncation-aware Singular Value Decomposition for LLM Compression, ICLR 2025, section 3.1; Yuan et al., ASVD, 2023",
        parameters: RankChoice.parameters([.ratio, .energy, .rank, .vbmf]) + [
            ParameterDescriptor(
                "whitening", title: "Whitening",
                domain: .choice([
                    .init("cholesky", "by the Cholesky factor of the inputs' Gram matrix (SVD-LLM)"),
                    .init("scale", "by each input's mean magnitude to the power alpha (ASVD)"),
                ]), default: .choice("cholesky"), help: "How inputs are weighted"),
            ParameterDescriptor(
                "alpha", title: "Alpha", domain: .real(0...2, step: 0.1), default: .real(0.5), help: "Power of the mean magnitude, with whitening scale"),
            ParameterDescriptor(
                "damping", title: "Damping", domain: .real(0...1, step: 0.001), default: .real(0.001),
                help: "Added to the Gram matrix's diagonal, as a share of its mean, for inputs that are rare in calibration data"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(512), unit: "samples",
                help: "Calibration samples to use"),
        ],
        strength: "ratio", needsCalibration: true, requires: [.floatWeights], produces: [.factorized])

    /// What of the parameters decides the factors.
    private struct Request: Hashable {
        var choice: RankChoice
        var scaled: Bool
        var alpha: Double
        var damping: Double

        init(_ parameters: ParameterValues) {
            choice = RankChoice(parameters)
            scaled = parameters.choice("whitening") == "scale"
            alpha = scaled ? parameters.real("alpha") : 0
            damping = scaled ? 0 : parameters.real("damping")
        }
    }

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let calibrated = CalibratedWeights.refusals(for: layers, in: model, gram: true)
        return zip(layers, calibrated).map { layer, reason in MatrixLinks.refusal(for: layer, in: model) ?? reason }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let samples = targets.map { $0.parameters.integer("samples") }.max() ?? 0
        // Those whose rank saves nothing anyway need no statistics.
        let wanted = targets.filter { target in
            let choice = RankChoice(target.parameters)
            guard !choice.needsSpectrum, let (rows, columns) = SingularValues.matrixShape(of: target.layer) else { return true }
            return RankChoice.saves(choice.rank(rows: rows, columns: columns, singularValues: []), rows: rows, columns: columns)
        }
        let inputs = try InputStatistics.remembered(of: model, layers: wanted.map(\.layer), gram: true, limit: samples, context: context)
        var source = FactorSource<Request, Factors>(model: model, context: context) { Request($0.parameters) }
        try source.prepare(targets) { layer, tensor, request in
            guard let matrix = WeightMatrix(tensor, of: layer) else { return nil }
            let factors = try context.truncated(layer, request.choice, rows: matrix.rows, columns: matrix.columns) {
                guard let seen = inputs[layer.id] else { throw EngineError(.technique, "its inputs are not numeric") }
                return try Self.decompose(matrix, seen, request, weight: tensor.contentHash.description, context: context)
            }
            guard var factors, let seen = inputs[layer.id] else { return nil }
            try Self.unwhiten(&factors, seen, request)
            factors.balance()
            return layer.kind != .conv && layer.outputAxis == 1 ? factors.transposed : factors
        }
        let opset = model.opset
        try source.insert(targets, into: &model) { try MatrixLinks.links($0, $1, $2, opset: opset) }
    }

    /// The singular value decomposition of W·L.
    private static func decompose(
        _ matrix: WeightMatrix, _ inputs: LayerInputs, _ request: Request, weight: String, context: RewriteContext
    ) throws -> SingularValueDecomposition {
        let n = matrix.columns
        let seen = Tensor(name: "", floats: request.scaled ? inputs.meanMagnitude : inputs.gram, dims: [request.scaled ? n : n * n]).contentHash
        let key = "asvd \(weight) \(matrix.rows)x\(n) \(seen) \(request.scaled) \(request.alpha) \(request.damping)"
        let parts = try context.remembered(key) {
            let svd = try Lapack.svd(array: whitened(matrix, inputs, request), rows: matrix.rows, columns: n)
            return [svd.u, svd.s, svd.vt]
        }
        return SingularValueDecomposition(rows: matrix.rows, columns: n, u: parts[0], s: parts[1], vt: parts[2])
    }

    private static func whitened(_ matrix: WeightMatrix, _ inputs: LayerInputs, _ request: Request) throws -> [Float] {
        let n = matrix.columns
        if request.scaled {
            let scales = scales(inputs, request.alpha)
            return matrix.values.indices.map { matrix.values[$0] * scales[$0 % n] }
        }
        let whitening = try Whitening(gram: inputs.gram, count: n, damping: request.damping)
        return Dense.product(matrix.values.map(Double.init), whitening.factor, rows: matrix.rows, inner: n, columns: n).map(Float.init)
    }

    /// Takes the right factor back from V·Lᵀ-space to inputs: V·L⁻¹.
    private static func unwhiten(_ factors: inout Factors, _ inputs: LayerInputs, _ request: Request) throws {
        let n = factors.columns
        if request.scaled {
            let scales = scales(inputs, request.alpha)
            for index in factors.right.indices { factors.right[index] /= scales[index % n] }
            return
        }
        let whitening = try Whitening(gram: inputs.gram, count: n, damping: request.damping)
        factors.right = Dense.product(factors.right.map(Double.init), whitening.inverse, rows: factors.rank, inner: n, columns: n).map(Float.init)
    }

    /// Mean magnitudes to the power α, against their mean; inputs that never stir count a little.
    private static func scales(_ inputs: LayerInputs, _ alpha: Double) -> [Float] {
        let mean = max(inputs.meanMagnitude.reduce(0, +) / Float(max(inputs.meanMagnitude.count, 1)), .leastNormalMagnitude)
        return inputs.meanMagnitude.map { Float(pow(Double(max($0 / mean, 1e-3)), alpha)) }
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            // The spectrum of the weights stands for that of the whitened ones, which falls faster.
            SVDFactorization.predict(&states[index], summaries[index], RankChoice(parameters.resolved(by: descriptor)), spectrum: summaries[index].spectra[.first])
        }
    }
}
