import EngineSupport
import Foundation
import ModelGraph

/// What a recipe made of weights and activations as AIMET's encodings, version 1.0.0: the scales of the quantized model under the names of the
/// model before it, which `QuantizationSimModel.load_encodings` reads.
enum AIMETEncodings {
    // The names are the format's.
    // swift-format-ignore: AlwaysUseLowerCamelCase
    private struct Document: Encodable {
        var version = "1.0.0"
        var activation_encodings: [Encoding] = []
        var param_encodings: [Encoding] = []
    }

    // swift-format-ignore: AlwaysUseLowerCamelCase
    private struct Encoding: Encodable {
        var name: String
        var bw: Int
        var dtype = "INT"
        var enc_type: String
        var is_sym: Bool
        var scale: [Double]
        /// The negative zero point of unsigned codes.
        var offset: [Int]

        init(name: String, bits: Int, isSymmetric: Bool, scales: [Float], zeros: [Int]) {
            self.name = name
            bw = bits
            enc_type = scales.count > 1 ? "PER_CHANNEL" : "PER_TENSOR"
            is_sym = isSymmetric
            scale = scales.map { Double($0) }
            offset = zeros.map { -$0 }
        }
    }

    /// - Parameters:
    ///   - quantized: the model after the recipe.
    ///   - original: the one before it.
    static func converted(_ steps: [ConvertedStep], of quantized: Model, original: Model) throws -> ConvertedRecipe? {
        var document = Document()
        var omissions = steps.filter { !["static-int8", "weight-quantization", "gptq", "adaround"].contains($0.technique) }.map {
            $0.omission("encodings say how numbers are rounded, and not what else was changed")
        }
        let layers = Dictionary(quantized.layers().map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for layer in original.layers() where layer.path.isMain {
            guard let made = layers[layer.id], let quantization = made.quantization else { continue }
            guard let encoding = parameter(layer, made, quantization, quantized) else {
                omissions.append("\(layer.id): \(quantization.opType) of \(quantization.bits) bits has no encoding")
                continue
            }
            document.param_encodings.append(encoding)
        }
        let known = Set(original.graph.nodes.flatMap(\.outputs) + original.graph.inputs.map(\.name))
        for (name, scale, zero, isSigned) in activations(quantized.graph) {
            guard known.contains(name) else {
                omissions.append("activation '\(name)': the model before the recipe has no such value")
                continue
            }
            document.activation_encodings.append(
                Encoding(name: name, bits: 8, isSymmetric: isSigned && zero == 0, scales: [scale], zeros: [isSigned ? zero + 128 : zero]))
        }
        guard !document.param_encodings.isEmpty || !document.activation_encodings.isEmpty else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return ConvertedRecipe(text: String(decoding: try encoder.encode(document), as: UTF8.self) + "\n", omissions: omissions)
    }

    /// Scales for a tensor or for each output; blocks have no encoding in this version.
    private static func parameter(_ layer: Layer, _ made: Layer, _ quantization: Layer.Quantization, _ model: Model) -> Encoding? {
        guard layer.otherWeights.isEmpty, ["DequantizeLinear", "Cast"].contains(quantization.opType), (2...8).contains(quantization.bits),
            let scales = quantization.scale.flatMap({ model.graph.initializers[$0]?.floats() }), [1, layer.weightShape[layer.outputAxis]].contains(scales.count)
        else { return nil }
        let zero = quantization.zeroPoint.flatMap { model.graph.initializers[$0] }
        let half = 1 << (quantization.bits - 1)
        // Signed codes, or unsigned ones around their middle, are symmetric.
        let zeros = zero?.floats().map { $0.map { Int($0) } } ?? [0]
        let isUnsigned = zero.map { $0.elementType != .int8 && zeros != [0] } ?? false
        let all = (zeros.count == scales.count ? zeros : [Int](repeating: zeros.first ?? 0, count: scales.count)).map { isUnsigned ? $0 : $0 + half }
        return Encoding(name: layer.weight, bits: quantization.bits, isSymmetric: all.allSatisfy { $0 == half }, scales: scales, zeros: all)
    }

    /// Values between QuantizeLinear and DequantizeLinear, by the name they had before.
    private static func activations(_ graph: Graph) -> [(name: String, scale: Float, zero: Int, isSigned: Bool)] {
        let (index, outputs) = (GraphIndex(graph), Set(graph.outputs.map(\.name)))
        return graph.nodes.compactMap { node in
            guard node.opType == "QuantizeLinear", let source = node.input(0), let codes = node.outputs.first,
                let scales = node.input(1).flatMap({ graph.initializers[$0]?.floats() }), scales.count == 1, let zero = node.input(2).flatMap({ graph.initializers[$0] }),
                let value = zero.floats()?.first
            else { return nil }
            // An output keeps its name behind the pair.
            let behind = (index.consumers[codes] ?? []).flatMap { graph.nodes[$0].outputs }.first { outputs.contains($0) }
            return (behind ?? source, scales[0], Int(value), zero.elementType == .int8)
        }
    }
}
