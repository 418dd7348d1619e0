/// Quantising tools for training leave weights as floats behind QuantizeLinear and DequantizeLinear. ONNX Runtime evaluates the first while
/// loading; evaluated here, the file holds the integers the layer computes with, and the layer is seen as quantised.

extension Graph {
    /// Evaluates QuantizeLinear of floating-point initializers that nothing else reads, behind which only DequantizeLinear stands, in this
    /// graph. Scales for a tensor or an axis, to int8 or uint8.
    mutating func foldQuantizedWeights() {
        guard nodes.contains(where: { $0.isStandard("QuantizeLinear") && initializers[$0.inputs.first ?? ""] != nil }) else { return }
        let index = GraphIndex(self)
        let listed = Set(inputs.map(\.name))
        var dropped = Set<Int>()
        for (position, node) in nodes.enumerated() where node.isStandard("QuantizeLinear") && node.outputs.count == 1 {
            guard let name = node.input(0), let tensor = initializers[name], tensor.elementType == .float32, index.useCount(name) == 1, !listed.contains(name),
                !index.outputs.contains(node.outputs[0]), let readers = index.consumers[node.outputs[0]],
                readers.allSatisfy({ nodes[$0].isStandard("DequantizeLinear") && nodes[$0].input(0) == node.outputs[0] }),
                let codes = quantized(tensor, by: node)
            else { continue }
            let place = initializers.index(forKey: name) ?? initializers.count
            initializers[name] = nil
            constantNodes[name] = nil
            valueInfos[node.outputs[0]] = nil
            initializers.updateValue(codes.renamed(node.outputs[0]), forKey: node.outputs[0], insertingAt: min(place, initializers.count))
            dropped.insert(position)
        }
        nodes = nodes.indices.filter { !dropped.contains($0) }.map { nodes[$0] }
    }

    /// round(x / scale) + zero point, ties to even, within the type's range (ONNX, QuantizeLinear); `nil` where scales are not constants, or in blocks.
    private func quantized(_ tensor: Tensor, by node: Node) -> Tensor? {
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
