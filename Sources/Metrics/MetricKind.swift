/// What is measured over a split. Ids are those of declarations, documents and measures.
public enum MetricKind: String, Sendable, Codable, Hashable, CaseIterable {
    // Classification: one class per sample.
    /// The largest output is the label's.
    case top1
    /// The label's output is among the five largest.
    case top5
    /// The label's output is among the `k` largest.
    case topK = "top-k"
    /// Mean of the recalls of the classes that samples have.
    case balancedAccuracy = "balanced-accuracy"
    /// F1 of each class, mean over classes.
    case f1Macro = "f1-macro"
    /// F1 of each class, mean over samples.
    case f1Weighted = "f1-weighted"
    /// Share of the samples of one class that are found.
    case recall
    /// Area under the receiver operating characteristic; of more than two classes the mean of each against the rest.
    case rocAUC = "roc-auc"
    /// Area under precision over recall, without interpolation; of more than two classes the mean of each against the rest.
    case averagePrecision = "average-precision"
    /// Mean of −ln of the label's probability.
    case logLoss = "log-loss"
    /// Expected calibration error: the gap between confidence and accuracy over bins of confidence.
    case calibrationError = "calibration-error"

    // Several labels per sample.
    /// Average precision of each label, mean over labels.
    case multilabelAP = "multilabel-map"
    /// F1 of each label at a threshold, mean over labels.
    case multilabelF1 = "multilabel-f1"

    // Numbers.
    /// Mean absolute error.
    case mae
    /// Root of the mean squared error.
    case rmse
    /// Coefficient of determination, mean over the numbers of a sample.
    case r2
    /// Pearson's correlation, mean over the numbers of a sample.
    case pearson
    /// Spearman's rank correlation, mean over the numbers of a sample.
    case spearman
    /// Spearman's correlation of the cosine of a pair's two outputs with the pair's score, as in semantic textual similarity.
    case similarity

    // Images.
    /// Peak signal-to-noise ratio in decibels, mean over images.
    case psnr
    /// Structural similarity, mean over images.
    case ssim
    /// Intersection over union of each class, mean over classes.
    case meanIoU = "mean-iou"
    /// Share of pixels with the right class.
    case pixelAccuracy = "pixel-accuracy"

    // Detection.
    /// COCO's mean average precision over intersections over union of 0.50 to 0.95.
    case detectionMAP = "map"
    /// The same at 0.50.
    case detectionMAP50 = "map50"

    // Sequences.
    /// The whole sequence is right.
    case exactMatch = "exact-match"
    /// Character error rate: edits per character.
    case characterErrorRate = "cer"
    /// Word error rate: edits per word.
    case wordErrorRate = "wer"
    /// Share of frames with the right class.
    case frameAccuracy = "frame-accuracy"
    /// F1 over frames: of the positive ones of two classes, else the mean over classes.
    case frameF1 = "frame-f1"

    // Language.
    /// Share of tokens that are predicted.
    case tokenAccuracy = "token-accuracy"
    /// Mean of −ln of the tokens' probabilities.
    case crossEntropy = "cross-entropy"
    /// e to the power of the cross-entropy.
    case perplexity

    // Keyword spotting.
    /// False accepts per hour at a fixed share of misses.
    case falseAccepts = "false-accepts-per-hour"

    // A command's own number.
    /// More is better.
    case score
    /// Less is better.
    case error

    // Likeness to the original model: no labels.
    /// The largest output is the one that is largest in the original model.
    case agreement
    /// Cosine between the outputs and the original model's, mean over samples.
    case cosine
    /// Signal-to-quantization-noise ratio of the outputs against the original model's in decibels, mean over samples.
    case sqnr

    /// For headings: `top-1`, `SQNR`, `macro F1`, …
    public var title: String {
        switch self {
        case .top1: "top-1"
        case .top5: "top-5"
        case .topK: "top-k"
        case .balancedAccuracy: "balanced accuracy"
        case .f1Macro: "macro F1"
        case .f1Weighted: "weighted F1"
        case .recall: "recall"
        case .rocAUC: "ROC AUC"
        case .averagePrecision: "average precision"
        case .logLoss: "log loss"
        case .calibrationError: "calibration error"
        case .multilabelAP: "multi-label mAP"
        case .multilabelF1: "multi-label F1"
        case .mae: "MAE"
        case .rmse: "RMSE"
        case .r2: "R²"
        case .pearson: "Pearson"
        case .spearman: "Spearman"
        case .similarity: "similarity"
        case .psnr: "PSNR"
        case .ssim: "SSIM"
        case .meanIoU: "mean IoU"
        case .pixelAccuracy: "pixel accuracy"
        case .detectionMAP: "mAP"
        case .detectionMAP50: "mAP@.50"
        case .exactMatch: "exact match"
        case .characterErrorRate: "CER"
        case .wordErrorRate: "WER"
        case .frameAccuracy: "frame accuracy"
        case .frameF1: "frame F1"
        case .tokenAccuracy: "token accuracy"
        case .crossEntropy: "cross-entropy"
        case .perplexity: "perplexity"
        case .falseAccepts: "false accepts per hour"
        case .score: "score"
        case .error: "error"
        case .agreement: "agreement"
        case .cosine: "cosine"
        case .sqnr: "SQNR"
        }
    }

    /// The metric that documents and stored results name by its title.
    public init?(title: String) {
        guard let found = Self.allCases.first(where: { $0.title == title }) else { return nil }
        self = found
    }

    /// How samples make up the value.
    public enum Aggregation: Sendable {
        /// Each sample is right or wrong.
        case proportion
        /// Mean of a number per sample.
        case mean
        /// Samples contribute records, and the value is a function of all of them.
        case pooled
    }

    public var aggregation: Aggregation {
        switch self {
        case .top1, .top5, .topK, .agreement, .exactMatch: .proportion
        case .cosine, .sqnr, .logLoss, .psnr, .ssim: .mean
        default: .pooled
        }
    }

    /// Whether a sample is either right or wrong, so that the mean is a proportion.
    public var isProportion: Bool { aggregation == .proportion }

    /// Whether the value over part of the samples is off in one direction, so that an estimate from part of them is not only uncertain.
    public var isBiasedInPart: Bool {
        switch self {
        case .balancedAccuracy, .f1Macro, .f1Weighted, .averagePrecision, .calibrationError, .multilabelAP, .multilabelF1, .r2, .meanIoU, .detectionMAP, .detectionMAP50,
            .frameF1, .falseAccepts:
            true
        default: false
        }
    }

    /// Whether it compares with the original model and needs no labels.
    public var isLikeness: Bool { self == .agreement || self == .cosine || self == .sqnr }

    public var needsLabels: Bool { !isLikeness }

    /// Whether one class per sample is all that it needs of labels, and one score per class of the output.
    public var isOfClasses: Bool {
        switch self {
        case .top1, .top5, .topK, .balancedAccuracy, .f1Macro, .f1Weighted, .recall, .rocAUC, .averagePrecision, .logLoss, .calibrationError: true
        default: false
        }
    }

    /// Whether it compares numbers, so that a label 3 is a quantity and no class.
    public var isOfNumbers: Bool {
        switch self {
        case .mae, .rmse, .r2, .pearson, .spearman, .similarity, .psnr, .ssim: true
        default: false
        }
    }
}
