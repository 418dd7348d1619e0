import ModelGraph
import Techniques

/// Back to 32-bit floats, for models that come in float16 or float64.
public struct SinglePrecision: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "float32", title: "Single precision", family: .quantization,
        summary: "Converts a model in float16, bfloat16 or float64 to float32, which other techniques need and CPUs are fast at.",
        details: """
            The whole graph, subgraphs included, computes in float32, whichever layers are chosen; weights that the file only stores in 16 bits are \
            widened too. Casts that no longer change anything are removed. Inputs and outputs of the model keep their types. float16 and bfloat16 lose \
            nothing; float64 is rounded to 24 bits.

            Techniques that work on float32 only do this by themselves and say so. As a step of its own it doubles the size of a float16 file, but the \
            model no longer runs through the Casts that ONNX Runtime puts around every operator without a float16 kernel on the CPU. Add fp16 after it \
            to store the weights in 16 bits again and compute in float32.
            """,
        source: "IEEE 754-2008 binary32",
        parameters: [], requires: [], widens: false)

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let declared = SinglePrecisionGraph.declaresSequences(model)
        return layers.map { layer in
            guard SinglePrecisionGraph.widens(layer) else {
                return layer.quantization.map { "quantized to \($0.bits) bits" } ?? "its weights are \(layer.weightType) already"
            }
            return declared ? "the model has sequences or optional values, whose types are declared" : nil
        }
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let refusals = refusals(for: layers, in: model, shapes: shapes)
        let group = layers.indices.filter { refusals[$0] == nil }
        return group.isEmpty ? [] : [group]
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        model = SinglePrecisionGraph.converted(model)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for index in targets.keys {
            states[index].weightBits = 32
            states[index].operandBits = 32
            states[index].form = .float
        }
    }
}
