import Differentiation
import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// What a training makes small: terms of the loss, the inputs of the gradient graph that they read, and who fills these.
struct TrainingObjective {
    private(set) var terms: [LossTerm] = []
    /// Graph inputs that hold labels and what the teacher says.
    private(set) var targets: [ValueInfo] = []
    /// Whether labels are learned.
    let isLabeled: Bool
    /// How labels other than one class per sample are learned; `nil` where they are not.
    let task: TaskLoss?
    /// The model to learn from, its values that are learned among its outputs; `nil` for none.
    private(set) var teacher: Model?
    /// What is learned of it, in the order of `teacherInput`.
    private(set) var teacherOutputs: [String] = []

    static let labelInput = "lathe.labels"
    static func teacherInput(_ number: Int) -> String { "lathe.teacher.\(number)" }

    /// - Parameters:
    ///   - teacherModel: the model whose outputs are learned, if the plan distils.
    ///   - shard: samples that the forward graph takes at once.
    ///   - forward: gets what terms need beside the model's own values.
    ///   - shapes: dimensions of every value at these inputs.
    /// - Throws: `EngineError` where the model does not give what is to be learned.
    init(_ plan: TrainingPlan, source: TrainingSource, teacher teacherModel: Model?, shard: Int, forward: inout Model, shapes: inout [String: [Int]]) throws {
        let learnsLabels = plan.labelWeight > 0 && source.samples.metric.needsLabels
        task = try learnsLabels && (source.labels == nil || source.samples.metric.isOfNumbers) ? TaskLoss(source, shard: shard, forward: &forward, shapes: &shapes) : nil
        if plan.countsLargeErrorsLess, task?.kind != .meanSquare && task?.kind != .meanAbsolute {
            throw EngineError(.technique, "loss=huber is for labels that are numbers, as many as the model gives; these are not")
        }
        isLabeled = source.labels != nil && learnsLabels && !source.samples.metric.isOfNumbers
        // One number per sample, with labels: the logit of class 1.
        let isLogit = try isLabeled && shapes[Self.scores(of: forward)]?.reduce(1, *) == shard
        let scores = try Self.scores(of: forward, asLogit: isLogit)
        guard let scoreShape = shapes[scores] else { throw EngineError(.runtime, "the shape of '\(scores)' is not known") }
        let classes = isLogit ? 2 : scoreShape.count >= 2 ? scoreShape.last ?? 1 : 1
        if isLabeled, let labels = source.labels {
            guard isLogit || scoreShape.dropLast().reduce(1, *) == shard && classes > 1, let largest = labels.max(), largest < classes else {
                throw EngineError(.data, "the model gives \(scoreShape) numbers for \(shard) samples, not one score for each class of the labels, so it cannot learn from them")
            }
            terms.append(LossTerm(.crossEntropy(smoothing: plan.smoothing), value: scores, target: Self.labelInput, weight: plan.labelWeight))
            targets.append(ValueInfo(name: Self.labelInput, elementType: .int64, shape: [.fixed(shard)]))
        }
        if let task {
            terms.append(LossTerm(plan.countsLargeErrorsLess ? .huber : task.kind, value: task.value, target: Self.labelInput, weight: plan.labelWeight))
            targets.append(ValueInfo(name: Self.labelInput, elementType: task.type, shape: task.shape.map { .fixed($0) }))
        }
        if let distillation = plan.distillation ?? (isLabeled || task != nil ? nil : Distillation(.logits)) {
            guard let teacherModel else { throw EngineError(.technique, "there is no teacher to learn from") }
            let kind: LossTerm.Kind =
                switch distillation.kind {
                case .soft(let temperature) where classes > 1: .distillation(temperature: temperature)
                default: .meanSquare
                }
            learn(kind, scores, as: try Self.scores(of: teacherModel, asLogit: isLogit), scoreShape, weight: distillation.weight)
            for pair in distillation.features {
                guard let shape = shapes[pair.student] else { throw EngineError(.technique, "the model has no value '\(pair.student)'") }
                learn(pair.asAttention ? .attentionTransfer : .meanSquare, pair.student, as: pair.teacher, shape, weight: pair.weight)
            }
            var exposed = SinglePrecisionGraph.lowered(teacherModel)
            let known = Set(exposed.graph.outputs.map(\.name))
            for name in teacherOutputs where !known.contains(name) { exposed.graph.outputs.append(ValueInfo(name: name, elementType: nil, shape: nil)) }
            teacher = exposed
        }
        if plan.peer != nil {
            let peer = PeerStudent.prefix + scores
            terms += terms(on: scores, for: peer)
            for (value, other) in [(scores, peer), (peer, scores)] {
                // Neither moves the other through what it teaches.
                let known = other + ".known"
                forward.graph.nodes.append(Node(Macro.constant, domain: Macro.domain, inputs: [other], outputs: [known]))
                shapes[known] = scoreShape
                terms.append(LossTerm(classes > 1 ? .distillation(temperature: 1) : .meanSquare, value: value, target: known))
            }
        }
        for exit in plan.exits { terms += terms(on: scores, for: exit) }
    }

    /// A value of the student follows one of the teacher's.
    private mutating func learn(_ kind: LossTerm.Kind, _ value: String, as taught: String, _ shape: [Int], weight: Float) {
        let input = Self.teacherInput(teacherOutputs.count)
        terms.append(LossTerm(kind, value: value, target: input, weight: weight))
        targets.append(ValueInfo(name: input, elementType: .float32, shape: shape.map { .fixed($0) }))
        teacherOutputs.append(taught)
    }

    /// What is asked of the model's scores, asked of another value.
    private func terms(on scores: String, for value: String) -> [LossTerm] {
        terms.filter { $0.value == scores }.map { LossTerm($0.kind, value: value, target: $0.target, weight: $0.weight) }
    }

    /// The scores a model computes before it turns them into probabilities.
    /// - Parameter asLogit: the output is one number per sample; what a sigmoid at the end reads is wanted.
    static func scores(of model: Model, asLogit: Bool = false) throws -> String {
        let name = try AccuracyEvaluation.scoredOutput(of: model).name
        return asLogit ? SingleOutput.logit(behind: name, in: model) ?? name : scores(behind: name, of: model)
    }

    /// What a softmax at the end of a model reads to make an output.
    static func scores(behind output: String, of model: Model) -> String {
        var name = output
        while let node = model.graph.nodes.first(where: { $0.outputs.contains(name) }), ["Softmax", "LogSoftmax", "Identity"].contains(node.opType) { name = node.inputs[0] }
        return name
    }
}
