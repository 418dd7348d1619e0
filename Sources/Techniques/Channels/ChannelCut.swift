import ModelGraph

/// The edits that take units out of a model: which tensors to cut along which axes, and what else must follow.
package struct ChannelCut: Sendable {
    /// Unit of every index of an axis; -1 where the index stays.
    let axisUnits: [[Int32]]
    let isBlocked: [Bool]
    let weights: [TensorKey: [Int?]]
    let uses: [(use: TensorUse, key: TensorKey, axes: [Int?])]
    let patches: [(path: GraphPath, patch: ChannelPatch)]
    let traced: [(path: GraphPath, name: String, axes: [Int: Int])]

    /// Edits of one graph, made together because adding nodes moves the others.
    private struct GraphEdits {
        var tensors: [String: Tensor] = [:]
        var reads: [(node: Int, input: Int, name: String)] = []
        var attributes: [(node: Int, name: String, value: AttributeValue?)] = []
        /// Nodes to put before others.
        var insertions: [(before: Int, node: Node)] = []
        /// Corrected extents of values by dimension from the end; `nil` where the extent is not known.
        var extents: [String: [Int: Int?]] = [:]
    }

    /// Takes the units out.
    /// - Parameter removed: by unit number.
    /// - Throws: `ModelGraphError` if a tensor cannot be cut.
    package func apply(to model: inout Model, removed: [Bool]) throws(ModelGraphError) {
        // They have the extents of before.
        model.graph.dropZeroStates()
        var edits: [GraphPath: GraphEdits] = [:]
        var names = NameSupply(model.graph)
        let kept = axisUnits.map { units -> [Int]? in
            guard units.contains(where: { $0 >= 0 && removed[Int($0)] }) else { return nil }
            return units.indices.filter { units[$0] < 0 || !removed[Int(units[$0])] }
        }
        for (key, axes) in weights where axes.contains(where: { $0.map { kept[$0] != nil } ?? false }) {
            guard let tensor = model.initializer(key.name, from: key.path)?.tensor else { continue }
            edits[key.path, default: GraphEdits()].tensors[key.name] = try tensor.taking(axes.map { $0.flatMap { kept[$0] } })
        }
        let readers = Self.readerCounts(model)
        try cutUses(model, kept, readers, &names, &edits)
        try applyPatches(model, kept, readers, &names, &edits)
        for (path, name, axes) in traced {
            for (dimension, axis) in axes {
                guard let indices = kept[axis] else { continue }
                edits[path, default: GraphEdits()].extents[name, default: [:]][dimension] = .some(isBlocked[axis] ? nil : indices.count)
                guard path.isMain, !isBlocked[axis] else { continue }
                let before = model.keptChannels[name]?[dimension]
                model.keptChannels[name, default: [:]][dimension] = before.map { before in indices.map { before[$0] } } ?? indices
            }
        }
        // Inner graphs first: adding nodes to an outer graph would move them.
        for path in edits.keys.sorted(by: { $0.steps.count > $1.steps.count }) {
            guard let own = edits[path] else { continue }
            if path.isMain {
                Self.perform(own, on: &model.graph)
            } else if var graph = model.graph[path] {
                Self.perform(own, on: &graph)
                model.graph[path] = graph
            }
        }
    }

    /// How often each initializer is read, outputs of graphs counted.
    private static func readerCounts(_ model: Model) -> [TensorKey: Int] {
        var counts: [TensorKey: Int] = [:]
        for path in model.graph.graphPaths() {
            guard let graph = model.graph[path] else { continue }
            for name in graph.nodes.flatMap(\.inputs) + graph.outputs.map(\.name) where !name.isEmpty {
                if let owner = model.initializer(name, from: path)?.owner { counts[TensorKey(path: owner, name: name), default: 0] += 1 }
            }
        }
        return counts
    }

    /// Cuts constants that are not weights of layers. One that all readers want cut alike is replaced; otherwise readers get
    /// copies.
    private func cutUses(
        _ model: Model, _ kept: [[Int]?], _ readers: [TensorKey: Int], _ names: inout NameSupply, _ edits: inout [GraphPath: GraphEdits]
    ) throws(ModelGraphError) {
        struct Variant: Hashable {
            var key: TensorKey
            var indices: [[Int]?]
        }
        var order: [Variant] = []
        var places: [Variant: [TensorUse]] = [:]
        for (use, key, axes) in uses {
            let variant = Variant(key: key, indices: axes.map { $0.flatMap { kept[$0] } })
            guard variant.indices.contains(where: { $0 != nil }) else { continue }
            if places[variant] == nil { order.append(variant) }
            places[variant, default: []].append(use)
        }
        for variant in order {
            let key = variant.key
            guard let tensor = model.initializer(key.name, from: key.path)?.tensor, let uses = places[variant] else { continue }
            let cut = try tensor.taking(variant.indices)
            if uses.count == readers[key] {
                edits[key.path, default: GraphEdits()].tensors[key.name] = cut
            } else {
                let name = names.fresh(key.name + "_cut")
                edits[key.path, default: GraphEdits()].tensors[name] = cut.renamed(name)
                for use in uses { edits[use.path, default: GraphEdits()].reads.append((use.node, use.input, name)) }
            }
        }
    }

    private func applyPatches(
        _ model: Model, _ kept: [[Int]?], _ readers: [TensorKey: Int], _ names: inout NameSupply, _ edits: inout [GraphPath: GraphEdits]
    ) throws(ModelGraphError) {
        func count(_ axis: Int, _ limit: Int? = nil) -> Int {
            let limit = limit ?? axisUnits[axis].count
            return kept[axis].map { indices in indices.count { $0 < limit } } ?? limit
        }
        /// Changes of elements of integer vectors, by reader.
        struct Vector {
            var length: Int
            var changes: [Int: Int] = [:]
        }
        var vectors: [TensorUse: Vector] = [:]
        var attributes: [TensorUse: (name: String, Vector)] = [:]
        for (path, patch) in patches {
            switch patch {
            case .attribute(let node, let name, let axis) where kept[axis] != nil:
                edits[path, default: GraphEdits()].attributes.append((node, name, .integer(count(axis))))
            case .element(let node, let input, let position, let length, let axis, let limit) where count(axis, limit) != limit:
                let use = TensorUse(path: path, node: node, input: input)
                vectors[use, default: Vector(length: length)].changes[position] = count(axis, limit) - limit
            case .attributeElement(let node, let name, let position, let axis, let limit) where count(axis, limit) != limit:
                // Negative numbers keep attributes apart from inputs.
                let use = TensorUse(path: path, node: node, input: name == "starts" ? -1 : -2)
                attributes[use, default: (name, Vector(length: 0))].1.changes[position] = count(axis, limit)
            case .split(let node, let parts) where parts.contains(where: { kept[$0] != nil }):
                setSplit(model, path, node, parts.map { count($0) }, &names, &edits)
            default: break
            }
        }
        for (use, change) in attributes {
            guard let node = model.graph[use.path]?.nodes[use.node], var values = node.ints(change.name) else { continue }
            for (position, value) in change.1.changes { values[position] = value }
            edits[use.path, default: GraphEdits()].attributes.append((use.node, change.name, .integers(values)))
        }
        // Names are given in this order: branches of an If must have one too.
        let rank = Dictionary(uniqueKeysWithValues: model.graph.graphPaths().enumerated().map { ($1, $0) })
        for use in vectors.keys.sorted(by: { (rank[$0.path] ?? 0, $0.node, $0.input) < (rank[$1.path] ?? 0, $1.node, $1.input) }) {
            guard let vector = vectors[use], let node = model.graph[use.path]?.nodes[use.node], let name = node.input(use.input) else { continue }
            if let (tensor, owner) = model.initializer(name, from: use.path), var values = tensor.integers() {
                // The element itself may be written otherwise (negative, beyond the end): take what it means.
                for (position, difference) in vector.changes { values[position] = originalExtent(use, position) + difference }
                let alone = readers[TensorKey(path: owner, name: name)] == 1
                let target = alone ? name : names.fresh(name + "_cut")
                let made =
                    tensor.elementType == .int32
                    ? Tensor(name: target, int32s: values.map(Int32.init), dims: tensor.dims)
                    : Tensor(name: target, int64s: values.map(Int64.init), dims: tensor.dims)
                edits[owner, default: GraphEdits()].tensors[target] = made
                if !alone { edits[use.path, default: GraphEdits()].reads.append((use.node, use.input, target)) }
            } else {
                // A computed vector: correct it by a constant.
                let base = node.name.isEmpty ? node.outputs.first ?? node.opType : node.name
                let (constant, sum) = (names.fresh(base + "_shape_change"), names.fresh(base + "_shape"))
                let changes = (0..<vector.length).map { Int64(vector.changes[$0] ?? 0) }
                edits[use.path, default: GraphEdits()].tensors[constant] = Tensor(name: constant, int64s: changes, dims: [vector.length])
                edits[use.path, default: GraphEdits()].insertions.append(
                    (use.node, Node("Add", name: names.fresh(base + "_shape_add"), inputs: [name, constant], outputs: [sum])))
                edits[use.path, default: GraphEdits()].reads.append((use.node, use.input, sum))
            }
        }
    }

    /// The extent that an element of a shape vector stood for before the cut.
    private func originalExtent(_ use: TensorUse, _ position: Int) -> Int {
        for (path, patch) in patches {
            if case .element(use.node, use.input, position, _, _, let limit) = patch, path == use.path { return limit }
        }
        return 0
    }

    /// Makes the parts of a Split explicit.
    private func setSplit(
        _ model: Model, _ path: GraphPath, _ node: Int, _ sizes: [Int], _ names: inout NameSupply, _ edits: inout [GraphPath: GraphEdits]
    ) {
        guard let original = model.graph[path]?.nodes[node] else { return }
        guard model.opset >= 13 else {
            edits[path, default: GraphEdits()].attributes.append((node, "split", .integers(sizes)))
            return
        }
        let name = names.fresh((original.name.isEmpty ? original.outputs[0] : original.name) + "_split")
        edits[path, default: GraphEdits()].tensors[name] = Tensor(name: name, int64s: sizes.map(Int64.init), dims: [sizes.count])
        edits[path, default: GraphEdits()].reads.append((node, 1, name))
        edits[path, default: GraphEdits()].attributes.append((node, "num_outputs", nil))
    }

    private static func perform(_ edits: GraphEdits, on graph: inout Graph) {
        for name in edits.tensors.keys.sorted() {
            guard let tensor = edits.tensors[name] else { continue }
            graph.initializers[name] = tensor
            if let listed = graph.inputs.firstIndex(where: { $0.name == name }) { graph.inputs[listed].shape = tensor.dims.map { .fixed($0) } }
            if graph.valueInfos[name] != nil { graph.valueInfos[name]?.shape = tensor.dims.map { .fixed($0) } }
        }
        for (node, input, name) in edits.reads {
            while graph.nodes[node].inputs.count <= input { graph.nodes[node].inputs.append("") }
            graph.nodes[node].inputs[input] = name
        }
        for (node, name, value) in edits.attributes { graph.nodes[node].set(name, value) }
        for (name, changed) in edits.extents {
            guard var shape = graph.valueInfos[name]?.shape else { continue }
            var known = true
            for (dimension, extent) in changed {
                guard shape.indices.contains(shape.count + dimension), let extent else {
                    known = false
                    continue
                }
                shape[shape.count + dimension] = .fixed(extent)
            }
            if known { graph.valueInfos[name]?.shape = shape } else { graph.valueInfos[name] = nil }
        }
        for (before, node) in edits.insertions.sorted(by: { $0.before > $1.before }) { graph.nodes.insert(node, at: before) }
    }
}

extension Tensor {
    /// The slices at `indices` along each axis (`nil`: all of them). Elements must be whole bytes wide.
    func taking(_ indices: [[Int]?]) throws(ModelGraphError) -> Tensor {
        guard let bits = elementType.bitWidth, bits % 8 == 0 else {
            throw ModelGraphError(.tensor, "tensor '\(name)': \(elementType) elements cannot be taken out one by one")
        }
        var result = self
        for (axis, chosen) in indices.enumerated() {
            guard let chosen else { continue }
            let dims = result.dims
            let outer = dims[..<axis].reduce(1, *)
            let run = dims[(axis + 1)...].reduce(1, *) * bits / 8
            let source = result.storage.bytes
            var newDims = dims
            newDims[axis] = chosen.count
            let storage = TensorStorage(byteCount: outer * chosen.count * run) { target in
                var offset = 0
                for block in 0..<outer {
                    for index in chosen {
                        let start = (block * dims[axis] + index) * run
                        UnsafeMutableRawBufferPointer(rebasing: target[offset..<(offset + run)])
                            .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[start..<(start + run)]))
                        offset += run
                    }
                }
            }
            result = try result.replacing(elementType: elementType, dims: newDims, storage: storage)
        }
        return result
    }
}
