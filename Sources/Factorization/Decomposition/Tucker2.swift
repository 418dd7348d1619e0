import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// Tucker-2 decomposition of convolutions: fewer channels around a smaller kernel.
public struct Tucker2: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "tucker-2", title: "Tucker-2", family: .factorization,
        summary: "Replaces a k×k convolution by 1×1, k×k and 1×1 convolutions over fewer channels",
        details: """
            The kernel, outputs × inputs × positions, is approximated by a core of r₂ × r₁ × positions with an orthonormal matrix on each side: a 1×1 \
            convolution reduces the inputs to r₁ channels, the k×k core works there, and a 1×1 convolution widens r₂ channels to the outputs. The \
            start is the higher-order singular value decomposition, which alternating least squares (higher-order orthogonal iteration) then improves. \
            A side whose rank is full gets no convolution.

            Weights change from k²·m·n to r₁·n + k²·r₁·r₂ + r₂·m, MACs likewise, the first 1×1 at the input's resolution. Mode vbmf finds both ranks \
            without a parameter; they are meant for fine-tuning afterwards, and weakening keeps more. Three small convolutions may run slower than \
            one: check the measured latency.
            """,
        source: "Kim et al., Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications, ICLR 2016, section 3",
        parameters: RankChoice.parameters([.ratio, .energy, .rank, .vbmf], rank: "Output channels of the core, with mode rank") + [
            ParameterDescriptor(
                "input-rank", title: "Input rank", domain: .integer(1...4096, step: 1), default: .integer(16), help: "Input channels of the core, with mode rank"),
            ParameterDescriptor(
                "iterations", title: "Iterations", domain: .integer(0...100, step: 1), default: .integer(20),
                help: "Iterations of alternating least squares at most; 0 leaves the higher-order SVD"),
        ],
        strength: "ratio", requires: [.floatWeights], produces: [.factorized])

    /// What of the parameters decides the factors.
    struct Request: Hashable, Sendable {
        var choice: RankChoice
        var inputRank: Int
        var iterations: Int

        init(_ parameters: ParameterValues) {
            choice = RankChoice(parameters)
            inputRank = choice.mode == .rank ? parameters.integer("input-rank") : 0
            iterations = parameters.integer("iterations")
        }

        /// Ranks of the first and the second dimension of a kernel m × n × k.
        /// - Parameter outputsFirst: whether the first dimension is that of the outputs.
        func ranks(m: Int, n: Int, k: Int, outputsFirst: Bool, first: Spectrum?, second: Spectrum?) -> (first: Int, second: Int) {
            switch choice.mode {
            case .rank:
                let (p, q) = outputsFirst ? (choice.rank, inputRank) : (inputRank, choice.rank)
                return (min(max(p, 1), m), min(max(q, 1), n))
            case .ratio:
                // Both dimensions shrink alike, to β: β²·m·n·k + β·(m² + n²) = ratio·m·n·k.
                let (a, b) = (Double(m * n * k), Double(m * m + n * n))
                let beta = ((b * b + 4 * a * a * choice.ratio).squareRoot() - b) / (2 * a)
                return (min(max(Int(beta * Double(m)), 1), m), min(max(Int(beta * Double(n)), 1), n))
            case .energy, .vbmf:
                return (
                    min(choice.rank(rows: m, columns: n * k, spectrum: first), m), min(choice.rank(rows: n, columns: m * k, spectrum: second), n)
                )
            }
        }
    }

    /// Factors of a stored kernel; empty where the rank is the full one.
    private struct Factored: Sendable {
        var ranks: (first: Int, second: Int)
        /// rank × size.
        var first: [Float]
        var second: [Float]
        var core: [Float]
    }

    /// Weights of all factors.
    static func count(m: Int, n: Int, k: Int, ranks: (first: Int, second: Int)) -> Int {
        (ranks.first < m ? ranks.first * m : 0) + ranks.first * ranks.second * k + (ranks.second < n ? ranks.second * n : 0)
    }

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = ConvolutionForm.refusal(for: layer, in: model, transposed: true) { return reason }
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        let k = layer.weightCount / (m * n)
        // The least that any ranks take: 1 on one side or both.
        let least = min(Self.count(m: m, n: n, k: k, ranks: (1, 1)), Self.count(m: m, n: n, k: k, ranks: (m, 1)), Self.count(m: m, n: n, k: k, ranks: (1, n)))
        return least < layer.weightCount ? nil : "too small: no rank saves anything"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var source = FactorSource<Request, Factored>(model: model, context: context) { Request($0.parameters) }
        try source.prepare(targets) { layer, tensor, request in try Self.factors(layer, tensor, request, context) }
        try source.insert(targets, into: &model) { layer, node, factored in Self.links(layer, node, factored) }
    }

    private static func factors(_ layer: Layer, _ tensor: Tensor, _ request: Request, _ context: RewriteContext) throws -> Factored? {
        let (m, n) = (layer.weightShape[0], layer.weightShape[1])
        let k = layer.weightCount / (m * n)
        let outputsFirst = layer.kind == .conv
        func saves(_ ranks: (first: Int, second: Int)) -> Bool {
            let count = count(m: m, n: n, k: k, ranks: ranks)
            if count < layer.weightCount { return true }
            let (outputs, inputs) = outputsFirst ? (ranks.first, ranks.second) : (ranks.second, ranks.first)
            context.noteNothingSaved(layer, ranks: "a core of \(outputs) × \(inputs) channels", count: count)
            return false
        }
        if !request.choice.needsSpectrum {
            guard saves(request.ranks(m: m, n: n, k: k, outputsFirst: outputsFirst, first: nil, second: nil)) else { return nil }
        }
        guard let floats = tensor.floats() else { throw EngineError(.technique, "its weights cannot be read") }
        let values = floats.map(Double.init)
        let hash = tensor.contentHash.description
        // Eigenvectors and singular values of both unfoldings.
        let start = try context.remembered("hosvd \(hash) \(m)x\(n)x\(k)") {
            let first = try SymmetricEigen(unfolding: values, rows: m, columns: n * k)
            let second = try SymmetricEigen(unfolding: Dense.swapFirstTwo(values, m, n, k), rows: n, columns: m * k)
            return [first, second].flatMap { eigen in [eigen.vectors.map(Float.init), eigen.values.map { Float(max($0, 0).squareRoot()) }] }
        }
        func spectrum(_ roots: [Float], _ rows: Int, _ columns: Int) -> Spectrum { Spectrum(Array(roots.prefix(min(rows, columns))), rows: rows, columns: columns) }
        let ranks = request.ranks(
            m: m, n: n, k: k, outputsFirst: outputsFirst, first: spectrum(start[1], m, n * k), second: spectrum(start[3], n, m * k))
        guard saves(ranks) else { return nil }
        let parts = try context.remembered("tucker \(hash) \(m)x\(n)x\(k) \(ranks) \(request.iterations)") {
            var found = try TuckerDecomposition.decompose(
                values, dims: (m, n, k), ranks: ranks, start: (start[0].map(Double.init), start[2].map(Double.init)), iterations: request.iterations,
                cancellation: context.cancellation)
            // A square factor only turns the core: it goes into it.
            if ranks.first == m {
                found.core = Dense.product(found.first, found.core, rows: m, inner: m, columns: found.ranks.second * k, transposedA: true)
                found.first = []
            }
            if ranks.second == n {
                let swapped = Dense.swapFirstTwo(found.core, found.ranks.first, n, k)
                found.core = Dense.swapFirstTwo(
                    Dense.product(found.second, swapped, rows: n, inner: n, columns: found.ranks.first * k, transposedA: true), n, found.ranks.first, k)
                found.second = []
            }
            return [found.first, found.second, found.core].map { $0.map(Float.init) }
        }
        return Factored(ranks: ranks, first: parts[0], second: parts[1], core: parts[2])
    }

    private static func links(_ layer: Layer, _ node: Node, _ factored: Factored) -> [FactorLink] {
        let dims = layer.weightShape
        let ones = [Int](repeating: 1, count: dims.count - 2)
        let outputsFirst = layer.kind == .conv
        let (inputs, outputs) = outputsFirst ? (factored.second, factored.first) : (factored.first, factored.second)
        let (inputRank, outputRank) = outputsFirst ? (factored.ranks.second, factored.ranks.first) : (factored.ranks.first, factored.ranks.second)
        let pointwise = ConvolutionForm.pointwise(axes: ones.count)
        var links: [FactorLink] = []
        if !inputs.isEmpty {
            links.append(FactorLink(suffix: "tucker_in", node: pointwise, operand: .weight(inputs, dims: [inputRank, inputs.count / inputRank] + ones)))
        }
        links.append(
            FactorLink(suffix: "tucker_core", node: node, operand: .weight(factored.core, dims: [factored.ranks.first, factored.ranks.second] + dims.dropFirst(2))))
        if !outputs.isEmpty {
            let count = outputs.count / outputRank
            links.append(
                FactorLink(
                    suffix: "tucker_out", node: pointwise,
                    operand: .weight(WeightMatrix.transpose(outputs, rows: outputRank, columns: count), dims: [count, outputRank] + ones)))
        }
        return links
    }

    public var forecastFacets: [any ForecastFacet.Type] { [Spectra.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            let (summary, layer) = (summaries[index], summaries[index].layer)
            let extents = FactorForecast.Extents(summary, states[index])
            let stored = extents.stored(layer)
            let (m, n, k) = (Int(stored.first), Int(stored.second), Int(extents.kernel))
            let ranks = Request(parameters.resolved(by: descriptor)).ranks(
                m: m, n: n, k: k, outputsFirst: layer.kind == .conv, first: summary.spectra[.first], second: summary.spectra[.second])
            let count = Self.count(m: m, n: n, k: k, ranks: ranks)
            guard count < m * n * k else { continue }
            let (p, q) = layer.kind == .conv ? ranks : (ranks.second, ranks.first)
            let (outputRank, inputRank) = (Double(p), Double(q))
            var macs: Double?
            if let out = extents.outputPositions {
                let into = extents.inputPositions ?? out
                // The core of a transposed convolution works at the input's positions.
                macs =
                    (layer.kind == .conv ? out : into) * inputRank * outputRank * extents.kernel
                    + (inputRank < extents.inputs ? into * extents.inputs * inputRank : 0) + (outputRank < extents.outputs ? out * extents.outputs * outputRank : 0)
            }
            let links = extents.outputPositions.map { out in
                let window = Array(layer.weightShape[2...])
                return [
                    LayerLink(inputs: extents.inputs, outputs: inputRank, window: window.map { _ in 1 }, positions: extents.inputPositions ?? out),
                    LayerLink(inputs: inputRank, outputs: outputRank, window: window, positions: out),
                    LayerLink(inputs: outputRank, outputs: extents.outputs, window: window.map { _ in 1 }, positions: out),
                ]
            }
            FactorForecast.apply(weights: Double(count), macs: macs, nodes: 3, links: layer.kind == .conv ? links ?? [] : [], to: &states[index], summary)
        }
    }
}
