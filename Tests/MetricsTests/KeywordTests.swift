import EngineSupport
import Foundation
import Metrics
import PythonOracle
import Testing

/// False accepts against scikit-learn's detection error curve.
@Suite struct KeywordTests {
    struct Clips: Encodable {
        var scores: [Float]
        var labels: [Int]
        var missRate: Double
        var seconds: Double
    }

    @Test func falseAcceptsAreThoseOfTheCurve() throws {
        var generator = SeededGenerator(seed: 10)
        let cases = [(200, 0.05), (50, 0), (1000, 0.07), (30, 0.5), (100, 0.01)].map { count, rate in
            let labels = (0..<count).map { $0 < 2 ? $0 : generator.below(4) == 0 ? 1 : 0 }
            return Clips(scores: labels.map { Float((generator.normal() + 2 * Double($0)) * 4).rounded() / 4 }, labels: labels, missRate: rate, seconds: 1.5)
        }
        let expected = try oracle(
            cases,
            """
            from sklearn.metrics import det_curve
            for case in cases:
                accepts, misses, thresholds = det_curve(case["labels"], np.array(case["scores"], float), drop_intermediate=False)
                # Thresholds rise: the last at which few enough are missed has the fewest accepts.
                keywords = sum(case["labels"])
                allowed = misses * keywords <= np.floor(case["missRate"] * keywords + 1e-9) + 1e-9
                # The curve leaves out the end at which nothing is missed and everything accepted.
                results.append({"rate": (accepts[allowed].min() if allowed.any() else 1) * 3600 / case["seconds"]})
            """)
        for (example, expected) in zip(cases, expected) {
            let samples = zip(example.scores, example.labels).map { ([Output([$0])], SampleTarget.label($1)) }
            expectSame(
                try value(.falseAccepts, samples) {
                    $0.seconds = example.seconds
                    $0.missRate = example.missRate
                }, expected["rate"], "\(example.labels.count) clips at \(example.missRate)")
        }
        #expect(try value(.falseAccepts, [([Output([.nan])], .label(0)), ([Output([1])], .label(1))]) { $0.seconds = 1 } == 0)
        #expect(try value(.falseAccepts, [([Output([1])], .label(1))]) { $0.seconds = 1 }.isNaN)
        #expect { try value(.falseAccepts, []) } throws: { "\($0)".contains("seconds") }
    }
}
