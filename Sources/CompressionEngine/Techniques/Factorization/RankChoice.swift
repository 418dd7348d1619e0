/// How many singular values a factorised matrix keeps.
struct RankChoice: Hashable, Sendable {
    enum Mode: String, Sendable, CaseIterable {
        case rank, energy, ratio
    }

    var mode: Mode
    /// Singular values kept.
    var rank: Int
    /// Share of the sum of squared singular values kept.
    var energy: Double
    /// Parameters of both factors over parameters of the matrix.
    var ratio: Double

    init(mode: Mode, rank: Int = 16, energy: Double = 0.9, ratio: Double = 0.5) {
        self.mode = mode
        self.rank = rank
        self.energy = energy
        self.ratio = ratio
    }

    init(_ parameters: ParameterValues) {
        mode = Mode(rawValue: parameters.choice("mode")) ?? .ratio
        rank = parameters.integer("rank")
        energy = parameters.real("energy")
        ratio = parameters.real("ratio")
    }

    /// The rank kept of an m × n matrix, 1…min(m, n).
    /// - Parameter singularValues: largest first. Needed for `energy` only; while they are unknown (empty) a flat
    ///   spectrum is assumed, which bounds the rank from above.
    func rank(rows: Int, columns: Int, singularValues: [Float]) -> Int {
        let full = min(rows, columns)
        let wanted: Int
        switch mode {
        case .rank:
            wanted = rank
        case .ratio:
            wanted = Int((ratio * Double(rows) * Double(columns) / Double(rows + columns)).rounded(.down))
        case .energy:
            wanted = Self.rank(keeping: energy, of: singularValues) ?? Int((energy * Double(full)).rounded(.up))
        }
        return min(max(wanted, 1), full)
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
