import ModelGraph

/// Readers of weights that are no layers: the Transpose before a language model's head that is tied to its embedding, say.
///
/// Once every layer over a weight reads what replaces it, these are to read that too. Otherwise the weight would stay in the file beside its
/// replacement, and a file that was to shrink would grow.
package struct NonLayerReaders {
    private typealias Replacement = (value: String, layers: Set<WeightReaders.Reader>)

    private let readers: WeightReaders
    /// The layers over each weight.
    private var layers: [WeightReaders.Place: Set<WeightReaders.Reader>] = [:]
    private var replaced: [WeightReaders.Place: Replacement] = [:]

    package init(_ model: Model) {
        readers = WeightReaders(model)
        for layer in model.layers() {
            for name in layer.weightNames + (layer.bias.map { [$0] } ?? []) {
                if let place = model.place(of: name, readBy: layer) { layers[place, default: []].insert(layer.reader) }
            }
        }
    }

    /// Readers of a constant that are no layers over it, outputs of a graph left out.
    private func others(_ place: WeightReaders.Place) -> [WeightReaders.Reader] {
        let own = layers[place] ?? []
        return (readers.readers[place] ?? []).filter { !own.contains($0) && $0.node >= 0 }
    }

    /// Whether a constant has such readers.
    package func read(_ place: WeightReaders.Place) -> Bool { !others(place).isEmpty }

    /// Whether all layers over a constant are among `nodes`, and no output of a graph is the constant itself.
    package func areLayers(of place: WeightReaders.Place, among nodes: Set<WeightReaders.Reader>) -> Bool {
        let isOutput = (readers.readers[place] ?? []).contains { $0.node < 0 }
        return !isOutput && (layers[place] ?? []).isSubset(of: nodes)
    }

    /// Notes that a layer now reads a float value of the same shape, made at the head of the graph that holds the constant.
    package mutating func replace(_ place: WeightReaders.Place, readBy layer: Layer, with value: String) {
        replaced[place, default: (value, [])].layers.insert(layer.reader)
    }

    /// Lets nonLayerReaders read what replaced a weight for all of its layers.
    /// - Returns: names of the nodes that now compute with changed weights, in order; a Loop that hands them to its layers is none.
    package func redirect(_ editor: inout GraphEditor) -> [String] {
        var names = Set<String>()
        for (place, replacement) in replaced where (layers[place] ?? []).isSubset(of: replacement.layers) {
            for reader in others(place) {
                editor.edit(reader.node, at: reader.path) { node in
                    node.replaceInput(place.name, by: replacement.value)
                    if node.subgraphs.isEmpty { names.insert(node.name.isEmpty ? node.outputs.first ?? "" : node.name) }
                }
            }
        }
        return names.sorted()
    }
}
