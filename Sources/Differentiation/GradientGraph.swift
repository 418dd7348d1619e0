import ModelGraph

/// The graph that computes, for one shard of a batch, the loss and the gradients of weights.
public struct GradientGraph: Sendable {
    public var model: Model
    /// Name of each trained value's gradient among the outputs.
    public var gradients: [String: String]
    public var barriers: [Differentiator.Barrier]
    public static let loss = "loss"

    /// - Parameters:
    ///   - forward: the model, its inputs of fixed shape; trained weights are inputs or initializers. Macros allowed.
    ///   - shapes: dimensions of every value at these inputs.
    ///   - trained: names of the values to differentiate by.
    ///   - targets: graph inputs that the loss reads (labels, a teacher's scores) with type and shape.
    ///   - batch: samples of the whole batch; the graph sees `shard` of them.
    ///   - outputs: further values to give out (scores, statistics).
    /// - Throws: `DifferentiationError` if the loss cannot be made or reaches no trained value.
    public init(
        forward: Model, shapes: [String: [Int]], integers: [String: [Int]], trained: [String], loss terms: [LossTerm], targets: [ValueInfo],
        batch: Int, shard: Int, outputs: [String] = []
    ) throws {
        var prepared = forward
        prepared.graph.inputs += targets
        let moved = Set(trained)
        let listed = Set(prepared.graph.inputs.map(\.name))
        for name in trained where !listed.contains(name) {
            guard let tensor = prepared.graph.initializers[name] else { continue }
            prepared.graph.inputs.append(ValueInfo(name: name, elementType: tensor.elementType, shape: tensor.dims.map { .fixed($0) }))
        }
        let folded = BatchFolding.fold(prepared.graph, opset: prepared.opset, shapes: shapes, keep: terms.map(\.value) + outputs)
        prepared.graph = folded.graph
        var b = GradientBuilder(prepared, shapes: folded.shapes, integers: integers)
        for name in trained { b.constants[name] = nil }
        let loss = try Losses.append(terms, batch: batch, shard: shard, to: &b)
        var differentiator = Differentiator()
        let found = try differentiator.gradients(of: loss, for: trained, in: &b)
        barriers = differentiator.barriers
        guard !found.isEmpty else {
            let why = barriers.first.map { ": operator \($0.opType) ('\($0.node)') \($0.reason)" } ?? ""
            throw DifferentiationError("no gradient reaches anything that is trained\(why)")
        }
        var made: [ValueInfo] = []
        func give(_ value: String, as name: String) throws {
            b.nodes.append(Node("Identity", inputs: [value], outputs: [name]))
            made.append(ValueInfo(name: name, elementType: .float32, shape: try b.shape(value).map { .fixed($0) }))
        }
        try give(loss, as: Self.loss)
        gradients = [:]
        for name in trained {
            guard let gradient = found[name] else { continue }
            let output = b.fresh("gradient.\(name)")
            try give(gradient, as: output)
            gradients[name] = output
        }
        for value in outputs { made.append(ValueInfo(name: value, elementType: nil, shape: nil)) }
        try Macro.lower(&b)
        var graph = Graph(name: "gradient", nodes: b.nodes, inputs: prepared.graph.inputs, outputs: made, initializers: Array(b.constants.values))
        graph.removeDeadCode()
        graph.initializers.removeAll { moved.contains($0.key) }
        // Only trained values, data and targets are handed over; branches and loop bodies read them from outside.
        let read = graph.nodes.reduce(into: Set<String>()) { names, node in
            names.formUnion(node.inputs)
            for (_, body) in node.subgraphs { names.formUnion(body.capturedNames()) }
        }
        graph.inputs.removeAll { !read.contains($0.name) && !moved.contains($0.name) }
        model = forward
        model.graph = graph
    }
}
