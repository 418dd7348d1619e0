/// Chooses one option for each unit so that the sum of losses is least and a cost stays within its limit: a multiple-choice knapsack whose cost
/// is known for whole assignments only, since a layer's size is a product of its own width and the next unit's.
///
/// A walk by loss per cost saved finds a first answer, which exchanges between two units make better; branch and bound then seeks a better one
/// or proves that there is none. A stronger option never costs more, so that a branch is left when even the strongest of all that is open does
/// not meet the limit, or its losses alone are no less than the best's (Land and Doig, 1960; the multiple-choice knapsack: Sinha and Zoltners, 1979).
struct WidthAssignment {
    /// `losses[unit][option]`, rising; option 0 leaves the unit alone and loses nothing.
    let losses: [[Double]]
    /// Excess over the limits, 0 where all hold; never more for a stronger option.
    let excess: ([Int]) -> Double
    /// Assignments whose cost may be asked for in the search for a proof.
    var limit = 20_000

    struct Answer: Equatable {
        var options: [Int]
        var loss: Double
        /// Whether no assignment is better.
        var isProven: Bool
    }

    /// - Parameter raw: losses as measured, with noise, `nil` where an option could not be had; what is stronger is made to lose no less.
    init(raw: [[Double?]], limit: Int = 20_000, excess: @escaping ([Int]) -> Double) {
        losses = raw.map { options in
            var most = 0.0
            return [0]
                + options.map { loss in
                    guard let loss, loss.isFinite else { return .infinity }
                    most = max(most, loss)
                    return most
                }
        }
        self.excess = excess
        self.limit = limit
    }

    /// - Returns: `nil` where even the strongest options do not meet the limits.
    func solve() -> Answer? {
        let strongest = losses.map { options in options.lastIndex { $0.isFinite } ?? 0 }
        guard excess(strongest) <= 0 else { return nil }
        var best = exchanged(walk(to: strongest))
        var asked = 0
        // Units with most to lose first: their branches are left soonest.
        let order = losses.indices.sorted { (losses[$1][strongest[$1]], $0) < (losses[$0][strongest[$0]], $1) }
        func descend(_ depth: Int, _ options: [Int], _ loss: Double) {
            guard asked < limit, loss < total(best) else { return }
            guard depth < order.count else {
                best = options
                return
            }
            let unit = order[depth]
            // Mild ones first: with the rest at its strongest they may meet the limit or not.
            for option in 0...strongest[unit] where losses[unit][option].isFinite {
                var next = options
                next[unit] = option
                let sum = loss + losses[unit][option]
                guard asked < limit, sum < total(best) else { return }
                asked += 1
                if excess(next) <= 0 { descend(depth + 1, next, sum) }
            }
        }
        if total(best) > 0 { descend(0, strongest, 0) }
        return Answer(options: best, loss: total(best), isProven: asked < limit)
    }

    private func total(_ options: [Int]) -> Double { options.enumerated().reduce(0) { $0 + losses[$1.offset][$1.element] } }

    /// From nothing on, always the option that brings the cost down most for what it loses.
    private func walk(to strongest: [Int]) -> [Int] {
        var options = [Int](repeating: 0, count: losses.count)
        var now = excess(options)
        while now > 0 {
            var pick: (unit: Int, option: Int, worth: Double, excess: Double)?
            for unit in losses.indices {
                for option in options[unit]...strongest[unit] where option > options[unit] && losses[unit][option].isFinite {
                    var next = options
                    next[unit] = option
                    let then = excess(next)
                    guard then < now else { continue }
                    let worth = (now - then) / max(losses[unit][option] - losses[unit][options[unit]], 1e-9)
                    if worth > pick?.worth ?? 0 { pick = (unit, option, worth, then) }
                }
            }
            guard let pick else { return strongest }
            options[pick.unit] = pick.option
            now = pick.excess
        }
        return options
    }

    /// One unit milder, and where that misses the limit another one stronger, as long as it loses less.
    private func exchanged(_ start: [Int]) -> [Int] {
        var options = start
        search: while true {
            for unit in losses.indices where options[unit] > 0 {
                for milder in (0..<options[unit]).reversed() where losses[unit][milder].isFinite {
                    var next = options
                    next[unit] = milder
                    if excess(next) <= 0 {
                        options = next
                        continue search
                    }
                    for other in losses.indices where other != unit {
                        for stronger in losses[other].indices.dropFirst(options[other] + 1) where losses[other][stronger].isFinite {
                            var pair = next
                            pair[other] = stronger
                            guard total(pair) < total(options) - 1e-12 else { break }
                            if excess(pair) <= 0 {
                                options = pair
                                continue search
                            }
                        }
                    }
                }
            }
            return options
        }
    }
}
