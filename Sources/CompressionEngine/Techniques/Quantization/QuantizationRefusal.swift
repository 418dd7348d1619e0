import ModelGraph

/// Reasons that hold for every quantiser.
enum QuantizationRefusal {
    /// Why the weights of a layer cannot be quantised; `nil` if they can.
    static func reason(for layer: Layer) -> String? {
        if let quantization = layer.quantization {
            if quantization.opType == Layer.computed { return "its weights are computed from fewer numbers already" }
            return quantization.opType == "Cast" && quantization.bits == 16
                ? "weights are stored as \(layer.weightType) already" : "already quantised to \(quantization.bits) bits (\(quantization.opType))"
        }
        guard layer.weightType == .float32 else { return "weights are \(layer.weightType), not float32" }
        return nil
    }
}
