import Foundation

/// When, how far and by what weights are zeroed, and may come back, while a model is trained.
public struct MaskSchedule: Sendable, Hashable {
    /// What says which weights are worth keeping.
    public enum Criterion: String, Sendable, Hashable, CaseIterable {
        /// The largest stay; what was zeroed stays zero (Zhu and Gupta 2017).
        case magnitude
        /// Those that training moves away from zero stay: the sum of −gradient × weight over all steps. Masked weights keep their
        /// value aside and may come back with it (Sanh, Wolf and Rush 2020, movement pruning).
        case movement
        /// The largest stay, and some of the others grow from zero where the loss has its steepest slope (Evci et al. 2020, RigL).
        case gradient
        /// Chance, as a control.
        case random
    }

    public var criterion: Criterion
    /// Share of zeros at the first and after the last round, 0…1.
    public var initial: Double
    public var final: Double
    /// Times at which masks change after the first, at least 1.
    public var rounds: Int
    /// Share of all steps at which the first and the last round fall.
    public var start: Double
    public var end: Double
    /// One ranking over all weights instead of one per weight tensor.
    public var isGlobal: Bool
    /// Criterion `gradient`: share of the kept weights that give way to others in the first round; falls to 0 along half a cosine.
    public var exchange: Double
    /// Share of all steps after which nothing is masked any more (Han et al. 2017, dense–sparse–dense); `nil` for never.
    public var lift: Double?
    /// Names of the initializers that are pruned, sorted.
    public var weights: [String]

    public init(
        _ criterion: Criterion, from initial: Double = 0, to final: Double, rounds: Int, start: Double = 0, end: Double = 0.7, isGlobal: Bool = true,
        exchange: Double = 0.3, lift: Double? = nil, weights: [String]
    ) {
        self.criterion = criterion
        self.initial = initial
        self.final = final
        self.rounds = max(rounds, 1)
        self.start = start
        self.end = max(start, end)
        self.isGlobal = isGlobal
        self.exchange = exchange
        self.lift = lift
        self.weights = weights.sorted()
    }

    /// Share of zeros after round `round` in 0…`rounds`: s_f + (s_i − s_f)(1 − k/n)³ (Zhu and Gupta 2017, section 3).
    public func sparsity(round: Int) -> Double {
        let left = 1 - Double(round) / Double(rounds)
        return final + (initial - final) * left * left * left
    }

    /// Steps that are done when a round falls, of `total`; at least 1, so that there are gradients to look at.
    public func step(of round: Int, total: Int) -> Int {
        let share = start + (end - start) * Double(round) / Double(rounds)
        return min(max(Int((share * Double(total)).rounded()), 1), total)
    }

    /// The round that falls after `done` steps; the last, if several do.
    public func round(after done: Int, total: Int) -> Int? { (0...rounds).last { step(of: $0, total: total) == done } }

    /// Steps after which masks are lifted; `nil` if they stay.
    public func liftStep(total: Int) -> Int? { lift.map { max(min(Int(($0 * Double(total)).rounded()), total), step(of: rounds, total: total) + 1) } }

    /// Steps after which masks no longer change: weights before are not what is wanted.
    public func settled(total: Int) -> Int { liftStep(total: total) ?? step(of: rounds, total: total) }

    /// Share of the kept weights that a round exchanges.
    func exchanged(round: Int) -> Double { exchange / 2 * (1 + cos(.pi * Double(round) / Double(rounds))) }
}
