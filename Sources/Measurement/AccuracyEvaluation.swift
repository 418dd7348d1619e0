import Datasets
import EngineSupport
import Foundation
import Metrics
import ModelGraph
import OnnxRuntime
import Synchronization

/// How each sample fared: 1 right, 0 wrong, for metrics of right and wrong; its own value for metrics that are means over samples.
public struct SampleScores: Sendable, Equatable {
    /// `nan` where a sample has not been run; 0 for one that was, where the metric is pooled.
    public var scores: [Float]
    /// What each sample contributes, where the metric is pooled; empty for one that was not run.
    public var contributions: [[Double]] = []
    /// The class that the output says, or `nan`; of classifiers only.
    public var answers: [Float] = []
    public var metric: MetricKind

    public init(scores: [Float], contributions: [[Double]] = [], answers: [Float] = [], metric: MetricKind) {
        self.scores = scores
        self.contributions = contributions
        self.answers = answers
        self.metric = metric
    }

    public var isComplete: Bool { !scores.contains { $0.isNaN } }
}

/// Runs a model over labeled samples, batch by batch on every core, and reports as it goes.
public struct AccuracyEvaluation: Sendable {
    public let samples: SampleSet
    /// The baseline's outputs to agree with, where there are no labels.
    public let reference: ReferenceOutputs?
    /// Rows per call; fixed by the model where its batch dimension is.
    public private(set) var batch: Int
    public let outputName: String
    /// Outputs that are read; the first is `outputName`.
    private let outputNames: [String]
    /// How outputs are scored by a metric that is neither top-1 or top-5 nor a likeness; `nil` for those.
    private let scoring: TaskScoring?
    /// Pools outputs before they are scored; `nil` where they are taken as they are.
    private let pooling: MaskedMean?
    /// A program that scores outputs; `nil` for none.
    private let command: CommandScorer?
    /// How sequences are run; `nil` where a sample is one call's.
    private let sequences: SequenceRun?
    /// What the output says where it is one number per sample.
    private let single: SingleOutput
    /// The dimension of the outputs that counts samples, where the model says so.
    private let axes: [Int?]
    public let workers: Int
    /// What a call is given for samples of a range.
    private let feed: @Sendable (Range<Int>) throws -> [(String, Value)]
    /// Whether the model takes any number of rows.
    private let isBatchFree: Bool

    /// Outputs of the baseline, per sample, for metrics of agreement. Found words or boxes may be more in one sample than in another.
    public struct ReferenceOutputs: Sendable {
        private var values: [Float] = []
        /// Where each sample's numbers begin, and where the last one's end.
        private var starts = [0]

        /// Adds samples of `width` numbers each.
        mutating func append(_ rows: some Sequence<Float>, width: Int, count: Int) {
            values.append(contentsOf: rows)
            for _ in 0..<count { starts.append(starts[starts.count - 1] + width) }
        }

        /// Whether every sample is a single number: such have no direction, and no class.
        package var areSingleNumbers: Bool { starts.count > 1 && values.count == starts.count - 1 }

        /// Calls `body` with the numbers of a sample.
        package func withRow<R>(_ sample: Int, _ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
            try values.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[starts[sample]..<starts[sample + 1]])) }
        }
    }

    /// - Parameters:
    ///   - oneByOne: a sample's output depends on who else is in the batch, so samples are run one by one.
    ///   - feed: other inputs than the samples', for models that take up where another left off.
    public init(
        samples: SampleSet, model: Model, reference: ReferenceOutputs? = nil, oneByOne: Bool = false,
        workers: Int = ProcessInfo.processInfo.activeProcessorCount, feed: (@Sendable (Range<Int>) throws -> [(String, Value)])? = nil
    ) throws {
        self.samples = samples
        self.feed = feed ?? { try samples.values($0) }
        self.reference = reference
        self.workers = max(workers, 1)
        command = samples.options.command == nil ? nil : try CommandScorer(samples)
        scoring = try Self.isPlain(samples) || command != nil ? nil : TaskScoring(samples, model)
        pooling = scoring == nil ? nil : try MaskedMean(samples)
        let names = try scoring?.outputs ?? TaskScoring.outputs(samples, model)
        outputNames = names
        outputName = names[0]
        axes = names.map { name in model.graph.outputs.first { $0.name == name }.flatMap { BatchedOutput.declaredAxis(of: $0, in: model) } }
        sequences = !samples.isSequence ? nil : try SequenceRun(samples.carry, model: model, samples: samples, outputs: names)
        single = try SingleOutput(model.graph.outputs.first { $0.name == names[0] } ?? Self.scoredOutput(of: model), of: model)
        isBatchFree = samples.fixedBatch(of: model) == nil
        // Outputs that are compared number by number may not depend on the company at all; a label's place rarely does.
        batch = isBatchFree && (oneByOne || samples.isCompared) ? 1 : Self.batchSize(of: model, samples: samples)
    }

    /// Whether the one output that is scored is compared with a class or with the original's as it is: the commonest case, and the quickest.
    private static func isPlain(_ samples: SampleSet) -> Bool {
        samples.isCompared || (samples.metric == .top1 || samples.metric == .top5) && samples.labels != nil && samples.options.transforms.isEmpty
    }

    /// The output that is scored: the first tensor of floating-point numbers, else the numbers that become a table of probabilities by class,
    /// as converters of scikit-learn's classifiers write it, else the first tensor of numbers.
    package static func scoredOutput(of model: Model) throws -> ValueInfo {
        let tensors = model.graph.outputs.filter { $0.isTensor && $0.elementType != .string }
        if let output = tensors.first(where: { $0.elementType?.isFloatingPoint ?? true }) ?? model.graph.classTables.first ?? tensors.first { return output }
        let why =
            model.graph.outputs.isEmpty
            ? "the model has no output" : model.graph.outputs.contains(where: \.isTensor) ? "the model gives text alone" : "no output of the model is a tensor"
        throw EngineError(.model, "\(why), so there is nothing to score")
    }

    /// Whether a sample's output is one score per class, or one number, as far as the model declares it: then the largest
    /// score means something. Pictures, sequences, boxes and outputs of open extent are compared as a whole.
    package static func hasClassScores(_ model: Model) -> Bool {
        guard let shape = (try? scoredOutput(of: model))?.shape else { return true }
        let extents = shape.dropFirst().filter { $0 != .fixed(1) }
        return extents.count <= 1 && extents.allSatisfy { $0.fixedValue != nil }
    }

    /// The model's own batch extent where it is fixed; 1 where activations are quantized dynamically, since a batch
    /// then shares one range and answers depend on who else is in it; else 64, less for samples so large that a batch
    /// would not fit the caches.
    package static func batchSize(of model: Model, samples: SampleSet) -> Int {
        if let fixed = samples.fixedBatch(of: model) { return fixed }
        let dynamic: Set<String> = ["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"]
        let graphs = model.graph.graphPaths().lazy.compactMap { model.graph[$0] }
        if graphs.contains(where: { $0.nodes.contains { dynamic.contains($0.opType) } }) { return 1 }
        return max(1, min(largestBatch, (4 << 20) / max(samples.sampleBytes, 1)))
    }

    /// Of a model that takes any batch.
    package static let largestBatch = 64

    /// Scores of every sample below `limit`.
    ///
    /// - Parameters:
    ///   - baseline: the baseline's scores on the same samples, for the paired comparison; unfinished is fine.
    ///   - update: called with the estimate so far, first after about 256 samples, then at most every 50 ms; from
    ///     worker threads, one at a time.
    ///   - goesOn: asked behind the first 256, 512, 1024, … samples (whole batches), whether the rest is worth running. What it is shown does not
    ///     depend on the clock or on the order in which workers finish. Not asked while the estimate is biased.
    /// - Returns: what was run: all below `limit` unless `goesOn` said no.
    /// - Throws: `EngineError`; `.cancelled` at the next batch after cancellation.
    public func run(
        _ runner: ModelRunner, limit: Int? = nil, baseline: SampleScores? = nil, cancellation: Cancellation,
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }, goesOn: ((AccuracyEstimate) -> Bool)? = nil
    ) throws -> (scores: SampleScores, estimate: AccuracyEstimate) {
        let total = min(limit ?? samples.count, samples.count)
        let progress = EvaluationProgress(total: total, of: self, baseline: baseline, update: update)
        defer { try? command?.finish() }
        if let goesOn, !samples.metric.isBiasedInPart {
            var (begin, look) = (0, 256)
            while look < total {
                let end = (look + batch - 1) / batch * batch
                guard end < total else { break }
                try run(runner, begin..<end, progress, cancellation)
                let shown = progress.result(isPartial: true)
                guard goesOn(shown.1) else { return shown }
                begin = end
                while look <= end { look *= 2 }
            }
            try run(runner, begin..<total, progress, cancellation)
        } else {
            try run(runner, 0..<total, progress, cancellation)
        }
        try command?.finish()
        let result = progress.result(isPartial: false)
        if let command, result.1.value.isNaN { throw command.noSum }
        return result
    }

    /// Runs a range of samples, which begins with a whole batch, on all workers.
    private func run(_ runner: ModelRunner, _ range: Range<Int>, _ progress: EvaluationProgress, _ cancellation: Cancellation) throws {
        let (first, batches, total) = (range.lowerBound / batch, (range.upperBound + batch - 1) / batch, range.upperBound)
        let next = Atomic<Int>(first)
        let group = DispatchGroup()
        for _ in 0..<min(workers, max(batches - first, 1)) {
            let thread = Thread {
                defer { group.leave() }
                Denormals.setFlushed(true)
                while !cancellation.isCancelled, !progress.failed {
                    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                    guard index < batches else { return }
                    let range = (index * batch)..<min((index + 1) * batch, total)
                    do {
                        progress.finished(range, try scores(runner, range, cancellation))
                    } catch {
                        progress.fail(error)
                        return
                    }
                }
            }
            thread.stackSize = 4 << 20
            group.enter()
            thread.start()
        }
        group.wait()
        try cancellation.check()
        if let error = progress.error { throw error }
    }

    /// The baseline's raw outputs, for agreement metrics.
    public func referenceOutputs(_ runner: ModelRunner, cancellation: Cancellation) throws -> ReferenceOutputs {
        var reference = ReferenceOutputs()
        for start in stride(from: 0, to: samples.count, by: batch) {
            let range = start..<min(start + batch, samples.count)
            let output = try outputs(runner, range, cancellation)[0]
            reference.append(output.values, width: output.values.count / max(range.count, 1), count: range.count)
        }
        return reference
    }

    /// Outputs of a batch, sample by sample. A batch that is not full is filled with neighbors.
    private func outputs(_ runner: ModelRunner, _ range: Range<Int>, _ cancellation: Cancellation) throws -> [BatchedOutput] {
        let found = try rawOutputs(runner, range, cancellation)
        return try pooling.map { pooling in try found.map { try pooling.pooled($0, range, of: samples) } } ?? found
    }

    private func rawOutputs(_ runner: ModelRunner, _ range: Range<Int>, _ cancellation: Cancellation) throws -> [BatchedOutput] {
        var padded = range
        guard isBatchFree || samples.count >= batch else {
            throw EngineError(.data, "there are \(samples.count) samples to evaluate, fewer than the model's fixed batch of \(batch)")
        }
        if range.count < batch, samples.count >= batch {
            let start = max(range.upperBound - batch, 0)
            padded = start..<(start + batch)
        }
        let own = range.lowerBound - padded.lowerBound
        if let sequences {
            return try sequences.run(samples, padded, runner, cancellation: cancellation).map { $0.rows(own..<own + range.count) }
        }
        let values = try runner.run(try feed(padded), outputs: outputNames, cancellation: cancellation)
        return try zip(zip(outputNames, axes), values).map { output, value in
            let shape = value.shape ?? []
            if isPlainLabeled { try checkClasses(shape) }
            let floats = try value.floats()
            // Where nothing is found in a sample there may be no numbers; a label needs one.
            guard floats.count % padded.count == 0, !floats.isEmpty || !isPlainLabeled else {
                throw EngineError(.data, "output '\(output.0)' has \(floats.count) numbers for \(padded.count) samples")
            }
            let whole =
                scoring == nil && command == nil
                ? BatchedOutput(name: output.0, values: floats, shape: Array(shape.dropFirst()), rows: padded.count)
                : try BatchedOutput(name: output.0, values: floats, shape: shape, rows: padded.count, axis: output.1)
            return whole.rows(own..<own + range.count)
        }
    }

    /// How often each class is the largest of a step, over the first samples; of outputs [steps, classes]. `nil` for others.
    func classCounts(_ runner: ModelRunner, limit: Int) throws -> [Int]? {
        var counts: [Int] = []
        for start in stride(from: 0, to: min(limit, samples.count), by: batch) {
            let output = try outputs(runner, start..<min(start + batch, samples.count), Cancellation())[0]
            guard output.shape.count == 2, let classes = output.shape.last, classes > 1 else { return nil }
            if counts.isEmpty { counts = [Int](repeating: 0, count: classes) }
            guard counts.count == classes else { return nil }
            for row in 0..<output.rows {
                output.withRow(row) { values in
                    for step in 0..<output.shape[0] {
                        let scores = UnsafeBufferPointer(rebasing: values[step * classes..<(step + 1) * classes])
                        counts[OutputComparison.argmax(scores)] += 1
                    }
                }
            }
        }
        return counts
    }

    /// Shape of one sample's output.
    func sampleShape(_ runner: ModelRunner) throws -> [Int] {
        if let sequences { return try sequences.run(samples, 0..<1, runner, cancellation: Cancellation())[0].shape }
        let rows = isBatchFree ? 1 : batch
        let value = try runner.run(try feed(0..<min(rows, samples.count)), outputs: [outputName], cancellation: Cancellation())[0]
        return try BatchedOutput(name: outputName, values: value.floats(), shape: value.shape ?? [], rows: rows, axis: axes[0]).shape
    }

    /// Whether outputs are one score per class that is compared with a label.
    private var isPlainLabeled: Bool { scoring == nil && command == nil && !samples.isCompared }

    /// Whether two samples run together give what each gives alone. Not so where the model compares with the largest value of a whole batch, takes no batch
    /// of two at all, or gives no dimension that counts samples.
    package static func areIndependent(_ samples: SampleSet, _ model: Model, _ runner: ModelRunner, cancellation: Cancellation) throws -> Bool {
        guard samples.count >= 2, samples.fixedBatch(of: model) == nil else { return true }
        var evaluation = try AccuracyEvaluation(samples: samples, model: model)
        let isPlain = evaluation.scoring == nil && evaluation.command == nil && evaluation.sequences == nil
        func run(_ range: Range<Int>) throws -> [BatchedOutput] {
            evaluation.batch = range.count
            return try evaluation.outputs(runner, range, cancellation)
        }
        let (first, second) = (try run(0..<1), try run(1..<2))
        let together: [BatchedOutput]
        do {
            // The batch has to be in front where outputs are read as they come.
            if isPlain {
                let shape = try runner.run(try samples.values(0..<2), outputs: [evaluation.outputName], cancellation: cancellation)[0].shape
                guard shape?.first == 2 else { return false }
            }
            together = try run(0..<2)
        } catch let error as EngineError where error.kind != .cancelled {
            return false
        }
        return zip(zip(first, second), together).allSatisfy { alone, together in
            let alone = alone.0.values + alone.1.values
            guard together.values.count == alone.count else { return false }
            // Kernels for other batch sizes round otherwise.
            let largest = alone.reduce(Float(0)) { $1.isFinite ? max($0, abs($1)) : $0 }
            return zip(together.values, alone).allSatisfy { abs($0 - $1) <= 1e-3 * largest || !$0.isFinite && !$1.isFinite }
        }
    }

    /// - Throws: where labels are given and the output is not one score per class.
    private func checkClasses(_ shape: [Int]) throws {
        guard shape.dropFirst().count(where: { $0 > 1 }) > 1 else { return }
        throw EngineError(
            .data,
            "output '\(outputName)' has shape \(shape.shapeText), not one score per class, so labels cannot be compared; "
                + "'metric: cosine' in the data set's declaration measures agreement with the original model instead")
    }

    /// What a batch of samples gives.
    struct BatchScores {
        var scores: [Float] = []
        var contributions: [[Double]] = []
        var answers: [Float] = []
        var notFinite = 0
    }

    /// For labels beyond the classes.
    private var firstClassHint: String {
        guard let least = samples.labels?.min(), least > 0 else { return "" }
        return "; no label is 0: classes count from 0, 'label_offset: \(least)' in the declaration makes label \(least) the first"
    }

    /// Scores of samples, and how many of them give outputs that are not finite.
    private func scores(_ runner: ModelRunner, _ range: Range<Int>, _ cancellation: Cancellation) throws -> BatchScores {
        let outputs = try outputs(runner, range, cancellation)
        var result = BatchScores()
        if let command {
            result.contributions = try command.contributions(outputs, range, cancellation: cancellation)
            result.scores = [Float](repeating: 0, count: range.count)
        } else if let scoring {
            for (row, sample) in range.enumerated() {
                if outputs.contains(where: { $0.withRow(row) { !$0.allSatisfy(\.isFinite) } }) { result.notFinite += 1 }
                let contribution: [Double]
                do {
                    contribution = try scoring.contribution(row, of: outputs, target: samples.prepared.target(sample))
                } catch let error as EngineError where error.kind == .label {
                    throw EngineError(.data, "\(samples.prepared.targetPlace(sample)): \(error.reason)\(firstClassHint)")
                }
                if samples.metric.aggregation == .pooled {
                    result.contributions.append(contribution)
                    result.scores.append(0)
                } else {
                    result.scores.append(Float(contribution.first ?? .nan))
                }
            }
            if samples.metric.isOfClasses { result.answers = range.indices.map { row in outputs[0].withRow(row - range.lowerBound, single.answer) } }
        } else {
            result.scores.reserveCapacity(range.count)
            let output = outputs[0]
            let width = output.values.count / max(range.count, 1)
            for (row, sample) in range.enumerated() {
                let score = try output.withRow(row) { scores -> Float in
                    if !scores.allSatisfy(\.isFinite) { result.notFinite += 1 }
                    guard let labels = samples.labels else {
                        guard let reference else { throw EngineError(.data, "no reference outputs to agree with") }
                        return reference.withRow(sample) { OutputComparison.likeness(samples.metric, scores, $0) }
                    }
                    guard labels[sample] < (width > 1 ? width : single.classes ?? .max) else {
                        let numbers = width > 1 ? "\(width) numbers per sample" : "one number per sample, for classes 0 and 1"
                        throw EngineError(
                            .data,
                            "\(samples.prepared.targetPlace(sample)): label \(labels[sample]) but the model's output '\(outputName)' has \(numbers)\(firstClassHint)")
                    }
                    let answer = single.answer(scores)
                    result.answers.append(answer)
                    if samples.metric == .top5, width > 1 { return OutputComparison.isInTop(5, scores, label: labels[sample]) ? 1 : 0 }
                    return answer == Float(labels[sample]) ? 1 : 0
                }
                result.scores.append(score)
            }
        }
        return result
    }
}
