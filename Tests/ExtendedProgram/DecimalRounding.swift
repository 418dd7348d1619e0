import ModelGraph
import Techniques

/// Rounds weights to decimals: a technique that the program does not have, written as any other would be.
struct DecimalRounding: Technique {
    let descriptor = TechniqueDescriptor(
        id: "decimal-rounding",
        title: "Decimal rounding",
        family: .sharing,
        summary: "Rounds weights to a number of decimals",
        details: "Every weight becomes the nearest multiple of a power of ten. The ONNX file keeps its size; gzip and the packed archive shrink.",
        source: "Made up for a test",
        parameters: [
            ParameterDescriptor(
                "decimals", title: "Decimals", domain: .integer(0...6, step: 1), default: .integer(2), help: "Digits behind the decimal point")
        ],
        produces: [.sharedWeights])

    func refusal(for layer: Layer, in model: Model) -> String? { PrunableWeights.refusal(for: layer) }

    func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        for target in targets {
            let scale = Float(Self.scale(target.parameters))
            guard var graph = model.graph[target.layer.path], let tensor = graph.initializers[target.layer.weight], let values = tensor.floats() else { continue }
            graph.initializers[target.layer.weight] = tensor.withFloats(values.map { ($0 * scale).rounded(.toNearestOrEven) / scale })
            model.graph[target.layer.path] = graph
        }
    }

    func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, parameters) in targets {
            states[index].distinctValues = 2 * Double(summaries[index].maximumMagnitude) * Self.scale(parameters.resolved(by: descriptor)) + 1
        }
    }

    private static func scale(_ parameters: ParameterValues) -> Double { (0..<parameters.integer("decimals")).reduce(1.0) { scale, _ in scale * 10 } }
}
