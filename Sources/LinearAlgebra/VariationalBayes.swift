import Foundation

/// How many components of a noisy matrix are signal: the analytic solution of empirical variational Bayesian matrix
/// factorization, whose priors and noise variance come from the matrix itself.
///
/// Nakajima, Sugiyama, Babacan and Tomioka, Global Analytic Solution of Fully-observed Variational Bayesian Matrix Factorization, JMLR
/// 14 (2013), Theorem 2 and section 4.1.
package enum VariationalBayes {
    /// The estimated rank of a rows × columns matrix, 0…min(rows, columns).
    /// - Parameter singularValues: all min(rows, columns) of them, largest first.
    package static func rank(rows: Int, columns: Int, singularValues: [Float]) -> Int {
        let squares = singularValues.map { Double($0) * Double($0) }
        guard let noise = noiseVariance(rows: rows, columns: columns, squares: squares) else { return 0 }
        let limit = Double(max(rows, columns)) * noise * threshold(ratio(rows, columns))
        return squares.count { $0 > limit }
    }

    /// The noise variance at which the free energy is least; `nil` for a matrix that is zero, empty or not finite.
    ///
    /// The free energy has several minima: it is looked at on a logarithmic grid over the interval that must hold the least, and then
    /// narrowed about the best point by golden section.
    static func noiseVariance(rows: Int, columns: Int, squares: [Double]) -> Double? {
        let (small, large) = (min(rows, columns), max(rows, columns))
        let total = squares.reduce(0, +)
        guard small > 0, squares.count == small, total > 0, total.isFinite else { return nil }
        let alpha = ratio(rows, columns)
        let limit = threshold(alpha)
        let upper = total / Double(small * large)
        // At most this many components can be signal.
        let most = min(Int((Double(small) / (1 + alpha)).rounded(.up)) - 1, small - 1)
        let rest = squares[most...]
        var lower = max(squares[most] / (Double(large) * limit), rest.reduce(0, +) / Double(rest.count * large))
        // A matrix of exactly low rank has no noise; keep the logarithm finite.
        lower = max(lower, upper * 1e-12)
        guard lower < upper else { return upper }
        func energy(_ logarithm: Double) -> Double { freeEnergy(noise: exp(logarithm), squares: squares, large: large, alpha: alpha, limit: limit) }
        let (from, until, points) = (log(lower), log(upper), 100)
        let step = (until - from) / Double(points)
        var best = (place: from, energy: Double.infinity)
        for index in 0...points {
            let place = from + Double(index) * step
            let value = energy(place)
            if value < best.energy { best = (place, value) }
        }
        var (a, b) = (max(best.place - step, from), min(best.place + step, until))
        let golden = (5.0.squareRoot() - 1) / 2
        for _ in 0..<30 {
            let (c, d) = (b - golden * (b - a), a + golden * (b - a))
            if energy(c) < energy(d) { b = d } else { a = c }
        }
        let middle = (a + b) / 2
        return exp(energy(middle) <= best.energy ? middle : best.place)
    }

    /// The free energy at a noise variance, up to a constant (equation 37): Ω = Σ ψ(γ²/(M·σ²)).
    private static func freeEnergy(noise: Double, squares: [Double], large: Int, alpha: Double, limit: Double) -> Double {
        let scale = 1 / (Double(large) * noise)
        var sum = 0.0
        for square in squares {
            // Zero singular values would give −log 0; they are the same constant at every point but for log σ².
            let x = max(square * scale, 1e-300)
            sum += x - log(x)
            if x > limit {
                let t = tau(x, alpha)
                sum += log(t + 1) + alpha * log(t / alpha + 1) - t
            }
        }
        return sum
    }

    private static func tau(_ x: Double, _ alpha: Double) -> Double {
        let y = x - (1 + alpha)
        return 0.5 * (y + max(y * y - 4 * alpha, 0).squareRoot())
    }

    private static func ratio(_ rows: Int, _ columns: Int) -> Double { Double(min(rows, columns)) / Double(max(rows, columns, 1)) }

    /// x̲ = (1 + τ̲)(1 + α/τ̲), where τ̲ is the zero of Φ(τ) + Φ(τ/α) with Φ(z) = log(z + 1)/z − 1/2 (about 2.5129·√α).
    static func threshold(_ alpha: Double) -> Double {
        func phi(_ z: Double) -> Double { log1p(z) / z - 0.5 }
        // Both terms fall; the zero of Φ is at 2.5129, so that of the sum lies between α and 1 times it.
        var (low, high) = (2.5 * alpha, 2.52)
        for _ in 0..<80 {
            let middle = (low + high) / 2
            if phi(middle) + phi(middle / alpha) > 0 { low = middle } else { high = middle }
        }
        let tau = (low + high) / 2
        return (1 + tau) * (1 + alpha / tau)
    }
}
