import Datasets
import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime
import Techniques
import Training

/// Trains keys and values in front of every attention of a frozen model.
public struct PrefixTuning: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "prefix-tuning",
        title: "Prefix tuning",
        family: .training,
        summary: "Trains a few extra keys and values for each attention of a frozen transformer; they stay in the file",
        details: """
            Each attention gets `length` extra keys and values that every token may attend to, whatever a mask says: softmax(Q·[P, K]ᵀ)·[R, V]. Only P \
            and R are trained, and the head, biases and normalizations if asked for; all weights of the model stay the same. Each head has its own \
            prefix where heads have an axis of their own; where heads are merged with the batch they share one. Inputs and outputs of the model keep \
            their shapes, and any batch size and length still fit. The report says how many parameters were trained and how much memory that took.

            Unlike LoRA and adapters, prefixes change the outputs before anything is learned: a Softmax over more keys gives each one less. They start \
            as keys and values that the model computes for tokens of training samples, drawn with the recipe's seed, or as small random numbers. They \
            are trained directly, without the extra network that Li and Liang use during training, and need a learning rate ten or more times that of \
            weights.

            File, MACs and latency grow a little: this moves a model to new data with a small file of differences; it does not make it smaller. It \
            works on attention written as MatMul, Softmax and MatMul, with masks that are added, multiplied or chosen by Where between them.
            """,
        source:
            "Li and Liang, Prefix-Tuning: Optimizing Continuous Prompts for Generation, ACL 2021, section 4; Lester, Al-Rfou and Constant, The Power of Scale for Parameter-Efficient Prompt Tuning, EMNLP 2021",
        parameters: [
            ParameterDescriptor(
                "length", title: "Length", domain: .integer(1...128, step: 1), default: .integer(8), unit: "tokens", help: "Extra keys and values for each attention"),
            ParameterDescriptor(
                "start", title: "Start",
                domain: .choice([.init("data", "keys and values of tokens of training samples, drawn by the seed"), .init("random", "small normal numbers, drawn by the seed")]),
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
        return AttentionTargets(model, layers: layers, shapes: shapes, masks: true).refusals(for: layers)
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        model.opset < 11 ? [] : AttentionTargets(model, layers: layers, shapes: shapes, masks: true).coupled(layers)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        guard let source = context.training else { throw EngineError(.technique, "\(descriptor.id): needs a training split (--data) and ONNX Runtime") }
        let layers = model.layers()
        // Dimensions as they now are: those of the context are of the model before the recipe.
        let shapes = try source.shapes(of: model, cancellation: context.cancellation)
        let chosen = try AttentionTargets(model, layers: layers, shapes: shapes, masks: true).chosen(targets, for: descriptor.id)
        var prefixes = try chosen.map { entry in
            guard let keys = shapes[entry.products.keys], let values = shapes[entry.products.values], keys.count >= 2, values.count >= 2 else {
                throw EngineError(.technique, "\(descriptor.id): the shape of '\(entry.products.keys)' is not known")
            }
            let heads = AttentionPrefix.heads(entry.attention, keys: keys, values: values, layers)
            let length = entry.parameters.integer("length")
            func dims(_ rank: Int, _ last: [Int]) -> [Int] {
                var leading = [Int](repeating: 1, count: rank - 2)
                if heads > 1 { leading[rank - 3] = heads }
                return leading + last
            }
            let node = model.graph.nodes[entry.products.softmax]
            return AttentionPrefix(
                products: entry.products, name: node.name.isEmpty ? node.outputs[0] : node.name, length: length,
                keyDims: dims(keys.count, [keys[keys.count - 2], length]), valueDims: dims(values.count, [length, values[values.count - 1]]), keys: [], values: [])
        }
        try Self.fill(&prefixes, model, parameters, source, context)
        let parameterCount = LearningStep.parameterCount(model)
        let previous = model
        let names = try AttentionPrefix.insert(prefixes, into: &model, shapes: shapes).flatMap { $0 }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed, adding: names, to: model)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: model, previous: previous, context: context)
        try LearningStep.run(&model, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        let count = prefixes.reduce(0) { $0 + $1.keys.count + $1.values.count }
        LearningStep.noteShare("\(prefixes.count) attentions with prefixes of \(count) parameters", of: parameterCount, context)
    }

    /// Gives prefixes what they start from.
    private static func fill(_ prefixes: inout [AttentionPrefix], _ model: Model, _ parameters: ParameterValues, _ source: TrainingSource, _ context: RewriteContext) throws {
        if parameters.choice("start") == "random" {
            for index in prefixes.indices {
                var generator = SeededGenerator(seed: context.seed)
                for byte in prefixes[index].name.utf8 { generator = SeededGenerator(seed: generator.next() &+ UInt64(byte)) }
                prefixes[index].keys = (0..<prefixes[index].keyDims.reduce(1, *)).map { _ in 0.02 * generator.normal() }
                prefixes[index].values = (0..<prefixes[index].valueDims.reduce(1, *)).map { _ in 0.02 * generator.normal() }
            }
            return
        }
        var key = "prefix-tuning 1 \(model.contentHash) \(source.samples.contentHash) \(context.seed)"
        for prefix in prefixes { key += " \(prefix.name) \(prefix.keyDims) \(prefix.valueDims)" }
        let wanted = prefixes
        let tensors = try context.memo.tensors(key) {
            let names = wanted.flatMap { [$0.products.keys, $0.products.values] }
            var generator = SeededGenerator(seed: context.seed &+ 0x7072_6566)
            let drawn = try source.values(names, of: model, generator: &generator, cancellation: context.cancellation)
            return try wanted.enumerated().flatMap { index, prefix -> [Tensor] in
                let (keys, values) = (drawn[2 * index], drawn[2 * index + 1])
                return try prefix.drawn(keys: (keys.shape ?? [], keys.floats()), values: (values.shape ?? [], values.floats()), &generator)
            }
        }
        for index in prefixes.indices {
            prefixes[index].keys = tensors[2 * index].floats() ?? []
            prefixes[index].values = tensors[2 * index + 1].floats() ?? []
        }
    }

    public var forecastFacets: [any ForecastFacet.Type] { [AttentionForecasts.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (attention, values, layer) in AttentionForecast.chosen(summaries, targets) {
            let length = Double(values.resolved(by: descriptor).integer("length"))
            let kept = attention.kept(states)
            let numbers = length * Double(attention.keyWidth + attention.valueWidth)
            states[layer].attachedCount += numbers * (attention.heads > 1 ? (kept * Double(attention.heads)).rounded() : 1)
            states[layer].productMacs += kept * Double(attention.products * attention.queries) * numbers
            states[layer].overheadBits += Double((11 * (4 * summaries[layer].layer.id.utf8.count + 60)) * 8)
        }
    }
}

extension AttentionPrefix {
    /// Keys and values of tokens that the model computed, one token for each place of the prefix, the same for keys and values.
    /// - Throws: `EngineError` if their dimensions do not fit.
    func drawn(keys: (shape: [Int], floats: [Float]), values: (shape: [Int], floats: [Float]), _ generator: inout SeededGenerator) throws -> [Tensor] {
        let (rank, width, valueWidth) = (keys.shape.count, keyDims[keyDims.count - 2], valueDims[valueDims.count - 1])
        guard rank == keyDims.count, values.shape.count == valueDims.count, keys.shape[rank - 2] == width, values.shape.last == valueWidth,
            let tokens = keys.shape.last, tokens > 0, values.shape[values.shape.count - 2] == tokens
        else { throw EngineError(.technique, "prefix-tuning: keys of \(keys.shape) and values of \(values.shape) do not belong together") }
        let heads = rank > 2 ? keyDims[rank - 3] : 1
        let (keyMatrices, valueMatrices) = (keys.shape.dropLast(2).reduce(1, *), values.shape.dropLast(2).reduce(1, *))
        var p = [Float](repeating: 0, count: heads * width * length)
        var r = [Float](repeating: 0, count: heads * length * valueWidth)
        for place in 0..<length {
            // A group of heads belongs to one sample.
            let group = generator.below(max(min(keyMatrices, valueMatrices) / heads, 1))
            let token = generator.below(tokens)
            for head in 0..<heads {
                let matrix = group * heads + head
                for index in 0..<width { p[(head * width + index) * length + place] = keys.floats[(matrix * width + index) * tokens + token] }
                for index in 0..<valueWidth { r[(head * length + place) * valueWidth + index] = values.floats[(matrix * tokens + token) * valueWidth + index] }
            }
        }
        return [Tensor(name: "keys", floats: p, dims: keyDims), Tensor(name: "values", floats: r, dims: valueDims)]
    }
}

extension TrainingSource {
    /// Dimensions of a model's values for one sample, or as many as it takes at once, read by running it.
    func shapes(of model: Model, cancellation: Cancellation) throws -> [String: [Int]] {
        let rows = min(max(samples.fixedBatch(of: model) ?? 1, 1), samples.count)
        let inputs = try samples.inputs.enumerated().map { index, input in
            try Tensor(
                name: input.name, elementType: ElementType(rawValue: input.type.rawValue), dims: input.valueShape(rows: rows),
                storage: TensorStorage(viewing: try samples.prepared.samples(0..<(input.isWhole ? 1 : rows), input: index), owner: samples.prepared))
        }
        // Of all values, those that hang on constants alone among them.
        return try TrainingShapes.probe(SinglePrecisionGraph.lowered(model), inputs: inputs, library: library, cancellation: cancellation).shapes
    }

    /// Values that a model computes for some samples in a row, drawn at random.
    func values(_ names: [String], of model: Model, generator: inout SeededGenerator, cancellation: Cancellation) throws -> [Value] {
        let rows = min(max(samples.fixedBatch(of: model) ?? 16, 1), samples.count)
        let first = samples.inputs.contains(where: \.isWhole) ? 0 : generator.below(samples.count - rows + 1)
        var part = SinglePrecisionGraph.lowered(model)
        let known = Set(part.graph.inputs.map(\.name)).union(part.graph.initializers.keys)
        guard !names.contains(where: known.contains) else { throw EngineError(.technique, "keys or values are constants or inputs of the model") }
        var seen = Set<String>()
        let unique = names.filter { seen.insert($0).inserted }
        part = part.truncated(to: unique)
        let runner = try ModelRunner(part, library: library)
        let needed = Set(part.graph.requiredInputs.map(\.name))
        let feeds = try samples.values(first..<first + rows).filter { needed.contains($0.0) }
        let values = Dictionary(zip(unique, try runner.run(feeds, outputs: unique, cancellation: cancellation)), uniquingKeysWith: { first, _ in first })
        return names.compactMap { values[$0] }
    }
}
