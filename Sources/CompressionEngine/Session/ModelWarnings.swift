import Measurement
import ModelGraph
import Recipes
import Techniques

/// What a user should know of a model as soon as it is opened.
enum ModelWarnings {
    /// One line each; empty for most models.
    static func of(_ model: Model, _ layers: [Layer]) -> [String] {
        var warnings: [String] = []
        let listed = Set(model.graph.inputs.map(\.name)).intersection(model.graph.initializers.keys)
        if !listed.isEmpty {
            warnings.append(
                "\(listed.count) weights are listed as graph inputs, which keeps ONNX Runtime from folding them; quantized weights are not listed")
        }
        let blocked = model.graph.nodes.count { $0.domain == "com.microsoft.nchwc" && $0.opType == "Conv" }
        if blocked > 0 {
            warnings.append("\(blocked) convolutions were laid out by ONNX Runtime for one kind of processor and are no layers here: start from the model before it was optimized")
        }
        if TransposeFusionCrash.threatens(model) {
            warnings.append("ONNX Runtime crashes while loading this model unless its MatmulTransposeFusion is switched off, as here; the step float32 mends it")
        }
        let quantized = layers.count { $0.quantization != nil }
        if quantized > 0 { warnings.append("\(quantized) of \(layers.count) layers are quantized already and are left as they are") }
        let counted = Set(TechniqueRegistry.profiler(of: model)?.paths ?? [])
        let inSubgraphs = layers.count { !$0.path.isMain && !counted.contains($0.path) }
        if inSubgraphs > 0 { warnings.append("\(inSubgraphs) layers sit in subgraphs (If, Loop, Scan): their MACs are not counted") }
        if !model.functions.isEmpty { warnings.append("\(model.functions.count) local functions are kept but not looked into") }
        return warnings
    }
}
