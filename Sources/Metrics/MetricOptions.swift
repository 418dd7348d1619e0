/// How a metric reads outputs and labels: what a declaration says under `metric`.
public struct MetricOptions: Sendable, Hashable, Codable {
    /// Outputs that are scored, by name; empty: the one that the metric takes by itself.
    public var outputs: [String] = []
    /// What happens to each output before it is scored, in order.
    public var transforms: [OutputTransform] = []
    /// Of `top-k`.
    public var k: Int?
    /// The class of `recall`, and the positive class of two.
    public var positiveClass: Int?
    /// Above it a score says yes; of detections: below it they are left out.
    public var threshold: Double?
    /// A class that does not count: padding, void pixels.
    public var ignore: Int?
    /// Bins of the expected calibration error; 15 if not given.
    public var bins: Int?
    /// Largest minus smallest possible number, for PSNR and SSIM; 1 if not given.
    public var dataRange: Double?
    /// Characters by class, for text; the blank has none.
    public var alphabet: [String]?
    /// The class that stands for nothing in CTC; 0 if not given.
    public var blank: Int?
    /// How a sequence of classes is read.
    public var decoding: Decoding?
    /// How the numbers of a detector are laid out; `nil`: told from its outputs' shapes.
    public var layout: DetectionLayout?
    /// Overlap from which on non-maximum suppression drops the weaker detection; 0.65 if not given.
    public var suppression: Double?
    /// Detections kept per image; 100 if not given, as COCO has it.
    public var maxDetections: Int?
    /// Height and width of the model's input in pixels, to which boxes refer; from the model's input if not given.
    public var inputSize: [Int]?
    /// Whether predictions of a language model are for the next token, as causal models have it; `nil`: so where labels are the inputs themselves.
    public var isShifted: Bool?
    /// Share of keywords that may be missed, for false accepts per hour; 0.05 if not given.
    public var missRate: Double?
    /// Seconds of sound that one sample stands for, for false accepts per hour.
    public var seconds: Double?
    /// Classes that labels have, where a detector's outputs do not say: tells a score for nothing from one of a class.
    public var classes: Int?
    /// The program and its arguments that score samples, for a metric of one's own.
    public var command: [String]?
    /// Seconds that the command may take for a batch; 30 if not given.
    public var commandSeconds: Double?

    public enum Decoding: String, Sendable, Hashable, Codable, CaseIterable {
        /// The largest of each step; equal neighbors become one, blanks go.
        case ctc
        /// The largest of each step.
        case argmax
    }

    public enum DetectionLayout: String, Sendable, Hashable, Codable, CaseIterable {
        /// [boxes, 5 + classes]: center, size, objectness, class scores; in pixels (YOLOv5, v7).
        case yolov5
        /// [4 + classes, boxes] or [boxes, 4 + classes]: center, size, class scores; in pixels (YOLOv8 to v11).
        case yolov8
        /// [boxes, 5 + classes]: center and size before grid and stride are applied, objectness, class scores (YOLOX).
        case yolox
        /// Two outputs: corners [boxes, 4] from 0 to 1 and scores [boxes, classes] of which the first is background (SSD).
        case ssd
        /// Two outputs: logits [queries, classes (+ 1 for nothing)] and center and size [queries, 4] from 0 to 1 (DETR).
        case detr
        /// Two outputs: scores [boxes, classes] and corners [boxes, 4] in pixels (RetinaNet with decoded boxes).
        case retinanet
        /// Finished detections: [boxes, 6] with corners in pixels, score and class; or boxes, scores and classes as outputs of their own.
        case detections
    }

    public init() {}

    /// The same text for the same options, for content addresses. What is not given is left out, so that new options change no old address.
    public var canonicalText: String {
        Mirror(reflecting: self).children.compactMap { child in
            let text = "\(child.value)"
            return text == "nil" || text == "[]" ? nil : "\(child.label ?? ""): \(text)"
        }.joined(separator: ", ")
    }
}

/// What happens to an output before it is scored.
public enum OutputTransform: Sendable, Hashable, Codable {
    /// Along an axis of the sample (without the batch); negative axes count from the end.
    case softmax(axis: Int)
    case sigmoid
    /// The index of the largest; the axis goes.
    case argmax(axis: Int)
    /// The mean along an axis, which goes: pools the vectors of tokens into one.
    case mean(axis: Int)
    /// The mean of those along an axis that a model's input marks with other numbers than 0: leaves padding out. Only in front of all others.
    case maskedMean(axis: Int, mask: String)
    /// 1 above it, else 0.
    case threshold(Double)
    /// Axes in a new order.
    case transpose([Int])
    /// One entry of an axis, which goes.
    case select(axis: Int, index: Int)
}
