import LinearAlgebra
import Techniques

/// How much of a weight its factors keep.
package struct RankChoice: Hashable, Sendable {
    enum Mode: String, Sendable, CaseIterable {
        case ratio, energy, rank, vbmf
    }

    var mode: Mode
    /// Singular values kept.
    var rank: Int
    /// Share of the sum of squared singular values kept.
    var energy: Double
    /// Parameters of all factors over parameters of the weight.
    var ratio: Double
    /// Share of the way back from the rank of variational Bayes to the full one.
    var weakening: Double

    init(mode: Mode, rank: Int = 16, energy: Double = 0.9, ratio: Double = 0.5, weakening: Double = 0) {
        self.mode = mode
        self.rank = rank
        self.energy = energy
        self.ratio = ratio
        self.weakening = weakening
    }

    /// What resolved parameters say; those that a technique does not have keep the values above.
    init(_ parameters: ParameterValues) {
        self.init(mode: Mode(rawValue: parameters.choice("mode")) ?? .ratio)
        if parameters["rank"] != nil { rank = parameters.integer("rank") }
        if parameters["energy"] != nil { energy = parameters.real("energy") }
        if parameters["ratio"] != nil { ratio = parameters.real("ratio") }
        if parameters["weakening"] != nil { weakening = parameters.real("weakening") }
    }

    /// Whether the rank depends on the weights.
    var needsSpectrum: Bool { mode == .energy || mode == .vbmf }

    /// The rank kept of an m × n matrix, 1…min(m, n).
    /// - Parameters:
    ///   - singularValues: largest first. Needed for `energy` and `vbmf` only; while they are unknown (empty) a flat spectrum is
    ///     assumed, which bounds the rank from above.
    ///   - bayesian: the rank that `VariationalBayes` finds, where it is known already.
    func rank(rows: Int, columns: Int, singularValues: [Float], bayesian: Int? = nil) -> Int {
        let full = min(rows, columns)
        let wanted: Int
        switch mode {
        case .rank:
            wanted = rank
        case .ratio:
            wanted = Int((ratio * Double(rows) * Double(columns) / Double(rows + columns)).rounded(.down))
        case .energy:
            wanted = Self.rank(keeping: energy, of: singularValues) ?? Int((energy * Double(full)).rounded(.up))
        case .vbmf:
            guard bayesian != nil || !singularValues.isEmpty else { return full }
            let found = max(bayesian ?? VariationalBayes.rank(rows: rows, columns: columns, singularValues: singularValues), 1)
            wanted = found + Int((weakening * Double(max(full - found, 0))).rounded())
        }
        return min(max(wanted, 1), full)
    }

    /// The same from a prepared spectrum.
    func rank(rows: Int, columns: Int, spectrum: Spectrum?) -> Int {
        rank(rows: rows, columns: columns, singularValues: spectrum?.values ?? [], bayesian: spectrum?.bayesianRank)
    }

    /// The smallest rank whose leading singular values hold at least `share` of the sum of squares.
    static func rank(keeping share: Double, of singularValues: [Float]) -> Int? {
        guard !singularValues.isEmpty else { return nil }
        let total = singularValues.reduce(0) { $0 + Double($1) * Double($1) }
        guard total > 0 else { return 1 }
        var sum = 0.0
        for (index, value) in singularValues.enumerated() {
            sum += Double(value) * Double(value)
            if sum >= share * total { return index + 1 }
        }
        return singularValues.count
    }

    /// Whether two factors of this rank hold fewer weights than the matrix: rank < m·n / (m + n).
    static func saves(_ rank: Int, rows: Int, columns: Int) -> Bool { rank * (rows + columns) < rows * columns }
}

extension RankChoice {
    /// The parameters from which a rank is chosen, alike in all factorizations.
    /// - Parameter rank: what the parameter `rank` means, for its help; `nil` leaves it to the technique.
    static func parameters(_ modes: [Mode], ratio: Double = 0.5, rank: String = "Singular values kept, with mode rank") -> [ParameterDescriptor] {
        let choices = modes.map { mode -> ParameterDescriptor.Choice in
            switch mode {
            case .ratio: .init("ratio", "keep this share of each layer's parameters")
            case .energy: .init("energy", "keep this share of the squared singular values")
            case .rank: .init("rank", "keep this many singular values")
            case .vbmf: .init("vbmf", "keep the components above the estimated noise, by variational Bayes (Nakajima et al. 2013)")
            }
        }
        var all = [
            ParameterDescriptor("mode", title: "Rank by", domain: .choice(choices), default: .choice(choices[0].name), help: "What decides the rank of each layer")
        ]
        for mode in modes {
            switch mode {
            case .ratio:
                all.append(
                    ParameterDescriptor(
                        "ratio", title: "Parameter ratio", domain: .real(0.01...0.99, step: 0.01), default: .real(ratio),
                        help: "Parameters of all factors over parameters of the layer, with mode ratio"))
            case .energy:
                all.append(
                    ParameterDescriptor(
                        "energy", title: "Energy", domain: .real(0.1...1, step: 0.01), default: .real(0.9),
                        help: "Share of the sum of squared singular values kept, with mode energy"))
            case .rank:
                all.append(
                    ParameterDescriptor("rank", title: "Rank", domain: .integer(1...4096, step: 1), default: .integer(16), help: rank))
            case .vbmf:
                all.append(
                    ParameterDescriptor(
                        "weakening", title: "Weakening", domain: .real(0...1, step: 0.05), default: .real(0),
                        help: "With mode vbmf: 0 keeps the rank found, 1 the full rank, and values between interpolate (Gusak et al. 2019)"))
            }
        }
        return all
    }
}
