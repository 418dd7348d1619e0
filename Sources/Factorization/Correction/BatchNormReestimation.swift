import EngineSupport
import ModelGraph
import Techniques

/// Measures the statistics of BatchNormalization anew.
public struct BatchNormReestimation: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "batchnorm-reestimation",
        title: "BatchNorm re-estimation",
        family: .correction,
        summary: "Measures the means and variances of BatchNormalization again, on the model as it is now",
        details: """
            BatchNormalization subtracts the mean and divides by the deviation that each channel had in training. After pruning, channels have other \
            statistics, and the activations drift further from layer to layer. This step measures the statistics again over calibration data, without \
            labels: one normalization after the other in graph order, each with those before it already renewed.

            Scale and shift stay, so activations get back the distribution that the rest of the network was trained on. In convolutional networks this \
            often recovers most of what one-shot pruning lost, at no cost in size or speed. Put it before steps that fold BatchNormalization into \
            convolutions (static-int8); models exported with it folded have none left.
            """,
        source: "Li et al., EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning, ECCV 2020, section 3.3 (adaptive batch normalization)",
        parameters: [
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(512), unit: "samples",
                help: "Calibration samples to use")
        ],
        needsCalibration: true, requires: [], produces: [.correction])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let owners = Set(Self.owners(layers, in: model).values)
        return layers.indices.map { owners.contains($0) ? nil : "no BatchNormalization follows it" }
    }

    /// The layer each BatchNormalization belongs to, by position: the last of the nearest ones before it. By node index.
    private static func owners(_ layers: [Layer], in model: Model) -> [Int: Int] {
        let graph = model.graph
        let index = GraphIndex(graph)
        var position: [Int: Int] = [:]
        for (number, layer) in layers.enumerated() where layer.path.isMain { position[layer.nodeIndex] = number }
        var owners: [Int: Int] = [:]
        for (place, node) in graph.nodes.enumerated() where isUsable(node, graph) {
            var open = [node.inputs[0]]
            var seen = Set<Int>()
            var nearest: Int?
            while let next = open.popLast() {
                guard let maker = index.producer[next], seen.insert(maker).inserted else { continue }
                if position[maker] != nil { nearest = max(nearest ?? maker, maker) } else { open += graph.nodes[maker].inputs }
            }
            if let nearest { owners[place] = position[nearest] }
        }
        return owners
    }

    /// In inference form, with statistics that are constants.
    private static func isUsable(_ node: Node, _ graph: Graph) -> Bool {
        guard node.isStandard("BatchNormalization"), node.inputs.count >= 5, node.int("training_mode") ?? 0 == 0, node.int("spatial") ?? 1 == 1,
            node.outputs.dropFirst().allSatisfy(\.isEmpty), let mean = graph.initializers[node.inputs[3]], let variance = graph.initializers[node.inputs[4]]
        else { return false }
        return mean.elementType.isFloatingPoint && variance.elementType.isFloatingPoint && mean.count == variance.count && mean.count > 0
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let layers = model.layers()
        let chosen = Set(targets.map(\.layer.id))
        let nodes = Self.owners(layers, in: model).filter { chosen.contains(layers[$0.value].id) }.keys.sorted()
        let samples = targets.map { $0.parameters.integer("samples") }.max() ?? 0
        let depth = LayerStages.depths(of: Set(nodes), in: model.graph)
        let stages = Dictionary(grouping: nodes) { depth[$0] }.sorted { $0.key < $1.key }.map(\.value)
        let index = GraphIndex(model.graph)
        var names = NameSupply(model.graph)
        var renewed = 0
        for (number, stage) in stages.enumerated() {
            try context.cancellation.check()
            let values = stage.map { ChannelStatistics.Value(name: model.graph.nodes[$0].inputs[0], axis: 1) }
            let moments = try ChannelStatistics.gather(
                of: model, values: Array(Set(values)).sorted { $0.name < $1.name }, limit: samples, context: context.part(number, of: stages.count))
            for (node, value) in zip(stage, values) {
                guard let seen = moments[value], let old = model.graph.initializers[model.graph.nodes[node].inputs[3]], seen.mean.count == old.count,
                    seen.mean.allSatisfy(\.isFinite), seen.variance.allSatisfy(\.isFinite)
                else { continue }
                for (input, numbers) in [(3, seen.mean), (4, seen.variance)] {
                    let name = model.graph.nodes[node].inputs[input]
                    guard let tensor = model.graph.initializers[name] else { continue }
                    // One that others read too is left to them.
                    let alone =
                        index.useCount(name) == 1 && !model.graph.inputs.contains { $0.name == name }
                        && model.graph.nodes[node].inputs.count(where: { $0 == name }) == 1
                    let target = alone ? name : names.fresh(name + "_renewed")
                    model.graph.initializers[target] = tensor.renamed(target).withFloats(numbers.map(Float.init))
                    model.graph.nodes[node].inputs[input] = target
                }
                renewed += 1
            }
        }
        context.notes.add("renewed \(renewed) of \(nodes.count) BatchNormalization")
    }

    /// Sizes and compute stay.
    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}
