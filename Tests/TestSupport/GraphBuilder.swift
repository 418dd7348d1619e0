import ModelGraph

/// Builds small models node by node; weights are random but always the same.
package struct GraphBuilder {
    package var graph = Graph(name: "test")
    package var opset = 17
    private var count: UInt64 = 0

    /// - Parameter dims: extents of the input `x`; `nil` for a batch of any size.
    package init(input dims: [Int?], opset: Int = 17) {
        graph.inputs = [ValueInfo(name: "x", elementType: .float32, shape: dims.map { $0.map { .fixed($0) } ?? .symbolic("batch") })]
        self.opset = opset
    }

    package mutating func constant(_ name: String, _ dims: [Int], scale: Float = 0.5) -> String {
        count += 1
        graph.initializers[name] = Fixture.normal(name, dims, seed: 100 + count, scale: scale)
        return name
    }

    /// Positive numbers, for variances and divisors.
    package mutating func positive(_ name: String, _ dims: [Int]) -> String {
        count += 1
        let values = Fixture.normal(dims.reduce(1, *), seed: 200 + count).map { abs($0) + 0.5 }
        graph.initializers[name] = Tensor(name: name, floats: values, dims: dims)
        return name
    }

    package mutating func integers(_ name: String, _ values: [Int64]) -> String {
        graph.initializers[name] = Tensor(name: name, int64s: values, dims: [values.count])
        return name
    }

    /// Adds a node named like its first output; returns that output.
    @discardableResult
    package mutating func node(_ type: String, _ inputs: [String], _ output: String, more: [String] = [], _ attributes: [(String, AttributeValue)] = []) -> String {
        graph.nodes.append(Node(type, name: output, inputs: inputs, outputs: [output] + more, attributes: attributes.map { Attribute($0.0, $0.1) }))
        return output
    }

    package mutating func conv(_ x: String, _ output: String, _ channels: (Int, Int), kernel: Int = 3, group: Int = 1, bias: Bool = true) -> String {
        let weight = constant(output + ".weight", [channels.1, channels.0 / group, kernel, kernel])
        let inputs = [x, weight] + (bias ? [constant(output + ".bias", [channels.1])] : [])
        let pad = kernel / 2
        return node("Conv", inputs, output, [("group", .integer(group)), ("pads", .integers([pad, pad, pad, pad]))])
    }

    package mutating func batchNormalization(_ x: String, _ output: String, _ channels: Int) -> String {
        let parameters = [constant(output + ".scale", [channels]), constant(output + ".shift", [channels]), constant(output + ".mean", [channels])]
        return node("BatchNormalization", [x] + parameters + [positive(output + ".variance", [channels])], output)
    }

    package mutating func gemm(_ x: String, _ output: String, _ features: (Int, Int)) -> String {
        node("Gemm", [x, constant(output + ".weight", [features.1, features.0]), constant(output + ".bias", [features.1])], output, [("transB", .integer(1))])
    }

    package mutating func matMul(_ x: String, _ output: String, _ features: (Int, Int)) -> String {
        node("MatMul", [x, constant(output + ".weight", [features.0, features.1])], output)
    }

    /// The model with the named outputs, whose shapes are left open. Mutating only so that nodes made in its arguments count.
    package mutating func model(_ outputs: String...) -> Model {
        var graph = graph
        graph.outputs = outputs.map { ValueInfo(name: $0, elementType: .float32, shape: nil) }
        return Model(graph: graph, opset: opset)
    }
}
