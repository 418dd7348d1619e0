import EngineSupport
import Foundation
import Metrics
import PythonOracle
import Testing

/// Texts against jiwer, frames and tokens against scikit-learn and SciPy.
@Suite struct SequenceTests {
    static let letters = ["a", "b", "c", " ", "é", "ß", "日", "👍🏽", "\u{301}"]

    /// Scores that CTC reads as the letters: repeated steps, blanks between equal ones.
    static func ctc(_ classes: [Int], _ generator: inout SeededGenerator) -> Output {
        var steps: [Int] = []
        for (index, element) in classes.enumerated() {
            if index > 0, classes[index - 1] == element { steps.append(0) }
            for _ in 0..<(1 + generator.below(2)) { steps.append(element + 1) }
            if generator.below(3) == 0 { steps.append(0) }
        }
        let width = letters.count + 1
        return Output(steps.flatMap { step in (0..<width).map { $0 == step ? 5 : Float(generator.normal()) } }, [steps.count, width])
    }

    @Test func errorRatesAreJiwers() throws {
        struct Texts: Encodable {
            var said: [String]
            var truth: [String]
        }
        var generator = SeededGenerator(seed: 8)
        var cases: [Texts] = []
        var samples: [[([Output], SampleTarget)]] = []
        for count in [1, 5, 40, 200] {
            let truths = (0..<count).map { index -> [Int] in
                let length = index == 1 ? 0 : 1 + generator.below(15)
                return (0..<length).map { _ in generator.below(Self.letters.count) }
            }
            let said = truths.map { row -> [Int] in
                row.flatMap { letter -> [Int] in
                    if generator.below(5) == 0 { return [generator.below(Self.letters.count), letter] }
                    return generator.below(6) == 0 ? [] : [letter]
                }
            }
            let text = { (classes: [Int]) in classes.map { Self.letters[$0] }.joined() }
            // Texts that are only spaces, or have them at the ends, among them.
            cases.append(Texts(said: said.map(text), truth: truths.map(text)))
            samples.append(zip(said, truths).map { ([Self.ctc($0, &generator)], .text(text($1))) })
        }
        let expected = try oracle(
            cases,
            """
            import jiwer
            for case in cases:
                truth, said = case["truth"], case["said"]
                results.append({"cer": jiwer.cer(truth, said) if any(t.strip() for t in truth) else np.nan,
                                "wer": jiwer.wer(truth, said) if any(t.strip() for t in truth) else np.nan,
                                "exact": np.mean([t == s for t, s in zip(truth, said)])})
            """)
        for (samples, expected) in zip(samples, expected) {
            for kind in [MetricKind.characterErrorRate, .wordErrorRate, .exactMatch] {
                let found = try value(kind, samples) {
                    $0.decoding = .ctc
                    $0.alphabet = Self.letters
                }
                expectSame(found, expected[kind == .exactMatch ? "exact" : kind.rawValue], "\(kind.title) of \(samples.count)")
            }
        }
    }

    @Test func sequencesOfClasses() throws {
        // Without an alphabet classes count; padding does not.
        let target = SampleTarget.classes([3, 1, 2, -1, -1], shape: [5])
        let output = Output([3, 3, 0, 1, 2, 2])
        #expect(
            try value(.exactMatch, [([output], target)]) {
                $0.decoding = .ctc
                $0.ignore = -1
            } == 1)
        #expect(
            try value(.characterErrorRate, [([Output([3, 1, 1])], target)]) {
                $0.decoding = .argmax
                $0.ignore = -1
            } == 1.0 / 3)
        // A blank that is not the first, and an alphabet with an entry for it.
        #expect(
            try value(.exactMatch, [([Output([0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0], [4, 3])], .text("ba"))]) {
                $0.decoding = .ctc
                $0.blank = 2
                $0.alphabet = ["a", "b", ""]
            } == 0)
        #expect(
            try value(.exactMatch, [([Output([0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0], [4, 3])], .text("ba"))]) {
                $0.decoding = .ctc
                $0.blank = 2
                $0.alphabet = ["a", "b"]
            } == 1)
        let broken = try value(.characterErrorRate, [([Output([.nan, .nan, .nan, .nan], [2, 2])], .text("ab"))]) { $0.alphabet = ["a", "b"] }
        #expect(broken == 1)
        #expect { try value(.wordErrorRate, [([output], .text("ab"))]) } throws: { "\($0)".contains("alphabet") }
    }

    struct Steps: Encodable {
        /// [sample][step][class]
        var scores: [[[Float]]]
        var truths: [[Int32]]
        var ignore: Int32
    }

    @Test func framesAndTokensAreScikitLearns() throws {
        var generator = SeededGenerator(seed: 9)
        let cases = [(10, 3), (1, 2), (30, 2), (20, 12)].map { samples, classes in
            let truths = (0..<samples).map { _ -> [Int32] in
                (0..<(13 + generator.below(20))).map { _ in generator.below(7) == 0 ? -100 : Int32(generator.below(classes)) }
            }
            let scores = truths.map { row -> [[Float]] in
                row.map { truth in (0..<Int32(classes)).map { Float(generator.normal()) + ($0 == truth ? 1 : 0) } }
            }
            return Steps(scores: scores, truths: truths, ignore: -100)
        }
        let expected = try oracle(
            cases,
            """
            from scipy.special import log_softmax
            from sklearn.metrics import f1_score, accuracy_score, log_loss
            for case in cases:
                scores, truths = np.concatenate(case["scores"]).astype(float), np.concatenate(case["truths"])
                scores, truths = scores[truths != -100], truths[truths != -100]
                said, classes = scores.argmax(1), scores.shape[1]
                f1 = f1_score(truths, said, zero_division=0) if classes == 2 else f1_score(truths, said, average="macro", zero_division=0)
                loss = lambda: log_loss(truths, np.exp(log_softmax(scores, axis=1)), labels=range(classes))
                result = {"frames": accuracy_score(truths, said), "f1": f1, "loss": loss()}
                scores = np.concatenate([np.array(s, float)[:-1] for s in case["scores"]])
                truths = np.concatenate([t[1:] for t in case["truths"]])
                scores, truths = scores[truths != -100], truths[truths != -100]
                results.append(result | {"accuracy": accuracy_score(truths, scores.argmax(1)), "shifted": loss()})
            """)
        for (example, expected) in zip(cases, expected) {
            let classes = example.scores[0][0].count
            let samples = zip(example.scores, example.truths).map { scores, truth in
                ([Output(scores.flatMap { $0 }, [truth.count, classes])], SampleTarget.classes(truth, shape: [truth.count]))
            }
            let turned = zip(example.scores, example.truths).map { scores, truth in
                ([Output((0..<classes).flatMap { index in scores.map { $0[index] } }, [classes, truth.count])], SampleTarget.classes(truth, shape: [truth.count]))
            }
            let ignoring = { (options: inout MetricOptions) in options.ignore = -100 }
            for samples in [samples, turned] {
                expectSame(try value(.frameAccuracy, samples, ignoring), expected["frames"], "frame accuracy")
                expectSame(try value(.frameF1, samples, ignoring), expected["f1"], "frame F1")
                expectSame(try value(.tokenAccuracy, samples) { $0.isShifted = false }, expected["frames"], "token accuracy")
                expectSame(try value(.crossEntropy, samples) { $0.isShifted = false }, expected["loss"], "cross-entropy")
                expectSame(try value(.perplexity, samples) { $0.isShifted = false }, expected["loss"].map { exp($0) }, "perplexity")
                expectSame(try value(.crossEntropy, samples) { $0.isShifted = true }, expected["shifted"], "cross-entropy of the next token")
                expectSame(try value(.tokenAccuracy, samples) { $0.isShifted = true }, expected["accuracy"], "accuracy of the next token")
            }
        }
    }

    @Test func tokensAreNamedWhereTheyAre() throws {
        // Output t names target t, whatever is masked; the next one only where that is said.
        let scores = Output([0, 9, 0, 0, 0, 9, 9, 0, 0, 0, 0, 9], [4, 3])
        #expect(try value(.tokenAccuracy, [([scores], .classes([-100, 2, -100, 2], shape: [4]))]) == 1)
        #expect(try value(.tokenAccuracy, [([scores], .classes([1, 2, -1, -1], shape: [4]))]) == 1)
        #expect(try value(.tokenAccuracy, [([scores], .classes([0, 1, 2, 0], shape: [4]))]) { $0.isShifted = true } == 1)
        #expect(try value(.tokenAccuracy, [([scores], .classes([0, 1, 2, 0, 2], shape: [5]))]) == 1)
        #expect { try value(.tokenAccuracy, [([scores], .classes([0, 1], shape: [2]))]) } throws: { "\($0)".contains("[4, 3]") && "\($0)".contains("2 classes") }
        #expect(try value(.crossEntropy, [([Output([.nan, 1], [1, 2])], .classes([1], shape: [1]))]) == .infinity)
    }

    @Test func labelsBeyondTheScoresAreRefused() throws {
        let scores = Output([0, 9, 0, 0, 0, 9, 9, 0, 0, 0, 0, 9], [4, 3])
        for kind in [MetricKind.frameAccuracy, .frameF1, .tokenAccuracy, .crossEntropy, .perplexity] {
            let samples = [([scores], SampleTarget.classes([1, 2, 7, 2], shape: [4]))]
            #expect { try value(kind, samples) } throws: { "\($0)".contains("label 7, expected 0 to 2") && "\($0)".contains("'ignore: 7'") }
            #expect(try value(kind, samples) { $0.ignore = 7 }.isFinite)
        }
    }

    @Test func oneNumberAFrameIsCut() throws {
        let truth = SampleTarget.numbers([0, 1, 1, 0], shape: [4])
        #expect(try value(.frameAccuracy, [([Output([0.1, 0.9, 0.4, 0.2])], truth)]) == 0.75)
        #expect(try value(.frameAccuracy, [([Output([0.1, 0.9, 0.4, 0.2], [4, 1])], truth)]) { $0.threshold = 0.3 } == 1)
        #expect(try value(.frameF1, [([Output([0.1, 0.9, 0.4, 0.2], [1, 4, 1])], truth)]) == 2.0 / 3)
        #expect(try value(.frameAccuracy, [([Output([-2, 3, 0.4, -1])], truth)], single: .score(above: 0)) == 1)
        #expect(try value(.frameAccuracy, [([Output([.nan, .nan, .nan, .nan])], truth)]) == 0)
        #expect(try value(.frameAccuracy, [([Output([1, 2, 9])], .label(2))]) == 1)
    }
}
