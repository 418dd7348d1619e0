import CLapack
import EngineSupport
import Foundation

/// A tensor first × second × spatial axes as a sum of `rank` outer products of vectors (CP, also CANDECOMP or PARAFAC), fitted by
/// alternating least squares. Kolda and Bader, Tensor Decompositions and Applications, SIAM Review 51 (2009), section 3.4.
package struct CanonicalPolyadic: Sendable {
    var rank: Int
    /// One matrix for each axis, size × rank, row-major; the lengths of each component's vectors are alike.
    package var factors: [[Double]]
    /// ‖T − approximation‖ / ‖T‖, Frobenius.
    var relativeError: Double

    /// Two starts are tried for some rounds and the better is carried on: leading singular vectors of every unfolding filled up with random
    /// numbers, and the largest terms of the singular value decompositions at each kernel position.
    ///
    /// - Parameters:
    ///   - dims: at least three dimensions: first, second, spatial axes.
    ///   - iterations: rounds of alternating least squares at most.
    package static func decompose(
        _ tensor: [Double], dims: [Int], rank: Int, iterations: Int, seed: UInt64, cancellation: Cancellation
    ) throws(EngineError) -> CanonicalPolyadic {
        let problem = AlternatingLeastSquares(tensor, dims: dims, rank: rank)
        let trial = min(iterations, 20)
        var best = try problem.run(from: problem.singularStart(seed: seed), iterations: trial, cancellation: cancellation)
        let other = try problem.run(from: problem.kernelStart(), iterations: trial, cancellation: cancellation)
        if other.relativeError < best.relativeError { best = other }
        guard iterations > trial else { return best }
        let carried = try problem.run(from: best.factors, iterations: iterations - trial, cancellation: cancellation)
        return carried.relativeError < best.relativeError ? carried : best
    }
}

private struct AlternatingLeastSquares {
    let rank: Int
    let dims: [Int]
    /// Dimensions of the first two axes and the product of the others.
    let m: Int
    let n: Int
    let k: Int
    /// first × (second·rest) and second × (first·rest).
    let tensor: [Double]
    let swapped: [Double]
    let norm: Double

    init(_ tensor: [Double], dims: [Int], rank: Int) {
        self.tensor = tensor
        self.dims = dims
        self.rank = rank
        (m, n, k) = (dims[0], dims[1], dims[2...].reduce(1, *))
        swapped = Dense.swapFirstTwo(tensor, m, n, k)
        norm = tensor.reduce(0) { $0 + $1 * $1 }
    }

    func run(from start: [[Double]], iterations: Int, cancellation: Cancellation) throws(EngineError) -> CanonicalPolyadic {
        var factors = start
        var error = Double.infinity
        for _ in 0..<max(iterations, 1) {
            try cancellation.check()
            var kernel = spatialProduct(factors)
            factors[0] = try solve(Dense.product(tensor, khatriRao(factors[1], n, kernel, k), rows: m, inner: n * k, columns: rank), m, factors, but: 0)
            factors[1] = try solve(Dense.product(swapped, khatriRao(factors[0], m, kernel, k), rows: n, inner: m * k, columns: rank), n, factors, but: 1)
            // The tensor seen through the first two factors: rest × rank.
            let seen = spatialView(factors)
            var inner = 0.0
            for axis in 2..<dims.count {
                let target = spatialTarget(seen, factors, axis)
                factors[axis] = try solve(target, dims[axis], factors, but: axis)
                inner = zip(target, factors[axis]).reduce(0) { $0 + $1.0 * $1.1 }
            }
            kernel = gram(factors, but: nil)
            let squared = max(norm - 2 * inner + kernel.reduce(0, +), 0)
            let now = norm > 0 ? (squared / norm).squareRoot() : 0
            balance(&factors)
            let done = abs(error - now) <= 1e-6 * max(now, 1e-6)
            error = now
            if done { break }
        }
        return CanonicalPolyadic(rank: rank, factors: factors, relativeError: error)
    }

    /// The Khatri-Rao product of matrices a × rank and b × rank: (a·b) × rank.
    private func khatriRao(_ x: [Double], _ a: Int, _ y: [Double], _ b: Int) -> [Double] {
        [Double](unsafeUninitializedCapacity: a * b * rank) { out, initialized in
            for i in 0..<a {
                for j in 0..<b {
                    let place = (i * b + j) * rank
                    for r in 0..<rank { out.initializeElement(at: place + r, to: x[i * rank + r] * y[j * rank + r]) }
                }
            }
            initialized = a * b * rank
        }
    }

    private func spatialProduct(_ factors: [[Double]]) -> [Double] {
        var (result, extent) = (factors[2], dims[2])
        for axis in 3..<max(dims.count, 3) {
            result = khatriRao(result, extent, factors[axis], dims[axis])
            extent *= dims[axis]
        }
        return result
    }

    private func spatialView(_ factors: [[Double]]) -> [Double] {
        // (second·rest) × rank
        let through = Dense.product(tensor, factors[0], rows: n * k, inner: m, columns: rank, transposedA: true)
        var result = [Double](repeating: 0, count: k * rank)
        for j in 0..<n {
            for position in 0..<k {
                for r in 0..<rank { result[position * rank + r] += through[(j * k + position) * rank + r] * factors[1][j * rank + r] }
            }
        }
        return result
    }

    private func spatialTarget(_ seen: [Double], _ factors: [[Double]], _ axis: Int) -> [Double] {
        var result = [Double](repeating: 0, count: dims[axis] * rank)
        for position in 0..<k {
            var (left, own) = (position, 0)
            var weight = (0..<rank).map { seen[position * rank + $0] }
            for other in (2..<dims.count).reversed() {
                let place = left % dims[other]
                left /= dims[other]
                if other == axis {
                    own = place
                } else {
                    for r in 0..<rank { weight[r] *= factors[other][place * rank + r] }
                }
            }
            for r in 0..<rank { result[own * rank + r] += weight[r] }
        }
        return result
    }

    /// Element by element the product of all factors' Gram matrices, but one's: rank × rank.
    private func gram(_ factors: [[Double]], but axis: Int?) -> [Double] {
        var result = [Double](repeating: 1, count: rank * rank)
        for (index, factor) in factors.enumerated() where index != axis {
            let own = Dense.product(factor, factor, rows: rank, inner: dims[index], columns: rank, transposedA: true)
            for place in result.indices { result[place] *= own[place] }
        }
        return result
    }

    /// X with X·V = target for the Gram matrix V of the other factors, with a trace of regularization where components have become parallel.
    private func solve(_ target: [Double], _ rows: Int, _ factors: [[Double]], but axis: Int) throws(EngineError) -> [Double] {
        let v = gram(factors, but: axis)
        let mean = (0..<rank).reduce(0.0) { $0 + v[$1 * rank + $1] } / Double(rank)
        guard mean.isFinite else { throw EngineError(.technique, "its weights are not finite") }
        guard mean > 0 else { return [Double](repeating: 0, count: rows * rank) }
        var share = 1e-10
        for _ in 0..<6 {
            var matrix = v
            for index in 0..<rank { matrix[index * rank + index] += share * mean }
            var result = target
            var (size, count, info) = (Int32(rank), Int32(rows), Int32(0))
            dpotrf_("L", &size, &matrix, &size, &info)
            // Row-major rows × rank is column-major rank × rows: one right-hand side for each row.
            if info == 0 { dpotrs_("L", &size, &count, matrix, &size, &result, &size, &info) }
            if info == 0 { return result }
            share *= 100
        }
        throw EngineError(.technique, "alternating least squares did not converge")
    }

    /// Gives the vectors of each component the same length.
    private func balance(_ factors: inout [[Double]]) {
        for r in 0..<rank {
            let lengths = factors.indices.map { axis in (0..<dims[axis]).reduce(0.0) { $0 + factors[axis][$1 * rank + r] * factors[axis][$1 * rank + r] }.squareRoot() }
            guard lengths.allSatisfy({ $0 > 0 && $0.isFinite }) else { continue }
            let common = exp(lengths.reduce(0) { $0 + log($1) } / Double(lengths.count))
            for axis in factors.indices { for row in 0..<dims[axis] { factors[axis][row * rank + r] *= common / lengths[axis] } }
        }
    }

    func singularStart(seed: UInt64) throws(EngineError) -> [[Double]] {
        var generator = SeededGenerator(seed: seed)
        var result: [[Double]] = []
        for axis in dims.indices {
            let extent = dims[axis]
            let before = dims[..<axis].reduce(1, *)
            let unfolded = Dense.swapFirstTwo(tensor, before, extent, dims[(axis + 1)...].reduce(1, *))
            let eigen = try SymmetricEigen(unfolding: unfolded, rows: extent, columns: tensor.count / extent)
            var factor = [Double](repeating: 0, count: extent * rank)
            for row in 0..<extent {
                for r in 0..<rank { factor[row * rank + r] = r < extent ? eigen.vectors[r * extent + row] : Double(generator.next() >> 11) * 0x1p-52 - 1 }
            }
            result.append(factor)
        }
        return result
    }

    func kernelStart() throws(EngineError) -> [[Double]] {
        // The shorter of the two axes carries the eigenvectors.
        let flipped = m > n
        let (short, long) = flipped ? (n, m) : (m, n)
        let source = flipped ? swapped : tensor
        var terms: [(strength: Double, position: Int, short: [Double], long: [Double])] = []
        for position in 0..<k {
            let slice = (0..<(short * long)).map { source[$0 * k + position] }
            let eigen = try SymmetricEigen(unfolding: slice, rows: short, columns: long)
            let projected = Dense.product(eigen.vectors, slice, rows: short, inner: short, columns: long)
            for index in 0..<short {
                terms.append(
                    (eigen.values[index], position, Array(eigen.vectors[(index * short)..<((index + 1) * short)]), Array(projected[(index * long)..<((index + 1) * long)])))
            }
        }
        let order = terms.indices.sorted { (-terms[$0].strength, $0) < (-terms[$1].strength, $1) }
        var factors = dims.map { [Double](repeating: 0, count: $0 * rank) }
        for r in 0..<rank {
            // More components than there are terms: the first come again, and least squares tells them apart.
            let term = terms[order[r % order.count]]
            for row in 0..<short { factors[flipped ? 1 : 0][row * rank + r] = term.short[row] }
            for row in 0..<long { factors[flipped ? 0 : 1][row * rank + r] = term.long[row] }
            var left = term.position
            for axis in (2..<dims.count).reversed() {
                factors[axis][left % dims[axis] * rank + r] = 1
                left /= dims[axis]
            }
        }
        return factors
    }
}
