import ModelGraph

/// Pooling over windows and over whole planes.
enum PoolingGradients {
    static let rules: [String: GradientRule] = [
        "MaxPool": { node, g, b in
            guard let dy = g[0] else { return [] }
            let geometry = try WindowGeometry(node, kernel: node.ints("kernel_shape") ?? [], input: b.shape(node.inputs[0]), output: b.shape(node.outputs[0]))
            let x = try b.reshape(node.inputs[0], geometry.planar(b.shape(node.inputs[0])))
            let y = try b.reshape(node.outputs[0], geometry.planar(b.shape(node.outputs[0])))
            let after = (0..<2).map { geometry.after[$0] + max(geometry.overhang($0), 0) }
            let padded = try b.pad(x, before: [0, 0] + geometry.before, after: [0, 0] + after, value: -.greatestFiniteMagnitude)
            // The first place that holds the maximum takes all; later ones find nothing left. Exact on ties, which are
            // common once activations are quantized.
            var left = try b.reshape(dy, geometry.planar(b.shape(dy)))
            var parts: [String] = []
            let places = geometry.places
            for (number, place) in places.enumerated() {
                if number == places.count - 1 {
                    parts.append(left)
                    break
                }
                let seen = try geometry.slice(padded, at: place, axes: [2, 3], &b)
                let holds = try b.compare("Equal", seen, y)
                parts.append(try b.select(holds, left, b.scalar(0)))
                left = try b.select(holds, b.scalar(0), left)
            }
            return [try b.reshape(try place(parts, geometry, &b), b.shape(node.inputs[0]))]
        },
        "AveragePool": { node, g, b in
            guard let dy = g[0] else { return [] }
            let geometry = try WindowGeometry(node, kernel: node.ints("kernel_shape") ?? [], input: b.shape(node.inputs[0]), output: b.shape(node.outputs[0]))
            let planar = try b.reshape(dy, geometry.planar(b.shape(dy)))
            let shares = weights(geometry, countsPads: node.int("count_include_pad") == 1)
            let share =
                try Set(shares).count == 1
                ? b.multiply(planar, by: shares[0]) : b.multiply(planar, b.constant(shares, [1, 1] + geometry.output))
            let parts = geometry.places.map { _ in share }
            return [try b.reshape(try place(parts, geometry, &b), b.shape(node.inputs[0]))]
        },
        "GlobalAveragePool": { node, g, b in
            guard let dy = g[0] else { return [] }
            let dims = try b.shape(node.inputs[0])
            return [try b.expand(try b.multiply(dy, by: 1 / Float(dims.dropFirst(2).reduce(1, *))), to: dims)]
        },
        "GlobalMaxPool": { node, g, b in
            guard let dy = g[0] else { return [] }
            let holds = try b.toFloat(try b.compare("Equal", node.inputs[0], node.outputs[0]))
            let axes = Array(2..<(try b.shape(node.inputs[0]).count))
            let share = try b.divide(dy, try b.sum(holds, axes: axes, keep: true))
            return [try b.multiply(holds, share)]
        },
    ]

    /// One over the number of places that each window counts.
    private static func weights(_ geometry: WindowGeometry, countsPads: Bool) -> [Float] {
        func counts(_ axis: Int) -> [Int] {
            (0..<geometry.output[axis]).map { index in
                let start = index * geometry.strides[axis] - geometry.before[axis]
                return (0..<geometry.kernel[axis]).count { place in
                    let position = start + place * geometry.dilations[axis]
                    return countsPads
                        ? position < geometry.input[axis] + geometry.after[axis] : position >= 0 && position < geometry.input[axis]
                }
            }
        }
        let (rows, columns) = (counts(0), counts(1))
        return rows.flatMap { row in columns.map { 1 / Float(row * $0) } }
    }

    /// Puts what each place of the window got, [N, C, OH, OW] each, back on the input and sums where windows overlap.
    private static func place(_ parts: [String], _ geometry: WindowGeometry, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(parts[0])
        let (height, width) = (geometry.kernel[0], geometry.kernel[1])
        if geometry.kernel == geometry.strides, geometry.dilations == [1, 1], !geometry.hasPads {
            // Windows side by side: interleave.
            var rows: [String] = []
            for row in 0..<height {
                let columns = try (0..<width).map { try b.reshape(parts[row * width + $0], dims + [1]) }
                rows.append(try b.reshape(try b.concat(columns, axis: 4), [dims[0], dims[1], dims[2], 1, dims[3] * width]))
            }
            let whole = try b.reshape(try b.concat(rows, axis: 3), [dims[0], dims[1], dims[2] * height, dims[3] * width])
            let cut = try b.slice(whole, axes: [2, 3], starts: [0, 0], ends: geometry.input)
            let made = try b.shape(cut)
            return try b.pad(cut, before: [0, 0, 0, 0], after: [0, 0, geometry.input[0] - made[2], geometry.input[1] - made[3]])
        }
        let channels = dims[1]
        if Set(parts).count == 1 {
            let ones = b.constant([Float](repeating: 1, count: channels * height * width), [channels, 1, height, width])
            return try ConvolutionGradients.scatter(parts[0], ones, geometry, channels, channels: channels, &b)
        }
        // One plane per place and channel, each spread by a kernel that has its 1 at that place.
        let stacked = try b.concat(try parts.map { try b.reshape($0, [dims[0], channels, 1, dims[2], dims[3]]) }, axis: 2)
        let planes = try b.reshape(stacked, [dims[0], channels * parts.count, dims[2], dims[3]])
        var kernels = [Float](repeating: 0, count: channels * parts.count * parts.count)
        for channel in 0..<channels { for part in parts.indices { kernels[(channel * parts.count + part) * parts.count + part] = 1 } }
        let weights = b.constant(kernels, [channels * parts.count, 1, height, width])
        return try ConvolutionGradients.scatter(planes, weights, geometry, channels, channels: channels, &b)
    }
}
