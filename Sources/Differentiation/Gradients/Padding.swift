import ModelGraph

/// Padding by zeros, reflection, edges or wrapping around.
enum PaddingGradients {
    static let rules: [String: GradientRule] = [
        "Pad": { node, g, b in
            guard let dy = g[0] else { return [] }
            let dims = try b.shape(node.inputs[0])
            let pads = try b.opset < 11 ? node.ints("pads") : b.integers(node.input(1))
            guard let pads else { throw DifferentiationError("has no pads") }
            let axes = try b.integers(node.input(3))?.map { normalized($0, dims.count) } ?? Array(dims.indices)
            var (before, after) = (dims.map { _ in 0 }, dims.map { _ in 0 })
            for (index, axis) in axes.enumerated() { (before[axis], after[axis]) = (pads[index], pads[index + axes.count]) }
            let mode = node.string("mode") ?? "constant"
            let gradient = try mode == "constant" ? constant(dy, dims, before, after, &b) : copies(dy, dims, before, after, mode, &b)
            return [gradient] + node.inputs.dropFirst().map { _ in nil }
        }
    ]

    private static func constant(_ dy: String, _ dims: [Int], _ before: [Int], _ after: [Int], _ b: inout GradientBuilder) throws -> String {
        // A negative pad cut something off, to which nothing flows back.
        let seen = try b.slice(
            dy, axes: Array(dims.indices), starts: before.map { max($0, 0) },
            ends: dims.indices.map { max(before[$0], 0) + dims[$0] + min(before[$0], 0) + min(after[$0], 0) })
        return try b.pad(seen, before: before.map { max(-$0, 0) }, after: after.map { max(-$0, 0) })
    }

    /// Pads that repeat elements: what each copy got is added where it was copied from.
    private static func copies(
        _ dy: String, _ dims: [Int], _ before: [Int], _ after: [Int], _ mode: String, _ b: inout GradientBuilder
    ) throws -> String {
        var result = dy
        for axis in dims.indices where before[axis] != 0 || after[axis] != 0 {
            let (extent, left, right) = (dims[axis], before[axis], after[axis])
            let widest = mode == "reflect" ? extent - 1 : extent
            guard left >= 0, right >= 0, mode == "edge" || max(left, right) <= widest else { throw DifferentiationError("pads by \(mode) beyond the input") }
            let padded = result
            func part(_ start: Int, _ count: Int) throws -> String { try b.slice(padded, axes: [axis], starts: [start], ends: [start + count]) }
            func placed(_ value: String, at position: Int) throws -> String {
                let own = try b.shape(value)
                var (front, back) = (own.map { _ in 0 }, own.map { _ in 0 })
                (front[axis], back[axis]) = (position, extent - position - own[axis])
                return try b.pad(value, before: front, after: back)
            }
            var parts = [try part(left, extent)]
            let sides = [(start: 0, count: left, isLeft: true), (start: left + extent, count: right, isLeft: false)]
            for side in sides where side.count > 0 {
                let seen = try part(side.start, side.count)
                switch mode {
                case "reflect": parts.append(try placed(try b.flip(seen, axes: [axis]), at: side.isLeft ? 1 : extent - 1 - side.count))
                case "edge": parts.append(try placed(try b.sum(seen, axes: [axis], keep: true), at: side.isLeft ? 0 : extent - 1))
                case "wrap": parts.append(try placed(seen, at: side.isLeft ? extent - side.count : 0))
                default: throw DifferentiationError("pads by \(mode)")
                }
            }
            result = try b.total(parts)
        }
        return result
    }
}
