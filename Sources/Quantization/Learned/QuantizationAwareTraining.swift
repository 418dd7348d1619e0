import Differentiation
import EngineSupport
import ModelGraph
import Techniques
import Training

/// Trains a model with its weights and activations rounded as they will be, so that it learns to live with that.
public struct QuantizationAwareTraining: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "quantization-aware-training", title: "Quantization-aware training", family: .training,
        summary: "Trains with weights and activations rounded to 1–8 bits, then stores the integers; step sizes are learned too",
        details: """
            Weights, and the values that Conv, Gemm and MatMul read, pass through quantizers while the model trains; gradients pass straight through \
            the rounding and stop where a value saturates. With 2 to 8 bits, step sizes are learned with the weights (LSQ): they start at 2·mean|w|/√Q \
            for a grid that reaches Q steps, and their gradients are scaled by 1/√(N·Q). One bit keeps signs: −α and α, with α the channel's mean \
            magnitude or learned. Ternary levels are −α, 0 and α with the threshold 0.7·mean|w|; with granularity tensor and learned scales, the two \
            sides have different values. The first and the last layer are usually kept at 8 bits.

            The file holds weights at their true width, unpacked while loading, and QuantizeLinear and DequantizeLinear around activations, in 8 bits \
            behind Clips to the codes in use: ONNX Runtime computes from it what was trained. It computes in float, so latency hardly changes; a \
            device with integer arithmetic finds all it needs. BatchNormalization stays as it is. What else is trained, data, loss, checkpoints and \
            memory are as in fine-tuning.
            """,
        source: """
            Esser et al., Learned Step Size Quantization, arXiv:1902.08153; Jacob et al., arXiv:1712.05877; Rastegari et al., XNOR-Net, \
            arXiv:1603.05279 and Liu et al., Bi-Real Net, arXiv:1808.00278 (1 bit); Li, Zhang and Liu, Ternary Weight Networks, arXiv:1605.04711; \
            Zhu et al., Trained Ternary Quantization, arXiv:1612.01064; Bengio, Léonard and Courville, arXiv:1308.3432
            """,
        parameters: [
            ParameterDescriptor("bits", title: "Weight bits", domain: .integer(1...8, step: 1), default: .integer(4), unit: "bits", help: "Width of a weight."),
            ParameterDescriptor(
                "levels", title: "Levels",
                domain: .choice([.init("uniform", "2^bits evenly spaced values"), .init("ternary", "−α, 0 and α, in 2 bits")]),
                default: .choice("uniform"), help: "Which values weights take."),
            ParameterDescriptor(
                "granularity", title: "Scales",
                domain: .choice([.init("tensor", "one scale for the whole tensor"), .init("channel", "one scale per output channel or table row")]),
                default: .choice("channel"), help: "Which weights share a scale."),
            ParameterDescriptor(
                "activation-bits", title: "Activation bits",
                domain: .choice([.init("off", "activations stay float")] + (2...8).map { .init("\($0)", "\(1 << $0) values") }),
                default: .choice("8"), unit: "bits", help: "Width of what Conv, Gemm and MatMul read."),
            ParameterDescriptor(
                "learn-scales", title: "Learn scales", domain: .flag, default: .flag(true), help: "Scales are trained with the weights; off: they stay, or follow mean|w|"),
            ParameterDescriptor("edges", title: "Edges at 8 bits", domain: .flag, default: .flag(true), help: "First and last layer have 8 bits, whatever the others have"),
        ] + TrainingParameters.all,
        strength: "bits", produces: [.training, .loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = QuantizationRefusal.reason(for: layer) { return reason }
        guard layer.path.isMain else { return "in a subgraph (If, Loop, Scan)" }
        guard model.opset >= 11 else { return "needs operator set 11 (Round); the model has \(model.opset)" }
        let missing = ([layer.weight] + layer.otherWeights).contains { model.graph.initializers[$0]?.elementType != .float32 }
        return missing ? "its weights are not float32 constants of the main graph" : nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard let parameters = targets.first?.parameters else { return }
        guard let source = context.training else {
            throw EngineError(.technique, "\(descriptor.id): needs a training split (--data) and ONNX Runtime")
        }
        var plan = try TrainingParameters.plan(parameters, seed: context.seed)
        let edges = Self.edges(model.layers())
        let settings = targets.map { target in
            (layer: target.layer, setting: Self.setting(target.parameters, isEdge: edges.contains(target.layer.id)))
        }
        let quantization = try FakeQuantization(
            model, targets: settings, relativeRates: plan.optimizer.kind != .sgd, source: source, context: context)
        let teacher = TrainingParameters.teacher(parameters, plan: &plan, model: model, previous: model, context: context)
        var trained = quantization.model
        try LearningStep.run(&trained, plan: plan, teacher: teacher, context: context, name: descriptor.id, preparation: quantization.preparation)
        model = try quantization.exported(trained, library: source.library, cancellation: context.cancellation)
    }

    /// Identities of the first and the last layer.
    private static func edges(_ layers: [Layer]) -> Set<String> {
        let main = layers.filter(\.path.isMain)
        return Set([main.first, main.last].compactMap { $0?.id })
    }

    private static func setting(_ p: ParameterValues, isEdge: Bool) -> FakeQuantization.Setting {
        let isWide = isEdge && p.flag("edges")
        let isTernary = !isWide && p.choice("levels") == "ternary"
        let grid = WeightGrid(
            bits: isWide ? 8 : isTernary ? 2 : p.integer("bits"), isTernary: isTernary, granularity: p.choice("granularity") == "tensor" ? .tensor : .channel,
            learnsScales: p.flag("learn-scales"))
        return FakeQuantization.Setting(weights: grid, activationBits: Int(p.choice("activation-bits")).map { isWide ? 8 : $0 })
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        let edges = Self.edges(summaries.map(\.layer))
        for (index, parameters) in targets {
            let layer = summaries[index].layer
            let setting = Self.setting(parameters, isEdge: edges.contains(layer.id))
            let request = WeightStorageWriter.Request(
                format: setting.weights.format, granularity: setting.weights.granularity, groupSize: 0, storage: .packed, integerActivations: false)
            QuantizationForecast.apply(request, to: &states[index], summaries[index])
            guard let bits = setting.activationBits, [.conv, .convTranspose, .gemm, .matMul].contains(layer.kind) else { continue }
            // QuantizeLinear and DequantizeLinear, Clip before and Max behind, and their constants.
            let nodes = (bits < 8 ? 3.0 : 2) + (layer.kind == .matMul ? 0 : 1)
            let constants = nodes > 2 ? 4.0 : 2
            states[index].overheadBits += 8 * (nodes * QuantizationForecast.nodeBytes + constants * QuantizationForecast.initializerBytes)
        }
    }
}
