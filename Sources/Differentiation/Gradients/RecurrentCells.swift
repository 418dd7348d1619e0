import ModelGraph

/// Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000):
/// c′ = f·c + i·g, h′ = o·tanh(c′), with i, o, f sigmoids and g a tanh of x·Wᵀ + h·Rᵀ + b, in ONNX's order i, o, f, g.
struct LSTMCell: RecurrentCell {
    struct Step: RecurrentStep {
        var before, cellBefore, sigmoids, f, g, squashed, state: String
        var cell: String?
    }

    /// What the gradients of a step are multiplied by: that of h for the cell's, [B, H], and [c, h, c, c] for those of the gates, [B, 4·H].
    struct Slopes {
        var memory, gates: String
    }

    static let gates = 4

    func forward(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> [Step] {
        let fromInput = try d.bySteps(try b.linear(d.x, d.inputWeight, plus: d.bias(&b)), &b)
        var (state, cell) = (d.state, d.cell)
        return try d.order.map { time in
            let sums = try b.linear(state, d.recurrentWeight, plus: fromInput[time])
            let parts = try b.split(sums, axis: 1, sizes: [3 * d.layer.hidden, d.layer.hidden])
            let sigmoids = try b.map("Sigmoid", parts[0])
            let g = try b.map("Tanh", parts[1])
            let gates = try d.byGates(sigmoids, &b)
            let next = try b.add(try b.multiply(gates[2], cell), try b.multiply(gates[0], g))
            let squashed = try b.map("Tanh", next)
            let step = Step(
                before: state, cellBefore: cell, sigmoids: sigmoids, f: gates[2], g: g, squashed: squashed, state: try b.multiply(gates[1], squashed), cell: next)
            (state, cell) = (step.state, next)
            return step
        }
    }

    func slopes(_ d: RecurrentDirection, _ chain: [Step], _ b: inout GradientBuilder) throws -> [Slopes] {
        let sigmoids = try d.together(chain, \.sigmoids, &b)
        let (g, squashed, before) = (try d.together(chain, \.g, &b), try d.together(chain, \.squashed, &b), try d.together(chain, \.cellBefore, &b))
        let gates = try d.byGates(sigmoids, &b)
        let memory = try d.bySteps(try b.multiply(gates[1], try b.tanhSlope(squashed)), &b)
        let others = try b.concat([g, squashed, before], axis: 1)
        let first = try b.multiply(others, try b.sigmoidSlope(sigmoids))
        let all = try d.bySteps(try b.concat([first, try b.multiply(gates[0], try b.tanhSlope(g))], axis: 1), &b)
        return d.order.map { Slopes(memory: memory[$0], gates: all[$0]) }
    }

    func back(
        _ d: RecurrentDirection, _ step: Step, _ slopes: Slopes, _ dh: String, _ dc: inout String?, _ b: inout GradientBuilder
    ) throws -> (gates: String, recurrentGates: String, before: String) {
        var memory = try b.multiply(dh, slopes.memory)
        if let dc { memory = try b.add(memory, dc) }
        let sums = try b.multiply(try b.concat([memory, dh, memory, memory], axis: 1), slopes.gates)
        dc = try b.multiply(memory, step.f)
        return (sums, sums, try b.gemm(sums, d.recurrentWeight))
    }

    func recurrentWeight(_ d: RecurrentDirection, _ chain: [Step], _ gradient: String, _ b: inout GradientBuilder) throws -> String {
        try b.gemm(gradient, try d.together(chain, \.before, &b), transA: true)
    }
}

/// Gated recurrent unit (Cho et al. 2014): h′ = (1 − z)·n + z·h, in ONNX's order z, r, n, with the reset gate acting on the
/// product of the hidden state and the recurrent weights, n = tanh(x·Wₙᵀ + r·(h·Rₙᵀ + b)), as in PyTorch and cuDNN.
struct GRUCellAfterProduct: RecurrentCell {
    struct Step: RecurrentStep {
        var before, z, r, n, product, state: String
        var cell: String? { nil }
    }

    /// What the gradient of h is multiplied by for those of the gates' sums: update and candidate; and the candidate's for the reset gate's.
    struct Slopes {
        var update, candidate, reset: String
    }

    static let gates = 3

    func forward(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> [Step] {
        let fromInput = try d.byGates(try b.linear(d.x, d.inputWeight, plus: d.inputBias), &b).map { try d.bySteps($0, &b) }
        var state = d.state
        return try d.order.map { time in
            let parts = try d.byGates(try b.linear(state, d.recurrentWeight, plus: d.recurrentBias), &b)
            let z = try b.map("Sigmoid", try b.add(fromInput[0][time], parts[0]))
            let r = try b.map("Sigmoid", try b.add(fromInput[1][time], parts[1]))
            let n = try b.map("Tanh", try b.add(fromInput[2][time], try b.multiply(r, parts[2])))
            let step = Step(before: state, z: z, r: r, n: n, product: parts[2], state: try b.mixed(z, state, n))
            state = step.state
            return step
        }
    }

    func slopes(_ d: RecurrentDirection, _ chain: [Step], _ b: inout GradientBuilder) throws -> [Slopes] {
        let (z, r, n) = (try d.together(chain, \.z, &b), try d.together(chain, \.r, &b), try d.together(chain, \.n, &b))
        let (before, product) = (try d.together(chain, \.before, &b), try d.together(chain, \.product, &b))
        let update = try d.bySteps(try b.updateSlope(z, before, n), &b)
        let candidate = try d.bySteps(try b.candidateSlope(z, n), &b)
        let reset = try d.bySteps(try b.multiply(product, try b.sigmoidSlope(r)), &b)
        return d.order.map { Slopes(update: update[$0], candidate: candidate[$0], reset: reset[$0]) }
    }

    func back(
        _ d: RecurrentDirection, _ step: Step, _ slopes: Slopes, _ dh: String, _ dc: inout String?, _ b: inout GradientBuilder
    ) throws -> (gates: String, recurrentGates: String, before: String) {
        let candidate = try b.multiply(dh, slopes.candidate)
        let update = try b.multiply(dh, slopes.update)
        let reset = try b.multiply(candidate, slopes.reset)
        let recurrent = try b.concat([update, reset, try b.multiply(candidate, step.r)], axis: 1)
        let before = try b.product(recurrent, d.recurrentWeight, plus: try b.multiply(dh, step.z))
        return (try b.concat([update, reset, candidate], axis: 1), recurrent, before)
    }

    func recurrentWeight(_ d: RecurrentDirection, _ chain: [Step], _ gradient: String, _ b: inout GradientBuilder) throws -> String {
        try b.gemm(gradient, try d.together(chain, \.before, &b), transA: true)
    }
}

/// The gated recurrent unit whose reset gate acts on the hidden state itself, n = tanh(x·Wₙᵀ + (r·h)·Rₙᵀ + b).
struct GRUCellBeforeProduct: RecurrentCell {
    struct Step: RecurrentStep {
        var before, z, r, n, reset, state: String
        /// Recurrent weights of both gates and of the candidate.
        var weights: [String]
        var cell: String? { nil }
    }

    static let gates = 3

    func forward(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> [Step] {
        let sums = try b.linear(d.x, d.inputWeight, plus: d.bias(&b))
        let sizes = [2 * d.layer.hidden, d.layer.hidden]
        let split = try b.split(sums, axis: 1, sizes: sizes).map { try d.bySteps($0, &b) }
        let weights = try b.split(d.recurrentWeight, axis: 0, sizes: sizes)
        var state = d.state
        return try d.order.map { time in
            let parts = try d.byGates(try b.linear(state, weights[0], plus: split[0][time]), &b)
            let z = try b.map("Sigmoid", parts[0])
            let r = try b.map("Sigmoid", parts[1])
            let reset = try b.multiply(r, state)
            let n = try b.map("Tanh", try b.linear(reset, weights[1], plus: split[1][time]))
            let step = Step(before: state, z: z, r: r, n: n, reset: reset, state: try b.mixed(z, state, n), weights: weights)
            state = step.state
            return step
        }
    }

    func back(
        _ d: RecurrentDirection, _ step: Step, _ slopes: Void, _ dh: String, _ dc: inout String?, _ b: inout GradientBuilder
    ) throws -> (gates: String, recurrentGates: String, before: String) {
        let candidate = try b.multiply(dh, try b.candidateSlope(step.z, step.n))
        let reset = try b.gemm(candidate, step.weights[1])
        let gates = try b.concat(
            [try b.multiply(dh, try b.updateSlope(step.z, step.before, step.n)), try b.multiply(reset, try b.multiply(step.before, try b.sigmoidSlope(step.r)))], axis: 1)
        let direct = try b.add(try b.multiply(dh, step.z), try b.multiply(reset, step.r))
        let all = try b.concat([gates, candidate], axis: 1)
        return (all, all, try b.product(gates, step.weights[0], plus: direct))
    }

    func recurrentWeight(_ d: RecurrentDirection, _ chain: [Step], _ gradient: String, _ b: inout GradientBuilder) throws -> String {
        let parts = try b.split(gradient, axis: 1, sizes: [2 * d.layer.hidden, d.layer.hidden])
        let gates = try b.gemm(parts[0], try d.together(chain, \.before, &b), transA: true)
        return try b.concat([gates, try b.gemm(parts[1], try d.together(chain, \.reset, &b), transA: true)], axis: 0)
    }
}

/// The plain recurrent layer (Elman 1990): h′ = tanh(x·Wᵀ + h·Rᵀ + b).
struct ElmanCell: RecurrentCell {
    struct Step: RecurrentStep {
        var before, state: String
        var cell: String? { nil }
    }

    static let gates = 1

    func forward(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> [Step] {
        let fromInput = try d.bySteps(try b.linear(d.x, d.inputWeight, plus: d.bias(&b)), &b)
        var state = d.state
        return try d.order.map { time in
            let step = Step(before: state, state: try b.map("Tanh", try b.linear(state, d.recurrentWeight, plus: fromInput[time])))
            state = step.state
            return step
        }
    }

    func back(
        _ d: RecurrentDirection, _ step: Step, _ slopes: Void, _ dh: String, _ dc: inout String?, _ b: inout GradientBuilder
    ) throws -> (gates: String, recurrentGates: String, before: String) {
        let sums = try b.multiply(dh, try b.tanhSlope(step.state))
        return (sums, sums, try b.gemm(sums, d.recurrentWeight))
    }

    func recurrentWeight(_ d: RecurrentDirection, _ chain: [Step], _ gradient: String, _ b: inout GradientBuilder) throws -> String {
        try b.gemm(gradient, try d.together(chain, \.before, &b), transA: true)
    }
}

extension GradientBuilder {
    /// (1 − z)·n + z·h.
    fileprivate mutating func mixed(_ z: String, _ h: String, _ n: String) throws -> String {
        try add(n, try multiply(z, try subtract(h, n)))
    }

    /// What the gradient of the sum under the candidate's tanh is of h's: (1 − z) · (1 − n²).
    fileprivate mutating func candidateSlope(_ z: String, _ n: String) throws -> String {
        try multiply(try subtract(scalar(1), z), try tanhSlope(n))
    }

    /// What the gradient of the sum under the update gate's sigmoid is of h's: (h − n) · z · (1 − z).
    fileprivate mutating func updateSlope(_ z: String, _ h: String, _ n: String) throws -> String {
        try multiply(try subtract(h, n), try sigmoidSlope(z))
    }
}
