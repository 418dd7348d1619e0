import Metrics

/// How a class fares with the candidate, beside the baseline.
public struct ClassChange: Sendable, Hashable {
    /// From 0.
    public let label: Int
    /// Samples of the class.
    public let count: Int
    /// Of these answered rightly.
    public let baselineRight: Int
    public let right: Int
    /// The wrong class that its samples are answered with most, and how often; `nil` if all are right.
    public let confusedWith: Int?
    public let confused: Int

    /// Share of the class's samples that are lost; negative where some are won.
    public var loss: Double { count > 0 ? Double(baselineRight - right) / Double(count) : 0 }

    /// Classes that samples have, those first that lose most; of equal ones the larger first.
    /// - Parameters: one entry per sample each; samples whose answers are not known in both are left out.
    package static func changes(labels: [Int], baseline: [Float], candidate: [Float]) -> [ClassChange] {
        guard labels.count == baseline.count, labels.count == candidate.count else { return [] }
        var tallies: [Int: (count: Int, before: Int, after: Int, others: [Int: Int])] = [:]
        for index in labels.indices where !baseline[index].isNaN && !candidate[index].isNaN {
            let label = labels[index]
            var tally = tallies[label] ?? (0, 0, 0, [:])
            tally.count += 1
            if baseline[index] == Float(label) { tally.before += 1 }
            if candidate[index] == Float(label) { tally.after += 1 } else { tally.others[Int(candidate[index]), default: 0] += 1 }
            tallies[label] = tally
        }
        return tallies.map { label, tally in
            let other = tally.others.max { ($0.value, $1.key) < ($1.value, $0.key) }
            return ClassChange(
                label: label, count: tally.count, baselineRight: tally.before, right: tally.after, confusedWith: other?.key, confused: other?.value ?? 0)
        }
        .sorted { ($0.loss, $0.count, $1.label) > ($1.loss, $1.count, $0.label) }
    }
}

/// A sample that is answered otherwise than by the baseline.
public struct ChangedSample: Sendable, Hashable {
    /// Row in the data set's file, from 0.
    public let row: Int
    public let label: Int
    public let baseline: Int
    public let answer: Int

    /// In the order of the file.
    package static func changes(_ samples: SampleSet, baseline: [Float], candidate: [Float]) -> [ChangedSample] {
        guard let labels = samples.labels, labels.count == baseline.count, labels.count == candidate.count else { return [] }
        return labels.indices.compactMap { index in
            let (before, after) = (baseline[index], candidate[index])
            guard before != after, !(before.isNaN && after.isNaN) else { return nil }
            return ChangedSample(row: samples.prepared.rows[index], label: labels[index], baseline: before.isNaN ? -1 : Int(before), answer: after.isNaN ? -1 : Int(after))
        }
        .sorted { $0.row < $1.row }
    }
}
