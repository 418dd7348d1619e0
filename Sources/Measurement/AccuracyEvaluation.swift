import Datasets
import EngineSupport
import Foundation
import Metrics
import ModelGraph
import OnnxRuntime
import Synchronization

/// How each sample fared: 1 right, 0 wrong, for metrics of right and wrong; a score in 0…1 for agreement of outputs.
public struct SampleScores: Sendable {
    /// `nan` where a sample has not been run.
    public var scores: [Float]
    public var metric: MetricKind

    public init(scores: [Float], metric: MetricKind) {
        self.scores = scores
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
    public let batch: Int
    public let outputName: String
    /// What the output says where it is one number per sample.
    private let single: SingleOutput
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
        let output = try Self.scoredOutput(of: model)
        outputName = output.name
        single = SingleOutput(output, of: model)
        isBatchFree = samples.fixedBatch(of: model) == nil
        // Outputs that are compared number by number may not depend on the company at all; a label's place rarely does.
        batch = isBatchFree && (oneByOne || samples.labels == nil) ? 1 : Self.batchSize(of: model, samples: samples)
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
    /// - Throws: `EngineError`; `.cancelled` at the next batch after cancellation.
    public func run(
        _ runner: ModelRunner, limit: Int? = nil, baseline: SampleScores? = nil, cancellation: Cancellation,
        update: @escaping @Sendable (AccuracyEstimate) -> Void = { _ in }
    ) throws -> (scores: SampleScores, estimate: AccuracyEstimate) {
        let total = min(limit ?? samples.count, samples.count)
        let batches = (total + batch - 1) / batch
        let progress = Progress(total: total, of: samples, baseline: baseline, update: update)
        let next = Atomic<Int>(0)
        let group = DispatchGroup()
        for _ in 0..<min(workers, max(batches, 1)) {
            let thread = Thread {
                defer { group.leave() }
                Denormals.setFlushed(true)
                while !cancellation.isCancelled, !progress.failed {
                    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                    guard index < batches else { return }
                    let range = (index * batch)..<min((index + 1) * batch, total)
                    do {
                        let (scores, notFinite) = try scores(runner, range, cancellation)
                        progress.finished(range, scores, notFinite: notFinite)
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
        return progress.result()
    }

    /// The baseline's raw outputs, for agreement metrics.
    public func referenceOutputs(_ runner: ModelRunner, cancellation: Cancellation) throws -> ReferenceOutputs {
        var reference = ReferenceOutputs()
        for start in stride(from: 0, to: samples.count, by: batch) {
            let range = start..<min(start + batch, samples.count)
            let (output, width) = try output(runner, range, cancellation)
            reference.append(output.prefix(range.count * width), width: width, count: range.count)
        }
        return reference
    }

    /// Output rows of a batch as floats, and the row length. A batch that is not full is filled with neighbors.
    private func output(_ runner: ModelRunner, _ range: Range<Int>, _ cancellation: Cancellation) throws -> ([Float], Int) {
        var padded = range
        guard isBatchFree || samples.count >= batch else {
            throw EngineError(.data, "there are \(samples.count) samples to evaluate, fewer than the model's fixed batch of \(batch)")
        }
        if range.count < batch, samples.count >= batch {
            let start = max(range.upperBound - batch, 0)
            padded = start..<(start + batch)
        }
        let values = try runner.run(try feed(padded), outputs: [outputName], cancellation: cancellation)
        try checkClasses(values[0].shape ?? [])
        let floats = try values[0].floats()
        // Where nothing is found in a sample there may be no numbers; a label needs one.
        guard floats.count % padded.count == 0, !floats.isEmpty || samples.labels == nil else {
            throw EngineError(.data, "output '\(outputName)' has \(floats.count) numbers for \(padded.count) samples")
        }
        let width = floats.count / padded.count
        guard padded.count > range.count else { return (floats, width) }
        let own = (range.lowerBound - padded.lowerBound) * width
        return (Array(floats[own..<(own + range.count * width)]), width)
    }

    /// Whether two samples run together give what each gives alone. Not so where the batch does not stand in front in the
    /// output, where the model compares with the largest value of a whole batch, or takes no batch of two at all.
    package static func areIndependent(_ samples: SampleSet, _ model: Model, _ runner: ModelRunner, cancellation: Cancellation) throws -> Bool {
        guard samples.count >= 2, samples.fixedBatch(of: model) == nil else { return true }
        let name = try scoredOutput(of: model).name
        func output(_ range: Range<Int>) throws -> (shape: [Int], floats: [Float]) {
            let value = try runner.run(try samples.values(range), outputs: [name], cancellation: cancellation)[0]
            return (value.shape ?? [], try value.floats())
        }
        let alone = try output(0..<1).floats + output(1..<2).floats
        let together: (shape: [Int], floats: [Float])
        do {
            together = try output(0..<2)
        } catch let error as EngineError where error.kind != .cancelled {
            return false
        }
        guard together.shape.first == 2, together.floats.count == alone.count else { return false }
        // Kernels for other batch sizes round otherwise.
        let largest = alone.reduce(Float(0)) { $1.isFinite ? max($0, abs($1)) : $0 }
        return zip(together.floats, alone).allSatisfy { abs($0 - $1) <= 1e-3 * largest || !$0.isFinite && !$1.isFinite }
    }

    /// - Throws: where labels are given and the output is not one score per class.
    private func checkClasses(_ shape: [Int]) throws {
        guard samples.labels != nil, shape.dropFirst().count(where: { $0 > 1 }) > 1 else { return }
        throw EngineError(
            .data,
            "output '\(outputName)' has shape \(shape.shapeText), not one score per class, so labels cannot be compared; "
                + "'metric: cosine' in the data set's declaration measures agreement with the original model instead")
    }

    /// Scores of samples, and how many of them give outputs that are not finite.
    private func scores(_ runner: ModelRunner, _ range: Range<Int>, _ cancellation: Cancellation) throws -> (scores: [Float], notFinite: Int) {
        let (output, width) = try output(runner, range, cancellation)
        var notFinite = 0
        let scores = try output.withUnsafeBufferPointer { rows -> [Float] in
            try range.enumerated().map { row, sample -> Float in
                let scores = UnsafeBufferPointer(rebasing: rows[(row * width)..<((row + 1) * width)])
                if !scores.allSatisfy(\.isFinite) { notFinite += 1 }
                if let labels = samples.labels {
                    guard labels[sample] < (width > 1 ? width : single.classes ?? .max) else {
                        let numbers = width > 1 ? "\(width) numbers per sample" : "one number per sample, for classes 0 and 1"
                        throw EngineError(.data, "label \(labels[sample]) but the model's output '\(outputName)' has \(numbers)")
                    }
                    if width == 1 { return single.isRight(scores[0], label: labels[sample]) ? 1 : 0 }
                    return OutputComparison.isInTop(samples.metric == .top5 ? 5 : 1, scores, label: labels[sample]) ? 1 : 0
                }
                guard let reference else { throw EngineError(.data, "no reference outputs to agree with") }
                return reference.withRow(sample) { OutputComparison.likeness(samples.metric, scores, $0) }
            }
        }
        return (scores, notFinite)
    }

    /// Gathers scores from workers. The lock makes it safe to share.
    private final class Progress: @unchecked Sendable {
        private let lock = NSLock()
        private let samples: SampleSet
        private let total: Int
        private let baseline: SampleScores?
        private let update: @Sendable (AccuracyEstimate) -> Void
        private var scores: [Float]
        private var tally: PairedTally
        private var lastUpdate = DispatchTime.now()
        private var updates = 0
        private(set) var error: (any Error)?

        init(total: Int, of samples: SampleSet, baseline: SampleScores?, update: @escaping @Sendable (AccuracyEstimate) -> Void) {
            self.total = total
            self.samples = samples
            self.baseline = baseline
            self.update = update
            scores = [Float](repeating: .nan, count: samples.count)
            tally = PairedTally(metric: samples.metric)
        }

        var failed: Bool { lock.withLock { error != nil } }
        func fail(_ error: any Error) { lock.withLock { if self.error == nil { self.error = error } } }

        func finished(_ range: Range<Int>, _ new: [Float], notFinite: Int) {
            lock.withLock {
                tally.notFinite += notFinite
                for (index, score) in zip(range, new) {
                    scores[index] = score
                    tally.add(score, baseline: baseline?.scores[index])
                }
                let now = DispatchTime.now()
                let elapsed = now.uptimeNanoseconds - lastUpdate.uptimeNanoseconds
                if tally.seen == total || (updates == 0 && tally.seen >= 256) || (updates > 0 && elapsed > 50_000_000) {
                    updates += 1
                    lastUpdate = now
                    update(tally.estimate(total: samples.count))
                }
            }
        }

        func result() -> (SampleScores, AccuracyEstimate) {
            lock.withLock { (SampleScores(scores: scores, metric: samples.metric), tally.estimate(total: samples.count)) }
        }
    }
}
