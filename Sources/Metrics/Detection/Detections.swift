import EngineSupport

/// COCO's mean average precision of detections.
///
/// Raw outputs are cut at the threshold (0.001 if not given) and suppressed class by class; of DETR's queries and finished detections none is
/// suppressed. What is left of a raw output is cut to the strongest 300 of an image, as detectors have it, and of every class those count that
/// `maxDetections` allows (100), as COCOeval has it.
struct Detections: MetricComputation {
    private let kind: MetricKind
    private let reader: DetectionReader
    private let suppression: Float
    private let perClass: Int

    /// Detections of an image that raw outputs are cut to, where not more are asked for.
    static let perImage = 300

    init(kind: MetricKind, options: MetricOptions) {
        self.kind = kind
        reader = DetectionReader(
            kind: kind, layout: options.layout, threshold: Float(options.threshold ?? 0.001), inputSize: options.inputSize, classes: options.classes)
        suppression = Float(options.suppression ?? 0.65)
        perClass = max(1, options.maxDetections ?? 100)
    }

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        guard case .boxes(let boxes) = target else { throw target.mismatch(kind, expected: "boxes") }
        guard !outputs.isEmpty else { throw EngineError(.data, "metric \(kind.rawValue): no output to score") }
        let (found, layout) = try reader.detections(outputs)
        var detections = found.filter(\.isFinite)
        if layout == .detr {
            detections = Suppression.strongest(detections, max(Self.perImage, perClass))
        } else if layout != .detections {
            detections = Array(Suppression.kept(detections, overlap: suppression, perClass: perClass).prefix(max(Self.perImage, perClass)))
        }
        return DetectionMatching.contribution(detections, boxes, perClass: perClass)
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        PrecisionStatistic(contributions, levels: kind == .detectionMAP50 ? [0] : Array(0..<10))
    }
}
