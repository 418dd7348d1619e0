import Datasets
import Differentiation
import Dispatch
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime
import Synchronization

/// One training step: gradients of the shards of a batch on every core, then one update.
///
/// The same model, plan and data give the same weights, bit for bit, on any number of cores: how a batch is cut into shards and
/// in which order their gradients are summed is fixed by the plan.
final class TrainingStep {
    private let plan: TrainingPlan
    private let source: TrainingSource
    let trainable: TrainableModel
    let feeder: BatchFeeder
    private let optimizer: Optimizer
    private let gradientSession: Session
    private let step: OptimizerStep
    private let gradientSignature: Session.Signature
    private let teacher: ModelRunner?
    private let teacherOutputs: [String]
    private let shard: Int
    let batch: Int
    private let lanes: [Lane]
    let weights: [Value]
    /// What the optimizer keeps, `stateCount` tensors for each weight.
    let states: [Value]
    /// Masks of the trained weights that have one, and of these the ones that a schedule changes, by place among the trained.
    private let masks: [Value]
    private let pruned: [Int]
    var pruning: MaskedWeights?
    let trained: [TrainedParameter]
    var statistics: [String: [Float]] = [:]
    private(set) var notes: [String]
    /// How labels other than one class per sample are learned.
    private let task: TaskLoss?

    /// Tensors of one thread's work.
    private struct Lane: @unchecked Sendable {
        var shards: [Int]
        var inputs: [Value]
        var labels: Value?
        var teacher: [Value]
        var loss: Value
        var gradients: [Value]
        /// Sums over this lane's shards, where it has several.
        var sums: [Value]
        var statistics: [Value]
    }

    /// - Parameters:
    ///   - teacher: the model whose outputs are learned, if the plan distils.
    ///   - preparation: what there is to know of a model made ready for a training of its own kind.
    /// - Throws: `EngineError` if the model cannot be trained on these data.
    init(
        _ model: Model, plan: TrainingPlan, source: TrainingSource, teacher teacherModel: Model? = nil, preparation: TrainingPreparation? = nil,
        cancellation: Cancellation
    ) throws {
        self.plan = plan
        self.source = source
        let samples = source.samples
        guard samples.count > 0 else { throw EngineError(.data, "there are no samples to train on") }
        var trainable = try TrainableModel(model, plan: plan, preparation: preparation)
        notes = trainable.notes
        if let distance = plan.peer { trainable.addPeer(distance: distance, fresh: Set(plan.unstructured), seed: plan.seed) }
        optimizer = plan.optimizer
        let (shard, inputs, shapes) = try Self.probe(trainable, fixedBatch: samples.fixedBatch(of: model), plan: plan, source: source, cancellation: cancellation)
        var probed = shapes
        self.shard = shard
        let shardCount = max(1, min(plan.batch, samples.count) / shard)
        batch = shardCount * shard
        feeder = try BatchFeeder(samples, augmentation: plan.augmentation, seed: plan.seed)
        if plan.batchNorm == .batch { trainable.useBatchStatistics() }
        var places: [String: Int] = [:]
        for norm in trainable.batchNorms {
            for value in [norm.batchMean, norm.batchVariance, norm.batchInverse] { probed.shapes[value] = [norm.channels] }
            places[norm.batchMean] = (probed.shapes[norm.output]?.reduce(1, *) ?? norm.channels) / max(norm.channels, 1)
            // A peer's are in the training graph alone.
            statistics[norm.mean] = (model.graph.initializers[norm.mean] ?? trainable.forward.graph.initializers[norm.mean])?.floats() ?? []
            statistics[norm.variance] = (model.graph.initializers[norm.variance] ?? trainable.forward.graph.initializers[norm.variance])?.floats() ?? []
        }
        normPlaces = places
        var forward = trainable.forward
        for input in inputs {
            guard let place = forward.graph.inputs.firstIndex(where: { $0.name == input.name }) else { continue }
            forward.graph.inputs[place].shape = input.dims.map { .fixed($0) }
        }

        let objective = try TrainingObjective(plan, source: source, teacher: teacherModel, shard: shard, forward: &forward, shapes: &probed.shapes)
        teacher = try objective.teacher.map { try ModelRunner($0, library: source.library, threads: 1, label: "teacher") }
        teacherOutputs = objective.teacherOutputs
        task = objective.task
        if plan.labelWeight > 0, samples.metric.needsLabels, !objective.isLabeled, task == nil, let kind = samples.prepared.targets?.kind {
            notes.append("no gradient goes through \(samples.metric.title) on labels of this kind (\(kind.rawValue)): the model learns from the original model's outputs")
        }

        // Gradients.
        let gradient: GradientGraph
        do {
            gradient = try GradientGraph(
                forward: forward, shapes: probed.shapes, integers: probed.integers, trained: trainable.parameters.map(\.name), loss: objective.terms, targets: objective.targets,
                batch: batch, shard: shard, outputs: trainable.batchNorms.flatMap { [$0.batchMean, $0.batchVariance] })
        } catch let error as DifferentiationError {
            throw EngineError(.technique, "the model cannot be trained: \(error.message)")
        }
        for barrier in gradient.barriers {
            notes.append("layers before \(barrier.opType) ('\(barrier.node)') are not trained: it \(barrier.reason)")
        }
        let reached = trainable.parameters.filter { gradient.gradients[$0.name] != nil }
        trained = reached
        let held = Set(trainable.parameters.map(\.name)).subtracting(reached.map(\.name))
        self.trainable = trainable
        var options = SessionOptions()
        options.intraOpThreads = 1
        // Blocked layouts want constant weights; here weights are inputs.
        options.graphOptimizationLevel = .extended
        options.flushesDenormals = true
        var gradientModel = gradient.model
        // Weights that no gradient reaches stay as they are.
        for parameter in trainable.parameters where held.contains(parameter.name) {
            gradientModel.graph.inputs.removeAll { $0.name == parameter.name }
            gradientModel.graph.initializers[parameter.name] = Tensor(name: parameter.name, floats: parameter.start, dims: parameter.dims)
        }
        let gradientRun = try ModelRunner(gradientModel, library: source.library, threads: 1, options: options, label: "training graph").session
        gradientSession = gradientRun
        let laneCount = min(shardCount, Self.laneLimit(reached))
        let updated = reached.map { parameter in
            var weight = UpdatedWeight(name: parameter.name, dims: parameter.dims, decays: parameter.decays, rate: parameter.rate, isMasked: parameter.mask != nil)
            weight.l1 = parameter.l1
            weight.groupLasso = parameter.groupLasso
            weight.gradientFactor = parameter.gradientFactor
            weight.minimum = parameter.minimum
            return weight
        }
        let norms = trainable.batchNorms
        step = OptimizerStep(optimizer, weights: updated)

        // Memory.
        let library = source.library
        func zeros(_ dims: [Int]) throws -> Value { try Value(zeros: .float, shape: dims, library: library) }
        weights = try reached.map { try Value($0.start, shape: $0.dims, library: library) }
        states = try reached.flatMap { parameter in try (0..<plan.optimizer.stateCount).map { _ in try zeros(parameter.dims) } }
        masks = try reached.compactMap { parameter in try parameter.mask.map { try Value($0, shape: parameter.dims, library: library) } }
        pruned = reached.indices.filter { reached[$0].isPruned }
        let scheduled = reached.filter(\.isPruned)
        pruning = plan.pruning.map { MaskedWeights($0, starts: scheduled.map(\.start), masks: scheduled.map { $0.mask ?? [] }, seed: plan.seed) }
        let dataInputs = inputs.filter { input in gradientRun.inputs.contains { $0.name == input.name } }
        lanes = try (0..<laneCount).map { lane in
            Lane(
                shards: Array(stride(from: lane, to: shardCount, by: laneCount)),
                inputs: try dataInputs.map { input in
                    guard let type = Value.ElementType(onnxDataType: Int(input.elementType.rawValue)) else {
                        throw EngineError(.runtime, "element type \(input.elementType) cannot be handed to the runtime")
                    }
                    return try Value(zeros: type, shape: input.dims, library: library)
                },
                labels: try objective.task?.zeros(library) ?? (objective.isLabeled ? Value(zeros: .int64, shape: [shard], library: library) : nil), teacher: [],
                loss: try zeros([]), gradients: try reached.map { try zeros($0.dims) },
                sums: shardCount > laneCount ? try reached.map { try zeros($0.dims) } : [],
                statistics: try norms.flatMap { [try zeros([$0.channels]), try zeros([$0.channels])] })
        }
        gradientSignature = try gradientRun.signature(
            inputs: dataInputs.map(\.name) + (objective.isLabeled || objective.task != nil ? [TrainingObjective.labelInput] : [])
                + (0..<teacherOutputs.count).map(TrainingObjective.teacherInput) + reached.map(\.name),
            outputs: [GradientGraph.loss] + reached.compactMap { gradient.gradients[$0.name] } + norms.flatMap { [$0.batchMean, $0.batchVariance] })
        inputPlaces = dataInputs.map { input in samples.inputs.firstIndex { $0.name == input.name } ?? 0 }
    }

    /// Shapes of every value for as many samples as are worked on at once: as the model demands, else few enough to stay in a core's
    /// cache, unless the weights weigh more.
    private static func probe(
        _ trainable: TrainableModel, fixedBatch: Int?, plan: TrainingPlan, source: TrainingSource, cancellation: Cancellation
    ) throws -> (shard: Int, inputs: [Tensor], shapes: TrainingShapes) {
        let samples = source.samples
        func shapes(_ shard: Int) throws -> (shard: Int, inputs: [Tensor], shapes: TrainingShapes) {
            let inputs = try samples.inputs.enumerated().map { index, input in
                try Tensor(
                    name: input.name, elementType: ElementType(rawValue: input.type.rawValue), dims: input.valueShape(rows: shard),
                    storage: TensorStorage(viewing: try samples.prepared.samples(0..<(input.isWhole ? 1 : shard), input: index), owner: samples.prepared))
            }
            return (shard, inputs, try TrainingShapes.probe(trainable.forward, inputs: inputs, library: source.library, cancellation: cancellation))
        }
        let shard = fixedBatch ?? min(plan.shard > 0 ? plan.shard : min(32, plan.batch), samples.count)
        guard samples.count >= shard else { throw EngineError(.data, "the model takes \(shard) samples at once, but there are \(samples.count) to train on") }
        let first = try shapes(shard)
        guard plan.shard == 0, fixedBatch == nil else { return first }
        // Where weights outweigh what the samples leave, gradients of many shards cost more than they save; two shards at least.
        let weightCount = trainable.parameters.reduce(0) { $0 + $1.start.count }
        let values = trainable.forward.graph.nodes.flatMap(\.outputs).reduce(0) { $0 + (first.shapes.shapes[$1]?.reduce(1, *) ?? 0) }
        var grown = shard
        while grown * 4 <= min(plan.batch, samples.count), weightCount > values / shard * grown { grown *= 2 }
        return grown == shard ? first : try shapes(grown)
    }

    private let inputPlaces: [Int]
    /// Samples times places behind each batch statistic of a shard.
    private let normPlaces: [String: Int]

    /// Lanes keep a gradient of everything each: as many as there are cores in common machines, fewer for large models.
    private static func laneLimit(_ parameters: [TrainedParameter]) -> Int {
        let bytes = parameters.reduce(0) { $0 + $1.start.count * 4 }
        return max(2, min(8, (512 << 20) / max(bytes, 1)))
    }

    /// Tensors that the optimizer keeps for each weight.
    var optimizerStateCount: Int { optimizer.stateCount }
    /// Numbers that are trained, a peer's not counted.
    var trainedCount: Int { trained.reduce(0) { $0 + ($1.isPeer ? 0 : $1.start.count) } }
    var stepsPerEpoch: Int { max(1, source.samples.count / batch) }
    var totalSteps: Int { min(plan.maximumSteps ?? .max, plan.epochs * stepsPerEpoch) }
    /// Bytes that training keeps: weights, states, gradients of every lane.
    var trainingBytes: Int { trained.reduce(0) { $0 + $1.start.count } * 4 * (1 + optimizer.stateCount + lanes.count * (lanes.first.map { $0.sums.isEmpty } ?? true ? 1 : 2)) }

    // MARK: One step

    /// One step on the given samples; returns the mean loss.
    func run(_ entries: ArraySlice<BatchFeeder.Entry>, number: Int, cancellation: Cancellation) throws -> Double {
        let (loss, moments) = try differentiate(entries, cancellation)
        guard loss.isFinite else { throw EngineError(.technique, "the loss is not finite at step \(number + 1): try a lower learning rate") }
        follow(moments)
        try update(number)
        return loss
    }

    /// Gradients of a batch by name of the trained tensor, without a step.
    func gradients(_ entries: ArraySlice<BatchFeeder.Entry>, cancellation: Cancellation) throws -> [String: [Float]] {
        _ = try differentiate(entries, cancellation)
        return Dictionary(uniqueKeysWithValues: zip(trained.map(\.target), try summedGradients(Array(trained.indices))))
    }

    /// Leaves the gradients of a batch in the lanes.
    /// - Returns: the mean loss, and batch statistics by shard.
    private func differentiate(_ entries: ArraySlice<BatchFeeder.Entry>, _ cancellation: Cancellation) throws -> (loss: Double, moments: [Int: [[Float]]]) {
        let failure = Mutex<(any Error)?>(nil)
        let losses = Mutex([Double](repeating: 0, count: lanes.count))
        let moments = Mutex([Int: [[Float]]]())
        nonisolated(unsafe) let trainer = self
        DispatchQueue.concurrentPerform(iterations: lanes.count) { index in
            do {
                let lane = trainer.lanes[index]
                var loss = 0.0
                for (turn, shardNumber) in lane.shards.enumerated() {
                    try cancellation.check()
                    let first = entries.startIndex + shardNumber * trainer.shard
                    let part = entries[first..<first + trainer.shard]
                    loss += try trainer.gradients(of: part, lane, cancellation)
                    if !lane.sums.isEmpty { try trainer.accumulate(lane, isFirst: turn == 0) }
                    if !lane.statistics.isEmpty {
                        let values = try lane.statistics.map { try $0.floats() }
                        moments.withLock { $0[shardNumber] = values }
                    }
                }
                losses.withLock { $0[index] = loss }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) {
            if let error = error as? OnnxRuntimeError { throw EngineError(.runtime, "training stopped: \(error)") }
            throw error
        }
        return (losses.withLock { $0.reduce(0, +) }, moments.withLock { $0 })
    }

    private func gradients(of part: ArraySlice<BatchFeeder.Entry>, _ lane: Lane, _ cancellation: Cancellation) throws -> Double {
        for (value, input) in zip(lane.inputs, inputPlaces) { try feeder.fill(value, input: input, with: part) }
        if let labels = lane.labels, let task {
            try task.fill(labels, with: part.map(\.sample), of: source.samples)
        } else if let labels = lane.labels, let all = source.labels {
            try labels.withUnsafeMutableBytes { bytes in
                let numbers = bytes.bindMemory(to: Int64.self)
                for (place, entry) in part.enumerated() { numbers[place] = Int64(all[entry.sample]) }
            }
        }
        var taught: [Value] = []
        if let teacher {
            let names = source.samples.inputs.map(\.name)
            var feeds: [(String, Value)] = []
            for (value, input) in zip(lane.inputs, inputPlaces) { feeds.append((names[input], value)) }
            taught = try teacher.run(feeds, outputs: teacherOutputs, cancellation: cancellation)
        }
        let inputs = lane.inputs + (lane.labels.map { [$0] } ?? []) + taught + weights
        try gradientSession.run(gradientSignature, inputs, into: [lane.loss] + lane.gradients + lane.statistics)
        return Double(try lane.loss.floats()[0])
    }

    private func accumulate(_ lane: Lane, isFirst: Bool) throws {
        for (sum, gradient) in zip(lane.sums, lane.gradients) {
            try gradient.withUnsafeBytes { from in
                try sum.withUnsafeMutableBytes { to in
                    if isFirst { return to.copyMemory(from: from) }
                    let (total, part) = (to.bindMemory(to: Float.self), from.bindMemory(to: Float.self))
                    for index in total.indices { total[index] += part[index] }
                }
            }
        }
    }

    private func update(_ number: Int) throws {
        // What the schedule looks at, before the step is taken.
        let slopes = pruning?.needsGradients(number + 1, total: totalSteps) == true ? try summedGradients(pruned) : []
        if !slopes.isEmpty { pruning?.observe(weights: try pruned.map { try weights[$0].floats() }, gradients: slopes) }
        // What is not freed yet counts in no norm of gradients, and neither decays nor gathers moments.
        let held = trained.indices.filter { Float(number) < trained[$0].freedAfter * Float(totalSteps) }
        let (count, laneCount) = (optimizer.stateCount, lanes.count)
        let gradients = lanes.flatMap { $0.sums.isEmpty ? $0.gradients : $0.sums }
        let all = weights + states + gradients + masks
        try Value.withUnsafeMutableBytes(of: all) { bytes in
            let buffers = bytes.map { $0.bindMemory(to: Float.self) }
            let (firstState, firstGradient) = (weights.count, weights.count + states.count)
            var nextMask = firstGradient + gradients.count
            let memory = trained.indices.map { place in
                var mask: UnsafeMutableBufferPointer<Float>?
                if trained[place].mask != nil {
                    mask = buffers[nextMask]
                    nextMask += 1
                }
                return WeightMemory(
                    weight: buffers[place], states: (0..<count).map { buffers[firstState + place * count + $0] },
                    gradients: (0..<laneCount).map { buffers[firstGradient + $0 * weights.count + place] }, mask: mask)
            }
            step.run(memory, rate: plan.rate(step: number, of: totalSteps), number: number + 1, held: Set(held))
        }
        try remask(after: number + 1, slopes)
    }

    /// Gradients of some trained weights over the whole batch.
    private func summedGradients(_ places: [Int]) throws -> [[Float]] {
        try places.map { place in
            var total: [Float] = []
            for lane in lanes {
                let part = try (lane.sums.isEmpty ? lane.gradients : lane.sums)[place].floats()
                if total.isEmpty { total = part } else { for index in total.indices { total[index] += part[index] } }
            }
            return total
        }
    }

    /// Changes masks where the schedule says so; what was masked or comes back starts without momentum.
    private func remask(after done: Int, _ slopes: [[Float]]) throws {
        guard pruning?.changes(after: done, total: totalSteps) == true else { return }
        var values = try pruned.map { try weights[$0].floats() }
        guard let changed = pruning?.update(done: done, total: totalSteps, weights: &values, gradients: slopes) else { return }
        for (position, place) in pruned.enumerated() where !changed[position].isEmpty {
            try weights[place].store(values[position])
            for number in 0..<optimizer.stateCount {
                let state = states[place * optimizer.stateCount + number]
                var held = try state.floats()
                for element in changed[position] { held[element] = 0 }
                try state.store(held)
            }
        }
        try showMasks()
    }

    /// Hands the schedule's masks to the update.
    func showMasks() throws {
        guard let pruning else { return }
        let order = trained.indices.filter { trained[$0].mask != nil }
        for (position, place) in pruned.enumerated() {
            if let slot = order.firstIndex(of: place) { try masks[slot].store(pruning.masks[position]) }
        }
    }

    /// Steps after which masks no longer change; 0 where none do.
    var settledSteps: Int { plan.pruning?.settled(total: totalSteps) ?? 0 }

    /// Moves running statistics a tenth of the way to those of the batch, as PyTorch does.
    private func follow(_ moments: [Int: [[Float]]]) {
        guard !moments.isEmpty else { return }
        let shards = moments.keys.sorted().compactMap { moments[$0] }
        for (index, norm) in trainable.batchNorms.enumerated() {
            guard var mean = statistics[norm.mean], var variance = statistics[norm.variance] else { continue }
            let count = Float((normPlaces[norm.batchMean] ?? 1) * shards.count)
            for channel in 0..<norm.channels {
                let means = shards.map { $0[2 * index][channel] }
                let middle = means.reduce(0, +) / Float(shards.count)
                // Over all shards: within them and between them.
                let spread = zip(shards, means).reduce(Float(0)) { $0 + $1.0[2 * index + 1][channel] + ($1.1 - middle) * ($1.1 - middle) } / Float(shards.count)
                mean[channel] = 0.9 * mean[channel] + 0.1 * middle
                variance[channel] = 0.9 * variance[channel] + 0.1 * spread * count / max(count - 1, 1)
            }
            statistics[norm.mean] = mean
            statistics[norm.variance] = variance
        }
    }
}
