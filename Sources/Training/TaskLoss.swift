import Datasets
import Differentiation
import EngineSupport
import Measurement
import Metrics
import ModelGraph
import OnnxRuntime

/// The loss that labels other than one class per sample ask for: numbers, several labels, a class for each step, token or pixel, texts.
///
/// Numbers: mean squared difference, or mean absolute where that is measured. Several labels and frames of one number: binary cross-entropy of what
/// the sigmoid at the end reads. Steps, tokens and pixels: cross-entropy over the classes of each; those to be ignored have no part in it. Texts that
/// are read off by CTC: the probability of the text over all ways to say it.
struct TaskLoss: Sendable {
    let kind: LossTerm.Kind
    /// The value of the graph that is compared.
    let value: String
    /// What targets are written to: one sample's numbers.
    let width: Int
    /// Shape of the targets of a shard.
    let shape: [Int]
    let isOfClasses: Bool
    private let classes: Int
    private let ignored: Int
    private let isShifted: Bool
    /// How texts are spelled; `nil` for other labels.
    private let spelling: Spelling?

    /// - Returns: `nil` where labels have no loss that a gradient goes through: boxes, and what does not fit the outputs.
    init?(_ source: TrainingSource, shard: Int, forward: inout Model, shapes: inout [String: [Int]]) throws {
        let samples = source.samples
        let options = samples.options
        if let texts = try TextLoss(samples, shard: shard, forward: &forward, shapes: &shapes) {
            (kind, value, shape, isOfClasses, classes, spelling) = (.sequence, texts.value, [shard, 3, texts.spelling.states], true, 0, texts.spelling)
            (width, ignored, isShifted) = (3 * texts.spelling.states, 0, false)
            return
        }
        spelling = nil
        guard let targets = samples.prepared.targets, samples.count > 0, targets.kind == .numbers || targets.kind == .classes || samples.metric.isOfNumbers else { return nil }
        let first: Int
        switch try samples.prepared.target(0) {
        case .label: first = 1
        case .numbers(let values, _): first = values.count
        case .classes(let values, _): first = values.count
        case .text, .boxes: return nil
        }
        width = first
        ignored = options.ignore ?? -100
        isShifted = try samples.predictsNext()
        let output = try options.outputs.first ?? AccuracyEvaluation.scoredOutput(of: forward).name
        let scores = TrainingObjective.scores(behind: output, of: forward)
        guard let dims = shapes[scores], dims.first == shard, shard > 0, width > 0 else { return nil }
        let each = dims.reduce(1, *) / shard
        let isMultiLabel = samples.metric == .multilabelAP || samples.metric == .multilabelF1
        if samples.metric.isOfNumbers || targets.kind == .numbers && !isMultiLabel {
            guard each == width else { return nil }
            (kind, value, shape, isOfClasses, classes) = (samples.metric == .mae ? .meanAbsolute : .meanSquare, scores, dims, false, 0)
        } else if each == width {
            let logits = SingleOutput.logit(behind: output, in: forward) ?? scores
            (kind, value, shape, isOfClasses, classes) = (.binaryCrossEntropy, logits, dims, true, 2)
        } else if each % width == 0, dims.last == each / width {
            (kind, value, shape, isOfClasses, classes) = (.crossEntropy(smoothing: 0), scores, [shard * width], true, each / width)
        } else if each % width == 0, dims.count >= 3, dims[1] == each / width {
            // Classes behind the batch, as segmenters have them: to the end.
            let turned = "\(scores).classes.last"
            let order = [0] + Array(2..<dims.count) + [1]
            forward.graph.nodes.append(Node("Transpose", inputs: [scores], outputs: [turned], attributes: [Attribute("perm", .integers(order))]))
            shapes[turned] = order.map { dims[$0] }
            (kind, value, shape, isOfClasses, classes) = (.crossEntropy(smoothing: 0), turned, [shard * width], true, each / width)
        } else {
            return nil
        }
    }

    var type: ModelGraph.ElementType { isOfClasses ? .int64 : .float32 }

    func zeros(_ library: RuntimeLibrary) throws -> Value { try Value(zeros: isOfClasses ? .int64 : .float, shape: shape, library: library) }

    /// Writes the targets of samples, one after the other.
    /// - Throws: `EngineError` if a file is damaged, or a sample's target has another size than the first's.
    func fill(_ value: Value, with samples: some Collection<Int>, of set: SampleSet) throws {
        let rows = try samples.map { sample -> [Float] in
            let row: [Float] =
                switch try set.prepared.target(sample) {
                case .label(let label): [Float(label)]
                case .numbers(let values, _): values
                case .classes(let values, _): values.map(Float.init)
                case .text(let text): try spelling?.targets(text, sample: set.prepared.rows[sample]).map(Float.init) ?? []
                case .boxes: []
                }
            guard row.count == width else { throw EngineError(.data, "the target of sample \(sample) has \(row.count) numbers, that of the first \(width)") }
            return row
        }
        try value.withUnsafeMutableBytes { bytes in
            guard isOfClasses else {
                let floats = bytes.bindMemory(to: Float.self)
                for (place, row) in rows.enumerated() { for step in 0..<width { floats[place * width + step] = row[step] } }
                return
            }
            let numbers = bytes.bindMemory(to: Int64.self)
            if spelling != nil {
                for (place, row) in rows.enumerated() { for step in 0..<width { numbers[place * width + step] = Int64(row[step]) } }
                return
            }
            for (place, row) in rows.enumerated() {
                for step in 0..<width {
                    let truth = isShifted ? step + 1 < width ? row[step + 1] : -1 : row[step]
                    // An index beyond the classes is none of them.
                    let counts = truth >= 0 && Int(truth) != ignored && Int(truth) < classes
                    numbers[place * width + step] = counts ? Int64(truth) : Int64(classes)
                }
            }
        }
    }
}
