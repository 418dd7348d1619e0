import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Recipes

/// What there is to learn about time for one model: its profile, and the kernels that its techniques may make of its layers.
final class SessionKernels: Sendable {
    private let opened: OpenedModel
    private let shapes: SessionShapes
    private let latencies: SessionLatency

    init(_ opened: OpenedModel, _ shapes: SessionShapes, _ latencies: SessionLatency) {
        self.opened = opened
        self.shapes = shapes
        self.latencies = latencies
    }

    /// What is known so far: the baseline's profile, and what earlier sessions found of the same kernels.
    /// - Returns: `nil` where the model does not run, or runs in ways that hang on the sample.
    func begin(baseline: Double, conditions: LatencyConditions, cancellation: Cancellation) throws -> LearningPlan? {
        // Kernels are those of single samples.
        guard conditions.batch == 1, let runtime = opened.runtime, let values = try shapes.shapes(of: opened.model, cancellation: cancellation) else { return nil }
        let operators = try latencies.profile(of: opened.model, conditions: conditions, cancellation: cancellation)
        let layers = opened.layers
        let kernels = layers.map { Kernel($0, in: opened.model, shapes: values) }
        let times = operators.byLayer
        let store = LatencyStore(runtime: runtime.version.description, threads: conditions.threads)
        let (known, residuals) = store.read()
        var table = KernelTable()
        var groups: [(kernels: [Kernel], time: Double)] = []
        var seen = Set<Kernel>()
        for (layer, kernel) in zip(layers, kernels) {
            guard let kernel, seen.insert(kernel).inserted else { continue }
            var missing: [Kernel] = []
            for variant in kernel.variants where !table.contains(variant) && !missing.contains(variant) {
                if let time = known[variant] { table.insert(variant, milliseconds: time) } else { missing.append(variant) }
            }
            if !missing.isEmpty { groups.append((missing, times[layer.id] ?? 0)) }
        }
        let forecast = LatencyForecast(
            conditions: conditions, baseline: baseline, profile: times, total: operators.reduce(0) { $0 + $1.milliseconds }, nodes: operators.count, layerIDs: layers.map(\.id),
            kernels: kernels, table: table, residuals: residuals)
        // What takes longest in the model counts most.
        return LearningPlan(
            conditions: conditions, forecast: forecast, groups: groups.sorted { $0.time > $1.time }.map(\.kernels), store: store, operators: operators)
    }

    func time(_ kernels: [Kernel], conditions: LatencyConditions, cancellation: Cancellation) throws -> [Kernel: Double] {
        try KernelTiming.milliseconds(kernels, library: try opened.requiredRuntime(), threads: conditions.threads, cancellation: cancellation)
    }
}

/// What is still to be timed of a model's kernels.
struct LearningPlan: Sendable {
    let conditions: LatencyConditions
    let forecast: LatencyForecast
    /// Kernels that are timed together, what matters most first.
    let groups: [[Kernel]]
    let store: LatencyStore
    /// The baseline's profile, operator by operator.
    var operators: [OperatorTime] = []
}
