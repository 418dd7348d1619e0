import Foundation
import Testing

@testable import CompressionEngine

@Suite("From outputs to outcomes")
struct OutputTests {
    // numpy 2.4.6: numpy.argmax.
    @Test(
        "argmax: NumPy's rule for ties and NaN",
        arguments: [
            ([1, 3, 3, 2], 1), ([Float.nan, 5, 9], 0), ([5, Float.nan, 9, Float.nan], 1), ([-Float.infinity, -Float.infinity], 0), ([7], 0),
        ] as [([Float], Int)])
    func argmax(values: [Float], expected: Int) {
        #expect(values.withUnsafeBufferPointer { OutputComparison.argmax($0) } == expected)
    }

    @Test("Top-1 is argmax, top-k is the k first of a stable descending sort, for every label of random rows with ties")
    func top() {
        var generator = SeededGenerator(seed: 5)
        for round in 0..<200 {
            let values = (0..<10).map { _ in round % 4 == 0 && generator.below(6) == 0 ? Float.nan : Float(generator.below(6)) }
            let order = values.indices.sorted { first, second in
                if values[first].isNaN || values[second].isNaN { return values[first].isNaN && (!values[second].isNaN || first < second) }
                return values[first] > values[second] || (values[first] == values[second] && first < second)
            }
            values.withUnsafeBufferPointer { row in
                for label in values.indices {
                    #expect(OutputComparison.isInTop(1, row, label: label) == (OutputComparison.argmax(row) == label))
                    #expect(OutputComparison.isInTop(5, row, label: label) == order.prefix(5).contains(label))
                }
                #expect(!OutputComparison.isInTop(5, row, label: 10))
                #expect(!OutputComparison.isInTop(5, row, label: -1))
            }
        }
    }

    @Test("Rows are judged one by one, against labels or the original model")
    func rows() {
        let outputs: [Float] = [0, 1, 2, 9, 1, 0, 3, 3, 1]
        outputs.withUnsafeBufferPointer { rows in
            #expect(OutputComparison.correctness(rows, classes: 3, labels: [2, 1, 0]) == [true, false, true])
            #expect(OutputComparison.correctness(rows, classes: 3, labels: [0, 2, 2], top: 2) == [false, false, false])
            let original = OutputComparison.predictions(rows, classes: 3)
            #expect(original == [2, 0, 0])
            #expect(OutputComparison.agreement(rows, classes: 3, original: original) == [true, true, true])
        }
    }

    @Test("Cosine and SQNR: scaling, noise of known power, and the ends")
    func nearness() {
        func both(_ x: [Float], _ y: [Float]) -> (Double, Double) {
            x.withUnsafeBufferPointer { x in y.withUnsafeBufferPointer { (OutputComparison.cosine(x, $0), OutputComparison.sqnr(x, $0)) } }
        }
        let original: [Float] = [3, -4, 0, 12]
        #expect(both(original, original) == (1, OutputComparison.sqnrCeiling))
        let doubled = both(original.map { 2 * $0 }, original)
        // Error equals signal: 0 dB.
        #expect(abs(doubled.0 - 1) < 1e-12 && abs(doubled.1) < 1e-12)
        #expect(abs(both(original.map { -$0 }, original).0 + 1) < 1e-12)
        // Noise a tenth of the signal: 20 dB.
        #expect(abs(both(original.map { 1.1 * $0 }, original).1 - 20) < 1e-5)
        #expect(both([0, 0], [0, 0]) == (1, OutputComparison.sqnrCeiling))
        #expect(both([1, 0], [0, 0]) == (0, -OutputComparison.sqnrCeiling))
        #expect(both([.nan, 1], [1, 1]) == (0, -OutputComparison.sqnrCeiling))
    }

    @Test("Batches in any order give the same estimate, and the paired counts of a full comparison")
    func running() throws {
        var generator = SeededGenerator(seed: 8)
        let total = 517
        let baseline = (0..<total).map { _ in generator.below(10) > 0 }
        let candidate = baseline.map { $0 ? generator.below(20) > 0 : generator.below(5) == 0 }
        var known = Outcomes(count: total)
        for (position, isRight) in baseline.enumerated() { _ = known.set(position, isRight) }

        let starts = Array(stride(from: 0, to: total, by: 64))
        var inOrder = RunningAccuracy(metric: .top1, total: total, baseline: known)
        var shuffled = inOrder
        for start in starts { inOrder.record(Array(candidate[start..<min(total, start + 64)]), from: start) }
        for start in generator.permutation(starts.count).map({ starts[$0] }) {
            shuffled.record(Array(candidate[start..<min(total, start + 64)]), from: start)
        }
        #expect(inOrder.known == shuffled.known && inOrder.isComplete)
        let estimate = shuffled.estimate
        let right = candidate.count { $0 }
        #expect(estimate.isComplete && estimate.value == Double(right) / Double(total))
        #expect(estimate.baseline == Double(baseline.count { $0 }) / Double(total))
        #expect(estimate.onlyBaseline == zip(baseline, candidate).count { $0 && !$1 })
        #expect(estimate.onlyCandidate == zip(baseline, candidate).count { !$0 && $1 })
        #expect(try abs(#require(estimate.difference) - (estimate.value - (#require(estimate.baseline)))) < 1e-12)

        // A batch reported twice counts once.
        shuffled.record(Array(candidate[0..<64]), from: 0)
        #expect(shuffled.estimate.seen == total)
    }

    @Test("Against a baseline known in part, the comparison waits until it covers what was seen")
    func partialBaseline() {
        var known = Outcomes(count: 10)
        for position in 0..<5 { _ = known.set(position, true) }
        var running = RunningAccuracy(metric: .top1, total: 10, baseline: known)
        running.record([true, false, true], from: 0)
        #expect(running.estimate.onlyBaseline == 1)
        running.record([true], from: 9)
        #expect(running.estimate.seen == 4 && running.estimate.baseline == nil && running.estimate.mcnemarP == nil)
    }

    @Test("Outcomes survive JSON; bits of samples that do not exist are refused")
    func outcomes() throws {
        for count in [0, 1, 63, 64, 65, 200] {
            var outcomes = Outcomes(count: count)
            for position in stride(from: 0, to: count, by: 3) { _ = outcomes.set(position, position % 2 == 0) }
            #expect(try JSONDecoder().decode(Outcomes.self, from: JSONEncoder().encode(outcomes)) == outcomes)
        }
        for text in [
            #"{"count":3,"known":[15],"right":[0]}"#, #"{"count":3,"known":[1],"right":[2]}"#, #"{"count":3,"known":[],"right":[]}"#,
            #"{"count":-1,"known":[],"right":[]}"#, #"{"count":9223372036854775807,"known":[],"right":[]}"#,
        ] {
            #expect(throws: DecodingError.self) { try JSONDecoder().decode(Outcomes.self, from: Data(text.utf8)) }
        }
    }
}
