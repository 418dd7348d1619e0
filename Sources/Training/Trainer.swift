import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Techniques

/// Trains a model epoch by epoch: looks at the validation split after each, keeps the best, writes checkpoints.
public struct Trainer {
    /// What came of a training.
    public struct Outcome: Sendable {
        public var model: Model
        /// The start as number 0, then each epoch.
        public var epochs: [TrainingEpoch]
        /// Epoch whose weights were kept; 0 for the start.
        public var kept: Int
        public var steps: Int
        public var trainedParameters: Int
        /// Bytes that weights, gradients and optimizer states took.
        public var bytes: Int
        /// Median time of a step.
        public var stepMilliseconds: Double
        public var notes: [String]
    }

    public let plan: TrainingPlan
    public let source: TrainingSource
    private let step: TrainingStep
    private let start: Model

    /// - Parameters:
    ///   - teacher: the model whose outputs are learned, if the plan distils or there are no labels.
    ///   - preparation: what there is to know of a model with nodes that are there for training only.
    /// - Throws: `EngineError` if the model cannot be trained on these data.
    public init(
        _ model: Model, plan: TrainingPlan, source: TrainingSource, teacher: Model? = nil, preparation: TrainingPreparation? = nil,
        cancellation: Cancellation = Cancellation()
    ) throws {
        self.plan = plan
        self.source = source
        start = model
        step = try TrainingStep(model, plan: plan, source: source, teacher: teacher, preparation: preparation, cancellation: cancellation)
    }

    public var trainedParameters: Int { step.trainedCount }
    public var trainingBytes: Int { step.trainingBytes }
    public var notes: [String] { step.notes + [BatchFeeder.remark(source.samples, augmentation: plan.augmentation)].compactMap { $0 } }

    /// Runs to the end, to the last step that patience allows, or until told to finish.
    ///
    /// With a checkpoint of the same training in the store it goes on from there.
    /// - Parameter key: what the training is called in the store; `nil` to write no checkpoints.
    /// - Throws: `EngineError`; `.cancelled` leaves the last checkpoint in place.
    public func run(key: String? = nil, cancellation: Cancellation = Cancellation()) throws -> Outcome {
        let began = Date()
        // Another process that needs room leaves the checkpoints alone meanwhile.
        let use = key.flatMap { source.store?.hold($0) }
        defer { withExtendedLifetime(use) {} }
        var record = Record()
        if let key, let found = source.store?.checkpoint(key, fits: fits) {
            try step.restore(found.state)
            record = found.record
        } else {
            let first = try source.evaluate(start, cancellation)
            record.epochs = [TrainingEpoch(number: 0, loss: nil, accuracy: first.value, seconds: 0)]
            record.metric = first.metric.title
            record.best = try step.state()
            record.bestAccuracy = first.value
        }
        let spent = record.epochs.reduce(0) { $0 + $1.seconds }
        let total = step.totalSteps
        var recent: [Double] = []
        var times: [Double] = []
        func report(_ rate: Float) {
            source.progress(
                TrainingProgress(
                    step: record.step, totalSteps: total, epochs: record.epochs, totalEpochs: plan.epochs,
                    loss: recent.isEmpty ? nil : recent.suffix(20).reduce(0, +) / Double(min(recent.count, 20)), rate: Double(rate),
                    elapsed: spent + Date().timeIntervalSince(began), trainedParameters: step.trainedCount, metric: record.metric))
        }
        report(plan.rate)
        training: while record.step < total {
            let epoch = record.epochs.count
            let epochBegan = Date()
            let order = step.feeder.order(epoch: epoch)
            var losses: [Double] = []
            for turn in 0..<step.stepsPerEpoch {
                guard record.step < total else { break }
                try source.control.wait(cancellation)
                try cancellation.check()
                if source.control.shouldFinish { break training }
                let stepBegan = DispatchTime.now()
                let loss = try step.run(order[turn * step.batch..<(turn + 1) * step.batch], number: record.step, cancellation: cancellation)
                times.append(Double(DispatchTime.now().uptimeNanoseconds - stepBegan.uptimeNanoseconds) / 1e6)
                losses.append(loss)
                recent.append(loss)
                if recent.count > 64 { recent.removeFirst(32) }
                record.step += 1
                report(plan.rate(step: record.step - 1, of: total))
            }
            let state = try step.state()
            let estimate = try source.evaluate(step.model(state), cancellation)
            record.epochs.append(
                TrainingEpoch(
                    number: epoch, loss: losses.reduce(0, +) / Double(max(losses.count, 1)), accuracy: estimate.value, seconds: Date().timeIntervalSince(epochBegan)))
            // What came before masks stood still is no result.
            let isComparable = min(record.kept * step.stepsPerEpoch, total) >= step.settledSteps
            if !isComparable || estimate.measure.isBetter(estimate.value, than: record.bestAccuracy) || plan.keep == .last {
                record.best = state
                record.bestAccuracy = estimate.value
                record.kept = epoch
            }
            if let key { try source.store?.save(Checkpoint(state: state, record: record), as: key) }
            report(plan.rate(step: max(record.step - 1, 0), of: total))
            if plan.patience > 0, isComparable, epoch - record.kept >= plan.patience { break }
        }
        guard let best = record.best else { throw EngineError.cancelled }
        return Outcome(
            model: try step.model(best), epochs: record.epochs, kept: record.kept, steps: record.step, trainedParameters: step.trainedCount,
            bytes: step.trainingBytes, stepMilliseconds: times.isEmpty ? 0 : times.sorted()[times.count / 2], notes: notes)
    }

    /// Whether a checkpoint is one of this training.
    private func fits(_ checkpoint: Checkpoint) -> Bool {
        checkpoint.record.step <= step.totalSteps && step.fits(checkpoint.state) && (checkpoint.record.best.map(step.fits) ?? false)
    }

    /// How far a training has come.
    struct Record: Sendable {
        var step = 0
        var epochs: [TrainingEpoch] = []
        var metric = ""
        var kept = 0
        var bestAccuracy = -Double.infinity
        var best: TrainingStep.State?
    }

    package struct Checkpoint: Sendable {
        var state: TrainingStep.State
        var record: Record
    }
}
