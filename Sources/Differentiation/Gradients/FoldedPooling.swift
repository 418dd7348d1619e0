import ModelGraph

/// Pooling of folded batches (see `BatchFolding`) by windows that lie side by side: [1, C, H, W·N] → [1, C, OH, OW·N].
enum FoldedPooling {
    static let maximum = "MaxPool.folded"
    static let average = "AveragePool.folded"

    /// Whether windows neither overlap nor see pads.
    static func isTiled(_ geometry: WindowGeometry) -> Bool {
        geometry.kernel == geometry.strides && geometry.dilations == [1, 1] && !geometry.hasPads && geometry.overhang(0) <= 0 && geometry.overhang(1) <= 0
    }

    static func node(_ node: Node, _ input: String, _ geometry: WindowGeometry, samples: Int) -> Node {
        var made = Node(
            node.opType == "MaxPool" ? maximum : average, inputs: [input], outputs: node.outputs,
            attributes: [
                Attribute("kernel_shape", .integers(geometry.kernel)), Attribute("samples", .integer(samples)),
            ])
        made.domain = Macro.domain
        made.name = node.name
        return made
    }

    /// What each window sees at each of its places, [1, C, OH, OW, N] each.
    private static func seen(_ node: Node, _ b: inout GradientBuilder) throws -> (parts: [String], kernel: [Int], input: [Int]) {
        let samples = node.int("samples") ?? 1
        let kernel = node.ints("kernel_shape") ?? [1, 1]
        let from = try b.shape(node.inputs[0])
        let input = [1, from[1], from[2], from[3] / samples, samples]
        let whole = try b.reshape(node.inputs[0], input)
        let extents = [input[2] / kernel[0], input[3] / kernel[1]]
        let parts = try (0..<kernel[0]).flatMap { row in
            try (0..<kernel[1]).map { column in
                try b.slice(
                    whole, axes: [2, 3], starts: [row, column], ends: [row + (extents[0] - 1) * kernel[0] + 1, column + (extents[1] - 1) * kernel[1] + 1], steps: kernel)
            }
        }
        return (parts, kernel, input)
    }

    static func lower(_ node: Node, _ b: inout GradientBuilder) throws {
        let (parts, kernel, _) = try seen(node, &b)
        let shape = try b.shape(parts[0])
        var value: String
        if node.opType == maximum {
            value = b.emit("Max", parts, shape: shape)
        } else {
            value = try b.multiply(try b.total(parts), by: 1 / Float(kernel[0] * kernel[1]))
        }
        let target = [1, shape[1], shape[2], shape[3] * shape[4]]
        value = b.emit("Reshape", [value, b.constant(target)], shape: target)
        try b.rename(value, to: node.outputs[0])
    }

    static let rule: GradientRule = { node, g, b in
        guard let dy = g[0] else { return [] }
        let (places, kernel, input) = try seen(node, &b)
        let shape = try b.shape(places[0])
        var parts: [String] = []
        if node.opType == maximum {
            // The first place that holds the maximum takes all, as in `PoolingGradients`.
            let y = try b.reshape(node.outputs[0], shape)
            var left = try b.reshape(dy, shape)
            for (number, place) in places.enumerated() {
                if number == places.count - 1 {
                    parts.append(left)
                    break
                }
                let holds = try b.compare("Equal", place, y)
                parts.append(try b.select(holds, left, b.scalar(0)))
                left = try b.select(holds, b.scalar(0), left)
            }
        } else {
            let share = try b.multiply(try b.reshape(dy, shape), by: 1 / Float(kernel[0] * kernel[1]))
            parts = places.map { _ in share }
        }
        // Side by side again: columns, then rows.
        var rows: [String] = []
        for row in 0..<kernel[0] {
            let columns = try (0..<kernel[1]).map { try b.reshape(parts[row * kernel[1] + $0], [shape[1], shape[2], shape[3], 1, shape[4]]) }
            rows.append(try b.reshape(try b.concat(columns, axis: 3), [shape[1], shape[2], 1, shape[3] * kernel[1] * shape[4]]))
        }
        let whole = try b.reshape(try b.concat(rows, axis: 2), [1, shape[1], shape[2] * kernel[0], shape[3] * kernel[1], shape[4]])
        let made = try b.shape(whole)
        let filled = try b.pad(whole, before: [0, 0, 0, 0, 0], after: [0, 0, input[2] - made[2], input[3] - made[3], 0])
        return [try b.reshape(filled, b.shape(node.inputs[0]))]
    }
}
