import EngineSupport
import Foundation
import Metrics
import PythonOracle
import Testing

/// Metrics of several labels against scikit-learn, of numbers against scikit-learn and SciPy.
@Suite struct MultiLabelAndRegressionTests {
    struct Case: Encodable {
        /// [sample][column]
        var outputs: [[Float]]
        var truths: [[Float]]

        var samples: [([Output], SampleTarget)] { zip(outputs, truths).map { ([Output($0)], .numbers($1, shape: [$1.count])) } }
    }

    @Test func labelsAreScikitLearns() throws {
        var generator = SeededGenerator(seed: 3)
        // The last label of some is never true; scores tie.
        let cases = [(100, 5), (40, 1), (1, 4), (300, 20), (5, 3)].flatMap { samples, labels in
            [Float(1), 2, 8].map { steps in
                let truths = (0..<samples).map { _ -> [Float] in (0..<labels).map { $0 != 4 && generator.uniform() < 0.3 ? 1 : 0 } }
                let outputs = truths.map { row -> [Float] in row.map { ((Float(generator.normal()) + $0) * steps).rounded() / steps } }
                return Case(outputs: outputs, truths: truths)
            }
        }
        let expected = try oracle(
            cases,
            """
            from sklearn.metrics import average_precision_score, f1_score
            for case in cases:
                scores, truths = np.array(case["outputs"], float), np.array(case["truths"], int)
                ap = [average_precision_score(truths[:, c], scores[:, c]) for c in range(truths.shape[1]) if truths[:, c].any()]
                said = scores > 0.25
                f1 = f1_score(truths, said, average="macro", zero_division=0) if truths.shape[1] > 1 else f1_score(truths[:, 0], said[:, 0], zero_division=0)
                results.append({"ap": np.mean(ap) if ap else np.nan, "f1": f1})
            """)
        for (index, (example, expected)) in zip(cases, expected).enumerated() {
            expectSame(try value(.multilabelAP, example.samples), expected["ap"], "case \(index) mAP")
            expectSame(try value(.multilabelF1, example.samples) { $0.threshold = 0.25 }, expected["f1"], "case \(index) F1")
        }
    }

    @Test func labelsInAnyForm() throws {
        let scores: [Float] = [0.9, 0.2, 0.7]
        let forms: [SampleTarget] = [.numbers([1, 0, 1], shape: [3]), .classes([1, 0, 1], shape: [3])]
        for form in forms { #expect(try value(.multilabelF1, [([Output(scores)], form)]) == 2.0 / 3) }
        #expect(try value(.multilabelAP, [([Output(scores)], .label(0)), ([Output([0.1, 0.9, 0])], .label(1))]) == 1)
        // Logits are cut at 0.
        #expect(try value(.multilabelF1, [([Output([3, 0.2, -1])], .numbers([1, 1, 0], shape: [3]))]) == 2.0 / 3)
        #expect(try value(.multilabelF1, [([Output([.nan, .nan])], .numbers([1, 0], shape: [2]))]) == 0)
        #expect { try value(.multilabelAP, [([Output(scores)], .numbers([1, 0], shape: [2]))]) } throws: { "\($0)".contains("3 scores") && "\($0)".contains("[2]") }
    }

    @Test func numbersAreScikitLearnsAndSciPys() throws {
        var generator = SeededGenerator(seed: 4)
        var cases: [Case] = []
        for (samples, columns) in [(100, 1), (50, 3), (2, 2), (1000, 2), (10, 1)] {
            for scale in [Float(0), 1, 4] {
                let truths = (0..<samples).map { _ in generator.normals(columns).map { scale > 0 ? ($0 * scale).rounded() / scale : $0 } }
                let outputs = truths.map { row -> [Float] in
                    row.map { value in
                        let moved = value + Float(generator.normal())
                        return scale > 0 ? (moved * scale).rounded() / scale : moved
                    }
                }
                cases.append(Case(outputs: outputs, truths: truths))
            }
        }
        // Far from zero, where sums of squares cancel; constant outputs; constant truths; constant and met.
        let far = (0..<200).map { _ in [10_000 + Float(generator.normal())] }
        cases.append(Case(outputs: far.map { [$0[0] + Float(generator.normal())] }, truths: far))
        cases.append(Case(outputs: far.map { _ in [0.1] }, truths: far))
        cases.append(Case(outputs: far, truths: far.map { _ in [0.1] }))
        cases.append(Case(outputs: far.map { _ in [0.1] }, truths: far.map { _ in [0.1] }))
        let expected = try oracle(
            cases,
            """
            from sklearn.metrics import r2_score, mean_absolute_error, mean_squared_error
            from scipy.stats import pearsonr, spearmanr
            for case in cases:
                outputs, truths = (np.array(case[name], np.float32).astype(float) for name in ("outputs", "truths"))
                varied = [c for c in range(outputs.shape[1]) if np.ptp(outputs[:, c]) > 0 and np.ptp(truths[:, c]) > 0]
                mean = lambda function: np.mean([function(outputs[:, c], truths[:, c])[0] for c in varied]) if varied else np.nan
                results.append({
                    "mae": mean_absolute_error(truths, outputs), "rmse": np.sqrt(mean_squared_error(truths, outputs)),
                    "r2": r2_score(truths, outputs, multioutput="uniform_average"), "pearson": mean(pearsonr), "spearman": mean(spearmanr)})
            """)
        for (index, (example, expected)) in zip(cases, expected).enumerated() {
            for kind in [MetricKind.mae, .rmse, .r2, .pearson, .spearman] {
                expectSame(try value(kind, example.samples), expected[kind.rawValue], "case \(index) \(kind.title)")
            }
        }
    }

    @Test func aLabelIsANumber() throws {
        #expect(try value(.mae, [([Output([2.5])], .label(3)), ([Output([1], [1, 1])], .classes([3], shape: [1]))]) == 1.25)
    }

    @Test func whatIsNoNumberIsInfinitelyWrong() throws {
        let samples: [([Output], SampleTarget)] = [([Output([.nan])], .label(3)), ([Output([1])], .label(1)), ([Output([2])], .label(2))]
        #expect(try value(.mae, samples) == .infinity)
        #expect(try value(.rmse, samples) == .infinity)
        #expect(try value(.r2, samples) == -.infinity)
        #expect(try value(.pearson, samples).isNaN)
        #expect(try value(.spearman, samples).isNaN)
        #expect(try value(.r2, Array(samples[1..<2])).isNaN)
        #expect { try value(.mae, [([Output([1, 2], [2])], .numbers([1, 2, 3], shape: [3]))]) } throws: { "\($0)".contains("[2]") && "\($0)".contains("[3]") }
    }

    @Test func pairsAreAlikeAsSciPySays() throws {
        struct Pairs: Encodable {
            var first: [[Float]]
            var second: [[Float]]
            var scores: [Float]
        }
        var generator = SeededGenerator(seed: 5)
        let first = (0..<80).map { _ in generator.normals(16) }
        let pairs = Pairs(first: first, second: first.map { row in row.map { $0 + Float(generator.normal()) } }, scores: (0..<80).map { _ in Float(generator.below(6)) })
        let expected = try oracle(
            [pairs],
            """
            from scipy.stats import spearmanr
            one, other = np.array(cases[0]["first"], float), np.array(cases[0]["second"], float)
            cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
            results.append({"spearman": spearmanr(cosine, cases[0]["scores"])[0]})
            """)
        let joined = pairs.scores.indices.map { ([Output(pairs.first[$0] + pairs.second[$0], [2, 16])], SampleTarget.numbers([pairs.scores[$0]], shape: [])) }
        let apart = pairs.scores.indices.map { ([Output(pairs.first[$0]), Output(pairs.second[$0])], SampleTarget.numbers([pairs.scores[$0]], shape: [1])) }
        expectSame(try value(.similarity, joined), expected[0]["spearman"], "one output")
        expectSame(try value(.similarity, apart), expected[0]["spearman"], "two outputs")
        #expect { try value(.similarity, [([Output([1, 2, 3])], .label(1))]) } throws: { "\($0)".contains("[2, numbers]") }
    }
}
