import EngineSupport

/// A tensor as a chain of cores, ranks r₀ = 1, r₁, …, r_d = 1: T[i₁, …, i_d] ≈ G₁[i₁]·G₂[i₂]·…·G_d[i_d].
///
/// One sweep of singular value decompositions (TT-SVD): Oseledets, Tensor-Train Decomposition, SIAM J. Sci. Comput. 33 (2011),
/// algorithm 1. Its error is at most √(d − 1) times the best at these ranks.
package struct TensorTrain: Sendable {
    package var dims: [Int]
    /// r₁ … r_{d−1}.
    package var ranks: [Int]
    /// Core i: rᵢ₋₁ × dimsᵢ × rᵢ, row-major.
    package var cores: [[Float]]

    package init(dims: [Int], ranks: [Int], cores: [[Float]]) {
        self.dims = dims
        self.ranks = ranks
        self.cores = cores
    }

    /// Weights of a train.
    package static func count(dims: [Int], ranks: [Int]) -> Int {
        let all = [1] + ranks + [1]
        return dims.indices.reduce(0) { $0 + all[$1] * dims[$1] * all[$1 + 1] }
    }

    /// The largest ranks that mean anything: those of the unfoldings, and no rank may exceed its neighbor times a size.
    package static func feasible(dims: [Int], ranks: [Int]) -> [Int] {
        var result = ranks
        var before = 1
        for index in result.indices {
            result[index] = max(min(result[index], before * dims[index]), 1)
            before = result[index]
        }
        var after = 1
        for index in result.indices.reversed() {
            result[index] = min(result[index], after * dims[index + 1])
            after = result[index]
        }
        return result
    }

    /// - Parameter ranks: wanted ranks, one fewer than dimensions.
    package static func decompose(_ tensor: [Float], dims: [Int], ranks: [Int], cancellation: Cancellation) throws(EngineError) -> TensorTrain {
        let ranks = feasible(dims: dims, ranks: ranks)
        var rest = tensor
        var cores: [[Float]] = []
        var before = 1
        for (index, rank) in ranks.enumerated() {
            try cancellation.check()
            let rows = before * dims[index]
            let columns = rest.count / rows
            let svd = try Lapack.svd(array: rest, rows: rows, columns: columns)
            let k = svd.s.count
            let kept = min(rank, k)
            var core = [Float](repeating: 0, count: rows * kept)
            for row in 0..<rows { for r in 0..<kept { core[row * kept + r] = svd.u[row * k + r] } }
            var next = [Float](repeating: 0, count: kept * columns)
            for r in 0..<kept { for column in 0..<columns { next[r * columns + column] = svd.s[r] * svd.vt[r * columns + column] } }
            cores.append(core)
            rest = next
            before = kept
        }
        cores.append(rest)
        var result = TensorTrain(dims: dims, ranks: ranks, cores: cores)
        result.balance()
        return result
    }

    /// Gives either side of every bond the same lengths: ranges stay alike for a later quantizer.
    private mutating func balance() {
        for (bond, rank) in ranks.enumerated() {
            let (rows, columns) = (cores[bond].count / rank, cores[bond + 1].count / rank)
            for r in 0..<rank {
                let before = (0..<rows).reduce(0.0) { $0 + Double(cores[bond][$1 * rank + r]) * Double(cores[bond][$1 * rank + r]) }
                let after = (0..<columns).reduce(0.0) { $0 + Double(cores[bond + 1][r * columns + $1]) * Double(cores[bond + 1][r * columns + $1]) }
                guard before > 0, after > 0 else { continue }
                let scale = Float((after / before).squareRoot().squareRoot())
                for row in 0..<rows { cores[bond][row * rank + r] *= scale }
                for column in 0..<columns { cores[bond + 1][r * columns + column] /= scale }
            }
        }
    }

    /// Singular values of the unfoldings between dimensions i and i + 1, largest first.
    package static func spectra(_ tensor: [Float], dims: [Int]) throws(EngineError) -> [[Float]] {
        var result: [[Float]] = []
        var rows = 1
        for extent in dims.dropLast() {
            rows *= extent
            result.append(try Lapack.singularValues(array: tensor, rows: rows, columns: tensor.count / rows))
        }
        return result
    }
}
