import Datasets
import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Techniques
import Training

/// Trains tokens in front of the first block of a frozen transformer.
public struct PromptTuning: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "prompt-tuning",
        title: "Prompt tuning",
        family: .training,
        summary: "Trains a few extra tokens before the first block of a frozen transformer; they stay in the file",
        details: """
            `length` learned tokens are put in front of what the first block reads, behind embeddings and positions, whatever layers are chosen. All \
            blocks compute with them. They are cut off behind the keys and values of the last attention, so that pooling, a class token and the head \
            see the tokens that they know. Only the prompt is trained, and the head, biases and normalizations if asked for; all weights of the model \
            stay the same. Inputs and outputs keep names and shapes, and any batch size and length still fit. This is the shallow form; `prefix-tuning` \
            gives each attention keys and values of its own, with several times the parameters.

            Every token may attend to the prompt, whatever a mask says; the prompt may attend to itself and to what the first token may attend to. \
            Masks that are added, multiplied or chosen by Where are widened, and so are shapes that count tokens. Positions that are added between \
            blocks, rotary ones included, and shapes that join tokens with samples are refused with the place.

            The prompt starts as tokens of training samples, as they enter the first block, drawn with the recipe's seed, or as small random numbers. \
            It needs a learning rate ten or more times that of weights. File, MACs and latency grow a little: this moves a model to new data with a \
            small file of differences; it does not make it smaller.
            """,
        source:
            "Lester, Al-Rfou and Constant, The Power of Scale for Parameter-Efficient Prompt Tuning, EMNLP 2021, section 2; Jia et al., Visual Prompt Tuning, ECCV 2022, section 3.2 (shallow)",
        parameters: [
            ParameterDescriptor("length", title: "Length", domain: .integer(1...128, step: 1), default: .integer(8), unit: "tokens", help: "Learned tokens before the first block"),
            ParameterDescriptor(
                "start", title: "Start",
                domain: .choice([.init("data", "tokens of training samples, drawn by the seed"), .init("random", "small normal numbers, drawn by the seed")]),
                default: .choice("data"), help: "What the training starts from"),
            TrainingParameters.besideAdapters,
        ]
            + TrainingParameters.without("scope", "keep-structure", "l1", "group-lasso", "scale-penalty", "rate-decay").map { parameter in
                var parameter = parameter
                if parameter.name == "learning-rate" { parameter.defaultValue = .real(0.03) }
                return parameter
            },
        strength: "length", requires: [], produces: [.training])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        if model.opset < 11 { return layers.map { _ in "needs operator set 11 (Pad by computed sizes); the model has \(model.opset)" } }
        let targets = AttentionTargets(model, layers: layers, shapes: shapes, masks: true)
        let refusals = targets.refusals(for: layers)
        // Without shapes nothing is known of axes; the rewrite then says what does not fit.
        guard !shapes.isEmpty, refusals.contains(where: { $0 == nil }) else { return refusals }
        do throws(PromptPlan.Refusal) {
            _ = try Self.plan(model, targets, shapes: shapes, integers: nil)
            return refusals
        } catch {
            return refusals.map { $0 ?? error.reason }
        }
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        model.opset < 11 ? [] : AttentionTargets(model, layers: layers, shapes: shapes, masks: true).coupled(layers)
    }

    /// All attentions must be ones that can be widened: the prompt passes through every block.
    static func plan(_ model: Model, _ targets: AttentionTargets, shapes: [String: [Int]], integers: [String: [Int]]?) throws(PromptPlan.Refusal) -> PromptPlan {
        var attentions: [AttentionProducts] = []
        for entry in targets.entries {
            guard let products = entry.products else { throw .init(reason: entry.reason ?? "an attention cannot be widened") }
            attentions.append(products)
        }
        return try PromptPlan(model, attentions: attentions, shapes: shapes, integers: integers)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        guard let source = context.training else { throw EngineError(.technique, "\(descriptor.id): needs a training split (--data) and ONNX Runtime") }
        let probe = try source.probe(model, cancellation: context.cancellation)
        let plan: PromptPlan
        do throws(PromptPlan.Refusal) {
            let found = AttentionTargets(model, layers: model.layers(), shapes: probe.shapes, masks: true)
            plan = try Self.plan(model, found, shapes: probe.shapes, integers: probe.integers)
        } catch {
            throw EngineError(.technique, "\(descriptor.id): \(error.reason)")
        }
        let length = parameters.integer("length")
        let prompt = try Self.start(plan, length, model, parameters, source, context)
        let parameterCount = LearningStep.parameterCount(model)
        let previous = model
        let name = plan.insert(prompt, length: length, named: "prompt", into: &model, shapes: probe.shapes)
        try Self.check(model, plan, length, probe.shapes, source, context)
        var training = try TrainingParameters.plan(parameters, seed: context.seed, adding: [name], to: model)
        let teacher = TrainingParameters.teacher(parameters, plan: &training, model: model, previous: previous, context: context)
        try LearningStep.run(&model, plan: training, teacher: teacher, context: context, name: descriptor.id)
        LearningStep.noteShare("a prompt of \(length) tokens with \(prompt.count) parameters", of: parameterCount, context)
    }

    /// Runs the widened graph once: every value of the region must have grown where it should, every other must have its shape.
    private static func check(_ model: Model, _ plan: PromptPlan, _ length: Int, _ before: [String: [Int]], _ source: TrainingSource, _ context: RewriteContext) throws {
        let after = try source.probe(model, cancellation: context.cancellation).shapes
        for (value, shape) in before.sorted(by: { $0.key < $1.key }) {
            var expected = shape
            if value != plan.entry { for axis in plan.axes[value] ?? [] { expected[axis] += length } }
            if plan.scores.contains(value), !expected.isEmpty { expected[expected.count - 1] += length }
            guard let found = after[value], found == expected else {
                throw EngineError(.technique, "prompt-tuning: with a prompt, '\(value)' would be \(after[value] ?? []), not \(expected)")
            }
        }
    }

    /// What the prompt starts from: length × width numbers.
    private static func start(
        _ plan: PromptPlan, _ length: Int, _ model: Model, _ parameters: ParameterValues, _ source: TrainingSource, _ context: RewriteContext
    ) throws -> [Float] {
        let width = plan.shape[2]
        if parameters.choice("start") == "random" {
            var generator = SeededGenerator(seed: context.seed &+ 0x7072_6f6d)
            return (0..<length * width).map { _ in 0.02 * generator.normal() }
        }
        let key = "prompt-tuning 1 \(model.contentHash) \(source.samples.contentHash) \(context.seed) \(plan.entry) \(length)"
        let tensors = try context.memo.tensors(key) {
            var generator = SeededGenerator(seed: context.seed &+ 0x7072_6f6d)
            let value = try source.values([plan.entry], of: model, generator: &generator, cancellation: context.cancellation)[0]
            guard let shape = value.shape, shape.count == 3, shape[2] == width, shape[0] * shape[1] > 0 else {
                throw EngineError(.technique, "prompt-tuning: '\(plan.entry)' has no tokens")
            }
            let floats = try value.floats()
            let rows = (0..<length).flatMap { _ -> ArraySlice<Float> in
                let token = generator.below(shape[0] * shape[1])
                return floats[token * width..<(token + 1) * width]
            }
            return [Tensor(name: "prompt", floats: rows, dims: [length, width])]
        }
        return tensors[0].floats() ?? []
    }

    public var forecastFacets: [any ForecastFacet.Type] { [AttentionForecasts.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        let all = summaries[AttentionForecasts.self]?.all ?? []
        guard let chosen = AttentionForecast.chosen(summaries, targets).first, let first = all.first, let last = all.last else { return }
        let length = chosen.parameters.resolved(by: descriptor).integer("length")
        let query = summaries[first.layers.first ?? first.valueLayer].layer
        let width = query.weightShape.indices.contains(query.outputAxis) && query.weightShape.count == 2 ? query.weightShape[1 - query.outputAxis] : first.keyWidth * first.heads
        states[first.valueLayer].attachedCount += Double(length * width)
        states[first.valueLayer].overheadBits += Double(1500 * 8)
        let (from, to) = (first.layers.min() ?? 0, last.layers.max() ?? 0)
        let ends = Set(last.layers.filter { $0 != last.valueLayer && $0 != last.layers.sorted().dropLast().last })
        for index in states.indices where (from...max(from, to)).contains(index) && !ends.contains(index) {
            states[index].macs = states[index].macs.map { $0 * Double(first.queries + length) / Double(max(first.queries, 1)) }
        }
        for attention in all {
            let isLast = attention.valueLayer == last.valueLayer
            let (n, m) = (Double(attention.queries), Double(attention.keys))
            let grown = (isLast ? n : n + Double(length)) * (m + Double(length)) - n * m
            states[attention.valueLayer].productMacs += attention.kept(states) * Double(attention.products) * grown * Double(attention.keyWidth + attention.valueWidth)
        }
    }
}

extension TrainingSource {
    /// Dimensions of a model's values, for two samples where the model takes several, and the shapes that its Reshapes read.
    func probe(_ model: Model, cancellation: Cancellation) throws -> (shapes: [String: [Int]], integers: [String: [Int]]) {
        let rows = min(max(samples.fixedBatch(of: model) ?? 2, 1), samples.count)
        let inputs = try samples.inputs.enumerated().map { index, input in
            try Tensor(
                name: input.name, elementType: ElementType(rawValue: input.type.rawValue), dims: input.valueShape(rows: rows),
                storage: TensorStorage(viewing: try samples.prepared.samples(0..<(input.isWhole ? 1 : rows), input: index), owner: samples.prepared))
        }
        let lowered = SinglePrecisionGraph.lowered(model)
        let shapes = try TrainingShapes.probe(lowered, inputs: inputs, library: library, cancellation: cancellation).shapes
        let index = GraphIndex(lowered.graph)
        let known = Set(lowered.graph.inputs.map(\.name)).union(lowered.graph.initializers.keys)
        var names = Set<String>()
        for node in lowered.graph.nodes where node.opType == "Reshape" && node.inputs.count > 1 && !known.contains(node.inputs[1]) {
            names.insert(node.inputs[1])
            guard let maker = index.producer[node.inputs[1]], lowered.graph.nodes[maker].opType == "Concat" else { continue }
            names.formUnion(lowered.graph.nodes[maker].inputs.filter { !known.contains($0) })
        }
        guard !names.isEmpty else { return (shapes, [:]) }
        let sorted = names.sorted()
        let part = lowered.truncated(to: sorted)
        let needed = Set(part.graph.requiredInputs.map(\.name))
        let feeds = try inputs.filter { needed.contains($0.name) }.map { ($0.name, try RuntimeValues.view($0)) }
        let values = try ModelRunner(part, library: library).run(feeds, outputs: sorted, cancellation: cancellation)
        var integers: [String: [Int]] = [:]
        for (name, value) in zip(sorted, values) where value.elementType == .int64 { integers[name] = try value.integers().map { Int($0) } }
        return (shapes, integers)
    }
}
