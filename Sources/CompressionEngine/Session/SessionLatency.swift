import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Synchronization
import Techniques

/// Times models against the baseline, whose runners are made once for every number of threads.
final class SessionLatency: Sendable {
    private let opened: OpenedModel
    private let shapes: SessionShapes
    private let baselines = Mutex<[Int: ModelRunner]>([:])

    init(_ opened: OpenedModel, _ shapes: SessionShapes) {
        self.opened = opened
        self.shapes = shapes
    }

    func compare(
        _ candidate: Model, batch: Int, threads: Int, seconds: Double, operators: Bool, cancellation: Cancellation, progress: (Double) -> Void
    ) throws -> (LatencyFigures, [OperatorTime]) {
        let runtime = try opened.requiredRuntime()
        // Where the time hangs on the sample, each call gets another.
        let isConditional = TechniqueRegistry.profiler(of: candidate) != nil || TechniqueRegistry.profiler(of: opened.model) != nil
        let (inputs, rows) = try self.inputs(batch: batch)
        var further: [[(String, Value)]] = []
        if isConditional, let samples = opened.examples ?? opened.validation, samples.count >= rows {
            further = try stride(from: rows, through: min(samples.count, 4096) - rows, by: rows).map { try samples.values($0..<($0 + rows)) }
        }
        let figures = try LatencyMeasurement.compare(
            baseline: try baseline(threads: threads), candidate: try ModelRunner(candidate, library: runtime, threads: threads),
            inputs: isConditional ? [inputs] + further : [inputs], outputs: opened.model.graph.outputs.map(\.name), batch: rows, threads: threads,
            seconds: seconds, version: runtime.version.description, cancellation: cancellation, progress: progress)
        let times = operators ? try OperatorProfile.measure(candidate, library: runtime, inputs: inputs, threads: threads, cancellation: cancellation) : []
        return (figures, times)
    }

    /// Time by operator of a model.
    func profile(of model: Model, conditions: LatencyConditions, cancellation: Cancellation) throws -> [OperatorTime] {
        try OperatorProfile.measure(
            model, library: try opened.requiredRuntime(), inputs: try inputs(batch: conditions.batch).0, threads: conditions.threads, runs: 30,
            cancellation: cancellation)
    }

    /// The baseline's runner, made when first asked for.
    func baseline(threads: Int) throws -> ModelRunner {
        if let known = baselines.withLock({ $0[threads] }) { return known }
        let runner = try ModelRunner(opened.model, library: try opened.requiredRuntime(), threads: threads, label: "baseline")
        baselines.withLock { $0[threads] = runner }
        return runner
    }

    /// Values for one call, and how many rows they are: samples of the validation split, or placeholders.
    private func inputs(batch: Int) throws -> ([(String, Value)], Int) {
        if let samples = opened.examples ?? opened.validation, samples.count > 0 {
            let rows = min(samples.fixedBatch(of: opened.model) ?? batch, samples.count)
            return (try samples.values(0..<rows), rows)
        }
        let tensors = try shapes.placeholders()
        return (try tensors.map { ($0.name, try RuntimeValues.view($0)) }, tensors.first?.dims.first ?? 1)
    }
}

extension EngineSession {
    /// Interleaved latency of a model against the baseline at a batch size, and the model's time by operator.
    /// - Parameter seconds: to spend, about.
    public func latency(
        of candidate: Model, batch: Int = 1, threads: Int = 1, seconds: Double = 2, operators: Bool = true,
        cancellation: Cancellation = Cancellation(), progress: (Double) -> Void = { _ in }
    ) throws -> (LatencyFigures, [OperatorTime]) {
        try latencies.compare(candidate, batch: batch, threads: threads, seconds: seconds, operators: operators, cancellation: cancellation, progress: progress)
    }
}
