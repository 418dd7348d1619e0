import EngineSupport
import Foundation

/// The masks of the weights that a schedule prunes, and what the criterion has seen of them.
struct MaskedWeights: Sendable {
    private let schedule: MaskSchedule
    private let seed: UInt64
    /// 1 where a weight is kept, else 0, by weight.
    private(set) var masks: [[Float]]
    /// Movement: scores so far, and the values that masked weights had.
    private var scores: [[Float]] = []
    private var held: [[Float]] = []

    /// - Parameters:
    ///   - starts: values of the pruned weights.
    ///   - masks: what is masked from the start.
    init(_ schedule: MaskSchedule, starts: [[Float]], masks: [[Float]], seed: UInt64) {
        self.schedule = schedule
        self.masks = masks
        self.seed = seed
        guard schedule.criterion == .movement else { return }
        // What earlier steps zeroed has no value to come back with.
        scores = masks.map { $0.map { $0 == 0 ? -.infinity : 0 } }
        held = starts
    }

    /// Whether gradients of the step that makes `done` steps of `total` are looked at.
    func needsGradients(_ done: Int, total: Int) -> Bool {
        switch schedule.criterion {
        case .magnitude, .random: false
        case .movement: done <= schedule.step(of: schedule.rounds, total: total)
        case .gradient: schedule.round(after: done, total: total) != nil
        }
    }

    /// Whether masks change after `done` steps of `total`.
    func changes(after done: Int, total: Int) -> Bool {
        schedule.liftStep(total: total) == done || schedule.round(after: done, total: total) != nil
    }

    /// Adds up movement, before a step is taken.
    mutating func observe(weights: [[Float]], gradients: [[Float]]) {
        guard schedule.criterion == .movement else { return }
        for index in masks.indices {
            for element in masks[index].indices {
                let value = masks[index][element] == 0 ? held[index][element] : weights[index][element]
                scores[index][element] -= gradients[index][element] * value
            }
        }
    }

    /// Masks anew if a round falls after `done` steps.
    /// - Parameters:
    ///   - weights: values after the step, changed where something is masked or comes back.
    ///   - gradients: those of the step, where `needsGradients` said so.
    /// - Returns: by weight, the elements whose mask changed; `nil` if no round falls.
    mutating func update(done: Int, total: Int, weights: inout [[Float]], gradients: [[Float]]) -> [[Int]]? {
        if schedule.liftStep(total: total) == done {
            let old = masks
            masks = masks.map { [Float](repeating: 1, count: $0.count) }
            return changes(old)
        }
        guard let round = schedule.round(after: done, total: total), schedule.liftStep(total: total).map({ done < $0 }) ?? true else { return nil }
        let old = masks
        let groups = schedule.isGlobal ? [Array(masks.indices)] : masks.indices.map { [$0] }
        for group in groups { choose(group, round, weights, gradients) }
        for index in masks.indices {
            for element in masks[index].indices where masks[index][element] != old[index][element] {
                if masks[index][element] == 0 {
                    if !held.isEmpty { held[index][element] = weights[index][element] }
                    weights[index][element] = 0
                } else if !held.isEmpty {
                    weights[index][element] = held[index][element]
                }
            }
        }
        return changes(old)
    }

    private func changes(_ old: [[Float]]) -> [[Int]] {
        zip(old, masks).map { before, after in after.indices.filter { before[$0] != after[$0] } }
    }

    private mutating func choose(_ group: [Int], _ round: Int, _ weights: [[Float]], _ gradients: [[Float]]) {
        let size = group.reduce(0) { $0 + masks[$1].count }
        let kept = group.reduce(0) { $0 + masks[$1].count { $0 != 0 } }
        // Movement may bring back what others may not.
        let possible = schedule.criterion == .movement ? group.reduce(0) { $0 + scores[$1].count { $0 > -.infinity } } : kept
        let wanted = min(size - Int((schedule.sparsity(round: round) * Double(size)).rounded()), possible)
        /// Scores of the group's weights, with those that are out of the question at the end.
        func ranked(_ score: (Int, Int) -> Float, where possible: (Int, Int) -> Bool) -> [[Float]] {
            group.map { index in masks[index].indices.map { possible(index, $0) ? score(index, $0) : -.infinity } }
        }
        func isKept(_ index: Int, _ element: Int) -> Bool { masks[index][element] != 0 }
        let place = Dictionary(uniqueKeysWithValues: group.enumerated().map { ($1, $0) })
        let chosen: [[Bool]]
        switch schedule.criterion {
        case .magnitude:
            chosen = LargestScores.mark(wanted, of: ranked({ abs(weights[$0][$1]) }, where: isKept))
        case .random:
            var generator = SeededGenerator(seed: seed &+ UInt64(round) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(group[0]) &* 0xD1B5_4A32_D192_ED03)
            let chance = group.map { masks[$0].map { _ in Float(generator.next() >> 40) } }
            chosen = LargestScores.mark(wanted, of: ranked({ chance[place[$0] ?? 0][$1] }, where: isKept))
        case .movement:
            chosen = LargestScores.mark(wanted, of: group.map { scores[$0] })
        case .gradient:
            // No more can give way than there are to grow.
            let grown = min(Int(schedule.exchanged(round: round) * Double(wanted)), size - wanted)
            var marks = LargestScores.mark(wanted - grown, of: ranked({ abs(weights[$0][$1]) }, where: isKept))
            let growing = LargestScores.mark(grown, of: ranked({ abs(gradients[$0][$1]) }, where: { !marks[place[$0] ?? 0][$1] }))
            for position in marks.indices { for element in marks[position].indices where growing[position][element] { marks[position][element] = true } }
            chosen = marks
        }
        for (position, index) in group.enumerated() { masks[index] = chosen[position].map { $0 ? 1 : 0 } }
    }

    // MARK: Checkpoints

    /// Everything that changes from step to step.
    var state: [[Float]] {
        get { masks + scores + held }
        set {
            guard newValue.count == state.count else { return }
            let count = masks.count
            masks = Array(newValue.prefix(count))
            guard !scores.isEmpty else { return }
            scores = Array(newValue[count..<2 * count])
            held = Array(newValue.suffix(count))
        }
    }
}

/// Picks the largest of several lists together, in linear time.
enum LargestScores {
    /// Bits that order like the numbers they are of; NaN comes last.
    private static func key(_ value: Float) -> UInt32 {
        guard !value.isNaN else { return 0 }
        let bits = value.bitPattern
        return bits >> 31 == 1 ? ~bits : bits | 1 << 31
    }

    /// Marks the `count` largest scores; of equal ones those that come first.
    static func mark(_ count: Int, of lists: [[Float]]) -> [[Bool]] {
        var left = max(count, 0)
        // The smallest key that is among the largest: its upper half, then its lower half, by counting.
        var threshold: UInt32 = 0
        for shift in [UInt32(16), 0] {
            var bins = [Int](repeating: 0, count: 1 << 16)
            for list in lists {
                for value in list {
                    let key = key(value)
                    if shift == 16 || key >> 16 == threshold >> 16 { bins[Int(key >> shift & 0xFFFF)] += 1 }
                }
            }
            var bin = bins.count - 1
            while bin > 0, bins[bin] < left {
                left -= bins[bin]
                bin -= 1
            }
            threshold |= UInt32(bin) << shift
        }
        // `left` of those that equal the threshold.
        return lists.map { list in
            list.map { value in
                let key = key(value)
                if key > threshold { return count > 0 }
                guard key == threshold, left > 0 else { return false }
                left -= 1
                return true
            }
        }
    }
}
