import ModelGraph

/// Follows channels through a model: which indices of which dimensions belong together.
///
/// Every dimension that can change is an *axis*: an entry of `axes`. Axes start at initializers, one per dimension longer than
/// 1; a rule per operator says which axes its outputs have and which channels become one. A dimension without an axis
/// never changes. An operator without a rule freezes all channels it reads, so what is not understood is never cut.
///
/// Dimensions of values are counted from the end (-1 is the last), as broadcasting does: that needs no rank.
final class ChannelTracer {
    let model: Model
    /// Shapes of values at batch 1, where known. May be of the model before earlier steps: only dimensions without an axis are read.
    let shapes: [String: [Int]]
    var units = ChannelUnits()
    var axes: [ChannelAxis] = []
    /// Axes of weights of layers, by dimension; shared by all nodes that read the weight.
    private(set) var weightAxes: [TensorKey: [Int?]] = [:]
    /// Other initializers are cut per place of use: exporters let unrelated nodes share constants.
    private(set) var uses: [(use: TensorUse, key: TensorKey, axes: [Int?])] = []
    private(set) var patches: [(path: GraphPath, patch: ChannelPatch)] = []
    /// Values with axes, for correcting their recorded shapes.
    private(set) var traced: [(path: GraphPath, name: String, axes: [Int: Int])] = []
    private let weights: Set<TensorKey>
    private var usePlace: [TensorUse: Int] = [:]

    // The graph being followed.
    private(set) var path = GraphPath.main
    private(set) var graph: Graph
    /// Axes of values by dimension from the end.
    var values: [String: [Int: Int]] = [:]
    /// Ranks and extents learned from operators.
    var ranks: [String: Int] = [:]
    var extents: [String: [Int: Int]] = [:]
    /// Contents of integer vectors that serve as shapes.
    var vectors: [String: [ShapeElement]] = [:]
    private var infos: [String: ValueInfo] = [:]

    /// One node under a rule.
    struct Site {
        let node: Node
        let index: Int
        /// The node in words, for reasons.
        var title: String { node.name.isEmpty ? node.opType : "\(node.opType) '\(node.name)'" }
    }

    /// What a rule knows of one input.
    struct Operand {
        var name: String
        var axes: [Int: Int]
        var rank: Int?
        var isInitializer: Bool
    }

    init(model: Model, layers: [Layer], shapes: [String: [Int]]) {
        self.model = model
        self.shapes = shapes
        graph = model.graph
        var weights = Set<TensorKey>()
        for layer in layers {
            for name in [layer.weight] + layer.otherWeights {
                if let owner = model.initializer(name, from: layer.path)?.owner { weights.insert(TensorKey(path: owner, name: name)) }
            }
        }
        self.weights = weights
    }

    /// Follows all graphs of the model.
    func run() {
        for path in model.graph.graphPaths() {
            guard let graph = model.graph[path] else { continue }
            self.path = path
            self.graph = graph
            (values, ranks, extents, vectors) = ([:], [:], [:], [:])
            infos = Dictionary((graph.inputs + graph.outputs + graph.valueInfos.values).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            for (index, node) in graph.nodes.enumerated() { trace(Site(node: node, index: index)) }
            for output in graph.outputs {
                let tensor = TensorKey(path: path, name: output.name)
                for axes in [weightAxes[tensor]].compactMap({ $0 }) + uses.filter({ $0.key == tensor }).map(\.axes) where values[output.name] == nil {
                    let named = Dictionary(axes.enumerated().compactMap { place, axis in axis.map { (place, $0) } }, uniquingKeysWith: { first, _ in first })
                    freeze(named, because: "its weight is an output of the model, which keeps its shape")
                }
                freeze(
                    values[output.name],
                    because: path.isMain
                        ? "its outputs reach the model's output '\(output.name)', which keeps its shape"
                        : "its outputs leave the body of an If, Loop or Scan")
            }
            for node in graph.nodes {
                for output in node.outputs { if let axes = values[output], !axes.isEmpty { traced.append((path, output, axes)) } }
            }
        }
    }

    // MARK: Inputs

    /// Input number `index`; `nil` if it is left out. Initializers get axes here.
    func operand(_ site: Site, _ index: Int) -> Operand? {
        guard let name = site.node.input(index) else { return nil }
        if let axes = values[name] { return Operand(name: name, axes: axes, rank: rank(name), isInitializer: false) }
        if let (tensor, owner) = model.initializer(name, from: path) {
            let dims = tensor.dims
            let found = initializerAxes(tensor, TensorKey(path: owner, name: name), TensorUse(path: path, node: site.index, input: index))
            var axes: [Int: Int] = [:]
            for (position, axis) in found.enumerated() { if let axis { axes[position - dims.count] = axis } }
            return Operand(name: name, axes: axes, rank: dims.count, isInitializer: true)
        }
        return Operand(name: name, axes: [:], rank: rank(name), isInitializer: false)
    }

    private func initializerAxes(_ tensor: Tensor, _ key: TensorKey, _ use: TensorUse) -> [Int?] {
        if let known = weightAxes[key] ?? usePlace[use].map({ uses[$0].axes }) { return known }
        // Packed elements narrower than a byte cannot be taken out one by one.
        guard let bits = tensor.elementType.bitWidth, bits >= 8 else { return tensor.dims.map { _ in nil } }
        let made = tensor.dims.map { extent in extent > 1 ? newAxis(units.make(extent)) : nil }
        if weights.contains(key) {
            weightAxes[key] = made
        } else {
            usePlace[use] = uses.count
            uses.append((use, key, made))
        }
        return made
    }

    /// Integers of a constant input.
    func constants(_ site: Site, _ index: Int) -> [Int]? {
        guard let name = site.node.input(index), values[name] == nil else { return nil }
        return model.initializer(name, from: path)?.tensor.integers()
    }

    func constantTensor(_ site: Site, _ index: Int) -> Tensor? {
        guard let name = site.node.input(index), values[name] == nil else { return nil }
        return model.initializer(name, from: path)?.tensor
    }

    func rank(_ name: String) -> Int? {
        ranks[name] ?? model.initializer(name, from: path)?.tensor.dims.count ?? shapes[name]?.count ?? infos[name]?.shape?.count
    }

    /// Extent of a dimension that has no axis, where it is known.
    func extent(_ name: String, _ dimension: Int) -> Int? {
        if let known = extents[name]?[dimension] { return known }
        func entry<T>(_ list: [T]?) -> T? {
            guard let list, list.indices.contains(list.count + dimension) else { return nil }
            return list[list.count + dimension]
        }
        if let tensor = model.initializer(name, from: path)?.tensor { return entry(tensor.dims) }
        return entry(infos[name]?.shape)?.fixedValue ?? entry(shapes[name])
    }

    /// Extent of any dimension of an operand.
    func extent(of operand: Operand, _ dimension: Int) -> Int? {
        if let axis = operand.axes[dimension] { return axes[axis].isBlocked ? nil : axes[axis].channels.count }
        return extent(operand.name, dimension)
    }

    // MARK: Outputs

    func setOutput(_ site: Site, _ index: Int = 0, axes: [Int: Int], rank: Int?) {
        guard site.node.outputs.indices.contains(index), !site.node.outputs[index].isEmpty else { return }
        let name = site.node.outputs[index]
        values[name] = axes
        if let rank { ranks[name] = rank }
    }

    func newAxis(_ channels: [Int32], blocked: Bool = false) -> Int {
        axes.append(ChannelAxis(channels: channels, isBlocked: blocked))
        return axes.count - 1
    }

    func patch(_ patch: ChannelPatch) { patches.append((path, patch)) }

    // MARK: Merging and freezing

    func freeze(axis: Int?, because reason: String) {
        guard let axis else { return }
        for channel in axes[axis].channels { units.freeze(channel, because: reason) }
    }

    func freeze(_ list: [Int: Int]?, because reason: String) {
        for (_, axis) in (list ?? [:]).sorted(by: { $0.key > $1.key }) { freeze(axis: axis, because: reason) }
    }

    /// Makes two axes of equal extent go together, index by index.
    func tie(_ a: Int, _ b: Int, _ site: Site) {
        guard a != b else { return }
        let (one, two) = (axes[a], axes[b])
        if one.isBlocked == two.isBlocked, one.channels.count == two.channels.count {
            for (x, y) in zip(one.channels, two.channels) { units.merge(x, y) }
            return
        }
        let (blocked, plain) = one.isBlocked ? (one, two) : (two, one)
        guard blocked.isBlocked, !plain.isBlocked, plain.channels.count % max(blocked.channels.count, 1) == 0 else {
            freeze(axis: a, because: "\(site.title) pairs dimensions of different sizes")
            freeze(axis: b, because: "\(site.title) pairs dimensions of different sizes")
            return
        }
        let length = plain.channels.count / blocked.channels.count
        for (index, channel) in plain.channels.enumerated() { units.merge(channel, blocked.channels[index / length]) }
    }

    /// Ties two dimensions that must stay equal; one without an axis freezes the other.
    func connect(_ a: Int?, _ b: Int?, _ site: Site) {
        switch (a, b) {
        case (let a?, let b?): tie(a, b, site)
        case (let axis?, nil), (nil, let axis?): freeze(axis: axis, because: "\(site.title) joins it to a dimension that cannot change")
        case (nil, nil): break
        }
    }

    /// Merges channels of an axis so that one for which `key` is equal are one unit.
    func mergeEqual(_ axis: Int, key: (Int) -> Int) {
        var first: [Int: Int32] = [:]
        for (index, channel) in axes[axis].channels.enumerated() {
            let key = key(index)
            if let other = first[key] { units.merge(other, channel) } else { first[key] = channel }
        }
    }

    /// Freezes everything a node reads; its outputs have no axes.
    func opaque(_ site: Site, because reason: String? = nil) {
        let reason = reason ?? "\(site.title) reads its outputs, and how it treats channels is not known"
        for index in site.node.inputs.indices {
            guard let name = site.node.input(index) else { continue }
            if let axes = values[name] {
                freeze(axes, because: reason)
            } else if let owner = model.initializer(name, from: path)?.owner, weights.contains(TensorKey(path: owner, name: name)) {
                freeze(operand(site, index)?.axes, because: reason)
            }
        }
        for (_, body) in site.node.subgraphs {
            for name in body.capturedNames().sorted() { freeze(values[name], because: "it is read inside \(site.title)") }
        }
    }
}
