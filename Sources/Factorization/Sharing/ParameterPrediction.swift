import CLapack
import EngineSupport
import Foundation
import LinearAlgebra
import ModelGraph
import Techniques

/// Keeps a part of each output's weights and predicts the others from them.
public struct ParameterPrediction: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "parameter-prediction", title: "Parameter prediction", family: .sharing,
        summary: "Keeps a part of each filter's weights and predicts the others, by kernel ridge regression over their positions",
        details: """
            Weights that read neighboring inputs are similar. Of each output's weights some are kept, spread as evenly as possible, and the others are \
            predicted from them by ridge regression with a fixed kernel, the same for all outputs. Only coefficients for the kept weights are stored; \
            the graph multiplies them with the kernel while loading. The kernel is a bell curve over the distance of positions: in a convolution's \
            kernel, or in the image that is flattened before a dense layer. Layers whose inputs have no positions are left alone, unless the kernel is \
            covariance: how the inputs vary together on calibration data. That matrix must be stored as well, so it pays only when fewer weights are \
            kept.

            It pays where weights are smooth, as in first layers that read images; small kernels have little to predict. Fitting to all weights \
            instead of the kept ones lowers the squared error at the same size. MACs and speed stay the same.
            """,
        source: "Denil, Shakibi, Dinh, Ranzato and de Freitas, Predicting Parameters in Deep Learning, NIPS 2013, sections 2 and 3",
        parameters: [
            ParameterDescriptor(
                "fraction", title: "Kept", domain: .real(0.02...0.95, step: 0.01), default: .real(0.5), help: "Share of each output's weights that is kept"),
            ParameterDescriptor(
                "kernel", title: "Kernel",
                domain: .choice([
                    .init("position", "bell curve over the distance of input positions"),
                    .init("covariance", "how inputs vary together on calibration data", needsCalibration: true),
                ]), default: .choice("position"), help: "What decides which weights are similar"),
            ParameterDescriptor(
                "width", title: "Kernel width", domain: .real(0.2...8, step: 0.1), default: .real(1), unit: "positions",
                help: "Standard deviation of the bell curve"),
            ParameterDescriptor(
                "ridge", title: "Ridge", domain: .real(0.0001...1, step: 0.0001), default: .real(0.01), help: "Added to the kernel's diagonal, which is 1"),
            ParameterDescriptor(
                "fit", title: "Fitted to",
                domain: .choice([.init("all", "all weights, by least squares"), .init("kept", "the kept weights, as in the paper")]), default: .choice("all"),
                help: "Weights to which the coefficients are fitted"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples at most, with kernel covariance"),
        ],
        requires: [.floatWeights], produces: [.sharedWeights, .loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let index = GraphIndex(model.graph)
        return layers.map { layer in
            if let reason = ComputedWeightWriter.refusal(for: layer) { return reason }
            guard WeightMatrix.shape(of: layer) != nil else { return "\(layer.opType) is not one product with its inputs" }
            if InputPositions(of: layer, in: model, index: index, shapes: shapes) != nil { return nil }
            return InputWindows.refusal(for: layer, in: model).map { "its inputs have no positions; for their covariance: \($0)" }
        }
    }

    /// Coefficients and, multiplied with them, the dictionary.
    private struct Prediction: Sendable {
        /// rows × rank.
        var coefficients: [Float]
        var rows: Int
        var rank: Int
        /// rank × columns.
        var dictionary: [Float]
        var columns: Int
        /// What the dictionary is computed from in the graph; `nil` if it is stored.
        var positions: (kept: [Int], all: InputPositions, width: Double)?
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var writer = ComputedWeightWriter(model, targets: targets)
        let jobs = writer.jobs(context).filter { $0.tensor.name == $0.layer.weight }
        let source = model
        let index = GraphIndex(model.graph)
        let looked = jobs.filter { $0.parameters.choice("kernel") == "covariance" && InputWindows.refusal(for: $0.layer, in: source) == nil }
        let limit = looked.map { $0.parameters.integer("samples") }.max() ?? 0
        let inputs = looked.isEmpty ? [:] : try InputStatistics.remembered(of: model, layers: looked.map(\.layer), gram: true, limit: limit, context: context)
        let made = try Parallel.map(jobs) { job -> Prediction? in
            try context.cancellation.check()
            guard let matrix = WeightMatrix(job.tensor, of: job.layer) else { return nil }
            let made: Prediction?
            if job.parameters.choice("kernel") == "covariance" {
                made = try inputs[job.layer.id].flatMap { try Self.byCovariance(matrix, $0, job.parameters) }
            } else {
                made = try InputPositions(of: job.layer, in: source, index: index, shapes: context.shapes).flatMap { try Self.byPosition(matrix, $0, job.parameters) }
            }
            guard let made else {
                context.notes.add("\(job.layer.id): neither positions nor a covariance of its inputs are known; left as it is")
                return nil
            }
            let stored = made.coefficients.count + (made.positions == nil ? made.dictionary.count : 2 * (made.rank + made.columns))
            guard stored * 4 + Self.graphBytes < job.tensor.count * 4 else {
                context.notes.add("\(job.layer.id): coefficients would take no less than its weights; left as it is")
                return nil
            }
            return made
        }
        for (number, job) in jobs.enumerated() {
            guard let prediction = made[number] else { continue }
            try context.cancellation.check()
            writer.replace(job) { editor, path in
                let coefficients = editor.add(
                    Tensor(name: "", floats: prediction.coefficients, dims: [prediction.rows, prediction.rank]), "\(job.place.name)/coefficients", at: path)
                let product = editor.front("MatMul", [coefficients, Self.dictionary(prediction, job, &editor, at: path)], at: path)
                var value = editor.frontCast(product, to: job.tensor.elementType, at: path)
                if job.layer.kind != .conv, job.layer.outputAxis == 1 {
                    value = editor.frontReshape(value, [job.tensor.dims[1], job.tensor.dims[0]], at: path)
                    value = editor.front("Transpose", [value], at: path, [Attribute("perm", .integers([1, 0]))])
                }
                return editor.frontReshape(value, job.tensor.dims, at: path)
            }
            context.progress(Double(number + 1) / Double(jobs.count), "predicting \(job.layer.id)")
        }
        model = writer.finish()
    }

    public var forecastFacets: [any ForecastFacet.Type] { [InputPositions.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let parameters = values.resolved(by: descriptor)
            let layer = summaries[index].layer
            guard let shape = WeightMatrix.shape(of: layer) else { continue }
            let state = states[index]
            let fraction = parameters.real("fraction")
            var kept = state.weightCount
            var constants = 0.0
            if parameters.choice("kernel") == "covariance" {
                guard shape.groups == 1 else { continue }
                let rank = Double(Self.rank(shape.columns, fraction))
                kept = rank * (state.weightCount / Double(max(shape.columns, 1)) + Double(shape.columns))
            } else if let positions = summaries[index].facets[InputPositions.self] {
                kept = state.weightCount * Double(Self.rank(positions.count, fraction)) / Double(positions.count)
                constants = Double(64 * positions.count)
            } else {
                continue
            }
            let graph = constants + Double(8 * Self.graphBytes)
            guard kept * state.weightBits + graph < state.weightCount * state.weightBits else { continue }
            states[index].weightCount = kept
            states[index].density = 1
            states[index].distinctValues = nil
            states[index].valueEntropy = nil
            states[index].overheadBits += graph
        }
    }

    private static let graphBytes = 16 * ComputedWeightWriter.nodeBytes

    private static func rank(_ columns: Int, _ fraction: Double) -> Int { max(min(Int((Double(columns) * fraction).rounded()), columns), 1) }

    // MARK: The dictionary

    private static func dictionary(_ prediction: Prediction, _ job: WeightJob, _ editor: inout GraphEditor, at path: GraphPath) -> String {
        guard let (kept, all, width) = prediction.positions else {
            let tensor = Tensor(name: "", floats: prediction.dictionary, dims: [prediction.rank, prediction.columns])
            return editor.constant(tensor, at: path)
        }
        let places = all.coordinates
        func coordinates(_ values: [Int], _ dims: [Int], _ editor: inout GraphEditor) -> String {
            let stored = editor.constant(Tensor(name: "", int32s: values.map(Int32.init), dims: dims), at: path)
            return editor.frontCast(stored, from: .int32, to: .float32, at: path)
        }
        func squares(_ of: [Int], _ editor: inout GraphEditor) -> String {
            let some = coordinates(kept.map { of[$0] }, [kept.count, 1], &editor)
            let every = coordinates(of, [1, of.count], &editor)
            let difference = editor.front("Sub", [some, every], at: path)
            return editor.front("Mul", [difference, difference], at: path)
        }
        var distance = squares(places.map(\.column), &editor)
        if all.height > 1 { distance = editor.front("Add", [distance, squares(places.map(\.row), &editor)], at: path) }
        let scale = editor.number(Float(-1 / (2 * width * width)), at: path)
        return editor.front("Exp", [editor.front("Mul", [distance, scale], at: path)], at: path)
    }

    /// One dictionary over the positions of a channel serves all channels.
    private static func byPosition(_ matrix: WeightMatrix, _ positions: InputPositions, _ parameters: ParameterValues) throws -> Prediction? {
        let p = positions.count
        guard matrix.columns % p == 0, p <= 4096 else { return nil }
        let kernel = positions.kernel(width: parameters.real("width"))
        let kept = spread(kernel, count: p, keeping: rank(p, parameters.real("fraction")))
        // Small dictionaries are stored: that takes less than computing them.
        let isStored = kept.count * p <= 2 * (kept.count + p) + 256
        return try fit(
            matrix.values, rows: matrix.values.count / p, kernel, p, kept, parameters, dictionary: kept.flatMap { kernel[($0 * p)..<(($0 + 1) * p)] },
            positions: isStored ? nil : (kept, positions, parameters.real("width")))
    }

    /// The dictionary is what linear regression tells of each input from the kept ones (Denil et al., section 3.2).
    private static func byCovariance(_ matrix: WeightMatrix, _ inputs: LayerInputs, _ parameters: ParameterValues) throws -> Prediction? {
        let n = matrix.columns
        guard matrix.groups == 1, inputs.gram.count == n * n, n <= 4096 else { return nil }
        let mean = (0..<n).reduce(0.0) { $0 + Double(inputs.gram[$1 * n + $1]) } / Double(n)
        guard mean > 0 else { return nil }
        let kernel = inputs.gram.map { Double($0) / mean }
        let kept = spread(kernel, count: n, keeping: rank(n, parameters.real("fraction")))
        guard let inverse = inverse(kernel, n, kept, parameters.real("ridge")) else { return nil }
        let rows = kept.flatMap { kernel[($0 * n)..<(($0 + 1) * n)] }
        let dictionary = PositiveDefinite.product(inverse, rows, rows: kept.count, inner: kept.count, columns: n)
        var plain = parameters
        if parameters.choice("fit") == "kept" {
            // The dictionary holds the inverse already.
            let values = (0..<matrix.rows).flatMap { row in kept.map { matrix.values[row * n + $0] } }
            return Prediction(coefficients: values, rows: matrix.rows, rank: kept.count, dictionary: dictionary.map { Float($0) }, columns: n, positions: nil)
        }
        plain["ridge"] = .real(1e-6)
        return try fit(matrix.values, rows: matrix.rows, kernel, n, kept, plain, dictionary: dictionary, positions: nil)
    }

    /// Coefficients of every row for a dictionary: (K + λ)⁻¹ from the kept weights, or the least-squares fit to all of them.
    private static func fit(
        _ values: [Float], rows: Int, _ kernel: [Double], _ columns: Int, _ kept: [Int], _ parameters: ParameterValues, dictionary: [Double],
        positions: (kept: [Int], all: InputPositions, width: Double)?
    ) throws -> Prediction? {
        let r = kept.count
        let ridge = parameters.real("ridge")
        let weights = values.map(Double.init)
        let coefficients: [Double]
        if parameters.choice("fit") == "kept" {
            guard let inverse = inverse(kernel, columns, kept, ridge) else { return nil }
            let some = (0..<rows).flatMap { row in kept.map { weights[row * columns + $0] } }
            coefficients = PositiveDefinite.product(some, inverse, rows: rows, inner: r, columns: r)
        } else {
            let transposed = (0..<columns).flatMap { column in (0..<r).map { dictionary[$0 * columns + column] } }
            let squares = PositiveDefinite.product(dictionary, transposed, rows: r, inner: columns, columns: r)
            // A hundredth of the ridge: the sums of squares are larger than the kernel, and all weights hold the fit.
            guard let inverse = inverse(squares, r, Array(0..<r), ridge / 100) else { return nil }
            let moments = PositiveDefinite.product(weights, transposed, rows: rows, inner: columns, columns: r)
            coefficients = PositiveDefinite.product(moments, inverse, rows: rows, inner: r, columns: r)
        }
        return Prediction(
            coefficients: coefficients.map { Float($0) }, rows: rows, rank: r, dictionary: dictionary.map { Float($0) }, columns: columns, positions: positions)
    }

    /// The inverse of some rows and columns of a symmetric matrix, with a ridge on the diagonal; `nil` if there is none.
    private static func inverse(_ matrix: [Double], _ n: Int, _ kept: [Int], _ ridge: Double) -> [Double]? {
        Lapack.useOneThread()
        let r = kept.count
        var part = kept.flatMap { row in kept.map { matrix[row * n + $0] } }
        for index in 0..<r { part[index * r + index] += ridge }
        var (size, info) = (Int32(r), Int32(0))
        dpotrf_("L", &size, &part, &size, &info)
        guard info == 0 else { return nil }
        dpotri_("L", &size, &part, &size, &info)
        guard info == 0 else { return nil }
        // LAPACK's lower triangle is the upper one of rows.
        for row in 0..<r { for column in 0..<row { part[row * r + column] = part[column * r + row] } }
        return part
    }

    /// Positions to keep, ascending: each next one is that which the kernel predicts worst from those before (pivoted
    /// Cholesky factorization), the first of equals.
    static func spread(_ kernel: [Double], count n: Int, keeping rank: Int) -> [Int] {
        var residual = (0..<n).map { kernel[$0 * n + $0] }
        var factors: [[Double]] = []
        var kept: [Int] = []
        var isKept = [Bool](repeating: false, count: n)
        while kept.count < rank {
            var next = -1
            for index in 0..<n where !isKept[index] && (next < 0 || residual[index] > residual[next] + 1e-12) { next = index }
            guard next >= 0 else { break }
            kept.append(next)
            isKept[next] = true
            let root = max(residual[next], 1e-12).squareRoot()
            var column = Array(kernel[(next * n)..<((next + 1) * n)])
            for factor in factors {
                let weight = factor[next]
                guard weight != 0 else { continue }
                for index in 0..<n { column[index] -= weight * factor[index] }
            }
            for index in 0..<n {
                column[index] /= root
                residual[index] = isKept[index] ? 0 : max(residual[index] - column[index] * column[index], 0)
            }
            // Past the numbers' precision what is left says nothing.
            if root > 1e-5 { factors.append(column) }
        }
        return kept.sorted()
    }
}
