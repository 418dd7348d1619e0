import EngineSupport
import ModelGraph
import Techniques
import Training

/// Attention whose work grows with the length of the sequence, not with its square.
public struct LinearAttention: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "linear-attention",
        title: "Linear attention",
        family: .training,
        summary: "Replaces softmax(Q·Kᵀ)·V by φ(Q)·(φ(K)ᵀ·V), normalized, and trains by distillation",
        details: """
            The Softmax is replaced by a kernel, φ(x) = elu(x) + 1, so that the product of keys and values can come first: (φ(Q)·(φ(K)ᵀ·V)) / \
            (φ(Q)·Σφ(K)). For n tokens and heads of width d, a head takes 2·n·d² + n·d MACs instead of 2·n²·d, and no n × n matrix is kept in memory. \
            It saves only where a sequence is longer than a head is wide, and costs where it is shorter.

            Weights stay the same at first, but they were trained for the other attention: accuracy falls at once, and the training that follows, by \
            default on the softened outputs of the model before the recipe, recovers what it can. As in the paper, queries and keys enter φ unscaled; \
            a factor that the model applies to them before their product stays.

            Attention under a mask, causal or for padding, is refused: each query would need a sum over its own keys. It works on attention written as \
            MatMul, Softmax and MatMul.
            """,
        source:
            "Katharopoulos, Vyas, Pappas and Fleuret, Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention, ICML 2020, section 3.2; Hinton, Vinyals and Dean, arXiv:1503.02531 (distillation)",
        parameters: TrainingParameters.without("scope").map { parameter in
            var parameter = parameter
            if parameter.name == "loss" { parameter.defaultValue = .choice("distillation") }
            return parameter
        },
        strength: "epochs", requires: [], produces: [.training])

    /// What the sum over keys never falls below, as in the authors' code.
    private static let epsilon: Float = 1e-6

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        if model.opset < 11 { return layers.map { _ in "needs operator set 11 (sums over the last axis); the model has \(model.opset)" } }
        return AttentionTargets(model, layers: layers, shapes: shapes, masks: false).refusals(for: layers)
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        model.opset < 11 ? [] : AttentionTargets(model, layers: layers, shapes: shapes, masks: false).coupled(layers)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        guard let source = context.training else { throw EngineError(.technique, "\(descriptor.id): needs a training split (--data) and ONNX Runtime") }
        let layers = model.layers()
        let shapes = try source.shapes(of: model, cancellation: context.cancellation)
        let chosen = try AttentionTargets(model, layers: layers, shapes: shapes, masks: false).chosen(targets, for: descriptor.id)
        let previous = model
        var linear = model
        Self.replace(chosen.map(\.products), in: &linear)
        linear.graph.removeDeadCode()
        let short = chosen.filter { entry in
            guard let keys = shapes[entry.products.keys], keys.count >= 2 else { return false }
            return keys[keys.count - 1] <= keys[keys.count - 2]
        }
        context.notes.add(
            "\(chosen.count) attentions are linear" + (short.isEmpty ? "" : "; \(short.count) of them see sequences no longer than a head is wide, which saves nothing"))
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: linear, previous: previous, context: context)
        try LearningStep.run(&linear, plan: plan, teacher: teacher, context: context, name: descriptor.id)
        model = linear
    }

    /// Puts linear attention in the place of products; the value of the second keeps its name.
    static func replace(_ attentions: [AttentionProducts], in model: inout Model) {
        let types = ElementTypeInference(model.graph)
        let opset = model.opset
        var editor = GraphEditor(model)
        for products in attentions {
            let base = model.graph.nodes[products.softmax].name.isEmpty ? model.graph.nodes[products.softmax].outputs[0] : model.graph.nodes[products.softmax].name
            let type = types.types[products.keys] ?? .float32
            func scalar(_ value: Float, _ editor: inout GraphEditor) -> String {
                editor.constant(Tensor(floats: [value], dims: [], as: type, name: ""), at: .main)
            }
            func put(_ type: String, _ inputs: [String], _ suffix: String, _ attributes: [Attribute] = [], _ editor: inout GraphEditor) -> String {
                let output = editor.fresh("\(base)/linear_\(suffix)")
                editor.add(Node(type, name: output, inputs: inputs, outputs: [output], attributes: attributes), before: products.mix)
                return output
            }
            func feature(_ value: String, _ suffix: String, _ editor: inout GraphEditor) -> String {
                put("Add", [put("Elu", [value], suffix + "_elu", [], &editor), scalar(1, &editor)], suffix, [], &editor)
            }
            let queries = feature(products.queries, "queries", &editor)
            // Keys lie turned over, … × d × n.
            let keys = feature(products.keys, "keys", &editor)
            let memory = put("MatMul", [keys, products.values], "memory", [], &editor)
            let last = opset >= 13 ? [editor.constant(Tensor(name: "", int64s: [-1], dims: [1]), at: .main)] : []
            let axes = opset >= 13 ? [] : [Attribute("axes", .integers([-1]))]
            let sum = put("ReduceSum", [keys] + last, "sum", axes + [Attribute("keepdims", .integer(1))], &editor)
            let numerator = put("MatMul", [queries, memory], "numerator", [], &editor)
            let weight = put("MatMul", [queries, sum], "weight", [], &editor)
            let denominator = put("Add", [weight, scalar(epsilon, &editor)], "denominator", [], &editor)
            editor.edit(products.mix, at: .main) { node in
                node.opType = "Div"
                node.inputs = [numerator, denominator]
            }
        }
        model = editor.finish()
    }

    public var forecastFacets: [any ForecastFacet.Type] { [AttentionForecasts.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (attention, _, layer) in AttentionForecast.chosen(summaries, targets) {
            let (n, m, d, v) = (Double(attention.queries), Double(attention.keys), Double(attention.keyWidth), Double(attention.valueWidth))
            let products = attention.kept(states) * Double(attention.products)
            states[layer].productMacs += products * ((m * d * v + n * d * v + n * d) - (n * m * d + n * m * v))
            states[layer].overheadBits += Double(6 * (3 * summaries[layer].layer.id.utf8.count + 80) * 8)
        }
    }
}
