import Datasets
import Metrics

// The metric of a data set: one measure for each.
extension Measure {
    /// The measure of a metric.
    public static func metric(_ kind: MetricKind) -> Measure {
        switch kind {
        case .top1: top1
        case .top5: top5
        case .topK:
            share(.topK, name: "top-k accuracy", shortTitle: "Top-k", explanation: "Share of samples whose label is among the k largest outputs; \(paired).")
        case .balancedAccuracy:
            share(.balancedAccuracy, name: "balanced accuracy", shortTitle: "Balanced", explanation: "Recall of each class, mean over the classes that samples have.")
        case .f1Macro: share(.f1Macro, name: "macro F1", explanation: "F1 of each class, mean over classes.")
        case .f1Weighted: share(.f1Weighted, name: "weighted F1", shortTitle: "Wtd. F1", explanation: "F1 of each class, mean over samples.")
        case .recall: share(.recall, name: "recall", explanation: "Share of the samples of one class that are found; the declaration says which.")
        case .rocAUC:
            share(
                .rocAUC, name: "ROC AUC",
                explanation: "Probability that a sample of the class scores higher than one of another; of several classes the mean of each against the rest.")
        case .averagePrecision:
            share(
                .averagePrecision, name: "average precision", shortTitle: "Avg prec",
                explanation: "Area under precision over recall without interpolation; of several classes the mean of each against the rest.")
        case .logLoss: loss(.logLoss, name: "log loss", explanation: "Mean of -ln of the label's probability.")
        case .calibrationError:
            share(
                .calibrationError, name: "calibration error", shortTitle: "ECE", direction: .lower,
                explanation: "Expected calibration error: the gap between confidence and accuracy, over 15 bins of confidence.")
        case .multilabelAP:
            share(.multilabelAP, name: "multi-label mAP", shortTitle: "mAP", explanation: "Average precision of each label, mean over labels.")
        case .multilabelF1: share(.multilabelF1, name: "multi-label F1", shortTitle: "F1", explanation: "F1 of each label at the threshold, mean over labels.")
        case .mae: distance(.mae, name: "mean absolute error", shortTitle: "MAE", explanation: "Mean of the differences from the right number, without signs.")
        case .rmse: distance(.rmse, name: "RMSE", explanation: "Root of the mean squared difference from the right number.")
        case .r2:
            coefficient(
                .r2, name: "R²", explanation: "Coefficient of determination: 1 is exact, 0 is no better than the mean.", range: -Double.infinity...1, scale: 0...1)
        case .pearson:
            coefficient(.pearson, name: "Pearson correlation", shortTitle: "Pearson", explanation: "Linear correlation with the right numbers.", range: -1...1, scale: 0...1)
        case .spearman:
            coefficient(.spearman, name: "Spearman correlation", shortTitle: "Spearman", explanation: "Correlation of ranks with the right numbers.", range: -1...1, scale: 0...1)
        case .similarity:
            coefficient(
                .similarity, name: "similarity correlation", shortTitle: "STS",
                explanation: "Spearman correlation of the cosine of a pair's two outputs with the pair's score.", range: -1...1, scale: 0...1)
        case .psnr:
            decibels(.psnr, name: "PSNR", explanation: "Peak signal-to-noise ratio against the right image, mean over images; 150 dB is equal.", range: 0...150, scale: 0...60)
        case .ssim: coefficient(.ssim, name: "SSIM", explanation: "Structural similarity with the right image, mean over images; 1 is equal.", range: -1...1, scale: 0...1)
        case .meanIoU: share(.meanIoU, name: "mean IoU", explanation: "Intersection over union of each class's pixels, mean over classes.")
        case .pixelAccuracy: share(.pixelAccuracy, name: "pixel accuracy", shortTitle: "Pixels", explanation: "Share of pixels with the right class.")
        case .detectionMAP:
            share(.detectionMAP, name: "COCO mAP", shortTitle: "mAP", explanation: "Mean average precision of boxes over overlaps of 0.50 to 0.95, as COCO defines it.")
        case .detectionMAP50:
            share(.detectionMAP50, name: "mAP at 0.50", shortTitle: "mAP@.50", explanation: "Mean average precision of boxes at an overlap of 0.50, as COCO defines it.")
        case .exactMatch: share(.exactMatch, name: "exact match", shortTitle: "Exact", explanation: "Share of samples whose whole sequence is right; \(paired).")
        case .characterErrorRate:
            share(
                .characterErrorRate, name: "character error rate", shortTitle: "CER", direction: .lower,
                explanation: "Characters to insert, delete and replace, for each right character.", top: .infinity)
        case .wordErrorRate:
            share(
                .wordErrorRate, name: "word error rate", shortTitle: "WER", direction: .lower, explanation: "Words to insert, delete and replace, for each right word.",
                top: .infinity)
        case .frameAccuracy: share(.frameAccuracy, name: "frame accuracy", shortTitle: "Frames", explanation: "Share of frames with the right class.")
        case .frameF1: share(.frameF1, name: "frame F1", explanation: "F1 over frames: of the positive ones of two classes, else the mean over classes.")
        case .tokenAccuracy: share(.tokenAccuracy, name: "token accuracy", shortTitle: "Tokens", explanation: "Share of tokens that are predicted.")
        case .crossEntropy: loss(.crossEntropy, name: "cross-entropy", shortTitle: "Cross-ent.", explanation: "Mean of -ln of the tokens' probabilities, in nats per token.")
        case .perplexity:
            loss(.perplexity, name: "perplexity", explanation: "e to the power of the cross-entropy: among how many tokens the model still hesitates.", range: 1...Double.infinity)
        case .falseAccepts:
            metric(
                .falseAccepts, name: "false accepts per hour", shortTitle: "FA/h",
                explanation: "Keywords heard where there are none, in an hour, at a fixed share of missed keywords.",
                unit: "1/h", format: .significant(digits: 4, unit: "/h"), direction: .lower, range: 0...(.infinity), scale: nil, resolution: 0.05, comparison: .difference)
        case .score:
            metric(
                .score, name: "score", explanation: "What the declaration's command answers, mean over samples; more is better.", unit: "1",
                format: .significant(digits: 5, unit: ""),
                range: -Double.infinity...(.infinity), scale: nil, resolution: 0.001, comparison: .difference)
        case .error:
            metric(
                .error, name: "error", explanation: "What the declaration's command answers, mean over samples; less is better.", unit: "1",
                format: .significant(digits: 5, unit: ""),
                direction: .lower, range: -Double.infinity...(.infinity), scale: nil, resolution: 0.001, comparison: .difference)
        case .agreement: agreement
        case .cosine: cosine
        case .sqnr: sqnr
        }
    }

    private static let paired = "the difference is paired on the same samples"

    public static let top1 = share(
        .top1, name: "top-1 accuracy", shortTitle: "Accuracy",
        explanation: "Share of samples whose largest output is the label's, with its 95 % interval; the difference is paired on the same samples.")

    public static let top5 = share(
        .top5, name: "top-5 accuracy", shortTitle: "Top-5",
        explanation: "Share of samples whose label is among the five largest outputs, with its 95 % interval; the difference is paired on the same samples.")

    public static let agreement = share(
        .agreement, name: "agreement",
        explanation: "Share of samples whose largest output is the original model's, with its 95 % interval. Needs no labels.")

    public static let cosine = metric(
        .cosine, name: "cosine", explanation: "Cosine between the outputs and the original model's, mean over samples; 1 is equal. Needs no labels.", unit: "1",
        format: .fixed(digits: 5, unit: ""), range: -1...1, scale: 0...1, resolution: 0.0002, comparison: .difference)

    public static let sqnr = decibels(
        .sqnr, name: "SQNR",
        explanation: "Signal-to-quantization-noise ratio of the outputs in decibels, mean over samples; 20 dB more is a tenth of the error, 150 dB is equal. Needs no labels.",
        range: -OutputComparison.sqnrCeiling...OutputComparison.sqnrCeiling, scale: 0...100)

    /// Between 0 and 1, written in percent.
    private static func share(
        _ kind: MetricKind, name: String, shortTitle: String? = nil, direction: Direction = .higher, explanation: String, top: Double = 1
    ) -> Measure {
        metric(
            kind, name: name, shortTitle: shortTitle, explanation: explanation, unit: "1", format: .percent(digits: 2), direction: direction, range: 0...top, scale: 0...1,
            resolution: 0.002, comparison: .points)
    }

    private static func loss(_ kind: MetricKind, name: String, shortTitle: String? = nil, explanation: String, range: ClosedRange<Double> = 0...(.infinity)) -> Measure {
        metric(
            kind, name: name, shortTitle: shortTitle, explanation: explanation, unit: "1", format: .significant(digits: 5, unit: ""), direction: .lower, range: range, scale: nil,
            resolution: 0.002,
            comparison: .difference)
    }

    /// In the unit of the numbers themselves.
    private static func distance(_ kind: MetricKind, name: String, shortTitle: String? = nil, explanation: String) -> Measure {
        metric(
            kind, name: name, shortTitle: shortTitle, explanation: explanation, unit: "1", format: .significant(digits: 5, unit: ""), direction: .lower, range: 0...(.infinity),
            scale: nil, resolution: 0.0005, comparison: .difference)
    }

    private static func coefficient(
        _ kind: MetricKind, name: String, shortTitle: String? = nil, explanation: String, range: ClosedRange<Double>, scale: ClosedRange<Double>
    ) -> Measure {
        metric(
            kind, name: name, shortTitle: shortTitle, explanation: explanation, unit: "1", format: .fixed(digits: 4, unit: ""), range: range, scale: scale, resolution: 0.002,
            comparison: .difference)
    }

    private static func decibels(_ kind: MetricKind, name: String, explanation: String, range: ClosedRange<Double>, scale: ClosedRange<Double>) -> Measure {
        metric(
            kind, name: name, explanation: explanation, unit: "dB", format: .fixed(digits: 1, unit: "dB"), range: range, scale: scale, resolution: 0.5, comparison: .difference)
    }

    private static func metric(
        _ kind: MetricKind, name: String, shortTitle: String? = nil, explanation: String, unit: String, format: MeasureFormat, direction: Direction = .higher,
        range: ClosedRange<Double>, scale: ClosedRange<Double>?, resolution: Double, comparison: Comparison
    ) -> Measure {
        Measure(
            kind.rawValue, name: name, shortTitle: shortTitle, explanation: explanation, unit: unit, format: format, direction: direction, kind: .measured, range: range,
            scale: scale, resolution: resolution, comparison: comparison, documentKey: ["accuracy"], source: .metric(kind))
    }

    /// Whether an axis should hold the baseline. Not where the original is equal to itself by definition and that stands far from everything else:
    /// the ceiling of decibels would press a curve flat.
    public var baselineBelongsOnAxis: Bool { self != .sqnr }

    /// The smallest loss that colors a map of losses; below it differences are noise at usual sample counts.
    public var visibleLoss: Double { resolution * 5 }
}
