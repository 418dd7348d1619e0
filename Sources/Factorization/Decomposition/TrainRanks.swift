import Foundation
import LinearAlgebra

/// Chooses the ranks of a tensor train.
struct TrainRanks {
    /// Dimensions of the tensor.
    var dims: [Int]
    /// Those of the unfoldings between neighbors, where all are known; empty otherwise.
    var spectra: [Spectrum]

    init(dims: [Int], spectra: [Spectrum]) {
        self.dims = dims
        self.spectra = spectra
    }

    /// - Parameter singularValues: of the unfoldings between neighbors, or empty.
    init(dims: [Int], singularValues: [[Float]]) {
        var rows = 1
        self.init(
            dims: dims,
            spectra: zip(dims, singularValues).map { extent, values in
                rows *= extent
                return Spectrum(values, rows: rows, columns: dims.reduce(1, *) / rows)
            })
    }

    private var total: Int { dims.reduce(1, *) }

    /// One rank for each bond. For `ratio` the largest ranks that share the same loss of energy and fit; without spectra, ranks all alike.
    func ranks(_ choice: RankChoice) -> [Int] {
        switch choice.mode {
        case .rank: return alike(choice.rank)
        case .ratio: return within(Int(choice.ratio * Double(total)))
        case .energy: return spectra.isEmpty ? within(Int(choice.energy * Double(total))) : keeping(choice.energy)
        case .vbmf:
            guard !spectra.isEmpty else { return alike(Int.max / 4) }
            var rows = 1
            return TensorTrain.feasible(
                dims: dims,
                ranks: spectra.enumerated().map { bond, spectrum in
                    rows *= dims[bond]
                    return choice.rank(rows: rows, columns: total / rows, spectrum: spectrum)
                })
        }
    }

    private func alike(_ rank: Int) -> [Int] { TensorTrain.feasible(dims: dims, ranks: [Int](repeating: rank, count: dims.count - 1)) }

    private func keeping(_ share: Double) -> [Int] {
        TensorTrain.feasible(dims: dims, ranks: spectra.map { RankChoice.rank(keeping: share, of: $0.values) ?? 1 })
    }

    private func within(_ budget: Int) -> [Int] {
        func fits(_ ranks: [Int]) -> Bool { TensorTrain.count(dims: dims, ranks: ranks) <= budget }
        guard !spectra.isEmpty else {
            var (low, high) = (1, total)
            while low < high {
                let middle = (low + high + 1) / 2
                if fits(alike(middle)) { low = middle } else { high = middle - 1 }
            }
            return alike(low)
        }
        // Kept energy grows towards 1 in ever smaller steps, so it is the lost share that is halved, on a logarithmic scale.
        var (low, high) = (0.0, 40.0)
        for _ in 0..<50 {
            let middle = (low + high) / 2
            if fits(keeping(1 - exp2(-middle))) { low = middle } else { high = middle }
        }
        return keeping(1 - exp2(-low))
    }
}
