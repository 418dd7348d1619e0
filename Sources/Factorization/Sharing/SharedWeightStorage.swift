import ModelGraph
import Techniques

/// Writes shared weights into a model: as plain tensors with few values, or as indices and a codebook behind a Gather.
///
/// A tensor is replaced in place if every layer that reads it is shared alike; otherwise its layer gets one of its own
/// and other readers keep the old one.
struct SharedWeightStorage {
    private let shared: [SharedWeight]
    private let readers: OtherReaders

    init(_ shared: [SharedWeight], readers: OtherReaders) {
        self.shared = shared
        self.readers = readers
    }

    func apply(to model: inout Model) throws {
        var supply = NameSupply(model.graph)
        var byPlace: [WeightReaders.Place: [SharedWeight]] = [:]
        var order: [WeightReaders.Place] = []
        for weight in shared {
            guard let place = model.place(of: weight.name, readBy: weight.layer) else { continue }
            if byPlace[place] == nil { order.append(place) }
            byPlace[place, default: []].append(weight)
        }
        /// Nodes to put at the head of a graph, which shifts all others: done at the end.
        var heads: [GraphPath: [Node]] = [:]
        for place in order {
            guard let weights = byPlace[place], let first = weights.first, let tensor = model.graph[place.owner]?.initializers[place.name] else {
                continue
            }
            let inPlace =
                readers.areLayers(of: place, among: Set(weights.map(\.layer.reader)))
                && weights.allSatisfy { $0.codebook.entries == first.codebook.entries && $0.storesCodebook == first.storesCodebook }
            if inPlace {
                try store(first, as: tensor, name: place.name, in: place.owner, &model, &heads, &supply)
                continue
            }
            for weight in weights {
                let name = supply.fresh(place.name + "/shared")
                try store(weight, as: tensor, name: name, in: weight.layer.path, &model, &heads, &supply)
                guard var graph = model.graph[weight.layer.path] else { continue }
                let node = weight.layer.nodeIndex
                graph.nodes[node].inputs = graph.nodes[node].inputs.map { $0 == place.name ? name : $0 }
                model.graph[weight.layer.path] = graph
            }
        }
        // Inner graphs first: the path to a graph names nodes of those around it.
        for (path, nodes) in heads.sorted(by: { $0.key.steps.count > $1.key.steps.count }) {
            guard var graph = model.graph[path] else { continue }
            graph.nodes.insert(contentsOf: nodes, at: 0)
            model.graph[path] = graph
        }
    }

    private func store(
        _ weight: SharedWeight, as tensor: Tensor, name: String, in path: GraphPath, _ model: inout Model, _ heads: inout [GraphPath: [Node]],
        _ supply: inout NameSupply
    ) throws {
        guard var graph = model.graph[path] else { return }
        let entries = weight.codebook.entries
        if weight.storesCodebook {
            let indices = supply.fresh(name + "/indices")
            let codebook = supply.fresh(name + "/codebook")
            let wide = supply.fresh(name + "/indices_int32")
            graph.initializers[indices] = Tensor(name: indices, uint8s: weight.indices, dims: tensor.dims)
            graph.initializers[codebook] = Tensor(like: tensor, name: codebook, floats: entries, dims: [entries.count])
            graph.initializers[name] = nil
            graph.inputs.removeAll { $0.name == name }
            // Gather takes no 8-bit indices; the runtime folds both nodes when it loads the model.
            heads[path, default: []] += [
                Node("Cast", name: name + "/widen", inputs: [indices], outputs: [wide], attributes: [Attribute("to", .integer(6))]),
                Node("Gather", name: name + "/look_up", inputs: [codebook, wide], outputs: [name], attributes: [Attribute("axis", .integer(0))]),
            ]
        } else {
            let values = [Float](unsafeUninitializedCapacity: weight.indices.count) { out, initialized in
                for (position, index) in weight.indices.enumerated() { out.initializeElement(at: position, to: entries[Int(index)]) }
                initialized = weight.indices.count
            }
            graph.initializers[name] = tensor.withFloats(values).renamed(name)
        }
        model.graph[path] = graph
    }
}
