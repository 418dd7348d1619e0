import ModelGraph
import Techniques

/// 16-bit floats: storage only, or computation too.
public struct HalfPrecision: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "fp16", title: "Half precision", family: .quantization,
        summary: "Weights as 16-bit floats: half the file, hardly any loss. Computation stays float32 unless asked.",
        details: """
            *weights* stores each layer's weights as float16, followed by a Cast to float32 that ONNX Runtime evaluates once while loading: half the \
            file size, the same speed and memory, any layer, subgraphs included. *compute* converts the whole graph to float16, except for layers that \
            are not selected and operators that must stay float32; Casts at the boundaries keep the types of the model's inputs and outputs. That is \
            for devices that compute in float16. On x86 ONNX Runtime has no float16 kernels for most operators and converts back and forth: slower \
            than float32.

            Constants beyond ±65504 are clamped (noted); values below 6·10⁻⁸ become zero. Shape arithmetic, resizing scales and subgraphs stay \
            float32, and so do, where there are calibration data, operators whose values go beyond half of ±65504.
            """,
        source: "IEEE 754-2008 binary16; Micikevicius et al., arXiv:1710.03740",
        parameters: [
            ParameterDescriptor(
                "mode", title: "Mode",
                domain: .choice([
                    .init("weights", "float16 in the file, float32 when running"), .init("compute", "the graph computes in float16"),
                ]), default: .choice("weights"), help: "What becomes float16.")
        ], produces: [.loweredPrecision], widens: false)

    public func refusal(for layer: Layer, in model: Model) -> String? {
        layer.weightType == .float16 ? "its weights are float16 already" : QuantizationRefusal.reason(for: layer)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let computing = targets.filter { $0.parameters.choice("mode") == "compute" }
        let storing = targets.filter { $0.parameters.choice("mode") != "compute" }
        var counts = (clamped: 0, vanished: 0)
        if !storing.isEmpty {
            model = try HalfStorage.store(storing.map(\.layer), in: model, suffix: "half", context: context) { tensor in
                let made = try HalfConversion.half(tensor)
                counts.clamped += made.clamped
                counts.vanished += made.vanished
                return made.tensor
            }
        }
        if !computing.isEmpty {
            model = WrittenOutNormalization.fused(model, shapes: context.shapes)
            // Layers that only store float16, and those not selected, go on computing in float32.
            let half = Set(computing.map(\.layer.id))
            let float = Set(model.layers().filter { !half.contains($0.id) && $0.path.isMain }.map(\.nodeIndex))
                .union(try HalfRange.overflowing(model, context: context))
            var converter = HalfPrecisionGraph(model, floatNodes: float, context: context)
            model = try converter.converted(counts: &counts)
            let inner = computing.filter { !$0.layer.path.isMain }
            if !inner.isEmpty {
                context.notes.add("subgraphs compute in float32; weights of \(RewriteContext.Notes.list(inner.map(\.layer.id))) left as they are")
            }
        }
        if counts.clamped > 0 { context.notes.add("\(counts.clamped) constants beyond ±65504 clamped") }
        if counts.vanished > 0 { context.notes.add("\(counts.vanished) weights too small for float16 became zero") }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            guard parameters.choice("mode") == "compute" else {
                HalfStorage.predict(&states[index])
                continue
            }
            states[index].weightBits = 16
            states[index].operandBits = 16
            states[index].form = .half
            states[index].overheadBits -= states[index].biasCount * 16
        }
    }
}

extension HalfStorage {
    static func predict(_ state: inout LayerState) {
        guard state.weightCount >= 128 else { return }
        state.weightBits = 16
        state.overheadBits += (QuantizationForecast.nodeBytes + QuantizationForecast.initializerBytes) * 8
        if state.biasCount >= 128 { state.overheadBits -= state.biasCount * 16 }
    }
}
