import ModelGraph

/// Singular values of layers' weights, prepared as far as that takes little time.
enum SpectrumPreparation {
    /// Work that is done at most, as Σ m·n·min(m, n) of the matrices: a fraction of a second. The cheapest come first.
    static let budget = 400_000_000.0

    /// By the layers' positions.
    /// - Throws: `EngineError.cancelled`.
    static func spectra(of layers: [Layer], in model: Model, cancellation: Cancellation) throws -> [(index: Int, spectra: [WeightUnfolding: Spectrum])] {
        struct Job {
            var index: Int
            var unfolding: WeightUnfolding
            var rows: Int
            var columns: Int
            var work: Double { Double(rows) * Double(columns) * Double(min(rows, columns)) }
        }
        var jobs: [Job] = []
        for (index, layer) in layers.enumerated() where layer.isFloat {
            for unfolding in WeightUnfolding.allCases {
                guard let (rows, columns) = unfolding.shape(of: layer), Lapack.canDecompose(rows: rows, columns: columns) else { continue }
                jobs.append(Job(index: index, unfolding: unfolding, rows: rows, columns: columns))
            }
        }
        var spent = 0.0
        let affordable = jobs.enumerated().sorted { ($0.element.work, $0.offset) < ($1.element.work, $1.offset) }.map(\.element).prefix { job in
            spent += job.work
            return spent <= budget
        }
        let found = try Parallel.map(Array(affordable)) { job -> Spectrum? in
            try cancellation.check()
            let layer = layers[job.index]
            guard let tensor = model.initializer(layer.weight, from: layer.path)?.tensor else { return nil }
            let values = tensor.withFloats { weights -> [Float] in
                guard weights.count == job.rows * job.columns else { return [] }
                return (try? Lapack.singularValues(array: job.unfolding.matrix(weights, dims: layer.weightShape), rows: job.rows, columns: job.columns)) ?? []
            } ?? []
            return values.isEmpty ? nil : Spectrum(values, rows: job.rows, columns: job.columns)
        }
        var result: [Int: [WeightUnfolding: Spectrum]] = [:]
        for (job, spectrum) in zip(affordable, found) { if let spectrum { result[job.index, default: [:]][job.unfolding] = spectrum } }
        return result.sorted { $0.key < $1.key }.map { (index: $0.key, spectra: $0.value) }
    }
}
