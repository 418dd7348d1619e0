import Foundation
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
        if let line = outside(model, layers) { warnings.append(line) }
        let quantized = layers.count { $0.quantization != nil }
        if quantized > 0 { warnings.append("\(quantized) of \(layers.count) layers are quantized already and are left as they are") }
        let counted = Set(TechniqueRegistry.profiler(of: model)?.paths ?? [])
        let inSubgraphs = layers.count { !$0.path.isMain && !counted.contains($0.path) }
        if inSubgraphs > 0 { warnings.append("\(inSubgraphs) layers sit in subgraphs (If, Loop, Scan): their MACs are not counted") }
        if !model.functions.isEmpty { warnings.append("\(model.functions.count) local functions are kept but not looked into") }
        return warnings
    }

    /// Weights and biases that are NaN or infinite, as a training that diverged leaves them; `nil` for sound models. Masks of attention, which
    /// hold infinities on purpose, are in no layer.
    static func notFinite(_ model: Model, _ layers: [Layer]) -> String? {
        NonZeroCount.count(model)
        var places: Set<WeightReaders.Place> = []
        var found: [(name: String, count: Int)] = []
        for layer in layers {
            for name in layer.weightNames + [layer.bias].compactMap(\.self) {
                guard let place = model.place(of: name, readBy: layer), places.insert(place).inserted, let tensor = model.graph[place.owner]?.initializers[place.name]
                else { continue }
                let count = NonZeroCount.notFinite(tensor)
                if count > 0 { found.append((place.name, count)) }
            }
        }
        guard !found.isEmpty else { return nil }
        let largest = found.sorted { $0.count > $1.count }.prefix(3).map { "\($0.count) in \($0.name)" }.joined(separator: ", ")
        return
            "weights that are NaN or infinite: \(largest)\(found.count > 3 ? " and \(found.count - 3) more" : ""); what the model gives is not to be trusted, with or without a recipe"
    }

    /// Share of the parameters from which on it is worth a line that they are in no layer.
    private static let share = 0.05

    /// Weights that no technique reaches because the node that reads them is no layer, and what reads them; `nil` where they are few.
    private static func outside(_ model: Model, _ layers: [Layer]) -> String? {
        let inLayers = Set(
            layers.flatMap { layer in (layer.weightNames + [layer.bias, layer.quantization?.scale].compactMap(\.self)).compactMap { model.place(of: $0, readBy: layer) } })
        let readers = WeightReaders(model).readers
        var total = 0
        var left: [(name: String, count: Int, reader: String)] = []
        for path in model.graph.graphPaths() {
            guard let graph = model.graph[path] else { continue }
            for (name, tensor) in graph.initializers where tensor.elementType.isFloatingPoint || tensor.elementType.isQuantized {
                total += tensor.count
                let place = WeightReaders.Place(owner: path, name: name)
                guard tensor.elementType.isFloatingPoint, tensor.dims.count > 1, !inLayers.contains(place),
                    let reader = readers[place]?.first(where: { $0.node >= 0 }), let node = model.graph[reader.path]?.nodes[reader.node]
                else { continue }
                left.append((name, tensor.count, node.opType))
            }
        }
        let count = left.reduce(0) { $0 + $1.count }
        guard total > 0, Double(count) >= share * Double(total) else { return nil }
        let largest = left.sorted { $0.count > $1.count }.prefix(3).map { "\($0.name) (\($0.reader))" }.joined(separator: ", ")
        let percent = (Double(count) / Double(total) * 100).formatted(.number.precision(.fractionLength(0)).locale(Locale(identifier: "en_US")))
        return "\(percent) % of the parameters are in no layer, and techniques leave them as they are: \(largest)\(left.count > 3 ? " and \(left.count - 3) more" : "")"
    }
}
