import ModelGraph
import OrderedCollections

/// Emits the nodes of a training graph, and knows the shape of every value it has seen.
///
/// All shapes are fixed: a training graph is made for one batch size, so gradient rules never need to compute shapes at run
/// time. What an operator looks like in the model's operator set version is settled here and nowhere else.
public struct GradientBuilder: Sendable {
    /// Version of the standard operator set that nodes are emitted for.
    public let opset: Int
    /// Forward nodes first, then what rules emitted, in an order in which they can run.
    public internal(set) var nodes: [Node]
    public internal(set) var constants: OrderedDictionary<String, Tensor>
    /// Dimensions of values by name.
    public internal(set) var shapes: [String: [Int]]
    /// Values of small integer tensors that are the same in every run: axes, shapes, indices.
    private var integers: [String: [Int]]
    private var names: NameSupply
    /// Names made of each base, so that the search for the next one need not start from the first.
    private var made: [String: Int] = [:]
    /// Values that depend on something trained.
    public internal(set) var active: Set<String> = []
    private var known: [String: String] = [:]

    /// - Parameters:
    ///   - forward: the model in normal form, its inputs of fixed shape.
    ///   - shapes: dimensions of every value of the main graph at those inputs.
    ///   - integers: contents of integer values that depend on shapes alone, where a rule may need them.
    public init(_ forward: Model, shapes: [String: [Int]], integers: [String: [Int]] = [:]) {
        opset = forward.opset
        nodes = forward.graph.nodes
        constants = forward.graph.initializers
        self.shapes = shapes
        self.integers = integers
        names = NameSupply(forward.graph)
        for tensor in constants.values { self.shapes[tensor.name] = tensor.dims }
        for input in forward.graph.inputs {
            guard let dims = input.shape, self.shapes[input.name] == nil else { continue }
            let fixed = dims.compactMap(\.fixedValue)
            if fixed.count == dims.count { self.shapes[input.name] = fixed }
        }
    }

    // MARK: What is known

    /// - Throws: `DifferentiationError` if the value's shape is not known.
    public func shape(_ value: String) throws(DifferentiationError) -> [Int] {
        guard let shape = shapes[value] else { throw DifferentiationError("the shape of '\(value)' is not known") }
        return shape
    }

    /// Contents of a constant integer tensor; `nil` for a left-out input.
    /// - Throws: `DifferentiationError` if the value is there but not constant.
    public func integers(_ value: String?) throws(DifferentiationError) -> [Int]? {
        guard let value, !value.isEmpty else { return nil }
        if let found = integers[value] ?? constants[value]?.integers() { return found }
        throw DifferentiationError("'\(value)' is not constant")
    }

    /// Contents of a constant float tensor; `nil` for a left-out input.
    /// - Throws: `DifferentiationError` if the value is there but not constant.
    public func floats(_ value: String?) throws(DifferentiationError) -> [Float]? {
        guard let value, !value.isEmpty else { return nil }
        if let found = constants[value]?.floats() { return found }
        throw DifferentiationError("'\(value)' is not constant")
    }

    /// Whether a rule must give a gradient for this input.
    public func needs(_ input: String?) -> Bool { input.map { active.contains($0) } ?? false }

    public mutating func fresh(_ base: String) -> String {
        let number = made[base, default: 0] + 1
        made[base] = number
        return names.fresh(number == 1 ? base : "\(base)_\(number)")
    }

    // MARK: Emitting

    /// Appends a node with one output of a known shape; returns the output's name.
    @discardableResult
    public mutating func emit(
        _ type: String, _ inputs: [String], _ attributes: [Attribute] = [], shape: [Int], named base: String? = nil
    ) -> String {
        let output = fresh(base ?? "d.\(type)")
        nodes.append(Node(type, inputs: inputs, outputs: [output], attributes: attributes))
        shapes[output] = shape
        return output
    }

    /// Appends a node with several outputs.
    public mutating func emit(
        _ type: String, _ inputs: [String], _ attributes: [Attribute] = [], shapes outputs: [[Int]]
    ) -> [String] {
        let made = outputs.map { _ in fresh("d.\(type)") }
        nodes.append(Node(type, inputs: inputs, outputs: made, attributes: attributes))
        for (name, shape) in zip(made, outputs) { shapes[name] = shape }
        return made
    }

    /// Notes the shape of a value made by a node that was appended by other means.
    public mutating func note(_ value: String, shape: [Int]) { shapes[value] = shape }

    /// A float constant; equal small ones are made once.
    public mutating func constant(_ values: [Float], _ dims: [Int]) -> String {
        constant(values.count > 64 ? nil : "f\(dims)\(values)", dims) { Tensor(name: $0, floats: values, dims: dims) }
    }

    public mutating func scalar(_ value: Float) -> String { constant([value], []) }

    /// An int64 constant, a vector unless dimensions are given.
    public mutating func constant(_ values: [Int], _ dims: [Int]? = nil) -> String {
        let dims = dims ?? [values.count]
        return constant(values.count > 64 ? nil : "i\(dims)\(values)", dims) { Tensor(name: $0, int64s: values.map(Int64.init), dims: dims) }
    }

    private mutating func constant(_ key: String?, _ dims: [Int], _ make: (String) -> Tensor) -> String {
        if let key, let name = known[key] { return name }
        let name = fresh("d.constant")
        constants[name] = make(name)
        shapes[name] = dims
        if let key { known[key] = name }
        return name
    }

    // MARK: Arithmetic with broadcasting

    /// Dimensions after broadcasting two shapes.
    static func broadcast(_ a: [Int], _ b: [Int]) -> [Int] {
        let rank = max(a.count, b.count)
        func extent(_ shape: [Int], _ axis: Int) -> Int { axis - (rank - shape.count) >= 0 ? shape[axis - (rank - shape.count)] : 1 }
        return (0..<rank).map { extent(a, $0) == 1 ? extent(b, $0) : extent(a, $0) }
    }

    private mutating func binary(_ type: String, _ a: String, _ b: String) throws(DifferentiationError) -> String {
        emit(type, [a, b], shape: Self.broadcast(try shape(a), try shape(b)))
    }

    public mutating func add(_ a: String, _ b: String) throws(DifferentiationError) -> String { try binary("Add", a, b) }
    public mutating func subtract(_ a: String, _ b: String) throws(DifferentiationError) -> String { try binary("Sub", a, b) }
    public mutating func multiply(_ a: String, _ b: String) throws(DifferentiationError) -> String { try binary("Mul", a, b) }
    public mutating func divide(_ a: String, _ b: String) throws(DifferentiationError) -> String { try binary("Div", a, b) }
    public mutating func multiply(_ a: String, by factor: Float) throws(DifferentiationError) -> String {
        factor == 1 ? a : try binary("Mul", a, scalar(factor))
    }

    /// An operator of one input that keeps the shape.
    public mutating func map(_ type: String, _ a: String, _ attributes: [Attribute] = []) throws(DifferentiationError) -> String {
        emit(type, [a], attributes, shape: try shape(a))
    }

    /// `condition ? a : b`, for a boolean condition.
    public mutating func select(_ condition: String, _ a: String, _ b: String) throws(DifferentiationError) -> String {
        let inner = Self.broadcast(try shape(a), try shape(b))
        if opset < 9 {
            // Nothing selects there: products with 1 and 0.
            let chosen = try toFloat(condition)
            let first = try multiply(a, chosen)
            return b == scalar(0) ? first : try add(first, try multiply(b, try subtract(scalar(1), chosen)))
        }
        return emit("Where", [condition, a, b], shape: Self.broadcast(try shape(condition), inner))
    }

    /// A comparison, which gives booleans.
    public mutating func compare(_ type: String, _ a: String, _ b: String) throws(DifferentiationError) -> String {
        if type == "Equal", opset < 11 {
            // Equality of floats came with operator set 11.
            return try map("Not", try binary("Or", try binary("Less", a, b), try binary("Greater", a, b)))
        }
        return try binary(type, a, b)
    }

    /// The float 1 where a boolean is true, else 0.
    public mutating func toFloat(_ a: String) throws(DifferentiationError) -> String {
        emit("Cast", [a], [Attribute("to", .integer(1))], shape: try shape(a))
    }

    // MARK: Shapes

    public mutating func reshape(_ a: String, _ dims: [Int]) throws(DifferentiationError) -> String {
        let old = try shape(a)
        if old == dims { return a }
        guard old.reduce(1, *) == dims.reduce(1, *) else { throw DifferentiationError("'\(a)' of shape \(old) cannot become \(dims)") }
        return emit("Reshape", [a, constant(dims)], shape: dims)
    }

    public mutating func transpose(_ a: String, _ order: [Int]) throws(DifferentiationError) -> String {
        let old = try shape(a)
        let dims = order.map { old[$0] }
        // Moving dimensions of 1 moves no data.
        let moved = order.filter { old[$0] != 1 }
        if moved == moved.sorted() { return try reshape(a, dims) }
        return emit("Transpose", [a], [Attribute("perm", .integers(order))], shape: dims)
    }

    public mutating func concat(_ parts: [String], axis: Int) throws(DifferentiationError) -> String {
        if parts.count == 1 { return parts[0] }
        var dims = try shape(parts[0])
        dims[axis] = 0
        for part in parts { dims[axis] += try shape(part)[axis] }
        return emit("Concat", parts, [Attribute("axis", .integer(axis))], shape: dims)
    }

    /// Elements `starts[i] ..< ends[i]` by `steps[i]` along `axes[i]`.
    public mutating func slice(_ a: String, axes: [Int], starts: [Int], ends: [Int], steps: [Int]? = nil) throws(DifferentiationError) -> String {
        var dims = try shape(a)
        let steps = steps ?? axes.map { _ in 1 }
        var whole = true
        for (index, axis) in axes.enumerated() {
            if starts[index] != 0 || ends[index] < dims[axis] || steps[index] != 1 { whole = false }
            dims[axis] = (min(ends[index], dims[axis]) - starts[index] + steps[index] - 1) / steps[index]
        }
        if whole { return a }
        if opset < 10 {
            // Slices had no steps then.
            var result = a
            for (index, axis) in axes.enumerated() where steps[index] != 1 {
                let end = min(ends[index], try shape(result)[axis])
                result = try gather(result, Array(stride(from: starts[index], to: end, by: steps[index])), axis: axis)
            }
            let plain = axes.indices.filter { steps[$0] == 1 }
            if plain.isEmpty { return result }
            let attributes = [("axes", axes), ("starts", starts), ("ends", ends)].map { name, values in
                Attribute(name, .integers(plain.map { values[$0] }))
            }
            return emit("Slice", [result], attributes, shape: dims)
        }
        return emit("Slice", [a, constant(starts), constant(ends), constant(axes), constant(steps)], shape: dims)
    }

    /// Reverses the order along axes.
    public mutating func flip(_ a: String, axes: [Int]) throws(DifferentiationError) -> String {
        var result = a
        for axis in axes {
            let dims = try shape(result)
            if dims[axis] > 1 { result = emit("Gather", [result, constant(Array((0..<dims[axis]).reversed()))], [Attribute("axis", .integer(axis))], shape: dims) }
        }
        return result
    }

    /// Surrounds with a constant: `before` and `after` for every axis.
    public mutating func pad(_ a: String, before: [Int], after: [Int], value: Float = 0) throws(DifferentiationError) -> String {
        if before.allSatisfy({ $0 == 0 }), after.allSatisfy({ $0 == 0 }) { return a }
        let dims = zip(try shape(a), zip(before, after)).map { $0 + $1.0 + $1.1 }
        if opset < 11 {
            return emit("Pad", [a], [Attribute("pads", .integers(before + after)), Attribute("value", .float(value))], shape: dims)
        }
        return emit("Pad", value == 0 ? [a, constant(before + after)] : [a, constant(before + after), scalar(value)], shape: dims)
    }

    public mutating func expand(_ a: String, to dims: [Int]) throws(DifferentiationError) -> String {
        try shape(a) == dims ? a : emit("Expand", [a, constant(dims)], shape: dims)
    }

    public mutating func gather(_ a: String, _ indices: [Int], axis: Int, extents: [Int]? = nil) throws(DifferentiationError) -> String {
        var dims = try shape(a)
        let extents = extents ?? [indices.count]
        dims.replaceSubrange(axis...axis, with: extents)
        return emit("Gather", [a, constant(indices, extents)], [Attribute("axis", .integer(axis))], shape: dims)
    }

    // MARK: Sums and products

    public mutating func sum(_ a: String, axes: [Int], keep: Bool) throws(DifferentiationError) -> String {
        try reduce("ReduceSum", a, axes: axes, keep: keep, axesAreInput: 13)
    }

    public mutating func mean(_ a: String, axes: [Int], keep: Bool) throws(DifferentiationError) -> String {
        try reduce("ReduceMean", a, axes: axes, keep: keep, axesAreInput: 18)
    }

    public mutating func maximum(_ a: String, axes: [Int], keep: Bool) throws(DifferentiationError) -> String {
        try reduce("ReduceMax", a, axes: axes, keep: keep, axesAreInput: 18)
    }

    private mutating func reduce(_ type: String, _ a: String, axes: [Int], keep: Bool, axesAreInput version: Int) throws(DifferentiationError) -> String {
        let old = try shape(a)
        // Without axes the operators would reduce all.
        if axes.isEmpty { return a }
        let dims = keep ? old.indices.map { axes.contains($0) ? 1 : old[$0] } : old.indices.filter { !axes.contains($0) }.map { old[$0] }
        let keeping = Attribute("keepdims", .integer(keep ? 1 : 0))
        if opset >= version { return emit(type, [a, constant(axes)], [keeping], shape: dims) }
        return emit(type, [a], [Attribute("axes", .integers(axes)), keeping], shape: dims)
    }

    /// Sums away what broadcasting spread, so that a gradient has its input's shape.
    public mutating func reduce(_ gradient: String, to dims: [Int]) throws(DifferentiationError) -> String {
        let old = try shape(gradient)
        if old == dims { return gradient }
        let extra = old.count - dims.count
        guard extra >= 0 else { return try reshape(gradient, dims) }
        let axes = old.indices.filter { $0 < extra || (dims[$0 - extra] == 1 && old[$0] != 1) }
        return try reshape(try sum(gradient, axes: axes, keep: false), dims)
    }

    public mutating func matmul(_ a: String, _ b: String) throws(DifferentiationError) -> String {
        let (left, right) = (try shape(a), try shape(b))
        guard left.count >= 2, right.count >= 2 else { throw DifferentiationError("a product of vectors is not emitted") }
        let outer = Self.broadcast(Array(left.dropLast(2)), Array(right.dropLast(2)))
        return emit("MatMul", [a, b], shape: outer + [left[left.count - 2], right[right.count - 1]])
    }

    /// alpha · op(a) · op(b) of two matrices.
    public mutating func gemm(_ a: String, _ b: String, transA: Bool = false, transB: Bool = false, alpha: Float = 1) throws(DifferentiationError) -> String {
        let (left, right) = (try shape(a), try shape(b))
        var attributes: [Attribute] = []
        if transA { attributes.append(Attribute("transA", .integer(1))) }
        if transB { attributes.append(Attribute("transB", .integer(1))) }
        if alpha != 1 { attributes.append(Attribute("alpha", .float(alpha))) }
        // Operator sets before 11 want something to add.
        return emit("Gemm", opset < 11 ? [a, b, constant([Float(0)], [1])] : [a, b], attributes, shape: [transA ? left[1] : left[0], transB ? right[0] : right[1]])
    }

    /// Swaps the last two axes.
    public mutating func swapped(_ a: String) throws(DifferentiationError) -> String {
        let rank = try shape(a).count
        return try transpose(a, Array(0..<rank - 2) + [rank - 1, rank - 2])
    }

    /// The sum of several values of one shape.
    public mutating func total(_ values: [String]) throws(DifferentiationError) -> String {
        if values.count == 1 { return values[0] }
        if values.count == 2 { return try add(values[0], values[1]) }
        return emit("Sum", values, shape: try shape(values[0]))
    }

    public mutating func zeros(_ dims: [Int]) throws(DifferentiationError) -> String { try expand(scalar(0), to: dims) }
}

/// Why a graph cannot be differentiated, in one line.
public struct DifferentiationError: Error, Sendable, CustomStringConvertible {
    public let message: String
    public init(_ message: String) { self.message = message }
    public var description: String { message }
}
