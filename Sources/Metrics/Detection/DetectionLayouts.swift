import EngineSupport
import Foundation

/// From the numbers of a detector to detections.
struct DetectionReader: Sendable {
    let kind: MetricKind
    let layout: MetricOptions.DetectionLayout?
    /// Detections with a lower score are left out.
    let threshold: Float
    /// Height and width in pixels.
    let inputSize: [Int]?
    /// Classes of labels, if known.
    let classes: Int?

    typealias Layout = MetricOptions.DetectionLayout

    /// What a sample's outputs say, before suppression.
    /// - Returns: detections with a score above the threshold, and the layout that was read.
    func detections(_ outputs: [OutputView]) throws(EngineError) -> ([Detection], Layout) {
        var views = outputs
        for view in outputs { try view.check(kind) }
        // Axes of one in front, and outputs that only count detections.
        views = views.map(Self.squeezed).filter { $0.values.count != 1 || outputs.count <= 2 }
        let layout: Layout
        if let given = self.layout { layout = given } else { layout = try told(views) }
        let found: [Detection]
        switch layout {
        case .yolov5, .yolov8, .yolox: found = try grid(views, layout)
        case .ssd, .detr, .retinanet: found = try boxesAndScores(views, layout)
        case .detections: found = try finished(views)
        }
        return (found, layout)
    }

    private func unreadable(_ views: [OutputView], _ expected: String) -> EngineError {
        EngineError(.data, "metric \(kind.rawValue): outputs \(views.map { "\($0.name) \($0.shape)" }.joined(separator: ", ")), expected \(expected)")
    }

    private static func squeezed(_ view: OutputView) -> OutputView {
        var shape = view.shape
        while shape.count > 2, shape[0] == 1 { shape.removeFirst() }
        return OutputView(name: view.name, values: view.values, shape: shape)
    }

    // MARK: Which layout it is

    /// Told from shapes, and of two outputs from their order:
    /// - one output [up to 1000, 6]: finished detections; [few, many]: YOLOv8's; [boxes, 5 + classes]: YOLOX's where there are as many boxes as the
    ///   places of its grids, else YOLOv5's;
    /// - two outputs: boxes [n, 4] first (by name where there are four classes as well): SSD's; scores first: DETR's up to 1000 of them, else RetinaNet's;
    /// - three or more: finished detections.
    private func told(_ views: [OutputView]) throws(EngineError) -> Layout {
        if views.count == 1, views[0].shape.count == 2 {
            let (rows, columns) = (views[0].shape[0], views[0].shape[1])
            if columns == 6, rows <= 1000 { return .detections }
            if rows < columns { return .yolov8 }
            if columns > 5 { return inputSize.map { Self.strides(boxes: rows, $0) != nil } == true ? .yolox : .yolov5 }
            if columns == 5 { return .yolov8 }
        }
        if views.count == 2, views.allSatisfy({ $0.shape.count == 2 && $0.shape[0] == views[0].shape[0] }) {
            if Self.boxes(views) == 0 { return .ssd }
            if Self.boxes(views) == 1 { return views[0].shape[0] <= 1000 ? .detr : .retinanet }
        }
        if views.count >= 3 { return .detections }
        throw unreadable(views, "those of a detector whose layout is known (metric's layout: \(Layout.allCases.map(\.rawValue).joined(separator: ", ")))")
    }

    /// Which of two outputs holds the boxes: the one with four numbers a row; of two such the one named after boxes, else the first.
    private static func boxes(_ views: [OutputView]) -> Int? {
        switch (views[0].shape[1] == 4, views[1].shape[1] == 4) {
        case (true, true): views[1].name.lowercased().contains("box") && !views[0].name.lowercased().contains("box") ? 1 : 0
        case (true, false): 0
        case (false, true): 1
        case (false, false): nil
        }
    }

    private func size() throws(EngineError) -> (height: Int, width: Int) {
        guard let inputSize, inputSize.count == 2 else {
            throw EngineError(.data, "metric \(kind.rawValue): the detector's layout needs inputSize, height and width of the model's input")
        }
        return (inputSize[0], inputSize[1])
    }

    // MARK: YOLO

    /// Strides of YOLOX's grids with as many places together as there are boxes; `nil` where none have.
    private static func strides(boxes: Int, _ size: [Int]) -> [Int]? {
        func places(_ strides: [Int]) -> Int { strides.reduce(0) { $0 + (size[0] / $1) * (size[1] / $1) } }
        return [[8, 16, 32], [8, 16, 32, 64]].first { places($0) == boxes }
    }

    private func grid(_ views: [OutputView], _ layout: Layout) throws(EngineError) -> [Detection] {
        guard let view = views.first, view.shape.count == 2 else { throw unreadable(views, "one of shape [boxes, numbers]") }
        let (rows, columns) = (view.shape[0], view.shape[1])
        // YOLOv8 has numbers first as a rule.
        let numbersFirst = layout == .yolov8 && rows < columns
        let (boxes, numbers) = numbersFirst ? (columns, rows) : (rows, columns)
        let head = layout == .yolov8 ? 4 : 5
        guard numbers > head else { throw unreadable(views, "[boxes, \(head) + classes] of \(layout.rawValue)") }
        let (boxStep, step) = numbersFirst ? (1, columns) : (columns, 1)
        var cells: [(x: Float, y: Float, stride: Float)] = []
        if layout == .yolox {
            let size = try size()
            guard let strides = Self.strides(boxes: boxes, [size.height, size.width]) else {
                throw unreadable(views, "as many boxes as grids of strides 8, 16, 32 (and 64) have places in \(size.height) × \(size.width) pixels")
            }
            for stride in strides {
                for row in 0..<(size.height / stride) {
                    for column in 0..<(size.width / stride) { cells.append((Float(column), Float(row), Float(stride))) }
                }
            }
        }
        let values = view.values
        // Scores that no probability is are logits, all of them then.
        var areLogits = false
        for box in 0..<boxes {
            for number in 4..<numbers {
                let value = values[box * boxStep + number * step]
                if value < 0 || value > 1 { areLogits = true }
            }
        }
        let probability = { (value: Float) -> Float in areLogits ? 1 / (1 + Float(exp(-Double(value)))) : value }
        var result: [Detection] = []
        for box in 0..<boxes {
            let start = box * boxStep
            let objectness = head == 5 ? probability(values[start + 4 * step]) : 1
            guard objectness > threshold else { continue }
            var (x, y) = (values[start], values[start + step])
            var (width, height) = (values[start + 2 * step], values[start + 3 * step])
            if layout == .yolox {
                let cell = cells[box]
                (x, y) = ((x + cell.x) * cell.stride, (y + cell.y) * cell.stride)
                (width, height) = (Float(exp(Double(width))) * cell.stride, Float(exp(Double(height))) * cell.stride)
            }
            for number in head..<numbers {
                let score = objectness * probability(values[start + number * step])
                guard score > threshold else { continue }
                result.append(Self.centered(number - head, score, x, y, width, height))
            }
        }
        return result
    }

    private static func centered(_ category: Int, _ score: Float, _ x: Float, _ y: Float, _ width: Float, _ height: Float) -> Detection {
        Detection(category: category, score: score, left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2)
    }

    // MARK: Boxes and scores

    private func boxesAndScores(_ views: [OutputView], _ layout: Layout) throws(EngineError) -> [Detection] {
        let expected = "boxes [n, 4] and scores [n, classes] of \(layout.rawValue)"
        guard views.count == 2, views.allSatisfy({ $0.shape.count == 2 }), views[0].shape[0] == views[1].shape[0] else { throw unreadable(views, expected) }
        let place = Self.boxes(views) ?? 0
        let (boxes, scores) = (views[place], views[1 - place])
        guard boxes.shape[1] == 4, scores.shape[1] > 0 else { throw unreadable(views, expected) }
        let (count, width) = (scores.shape[0], scores.shape[1])
        let size = layout == .retinanet ? (height: 1, width: 1) : try size()
        let (across, down) = (Float(size.width), Float(size.height))
        // DETR's last score is for nothing, unless there are just as many as classes: then scores stand alone, as focal loss has them.
        let standAlone = layout == .retinanet || (layout == .detr && classes == width)
        let areLogits = standAlone && scores.values.contains { $0 < 0 || $0 > 1 }
        var result: [Detection] = []
        for index in 0..<count {
            let row = UnsafeBufferPointer(rebasing: scores.values[(index * width)..<((index + 1) * width)])
            let corners = (0..<4).map { boxes.values[index * 4 + $0] }
            func add(_ category: Int, _ score: Float) {
                guard score > threshold else { return }
                if layout == .detr {
                    result.append(Self.centered(category, score, corners[0] * across, corners[1] * down, corners[2] * across, corners[3] * down))
                } else {
                    result.append(
                        Detection(
                            category: category, score: score, left: corners[0] * across, top: corners[1] * down, right: corners[2] * across, bottom: corners[3] * down))
                }
            }
            if standAlone {
                for category in 0..<width { add(category, areLogits ? 1 / (1 + Float(exp(-Double(row[category])))) : row[category]) }
            } else {
                let probabilities = ClassScores.probabilities(row)
                if layout == .ssd {
                    for category in 0..<(width - 1) { add(category, Float(probabilities[category + 1])) }
                } else {
                    // One class a query, the most probable.
                    var best = -1
                    for category in 0..<(width - 1) where best < 0 || probabilities[category] > probabilities[best] { best = category }
                    if best >= 0 { add(best, Float(probabilities[best])) }
                }
            }
        }
        return result
    }

    // MARK: Finished detections

    private func finished(_ views: [OutputView]) throws(EngineError) -> [Detection] {
        var result: [Detection] = []
        func add(_ category: Float, _ score: Float, _ corners: (Int) -> Float) {
            guard score > threshold, category >= 0, category < 1e6 else { return }
            result.append(Detection(category: Int(category), score: score, left: corners(0), top: corners(1), right: corners(2), bottom: corners(3)))
        }
        if views.count == 1 {
            let view = views[0]
            guard view.shape.count == 2, view.shape[1] == 6 else { throw unreadable(views, "finished detections [boxes, 6]: corners, score, class") }
            for row in 0..<view.shape[0] { add(view.values[row * 6 + 5], view.values[row * 6 + 4]) { view.values[row * 6 + $0] } }
            return result
        }
        let expected = "boxes [n, 4], scores [n] and classes [n]"
        guard let boxes = views.first(where: { $0.shape.count == 2 && $0.shape[1] == 4 }) else { throw unreadable(views, expected) }
        let count = boxes.shape[0]
        let rest = views.filter { $0.values.count == count && $0.values.baseAddress != boxes.values.baseAddress }
        guard rest.count >= 2 else {
            // All empty: no detections.
            if count == 0 { return [] }
            throw unreadable(views, expected)
        }
        // By name, else by their values: classes are whole numbers.
        func isNamed(_ view: OutputView, _ words: [String]) -> Bool { words.contains { view.name.lowercased().contains($0) } }
        let first = rest[0]
        let areClasses: Bool
        if isNamed(first, ["class", "label", "categ"]) || isNamed(rest[1], ["score", "conf", "prob"]) {
            areClasses = true
        } else if isNamed(first, ["score", "conf", "prob"]) || isNamed(rest[1], ["class", "label", "categ"]) {
            areClasses = false
        } else {
            areClasses = first.values.allSatisfy { $0 == $0.rounded() } && !rest[1].values.allSatisfy { $0 == $0.rounded() }
        }
        let (scores, classes) = areClasses ? (rest[1], first) : (first, rest[1])
        for row in 0..<count { add(classes.values[row], scores.values[row]) { boxes.values[row * 4 + $0] } }
        return result
    }
}
