import ModelGraph

/// Who else reads a weight that a step replaces: the Transpose before a language model's head that is tied to its embedding, say, or a
/// layer that the technique itself leaves alone.
///
/// They are to read the replacement too. Otherwise the weight would stay in the file beside it, and a file that was to shrink would grow.
package struct OtherReaders {
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

    /// Whether some node that is not among `nodes` reads a constant.
    package func read(_ place: WeightReaders.Place, besides nodes: Set<WeightReaders.Reader>) -> Bool {
        (readers.readers[place] ?? []).contains { $0.node >= 0 && !nodes.contains($0) }
    }

    /// Whether several nodes read a constant.
    package func areSeveral(_ place: WeightReaders.Place) -> Bool { (readers.readers[place] ?? []).count > 1 }

    /// Whether all layers over a constant are among `nodes`, and no output of a graph is the constant itself.
    package func areLayers(of place: WeightReaders.Place, among nodes: Set<WeightReaders.Reader>) -> Bool {
        let isOutput = (readers.readers[place] ?? []).contains { $0.node < 0 }
        return !isOutput && (layers[place] ?? []).isSubset(of: nodes)
    }

    /// Notes that a layer now reads a float value of the same shape, made at the head of the graph that holds the constant.
    package mutating func replace(_ place: WeightReaders.Place, readBy layer: Layer, with value: String) {
        replaced[place, default: (value, [])].layers.insert(layer.reader)
    }

    /// Lets all other readers read what replaced a weight.
    /// - Returns: names of the nodes that now compute with changed weights, in order; a Loop that hands them to its layers is none.
    package func redirect(_ editor: inout GraphEditor) -> [String] {
        var names = Set<String>()
        for (place, replacement) in replaced {
            for reader in readers.readers[place] ?? [] where reader.node >= 0 && !replacement.layers.contains(reader) {
                editor.edit(reader.node, at: reader.path) { node in
                    node.replaceInput(place.name, by: replacement.value)
                    if node.subgraphs.isEmpty { names.insert(node.name.isEmpty ? node.outputs.first ?? "" : node.name) }
                }
            }
        }
        return names.sorted()
    }
}
