import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime
import Techniques

/// Streams intermediate values over a sample set through the runtime.
public struct CalibrationRun: CalibrationSource {
    public let samples: SampleSet
    private let library: RuntimeLibrary
    /// Bytes of watched values in one batch, about: all of them are in memory at once.
    private static let batchBytes = 48 << 20
    /// Calls at once.
    private static let callers = ProcessInfo.processInfo.activeProcessorCount

    public init(samples: SampleSet, library: RuntimeLibrary) {
        self.samples = samples
        self.library = library
    }

    public var contentHash: ContentHash { ContentHash(of: samples.contentHash) }
    public var sampleCount: Int { samples.count }
    public var labels: [Int]? { samples.labels }

    public func gradients(
        of model: Model, weights: [String], limit: Int, cancellation: Cancellation, body: (_ gradients: [String: [Float]]) throws -> Void
    ) throws {
        guard let labels else { throw EngineError(.data, "gradients need calibration data with labels") }
        let source = TrainingSource(samples: samples, labels: labels, library: library, store: nil) { _, _ in
            throw EngineError(.technique, "nothing is trained here")
        }
        var plan = TrainingPlan()
        plan.batch = 32
        plan.batchNorm = .frozen
        plan.keepsStructure = false
        plan.scope = .named(Set(weights))
        let step = try TrainingStep(model, plan: plan, source: source, cancellation: cancellation)
        let order = (0..<samples.count).map { BatchFeeder.Entry(sample: $0) }
        // Whole batches only; at least one.
        for first in stride(from: 0, through: max(min(limit, samples.count) - step.batch, 0), by: step.batch) {
            try cancellation.check()
            try body(step.gradients(order[first..<first + step.batch], cancellation: cancellation))
        }
    }

    public func forEachBatch(
        of model: Model, values names: [String], limit: Int, cancellation: Cancellation, body: ([CalibrationValue]) throws -> Void
    ) throws {
        try forEachBatch(ofAll: [(model, names)], limit: limit, cancellation: cancellation) { try body($0[0]) }
    }

    public func forEachBatch(
        ofAll models: [(model: Model, values: [String])], limit: Int, cancellation: Cancellation, body: ([[CalibrationValue]]) throws -> Void
    ) throws {
        guard let first = models.first?.model else { return }
        let exposed = try models.map { try Exposed($0.model, $0.values, library: library) }
        let fixed = samples.fixedBatch(of: first)
        // The first sample tells how large the values are.
        var batch = fixed ?? 1
        let largest = min(32, models.map { AccuracyEvaluation.batchSize(of: $0.model, samples: samples) }.min() ?? 1)
        let total = min(limit, samples.count)
        var next = 0
        while next < total {
            // As many batches at once as there are cores, each on one thread; the first alone, since it decides about the others.
            var ranges: [Range<Int>] = []
            while next < total, ranges.count < (next == 0 ? 1 : Self.callers) {
                var range = next..<min(next + batch, total)
                next = range.upperBound
                // A model of fixed batch gets whole batches only.
                if fixed != nil, range.count < batch {
                    guard samples.count >= batch else { throw EngineError(.data, "calibration needs at least \(batch) samples, the model's fixed batch") }
                    range = max(range.upperBound - batch, 0)..<max(range.upperBound, batch)
                }
                ranges.append(range)
            }
            let results = try Parallel.map(ranges) { range in
                let feeds = try samples.values(range)
                return try exposed.map { try $0.run(feeds, cancellation) }
            }
            if fixed == nil, batch == 1, let first = results.first, ranges[0].lowerBound == 0 {
                let bytes = try first.joined().reduce(0) { try $0 + $1.value.withUnsafeBytes(\.count) }
                batch = max(1, min(largest, Self.batchBytes / max(bytes, 1)))
            }
            // In the order of the samples, whichever call was done first.
            for values in results { try withAllValues(exposed.map(\.names), values, [], body) }
            try cancellation.check()
        }
    }

    /// A model in a session that gives intermediate values.
    private struct Exposed: Sendable {
        let names: [String]
        private let produced: [String]
        private let runner: ModelRunner
        /// Weights handed over with every call; empty where they are constants of the session.
        private let weights: [(String, Value)]
        /// Bytes of weights above which they are not copied into the session.
        private static let copiedBytes = 32 << 20

        init(_ model: Model, _ names: [String], library: RuntimeLibrary) throws {
            var exposed = model
            let outputs = Set(model.graph.outputs.map(\.name))
            let inputs = Set(model.graph.inputs.map(\.name))
            // A model input is its own value; the runtime will not give it as an output.
            produced = names.filter { !inputs.contains($0) }
            for name in produced where !outputs.contains(name) {
                exposed.graph.outputs.append(model.graph.valueInfos[name] ?? ValueInfo(name: name, elementType: nil, shape: nil))
            }
            self.names = names
            var options = SessionOptions()
            // Fusions that change values' bits would calibrate another network than the one quantized.
            options.graphOptimizationLevel = .basic
            let bytes = model.graph.initializers.values.reduce(0) { $0 + $1.storage.byteCount }
            var light = exposed
            if bytes > Self.copiedBytes {
                let moved = light.moveWeightsToInputs()
                // Where a kernel insists on constant weights, the session gets them after all.
                if let session = try? ModelRunner(light, library: library, threads: 1, options: options, label: "calibration model") {
                    runner = session
                    weights = try moved.map { ($0.name, try RuntimeValues.view($0)) }
                    return
                }
            }
            runner = try ModelRunner(exposed, library: library, threads: 1, options: options, label: "calibration model")
            weights = []
        }

        func run(_ feeds: [(String, Value)], _ cancellation: Cancellation) throws -> [String: Value] {
            let results = produced.isEmpty ? [] : try runner.run(feeds + weights, outputs: produced, cancellation: cancellation)
            return Dictionary(zip(produced, results) + feeds.map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// Gathers the values of each model in turn.
    private func withAllValues(
        _ names: [[String]], _ values: [[String: Value]], _ gathered: [[CalibrationValue]], _ body: ([[CalibrationValue]]) throws -> Void
    ) throws {
        guard gathered.count < names.count else { return try body(gathered) }
        try withValues(names[gathered.count], values[gathered.count], []) { try withAllValues(names, values, gathered + [$0], body) }
    }

    /// Gathers the named values as float buffers that stay valid during `body`.
    private func withValues(
        _ names: [String], _ values: [String: Value], _ gathered: [CalibrationValue], _ body: ([CalibrationValue]) throws -> Void
    ) throws {
        var gathered = gathered
        for (index, name) in names.enumerated().dropFirst(gathered.count) {
            guard let value = values[name], let shape = value.shape else {
                gathered.append(CalibrationValue(name: name, shape: [], floats: UnsafeBufferPointer(start: nil, count: 0)))
                continue
            }
            if value.elementType == .float {
                return try value.withUnsafeBytes { bytes in
                    let floats = bytes.bindMemory(to: Float.self)
                    try withValues(names, values, gathered + [CalibrationValue(name: name, shape: shape, floats: floats)], body)
                }
            }
            _ = index
            let copy = (try? value.floats()) ?? []
            return try copy.withUnsafeBufferPointer { floats in
                try withValues(names, values, gathered + [CalibrationValue(name: name, shape: shape, floats: floats)], body)
            }
        }
        try body(gathered)
    }
}
