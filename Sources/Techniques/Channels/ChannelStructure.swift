import ModelGraph

/// Which channels of a model can be removed, and which of them only together.
///
/// *Units* are the smallest things that can be taken out: one filter with its bias, its normalization, and the weights
/// that read it in every later layer, or several filters that an addition couples. Units that lie in the same
/// dimensions of the same layers form a *group*, from which a pruning ratio is taken.
public struct ChannelStructure: Sendable {
    public struct Group: Sendable {
        /// Numbers of its units, ascending.
        public let units: [Int32]
        /// Positions in `Model.layers()` of the layers that make its channels. More than one are coupled.
        public let layers: [Int]
    }

    public let groups: [Group]
    public let unitCount: Int
    /// By layer: why none of its outputs can be removed; `nil` if some can.
    public let refusals: [String?]
    /// By layer: the unit of every index along the weight's output and input axis; -1 where the index stays.
    public let outputUnits: [[Int32]]
    public let inputUnits: [[Int32]]
    /// By layer: elements of tensors beside weights and biases that are cut with its outputs, each tensor counted once.
    public let attachedCounts: [Int]
    /// What to edit when units go.
    package let cut: ChannelCut

    /// Follows the channels of `model`. O(nodes + channels); reads no weights.
    /// - Parameters:
    ///   - layers: `model.layers()`.
    ///   - shapes: shapes of intermediate values at batch 1, where known; with them more reshapes can be followed.
    public init(of model: Model, layers: [Layer], shapes: [String: [Int]]) {
        // States of zeros hold no units.
        var model = model
        model.graph.dropZeroStates()
        let tracer = ChannelTracer(model: model, layers: layers, shapes: shapes)
        tracer.run()
        func axis(_ layer: Layer, _ dimension: Int) -> Int? {
            guard let owner = model.initializer(layer.weight, from: layer.path)?.owner else { return nil }
            guard let axes = tracer.weightAxes[TensorKey(path: owner, name: layer.weight)], axes.indices.contains(dimension) else { return nil }
            return axes[dimension]
        }
        // Number the units that layers make and that may go, in layer order.
        var number: [Int32: Int32] = [:]
        var refusals: [String?] = []
        for layer in layers {
            guard let output = axis(layer, layer.outputAxis) else {
                let single = layer.weightShape.indices.contains(layer.outputAxis) && layer.weightShape[layer.outputAxis] == 1
                refusals.append(single ? "it has one output only" : "\(layer.opType) is not supported")
                continue
            }
            var reason: String?
            var some = false
            for channel in tracer.axes[output].channels {
                if let why = tracer.units.reason(for: channel) {
                    reason = reason ?? why
                } else {
                    some = true
                    let root = tracer.units.root(of: channel)
                    if number[root] == nil { number[root] = Int32(number.count) }
                }
            }
            refusals.append(some ? nil : reason)
        }
        let axisUnits = tracer.axes.map { axis in axis.channels.map { number[tracer.units.root(of: $0)] ?? -1 } }
        self.refusals = refusals
        unitCount = number.count
        outputUnits = layers.map { layer in axis(layer, layer.outputAxis).map { axisUnits[$0] } ?? [] }
        inputUnits = layers.map { layer in axis(layer, layer.inputAxis).map { axisUnits[$0] } ?? [] }
        groups = Self.groups(axisUnits, count: number.count, outputUnits)
        cut = ChannelCut(
            axisUnits: axisUnits, isBlocked: tracer.axes.map(\.isBlocked), weights: tracer.weightAxes, uses: tracer.uses, patches: tracer.patches,
            traced: tracer.traced)
        attachedCounts = Self.attached(tracer, axisUnits, model, layers, outputUnits, count: number.count)
    }

    /// Partitions units so that those of a group lie in exactly the same axes.
    private static func groups(_ axisUnits: [[Int32]], count: Int, _ outputs: [[Int32]]) -> [Group] {
        var part = [Int32](repeating: 0, count: count)
        var parts: Int32 = 1
        var stamp = [Int](repeating: -1, count: count)
        for (number, axis) in axisUnits.enumerated() {
            var renamed: [Int32: Int32] = [:]
            for unit in axis where unit >= 0 && stamp[Int(unit)] != number {
                stamp[Int(unit)] = number
                let old = part[Int(unit)]
                if renamed[old] == nil {
                    renamed[old] = parts
                    parts += 1
                }
                part[Int(unit)] = renamed[old] ?? 0
            }
        }
        var place: [Int32: Int] = [:]
        var units: [[Int32]] = []
        for unit in 0..<count {
            if let known = place[part[unit]] {
                units[known].append(Int32(unit))
            } else {
                place[part[unit]] = units.count
                units.append([Int32(unit)])
            }
        }
        var layers = [[Int]](repeating: [], count: units.count)
        for (layer, output) in outputs.enumerated() {
            for unit in output where unit >= 0 {
                let group = place[part[Int(unit)]] ?? 0
                if layers[group].last != layer { layers[group].append(layer) }
            }
        }
        // A layer of several interleaved groups may have been listed more than once.
        return zip(units, layers).map { Group(units: $0, layers: Array(Set($1)).sorted()) }
    }

    private static func attached(
        _ tracer: ChannelTracer, _ axisUnits: [[Int32]], _ model: Model, _ layers: [Layer], _ outputs: [[Int32]], count: Int
    ) -> [Int] {
        var maker = [Int](repeating: -1, count: count)
        for (layer, output) in outputs.enumerated() { for unit in output where unit >= 0 && maker[Int(unit)] < 0 { maker[Int(unit)] = layer } }
        var counted = Set<TensorKey>()
        for layer in layers {
            if let bias = layer.bias, let owner = model.initializer(bias, from: layer.path)?.owner { counted.insert(TensorKey(path: owner, name: bias)) }
        }
        var result = [Int](repeating: 0, count: layers.count)
        for (_, key, axes) in tracer.uses {
            let unit = axes.lazy.compactMap { $0 }.compactMap { axisUnits[$0].first { $0 >= 0 } }.first
            guard let unit, counted.insert(key).inserted, let tensor = model.initializer(key.name, from: key.path)?.tensor else { continue }
            result[maker[Int(unit)]] += tensor.count
        }
        return result
    }
}
