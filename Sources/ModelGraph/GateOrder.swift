/// PyTorch keeps the gates of a recurrent cell in another order than ONNX. Its exporter leaves that to the model: slices of the
/// weights, put together again by Concat and Unsqueeze, each time it runs. Evaluated here, the weights stand in their layer like any
/// others. Where branches of an If do the same with the same weights, they share the result, so that the file does not grow.

extension Graph {
    /// Evaluates what LSTM, GRU and RNN read as weights and biases, here and in subgraphs, where that is nothing but floating-point
    /// initializers cut up and put together, and where nothing else reads those.
    mutating func foldGateOrder() {
        guard var folding = GateFolding(self) else { return }
        folding.keepWhatIsOnlyRead()
        folding.apply(to: &self)
    }
}

/// A value by the graph that makes it.
private struct Place: Hashable {
    var path: GraphPath
    var name: String
}

private struct NodePlace: Hashable {
    var path: GraphPath
    var node: Int
}

/// One input of a node.
private struct Reading: Hashable {
    var node: NodePlace
    var input: Int
}

private struct GateFolding {
    /// An input of a recurrent node and what it comes to.
    private struct Operand {
        var reading: Reading
        var tensor: Tensor
        /// The initializers it is made of, first come first, and the nodes that make it.
        var sources: [Place]
        var nodes: [NodePlace]
    }

    private let paths: [GraphPath]
    private let graphs: [GraphPath: Graph]
    private let producers: [GraphPath: [String: Int]]
    private let listed: [GraphPath: Set<String>]
    private var operands: [Operand] = []

    /// `nil` if there is nothing to do.
    init?(_ graph: Graph) {
        paths = graph.graphPaths()
        graphs = Dictionary(uniqueKeysWithValues: paths.compactMap { path in graph[path].map { (path, $0) } })
        guard graphs.values.contains(where: { $0.nodes.contains { ["LSTM", "GRU", "RNN"].contains($0.opType) } }) else { return nil }
        producers = graphs.mapValues { graph in
            var made: [String: Int] = [:]
            for (index, node) in graph.nodes.enumerated() { for output in node.outputs where !output.isEmpty { made[output] = index } }
            return made
        }
        listed = graphs.mapValues { Set($0.inputs.map(\.name)) }
        for path in paths {
            for (index, node) in (graphs[path]?.nodes ?? []).enumerated() where ["LSTM", "GRU", "RNN"].contains(where: node.isStandard) {
                for input in 1...3 {
                    guard let name = node.input(input), let place = resolve(name, from: path), initializer(place) == nil else { continue }
                    var operand = Operand(
                        reading: Reading(node: NodePlace(path: path, node: index), input: input), tensor: Tensor(name: "", floats: [], dims: [0]), sources: [], nodes: [])
                    guard let tensor = value(name, from: path, into: &operand, depth: 0), tensor.dims.count >= 2 else { continue }
                    operand.tensor = tensor
                    operands.append(operand)
                }
            }
        }
        guard !operands.isEmpty else { return nil }
    }

    private func resolve(_ name: String, from path: GraphPath) -> Place? {
        var path = path
        while true {
            if graphs[path]?.initializers[name] != nil || producers[path]?[name] != nil || listed[path]?.contains(name) ?? false {
                return Place(path: path, name: name)
            }
            guard !path.isMain else { return nil }
            path.steps.removeLast()
        }
    }

    private func initializer(_ place: Place) -> Tensor? { graphs[place.path]?.initializers[place.name] }

    private func integers(_ name: String?, _ path: GraphPath) -> [Int]? {
        name.flatMap { resolve($0, from: path) }.flatMap(initializer)?.integers()
    }

    /// What a value comes to; `nil` where it is more than rearranged initializers.
    private func value(_ name: String, from path: GraphPath, into operand: inout Operand, depth: Int) -> Tensor? {
        guard depth < 8, let place = resolve(name, from: path) else { return nil }
        if let tensor = initializer(place) {
            guard tensor.elementType.isFloatingPoint, tensor.count > 0, !(listed[place.path]?.contains(place.name) ?? false) else { return nil }
            if !operand.sources.contains(place) { operand.sources.append(place) }
            return tensor
        }
        guard let index = producers[place.path]?[place.name], let node = graphs[place.path]?.nodes[index], node.outputs.count == 1,
            node.domain.isEmpty || node.domain == "ai.onnx"
        else { return nil }
        let number = NodePlace(path: place.path, node: index)
        if !operand.nodes.contains(number) { operand.nodes.append(number) }
        let count = node.opType == "Concat" ? node.inputs.count : 1
        var parts: [Tensor] = []
        for input in node.inputs.prefix(count) {
            guard let part = value(input, from: place.path, into: &operand, depth: depth + 1) else { return nil }
            parts.append(part)
        }
        guard let first = parts.first else { return nil }
        switch node.opType {
        case "Concat":
            guard let axis = node.int("axis") else { return nil }
            return Tensor.joined(parts, along: axis < 0 ? axis + first.dims.count : axis)
        case "Slice":
            // Before operator set 10 all were attributes.
            guard let starts = node.ints("starts") ?? integers(node.input(1), place.path), let ends = node.ints("ends") ?? integers(node.input(2), place.path),
                starts.count == ends.count, (integers(node.input(4), place.path) ?? []).allSatisfy({ $0 == 1 })
            else { return nil }
            let axes = node.ints("axes") ?? integers(node.input(3), place.path) ?? Array(starts.indices)
            guard axes.count == starts.count, node.input(3) == nil || integers(node.input(3), place.path) != nil,
                node.input(4) == nil || integers(node.input(4), place.path) != nil
            else { return nil }
            var result = first
            for (axis, (start, end)) in zip(axes, zip(starts, ends)) {
                guard let part = result.part(along: axis < 0 ? axis + first.dims.count : axis, from: start, to: end) else { return nil }
                result = part
            }
            return result
        default:
            return WeightLayout(node, of: first, constants: { integers($0, place.path) })?.arranged(first)
        }
    }

    /// Leaves the operands whose initializers and intermediate values nothing else reads.
    mutating func keepWhatIsOnlyRead() {
        var readings: [Place: [Reading]] = [:]
        var results = Set<Place>()
        for path in paths {
            guard let graph = graphs[path] else { continue }
            for (index, node) in graph.nodes.enumerated() {
                for (input, name) in node.inputs.enumerated() where !name.isEmpty {
                    if let place = resolve(name, from: path) { readings[place, default: []].append(Reading(node: NodePlace(path: path, node: index), input: input)) }
                }
            }
            for output in graph.outputs { if let place = resolve(output.name, from: path) { results.insert(place) } }
        }
        while true {
            let inner = Set(operands.flatMap(\.nodes))
            let ends = Set(operands.map(\.reading))
            func isOwn(_ place: Place) -> Bool {
                !results.contains(place) && (readings[place] ?? []).allSatisfy { inner.contains($0.node) || ends.contains($0) }
            }
            let kept = operands.filter { operand in
                operand.sources.allSatisfy(isOwn)
                    && operand.nodes.allSatisfy { number in graphs[number.path].map { isOwn(Place(path: number.path, name: $0.nodes[number.node].outputs[0])) } ?? false }
            }
            guard kept.count < operands.count else { return }
            operands = kept
        }
    }

    func apply(to graph: inout Graph) {
        /// One result for equal operands.
        var made: [(place: Place, tensor: Tensor, sources: [Place])] = []
        var reads: [(reading: Reading, name: String)] = []
        var names = graph.allNames()
        for operand in operands {
            guard let owner = operand.sources.first, operand.sources.allSatisfy({ $0.path == owner.path }) else { return }
            if let same = made.first(where: {
                $0.sources == operand.sources && $0.tensor.dims == operand.tensor.dims && $0.tensor.storage.bytes.elementsEqual(operand.tensor.storage.bytes)
            }) {
                reads.append((operand.reading, same.place.name))
                continue
            }
            var name = owner.name
            var number = 1
            while made.contains(where: { $0.place.name == name }) || (name != owner.name && names.contains(name)) {
                number += 1
                name = "\(owner.name)_\(number)"
            }
            names.insert(name)
            made.append((Place(path: owner.path, name: name), operand.tensor.renamed(name), operand.sources))
            reads.append((operand.reading, name))
        }
        let sources = Set(operands.flatMap(\.sources))
        let before = sources.reduce(0) { $0 + (initializer($1)?.storage.byteCount ?? 0) }
        guard !made.isEmpty, made.reduce(0, { $0 + $1.tensor.storage.byteCount }) <= before else { return }
        let dropped = Dictionary(grouping: operands.flatMap(\.nodes), by: \.path).mapValues { Set($0.map(\.node)) }
        // Inner graphs first: the path to a graph counts the nodes of those around it.
        for path in paths.sorted(by: { $0.steps.count > $1.steps.count }) {
            guard var own = graph[path] else { continue }
            for read in reads where read.reading.node.path == path { own.nodes[read.reading.node.node].inputs[read.reading.input] = read.name }
            let results = made.filter { $0.place.path == path }
            let gone = sources.filter { $0.path == path }.map(\.name)
            guard !results.isEmpty || !gone.isEmpty || dropped[path] != nil || reads.contains(where: { $0.reading.node.path == path }) else { continue }
            for result in results {
                // In the place of its first source, so that order stays that of the file.
                let place = result.sources.first.flatMap { own.initializers.index(forKey: $0.name) } ?? own.initializers.count
                if own.initializers[result.place.name] == nil {
                    own.initializers.updateValue(result.tensor, forKey: result.place.name, insertingAt: place)
                } else {
                    own.initializers[result.place.name] = result.tensor
                }
                own.constantNodes[result.place.name] = nil
                own.valueInfos[result.place.name] = nil
            }
            for name in gone where !results.contains(where: { $0.place.name == name }) {
                own.initializers[name] = nil
                own.constantNodes[name] = nil
            }
            if let lost = dropped[path] {
                for index in lost { own.valueInfos[own.nodes[index].outputs[0]] = nil }
                own.nodes = own.nodes.indices.filter { !lost.contains($0) }.map { own.nodes[$0] }
            }
            graph[path] = own
        }
        graph.dropUnread(
            operands.flatMap { operand in
                operand.nodes.flatMap { number in (graphs[number.path]?.nodes[number.node].inputs ?? []).compactMap { resolve($0, from: number.path)?.name } }
            })
    }
}

extension Graph {
    /// Takes out those of the named integer initializers that no graph reads any more: starts, ends and axes of nodes that went.
    fileprivate mutating func dropUnread(_ names: [String]) {
        let paths = graphPaths()
        var read = Set<String>()
        for path in paths {
            guard let graph = self[path] else { continue }
            read.formUnion(graph.nodes.flatMap(\.inputs))
            read.formUnion(graph.outputs.map(\.name))
            read.formUnion(graph.inputs.map(\.name))
        }
        let unread = Set(names).subtracting(read)
        for path in paths.sorted(by: { $0.steps.count > $1.steps.count }) {
            guard var graph = self[path] else { continue }
            let gone = graph.initializers.filter { unread.contains($0.key) && !$0.value.elementType.isFloatingPoint }.map(\.key)
            guard !gone.isEmpty else { continue }
            for name in gone {
                graph.initializers[name] = nil
                graph.constantNodes[name] = nil
            }
            self[path] = graph
        }
    }
}

extension Tensor {
    /// Elements `start` ..< `end` along an axis, as Slice counts them (negative from the end, beyond it the end).
    func part(along axis: Int, from start: Int, to end: Int) -> Tensor? {
        guard dims.indices.contains(axis), let width = elementType.bitWidth.map({ $0 / 8 }), width > 0 else { return nil }
        func place(_ index: Int) -> Int { min(max(index < 0 ? index + dims[axis] : index, 0), dims[axis]) }
        let (first, last) = (place(start), place(end))
        guard first < last else { return nil }
        let run = dims[(axis + 1)...].reduce(1, *) * width
        let outer = dims[..<axis].reduce(1, *)
        var extents = dims
        extents[axis] = last - first
        let (source, whole) = (storage.bytes, dims[axis] * run)
        let bytes = TensorStorage(byteCount: outer * (last - first) * run) { memory in
            for block in 0..<outer {
                let target = block * (last - first) * run
                UnsafeMutableRawBufferPointer(rebasing: memory[target..<(target + (last - first) * run)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[(block * whole + first * run)..<(block * whole + last * run)]))
            }
        }
        return try? replacing(elementType: elementType, dims: extents, storage: bytes)
    }

    /// Tensors one behind the other along an axis.
    static func joined(_ parts: [Tensor], along axis: Int) -> Tensor? {
        guard let first = parts.first, first.dims.indices.contains(axis), let width = first.elementType.bitWidth.map({ $0 / 8 }), width > 0 else { return nil }
        func rest(_ tensor: Tensor) -> [Int] { tensor.dims.enumerated().map { $0.offset == axis ? 0 : $0.element } }
        guard parts.allSatisfy({ $0.elementType == first.elementType && rest($0) == rest(first) }) else { return nil }
        var extents = first.dims
        extents[axis] = parts.reduce(0) { $0 + $1.dims[axis] }
        let outer = first.dims[..<axis].reduce(1, *)
        let inner = first.dims[(axis + 1)...].reduce(1, *) * width
        let bytes = TensorStorage(byteCount: parts.reduce(0) { $0 + $1.storage.byteCount }) { memory in
            var target = 0
            for block in 0..<outer {
                for part in parts {
                    let run = part.dims[axis] * inner
                    UnsafeMutableRawBufferPointer(rebasing: memory[target..<(target + run)])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: part.storage.bytes[(block * run)..<((block + 1) * run)]))
                    target += run
                }
            }
        }
        return try? first.replacing(elementType: first.elementType, dims: extents, storage: bytes)
    }
}
