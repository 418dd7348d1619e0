import ModelGraph
import Techniques

/// Carries out scaling at sites of a model whose nodes stay where they are.
struct ChannelScaling {
    private(set) var model: Model
    private var names: NameSupply
    private let listed: Set<String>

    init(_ model: Model) {
        self.model = model
        names = NameSupply(model.graph)
        listed = Set(model.graph.inputs.map(\.name))
    }

    /// Divides the channels of a site's value by `factors`, positive and finite, and multiplies the weights that read them.
    mutating func apply(_ factors: [Float], at site: ScalingSite) {
        guard factors.count == site.channels, factors.contains(where: { $0 != 1 }) else { return }
        for use in site.upstream {
            change(use.node, use.input) { tensor in
                let inner = tensor.dims[(use.axis + 1)...].reduce(1, *)
                let extent = tensor.dims[use.axis]
                return { use.inverse ? factors[$0 / inner % extent] : 1 / factors[$0 / inner % extent] }
            }
        }
        for layer in site.consumers {
            change(layer.nodeIndex, 1) { tensor in
                let channel = layer.inputChannel(dims: tensor.dims)
                return { factors[channel($0)] }
            }
        }
    }

    /// Multiplies every element of a constant by a factor, computed in double precision and rounded once. A constant that others read or
    /// callers may override stays as it is for them.
    private mutating func change(_ node: Int, _ input: Int, _ factor: (Tensor) -> (Int) -> Float) {
        let name = model.graph.nodes[node].inputs[input]
        guard let tensor = model.graph.initializers[name], var values = tensor.floats() else { return }
        let factor = factor(tensor)
        for index in values.indices { values[index] = Float(Double(values[index]) * Double(factor(index))) }
        let own = !listed.contains(name) && WeightReaders(model).readers[WeightReaders.Place(owner: .main, name: name), default: []].count == 1
        let target = own ? name : names.fresh("\(name)_scaled")
        model.graph.initializers[target] = tensor.withFloats(values).renamed(target)
        model.graph.nodes[node].inputs[input] = target
    }

    /// The weight of a layer as it now is.
    func weight(_ layer: Layer) -> Tensor? { model.graph.nodes[layer.nodeIndex].input(1).flatMap { model.graph.initializers[$0] } }
}

extension Layer {
    /// Which channel of the layer's input an element of its weight multiplies.
    func inputChannel(dims: [Int]) -> (Int) -> Int {
        if kind == .conv {
            let inner = dims[2...].reduce(1, *)
            let (perGroup, filters) = (dims[1], max(dims[0] / max(group, 1), 1))
            return { index in index / inner % perGroup + index / (inner * perGroup) / filters * perGroup }
        }
        let inner = dims[(inputAxis + 1)...].reduce(1, *)
        let extent = dims[inputAxis]
        return { $0 / inner % extent }
    }

    /// Largest magnitude among the weights of each input channel.
    func largestPerInput(_ tensor: Tensor, channels: Int) -> [Float] {
        var largest = [Float](repeating: 0, count: channels)
        let channel = inputChannel(dims: tensor.dims)
        for (index, value) in (tensor.floats() ?? []).enumerated() { largest[channel(index)] = max(largest[channel(index)], abs(value)) }
        return largest
    }

    /// Largest magnitude among the weights of each output.
    func largestPerOutput(_ tensor: Tensor) -> [Float] {
        let inner = tensor.dims[(outputAxis + 1)...].reduce(1, *)
        let extent = tensor.dims[outputAxis]
        var largest = [Float](repeating: 0, count: extent)
        for (index, value) in (tensor.floats() ?? []).enumerated() {
            let output = index / inner % extent
            largest[output] = max(largest[output], abs(value))
        }
        return largest
    }
}

extension LayerInputs {
    /// Figures of the weight's columns brought together by input channel of a layer, over kernel positions.
    func perChannel(_ figures: [Float], channels: Int, _ combine: (Float, Float) -> Float) -> [Float] {
        let perGroup = channels / max(shape.groups, 1)
        let kernel = shape.columns / max(perGroup, 1)
        var result = [Float](repeating: 0, count: channels)
        guard perGroup > 0, kernel > 0, figures.count == shape.groups * shape.columns else { return result }
        for (index, figure) in figures.enumerated() {
            let channel = index / shape.columns * perGroup + index % shape.columns / kernel
            result[channel] = index % kernel == 0 ? figure : combine(result[channel], figure)
        }
        return result
    }
}
