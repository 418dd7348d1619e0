import ModelGraph

/// Unfolds the input of a layer into rows, one for every output position, in the column order of `WeightMatrix`: the layer
/// is then a product of matrices. ("im2col" for convolutions of one to three spatial axes; a plain view elsewhere.)
package struct InputWindows {
    private let kind: Layer.Kind
    private let groups: Int
    private let columns: Int
    private var kernel: [Int] = []
    private var strides: [Int] = []
    private var dilations: [Int] = []
    private var pads: [Int] = []
    private var automatic = "NOTSET"
    /// Axis of a Gemm's input along which its inputs lie: 0 if it is transposed.
    private var inputAxis = 1

    /// Why the inputs of a layer cannot be unfolded; `nil` if they can.
    package static func refusal(for layer: Layer, in model: Model) -> String? {
        guard layer.path.isMain else { return "in a subgraph: calibration does not reach it" }
        if let reason = WeightMatrix.refusal(of: layer) { return reason }
        let node = model.graph.nodes[layer.nodeIndex]
        guard node.domain.isEmpty || node.domain == "ai.onnx" else { return "\(node.domain).\(node.opType) is not a standard operator" }
        if node.input(0) == layer.weight { return "the weight is the left operand" }
        guard node.input(1) == layer.weight else { return "its weight is computed by other operators" }
        guard let input = node.input(0), model.graph.initializers[input] == nil else { return "the input is a constant" }
        if layer.kind == .conv, layer.weightShape.count > 5 { return "more than three spatial axes" }
        return nil
    }

    /// - Parameter layer: one that passed `refusal`.
    init(_ layer: Layer, node: Node) {
        kind = layer.kind
        let shape = WeightMatrix.shape(of: layer) ?? .init(groups: 1, rows: 1, columns: 1)
        groups = shape.groups
        columns = shape.columns
        if kind == .gemm { inputAxis = node.int("transA") ?? 0 != 0 ? 0 : 1 }
        guard kind == .conv else { return }
        kernel = Array(layer.weightShape[2...])
        let ones = [Int](repeating: 1, count: kernel.count)
        strides = node.ints("strides") ?? ones
        dilations = node.ints("dilations") ?? ones
        pads = node.ints("pads") ?? [Int](repeating: 0, count: 2 * kernel.count)
        automatic = node.string("auto_pad") ?? "NOTSET"
    }

    /// Whether the input's first axis runs over rows, so that parts of it are inputs of their own.
    var isSplittable: Bool { inputAxis == 1 }

    /// Calls `body` with blocks of rows of one group: `rows` × columns floats, row-major, valid during the call.
    ///
    /// - Parameter stride: only every stride-th output position.
    func forEachBlock(
        _ input: UnsafeBufferPointer<Float>, shape: [Int], stride: Int = 1,
        _ body: (_ group: Int, _ block: UnsafePointer<Float>, _ rows: Int) throws -> Void
    ) rethrows {
        guard !input.isEmpty, shape.reduce(1, *) == input.count else { return }
        // About a megabyte, which stays in the cache for what is done with it; a product of matrices wants some hundred rows.
        let blockRows = max(256, min(1024, (1 << 18) / max(columns, 1)))
        switch kind {
        case .conv: try forEachWindow(input, shape, stride, blockRows, body)
        default: try forEachRow(input, shape, stride, blockRows, body)
        }
    }

    private func forEachRow(
        _ input: UnsafeBufferPointer<Float>, _ shape: [Int], _ step: Int, _ blockRows: Int, _ body: (Int, UnsafePointer<Float>, Int) throws -> Void
    ) rethrows {
        let count = input.count / columns
        guard count * columns == input.count, let base = input.baseAddress else { return }
        if step == 1, inputAxis == 1 {
            for start in Swift.stride(from: 0, to: count, by: blockRows) { try body(0, base + start * columns, min(blockRows, count - start)) }
            return
        }
        var block = [Float](repeating: 0, count: blockRows * columns)
        var filled = 0
        for row in Swift.stride(from: 0, to: count, by: step) {
            for column in 0..<columns { block[filled * columns + column] = inputAxis == 1 ? base[row * columns + column] : base[column * count + row] }
            filled += 1
            if filled == blockRows {
                try block.withUnsafeBufferPointer { try body(0, $0.baseAddress!, filled) }
                filled = 0
            }
        }
        if filled > 0 { try block.withUnsafeBufferPointer { try body(0, $0.baseAddress!, filled) } }
    }

    private func forEachWindow(
        _ input: UnsafeBufferPointer<Float>, _ shape: [Int], _ step: Int, _ blockRows: Int, _ body: (Int, UnsafePointer<Float>, Int) throws -> Void
    ) rethrows {
        let spatial = kernel.count
        guard shape.count == spatial + 2, let base = input.baseAddress else { return }
        // Everything as three spatial axes, missing ones of extent 1 in front.
        func padded(_ values: [Int], _ fill: Int) -> [Int] { [Int](repeating: fill, count: 3 - spatial) + values }
        let extent = padded(Array(shape[2...]), 1)
        let k = padded(kernel, 1)
        let s = padded(strides, 1)
        let d = padded(dilations, 1)
        var before = [0, 0, 0]
        var out = [1, 1, 1]
        for axis in 0..<3 {
            let reach = d[axis] * (k[axis] - 1) + 1
            let own = axis - (3 - spatial)
            if automatic == "SAME_UPPER" || automatic == "SAME_LOWER" {
                out[axis] = (extent[axis] + s[axis] - 1) / s[axis]
                let total = max((out[axis] - 1) * s[axis] + reach - extent[axis], 0)
                before[axis] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2
            } else {
                let given = own >= 0 && automatic == "NOTSET" && pads.count == 2 * spatial
                before[axis] = given ? pads[own] : 0
                let after = given ? pads[own + spatial] : 0
                out[axis] = (extent[axis] + before[axis] + after - reach) / s[axis] + 1
            }
            guard out[axis] > 0 else { return }
        }
        let channels = shape[1]
        let perGroup = channels / groups
        guard perGroup * k.reduce(1, *) == columns else { return }
        let plane = extent.reduce(1, *)
        let positions = out.reduce(1, *)
        var block = [Float](repeating: 0, count: blockRows * columns)
        // Numbers of their own: arrays would be asked for their bounds at every element.
        let (depth, height, width) = (extent[0], extent[1], extent[2])
        let (kz, ky, kx) = (k[0], k[1], k[2])
        let (dz, dy, dx) = (d[0], d[1], d[2])
        // Where the elements of a window lie, seen from its first.
        var offsets: [Int] = []
        offsets.reserveCapacity(columns)
        for channel in 0..<perGroup {
            for az in 0..<kz { for ay in 0..<ky { for ax in 0..<kx { offsets.append(channel * plane + (az * dz * height + ay * dy) * width + ax * dx) } } }
        }
        let (lastZ, lastY, lastX) = (depth - (kz - 1) * dz, height - (ky - 1) * dy, width - (kx - 1) * dx)
        for group in 0..<groups {
            var filled = 0
            // The offset of the stride moves from sample to sample, so that all positions are seen.
            for sample in 0..<shape[0] {
                let source = base + (sample * channels + group * perGroup) * plane
                for position in Swift.stride(from: sample % step, to: positions, by: step) {
                    let z = position / (out[1] * out[2]) * s[0] - before[0]
                    let y = position / out[2] % out[1] * s[1] - before[1]
                    let x = position % out[2] * s[2] - before[2]
                    block.withUnsafeMutableBufferPointer { block in
                        guard let row = block.baseAddress.map({ $0 + filled * columns }) else { return }
                        if z >= 0, z < lastZ, y >= 0, y < lastY, x >= 0, x < lastX {
                            let first = source + (z * height + y) * width + x
                            offsets.withUnsafeBufferPointer { offsets in for column in 0..<columns { row[column] = first[offsets[column]] } }
                            return
                        }
                        var column = 0
                        for channel in 0..<perGroup {
                            let source = source + channel * plane
                            for az in 0..<kz {
                                let iz = z + az * dz
                                for ay in 0..<ky {
                                    let iy = y + ay * dy
                                    let inside = iz >= 0 && iz < depth && iy >= 0 && iy < height
                                    let line = (iz * height + iy) * width
                                    for ax in 0..<kx {
                                        let ix = x + ax * dx
                                        row[column] = inside && ix >= 0 && ix < width ? source[line + ix] : 0
                                        column += 1
                                    }
                                }
                            }
                        }
                    }
                    filled += 1
                    if filled == blockRows {
                        try block.withUnsafeBufferPointer { try body(group, $0.baseAddress!, filled) }
                        filled = 0
                    }
                }
            }
            if filled > 0 { try block.withUnsafeBufferPointer { try body(group, $0.baseAddress!, filled) } }
        }
    }
}
