import ModelGraph

/// Recurrent layers, differentiated through time (Werbos 1990).
///
/// The runtime's operator keeps its gates to itself, so the forward node gives way to one chain of standard nodes per
/// direction, which computes the same. The way back is a chain as well, of a product with the recurrent weights and products
/// of elements per step; the gradients of weights and inputs are single products over all steps. Unrolled, what a step needs
/// stays in the cache: two thirds of the time that the fused operator and gates recomputed for all steps at once take.
enum RecurrentGradients {
    static let rules: [String: GradientRule] = [
        "LSTM": { node, g, b in try rule(node, g, LSTMCell(), &b) },
        "GRU": { node, g, b in
            try node.int("linear_before_reset") == 1 ? rule(node, g, GRUCellAfterProduct(), &b) : rule(node, g, GRUCellBeforeProduct(), &b)
        },
        "RNN": { node, g, b in try rule(node, g, ElmanCell(), &b) },
    ]

    private static func rule<Cell: RecurrentCell>(_ node: Node, _ g: [String?], _ cell: Cell, _ b: inout GradientBuilder) throws -> [String?] {
        let layer = try RecurrentLayer(node, gates: Cell.gates, b)
        guard let place = b.nodes.firstIndex(where: { $0.opType == node.opType && $0.outputs == node.outputs && $0.inputs == node.inputs }) else {
            throw DifferentiationError("is not in the graph")
        }
        // The chain takes the node's place, before all that read its outputs.
        let rest = Array(b.nodes[(place + 1)...])
        b.nodes.removeSubrange(place...)
        let x = try b.reshape(node.inputs[0], [layer.steps * layer.batch, layer.width])
        let directions = try (0..<layer.directions).map { try RecurrentDirection(layer, $0, x: x, &b) }
        let chains = try directions.map { try cell.forward($0, &b) }
        try layer.giveOut(zip(directions, chains).map { $0.byTime($1) }, zip(directions, chains).map { $1[$0.layer.steps - 1] }, &b)
        b.nodes += rest

        let found = try directions.indices.map { try backwards(directions[$0], chains[$0], g, cell, &b) }
        // Directions lie along the first axis of weights and states.
        func stacked(_ input: Int, _ part: (Int, inout GradientBuilder) throws -> String) throws -> String? {
            guard let name = node.input(input), b.needs(name) else { return nil }
            let dims = try b.shape(name)
            return try b.concat(try found.indices.map { try b.reshape(part($0, &b), [1] + dims.dropFirst()) }, axis: 0)
        }
        var result: [String?] = node.inputs.map { _ in nil }
        if b.needs(node.inputs[0]) {
            let parts = try zip(found, directions).map { try b.gemm($0.gates, $1.inputWeight) }
            result[0] = try b.reshape(try b.total(parts), [layer.steps, layer.batch, layer.width])
        }
        result[1] = try stacked(1) { try $1.gemm(found[$0].gates, x, transA: true) }
        result[2] = try stacked(2) { try found[$0].recurrentWeight(&$1) }
        if node.inputs.count > 3 {
            result[3] = try stacked(3) {
                let sums = (try $1.sum(found[$0].gates, axes: [0], keep: false), try $1.sum(found[$0].recurrentGates, axes: [0], keep: false))
                return try $1.concat([sums.0, sums.1], axis: 0)
            }
        }
        if node.inputs.count > 5 { result[5] = try stacked(5) { index, _ in found[index].state } }
        if node.inputs.count > 6 { result[6] = try stacked(6) { index, _ in found[index].cell ?? found[index].state } }
        return result
    }

    /// Gradients of one direction.
    private struct Found {
        /// Of what the product with the inputs gives, and of what that with the hidden state gives, [T·B, gates·H].
        var gates: String
        var recurrentGates: String
        var recurrentWeight: (inout GradientBuilder) throws -> String
        /// Of the initial states, [B, H].
        var state: String
        var cell: String?
    }

    private static func backwards<Cell: RecurrentCell>(
        _ d: RecurrentDirection, _ chain: [Cell.Step], _ g: [String?], _ cell: Cell, _ b: inout GradientBuilder
    ) throws -> Found {
        func arriving(_ index: Int, axis: Int) throws -> String? {
            guard g.indices.contains(index), let gradient = g[index] else { return nil }
            return try d.matrix(gradient, axis: axis, &b)
        }
        let outputs = try arriving(0, axis: 1).map { try d.bySteps($0, &b) }
        var state = try arriving(1, axis: 0)
        var memory = try arriving(2, axis: 0)
        var gates: [Int: String] = [:]
        var recurrentGates: [Int: String] = [:]
        let slopes = try cell.slopes(d, chain, &b)
        for (place, (time, step)) in zip(d.order, chain).enumerated().reversed() {
            let parts = [outputs?[time], state].compactMap { $0 }
            let gradient = try parts.isEmpty ? b.zeros([d.layer.batch, d.layer.hidden]) : b.total(parts)
            let made = try cell.back(d, step, slopes[place], gradient, &memory, &b)
            (gates[time], recurrentGates[time], state) = (made.gates, made.recurrentGates, made.before)
        }
        let all = try d.together(gates, &b)
        let recurrent = gates == recurrentGates ? all : try d.together(recurrentGates, &b)
        let zeros = try b.zeros([d.layer.batch, d.layer.hidden])
        return Found(
            gates: all, recurrentGates: recurrent, recurrentWeight: { try cell.recurrentWeight(d, chain, recurrent, &$0) }, state: state ?? zeros, cell: memory)
    }
}

/// A recurrent node: its dimensions, and the settings that gradients exist for.
struct RecurrentLayer {
    let node: Node
    let gates: Int
    let steps: Int
    let batch: Int
    let width: Int
    let hidden: Int
    let directions: Int

    /// Steps of all directions that are unrolled at most. The runtime takes minutes to load longer chains, and cannot be interrupted meanwhile.
    static let longest = 1000

    /// - Throws: `DifferentiationError` for more than `longest` steps, sequences of unequal lengths, peepholes, coupled gates, clipping, other than the
    ///   standard activations, and the batch as the first axis (which ONNX Runtime does not compute either).
    init(_ node: Node, gates: Int, _ b: GradientBuilder) throws {
        self.node = node
        self.gates = gates
        let dims = try b.shape(node.inputs[0])
        let recurrent = try b.shape(node.inputs[2])
        guard dims.count == 3, recurrent.count == 3 else { throw DifferentiationError("has inputs of shape \(dims)") }
        (steps, batch, width) = (dims[0], dims[1], dims[2])
        (directions, hidden) = (recurrent[0], recurrent[2])
        guard steps > 0 else { throw DifferentiationError("has no steps") }
        guard steps * directions <= Self.longest else {
            throw DifferentiationError("takes \(steps * directions) steps, too many to unroll for training (\(Self.longest) at most)")
        }
        guard (node.int("layout") ?? 0) == 0 else { throw DifferentiationError("has the batch as its first axis") }
        guard (node.int("input_forget") ?? 0) == 0 else { throw DifferentiationError("couples input and forget gate") }
        guard node.float("clip") == nil else { throw DifferentiationError("clips its gates") }
        guard node.input(7) == nil else { throw DifferentiationError("has peepholes") }
        if case .strings(let names)? = node.attribute("activations") {
            let standard = node.opType == "LSTM" ? ["sigmoid", "tanh", "tanh"] : node.opType == "GRU" ? ["sigmoid", "tanh"] : ["tanh"]
            let given = names.map { String(decoding: $0, as: UTF8.self).lowercased() }
            guard given == (0..<directions).flatMap({ _ in standard }) else {
                throw DifferentiationError("has activations other than \(standard.joined(separator: ", "))")
            }
        }
        if let lengths = node.input(4) {
            let steps = steps
            guard let known = try? b.integers(lengths), known.allSatisfy({ $0 == steps }) else {
                throw DifferentiationError("has sequences of their own lengths")
            }
        }
    }

    /// Makes the node's outputs, as far as it has them.
    ///
    /// - Parameters:
    ///   - byTime: steps of each direction in the order of time.
    ///   - last: the step of each direction that was taken last.
    func giveOut(_ byTime: [[any RecurrentStep]], _ last: [any RecurrentStep], _ b: inout GradientBuilder) throws {
        func give(_ parts: [String], as index: Int, _ dims: [Int]) throws {
            guard node.outputs.indices.contains(index), !node.outputs[index].isEmpty else { return }
            let flat = [parts.count * batch, hidden]
            let whole = parts.count == 1 ? parts[0] : b.emit("Concat", parts, [Attribute("axis", .integer(0))], shape: flat)
            b.emit("Reshape", [whole, b.constant(dims)], shape: dims)
            try b.rename(b.nodes[b.nodes.count - 1].outputs[0], to: node.outputs[index])
        }
        try give((0..<steps).flatMap { time in byTime.map { $0[time].state } }, as: 0, [steps, directions, batch, hidden])
        try give(last.map(\.state), as: 1, [directions, batch, hidden])
        try give(last.map { $0.cell ?? $0.state }, as: 2, [directions, batch, hidden])
    }
}

/// One direction of a recurrent layer: what its chain reads.
struct RecurrentDirection {
    let layer: RecurrentLayer
    private let index: Int
    /// Times of steps in the order in which the forward pass takes them.
    let order: [Int]
    /// Inputs of all steps, [T·B, I].
    let x: String
    /// [gates·H, I], [gates·H, H] and, if there are biases, [gates·H] each.
    let inputWeight: String
    let recurrentWeight: String
    let inputBias: String?
    let recurrentBias: String?
    /// Initial states, [B, H].
    let state: String
    let cell: String

    init(_ layer: RecurrentLayer, _ index: Int, x: String, _ b: inout GradientBuilder) throws {
        self.layer = layer
        self.index = index
        self.x = x
        let node = layer.node
        order = node.string("direction") == "reverse" || index == 1 ? Array((0..<layer.steps).reversed()) : Array(0..<layer.steps)
        func own(_ value: String, _ dims: [Int]) throws -> String {
            try b.reshape(try b.slice(value, axes: [0], starts: [index], ends: [index + 1]), dims)
        }
        let rows = layer.gates * layer.hidden
        inputWeight = try own(node.inputs[1], [rows, layer.width])
        recurrentWeight = try own(node.inputs[2], [rows, layer.hidden])
        if let bias = node.input(3) {
            let both = try own(bias, [2 * rows])
            inputBias = try b.slice(both, axes: [0], starts: [0], ends: [rows])
            recurrentBias = try b.slice(both, axes: [0], starts: [rows], ends: [2 * rows])
        } else {
            (inputBias, recurrentBias) = (nil, nil)
        }
        let dims = [layer.batch, layer.hidden]
        state = try node.input(5).map { try own($0, dims) } ?? b.zeros(dims)
        cell = try node.input(6).map { try own($0, dims) } ?? b.zeros(dims)
    }

    /// Both biases together.
    func bias(_ b: inout GradientBuilder) throws -> String? {
        guard let inputBias, let recurrentBias else { return nil }
        return try b.add(inputBias, recurrentBias)
    }

    /// This direction's part of a value that has directions along an axis, as a matrix of H columns.
    func matrix(_ value: String, axis: Int, _ b: inout GradientBuilder) throws -> String {
        let own = try b.slice(value, axes: [axis], starts: [index], ends: [index + 1])
        return try b.reshape(own, [try b.shape(own).reduce(1, *) / layer.hidden, layer.hidden])
    }

    /// The rows of each time, [B, K], of a value of all times, [T·B, K].
    func bySteps(_ value: String, _ b: inout GradientBuilder) throws -> [String] {
        try b.split(value, axis: 0, sizes: [Int](repeating: layer.batch, count: layer.steps))
    }

    /// The columns of each gate, [_, H].
    func byGates(_ value: String, _ b: inout GradientBuilder) throws -> [String] {
        try b.split(value, axis: 1, sizes: [Int](repeating: layer.hidden, count: try b.shape(value)[1] / layer.hidden))
    }

    /// Values of single steps, by time, as one of all times.
    func together(_ parts: [Int: String], _ b: inout GradientBuilder) throws -> String {
        try b.concat((0..<layer.steps).compactMap { parts[$0] }, axis: 0)
    }

    /// A value of each step of a chain, as one of all times.
    func together<Step>(_ chain: [Step], _ value: (Step) -> String, _ b: inout GradientBuilder) throws -> String {
        try b.concat(byTime(chain).map(value), axis: 0)
    }

    /// Steps in the order of time.
    func byTime<Step>(_ chain: [Step]) -> [Step] { order.first == 0 ? chain : chain.reversed() }
}

/// What a step of a recurrent layer leaves behind.
protocol RecurrentStep {
    /// The hidden state after it, [B, H].
    var state: String { get }
    /// The cell state after it, if there is one.
    var cell: String? { get }
}

/// The equations of a recurrent layer, and their way back.
protocol RecurrentCell {
    associatedtype Step: RecurrentStep
    associatedtype Slopes
    /// Gates that weights have rows for.
    static var gates: Int { get }

    /// Appends all steps of a direction, in its order.
    func forward(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> [Step]

    /// What the way back can compute for all steps at once, before its chain begins: few long operators instead of many short ones.
    /// - Returns: each step's, in the chain's order.
    func slopes(_ d: RecurrentDirection, _ chain: [Step], _ b: inout GradientBuilder) throws -> [Slopes]

    /// Appends the way back of one step.
    ///
    /// - Parameters:
    ///   - dh: gradient of the hidden state after the step, [B, H].
    ///   - dc: gradient of the cell state after the step; on return, before it.
    /// - Returns: the gradients of what the products with inputs and with the hidden state give, [B, gates·H], and of the
    ///   hidden state before the step.
    func back(
        _ d: RecurrentDirection, _ step: Step, _ slopes: Slopes, _ dh: String, _ dc: inout String?, _ b: inout GradientBuilder
    ) throws -> (gates: String, recurrentGates: String, before: String)

    /// The gradient of the recurrent weights, [gates·H, H], from that of what their product gives at all times.
    func recurrentWeight(_ d: RecurrentDirection, _ chain: [Step], _ gradient: String, _ b: inout GradientBuilder) throws -> String
}

extension RecurrentCell where Slopes == Void {
    func slopes(_ d: RecurrentDirection, _ chain: [Step], _ b: inout GradientBuilder) throws -> [Void] { chain.map { _ in } }
}

extension GradientBuilder {
    /// Parts along an axis, of given dimensions.
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
