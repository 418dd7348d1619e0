import ModelGraph

/// Reasons that hold for every quantizer.
package enum QuantizationRefusal {
    /// Why the weights of a layer cannot be quantized; `nil` if they can.
    /// - Parameter weightOnly: the layer goes on computing in its own type, whatever that is.
    package static func reason(for layer: Layer, weightOnly: Bool = false) -> String? {
        if let quantization = layer.quantization {
            if quantization.opType == Layer.computed { return "its weights are computed from fewer numbers already" }
            return quantization.opType == "Cast" && quantization.bits == 16
                ? "weights are stored as \(layer.weightType) already" : "already quantized to \(quantization.bits) bits (\(quantization.opType))"
        }
        guard layer.weightType == .float32 || (weightOnly && [.float16, .float64].contains(layer.weightType)) else {
            let convertible: Set<ElementType> = [.float16, .bfloat16, .float64]
            return "weights are \(layer.weightType), not float32" + (convertible.contains(layer.weightType) ? ": put the step float32 first" : "")
        }
        return nil
    }
}
