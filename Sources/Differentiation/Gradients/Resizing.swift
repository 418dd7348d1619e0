import Foundation
import ModelGraph

/// Resizing by interpolation. Every output is a weighted sum of inputs, axis by axis, so the gradient is the transposed sum.
enum ResizingGradients {
    static let rules: [String: GradientRule] = [
        "Resize": { node, g, b in
            guard let dy = g[0] else { return [] }
            return [try gradient(dy, node, scales: try scales(node, &b), &b)] + node.inputs.dropFirst().map { _ in nil }
        },
        "Upsample": { node, g, b in
            guard let dy = g[0] else { return [] }
            var scales: [Float]?
            if case .floats(let given)? = node.attribute("scales") { scales = given } else { scales = try b.floats(node.input(1)) }
            return [try gradient(dy, node, scales: scales, &b)] + node.inputs.dropFirst().map { _ in nil }
        },
    ]

    /// Output by input size along every axis, if the node gives scales; `nil` where it gives sizes.
    private static func scales(_ node: Node, _ b: inout GradientBuilder) throws -> [Float]? {
        let given = try b.floats(node.input(b.opset < 11 ? 1 : 2))
        guard let given, !given.isEmpty else { return nil }
        guard let axes = node.ints("axes") else { return given }
        let rank = try b.shape(node.inputs[0]).count
        var all = [Float](repeating: 1, count: rank)
        for (axis, scale) in zip(axes, given) { all[normalized(axis, rank)] = scale }
        return all
    }

    private static func gradient(_ dy: String, _ node: Node, scales: [Float]?, _ b: inout GradientBuilder) throws -> String {
        let (input, output) = (try b.shape(node.inputs[0]), try b.shape(dy))
        if node.int("antialias") == 1, zip(input, output).contains(where: { $0 > $1 }) { throw DifferentiationError("smooths against aliasing") }
        if let policy = node.string("keep_aspect_ratio_policy"), policy != "stretch" { throw DifferentiationError("keeps the aspect ratio") }
        // What each output along an axis sums: input positions and weights.
        var sums: [Int: [[(position: Int, weight: Float)]]] = [:]
        for axis in input.indices {
            let scale = scales?[axis] ?? Float(output[axis]) / Float(input[axis])
            if input[axis] == output[axis], scale == 1 { continue }
            let interpolation = try Interpolation(node, opset: b.opset, input: input[axis], output: output[axis], scale: scale)
            sums[axis] = (0..<output[axis]).map(interpolation.terms)
        }
        // Whole blocks of copies: sums of the blocks, along all such axes at once.
        var split: [Int] = []
        var within: [Int] = []
        for axis in input.indices {
            guard let terms = sums[axis], isRepetition(terms, input[axis]) else {
                split.append(output[axis])
                continue
            }
            split += [input[axis], output[axis] / input[axis]]
            within.append(split.count - 1)
            sums[axis] = nil
        }
        var result = try b.sum(try b.reshape(dy, split), axes: within, keep: false)
        for (axis, terms) in sums.sorted(by: { $0.key < $1.key }) {
            var matrix = [Float](repeating: 0, count: terms.count * input[axis])
            for (row, parts) in terms.enumerated() { for part in parts { matrix[row * input[axis] + part.position] += part.weight } }
            result = try product(result, matrix, axis: axis, extent: input[axis], &b)
        }
        return result
    }

    private static func isRepetition(_ terms: [[(position: Int, weight: Float)]], _ extent: Int) -> Bool {
        guard terms.count % extent == 0, terms.count > extent else { return false }
        let times = terms.count / extent
        return terms.enumerated().allSatisfy { $1.count == 1 && $1[0].position == $0 / times && $1[0].weight == 1 }
    }

    /// Multiplies along an axis by a matrix, [the axis's size, `extent`].
    private static func product(_ value: String, _ matrix: [Float], axis: Int, extent: Int, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(value)
        let weights = b.constant(matrix, [dims[axis], extent])
        let others = dims.indices.filter { $0 != axis }
        let rows = try b.reshape(try b.transpose(value, others + [axis]), [others.reduce(1) { $0 * dims[$1] }, dims[axis]])
        let moved = try b.reshape(try b.gemm(rows, weights), others.map { dims[$0] } + [extent])
        var order = Array(0..<others.count)
        order.insert(others.count, at: axis)
        return try b.transpose(moved, order)
    }
}

/// Where along one axis the outputs of a resizing come from.
private struct Interpolation {
    var mode: String
    var coordinates: String
    var rounding: String
    var cubic: Float
    var excludesOutside: Bool
    var input: Int
    var output: Int
    var scale: Float

    init(_ node: Node, opset: Int, input: Int, output: Int, scale: Float) throws {
        mode = node.string("mode") ?? "nearest"
        let isOld = opset < 11 || node.opType == "Upsample"
        coordinates = isOld ? "asymmetric" : node.string("coordinate_transformation_mode") ?? "half_pixel"
        // Before operator set 11 nearest meant the position before, when made smaller the one behind.
        rounding = isOld ? (scale < 1 ? "ceil" : "floor") : node.string("nearest_mode") ?? "round_prefer_floor"
        cubic = node.float("cubic_coeff_a") ?? -0.75
        excludesOutside = node.int("exclude_outside") == 1
        (self.input, self.output, self.scale) = (input, output, scale)
        let known = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
        guard known.contains(coordinates) else { throw DifferentiationError("resizes by coordinates of the kind \(coordinates)") }
        guard ["nearest", "linear", "cubic"].contains(mode) else { throw DifferentiationError("resizes by \(mode) interpolation") }
    }

    /// Position in the input that an output stands for.
    private func source(_ index: Int) -> Float {
        let x = Float(index)
        switch coordinates {
        case "asymmetric": return x / scale
        case "align_corners": return output == 1 ? 0 : x * Float(input - 1) / Float(output - 1)
        case "pytorch_half_pixel" where output == 1: return 0
        case "half_pixel_symmetric":
            let shown = Float(output) / (scale * Float(input))
            return Float(input) / 2 * (1 - shown) + (x + 0.5) / scale - 0.5
        default: return (x + 0.5) / scale - 0.5
        }
    }

    func terms(_ index: Int) -> [(position: Int, weight: Float)] {
        let x = source(index)
        func inside(_ position: Int) -> Int { min(max(position, 0), input - 1) }
        switch mode {
        case "nearest":
            let whole: Float =
                switch rounding {
                case "floor": x.rounded(.down)
                case "ceil": x.rounded(.up)
                case "round_prefer_ceil": (x + 0.5).rounded(.down)
                default: (x - 0.5).rounded(.up)
                }
            return [(inside(Int(whole)), 1)]
        case "linear":
            let clamped = min(max(x, 0), Float(input - 1))
            let first = Int(clamped)
            return [(first, 1 - (clamped - Float(first))), (inside(first + 1), clamped - Float(first))]
        default:
            let first = x.rounded(.down)
            var terms = (-1...2).map { offset in (position: Int(first) + offset, weight: kernel(abs(x - first - Float(offset)))) }
            if excludesOutside {
                terms.removeAll { $0.position < 0 || $0.position >= input }
                let total = terms.reduce(0) { $0 + $1.weight }
                return terms.map { ($0.position, $0.weight / total) }
            }
            return terms.map { (inside($0.position), $0.weight) }
        }
    }

    /// Cubic convolution kernel (Keys 1981) at a distance below 2.
    private func kernel(_ t: Float) -> Float {
        t <= 1 ? ((cubic + 2) * t - (cubic + 3)) * t * t + 1 : ((cubic * t - 5 * cubic) * t + 8 * cubic) * t - 4 * cubic
    }
}
