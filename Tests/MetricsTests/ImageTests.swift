import EngineSupport
import Foundation
import Metrics
import PythonOracle
import Testing

/// Image quality against scikit-image, class maps against scikit-learn.
@Suite struct ImageTests {
    struct Pair: Encodable {
        var image: [Float]
        var truth: [Float]
        var shape: [Int]
        /// Of channels; −1 without.
        var axis: Int
        var range: Double
    }

    @Test func qualityIsScikitImages() throws {
        var generator = SeededGenerator(seed: 6)
        let cases = [([16, 20], -1, 1.0), ([3, 24, 17], 0, 1), ([15, 12, 3], 2, 255), ([1, 11, 11], 0, 2), ([4, 30, 30], 0, 1)].map { shape, axis, range in
            let count = shape.reduce(1, *)
            let truth = (0..<count).map { index -> Float in
                let wave = 0.5 + 0.4 * sin(Double(index) / 7)
                return Float(range * (wave + 0.05 * generator.normal()))
            }
            return Pair(image: truth.map { $0 + Float(range * 0.1 * generator.normal()) }, truth: truth, shape: shape, axis: axis, range: range)
        }
        let expected = try oracle(
            cases,
            """
            from skimage.metrics import structural_similarity, peak_signal_noise_ratio
            for case in cases:
                image, truth = (np.array(case[name], float).reshape(case["shape"]) for name in ("image", "truth"))
                results.append({
                    "ssim": structural_similarity(truth, image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=case["range"],
                                                  channel_axis=None if case["axis"] < 0 else case["axis"]),
                    "psnr": peak_signal_noise_ratio(truth, image, data_range=case["range"])})
            """)
        for (example, expected) in zip(cases, expected) where example.axis == 0 && example.shape[0] > 1 {
            // The same picture with its channels behind.
            let (channels, pixels) = (example.shape[0], example.shape[1] * example.shape[2])
            let turned = (0..<example.truth.count).map { example.truth[$0 % channels * pixels + $0 / channels] }
            let sample = [([Output(example.image, example.shape)], SampleTarget.numbers(turned, shape: Array(example.shape[1...]) + [channels]))]
            expectSame(try value(.psnr, sample) { $0.dataRange = example.range }, expected["psnr"], "PSNR of \(example.shape), turned")
            let wrong = [([Output(example.image, example.shape)], SampleTarget.numbers(example.truth, shape: [channels * example.shape[1], example.shape[2]]))]
            #expect { try value(.psnr, wrong) } throws: { "\($0)".contains("the same extents are expected") }
        }
        for (example, expected) in zip(cases, expected) {
            let sample = [([Output(example.image, example.shape)], SampleTarget.numbers(example.truth, shape: example.shape))]
            expectSame(try value(.ssim, sample) { $0.dataRange = example.range }, expected["ssim"], "SSIM of \(example.shape)")
            expectSame(try value(.psnr, sample) { $0.dataRange = example.range }, expected["psnr"], "PSNR of \(example.shape)")
        }
    }

    @Test func extremesOfQuality() throws {
        let image = (0..<144).map { Float($0) / 144 }
        let truth = SampleTarget.numbers(image, shape: [12, 12])
        #expect(try value(.psnr, [([Output(image, [12, 12])], truth)]) == 150)
        #expect(abs(try value(.ssim, [([Output(image, [12, 12])], truth)]) - 1) < 1e-12)
        let broken = [Float](repeating: .nan, count: 144)
        #expect(try value(.psnr, [([Output(broken, [12, 12])], truth)]) == -150)
        #expect(try value(.ssim, [([Output(broken, [12, 12])], truth)]) == -1)
        #expect { try value(.ssim, [([Output([1, 2, 3, 4], [2, 2])], .numbers([1, 2, 3, 4], shape: [2, 2]))]) } throws: { "\($0)".contains("2 × 2 pixels") }
    }

    struct Maps: Encodable {
        /// [sample][class][pixel]
        var scores: [[[Float]]]
        var masks: [[Int32]]
        var ignore: Int
    }

    @Test func mapsAreScikitLearns() throws {
        var generator = SeededGenerator(seed: 7)
        let (height, width) = (6, 4)
        let cases = [(8, 5, 5), (3, 4, 2), (1, 2, 1), (20, 9, 7)].map { samples, classes, present in
            let masks = (0..<samples).map { _ -> [Int32] in (0..<(height * width)).map { _ in generator.below(8) == 0 ? 255 : Int32(generator.below(present)) } }
            let scores = masks.map { mask -> [[Float]] in
                (0..<Int32(classes)).map { index in
                    mask.map { label in
                        let score = Float(generator.normal()) + (label == index ? 1 : 0)
                        return (score * 4).rounded() / 4
                    }
                }
            }
            return Maps(scores: scores, masks: masks, ignore: 255)
        }
        let expected = try oracle(
            cases,
            """
            from sklearn.metrics import jaccard_score, accuracy_score
            for case in cases:
                masks = np.array(case["masks"]).ravel()
                said = np.array(case["scores"], float).argmax(1).ravel()
                masks, said = masks[masks != case["ignore"]], said[masks != case["ignore"]]
                # Classes in neither are no labels to scikit-learn.
                results.append({"iou": jaccard_score(masks, said, average="macro"), "accuracy": accuracy_score(masks, said)})
            """)
        for (example, expected) in zip(cases, expected) {
            let classes = example.scores[0].count
            let targets = example.masks.map { SampleTarget.classes($0, shape: [height, width]) }
            let first = zip(example.scores, targets).map { ([Output($0.flatMap { $0 }, [classes, height, width])], $1) }
            let last = zip(example.scores, targets).map { scores, target in
                ([Output((0..<(height * width)).flatMap { pixel in scores.map { $0[pixel] } }, [height, width, classes])], target)
            }
            for (name, samples) in [("[C, H, W]", first), ("[H, W, C]", last)] {
                expectSame(try value(.meanIoU, samples) { $0.ignore = 255 }, expected["iou"], "mean IoU of \(name)")
                expectSame(try value(.pixelAccuracy, samples) { $0.ignore = 255 }, expected["accuracy"], "pixel accuracy of \(name)")
            }
            let named = zip(first, targets).map { sample, target in (sample.0, target) }
            expectSame(
                try value(.pixelAccuracy, named) {
                    $0.ignore = 255
                    $0.transforms = [.argmax(axis: 0)]
                }, expected["accuracy"], "pixel accuracy of classes")
        }
    }

    /// A class that the output has no scores for is refused, not counted.
    @Test func classesBeyondTheOutputAreRefused() throws {
        func refused(_ output: Output, _ mask: [Int32], _ parts: String...) {
            for kind in [MetricKind.meanIoU, .pixelAccuracy] {
                #expect { try value(kind, [([output], .classes(mask, shape: [1, 4]))]) } throws: { error in parts.allSatisfy { "\(error)".contains($0) } }
            }
        }
        let four = Output([Float](repeating: 0.5, count: 16), [4, 1, 4])
        refused(four, [0, 255, 1, 3], "class 255", "4 classes", "'ignore: 255'")
        refused(four, [1, 4, 1, 3], "class 4", "'label_offset: 1'")
        refused(Output([0.1, 0.2, 0.9, 0.8], [1, 4]), [0, 255, 0, 255], "class 255", "2 classes", "'colors: [[0, 0, 0], [255, 255, 255]]'")
        refused(Output([0, 1, 2, 5], [1, 4]), [0, 255, 1, 3], "class 255", "'ignore: 255'", "'ignore: -1' counts it")
        #expect(try value(.pixelAccuracy, [([Output([0, 255, 1, 3], [1, 4])], .classes([0, 255, 1, 3], shape: [1, 4]))]) { $0.ignore = -1 } == 1)
        #expect(try value(.pixelAccuracy, [([Output([0, 9, 1, 3], [1, 4])], .classes([0, 255, -1, 3], shape: [1, 4]))]) { $0.ignore = 255 } == 1)
    }

    @Test func smallerOutputsSpeakForBlocks() throws {
        let mask = SampleTarget.classes([0, 0, 1, 1, 0, 1, 1, 1], shape: [2, 4])
        #expect(try value(.pixelAccuracy, [([Output([0, 1], [1, 2])], mask)]) == 7.0 / 8)
        #expect(try value(.pixelAccuracy, [([Output([0.2, 0.7], [1, 1, 2])], mask)]) == 7.0 / 8)
        #expect(try value(.pixelAccuracy, [([Output([-3, 0.2], [1, 2])], mask)]) == 7.0 / 8)
        #expect(try value(.meanIoU, [([Output([.nan, .nan], [1, 2])], mask)]) == 0)
        #expect { try value(.meanIoU, [([Output([0, 1, 2], [1, 3])], mask)]) } throws: { "\($0)".contains("[1, 3]") && "\($0)".contains("[2, 4]") }
    }
}
