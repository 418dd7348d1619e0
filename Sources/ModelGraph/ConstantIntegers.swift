/// Dimensions and axes computed from one another, as far as the shapes of weights need it: scalars and lists of at most a thousand integers.
extension ConstantValue {
    /// What a node makes of integers; `nil` where that is not known for certain.
    static func integers(_ node: Node, _ operands: [ConstantValue?]) -> ConstantValue? {
        guard let first = operands.first ?? nil, let values = numbers(first), let dims = Optional(first.tensor.dims) else { return nil }
        let type = first.tensor.elementType
        func other(_ position: Int) -> [Int]? { operands.indices.contains(position) ? operands[position].flatMap(numbers) : nil }
        func made(_ result: [Int], _ dims: [Int]) -> ConstantValue {
            ConstantValue(
                tensor: type == .int64
                    ? Tensor(name: "", int64s: result.map { Int64($0) }, dims: dims) : Tensor(name: "", int32s: result.map { Int32(truncatingIfNeeded: $0) }, dims: dims))
        }
        switch node.opType {
        case "Identity": return first
        case "Cast":
            switch node.int("to").flatMap({ ElementType(rawValue: Int32(clamping: $0)) }) {
            case .int64: return ConstantValue(tensor: Tensor(name: "", int64s: values.map { Int64($0) }, dims: dims))
            case .float32: return ConstantValue(tensor: Tensor(name: "", floats: values.map { Float($0) }, dims: dims))
            default: return nil
            }
        case "Squeeze" where values.count == 1: return made(values, [])
        case "Unsqueeze" where dims.isEmpty && (other(1) ?? node.ints("axes") ?? []).count == 1: return made(values, [1])
        case "Reshape", "Flatten": return node.opType == "Reshape" && other(1) == [-1] ? made(values, [values.count]) : nil
        case "Gather":
            guard dims.count == 1, node.int("axis") ?? 0 == 0, let places = other(1), let shape = operands[1]?.tensor.dims else { return nil }
            let chosen = places.map { $0 < 0 ? $0 + values.count : $0 }
            return chosen.allSatisfy(values.indices.contains) ? made(chosen.map { values[$0] }, shape) : nil
        case "Concat":
            let parts = operands.map { $0.flatMap(numbers) }
            guard parts.allSatisfy({ $0 != nil }), operands.allSatisfy({ $0?.tensor.dims.count == 1 && $0?.tensor.elementType == type }) else { return nil }
            let joined = parts.flatMap { $0 ?? [] }
            return made(joined, [joined.count])
        case "Slice":
            guard dims.count == 1, let start = (node.ints("starts") ?? other(1))?.first, let end = (node.ints("ends") ?? other(2))?.first,
                node.input(4) == nil || other(4) == [1]
            else { return nil }
            func bound(_ value: Int) -> Int { min(max(value < 0 ? value + values.count : value, 0), values.count) }
            let part = bound(start) < bound(end) ? Array(values[bound(start)..<bound(end)]) : []
            return made(part, [part.count])
        case "ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin":
            // Over everything: lists have one axis.
            guard dims.count <= 1, !values.isEmpty, node.input(1) == nil || other(1) == [0] || other(1) == [-1], node.int("noop_with_empty_axes") ?? 0 == 0 else { return nil }
            var total = values[0]
            for value in values.dropFirst() {
                switch node.opType {
                case "ReduceProd":
                    let (product, overflow) = total.multipliedReportingOverflow(by: value)
                    guard !overflow else { return nil }
                    total = product
                case "ReduceSum":
                    let (sum, overflow) = total.addingReportingOverflow(value)
                    guard !overflow else { return nil }
                    total = sum
                case "ReduceMax": total = max(total, value)
                default: total = min(total, value)
                }
            }
            return made([total], node.int("keepdims") ?? 1 != 0 ? dims.map { _ in 1 } : [])
        case "Add", "Sub", "Mul", "Div":
            guard let second = other(1), let shape = operands[1]?.tensor.dims, second.count == values.count || second.count == 1 || values.count == 1 else { return nil }
            var results: [Int] = []
            for place in 0..<max(values.count, second.count) {
                let (a, b) = (values[values.count == 1 ? 0 : place], second[second.count == 1 ? 0 : place])
                let (result, overflow) =
                    switch node.opType {
                    case "Add": a.addingReportingOverflow(b)
                    case "Sub": a.subtractingReportingOverflow(b)
                    case "Mul": a.multipliedReportingOverflow(by: b)
                    // Towards zero, as C divides.
                    default: a.dividedReportingOverflow(by: b)
                    }
                guard !overflow else { return nil }
                results.append(result)
            }
            return made(results, dims.count >= shape.count ? (values.count >= second.count ? dims : shape) : shape)
        default: return nil
        }
    }

    /// The numbers of a scalar or short list of integers.
    private static func numbers(_ value: ConstantValue) -> [Int]? {
        guard value.decoding == .none, [.int64, .int32].contains(value.tensor.elementType), value.tensor.dims.count <= 1, value.tensor.count <= 1024 else { return nil }
        return value.tensor.integers()
    }
}
