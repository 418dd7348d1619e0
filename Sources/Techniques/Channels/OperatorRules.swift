import ModelGraph

// Which rule an operator has.
extension ChannelTracer {
    /// One input, one output of the same shape, each element on its own.
    private static let pointwise: Set<String> = [
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Dropout",
        "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg",
        "Not", "QuickGelu", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign",
        "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
    ]
    /// Any number of inputs, broadcast against each other, each element on its own.
    private static let broadcasting: Set<String> = [
        "Add", "And", "BiasGelu", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "FastGelu", "Greater", "GreaterOrEqual", "Less",
        "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
    ]
    private static let pooling: Set<String> = ["AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"]
    /// Inputs that are shapes and that the operator's rule keeps right.
    private static let shapeInputs = ["Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Resize": 3]

    /// Follows channels through one node.
    func trace(_ site: Site) {
        let node = site.node
        guard ["", "ai.onnx", "com.microsoft"].contains(node.domain), node.subgraphs.isEmpty else { return opaque(site) }
        if traceShapeArithmetic(site) { return }
        freezeExtents(site, except: Self.shapeInputs[node.opType])
        switch node.opType {
        case let type where Self.pointwise.contains(type): tracePointwise(site)
        case let type where Self.broadcasting.contains(type): traceBroadcast(site)
        case let type where Self.pooling.contains(type): tracePooling(site)
        case let type where type.hasPrefix("Reduce"): traceReduction(site)
        case "Conv": traceConv(site)
        case "ConvTranspose": traceConvTranspose(site)
        case "Gemm": traceGemm(site)
        case "MatMul": traceMatMul(site)
        case "LSTM": traceRecurrent(site, gates: 4)
        case "GRU": traceRecurrent(site, gates: 3)
        case "RNN": traceRecurrent(site, gates: 1)
        case "Gather": traceGather(site)
        case "BatchNormalization", "InstanceNormalization": tracePerChannel(site)
        case "LayerNormalization", "RMSNormalization": traceNormalization(site)
        case "Softmax", "LogSoftmax", "Hardmax": traceSoftmax(site)
        case "LpNormalization": traceMixing(site, dimensions: [node.int("axis") ?? -1])
        case "MeanVarianceNormalization": traceMixing(site, dimensions: node.ints("axes") ?? [0, 2, 3])
        case "QuantizeLinear", "DequantizeLinear": traceQuantization(site)
        case "Flatten": traceFlatten(site)
        case "Reshape": traceReshape(site)
        case "Transpose": traceTranspose(site)
        case "Concat": traceConcat(site)
        case "Split": traceSplit(site)
        case "Slice": traceSlice(site)
        case "Squeeze": traceSqueeze(site)
        case "Unsqueeze": traceUnsqueeze(site)
        case "Expand": traceExpand(site)
        case "Tile": traceTile(site)
        case "Pad": tracePad(site)
        case "Resize", "Upsample": traceResize(site)
        case "DepthToSpace": traceDepthToSpace(site)
        case "SpaceToDepth": traceSpaceToDepth(site)
        case "ConstantOfShape": traceConstantOfShape(site)
        default: opaque(site)
        }
    }

    /// A dimension counted from the end; `nil` if that needs a rank that is not known.
    func fromEnd(_ dimension: Int, rank: Int?) -> Int? {
        guard let rank else { return dimension < 0 ? dimension : nil }
        let place = dimension < 0 ? dimension : dimension - rank
        return (-rank..<0).contains(place) ? place : nil
    }

    // MARK: Elementwise

    private func tracePointwise(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        // Bounds of Clip and the ratio of Dropout are scalars.
        for index in site.node.inputs.indices.dropFirst() { freeze(operand(site, index)?.axes, because: "\(site.title) has bounds per channel") }
        for index in site.node.outputs.indices {
            setOutput(site, index, axes: x.axes, rank: x.rank)
            extents[site.node.outputs[index]] = extents[x.name]
        }
    }

    private func traceBroadcast(_ site: Site) {
        let operands = site.node.inputs.indices.compactMap { operand(site, $0) }
        let ranks = operands.map(\.rank)
        let rank = ranks.contains { $0 == nil } ? nil : ranks.compactMap { $0 }.max()
        setOutput(site, axes: broadcast(operands, site), rank: rank)
    }

    /// Axes of operands broadcast against each other. An operand that has the dimension in full but cannot change
    /// freezes the others.
    func broadcast(_ operands: [Operand], _ site: Site, dimensions: (Int) -> Bool = { _ in true }) -> [Int: Int] {
        var result: [Int: Int] = [:]
        for dimension in Set(operands.flatMap { $0.axes.keys }).filter(dimensions).sorted(by: >) {
            let with = operands.compactMap { $0.axes[dimension] }
            guard let first = with.first else { continue }
            for other in with.dropFirst() { tie(first, other, site) }
            for other in operands where other.axes[dimension] == nil {
                if let rank = other.rank, -dimension > rank { continue }
                let extent = extent(other.name, dimension)
                if extent == 1 { continue }
                freeze(axis: first, because: "\(site.title) joins it to '\(other.name)', which \(extent == nil ? "may have" : "has") its own channels there")
            }
            result[dimension] = first
        }
        return result
    }

    private func tracePooling(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard !x.axes.isEmpty else { return setOutput(site, axes: [:], rank: x.rank) }
        guard let rank = x.rank else { return opaque(site) }
        var axes = x.axes
        for (dimension, axis) in x.axes where dimension != 1 - rank {
            freeze(axis: axis, because: "\(site.title) pools over it")
            axes[dimension] = nil
        }
        if let indices = site.node.outputs.dropFirst().first, !indices.isEmpty { return opaque(site, because: "\(site.title) returns positions of maxima") }
        setOutput(site, axes: axes, rank: rank)
        if site.node.opType.hasPrefix("Global"), rank > 2 {
            extents[site.node.outputs[0]] = Dictionary(uniqueKeysWithValues: (1...(rank - 2)).map { (-$0, 1) })
        }
    }

    // MARK: Normalization and reduction

    /// One parameter per channel, channels in dimension 1.
    private func tracePerChannel(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        guard let rank = x.rank ?? (x.axes.isEmpty ? 0 : nil) else { return opaque(site) }
        if let axis = x.axes[1 - rank] {
            for index in 1..<max(site.node.inputs.count, 1) {
                if let parameter = operand(site, index) { connect(axis, parameter.axes[-1], site) }
            }
        }
        var axes = x.axes
        if site.node.opType == "InstanceNormalization" {
            for (dimension, axis) in x.axes where dimension > 1 - rank {
                freeze(axis: axis, because: "\(site.title) averages over it")
                axes[dimension] = nil
            }
        }
        if site.node.outputs.dropFirst().contains(where: { !$0.isEmpty }) { return opaque(site, because: "\(site.title) is in training mode") }
        setOutput(site, axes: axes, rank: x.rank)
    }

    /// Statistics over the last dimensions, from `axis` on.
    private func traceNormalization(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let axis = site.node.int("axis") ?? -1
        guard let first = fromEnd(axis, rank: x.rank) ?? (x.axes.isEmpty ? -1 : nil) else { return opaque(site) }
        traceMixing(site, dimensions: Array(first...(-1)))
        if site.node.outputs.dropFirst().contains(where: { !$0.isEmpty }) { opaque(site) }
    }

    private func traceSoftmax(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        if model.opset >= 13 { return traceMixing(site, dimensions: [site.node.int("axis") ?? -1]) }
        // Before opset 13 the input was flattened to two dimensions at the axis.
        guard let first = fromEnd(site.node.int("axis") ?? 1, rank: x.rank) ?? (x.axes.isEmpty ? -1 : nil) else { return opaque(site) }
        traceMixing(site, dimensions: Array(first...(-1)))
    }

    /// Output shaped like the input; elements along `dimensions` depend on each other.
    private func traceMixing(_ site: Site, dimensions: [Int]) {
        guard let x = operand(site, 0) else { return opaque(site) }
        var axes = x.axes
        for dimension in dimensions where !x.axes.isEmpty {
            guard let dimension = fromEnd(dimension, rank: x.rank) else { return opaque(site) }
            freeze(axis: axes[dimension], because: "\(site.title) mixes its outputs: without one, all others would change")
            axes[dimension] = nil
        }
        setOutput(site, axes: axes, rank: x.rank)
        extents[site.node.outputs[0]] = extents[x.name]
    }

    private func traceReduction(_ site: Site) {
        guard let x = operand(site, 0) else { return opaque(site) }
        let keeps = site.node.int("keepdims") != 0
        var listed = site.node.ints("axes")
        if site.node.input(1) != nil {
            guard let constant = constants(site, 1) else { return opaque(site) }
            listed = constant
        }
        if (listed ?? []).isEmpty {
            guard site.node.int("noop_with_empty_axes") != 1 else { return setOutput(site, axes: x.axes, rank: x.rank) }
            opaque(site, because: "\(site.title) reduces over it")
            return setOutput(site, axes: [:], rank: keeps ? x.rank : 0)
        }
        let reduced = (listed ?? []).compactMap { fromEnd($0, rank: x.rank) }
        guard reduced.count == listed?.count else { return opaque(site) }
        for dimension in reduced { freeze(axis: x.axes[dimension], because: "\(site.title) reduces over it") }
        var axes: [Int: Int] = [:]
        for (dimension, axis) in x.axes where !reduced.contains(dimension) {
            axes[keeps ? dimension : dimension + reduced.count { $0 > dimension }] = axis
        }
        setOutput(site, axes: axes, rank: x.rank.map { keeps ? $0 : $0 - reduced.count })
        if keeps { extents[site.node.outputs[0]] = Dictionary(reduced.map { ($0, 1) }, uniquingKeysWith: { $1 }) }
    }

    /// Scales and zero points per tensor or per channel of one dimension.
    private func traceQuantization(_ site: Site) {
        guard let x = operand(site, 0), let scale = operand(site, 1) else { return opaque(site) }
        if scale.rank ?? 0 > 1 { return opaque(site) }
        if let channel = scale.axes[-1] {
            guard let dimension = fromEnd(site.node.int("axis") ?? 1, rank: x.rank) else { return opaque(site) }
            connect(x.axes[dimension], channel, site)
            if let zero = operand(site, 2) { connect(x.axes[dimension], zero.axes[-1], site) }
        }
        setOutput(site, axes: x.axes, rank: x.rank)
    }
}
