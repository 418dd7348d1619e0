import ModelGraph

/// Operators that move elements about.
enum ShapeGradients {
    private static let back: GradientRule = { node, g, b in
        guard let dy = g[0] else { return [] }
        return [try b.reshape(dy, b.shape(node.inputs[0]))] + node.inputs.dropFirst().map { _ in nil }
    }

    static let rules: [String: GradientRule] = [
        "Reshape": back, "Flatten": back, "Squeeze": back, "Unsqueeze": back,
        "Transpose": { node, g, b in
            guard let dy = g[0] else { return [] }
            let rank = try b.shape(dy).count
            let order = node.ints("perm") ?? Array((0..<rank).reversed())
            var inverse = order
            for (index, axis) in order.enumerated() { inverse[axis] = index }
            return [try b.transpose(dy, inverse)]
        },
        "Concat": { node, g, b in
            guard let dy = g[0] else { return [] }
            let axis = normalized(node.int("axis") ?? 1, try b.shape(dy).count)
            var start = 0
            var result: [String?] = []
            for input in node.inputs {
                let extent = try b.shape(input)[axis]
                result.append(b.needs(input) ? try b.slice(dy, axes: [axis], starts: [start], ends: [start + extent]) : nil)
                start += extent
            }
            return result
        },
        "Split": { node, g, b in
            let axis = normalized(node.int("axis") ?? 0, try b.shape(node.inputs[0]).count)
            let parts = try zip(node.outputs, g).map { output, gradient in try gradient ?? b.zeros(b.shape(output)) }
            return [try b.concat(parts, axis: axis)] + node.inputs.dropFirst().map { _ in nil }
        },
        "Slice": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [try unslice(node, dy, &b)] + node.inputs.dropFirst().map { _ in nil }
        },
        "Expand": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [try b.reduce(dy, to: b.shape(node.inputs[0])), nil]
        },
        "Tile": { node, g, b in
            guard let dy = g[0] else { return [] }
            let dims = try b.shape(node.inputs[0])
            guard let repeats = try b.integers(node.input(1)) else { throw DifferentiationError("has no repeats") }
            let split = zip(repeats, dims).flatMap { [$0, $1] }
            let total = try b.sum(try b.reshape(dy, split), axes: dims.indices.map { 2 * $0 }, keep: false)
            return [try b.reshape(total, dims), nil]
        },
        "DepthToSpace": { node, g, b in
            guard let dy = g[0] else { return [] }
            let mode: [Attribute] = [Attribute("blocksize", .integer(node.int("blocksize") ?? 1))]
            let dims = try b.shape(node.inputs[0])
            guard (node.string("mode") ?? "DCR") == "DCR" else {
                let size = node.int("blocksize") ?? 1
                let wide = try b.reshape(dy, [dims[0], dims[1] / (size * size), dims[2], size, dims[3], size])
                return [try b.reshape(try b.transpose(wide, [0, 1, 3, 5, 2, 4]), dims)]
            }
            return [b.emit("SpaceToDepth", [dy], mode, shape: dims)]
        },
        "SpaceToDepth": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [b.emit("DepthToSpace", [dy], [Attribute("blocksize", .integer(node.int("blocksize") ?? 1))], shape: try b.shape(node.inputs[0]))]
        },
        "Trilu": { node, g, b in
            guard let dy = g[0] else { return [] }
            let upper = Attribute("upper", .integer(node.int("upper") ?? 1))
            return [b.emit("Trilu", [dy] + node.inputs.dropFirst(), [upper], shape: try b.shape(dy))] + node.inputs.dropFirst().map { _ in nil }
        },
        // An element is in all sums from its own on: the same sum from the other end.
        "CumSum": { node, g, b in
            guard let dy = g[0] else { return [] }
            let attributes = [Attribute("exclusive", .integer(node.int("exclusive") ?? 0)), Attribute("reverse", .integer(1 - (node.int("reverse") ?? 0)))]
            return [b.emit("CumSum", [dy, node.inputs[1]], attributes, shape: try b.shape(dy)), nil]
        },
    ]

    /// Puts a slice's gradient back where it came from, zeros elsewhere.
    private static func unslice(_ node: Node, _ dy: String, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(node.inputs[0])
        let given =
            try b.opset < 10
            ? (node.ints("starts"), node.ints("ends"), node.ints("axes"), nil)
            : (b.integers(node.input(1)), b.integers(node.input(2)), b.integers(node.input(3)), b.integers(node.input(4)))
        guard let starts = given.0, let ends = given.1 else { throw DifferentiationError("has no bounds") }
        let axes = given.2?.map { normalized($0, dims.count) } ?? Array(starts.indices)
        let steps = given.3 ?? axes.map { _ in 1 }
        var result = dy
        for (index, axis) in axes.enumerated() {
            let extent = dims[axis]
            let positions = slicePositions(starts[index], ends[index], steps[index], extent)
            if positions == Array(0..<extent) { continue }
            if steps[index] == 1, let first = positions.first, let last = positions.last {
                var (before, after) = (try b.shape(result).map { _ in 0 }, try b.shape(result).map { _ in 0 })
                (before[axis], after[axis]) = (first, extent - 1 - last)
                result = try b.pad(result, before: before, after: after)
                continue
            }
            // With steps: a zero is put behind, and every place gathers its element or that zero.
            var after = try b.shape(result).map { _ in 0 }
            after[axis] = 1
            let extended = try b.pad(result, before: after.map { _ in 0 }, after: after)
            var source = [Int](repeating: positions.count, count: extent)
            for (place, position) in positions.enumerated() { source[position] = place }
            result = try b.gather(extended, source, axis: axis)
        }
        return result
    }

    /// Positions along an axis that a slice takes, in order, by the rules of ONNX.
    static func slicePositions(_ start: Int, _ end: Int, _ step: Int, _ extent: Int) -> [Int] {
        func clamped(_ value: Int, _ low: Int, _ high: Int) -> Int { min(max(value < 0 ? value + extent : value, low), high) }
        if step > 0 { return Array(stride(from: clamped(start, 0, extent), to: clamped(end, 0, extent), by: step)) }
        let last = end < -extent ? -1 : clamped(end, -1, extent - 1)
        return Array(stride(from: clamped(start, 0, extent - 1), to: last, by: step))
    }
}
