import ModelGraph

/// A strided convolution of folded batches (see `BatchFolding`): [1, C, H, W·N] → [1, M, OH, OW·N].
///
/// It is a convolution over three axes, H, W and N, with a kernel of one along N.
enum FoldedConvolution {
    static let opType = "Conv.folded"

    static func node(_ node: Node, _ geometry: WindowGeometry, samples: Int) -> Node {
        var made = Node(
            opType, inputs: node.inputs, outputs: node.outputs,
            attributes: [
                Attribute("kernel_shape", .integers(geometry.kernel)), Attribute("strides", .integers(geometry.strides)), Attribute("dilations", .integers(geometry.dilations)),
                Attribute("pads", .integers(geometry.before + geometry.after)), Attribute("group", .integer(node.int("group") ?? 1)), Attribute("samples", .integer(samples)),
            ])
        made.domain = Macro.domain
        made.name = node.name
        return made
    }

    /// Geometry over H and W, and the shapes with an axis for samples.
    private struct Layout {
        var geometry: WindowGeometry
        var samples: Int
        var group: Int
        var input: [Int]
        var output: [Int]

        init(_ node: Node, _ b: GradientBuilder) throws {
            samples = node.int("samples") ?? 1
            group = node.int("group") ?? 1
            let from = try b.shape(node.inputs[0])
            input = [1, from[1], from[2], from[3] / samples, samples]
            let kernel = node.ints("kernel_shape") ?? []
            var window = try WindowGeometry(node, kernel: kernel, input: Array(input.dropLast()), output: [1, 1, 1, 1])
            window.output = (0..<2).map { (window.input[$0] + window.before[$0] + window.after[$0] - window.span($0)) / window.strides[$0] + 1 }
            output = [1, try b.shape(node.inputs[1])[0]] + window.output + [samples]
            geometry = window
        }

        var attributes: [Attribute] {
            [
                Attribute("kernel_shape", .integers(geometry.kernel + [1])), Attribute("strides", .integers(geometry.strides + [1])),
                Attribute("dilations", .integers(geometry.dilations + [1])), Attribute("group", .integer(group)),
            ]
        }
    }

    static func lower(_ node: Node, _ b: inout GradientBuilder) throws {
        let layout = try Layout(node, b)
        let x = try b.reshape(node.inputs[0], layout.input)
        let w = try b.reshape(node.inputs[1], b.shape(node.inputs[1]) + [1])
        let pads = Attribute("pads", .integers(layout.geometry.before + [0] + layout.geometry.after + [0]))
        let y = b.emit("Conv", [x, w] + node.inputs.dropFirst(2), layout.attributes + [pads], shape: layout.output)
        let shape = [1, layout.output[1], layout.output[2], layout.output[3] * layout.samples]
        b.emit("Reshape", [y, b.constant(shape)], shape: shape)
        try b.rename(b.nodes[b.nodes.count - 1].outputs[0], to: node.outputs[0])
    }

    static let rule: GradientRule = { node, g, b in
        guard let dy = g[0] else { return [] }
        let layout = try Layout(node, b)
        let (x, w) = (node.inputs[0], node.inputs[1])
        let gradient = try b.reshape(dy, layout.output)
        var result: [String?] = node.inputs.map { _ in nil }
        if b.needs(x) { result[0] = try b.reshape(try inputGradient(gradient, w, layout, &b), b.shape(x)) }
        if b.needs(w) { result[1] = try weightGradient(x, gradient, w, layout, &b) }
        if let bias = node.input(2), b.needs(bias) { result[2] = try b.sum(dy, axes: [0, 2, 3], keep: false) }
        return result
    }

    private static func inputGradient(_ dy: String, _ w: String, _ layout: Layout, _ b: inout GradientBuilder) throws -> String {
        let geometry = layout.geometry
        let wide = try b.reshape(w, b.shape(w) + [1])
        // Without the pads after: what windows do not reach gets zeros, what they reach beyond is cut.
        let reach = (0..<2).map { (geometry.output[$0] - 1) * geometry.strides[$0] + geometry.span($0) }
        let inside = (0..<2).map { min(reach[$0] - geometry.before[$0], geometry.input[$0]) }
        let cut = (0..<2).map { reach[$0] - geometry.before[$0] - inside[$0] }
        let pads = Attribute("pads", .integers(geometry.before + [0] + cut + [0]))
        let made = b.emit("ConvTranspose", [dy, wide], layout.attributes + [pads], shape: [1, layout.input[1]] + inside + [layout.samples])
        return try b.pad(made, before: [0, 0, 0, 0, 0], after: [0, 0, geometry.input[0] - inside[0], geometry.input[1] - inside[1], 0])
    }

    private static func weightGradient(_ x: String, _ dy: String, _ w: String, _ layout: Layout, _ b: inout GradientBuilder) throws -> String {
        let geometry = layout.geometry
        let whole = try b.reshape(x, layout.input)
        let padded = try b.pad(whole, before: [0, 0] + geometry.before + [0], after: [0, 0] + geometry.after + [0])
        let weight = try b.shape(w)
        let (outputs, part, group) = (weight[0], weight[1], layout.group)
        let positions = geometry.output[0] * geometry.output[1] * layout.samples
        let rows = try b.reshape(dy, [group, outputs / group, positions])
        var products: [String] = []
        for place in geometry.places {
            let seen = try geometry.slice(padded, at: place, axes: [2, 3], &b)
            if group == outputs, part == 1 {
                let product = try b.multiply(seen, dy)
                products.append(try b.reshape(try b.sum(product, axes: [0, 2, 3, 4], keep: false), [outputs, 1, 1]))
            } else if group == 1 {
                let product = try b.gemm(try b.reshape(rows, [outputs, positions]), try b.reshape(seen, [part, positions]), transB: true)
                products.append(try b.reshape(product, [outputs, part, 1]))
            } else {
                let columns = try b.swapped(try b.reshape(seen, [group, part, positions]))
                products.append(try b.reshape(try b.matmul(rows, columns), [outputs, part, 1]))
            }
        }
        return try b.reshape(try b.concat(products, axis: 2), weight)
    }
}
