import ModelGraph

/// Convolutions of one or two spatial axes, with strides, dilations, pads and groups.
enum ConvolutionGradients {
    static let rules: [String: GradientRule] = [
        "Conv": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (x, w) = (node.inputs[0], node.inputs[1])
            let kernel = Array(try b.shape(w).dropFirst(2))
            let geometry = try WindowGeometry(node, kernel: kernel, input: b.shape(x), output: b.shape(node.outputs[0]))
            let group = node.int("group") ?? 1
            var result: [String?] = node.inputs.map { _ in nil }
            let planarDy = try b.reshape(dy, geometry.planar(b.shape(dy)))
            if b.needs(x) {
                let planarW = try b.reshape(w, geometry.planar(b.shape(w)))
                let gradient = try inputGradient(planarDy, planarW, geometry, group, &b)
                result[0] = try b.reshape(gradient, b.shape(x))
            }
            if b.needs(w) {
                let planarX = try b.reshape(x, geometry.planar(b.shape(x)))
                let gradient = try weightGradient(planarX, planarDy, geometry, group, &b)
                result[1] = try b.reshape(gradient, b.shape(w))
            }
            if let bias = node.input(2), b.needs(bias) { result[2] = try b.sum(planarDy, axes: [0, 2, 3], keep: false) }
            return result
        },
        "ConvTranspose": { node, g, b in
            guard let dy = g[0] else { return [] }
            let (x, w) = (node.inputs[0], node.inputs[1])
            // A transposed convolution is the way back of a convolution that leads from its output to its input.
            let kernel = Array(try b.shape(w).dropFirst(2))
            let geometry = try transposed(node, kernel: kernel, b)
            let group = node.int("group") ?? 1
            var result: [String?] = node.inputs.map { _ in nil }
            let whole = try b.reshape(dy, geometry.planar(b.shape(dy)))
            // What output padding added beyond all windows depends on the bias alone.
            let planarDy = try b.slice(whole, axes: [2, 3], starts: [0, 0], ends: geometry.input)
            if b.needs(x) {
                let planarW = try b.reshape(w, geometry.planar(b.shape(w)))
                var attributes = [
                    Attribute("kernel_shape", .integers(geometry.kernel)), Attribute("strides", .integers(geometry.strides)),
                    Attribute("dilations", .integers(geometry.dilations)), Attribute("pads", .integers(geometry.before + geometry.after)),
                ]
                if group != 1 { attributes.append(Attribute("group", .integer(group))) }
                let made = b.emit("Conv", [planarDy, planarW], attributes, shape: geometry.planar(try b.shape(x)))
                result[0] = try b.reshape(made, b.shape(x))
            }
            if b.needs(w) {
                let planarX = try b.reshape(x, geometry.planar(b.shape(x)))
                result[1] = try b.reshape(try weightGradient(planarDy, planarX, geometry, group, &b), b.shape(w))
            }
            if let bias = node.input(2), b.needs(bias) { result[2] = try b.sum(whole, axes: [0, 2, 3], keep: false) }
            return result
        },
    ]

    /// Geometry of the convolution whose way back a transposed convolution is: input and output change places.
    private static func transposed(_ node: Node, kernel: [Int], _ b: GradientBuilder) throws -> WindowGeometry {
        let (small, large) = (try b.shape(node.inputs[0]), try b.shape(node.outputs[0]))
        var plain = node
        plain.set("auto_pad", nil)
        plain.set("pads", nil)
        var geometry = try WindowGeometry(plain, kernel: kernel, input: large, output: small)
        let skip = geometry.isFlat ? 1 : 0
        let pads = node.ints("pads") ?? Array(repeating: 0, count: 2 * kernel.count)
        let automatic = node.string("auto_pad") ?? "NOTSET"
        let extra = node.ints("output_padding") ?? kernel.map { _ in 0 }
        for axis in skip..<2 {
            // What the whole way back would give is cut to the output by the pads on both sides.
            let reach = (geometry.output[axis] - 1) * geometry.strides[axis] + geometry.span(axis)
            if automatic.hasPrefix("SAME") || node.ints("output_shape") != nil {
                let total = max(reach + extra[axis - skip] - geometry.input[axis], 0)
                let first = automatic == "SAME_UPPER" ? total / 2 : total - total / 2
                (geometry.before[axis], geometry.after[axis]) = (first, reach - geometry.input[axis] - first)
            } else {
                geometry.before[axis] = automatic == "VALID" ? 0 : pads[axis - skip]
                geometry.after[axis] = reach - geometry.input[axis] - geometry.before[axis]
            }
        }
        for axis in skip..<2 where geometry.after[axis] < 0 {
            geometry.input[axis] += geometry.after[axis]
            geometry.after[axis] = 0
        }
        return geometry
    }

    /// Gradient of the input, [N, C, H, W], from that of the output, [N, M, OH, OW], and the weights, [M, C/group, kh, kw].
    private static func inputGradient(
        _ dy: String, _ w: String, _ geometry: WindowGeometry, _ group: Int, _ b: inout GradientBuilder
    ) throws -> String {
        let weight = try b.shape(w)
        let (outputs, part) = (weight[0], weight[1])
        let channels = part * group
        let batch = try b.shape(dy)[0]
        let target = [batch, channels] + geometry.input
        let unpaddedLarge = !geometry.hasPads && geometry.kernel.contains { $0 >= 5 }
        let before = (0..<2).map { (axis: Int) -> Int in geometry.span(axis) - 1 - geometry.before[axis] }
        let after = (0..<2).map { (axis: Int) -> Int in geometry.input[axis] - geometry.output[axis] + geometry.before[axis] }
        if geometry.strides == [1, 1], !unpaddedLarge, before.allSatisfy({ $0 >= 0 }), after.allSatisfy({ $0 >= 0 }) {
            // A convolution with the kernel turned by 180° and input and output channels exchanged.
            var turned = try b.flip(w, axes: [2, 3])
            if part == 1, outputs == channels {
                turned = try b.reshape(turned, [channels, 1] + geometry.kernel)
            } else {
                let grouped = try b.reshape(turned, [group, outputs / group, part] + geometry.kernel)
                turned = try b.reshape(try b.transpose(grouped, [0, 2, 1, 3, 4]), [channels, outputs / group] + geometry.kernel)
            }
            var attributes = [
                Attribute("kernel_shape", .integers(geometry.kernel)), Attribute("dilations", .integers(geometry.dilations)),
                Attribute("pads", .integers(before + after)),
            ]
            if group != 1 { attributes.append(Attribute("group", .integer(group))) }
            return b.emit("Conv", [dy, turned], attributes, shape: target)
        }
        return try scatter(dy, w, geometry, group, channels: channels, &b)
    }

    /// The transposed convolution that spreads every output's gradient over its window.
    static func scatter(
        _ dy: String, _ w: String, _ geometry: WindowGeometry, _ group: Int, channels: Int, _ b: inout GradientBuilder
    ) throws -> String {
        // Without pads first; the runtime then cuts nothing and the rest is a slice or zeros.
        let batch = try b.shape(dy)[0]
        let reach = (0..<2).map { (geometry.output[$0] - 1) * geometry.strides[$0] + geometry.span($0) }
        var attributes = [
            Attribute("kernel_shape", .integers(geometry.kernel)), Attribute("strides", .integers(geometry.strides)),
            Attribute("dilations", .integers(geometry.dilations)),
        ]
        if group != 1 { attributes.append(Attribute("group", .integer(group))) }
        // What windows reach of the input itself, after the pads before.
        let inside = (0..<2).map { min(reach[$0] - geometry.before[$0], geometry.input[$0]) }
        let cut = (0..<2).map { reach[$0] - geometry.before[$0] - inside[$0] }
        attributes.append(Attribute("pads", .integers(geometry.before + cut)))
        let made = b.emit("ConvTranspose", [dy, w], attributes, shape: [batch, channels] + inside)
        let missing = (0..<2).map { geometry.input[$0] - inside[$0] }
        return try b.pad(made, before: [0, 0, 0, 0], after: [0, 0] + missing)
    }

    /// Gradient of the weights, [M, C/group, kh, kw], from the input, [N, C, H, W], and the output's gradient.
    private static func weightGradient(
        _ x: String, _ dy: String, _ geometry: WindowGeometry, _ group: Int, _ b: inout GradientBuilder
    ) throws -> String {
        let (input, output) = (try b.shape(x), try b.shape(dy))
        let (batch, channels, outputs) = (input[0], input[1], output[1])
        let positions = output[2] * batch * output[3]
        var padded = x
        if geometry.hasPads {
            padded = try b.pad(x, before: [0, 0] + geometry.before, after: [0, 0] + geometry.after)
        }
        if group == channels, group == outputs {
            // One number per channel and place of the window: products of elements, then sums.
            let sums = try geometry.places.map { place in
                try b.reshape(try b.sum(try b.multiply(try geometry.slice(padded, at: place, axes: [2, 3], &b), dy), axes: [0, 2, 3], keep: false), [channels, 1, 1])
            }
            return try b.reshape(try b.concat(sums, axis: 2), [channels, 1] + geometry.kernel)
        }
        // Channels outermost, so that one long product sums over samples and places at once.
        let source = try b.transpose(padded, [1, 2, 0, 3])
        let gradient = try b.transpose(dy, [1, 2, 0, 3])
        let (height, width) = (geometry.kernel[0], geometry.kernel[1])
        if group > 1 {
            let part = channels / group
            let columns = try b.reshape(try unfold(source, geometry, &b), [group, part * width * height, positions])
            let sides = try b.swapped(try b.reshape(gradient, [group, outputs / group, positions]))
            let product = try b.matmul(columns, sides)
            let parts = try b.reshape(product, [group, part, width, height, outputs / group])
            return try b.reshape(try b.transpose(parts, [0, 4, 1, 3, 2]), [outputs, part, height, width])
        }
        let rows = try b.reshape(gradient, [outputs, positions])
        if channels > 4, height < 5, width < 5 || height == 1 && width == 1 {
            var products: [String] = []
            for place in geometry.places {
                // Rows first: the slice along the outer axis copies whole rows.
                let seen = try geometry.slice(source, at: place, axes: [1, 3], &b)
                let product = try b.gemm(rows, try b.reshape(seen, [channels, positions]), transB: true)
                products.append(try b.reshape(product, [outputs, channels, 1]))
            }
            return try b.reshape(try b.concat(products, axis: 2), [outputs, channels, height, width])
        }
        let columns = try b.reshape(try unfold(source, geometry, &b), [channels * width * height, positions])
        let product = try b.gemm(rows, columns, transB: true)
        return try b.transpose(try b.reshape(product, [outputs, channels, width, height]), [0, 1, 3, 2])
    }

    /// All that windows see, [C, kw, kh·OH, N, OW], from [C, H, N, W]: slices along the width, then one gather along the height.
    private static func unfold(_ source: String, _ geometry: WindowGeometry, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(source)
        var columns: [String] = []
        for column in 0..<geometry.kernel[1] {
            let start = column * geometry.dilations[1]
            let seen = try b.slice(
                source, axes: [3], starts: [start], ends: [start + (geometry.output[1] - 1) * geometry.strides[1] + 1], steps: [geometry.strides[1]])
            columns.append(try b.reshape(seen, [dims[0], 1, dims[1], dims[2], geometry.output[1]]))
        }
        let wide = try b.concat(columns, axis: 1)
        let rows = (0..<geometry.kernel[0]).flatMap { row in
            (0..<geometry.output[0]).map { row * geometry.dilations[0] + $0 * geometry.strides[0] }
        }
        if rows == Array(0..<dims[1]) { return wide }
        return try b.gather(wide, rows, axis: 2)
    }
}
