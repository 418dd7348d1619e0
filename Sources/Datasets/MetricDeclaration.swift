import EngineSupport
import Metrics
import Yams

/// What a declaration says under `metric`: a name, or a mapping of a name and how outputs and labels are read.
struct MetricDeclaration {
    var kind: MetricKind
    var options = MetricOptions()
    /// The positive class, where names of classes are found only in the data.
    var positiveClassName: String?

    /// Names people write for a metric, beside its id.
    private static let aliases: [String: MetricKind] = [
        "accuracy": .top1, "top-1": .top1, "top-5": .top5, "topk": .topK, "balanced": .balancedAccuracy, "f1": .f1Macro, "macro-f1": .f1Macro, "weighted-f1": .f1Weighted,
        "auc": .rocAUC, "auroc": .rocAUC, "auprc": .averagePrecision, "ap": .averagePrecision, "nll": .logLoss, "ece": .calibrationError,
        "multi-label-map": .multilabelAP, "multi-label-f1": .multilabelF1, "mean-absolute-error": .mae, "root-mean-squared-error": .rmse, "r2-score": .r2, "sts": .similarity,
        "miou": .meanIoU, "iou": .meanIoU, "coco-map": .detectionMAP, "map50-95": .detectionMAP, "map-50": .detectionMAP50, "coco-map50": .detectionMAP50,
        "character-error-rate": .characterErrorRate, "word-error-rate": .wordErrorRate, "ppl": .perplexity, "false-accepts": .falseAccepts,
    ]

    /// The metric of a name, as ids and people write it.
    static func kind(_ text: String) -> MetricKind? {
        let plain = text.lowercased().replacingOccurrences(of: "_", with: "-").replacingOccurrences(of: " ", with: "-")
        return MetricKind(rawValue: plain) ?? aliases[plain]
    }

    /// - Parameters:
    ///   - classes: the declared names, for a class given by its name.
    ///   - resolved: makes paths of the declaration's folder.
    init(_ node: Node, _ yaml: YAMLFields, classes: [String], resolved: (String) -> String) throws {
        guard node.mapping != nil else {
            kind = try Self.named(node, yaml)
            guard kind != .score, kind != .error else { throw yaml.fail(node, "metric: \(kind.rawValue) is what a command answers: {command: [program, argument]}") }
            return
        }
        let fields = try yaml.mapping(
            node, "metric",
            allowed: [
                "kind", "output", "outputs", "transform", "k", "class", "threshold", "ignore", "bins", "range", "alphabet", "alphabet_file", "blank", "decode", "layout", "nms",
                "max_detections", "size", "shifted", "miss_rate", "seconds", "command", "better", "timeout",
            ], required: [])
        if let command = fields["command"] {
            if let named = fields["kind"] { throw yaml.fail(named, "metric: 'kind' and 'command' exclude each other") }
            enum Better: String, CaseIterable { case higher, lower }
            kind = try fields["better"].map { try yaml.choice($0, "better", Better.self) } == .lower ? .error : .score
            let words = try yaml.list(command, "command") { try yaml.string($0, "command") }
            guard !words.isEmpty else { throw yaml.fail(command, "command: expected a program and its arguments") }
            options.command = words.map { word in
                // A script beside the declaration, not beside whoever calls.
                let path = resolved(word)
                guard InputFile.exists(path), !InputFile.isDirectory(path) else { return word }
                // Without a slash it would be looked for among the system's programs.
                return path.contains("/") ? path : "./" + path
            }
        } else {
            guard let named = fields["kind"] else { throw yaml.fail(node, "metric: 'kind' or 'command' is missing") }
            kind = try Self.named(named, yaml)
            guard kind != .score, kind != .error else { throw yaml.fail(named, "metric: \(kind.rawValue) is what a command answers: {command: [program, argument]}") }
            if let better = fields["better"] { throw yaml.fail(better, "better: only of a command; \(kind.rawValue) has its own direction") }
        }
        for (key, value) in fields {
            switch key {
            case "output": options.outputs = [try yaml.string(value, key)]
            case "outputs": options.outputs = try yaml.list(value, key) { try yaml.string($0, key) }
            case "transform": options.transforms = try Self.transforms(value, yaml)
            case "k": options.k = try yaml.integer(value, key, in: 1...1_000_000)
            case "class":
                if let index = classes.firstIndex(of: try yaml.string(value, key)) {
                    options.positiveClass = index
                } else if value.int == nil, classes.isEmpty {
                    positiveClassName = try yaml.string(value, key)
                } else if value.int == nil {
                    throw yaml.fail(value, "class: expected a number or one of \(DelimitedText.listed(classes)), found '\(try yaml.string(value, key).shortened)'")
                } else {
                    options.positiveClass = try yaml.integer(value, key, in: 0...1_000_000)
                }
            case "threshold": options.threshold = try yaml.number(value, key)
            case "ignore": options.ignore = try yaml.integer(value, key, in: -1_000_000...1_000_000_000)
            case "bins": options.bins = try yaml.integer(value, key, in: 1...10_000)
            case "range":
                options.dataRange = try yaml.number(value, key)
                guard options.dataRange ?? 0 > 0 else { throw yaml.fail(value, "range: expected a number above 0") }
            case "alphabet":
                options.alphabet = value.sequence == nil ? try yaml.string(value, key).map(String.init) : try yaml.list(value, key) { try yaml.string($0, key) }
            case "alphabet_file":
                let path = resolved(try yaml.string(value, key))
                let bytes = try InputFile.read(path, limit: DataLimits.declarationBytes)
                guard let text = String(validating: bytes, as: UTF8.self) else { throw EngineError(.data, "\(path): not UTF-8 text") }
                var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.hasSuffix("\r") ? String($0.dropLast()) : String($0) }
                if lines.last == "" { lines.removeLast() }
                options.alphabet = lines
            case "blank": options.blank = try yaml.integer(value, key, in: -1...1_000_000)
            case "decode": options.decoding = try yaml.choice(value, key, MetricOptions.Decoding.self)
            case "layout": options.layout = try yaml.choice(value, key, MetricOptions.DetectionLayout.self)
            case "nms": options.suppression = try Self.share(value, key, yaml)
            case "max_detections": options.maxDetections = try yaml.integer(value, key, in: 1...100_000)
            case "size": options.inputSize = try yaml.list(value, key, count: 2...2) { try yaml.integer($0, key, in: 1...65_536) }
            case "shifted": options.isShifted = try yaml.boolean(value, key)
            case "miss_rate": options.missRate = try Self.share(value, key, yaml)
            case "seconds":
                options.seconds = try yaml.number(value, key)
                guard options.seconds ?? 0 > 0 else { throw yaml.fail(value, "seconds: expected a number above 0") }
            case "timeout":
                options.commandSeconds = try yaml.number(value, key)
                guard options.commandSeconds ?? 0 > 0 else { throw yaml.fail(value, "timeout: expected seconds above 0") }
            default: break
            }
        }
        if fields["output"] != nil, let both = fields["outputs"] { throw yaml.fail(both, "metric: 'output' and 'outputs' exclude each other") }
        if fields["alphabet"] != nil, let both = fields["alphabet_file"] { throw yaml.fail(both, "metric: 'alphabet' and 'alphabet_file' exclude each other") }
    }

    private static func named(_ node: Node, _ yaml: YAMLFields) throws -> MetricKind {
        let text = try yaml.string(node, "metric")
        guard let kind = kind(text) else {
            throw yaml.fail(node, "metric '\(text.shortened)': expected one of \(MetricKind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return kind
    }

    private static func share(_ node: Node, _ what: String, _ yaml: YAMLFields) throws -> Double {
        let value = try yaml.number(node, what)
        guard (0...1).contains(value) else { throw yaml.fail(node, "\(what): expected 0 to 1, found \(value)") }
        return value
    }

    private static func transforms(_ node: Node, _ yaml: YAMLFields) throws -> [OutputTransform] {
        guard node.sequence != nil else { return [try transform(node, yaml)] }
        return try yaml.list(node, "transform") { try transform($0, yaml) }
    }

    private static func transform(_ node: Node, _ yaml: YAMLFields) throws -> OutputTransform {
        let axes = -16...16
        guard node.mapping != nil else {
            switch try yaml.string(node, "transform") {
            case "softmax": return .softmax(axis: -1)
            case "sigmoid": return .sigmoid
            case "argmax": return .argmax(axis: -1)
            default:
                throw yaml.fail(
                    node,
                    "transform: expected softmax, sigmoid, argmax, {softmax: axis}, {argmax: axis}, {mean: axis}, {mean: {axis: axis, mask: input}}, {threshold: number}, {transpose: [axes]} or {select: [axis, index]}"
                )
            }
        }
        let fields = try yaml.mapping(node, "transform", allowed: ["softmax", "argmax", "mean", "threshold", "transpose", "select"], required: [])
        guard fields.count == 1, let (key, value) = fields.first else { throw yaml.fail(node, "transform: expected one transform in each entry") }
        switch key {
        case "softmax": return .softmax(axis: try yaml.integer(value, key, in: axes))
        case "argmax": return .argmax(axis: try yaml.integer(value, key, in: axes))
        case "mean" where value.mapping != nil:
            let parts = try yaml.mapping(value, key, allowed: ["axis", "mask"], required: ["axis", "mask"])
            guard let axis = parts["axis"], let mask = parts["mask"] else { throw yaml.fail(value, "mean: expected axis and mask") }
            return .maskedMean(axis: try yaml.integer(axis, "axis", in: axes), mask: try yaml.string(mask, "mask"))
        case "mean": return .mean(axis: try yaml.integer(value, key, in: axes))
        case "threshold": return .threshold(try yaml.number(value, key))
        case "transpose": return .transpose(try yaml.list(value, key) { try yaml.integer($0, key, in: axes) })
        default:
            let pair = try yaml.list(value, key, count: 2...2) { try yaml.integer($0, key, in: -1_000_000...1_000_000) }
            return .select(axis: pair[0], index: pair[1])
        }
    }
}
