import EngineSupport
import Foundation
import Metrics
import PythonOracle
import Testing

/// Mean average precision against pycocotools.
@Suite struct DetectionTests {
    struct Box: Encodable {
        var image: Int
        var category: Int
        var corners: [Float]
        var score: Float = 0
        var isCrowd = false
    }

    struct Case: Encodable {
        var images: Int
        var truths: [Box]
        var found: [Box]
        var maxDetections = 100

        var samples: [([Output], SampleTarget)] {
            (0..<images).map { image in
                let rows = found.filter { $0.image == image }.flatMap { $0.corners + [$0.score, Float($0.category)] }
                let boxes = truths.filter { $0.image == image }.map {
                    TrueBox(category: $0.category, left: $0.corners[0], top: $0.corners[1], right: $0.corners[2], bottom: $0.corners[3], isCrowd: $0.isCrowd)
                }
                return ([Output(rows, [rows.count / 6, 6])], .boxes(boxes))
            }
        }
    }

    static func random(images: Int, categories: Int, crowds: Bool, steps: Float, maxDetections: Int = 100, generator: inout SeededGenerator) -> Case {
        var (truths, found) = ([Box](), [Box]())
        for image in 0..<images {
            for _ in 0..<generator.below(6) {
                let (x, y) = (Float(generator.below(400)), Float(generator.below(400)))
                let (width, height) = (Float(8 + generator.below(120)), Float(8 + generator.below(120)))
                let category = generator.below(categories)
                truths.append(Box(image: image, category: category, corners: [x, y, x + width, y + height], isCrowd: crowds && generator.below(4) == 0))
                // Several near each, some of another class, scores that tie, whole pixels so that overlaps tie as well.
                for _ in 0..<generator.below(4) {
                    let exact: [Float] = [x, y, x + width, y + height]
                    let moved = exact.map { $0 + Float(generator.below(13)) - 6 }
                    found.append(
                        Box(
                            image: image, category: generator.below(5) == 0 ? generator.below(categories) : category, corners: moved,
                            score: (Float(generator.uniform()) * steps).rounded(.up) / steps))
                }
            }
            // Sides that are turned round, as badly trained heads give them.
            for _ in 0..<generator.below(3) {
                let (x, y) = (Float(generator.below(400)), Float(generator.below(400)))
                found.append(Box(image: image, category: generator.below(categories), corners: [x, y, x - 30, y + 20], score: Float(generator.uniform())))
            }
            for _ in 0..<generator.below(4) {
                let (x, y) = (Float(generator.below(400)), Float(generator.below(400)))
                found.append(
                    Box(image: image, category: generator.below(categories), corners: [x, y, x + 50, y + 40], score: (Float(generator.uniform()) * steps).rounded(.up) / steps))
            }
        }
        return Case(images: images, truths: truths, found: found, maxDetections: maxDetections)
    }

    @Test func valuesArePycocotools() throws {
        var generator = SeededGenerator(seed: 12)
        var cases = [
            Self.random(images: 40, categories: 5, crowds: false, steps: 1000, generator: &generator),
            Self.random(images: 40, categories: 3, crowds: true, steps: 20, generator: &generator),
            Self.random(images: 10, categories: 1, crowds: true, steps: 4, generator: &generator),
            Self.random(images: 1, categories: 2, crowds: false, steps: 100, generator: &generator),
            Self.random(images: 60, categories: 30, crowds: true, steps: 10, generator: &generator),
            Self.random(images: 20, categories: 2, crowds: true, steps: 50, maxDetections: 2, generator: &generator),
        ]
        // No detections; no objects but crowds; nothing at all.
        var none = Self.random(images: 5, categories: 2, crowds: false, steps: 10, generator: &generator)
        none.found = []
        var crowds = Self.random(images: 5, categories: 2, crowds: false, steps: 10, generator: &generator)
        for index in crowds.truths.indices { crowds.truths[index].isCrowd = true }
        cases += [none, crowds, Case(images: 3, truths: [], found: []), Case(images: 2, truths: [], found: crowds.found.filter { $0.image < 2 })]
        // A hundred and twenty detections of one object's class in an image.
        var many = Case(images: 2, truths: [Box(image: 0, category: 0, corners: [10, 10, 50, 50])], found: [])
        for index in 0..<120 { many.found.append(Box(image: index % 2, category: 0, corners: [Float(index), 10, Float(index) + 40, 50], score: Float(1 + index % 7) / 8)) }
        for index in 0..<110 { many.found.append(Box(image: 0, category: 0, corners: [300, 300, 310, 310], score: Float(1 + index % 3) / 4)) }
        cases.append(many)

        let expected = try oracle(
            cases,
            """
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
            import contextlib, io
            for case in cases:
                box = lambda b: [b["corners"][0], b["corners"][1], b["corners"][2] - b["corners"][0], b["corners"][3] - b["corners"][1]]
                used = sorted({b["category"] for b in case["truths"] + case["found"]})
                with contextlib.redirect_stdout(io.StringIO()):
                    truth = COCO()
                    truth.dataset = {"images": [{"id": i} for i in range(case["images"])], "categories": [{"id": c} for c in used], "annotations": [
                        {"id": i + 1, "image_id": b["image"], "category_id": b["category"], "bbox": box(b), "area": box(b)[2] * box(b)[3], "iscrowd": int(b["isCrowd"])}
                        for i, b in enumerate(case["truths"])]}
                    truth.createIndex()
                    if not case["truths"]:
                        results.append({"map": np.nan, "map50": np.nan})
                        continue
                    found = COCO()
                    found.dataset = {**truth.dataset, "annotations": [
                        {"id": i + 1, "image_id": b["image"], "category_id": b["category"], "bbox": box(b), "area": box(b)[2] * box(b)[3], "iscrowd": 0, "score": b["score"]}
                        for i, b in enumerate(case["found"])]}
                    found.createIndex()
                    evaluation = COCOeval(truth, found, "bbox")
                    evaluation.params.maxDets = [case["maxDetections"]]
                    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
                    evaluation.evaluate()
                    evaluation.accumulate()
                precision = evaluation.eval["precision"][:, :, :, 0, -1]
                mean = lambda p: p[p > -1].mean() if (p > -1).any() else np.nan
                results.append({"map": mean(precision), "map50": mean(precision[0])})
            """)
        for (index, (example, expected)) in zip(cases, expected).enumerated() {
            let set = { (options: inout MetricOptions) in
                options.layout = .detections
                options.maxDetections = example.maxDetections
            }
            expectSame(try value(.detectionMAP, example.samples, set), expected["map"], "case \(index) mAP")
            expectSame(try value(.detectionMAP50, example.samples, set), expected["map50"], "case \(index) mAP@.50")
        }
        // The random ones are no trivial ones.
        #expect((expected[0]["map"] ?? 0) > 0.1 && (expected[0]["map"] ?? 1) < 0.9)
    }

    /// A resample is as good as evaluating its images, each as often as it was drawn.
    @Test func countsAreRepeatedImages() throws {
        var generator = SeededGenerator(seed: 13)
        let example = Self.random(images: 20, categories: 3, crowds: true, steps: 30, generator: &generator)
        var options = MetricOptions()
        options.layout = .detections
        let computation = try MetricComputations.make(.detectionMAP, options: options)
        let contributions = try example.samples.map { try computation.contribution(of: $0.0, $0.1) }
        let counts = contributions.map { _ in Int32(generator.below(4)) }
        let repeated = zip(contributions, counts).flatMap { Array(repeating: $0, count: Int($1)) }
        expectSame(computation.statistic(of: contributions).value(counts: counts), computation.statistic(of: repeated).value(counts: nil), "mAP", within: 1e-12)
    }

    static let truth: [TrueBox] = [
        TrueBox(category: 1, left: 16, top: 8, right: 48, bottom: 40), TrueBox(category: 0, left: 4, top: 4, right: 20, bottom: 12),
    ]
    /// Center and size of them.
    static let centers: [[Float]] = [[32, 24, 32, 32], [12, 8, 16, 8]]

    /// Each layout holds the two objects exactly, once more slightly moved and weaker (which suppression drops), and background.
    @Test func layoutsAreRead() throws {
        func perfect(_ name: String, _ outputs: [Output], _ change: (inout MetricOptions) -> Void = { _ in }) throws {
            let found = try value(.detectionMAP, [(outputs, .boxes(Self.truth))]) {
                $0.inputSize = [64, 64]
                change(&$0)
            }
            #expect(abs(found - 1) < 1e-9, "\(name): \(found)")
        }
        let moved: [[Float]] = Self.centers.map { [$0[0] + 1, $0[1], $0[2], $0[3]] }
        // Rows of 90 boxes: the two, the two moved, nothing.
        let boxes: [[Float]] = Self.centers + moved + [[Float]](repeating: [5, 5, 2, 2], count: 86)
        let scores: [[Float]] = [[0, 0.9, 0], [0.8, 0, 0], [0, 0.5, 0], [0.4, 0, 0]] + [[Float]](repeating: [0, 0, 0], count: 86)
        var five: [Float] = []
        for (box, row) in zip(boxes, scores) {
            five += box
            five.append(row.contains { $0 > 0 } ? 1 : 0)
            five += row
        }
        try perfect("yolov5", [Output(five, [90, 8])])
        let eight: [[Float]] = zip(boxes, scores).map { $0 + $1 }
        let turned: [Float] = (0..<7).flatMap { number in eight.map { $0[number] } }
        try perfect("yolov8", [Output(turned, [7, 90])])
        try perfect("yolov8 with the batch", [Output(turned, [1, 7, 90])])
        try perfect("yolov8, boxes first", [Output(eight.flatMap { $0 }, [90, 7])]) { $0.layout = .yolov8 }
        // YOLOX: 64 × 64 pixels have 64 + 16 + 4 places; place (4, 3) of stride 8 is at 32, 24.
        var grid = [[Float]](repeating: [0, 0, 0, 0, 0, 0, 0, 0], count: 84)
        grid[3 * 8 + 4] = [0, 0, log(4), log(4), 1, 0, 0.9, 0]
        grid[8 + 1] = [0.5, 0, log(2), 0, 1, 0.8, 0, 0]
        try perfect("yolox", [Output(grid.flatMap { $0 }, [84, 8])])
        // 0 to 1.
        var relative: [[Float]] = (Self.centers + moved).map { row in row.map { $0 / 64 } }
        relative += [[Float]](repeating: [0.1, 0.1, 0.02, 0.02], count: 86)
        let corners = relative.map { row -> [Float] in
            let (x, y, right, down) = (row[0], row[1], row[2] / 2, row[3] / 2)
            return [x - right, y - down, x + right, y + down]
        }
        let background = scores.map { row -> [Float] in [1 - (row.max() ?? 0)] + row }
        let logits: [Float] = background.flatMap { row in row.map { log($0 + 1e-6) } }
        let pixelCorners: [Float] = corners.flatMap { row in row.map { $0 * 64 } }
        try perfect("ssd", [Output(corners.flatMap { $0 }, [90, 4]), Output(background.flatMap { $0 }, [90, 4])])
        try perfect("ssd of logits", [Output(corners.flatMap { $0 }, [90, 4]), Output(logits, [90, 4])])
        try perfect("retinanet", [Output(scores.flatMap { $0 }, [90, 3]), Output(pixelCorners, [90, 4])]) { $0.layout = .retinanet }
        // DETR suppresses nothing itself: only what was found once.
        let queries = scores.indices.flatMap { index -> [Float] in
            if index > 1 { return [-14, -14, -14, 0] }
            let row = scores[index] + [1 - (scores[index].max() ?? 0)]
            return row.map { log($0 + 1e-6) }
        }
        try perfect("detr", [Output(queries, [90, 4], name: "logits"), Output(relative.flatMap { $0 }, [90, 4], name: "pred_boxes")])
        let focal = scores.indices.flatMap { index -> [Float] in scores[index].map { index < 2 && $0 > 0 ? 3 : -9 } }
        try perfect("detr with focal loss", [Output(focal, [90, 3]), Output(relative.flatMap { $0 }, [90, 4])]) { $0.classes = 3 }
        // Finished ones, padded.
        let finished: [Float] = [16, 8, 48, 40, 0.9, 1, 4, 4, 20, 12, 0.8, 0, 0, 0, 0, 0, 0, 0]
        try perfect("detections", [Output(finished, [3, 6])])
        let pixels: [Float] = [16, 8, 48, 40, 4, 4, 20, 12, 0, 0, 0, 0]
        let parts = [Output(pixels, [3, 4], name: "boxes"), Output([0.9, 0.8, 0], name: "scores"), Output([1, 0, 0], name: "labels")]
        try perfect("boxes, scores, classes", parts)
        try perfect("boxes, classes, scores", [parts[0], parts[2], parts[1], Output([2], name: "count")])
        try perfect("without names", [Output(pixels, [3, 4], name: "a"), Output([1, 0, 0], name: "b"), Output([0.9, 0.8, 0], name: "c")])
    }

    @Test func whatIsNoNumberIsNoDetection() throws {
        let rows: [Float] = [16, 8, 48, 40, .nan, 1, .nan, 4, 20, 12, 0.8, 0, 16, 8, 48, 40, 0.5, .nan, 4, 4, 20, 12, .infinity, 0]
        #expect(try value(.detectionMAP, [([Output(rows, [4, 6])], .boxes(Self.truth))]) == 0)
        let broken = [Float](repeating: .nan, count: 7 * 90)
        #expect(try value(.detectionMAP, [([Output(broken, [7, 90])], .boxes(Self.truth))]) == 0)
        #expect(try value(.detectionMAP, [([Output([], [0, 4]), Output([], [0]), Output([], [0], name: "labels")], .boxes(Self.truth))]) == 0)
    }

    @Test func errorsSayWhatWasFound() throws {
        let boxes = SampleTarget.boxes(Self.truth)
        #expect { try value(.detectionMAP, [([Output([1, 2, 3])], boxes)]) } throws: { "\($0)".contains("output [3]") && "\($0)".contains("yolov5") }
        #expect { try value(.detectionMAP, [([Output([Float](repeating: 0, count: 8 * 3), [8, 3])], boxes)]) { $0.layout = .yolox } } throws: { "\($0)".contains("yolox") }
        #expect { try value(.detectionMAP, [([Output([Float](repeating: 0, count: 8), [1, 8])], boxes)]) { $0.layout = .yolox } } throws: { "\($0)".contains("inputSize") }
        #expect { try value(.detectionMAP, [([Output([1, 2, 3])], .label(1))]) } throws: { "\($0)".contains("the label 1") }
        #expect { try value(.detectionMAP, []) { $0.inputSize = [0, 5] } } throws: { "\($0)".contains("[0, 5]") }
    }
}
