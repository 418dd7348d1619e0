import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// Singular values of a layer's weight read as a matrix, by the way it is read; those that would take long to compute are missing.
struct Spectra: ForecastFacet {
    private(set) var byUnfolding: [WeightUnfolding: Spectrum]

    /// What is prepared together, and the work that is done at most, as Σ m·n·min(m, n) of the matrices. The cheapest come first.
    struct Selection {
        var unfoldings: [WeightUnfolding]
        var budget: Double

        /// What factorizations of matrices and convolutions ask for: a fraction of a second.
        static let matrices = Selection(unfoldings: [.first, .second, .spatial], budget: 400_000_000)
        /// Bonds of dense layers' trains: a few seconds, for which nothing should wait.
        static let trains = Selection(
            unfoldings: (2...4).flatMap { cores in (0..<cores - 1).map { .train(cores: cores, bond: $0) } }, budget: 3_000_000_000)
    }

    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) throws { try add(.matrices, to: &summaries, of: model) }

    fileprivate static func add(_ selection: Selection, to summaries: inout [LayerSummary], of model: PreparedModel) throws {
        for (index, found) in try spectra(selection, of: model.layers, in: model.model, cancellation: model.cancellation) {
            summaries[index].facets[Self.self] = Self(byUnfolding: summaries[index].spectra.merging(found) { $1 })
        }
    }

    /// By the layers' positions.
    /// - Throws: `EngineError.cancelled`.
    private static func spectra(
        _ selection: Selection, of layers: [Layer], in model: Model, cancellation: Cancellation
    ) throws -> [(index: Int, spectra: [WeightUnfolding: Spectrum])] {
        struct Job {
            var index: Int
            var unfolding: WeightUnfolding
            var rows: Int
            var columns: Int
            var work: Double { Double(rows) * Double(columns) * Double(min(rows, columns)) }
        }
        var jobs: [Job] = []
        for (index, layer) in layers.enumerated() where layer.isFloat {
            for unfolding in selection.unfoldings {
                guard let (rows, columns) = unfolding.shape(of: layer), Lapack.canDecompose(rows: rows, columns: columns) else { continue }
                jobs.append(Job(index: index, unfolding: unfolding, rows: rows, columns: columns))
            }
        }
        var spent = 0.0
        let affordable = jobs.enumerated().sorted { ($0.element.work, $0.offset) < ($1.element.work, $1.offset) }.map(\.element).prefix { job in
            spent += job.work
            return spent <= selection.budget
        }
        let found = try Parallel.map(Array(affordable)) { job -> Spectrum? in
            try cancellation.check()
            let layer = layers[job.index]
            guard let tensor = model.initializer(layer.weight, from: layer.path)?.tensor else { return nil }
            let values =
                tensor.withFloats { weights -> [Float] in
                    guard weights.count == job.rows * job.columns else { return [] }
                    return (try? Lapack.singularValues(array: job.unfolding.matrix(weights, of: layer), rows: job.rows, columns: job.columns)) ?? []
                } ?? []
            return values.isEmpty ? nil : Spectrum(values, rows: job.rows, columns: job.columns)
        }
        var result: [Int: [WeightUnfolding: Spectrum]] = [:]
        for (job, spectrum) in zip(affordable, found) { if let spectrum { result[job.index, default: [:]][job.unfolding] = spectrum } }
        return result.sorted { $0.key < $1.key }.map { (index: $0.key, spectra: $0.value) }
    }
}

/// Bonds of dense layers' trains, among the `Spectra`.
enum TrainSpectra: ForecastFacet {
    static var isSlow: Bool { true }
    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) throws { try Spectra.add(.trains, to: &summaries, of: model) }
}

extension LayerSummary {
    /// Spectra of the weight, as far as they are prepared.
    var spectra: [WeightUnfolding: Spectrum] { facets[Spectra.self]?.byUnfolding ?? [:] }
}
