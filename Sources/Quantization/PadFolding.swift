import ModelGraph

/// Moves zero padding that stands before a convolution into the convolution's own `pads`: the same function, and the
/// convolution's input can then be quantized where it is made.
enum PadFolding {
    /// - Parameter select: whether the convolution at a node index may change.
    static func fold(_ model: inout Model, where select: (Int) -> Bool) {
        var graph = model.graph
        let index = GraphIndex(graph)
        for (position, convolution) in graph.nodes.enumerated() where convolution.isStandard("Conv") && select(position) {
            guard let input = convolution.input(0), let producer = index.producer[input], index.useCount(input) == 1,
                let source = graph.nodes[producer].input(0), let weight = convolution.input(1).flatMap({ graph.initializers[$0] }),
                let added = zeroPadding(graph.nodes[producer], rank: weight.dims.count, graph: graph)
            else { continue }
            let automatic = convolution.string("auto_pad") ?? "NOTSET"
            guard automatic == "NOTSET" || automatic == "VALID" else { continue }
            let spatial = weight.dims.count - 2
            let own = automatic == "VALID" ? [] : convolution.ints("pads") ?? []
            let before = own.isEmpty ? [Int](repeating: 0, count: 2 * spatial) : own
            guard before.count == 2 * spatial else { continue }
            graph.nodes[position].set("auto_pad", nil)
            graph.nodes[position].set("pads", .integers(zip(before, added).map { $0 + $1 }))
            graph.nodes[position].inputs[0] = source
        }
        // The Pad itself stays, unread: removing it would move the nodes behind it.
        model.graph = graph
    }

    /// Spatial padding (all begins, then all ends) of a Pad that adds zeros to spatial axes only; `nil` otherwise.
    private static func zeroPadding(_ node: Node, rank: Int, graph: Graph) -> [Int]? {
        guard node.isStandard("Pad"), node.string("mode") ?? "constant" == "constant", node.input(3) == nil else { return nil }
        let pads: [Int]
        if let attribute = node.ints("pads") {
            guard node.float("value") ?? 0 == 0 else { return nil }
            pads = attribute
        } else {
            guard let values = node.input(1).flatMap({ graph.initializers[$0] })?.integers() else { return nil }
            if let name = node.input(2) {
                guard let fill = graph.initializers[name]?.floats(), fill.allSatisfy({ $0 == 0 }) else { return nil }
            }
            pads = values
        }
        guard pads.count == 2 * rank, pads.allSatisfy({ $0 >= 0 }), pads[0] == 0, pads[1] == 0, pads[rank] == 0, pads[rank + 1] == 0 else { return nil }
        return Array(pads[2..<rank]) + Array(pads[(rank + 2)...])
    }
}
