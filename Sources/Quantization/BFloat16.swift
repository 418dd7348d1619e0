import EngineSupport
import ModelGraph
import Techniques

/// Weights as bfloat16: half the file, with float32's range.
public struct BFloat16: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "bf16", title: "bfloat16 weights", family: .quantization,
        summary: "Weights as bfloat16: half the file, float32's range with 8 bits of precision. Computation stays float32.",
        details: """
            Each layer's weights are stored as bfloat16, the upper half of a float32 rounded to nearest, followed by a Cast to float32 that ONNX \
            Runtime evaluates once while loading: half the file size, the same speed and memory, any layer, subgraphs included. Unlike with fp16, no \
            value overflows or vanishes, but a weight has 8 significant bits where fp16 has 11: fp16 is the better choice for weights of ordinary \
            magnitude. No mode computes in bfloat16, because ONNX Runtime has no efficient bfloat16 kernels for x86 and Arm CPUs. Needs operator set \
            13, the first whose Cast supports bfloat16.
            """,
        source: "Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, arXiv:1905.12322; ONNX Cast-13",
        parameters: [], produces: [.loweredPrecision], widens: false)

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if layer.weightType == .bfloat16 { return "its weights are bfloat16 already" }
        if let reason = QuantizationRefusal.reason(for: layer) { return reason }
        return model.opset >= 13 ? nil : "needs operator set 13 (Cast from bfloat16); the model has \(model.opset)"
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = try HalfStorage.store(targets.map(\.layer), in: model, suffix: "bfloat16", context: context) { tensor in
            guard let values = tensor.floats() else { throw EngineError(.technique, "tensor '\(tensor.name)': \(tensor.elementType) cannot become bfloat16") }
            return Tensor(name: tensor.name, bfloat16s: values, dims: tensor.dims)
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for index in targets.keys { HalfStorage.predict(&states[index]) }
    }
}
