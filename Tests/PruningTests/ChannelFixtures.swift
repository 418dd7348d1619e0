import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Pruning
@testable import Techniques

/// Groups of channels, and what a cut model must compute.
extension Fixture {
    /// Structure of a model's channels.
    static func structure(_ model: Model, shapes: [String: [Int]] = [:]) -> ChannelStructure {
        ChannelStructure(of: model, layers: model.layers(), shapes: shapes)
    }

    /// Names of the layers of every group, in order.
    static func groups(_ model: Model, shapes: [String: [Int]] = [:]) -> [[String]] {
        let layers = model.layers()
        return structure(model, shapes: shapes).groups.map { $0.layers.map { layers[$0].id } }
    }

    /// The model with the weights that read removed channels set to zero, all else as it was: what the cut model must compute.
    ///
    /// Needs nothing of the cut itself: only which inputs of which layers are said to go.
    static func masked(_ model: Model, _ structure: ChannelStructure, removed: [Bool]) -> Model {
        var result = model
        let layers = model.layers()
        for (index, layer) in layers.enumerated() {
            let units = structure.inputUnits[index]
            zero(&result, layer, layer.weight, axis: layer.inputAxis, units, removed)
            // Recurrent weights read the layer's own hidden units.
            for name in layer.otherWeights {
                guard let hidden = model.initializer(name, from: layer.path)?.tensor.dims[layer.inputAxis] else { continue }
                zero(&result, layer, name, axis: layer.inputAxis, Array(structure.outputUnits[index].prefix(hidden)), removed)
            }
        }
        // Weights that reach their product through a Reshape, Transpose or Slice belong to no layer.
        for (use, key, axes) in structure.cut.uses where use.path.isMain && ["Reshape", "Transpose", "Slice"].contains(model.graph.nodes[use.node].opType) {
            for (axis, number) in axes.enumerated() {
                if let number { zero(&result, layers[0], key.name, axis: axis, structure.cut.axisUnits[number], removed) }
            }
        }
        return result
    }

    private static func zero(_ model: inout Model, _ layer: Layer, _ name: String, axis: Int, _ units: [Int32], _ removed: [Bool]) {
        guard let tensor = model.initializer(name, from: layer.path)?.tensor, tensor.elementType.isFloatingPoint, var values = tensor.floats(),
            units.contains(where: { $0 >= 0 && removed[Int($0)] })
        else { return }
        let inner = tensor.dims[(axis + 1)...].reduce(1, *)
        for index in values.indices {
            let unit = units[index / inner % tensor.dims[axis]]
            if unit >= 0, removed[Int(unit)] { values[index] = 0 }
        }
        model.graph.initializers[name] = tensor.withFloats(values)
    }

    /// Cuts `ratio` of every group by rank and compares the result with the masked model.
    static func cutAgainstMask(_ model: Model, inputs: [Tensor], shapes: [String: [Int]] = [:], ratio: Double) throws -> (difference: Float, removed: Int, cut: Model) {
        let layers = model.layers()
        let structure = structure(model, shapes: shapes)
        let norms = layers.map { layer in
            OutputNorms(of: ([layer.weight] + layer.otherWeights).compactMap { model.initializer($0, from: layer.path)?.tensor }, axis: layer.outputAxis)
        }
        let forecast = ChannelForecast(structure, norms: norms)
        let request = ChannelSelection.Request(ratio: ratio, criterion: .l1, isGlobal: false, multiple: 1, minimum: 1)
        let selection = ChannelSelection(structure, requests: structure.groups.map { _ in request }) { forecast.ranking(by: $0) }
        var cut = model
        try structure.cut.apply(to: &cut, removed: selection.removed)
        let difference = try difference(run(masked(model, structure, removed: selection.removed), inputs), run(cut, inputs))
        return (difference, selection.removed.count { $0 }, cut)
    }
}
