import Datasets
import Differentiation
import Dispatch
import EngineSupport
import Foundation
import Measurement
import Metrics
import ModelGraph
import OnnxRuntime
import Synchronization

/// Gradients of a model's weights whose products with a change of the weights have, squared, the mean of twice the loss that the change costs.
///
/// The loss is how far outputs move from what they are (`LossCurvature`), so no labels are looked at, and its first derivative is 0: the second is all there is.
/// One pass forward and back over some samples serves every change of every weight.
package struct CurvatureProbes: Sendable {
    /// Weights that a gradient reaches, in the order of `forEach`.
    package let weights: [String]
    /// Samples of one gradient, a sum over them.
    package let batch: Int
    /// Gradients that there are.
    package let count: Int
    /// Where the way back ends early, a line each.
    package let notes: [String]

    private let samples: SampleSet
    private let session: Session
    private let signature: Session.Signature
    private let library: RuntimeLibrary
    private let inputs: [String]
    private let signShape: [Int]
    private let values: [Value]
    private let shapes: [[Int]]

    /// Samples summed into one gradient: convolutions run as fast as they do from eight on (`BatchFolding`), and more gradients are worth more than longer sums.
    private static let shard = 8
    /// Of the softmax. Divergences of it order layers as losses of accuracy do better than those of the softmax itself, which hardly see what happens to
    /// samples that the model is sure of.
    package static let temperature: Float = 2

    /// - Parameters:
    ///   - weights: names of float weights of the main graph.
    ///   - limit: samples at most; whole batches are taken, at least one.
    /// - Throws: `EngineError` if no gradient reaches a weight, or the model cannot be run on the samples.
    package init(_ model: Model, weights wanted: Set<String>, samples: SampleSet, limit: Int, library: RuntimeLibrary, cancellation: Cancellation) throws {
        guard samples.count > 0 else { throw EngineError(.data, "there are no samples to take gradients on") }
        self.samples = samples
        self.library = library
        let source = TrainingSource(samples: samples, labels: samples.labels, library: library, store: nil) { _, _ in
            throw EngineError(.technique, "nothing is trained here")
        }
        var plan = TrainingPlan()
        plan.batchNorm = .frozen
        plan.keepsStructure = false
        plan.scope = .named(wanted)
        let trainable = try TrainableModel(model, plan: plan)
        batch = samples.fixedBatch(of: model) ?? min(Self.shard, samples.count)
        guard samples.count >= batch else { throw EngineError(.data, "the model takes \(batch) samples at once, but there are \(samples.count)") }
        count = max(1, min(limit, samples.count) / batch)
        let batch = batch
        let first = try samples.inputs.enumerated().map { index, input in
            try Tensor(
                name: input.name, elementType: ElementType(rawValue: input.type.rawValue), dims: input.valueShape(rows: batch),
                storage: TensorStorage(viewing: try samples.prepared.samples(0..<(input.isWhole ? 1 : batch), input: index), owner: samples.prepared))
        }
        var probed = try TrainingShapes.probe(trainable.forward, inputs: first, library: library, cancellation: cancellation)
        var forward = trainable.forward
        for input in first {
            guard let place = forward.graph.inputs.firstIndex(where: { $0.name == input.name }) else { continue }
            forward.graph.inputs[place].shape = input.dims.map { .fixed($0) }
        }
        let term = try Self.term(plan, source, model, shard: batch, forward: &forward, shapes: &probed.shapes)
        guard let dims = probed.shapes[term.value] else { throw EngineError(.runtime, "the shape of '\(term.value)' is not known") }
        let curvature = Self.curvature(of: term, in: forward, dims, samples)
        signShape = curvature.signShape(of: dims)
        let signs = "lathe.signs"
        let gradient: GradientGraph
        do {
            gradient = try GradientGraph(
                forward: forward, shapes: probed.shapes, integers: probed.integers, trained: trainable.parameters.map(\.name),
                loss: [LossTerm(.probe(curvature), value: term.value, target: signs)],
                targets: [ValueInfo(name: signs, elementType: .float32, shape: signShape.map { .fixed($0) })], batch: 1, shard: batch)
        } catch let error as DifferentiationError {
            throw EngineError(.technique, "the model's loss has no gradient: \(error.message)")
        }
        notes = gradient.barriers.map { "no gradient reaches layers before \($0.opType) ('\($0.node)'): it \($0.reason)" }
        let reached = trainable.parameters.filter { gradient.gradients[$0.name] != nil }
        weights = reached.map(\.target)
        shapes = reached.map(\.dims)
        var graph = gradient.model
        for parameter in trainable.parameters where gradient.gradients[parameter.name] == nil {
            graph.graph.inputs.removeAll { $0.name == parameter.name }
            graph.graph.initializers[parameter.name] = Tensor(name: parameter.name, floats: parameter.start, dims: parameter.dims)
        }
        graph.graph.outputs.removeAll { $0.name == GradientGraph.loss }
        graph.graph.removeDeadCode()
        var options = SessionOptions()
        options.graphOptimizationLevel = .extended
        options.flushesDenormals = true
        session = try ModelRunner(graph, library: library, threads: 1, options: options, label: "gradient graph").session
        let runInputs = session.inputs
        let used = first.filter { input in runInputs.contains { $0.name == input.name } }
        inputs = used.map(\.name)
        values = try reached.map { try Value($0.start, shape: $0.dims, library: library) }
        signature = try session.signature(
            inputs: used.map(\.name) + [signs] + reached.map(\.name), outputs: reached.compactMap { gradient.gradients[$0.name] })
    }

    /// What is learned of these samples where something is learned: its value is the one that counts.
    private static func term(
        _ plan: TrainingPlan, _ source: TrainingSource, _ model: Model, shard: Int, forward: inout Model, shapes: inout [String: [Int]]
    ) throws -> LossTerm {
        let objective = try TrainingObjective(plan, source: source, teacher: model, shard: shard, forward: &forward, shapes: &shapes)
        guard let term = objective.terms.first else { throw EngineError(.model, "the model has no output whose loss could be told") }
        return term
    }

    private static func curvature(of term: LossTerm, in forward: Model, _ dims: [Int], _ samples: SampleSet) -> LossCurvature {
        switch term.kind {
        case .crossEntropy, .distillation, .sequence: return .softmax(temperature: temperature)
        case .binaryCrossEntropy: return .sigmoid(temperature: temperature)
        case .meanSquare, .meanAbsolute, .huber, .attentionTransfer, .probe:
            // Without labels: classes where answers are compared, or where a softmax follows.
            let isOfClasses = samples.isCompared && dims.count > 1 && (dims.last ?? 1) > 1
            let hasSoftmax = forward.graph.nodes.contains { ["Softmax", "LogSoftmax"].contains($0.opType) && $0.input(0) == term.value }
            return isOfClasses && (samples.metric == .agreement || hasSoftmax) ? .softmax(temperature: temperature) : .square
        }
    }

    /// Calls `body` with every gradient, from several threads at once: its number and the gradients of `weights`, valid during the call.
    ///
    /// The same seed gives the same gradients, whatever the number of threads.
    package func forEach(seed: UInt64 = 0, cancellation: Cancellation, _ body: @Sendable (Int, [UnsafeBufferPointer<Float>]) throws -> Void) throws {
        let bytes = shapes.reduce(0) { $0 + $1.reduce(1, *) * MemoryLayout<Float>.size }
        let lanes = max(1, min(ProcessInfo.processInfo.activeProcessorCount, count, (512 << 20) / max(bytes, 1)))
        let failure = Mutex<(any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: lanes) { lane in
            do {
                let signs = try Value(zeros: .float, shape: signShape, library: library)
                let gradients = try shapes.map { try Value(zeros: .float, shape: $0, library: library) }
                for number in stride(from: lane, to: count, by: lanes) {
                    try cancellation.check()
                    let feeds = Dictionary(uniqueKeysWithValues: try samples.values(number * batch..<(number + 1) * batch))
                    try draw(signs, seed: seed, number: number)
                    try session.run(signature, inputs.compactMap { feeds[$0] } + [signs] + values, into: gradients)
                    try Value.withUnsafeMutableBytes(of: gradients) { buffers in
                        try body(number, buffers.map { UnsafeBufferPointer(rebasing: UnsafeBufferPointer($0.bindMemory(to: Float.self))[...]) })
                    }
                }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) {
            if let error = error as? OnnxRuntimeError { throw EngineError(.runtime, "gradients: \(error)") }
            throw error
        }
    }

    private func draw(_ signs: Value, seed: UInt64, number: Int) throws {
        var generator = SeededGenerator(seed: seed &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
        try signs.withUnsafeMutableBytes { bytes in
            let floats = bytes.bindMemory(to: Float.self)
            var (bits, left) = (UInt64(0), 0)
            for place in floats.indices {
                if left == 0 { (bits, left) = (generator.next(), 64) }
                floats[place] = bits & 1 == 0 ? 1 : -1
                (bits, left) = (bits >> 1, left - 1)
            }
        }
    }
}
