/// Quantizing tools for training leave weights as floats behind QuantizeLinear and DequantizeLinear; others do so with weights that stood in Constant
/// nodes, in front of operators on integers, or behind DynamicQuantizeLinear. ONNX Runtime evaluates these while loading; evaluated here, the
/// file holds the integers the layer computes with, and the layer is seen as quantized.

extension Graph {
    /// Evaluates QuantizeLinear (scales for a tensor or an axis, to int8 or uint8) and DynamicQuantizeLinear of floating-point initializers that
    /// nothing else reads, in this graph.
    mutating func foldQuantizedWeights() {
        func quantizes(_ node: Node) -> Bool { node.isStandard("QuantizeLinear") || node.isStandard("DynamicQuantizeLinear") }
        guard nodes.contains(where: { quantizes($0) && initializers[$0.inputs.first ?? ""] != nil }) else { return }
        let index = GraphIndex(self)
        let listed = Set(inputs.map(\.name))
        var dropped = Set<Int>()
        for (position, node) in nodes.enumerated() where quantizes(node) {
            guard let name = node.input(0), let tensor = initializers[name], tensor.elementType == .float32, index.useCount(name) == 1, !listed.contains(name),
                node.outputs.allSatisfy({ !index.outputs.contains($0) }), let results = quantized(tensor, by: node), results.count >= node.outputs.count
            else { continue }
            let place = initializers.index(forKey: name) ?? initializers.count
            initializers[name] = nil
            constantNodes[name] = nil
            for (output, result) in zip(node.outputs, results).reversed() where !output.isEmpty {
                valueInfos[output] = nil
                initializers.updateValue(result.renamed(output), forKey: output, insertingAt: min(place, initializers.count))
            }
            dropped.insert(position)
        }
        nodes = nodes.indices.filter { !dropped.contains($0) }.map { nodes[$0] }
    }

    /// What a node makes of a tensor, an entry for each output; `nil` where that is not known.
    private func quantized(_ tensor: Tensor, by node: Node) -> [Tensor]? {
        node.opType == "QuantizeLinear" ? staticallyQuantized(tensor, by: node).map { [$0] } : dynamicallyQuantized(tensor)
    }

    /// Codes, scale and zero point over the range of the tensor and 0, in single precision (ONNX, DynamicQuantizeLinear).
    private func dynamicallyQuantized(_ tensor: Tensor) -> [Tensor]? {
        guard let values = tensor.floats(), !values.isEmpty, values.allSatisfy(\.isFinite) else { return nil }
        let (low, high) = (min(values.min() ?? 0, 0), max(values.max() ?? 0, 0))
        guard high > low, (high - low).isFinite else { return nil }
        let scale = (high - low) / 255
        guard scale >= Float.leastNormalMagnitude else { return nil }
        let zero = min(max((-low / scale).rounded(.toNearestOrEven), 0), 255)
        let codes = values.map { UInt8(min(max(($0 / scale).rounded(.toNearestOrEven) + zero, 0), 255)) }
        return [
            Tensor(name: "", uint8s: codes, dims: tensor.dims), Tensor(name: "", floats: [scale], dims: []), Tensor(name: "", uint8s: [UInt8(zero)], dims: []),
        ]
    }

    /// round(x / scale) + zero point, ties to even, within the type's range (ONNX, QuantizeLinear); `nil` where scales are not constants, or in blocks.
    private func staticallyQuantized(_ tensor: Tensor, by node: Node) -> Tensor? {
        guard node.int("block_size") ?? 0 == 0, node.int("output_dtype") ?? 0 == 0, node.int("precision") ?? 0 == 0,
            let scaleName = node.input(1), let scaleTensor = initializers[scaleName], scaleTensor.elementType == .float32, let scales = scaleTensor.floats(),
            let values = tensor.floats(), values.allSatisfy(\.isFinite), scales.allSatisfy({ $0 > 0 && $0.isFinite })
        else { return nil }
        let zeroTensor = node.input(2).map { initializers[$0] }
        if let zeroTensor, zeroTensor == nil { return nil }
        let isSigned: Bool
        switch zeroTensor??.elementType {
        case nil, .uint8: isSigned = false
        case .int8: isSigned = true
        default: return nil
        }
        let zeros = zeroTensor??.integers() ?? [Int](repeating: 0, count: scales.count)
        guard zeros.count == scales.count else { return nil }
        var inner = max(tensor.count, 1)
        if scales.count > 1 {
            let axis = node.int("axis") ?? 1
            let place = axis < 0 ? axis + tensor.dims.count : axis
            guard tensor.dims.indices.contains(place), tensor.dims[place] == scales.count else { return nil }
            inner = tensor.dims[(place + 1)...].reduce(1, *)
        }
        let (low, high): (Float, Float) = isSigned ? (-128, 127) : (0, 255)
        var bytes = [UInt8](repeating: 0, count: values.count)
        for (offset, value) in values.enumerated() {
            let channel = offset / inner % scales.count
            let code = min(max((value / scales[channel]).rounded(.toNearestOrEven) + Float(zeros[channel]), low), high)
            bytes[offset] = isSigned ? UInt8(bitPattern: Int8(code)) : UInt8(code)
        }
        return isSigned
            ? Tensor(name: tensor.name, int8s: bytes.map { Int8(bitPattern: $0) }, dims: tensor.dims) : Tensor(name: tensor.name, uint8s: bytes, dims: tensor.dims)
    }
}
