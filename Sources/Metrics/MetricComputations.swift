import EngineSupport
import Foundation

/// The computation of each metric.
public enum MetricComputations {
    /// The computation of a metric over labels.
    ///
    /// It picks the outputs that `options.outputs` names (else it takes them all, and metrics of one output the first) and applies
    /// `options.transforms` to each of them itself: who has applied them already hands options without them.
    /// - Parameter single: how outputs of one number per sample say a class; `nil`: a score of class 1, cut at `options.threshold` or one half.
    /// - Throws: `EngineError` where options are missing or make no sense, and for metrics that need no labels or are a command's own.
    public static func make(_ kind: MetricKind, options: MetricOptions, single: SingleReading? = nil) throws(EngineError) -> any MetricComputation {
        if let bins = options.bins, bins < 1 || bins > 100_000 { throw EngineError(.data, "metric \(kind.rawValue): bins is \(bins), expected 1 or more") }
        if let k = options.k, k < 1 { throw EngineError(.data, "metric \(kind.rawValue): k is \(k), expected 1 or more") }
        if let range = options.dataRange, !(range > 0 && range.isFinite) {
            throw EngineError(.data, "metric \(kind.rawValue): data range is \(range), expected a number above 0")
        }
        if let rate = options.missRate, !(rate >= 0 && rate < 1) { throw EngineError(.data, "metric \(kind.rawValue): miss rate is \(rate), expected 0 or more and less than 1") }
        if let size = options.inputSize, size.count != 2 || size.contains(where: { $0 < 1 }) {
            throw EngineError(.data, "metric \(kind.rawValue): input size is \(size), expected height and width")
        }
        let inner = try computation(kind, options, single)
        return options.outputs.isEmpty && options.transforms.isEmpty ? inner : PreparedComputation(inner: inner, kind: kind, options: options)
    }

    private static func computation(_ kind: MetricKind, _ options: MetricOptions, _ single: SingleReading?) throws(EngineError) -> any MetricComputation {
        let reading = single ?? .score(above: options.threshold)
        switch kind {
        case .top1: return TopClasses(kind: kind, k: 1, single: reading)
        case .top5: return TopClasses(kind: kind, k: 5, single: reading)
        case .topK:
            guard let k = options.k else { throw EngineError(.data, "metric top-k needs k, the number of classes that may hold the label") }
            return TopClasses(kind: kind, k: k, single: reading)
        case .balancedAccuracy, .f1Macro, .f1Weighted, .recall:
            return ClassConfusions(kind: kind, positive: options.positiveClass ?? 1, single: reading)
        case .rocAUC, .averagePrecision: return ClassRankings(kind: kind, positive: options.positiveClass ?? 1)
        case .logLoss: return LogLoss(single: reading)
        case .calibrationError: return CalibrationError(bins: options.bins ?? 15, single: reading)
        case .multilabelAP: return LabelRankings()
        case .multilabelF1: return LabelDecisions(threshold: options.threshold)
        case .mae, .rmse: return NumberErrors(kind: kind)
        case .r2, .pearson, .spearman: return NumberPairs(kind: kind)
        case .similarity: return PairSimilarity()
        case .psnr: return PeakSignalToNoise(range: options.dataRange ?? 1)
        case .ssim: return StructuralSimilarity(range: options.dataRange ?? 1)
        case .meanIoU, .pixelAccuracy: return PixelClasses(kind: kind, ignore: options.ignore, threshold: options.threshold)
        case .detectionMAP, .detectionMAP50: return Detections(kind: kind, options: options)
        case .exactMatch, .characterErrorRate, .wordErrorRate: return SequenceErrors(kind: kind, options: options)
        case .frameAccuracy, .frameF1: return FrameClasses(kind: kind, options: options, single: reading)
        case .tokenAccuracy, .crossEntropy, .perplexity: return TokenScores(kind: kind, ignore: options.ignore ?? -100, isShifted: options.isShifted)
        case .falseAccepts:
            guard let seconds = options.seconds, seconds > 0, seconds.isFinite else {
                throw EngineError(.data, "metric \(kind.rawValue) needs seconds, the sound that one sample stands for")
            }
            return FalseAccepts(seconds: seconds, missRate: options.missRate ?? 0.05, positive: options.positiveClass ?? 1)
        case .score, .error: throw EngineError(.data, "metric \(kind.rawValue) is a command's own number")
        case .agreement, .cosine, .sqnr: throw EngineError(.data, "metric \(kind.rawValue) compares with the original model, not with labels")
        }
    }
}

/// How an output of one number per sample says which class it is.
public enum SingleReading: Sendable, Hashable {
    /// A score of class 1 against class 0: class 1 where it is larger. At `above` 0 scores are logarithms of odds, at one half probabilities;
    /// `nil`: cut at one half, or at 0 where the number lies outside 0 ... 1, which no probability does.
    case score(above: Double?)
    /// The number of the class.
    case classNumber

    /// The class that a number says; −1 for none, where it is not a number.
    func predicted(_ value: Float) -> Int {
        if value.isNaN { return -1 }
        switch self {
        case .score(let threshold): return Double(value) > (threshold ?? (value < 0 || value > 1 ? 0 : 0.5)) ? 1 : 0
        case .classNumber: return abs(value) < 1e9 && value >= 0 ? Int(value.rounded()) : -1
        }
    }

    /// Probability of class 1.
    func probability(_ value: Float) -> Double {
        let value = Double(value)
        switch self {
        case .score(let threshold): return threshold == 0 || value < 0 || value > 1 ? 1 / (1 + exp(-value)) : value
        case .classNumber: return value == 1 ? 1 : 0
        }
    }
}

/// Picks and transforms outputs before they are scored.
struct PreparedComputation: MetricComputation {
    let inner: any MetricComputation
    let kind: MetricKind
    let options: MetricOptions

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        var picked = outputs
        if !options.outputs.isEmpty {
            picked = []
            for name in options.outputs {
                guard let view = outputs.first(where: { $0.name == name }) else {
                    throw EngineError(.data, "metric \(kind.rawValue): no output is named \(name); there are \(outputs.map(\.name).joined(separator: ", "))")
                }
                picked.append(view)
            }
        }
        if options.transforms.isEmpty { return try inner.contribution(picked, target: target) }
        var copies: [UnsafeMutableBufferPointer<Float>] = []
        defer { for copy in copies { copy.deallocate() } }
        var views: [OutputView] = []
        for view in picked {
            let changed = try OutputTransforms.apply(options.transforms, to: view)
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: changed.values.count)
            _ = copy.initialize(from: changed.values)
            copies.append(copy)
            views.append(OutputView(name: view.name, values: UnsafeBufferPointer(copy), shape: changed.shape))
        }
        return try inner.contribution(views, target: target)
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { inner.statistic(of: contributions) }
}
