import ModelGraph

/// One element of an integer vector that says a shape.
enum ShapeElement {
    case known(Int)
    /// The extent of a dimension that never changes (counted from the end).
    case dimension(value: String, Int)
    /// The extent of an axis: follows by itself when channels go.
    case extent(axis: Int)
    /// A multiple of the extent of an axis by something that never changes.
    case multiple(axis: Int)
    /// Something that does not depend on channels.
    case free

    var axis: Int? {
        switch self {
        case .extent(let axis), .multiple(let axis): axis
        default: nil
        }
    }
}

// Shapes computed in the graph: Shape, then Gather, Concat and arithmetic, as exporters write them.
extension ChannelTracer {
    /// The elements of an integer vector or scalar, if they are followed.
    func vector(_ site: Site, _ index: Int) -> [ShapeElement]? {
        guard let name = site.node.input(index) else { return nil }
        if let known = vectors[name] { return known }
        guard values[name] == nil, let tensor = model.initializer(name, from: path)?.tensor, tensor.dims.count <= 1, tensor.count <= 64,
            tensor.elementType == .int64 || tensor.elementType == .int32
        else { return nil }
        return tensor.integers()?.map { .known($0) }
    }

    private static let arithmetic: Set<String> = [
        "Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Cast", "Identity", "Reshape", "Add", "Sub", "Mul", "Div",
    ]

    /// Follows a node whose inputs are all shape vectors; `false` if it is none.
    func traceShapeArithmetic(_ site: Site) -> Bool {
        if site.node.opType == "Shape" { return traceShape(site) }
        guard Self.arithmetic.contains(site.node.opType), site.node.input(0).map({ vectors[$0] != nil }) ?? false || concatenatesVectors(site)
        else { return false }
        guard let result = shapeResult(site) else { return false }
        vectors[site.node.outputs[0]] = result
        if site.node.opType != "Cast" { ranks[site.node.outputs[0]] = rankOfShapeResult(site) }
        return true
    }

    /// Arithmetic may have its constant first, and a Concat any mixture.
    private func concatenatesVectors(_ site: Site) -> Bool {
        guard ["Concat", "Add", "Mul"].contains(site.node.opType), site.node.inputs.indices.allSatisfy({ vector(site, $0) != nil }) else { return false }
        return site.node.opType == "Concat" || site.node.inputs.contains { vectors[$0] != nil }
    }

    private func rankOfShapeResult(_ site: Site) -> Int? {
        switch site.node.opType {
        case "Concat", "Slice": 1
        case "Gather": site.node.input(1).flatMap { rank($0) }
        case "Unsqueeze": 1
        case "Squeeze": 0
        case "Reshape": site.node.input(1).flatMap { extent($0, -1) }
        case "Add", "Sub", "Mul", "Div": site.node.inputs.compactMap { rank($0) }.max()
        default: site.node.input(0).flatMap { rank($0) }
        }
    }

    private func traceShape(_ site: Site) -> Bool {
        guard let x = operand(site, 0), let rank = x.rank else {
            if let x = operand(site, 0) { freeze(x.axes, because: "\(site.title) reads its shape, whose rank is not known") }
            return true
        }
        func bound(_ name: String, _ missing: Int) -> Int {
            guard let value = site.node.int(name) else { return missing }
            return min(max(value < 0 ? value + rank : value, 0), rank)
        }
        let (start, end) = (bound("start", 0), bound("end", rank))
        vectors[site.node.outputs[0]] = (start..<max(start, end)).map { position in
            let dimension = position - rank
            if let axis = x.axes[dimension] { return .extent(axis: axis) }
            if x.isInitializer, let extent = extent(x.name, dimension) { return .known(extent) }
            return .dimension(value: x.name, dimension)
        }
        ranks[site.node.outputs[0]] = 1
        return true
    }

    private func shapeResult(_ site: Site) -> [ShapeElement]? {
        guard let first = vector(site, 0) else { return nil }
        let node = site.node
        switch node.opType {
        case "Gather":
            guard let indices = constants(site, 1), node.int("axis") ?? 0 == 0 else { return nil }
            let positions = indices.map { $0 < 0 ? $0 + first.count : $0 }
            guard positions.allSatisfy(first.indices.contains) else { return nil }
            return positions.map { first[$0] }
        case "Slice":
            let starts = constants(site, 1) ?? node.ints("starts")
            let ends = constants(site, 2) ?? node.ints("ends")
            guard let start = starts?.first, let end = ends?.first, (constants(site, 4) ?? [1]) == [1] else { return nil }
            func clamp(_ value: Int) -> Int { min(max(value < 0 ? value + first.count : value, 0), first.count) }
            return clamp(start) < clamp(end) ? Array(first[clamp(start)..<clamp(end)]) : []
        case "Concat":
            var joined: [ShapeElement] = []
            for index in node.inputs.indices {
                guard let part = vector(site, index) else {
                    // A part that is not followed has a length that is not known.
                    return nil
                }
                joined += part
            }
            return joined
        case "Cast":
            let type = node.int("to").map { ElementType(rawValue: Int32($0)) }
            return type == .int64 || type == .int32 ? first : nil
        case "Reshape":
            guard let target = constants(site, 1), target == [-1] || target == [first.count] || (target.isEmpty && first.count == 1) else { return nil }
            return first
        case "Unsqueeze", "Squeeze":
            return first.count == 1 ? first : nil
        case "Identity":
            return first
        default:
            guard let second = vector(site, 1) else { return nil }
            let count = max(first.count, second.count)
            guard first.count == count || first.count == 1, second.count == count || second.count == 1 else { return nil }
            var result: [ShapeElement] = []
            for index in 0..<count {
                guard let element = Self.combine(node.opType, first[first.count == 1 ? 0 : index], second[second.count == 1 ? 0 : index]) else { return nil }
                result.append(element)
            }
            return result
        }
    }

    /// `nil` where an axis would enter a computation that does not keep it in proportion.
    private static func combine(_ op: String, _ a: ShapeElement, _ b: ShapeElement) -> ShapeElement? {
        switch (op, a, b) {
        case ("Add", .known(let x), .known(let y)): return .known(x + y)
        case ("Sub", .known(let x), .known(let y)): return .known(x - y)
        case ("Mul", .known(let x), .known(let y)): return .known(x * y)
        case ("Div", .known(let x), .known(let y)) where y > 0 && x >= 0: return .known(x / y)
        case ("Add", .known(0), let other), ("Add", let other, .known(0)), ("Sub", let other, .known(0)): return other
        case ("Mul", .known(1), let other), ("Mul", let other, .known(1)), ("Div", let other, .known(1)): return other
        default: break
        }
        switch (a.axis, b.axis) {
        case (nil, nil): return .free
        case (let axis?, nil) where op == "Mul", (nil, let axis?) where op == "Mul": return .multiple(axis: axis)
        default: return nil
        }
    }

    /// Freezes axes whose extent a node reads where no rule says what that does.
    func freezeExtents(_ site: Site, except handled: Int?) {
        for index in site.node.inputs.indices where index != handled {
            guard let name = site.node.input(index), let elements = vectors[name] else { continue }
            for element in elements { freeze(axis: element.axis, because: "\(site.title) depends on the number of its outputs") }
        }
    }
}
