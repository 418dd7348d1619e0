import EngineSupport
import Metrics
import PythonOracle
import Testing

/// Metrics of classes against scikit-learn.
@Suite struct ClassificationTests {
    struct Case: Encodable {
        /// [sample][class]
        var scores: [[Float]]
        var labels: [Int]
        /// Softmax is still to come.
        var areLogits: Bool

        var samples: [([Output], SampleTarget)] { zip(scores, labels).map { ([Output($0)], .label($1)) } }
    }

    /// Random scores, ties, missing classes, one class only, one sample.
    static func cases() -> [Case] {
        var generator = SeededGenerator(seed: 1)
        var cases: [Case] = []
        for (samples, classes, labels) in [(200, 5, 5), (300, 2, 2), (50, 10, 10), (40, 4, 2), (30, 3, 1), (1, 3, 3), (25, 2, 1), (2, 2, 2), (400, 12, 12)] {
            let truth = (0..<samples).map { _ in generator.below(labels) }
            cases.append(
                Case(
                    scores: truth.map { label in
                        var row = generator.normals(classes)
                        row[label] += 1
                        return row
                    }, labels: truth, areLogits: true))
            // Probabilities in sixteenths: many ties, exact sums.
            let tied = truth.map { label in
                var row = [Float](repeating: 0, count: classes)
                for _ in 0..<12 { row[generator.below(classes)] += 1 / 16 }
                row[label] += 4 / 16
                return row
            }
            cases.append(Case(scores: tied, labels: truth, areLogits: false))
        }
        return cases
    }

    @Test func labelsBeyondTheScoresAreRefused() throws {
        for kind in [MetricKind.top1, .balancedAccuracy, .f1Macro, .f1Weighted, .recall, .rocAUC, .averagePrecision, .logLoss, .calibrationError] {
            #expect { try value(kind, [([Output([0.1, 0.2, 0.7])], .label(3))]) } throws: { "\($0)".contains("label 3, expected 0 to 2") }
        }
        #expect { try value(.f1Macro, [([Output([0.7])], .label(2))]) } throws: { "\($0)".contains("label 2, expected 0 to 1") }
        #expect(try value(.f1Macro, [([Output([2])], .label(2))], single: .classNumber) == 1)
    }

    @Test func valuesAreScikitLearns() throws {
        let cases = Self.cases()
        let expected = try oracle(
            cases,
            """
            from scipy.special import softmax
            from sklearn.metrics import (balanced_accuracy_score, f1_score, recall_score, roc_auc_score, average_precision_score, log_loss,
                                         accuracy_score, top_k_accuracy_score)
            from sklearn.calibration import calibration_curve
            for case in cases:
                scores, labels = np.array(case["scores"], float), np.array(case["labels"])
                p = softmax(scores, axis=1) if case["areLogits"] else scores
                said, classes = scores.argmax(1), np.arange(scores.shape[1])
                result = {
                    "top1": accuracy_score(labels, said),
                    "balanced": balanced_accuracy_score(labels, said),
                    "macro": f1_score(labels, said, average="macro", zero_division=0),
                    "weighted": f1_score(labels, said, average="weighted", zero_division=0),
                    "recall": recall_score(labels == 1, said == 1, zero_division=np.nan),
                    "loss": log_loss(labels, p.astype(np.float32) if not case["areLogits"] else p, labels=classes),
                }
                if scores.shape[1] > 3:
                    # Of equal scores the first is larger, which scikit-learn decides the other way around: with the classes reversed it agrees.
                    result["top3"] = top_k_accuracy_score(len(classes) - 1 - labels, scores[:, ::-1], k=3, labels=classes)
                columns = [1] if len(classes) == 2 else classes
                sides = [c for c in columns if 0 < (labels == c).sum() < len(labels)]
                auc = [roc_auc_score(labels == c, p[:, c]) for c in sides]
                result["auc"] = np.mean(auc) if auc else np.nan
                if len(sides) == len(classes) > 2 and case["areLogits"]:
                    assert abs(result["auc"] - roc_auc_score(labels, p, multi_class="ovr", average="macro")) < 1e-12
                ap = [average_precision_score(labels == c, p[:, c]) for c in columns if (labels == c).any()]
                result["ap"] = np.mean(ap) if ap else np.nan
                # Bins of calibration_curve are (a, b], all but the first.
                confidence, right = p.max(1), said == labels
                true, predicted = calibration_curve(right, confidence, n_bins=15)
                count = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidence), minlength=15)
                result["calibration"] = (np.abs(true - predicted) * count[count > 0]).sum() / len(labels)
                results.append(result)
            """)
        for (index, (example, expected)) in zip(cases, expected).enumerated() {
            let samples = example.samples
            let what = "case \(index)"
            expectSame(try value(.top1, samples), expected["top1"], "\(what) top-1")
            if let top3 = expected["top3"] { expectSame(try value(.topK, samples) { $0.k = 3 }, top3, "\(what) top-3") }
            expectSame(try value(.balancedAccuracy, samples), expected["balanced"], "\(what) balanced accuracy")
            expectSame(try value(.f1Macro, samples), expected["macro"], "\(what) macro F1")
            expectSame(try value(.f1Weighted, samples), expected["weighted"], "\(what) weighted F1")
            expectSame(try value(.recall, samples), expected["recall"], "\(what) recall")
            expectSame(try value(.rocAUC, samples), expected["auc"], "\(what) ROC AUC")
            expectSame(try value(.averagePrecision, samples), expected["ap"], "\(what) average precision")
            expectSame(try value(.logLoss, samples), expected["loss"], "\(what) log loss")
            expectSame(try value(.calibrationError, samples), expected["calibration"], "\(what) calibration error")
        }
    }

    struct Single: Encodable {
        var scores: [Float]
        var labels: [Int]
        var areLogits: Bool
    }

    @Test func oneNumberASampleIsTheScoreOfClassOne() throws {
        var generator = SeededGenerator(seed: 2)
        let cases = [(100, true), (100, false), (7, true), (3, false), (500, true)].map { count, areLogits in
            let labels = (0..<count).map { $0 < 2 ? $0 : generator.below(2) }
            return Single(
                scores: labels.map { label in
                    areLogits ? Float((generator.normal() + Double(label)) * 4).rounded() / 4 : Float(generator.below(17)) / 16
                }, labels: labels, areLogits: areLogits)
        }
        let expected = try oracle(
            cases,
            """
            from scipy.special import expit
            from sklearn.metrics import f1_score, recall_score, roc_auc_score, average_precision_score, log_loss, accuracy_score
            for case in cases:
                scores, labels = np.array(case["scores"], float), np.array(case["labels"])
                p = expit(scores) if case["areLogits"] else scores
                said = p > 0.5
                results.append({
                    "top1": accuracy_score(labels, said), "macro": f1_score(labels, said, average="macro", zero_division=0),
                    "recall": recall_score(labels, said), "recall0": recall_score(labels, said, pos_label=0),
                    "auc": roc_auc_score(labels, scores), "ap": average_precision_score(labels, scores),
                    "ap0": average_precision_score(labels == 0, -scores), "loss": log_loss(labels, p.astype(np.float32))})
            """)
        for (example, expected) in zip(cases, expected) {
            let samples = zip(example.scores, example.labels).map { ([Output([$0])], SampleTarget.label($1)) }
            let reading = SingleReading.score(above: example.areLogits ? 0 : 0.5)
            expectSame(try value(.top1, samples, single: reading), expected["top1"], "top-1")
            expectSame(try value(.f1Macro, samples, single: reading), expected["macro"], "macro F1")
            expectSame(try value(.recall, samples, single: reading), expected["recall"], "recall")
            expectSame(try value(.recall, samples, single: reading) { $0.positiveClass = 0 }, expected["recall0"], "recall of class 0")
            expectSame(try value(.rocAUC, samples, single: reading), expected["auc"], "ROC AUC")
            expectSame(try value(.averagePrecision, samples, single: reading), expected["ap"], "average precision")
            expectSame(try value(.averagePrecision, samples, single: reading) { $0.positiveClass = 0 }, expected["ap0"], "average precision of class 0")
            expectSame(try value(.logLoss, samples, single: reading), expected["loss"], "log loss")
            if example.areLogits {
                expectSame(try value(.top1, samples) { $0.transforms = [.sigmoid] }, expected["top1"], "top-1 of the sigmoid")
            }
        }
    }

    @Test func theNumberOfAClassIsTheClass() throws {
        let samples: [([Output], SampleTarget)] = [([Output([2])], .label(2)), ([Output([0])], .label(1)), ([Output([1])], .classes([1], shape: [1])), ([Output([7])], .label(7))]
        #expect(try value(.top1, samples, single: .classNumber) == 0.75)
        #expect(try value(.balancedAccuracy, samples, single: .classNumber) == (1 + 0.5 + 1) / 3)
    }

    /// What is not a number is the worst answer there is, never a crash.
    @Test func whatIsNoNumberIsWrong() throws {
        let broken: [([Output], SampleTarget)] = (0..<6).map { ([Output([.nan, .nan, .nan])], .label($0 % 3)) }
        #expect(try value(.top1, broken) == 0)
        #expect(try value(.topK, broken) { $0.k = 3 } == 0)
        #expect(try value(.balancedAccuracy, broken) == 0)
        #expect(try value(.f1Macro, broken) == 0)
        #expect(try value(.recall, broken) == 0)
        #expect(try value(.rocAUC, broken) == 0)
        #expect(try value(.logLoss, broken) == .infinity)
        #expect(try value(.calibrationError, broken) == 1)
        #expect(try value(.top1, [([Output([.nan])], .label(0)), ([Output([.nan])], .label(1))]) == 0)
        // One that is does not spoil the others.
        #expect(try value(.top1, [([Output([.nan, 1, 0])], .label(1))]) == 1)
        #expect(try value(.top1, [([Output([.nan, 1, 0])], .label(0))]) == 0)
    }

    @Test func valuesThatDoNotExistAreNoNumbers() throws {
        #expect(try value(.rocAUC, [([Output([0.1, 0.9])], .label(1))]).isNaN)
        #expect(try value(.recall, [([Output([0.1, 0.9])], .label(0))]).isNaN)
        for kind in MetricKind.allCases where kind.isOfClasses && kind != .topK { #expect(try value(kind, []).isNaN, "\(kind)") }
    }

    @Test func errorsSayWhatWasFound() throws {
        #expect { try value(.logLoss, [([Output([0, 1])], .label(5))]) } throws: { "\($0)".contains("label 5") && "\($0)".contains("0 to 1") }
        #expect { try value(.top1, [([Output([0, 1])], .text("cat"))]) } throws: { "\($0)".contains("a text") }
        #expect { try value(.topK, []) } throws: { "\($0)".contains("needs k") }
        #expect { try value(.top1, [([], .label(0))]) } throws: { "\($0)".contains("no output") }
        #expect { try value(.top1, [([Output([0, 1])], .label(0))]) { $0.outputs = ["logits"] } } throws: { "\($0)".contains("no output is named logits; there are output") }
        for kind in [MetricKind.score, .error, .agreement, .cosine, .sqnr] {
            #expect { try MetricComputations.make(kind, options: MetricOptions()) } throws: { "\($0)".contains(kind.rawValue) }
        }
    }
}
