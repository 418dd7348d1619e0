import Foundation

/// A constant that nodes compute from initializers, as far as weights need it.
struct ConstantValue {
    var tensor: Tensor
    var decoding: Decoding = .none

    /// How a tensor that is stored in fewer bits becomes the numbers that are read.
    enum Decoding: Equatable {
        case none
        case cast(ElementType)
        /// By the DequantizeLinear node of that number, whose scales lie along an axis if there are several.
        case dequantized(node: Int, axis: Int?)
    }

    /// Operators that `evaluate` knows.
    static let operators: Set<String> = [
        "Identity", "Cast", "DequantizeLinear", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Split", "Concat", "Slice", "Gather",
        "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Neg", "Abs", "Exp", "Reciprocal", "MatMul",
        "ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMax", "ReduceMin", "ReduceProd",
    ]

    /// What a node makes of its operands; `nil` if that is not known for certain, or more than `limit` elements.
    static func evaluate(_ node: Node, number: Int, _ operands: [ConstantValue?], limit: Int) -> [ConstantValue]? {
        guard let first = operands.first ?? nil else { return nil }
        if [.int64, .int32].contains(first.tensor.elementType), node.opType != "DequantizeLinear" { return Self.integers(node, operands).map { [$0] } }
        func integers(_ position: Int) -> [Int]? { operands.indices.contains(position) ? operands[position]?.tensor.integers() : nil }
        func isGiven(_ position: Int) -> Bool { node.input(position) != nil }
        // A part of what several scales belong to has a part of the scales.
        let isFloat = first.tensor.elementType.isFloatingPoint
        switch node.opType {
        case "Identity":
            return [first]
        case "Cast":
            return node.int("to").flatMap { first.cast(to: ElementType(rawValue: Int32(clamping: $0))) }.map { [$0] }
        case "DequantizeLinear":
            guard first.decoding == .none, first.tensor.elementType.isQuantized, node.int("block_size") ?? 0 == 0, node.inputs.count > 1, let scale = operands[1]?.tensor,
                scale.elementType == .float32
            else { return nil }
            let axis = scale.count == 1 ? nil : place(node.int("axis") ?? 1, first.tensor.dims.count)
            guard scale.count == 1 || axis != nil else { return nil }
            return [ConstantValue(tensor: first.tensor, decoding: .dequantized(node: number, axis: axis))]
        case "Split":
            guard isFloat, let axis = place(node.int("axis") ?? 0, first.tensor.dims.count) else { return nil }
            let extent = first.tensor.dims[axis]
            let share = (extent + node.outputs.count - 1) / max(node.outputs.count, 1)
            let equal = (0..<node.outputs.count).map { min(share, max(extent - $0 * share, 0)) }
            guard let sizes = isGiven(1) ? integers(1) : node.ints("split") ?? equal, sizes.count == node.outputs.count, sizes.allSatisfy({ (1...extent).contains($0) }),
                sizes.reduce(0, +) == extent
            else { return nil }
            var start = 0
            var parts: [ConstantValue] = []
            for size in sizes {
                guard let part = first.tensor.part(along: axis, from: start, to: start + size) else { return nil }
                parts.append(ConstantValue(tensor: part, decoding: first.decoding))
                start += size
            }
            return parts
        case "Concat":
            let parts = operands.compactMap { $0 }
            guard isFloat, parts.count == operands.count, parts.allSatisfy({ $0.decoding == first.decoding }),
                let axis = node.int("axis").flatMap({ place($0, first.tensor.dims.count) }),
                parts.reduce(0, { $0 + $1.tensor.count }) <= limit
            else { return nil }
            return Tensor.joined(parts.map(\.tensor), along: axis).map { [ConstantValue(tensor: $0, decoding: first.decoding)] }
        case "Slice":
            // Before operator set 10 all were attributes.
            guard isFloat, let starts = node.ints("starts") ?? integers(1), let ends = node.ints("ends") ?? integers(2), starts.count == ends.count,
                !isGiven(4) || integers(4)?.allSatisfy({ $0 == 1 }) == true,
                let axes = isGiven(3) ? integers(3) : node.ints("axes") ?? Array(starts.indices), axes.count == starts.count
            else { return nil }
            var result = first.tensor
            for (axis, (start, end)) in zip(axes, zip(starts, ends)) {
                guard let axis = place(axis, result.dims.count), let part = result.part(along: axis, from: start, to: end) else { return nil }
                result = part
            }
            return [ConstantValue(tensor: result, decoding: first.decoding)]
        case "Gather":
            guard isFloat, let axis = place(node.int("axis") ?? 0, first.tensor.dims.count), let second = operands.count > 1 ? operands[1] : nil, second.tensor.dims.count <= 1,
                let chosen = second.tensor.integers(), !chosen.isEmpty, chosen.count <= limit / max(first.tensor.count / max(first.tensor.dims[axis], 1), 1)
            else { return nil }
            var parts: [Tensor] = []
            for number in chosen {
                let extent = first.tensor.dims[axis]
                let index = number < 0 ? number + extent : number
                guard (0..<extent).contains(index), let part = first.tensor.part(along: axis, from: index, to: index + 1) else { return nil }
                parts.append(part)
            }
            guard var result = parts.count == 1 ? parts[0] : Tensor.joined(parts, along: axis) else { return nil }
            if second.tensor.dims.isEmpty {
                var dims = result.dims
                dims.remove(at: axis)
                guard let reshaped = try? result.reshaped(dims) else { return nil }
                result = reshaped
            }
            return [ConstantValue(tensor: result, decoding: first.decoding)]
        case _ where WeightLayout.operators.contains(node.opType):
            guard isFloat || first.decoding != .none, !isGiven(1) || integers(1) != nil else { return nil }
            let layout = WeightLayout(node, of: first.tensor, constants: { name in node.input(1) == name ? integers(1) : nil })
            guard let layout, let decoding = first.decoding.behind(layout) else { return nil }
            return layout.arranged(first.tensor).map { [ConstantValue(tensor: $0, decoding: decoding)] }
        default:
            return arithmetic(node, operands, integers, limit: limit).map { [ConstantValue(tensor: $0)] }
        }
    }

    private static func place(_ axis: Int, _ rank: Int) -> Int? {
        guard (-rank..<rank).contains(axis) else { return nil }
        return axis < 0 ? axis + rank : axis
    }

    private func cast(to type: ElementType) -> ConstantValue? {
        guard tensor.elementType.isFloatingPoint, type.isFloatingPoint else { return nil }
        if case .cast(let present) = decoding { return type == present ? self : nil }
        guard decoding == .none else { return nil }
        if type == tensor.elementType { return self }
        if type == .float32, tensor.elementType == .float64 {
            return tensor.floats().map { ConstantValue(tensor: Tensor(name: tensor.name, floats: $0, dims: tensor.dims)) }
        }
        // Wider: the stored numbers say everything.
        return type == .float32 ? ConstantValue(tensor: tensor, decoding: .cast(type)) : nil
    }

    /// The numbers, where the graph computes with them in float32.
    private var floats: [Float]? {
        switch decoding {
        case .none: tensor.elementType == .float32 ? tensor.floats() : nil
        case .cast(let type): type == .float32 ? tensor.floats() : nil
        case .dequantized: nil
        }
    }

    private static func arithmetic(_ node: Node, _ operands: [ConstantValue?], _ integers: (Int) -> [Int]?, limit: Int) -> Tensor? {
        guard let first = operands[0], let values = first.floats else { return nil }
        let dims = first.tensor.dims
        func each(_ function: (Float) -> Float) -> Tensor { Tensor(name: "", floats: values.map(function), dims: dims) }
        switch node.opType {
        case "Sqrt": return each { $0.squareRoot() }
        case "Neg": return each { -$0 }
        case "Abs": return each { abs($0) }
        case "Exp": return each { Float(exp(Double($0))) }
        case "Reciprocal": return each { 1 / $0 }
        default: break
        }
        if node.opType.hasPrefix("Reduce") {
            let given = node.ints("axes") ?? integers(1) ?? []
            guard node.input(1) == nil || integers(1) != nil else { return nil }
            if given.isEmpty, node.int("noop_with_empty_axes") == 1 { return nil }
            let axes = given.isEmpty ? Array(dims.indices) : given.compactMap { place($0, dims.count) }
            guard axes.count == (given.isEmpty ? dims.count : given.count), Set(axes).count == axes.count, !values.isEmpty else { return nil }
            return reduced(values, dims, Set(axes), keeps: node.int("keepdims") ?? 1 != 0, node.opType)
        }
        guard let second = operands.count > 1 ? operands[1] : nil, let others = second.floats else { return nil }
        switch node.opType {
        case "Add": return broadcast(values, dims, others, second.tensor.dims, limit, +)
        case "Sub": return broadcast(values, dims, others, second.tensor.dims, limit, -)
        case "Mul": return broadcast(values, dims, others, second.tensor.dims, limit, *)
        case "Div": return broadcast(values, dims, others, second.tensor.dims, limit, /)
        case "Pow": return broadcast(values, dims, others, second.tensor.dims, limit) { $1 == 2 ? $0 * $0 : Float(pow(Double($0), Double($1))) }
        case "MatMul": return product(values, dims, others, second.tensor.dims, limit)
        default: return nil
        }
    }
}

extension ConstantValue.Decoding {
    /// The same decoding of a tensor in another layout; `nil` where several scales do not go with it.
    fileprivate func behind(_ layout: WeightLayout) -> Self? {
        guard case .dequantized(let node, let axis?) = self else { return self }
        guard case .order(let order) = layout, let place = order.firstIndex(of: axis) else { return nil }
        return .dequantized(node: node, axis: place)
    }
}

// MARK: - Arithmetic

extension ConstantValue {
    /// Element by element with ONNX's broadcasting; `nil` for shapes that do not fit each other.
    private static func broadcast(_ a: [Float], _ aDims: [Int], _ b: [Float], _ bDims: [Int], _ limit: Int, _ function: (Float, Float) -> Float) -> Tensor? {
        if aDims == bDims { return Tensor(name: "", floats: zip(a, b).map(function), dims: aDims) }
        let rank = max(aDims.count, bDims.count)
        let left = [Int](repeating: 1, count: rank - aDims.count) + aDims
        let right = [Int](repeating: 1, count: rank - bDims.count) + bDims
        guard zip(left, right).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }) else { return nil }
        let dims = zip(left, right).map { $0 == 1 ? $1 : $0 }
        guard let count = Tensor.elementCount(dims), count <= limit else { return nil }
        func steps(_ own: [Int]) -> [Int] {
            var steps = [Int](repeating: 0, count: rank)
            var step = 1
            for axis in (0..<rank).reversed() {
                steps[axis] = own[axis] == 1 ? 0 : step
                step *= own[axis]
            }
            return steps
        }
        let (aSteps, bSteps) = (steps(left), steps(right))
        var position = [Int](repeating: 0, count: rank)
        var (i, j) = (0, 0)
        var out: [Float] = []
        out.reserveCapacity(count)
        let (inner, aStep, bStep) = (dims[rank - 1], aSteps[rank - 1], bSteps[rank - 1])
        while out.count < count {
            for k in 0..<inner { out.append(function(a[i + k * aStep], b[j + k * bStep])) }
            for axis in (0..<(rank - 1)).reversed() {
                position[axis] += 1
                i += aSteps[axis]
                j += bSteps[axis]
                if position[axis] < dims[axis] { break }
                i -= dims[axis] * aSteps[axis]
                j -= dims[axis] * bSteps[axis]
                position[axis] = 0
            }
        }
        return Tensor(name: "", floats: out, dims: dims)
    }

    /// Sums and their like over axes, accumulated in double precision.
    private static func reduced(_ values: [Float], _ dims: [Int], _ axes: Set<Int>, keeps: Bool, _ type: String) -> Tensor? {
        var steps = [Int](repeating: 0, count: dims.count)
        var count = 1
        for axis in dims.indices.reversed() where !axes.contains(axis) {
            steps[axis] = count
            count *= dims[axis]
        }
        var sums = [Double](repeating: type == "ReduceMax" ? -.infinity : type == "ReduceMin" ? .infinity : type == "ReduceProd" ? 1 : 0, count: count)
        var position = [Int](repeating: 0, count: dims.count)
        var place = 0
        for value in values {
            let value = Double(value)
            switch type {
            case "ReduceL1": sums[place] += abs(value)
            case "ReduceProd": sums[place] *= value
            case "ReduceL2", "ReduceSumSquare": sums[place] += value * value
            case "ReduceMax": sums[place] = max(sums[place], value)
            case "ReduceMin": sums[place] = min(sums[place], value)
            default: sums[place] += value
            }
            for axis in dims.indices.reversed() {
                position[axis] += 1
                place += steps[axis]
                if position[axis] < dims[axis] { break }
                place -= dims[axis] * steps[axis]
                position[axis] = 0
            }
        }
        let share = Double(count) / Double(values.count)
        let results = sums.map { sum in
            switch type {
            case "ReduceL2": Float(sum.squareRoot())
            case "ReduceMean": Float(sum * share)
            default: Float(sum)
            }
        }
        let extents = dims.indices.compactMap { axes.contains($0) ? (keeps ? 1 : nil) : dims[$0] }
        return Tensor(name: "", floats: results, dims: extents)
    }

    /// A product of two matrices, or of a matrix and a vector.
    private static func product(_ a: [Float], _ aDims: [Int], _ b: [Float], _ bDims: [Int], _ limit: Int) -> Tensor? {
        guard (1...2).contains(aDims.count), (1...2).contains(bDims.count), let inner = aDims.last, inner == bDims[0] else { return nil }
        let (rows, columns) = (aDims.count == 2 ? aDims[0] : 1, bDims.count == 2 ? bDims[1] : 1)
        guard let work = Tensor.elementCount([rows, inner, columns]), work <= 1 << 30, rows * columns <= limit else { return nil }
        var out = [Float](repeating: 0, count: rows * columns)
        var sums = [Double](repeating: 0, count: columns)
        for row in 0..<rows {
            for column in 0..<columns { sums[column] = 0 }
            for k in 0..<inner {
                let factor = Double(a[row * inner + k])
                for column in 0..<columns { sums[column] += factor * Double(b[k * columns + column]) }
            }
            for column in 0..<columns { out[row * columns + column] = Float(sums[column]) }
        }
        return Tensor(name: "", floats: out, dims: (aDims.count == 2 ? [rows] : []) + (bDims.count == 2 ? [columns] : []))
    }
}
