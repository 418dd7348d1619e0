import ModelGraph

/// Recurrent layers, differentiated through time (Werbos 1990).
///
/// The forward operator stays the runtime's own, which computes all steps in one kernel. It does not give out its gates, but
/// all hidden states, from which the gates of all steps at once come back by two products. What is left step by step is the
/// way back of hidden and cell state: a product with the recurrent weights and a few products of elements. The gradients of
/// weights and inputs are again single products over all steps.
enum RecurrentGradients {
    static let rules: [String: GradientRule] = [
        "LSTM": { node, g, b in try rule(node, g, gates: 4, &b, LSTMCell.back) },
        "GRU": { node, g, b in
            let linear = node.int("linear_before_reset") == 1
            return try rule(node, g, gates: 3, &b) { try GRUCell.back($0, linearBeforeReset: linear, &$1) }
        },
        "RNN": { node, g, b in try rule(node, g, gates: 1, &b, ElmanCell.back) },
    ]

    private static func rule(
        _ node: Node, _ g: [String?], gates: Int, _ b: inout GradientBuilder,
        _ back: (RecurrentDirection, inout GradientBuilder) throws -> RecurrentDirection.Gradients
    ) throws -> [String?] {
        let layer = try RecurrentLayer(node, gates: gates, &b)
        var found: [RecurrentDirection.Gradients] = []
        for direction in 0..<layer.directions {
            found.append(try back(RecurrentDirection(layer, direction, gradients: g, &b), &b))
        }
        // Directions lie along the first axis of weights and states.
        func stacked(_ part: (RecurrentDirection.Gradients) -> String, like input: Int) throws -> String? {
            guard let name = node.input(input), b.needs(name) else { return nil }
            let dims = try b.shape(name)
            return try b.concat(try found.map { try b.reshape(part($0), [1] + dims.dropFirst()) }, axis: 0)
        }
        var result: [String?] = node.inputs.map { _ in nil }
        if b.needs(node.inputs[0]) {
            let parts = try zip(found, 0...).map { try b.gemm($0.gates, layer.weight(1, $1, &b)) }
            result[0] = try b.reshape(try b.total(parts), [layer.steps, layer.batch, layer.width])
        }
        if b.needs(node.inputs[1]) {
            let parts = try found.map { try b.reshape(try b.gemm($0.gates, layer.x, transA: true), [1, gates * layer.hidden, layer.width]) }
            result[1] = try b.concat(parts, axis: 0)
        }
        result[2] = try stacked(\.recurrentWeight, like: 2)
        if let bias = node.input(3), b.needs(bias) {
            let parts = try found.map { try b.concat([try b.sum($0.gates, axes: [0], keep: true), try b.sum($0.recurrentGates, axes: [0], keep: true)], axis: 1) }
            result[3] = try b.concat(parts, axis: 0)
        }
        if node.input(5) != nil { result[5] = try stacked(\.state, like: 5) }
        if node.input(6) != nil { result[6] = try stacked({ $0.cell ?? $0.state }, like: 6) }
        return result
    }
}

/// A recurrent node: what it reads, as matrices, and the settings that gradients exist for.
struct RecurrentLayer {
    let node: Node
    let gates: Int
    let steps: Int
    let batch: Int
    let width: Int
    let hidden: Int
    let directions: Int
    /// Inputs of all steps, [T·B, I].
    let x: String
    /// Hidden states of all steps, [T, D, B, H].
    let y: String

    /// - Throws: `DifferentiationError` for sequences of unequal lengths, peepholes, coupled gates, clipping, other than the
    ///   standard activations, and the batch as the first axis (which ONNX Runtime does not compute either).
    init(_ node: Node, gates: Int, _ b: inout GradientBuilder) throws {
        self.node = node
        self.gates = gates
        let dims = try b.shape(node.inputs[0])
        let recurrent = try b.shape(node.inputs[2])
        (steps, batch, width) = (dims[0], dims[1], dims[2])
        (directions, hidden) = (recurrent[0], recurrent[2])
        guard (node.int("layout") ?? 0) == 0 else { throw DifferentiationError("has the batch as its first axis") }
        guard (node.int("input_forget") ?? 0) == 0 else { throw DifferentiationError("couples input and forget gate") }
        guard node.float("clip") == nil else { throw DifferentiationError("clips its gates") }
        guard node.input(7) == nil else { throw DifferentiationError("has peepholes") }
        if case .strings(let names)? = node.attribute("activations") {
            let standard = node.opType == "LSTM" ? ["sigmoid", "tanh", "tanh"] : node.opType == "GRU" ? ["sigmoid", "tanh"] : ["tanh"]
            let given = names.map { String(decoding: $0, as: UTF8.self).lowercased() }
            guard given == (0..<directions).flatMap({ _ in standard }) else { throw DifferentiationError("has activations other than \(standard.joined(separator: ", "))") }
        }
        if let lengths = node.input(4) {
            let steps = steps
            guard let known = try? b.integers(lengths), known.allSatisfy({ $0 == steps }) else {
                throw DifferentiationError("has sequences of their own lengths")
            }
        }
        x = try b.reshape(node.inputs[0], [steps * batch, width])
        y = try b.output(0, of: node, shape: [steps, directions, batch, hidden])
    }

    /// A weight of one direction: [gates·H, I] or [gates·H, H].
    func weight(_ input: Int, _ direction: Int, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(node.inputs[input])
        return try b.reshape(try part(node.inputs[input], direction, axis: 0, &b), Array(dims.dropFirst()))
    }

    /// What lies at one direction's place along an axis, whose extent becomes 1.
    func part(_ value: String, _ direction: Int, axis: Int, _ b: inout GradientBuilder) throws -> String {
        try b.slice(value, axes: [axis], starts: [direction], ends: [direction + 1])
    }
}

/// One direction of a recurrent layer.
struct RecurrentDirection {
    /// Gradients that a cell finds.
    struct Gradients {
        /// Of what the product with the inputs gives, [T·B, gates·H].
        var gates: String
        /// Of what the product with the hidden state gives, [T·B, gates·H].
        var recurrentGates: String
        /// Of the recurrent weights, [gates·H, H].
        var recurrentWeight: String
        /// Of the initial states, [B, H].
        var state: String
        var cell: String?
    }

    let layer: RecurrentLayer
    /// Indices of steps in the order in which the forward pass takes them.
    let order: [Int]
    /// [gates·H, I], [gates·H, H] and, if there are biases, [gates·H] each.
    let inputWeight: String
    let recurrentWeight: String
    let inputBias: String?
    let recurrentBias: String?
    /// Hidden states of all steps, and those before each step, [T·B, H].
    let states: String
    let before: String
    /// Initial cell state, [B, H]; `nil` means zeros.
    let cell: String?
    /// Arriving gradients: of each step's hidden state, of the last one, and of the last cell state, [B, H] each.
    let arriving: [String]?
    let arrivingState: String?
    let arrivingCell: String?

    init(_ layer: RecurrentLayer, _ direction: Int, gradients g: [String?], _ b: inout GradientBuilder) throws {
        self.layer = layer
        let node = layer.node
        let (steps, batch, hidden) = (layer.steps, layer.batch, layer.hidden)
        let isReverse = node.string("direction") == "reverse" || direction == 1
        order = isReverse ? Array((0..<steps).reversed()) : Array(0..<steps)
        inputWeight = try layer.weight(1, direction, &b)
        recurrentWeight = try layer.weight(2, direction, &b)
        if let bias = node.input(3) {
            let rows = layer.gates * hidden
            let both = try b.reshape(try layer.part(bias, direction, axis: 0, &b), [2 * rows])
            inputBias = try b.slice(both, axes: [0], starts: [0], ends: [rows])
            recurrentBias = try b.slice(both, axes: [0], starts: [rows], ends: [2 * rows])
        } else {
            (inputBias, recurrentBias) = (nil, nil)
        }
        func matrix(_ value: String?, axis: Int = 0) throws -> String? {
            guard let value else { return nil }
            let own = try layer.part(value, direction, axis: axis, &b)
            return try b.reshape(own, [try b.shape(own).reduce(1, *) / hidden, hidden])
        }
        let all = try matrix(layer.y, axis: 1) ?? layer.y
        states = all
        let first = try matrix(node.input(5)) ?? b.zeros([batch, hidden])
        if steps == 1 {
            before = first
        } else if isReverse {
            before = try b.concat([try b.slice(all, axes: [0], starts: [batch], ends: [steps * batch]), first], axis: 0)
        } else {
            before = try b.concat([first, try b.slice(all, axes: [0], starts: [0], ends: [(steps - 1) * batch])], axis: 0)
        }
        cell = try matrix(node.input(6))
        func gradient(_ index: Int) -> String? { g.indices.contains(index) ? g[index] : nil }
        arriving = try matrix(gradient(0), axis: 1).map { try Self.bySteps($0, steps, &b) }
        arrivingState = try matrix(gradient(1))
        arrivingCell = try matrix(gradient(2))
    }

    // MARK: Steps

    /// The rows of each step, [B, K], of a value of all steps, [T·B, K].
    func bySteps(_ value: String, _ b: inout GradientBuilder) throws -> [String] { try Self.bySteps(value, layer.steps, &b) }

    private static func bySteps(_ value: String, _ steps: Int, _ b: inout GradientBuilder) throws -> [String] {
        let rows = try b.shape(value)[0] / steps
        return try b.split(value, axis: 0, sizes: [Int](repeating: rows, count: steps))
    }

    /// Values of single steps, by index of the step, as one of all steps.
    func together(_ parts: [Int: String], _ b: inout GradientBuilder) throws -> String {
        try b.concat((0..<layer.steps).compactMap { parts[$0] }, axis: 0)
    }

    /// The columns of each gate, [T·B, H], of a value of all gates.
    func byGates(_ value: String, _ b: inout GradientBuilder) throws -> [String] {
        try b.split(value, axis: 1, sizes: [Int](repeating: layer.hidden, count: try b.shape(value)[1] / layer.hidden))
    }

    /// Visits steps from the last to the first, with the gradient of each one's hidden state, [B, H].
    ///
    /// - Parameter body: returns what flows on to the hidden state before.
    /// - Returns: the gradient of the initial hidden state.
    func backwards(_ b: inout GradientBuilder, _ body: (Int, String, inout GradientBuilder) throws -> String) throws -> String {
        var flowing = arrivingState
        for step in order.reversed() {
            let parts = [arriving?[step], flowing].compactMap { $0 }
            let gradient = try parts.isEmpty ? b.zeros([layer.batch, layer.hidden]) : b.total(parts)
            flowing = try body(step, gradient, &b)
        }
        return try flowing ?? b.zeros([layer.batch, layer.hidden])
    }
}

extension GradientBuilder {
    /// Parts along an axis, of given extents.
    mutating func split(_ a: String, axis: Int, sizes: [Int]) throws(DifferentiationError) -> [String] {
        if sizes.count == 1 { return [a] }
        var shapes: [[Int]] = []
        for size in sizes {
            var dims = try shape(a)
            dims[axis] = size
            shapes.append(dims)
        }
        let along = Attribute("axis", .integer(axis))
        if opset >= 13 { return emit("Split", [a, constant(sizes)], [along], shapes: shapes) }
        return emit("Split", [a], [along, Attribute("split", .integers(sizes))], shapes: shapes)
    }

    /// An output of a forward node, which gives it out from now on if it did not before.
    mutating func output(_ index: Int, of node: Node, shape: [Int]) throws(DifferentiationError) -> String {
        let known = Set(node.outputs.filter { !$0.isEmpty })
        guard let place = nodes.firstIndex(where: { $0.opType == node.opType && !known.isDisjoint(with: $0.outputs) }) else {
            throw DifferentiationError("is not in the graph")
        }
        while nodes[place].outputs.count <= index { nodes[place].outputs.append("") }
        if nodes[place].outputs[index].isEmpty { nodes[place].outputs[index] = fresh("d.\(node.opType)") }
        let name = nodes[place].outputs[index]
        shapes[name] = shape
        return name
    }

    /// x · wᵀ + c of matrices, c being a matrix of the result's shape, a row or nothing.
    mutating func linear(_ x: String, _ w: String, plus c: String? = nil) throws(DifferentiationError) -> String {
        guard let c else { return try gemm(x, w, transB: true) }
        return emit("Gemm", [x, w, c], [Attribute("transB", .integer(1))], shape: [try shape(x)[0], try shape(w)[0]])
    }

    /// a · w + c of matrices.
    mutating func product(_ a: String, _ w: String, plus c: String) throws(DifferentiationError) -> String {
        emit("Gemm", [a, w, c], shape: [try shape(a)[0], try shape(w)[1]])
    }

    /// The slope y·(1 − y) of a sigmoid that gave y.
    mutating func sigmoidSlope(_ y: String) throws(DifferentiationError) -> String { try multiply(y, try subtract(scalar(1), y)) }

    /// The slope 1 − y² of a hyperbolic tangent that gave y.
    mutating func tanhSlope(_ y: String) throws(DifferentiationError) -> String { try subtract(scalar(1), try multiply(y, y)) }
}
