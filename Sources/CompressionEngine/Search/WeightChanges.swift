import EngineSupport
import Measurement
import ModelGraph
import OnnxRuntime

/// What a rewrite did to the weights of single layers, read off the rewritten graph: the new weight less the old one.
///
/// A weight that is still a tensor of the graph is compared as it stands. One that the graph decodes from integers, codebooks or other numbers is decoded by the
/// runtime. Where a chain of linear nodes stands in the layer's place (factors), the weight that it amounts to is found by sending unit impulses through.
struct WeightChanges {
    /// Differences of a layer's tensors by name, in the order of the stored elements; tensors that did not change are missing.
    enum Change {
        case tensors([String: [Float]])
        /// Why there is no difference to speak of, in words for the user.
        case problem(String)
    }

    let original: Model
    let layers: [Layer]
    let library: RuntimeLibrary
    /// Of the original's values, at batch 1.
    let shapes: [String: [Int]]

    /// Names of the tensors of a layer that a change is looked for in: weights and bias, as far as they are floats of the main graph.
    func tensors(of position: Int) -> [String] {
        let layer = layers[position]
        guard layer.path.isMain, layer.isFloat else { return [] }
        return ([layer.weight] + layer.otherWeights + [layer.bias].compactMap { $0 }).filter { original.graph.initializers[$0]?.elementType.isFloatingPoint ?? false }
    }

    /// What `candidate`, made from the original, has changed of some layers.
    /// - Throws: `EngineError.cancelled`. What the runtime refuses is a problem of the layers behind it.
    func changes(in candidate: Model, of positions: [Int], cancellation: Cancellation) throws -> [Int: Change] {
        var result: [Int: Change] = [:]
        if Self.roundings(candidate) > Self.roundings(original) {
            for position in positions { result[position] = .problem("activations are rounded as well: the change of weights does not tell the loss") }
            return result
        }
        let index = GraphIndex(candidate.graph)
        let constants = candidate.graph.constantNames()
        var probe = LinearProbe(candidate, producer: index.producer, constants: constants)
        var open: [(position: Int, decoded: [String: String])] = []
        for position in positions {
            try cancellation.check()
            switch standing(position, in: candidate, index.producer, constants) {
            case .known(let change): result[position] = change
            case .decoded(let names):
                for name in names.values { probe.add(constant: name) }
                open.append((position, names))
            case .replaced:
                let node = original.graph.nodes[layers[position].nodeIndex]
                if let reason = probe.add(layers[position], node, rank: shapes[node.inputs[0]]?.count) {
                    result[position] = .problem(reason)
                } else {
                    open.append((position, [:]))
                }
            }
        }
        guard !open.isEmpty else { return result }
        let read: LinearProbe.Readings
        do {
            read = try probe.run(library, cancellation)
        } catch let error as EngineError where error.kind != .cancelled {
            for (position, _) in open { result[position] = .problem(error.message) }
            return result
        }
        for (position, decoded) in open { result[position] = change(position, decoded, read) }
        return result
    }

    /// How many values that are no constants are rounded.
    private static func roundings(_ model: Model) -> Int {
        let constants = model.graph.constantNames()
        return model.graph.nodes.count { node in
            guard ["QuantizeLinear", "DynamicQuantizeLinear", "Quant"].contains(node.opType), let value = node.input(0) else { return false }
            return !constants.contains(value) && model.graph.initializers[value] == nil
        }
    }

    private enum Standing {
        case known(Change)
        /// Names of the values that hold the weights now, by the name of the weight.
        case decoded([String: String])
        /// By other nodes.
        case replaced
    }

    private func standing(_ position: Int, in candidate: Model, _ producer: [String: Int], _ constants: Set<String>) -> Standing {
        let layer = layers[position]
        guard layer.path.isMain else { return .known(.problem("\(layer.id) is in a subgraph, which no gradient reaches")) }
        guard layer.isFloat else { return .known(.problem("the weights of \(layer.id) are not stored as floats")) }
        let node = original.graph.nodes[layer.nodeIndex]
        guard let output = node.outputs.first, let place = producer[output] else { return .known(.problem("what \(layer.id) gives is no longer there")) }
        let now = candidate.graph.nodes[place]
        let names = Set(tensors(of: position))
        let same = now.opType == node.opType && now.domain == node.domain && now.inputs.count == node.inputs.count
        guard same, zip(node.inputs, now.inputs).allSatisfy({ names.contains($0) || $0 == $1 || constants.contains($1) && constants.contains($0) }) else { return .replaced }
        var differences: [String: [Float]] = [:]
        var decoded: [String: String] = [:]
        for (old, new) in zip(node.inputs, now.inputs) where names.contains(old) {
            guard let before = original.graph.initializers[old] else { continue }
            guard let after = candidate.graph.initializers[new], after.elementType.isFloatingPoint else {
                guard constants.contains(new) else { return .replaced }
                decoded[old] = new
                continue
            }
            guard after.dims == before.dims else { return .known(.problem("\(layer.id) has another shape afterwards: there is no change of single weights")) }
            if after.storage === before.storage { continue }
            if let difference = Self.difference(after.floats(), before.floats()) { differences[old] = difference }
        }
        if decoded.isEmpty { return .known(.tensors(differences)) }
        // What stands as it is is read along with the rest.
        for (old, new) in zip(node.inputs, now.inputs) where differences[old] != nil { decoded[old] = new }
        return .decoded(decoded)
    }

    private func change(_ position: Int, _ decoded: [String: String], _ read: LinearProbe.Readings) -> Change {
        var differences: [String: [Float]] = [:]
        if decoded.isEmpty {
            let layer = layers[position]
            guard let found = read.layers[layer.id], let before = original.graph.initializers[layer.weight]?.floats(), before.count == found.weight.count else {
                return .problem("what stands for \(layer.id) cannot be read as a weight of its shape")
            }
            differences[layer.weight] = Self.difference(found.weight, before)
            if let bias = layer.bias, let old = original.graph.initializers[bias]?.floats(), old.count == found.bias.count { differences[bias] = Self.difference(found.bias, old) }
            return .tensors(differences)
        }
        for (name, value) in decoded {
            guard let tensor = original.graph.initializers[name], let now = read.constants[value], now.dims == tensor.dims, let before = tensor.floats() else {
                return .problem("\(layers[position].id) has another shape afterwards: there is no change of single weights")
            }
            differences[name] = Self.difference(now.floats, before)
        }
        return .tensors(differences)
    }

    /// `nil` where nothing differs.
    private static func difference(_ after: [Float]?, _ before: [Float]?) -> [Float]? {
        guard let after, let before, after.count == before.count else { return nil }
        var isChanged = false
        let difference = [Float](unsafeUninitializedCapacity: before.count) { out, count in
            for index in before.indices {
                let value = after[index] - before[index]
                if value != 0 { isChanged = true }
                out.initializeElement(at: index, to: value)
            }
            count = before.count
        }
        return isChanged ? difference : nil
    }
}
