import ModelGraph

/// Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000):
/// c′ = f·c + i·g, h′ = o·tanh(c′), with i, o, f sigmoids and g a tanh of x·Wᵀ + h·Rᵀ + b, in ONNX's order i, o, f, g.
enum LSTMCell {
    static func back(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> RecurrentDirection.Gradients {
        let bias = try zip2(d.inputBias, d.recurrentBias).map { try b.add($0, $1) }
        let sums = try b.linear(d.before, d.recurrentWeight, plus: try b.linear(d.layer.x, d.inputWeight, plus: bias))
        let parts = try d.byGates(sums, &b)
        let i = try b.map("Sigmoid", parts[0]), o = try b.map("Sigmoid", parts[1]), f = try b.map("Sigmoid", parts[2])
        let g = try b.map("Tanh", parts[3])

        // Cell states come back step by step.
        let kept = try d.bySteps(f, &b)
        let written = try d.bySteps(try b.multiply(i, g), &b)
        let start = try d.cell ?? b.zeros([d.layer.batch, d.layer.hidden])
        var cells: [Int: String] = [:], earlier: [Int: String] = [:]
        var cell = start
        for step in d.order {
            earlier[step] = cell
            cell = try b.add(try b.multiply(kept[step], cell), written[step])
            cells[step] = cell
        }
        let squashed = try b.map("Tanh", try d.together(cells, &b))

        // Slopes of all steps at once: of the gates' sums by the gradients of h′ and c′, and of c′ by that of h′.
        let outputSlope = try d.bySteps(try b.multiply(squashed, try b.sigmoidSlope(o)), &b)
        let cellSlope = try d.bySteps(try b.multiply(o, try b.tanhSlope(squashed)), &b)
        let inputSlope = try d.bySteps(try b.multiply(g, try b.sigmoidSlope(i)), &b)
        let forgetSlope = try d.bySteps(try b.multiply(try d.together(earlier, &b), try b.sigmoidSlope(f)), &b)
        let candidateSlope = try d.bySteps(try b.multiply(i, try b.tanhSlope(g)), &b)

        var gates: [Int: String] = [:]
        var flowing = d.arrivingCell
        let state = try d.backwards(&b) { step, dh, b in
            var dc = try b.multiply(dh, cellSlope[step])
            if let flowing { dc = try b.add(dc, flowing) }
            let sums = try b.concat(
                [
                    try b.multiply(dc, inputSlope[step]), try b.multiply(dh, outputSlope[step]), try b.multiply(dc, forgetSlope[step]),
                    try b.multiply(dc, candidateSlope[step]),
                ], axis: 1)
            gates[step] = sums
            flowing = try b.multiply(dc, kept[step])
            return try b.gemm(sums, d.recurrentWeight)
        }
        let all = try d.together(gates, &b)
        return .init(gates: all, recurrentGates: all, recurrentWeight: try b.gemm(all, d.before, transA: true), state: state, cell: flowing)
    }
}

/// Gated recurrent unit (Cho et al. 2014): h′ = (1 − z)·n + z·h, in ONNX's order z, r, n. The reset gate acts on the hidden
/// state before its product with the recurrent weights, or on that product (`linearBeforeReset`, as in PyTorch and cuDNN).
enum GRUCell {
    static func back(_ d: RecurrentDirection, linearBeforeReset: Bool, _ b: inout GradientBuilder) throws -> RecurrentDirection.Gradients {
        try linearBeforeReset ? afterProduct(d, &b) : beforeProduct(d, &b)
    }

    private static func afterProduct(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> RecurrentDirection.Gradients {
        let fromInput = try d.byGates(try b.linear(d.layer.x, d.inputWeight, plus: d.inputBias), &b)
        let fromState = try d.byGates(try b.linear(d.before, d.recurrentWeight, plus: d.recurrentBias), &b)
        let z = try b.map("Sigmoid", try b.add(fromInput[0], fromState[0]))
        let r = try b.map("Sigmoid", try b.add(fromInput[1], fromState[1]))
        let n = try b.map("Tanh", try b.add(fromInput[2], try b.multiply(r, fromState[2])))

        let candidateSlope = try b.multiply(try b.subtract(b.scalar(1), z), try b.tanhSlope(n))
        let updateSlope = try d.bySteps(try b.multiply(try b.subtract(d.before, n), try b.sigmoidSlope(z)), &b)
        let resetSlope = try d.bySteps(try b.multiply(try b.multiply(candidateSlope, fromState[2]), try b.sigmoidSlope(r)), &b)
        let productSlope = try d.bySteps(try b.multiply(candidateSlope, r), &b)
        let kept = try d.bySteps(z, &b)

        var gates: [Int: String] = [:], gradients: [Int: String] = [:]
        let state = try d.backwards(&b) { step, dh, b in
            let sums = try b.concat(
                [try b.multiply(dh, updateSlope[step]), try b.multiply(dh, resetSlope[step]), try b.multiply(dh, productSlope[step])], axis: 1)
            (gates[step], gradients[step]) = (sums, dh)
            return try b.product(sums, d.recurrentWeight, plus: try b.multiply(dh, kept[step]))
        }
        let recurrent = try d.together(gates, &b)
        let candidate = try b.multiply(try d.together(gradients, &b), candidateSlope)
        let both = try b.slice(recurrent, axes: [1], starts: [0], ends: [2 * d.layer.hidden])
        return .init(
            gates: try b.concat([both, candidate], axis: 1), recurrentGates: recurrent,
            recurrentWeight: try b.gemm(recurrent, d.before, transA: true), state: state)
    }

    private static func beforeProduct(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> RecurrentDirection.Gradients {
        let hidden = d.layer.hidden
        let bias = try zip2(d.inputBias, d.recurrentBias).map { try b.add($0, $1) }
        let fromInput = try d.byGates(try b.linear(d.layer.x, d.inputWeight, plus: bias), &b)
        let weights = try b.split(d.recurrentWeight, axis: 0, sizes: [2 * hidden, hidden])
        let fromState = try d.byGates(try b.linear(d.before, weights[0]), &b)
        let z = try b.map("Sigmoid", try b.add(fromInput[0], fromState[0]))
        let r = try b.map("Sigmoid", try b.add(fromInput[1], fromState[1]))
        let reset = try b.multiply(r, d.before)
        let n = try b.map("Tanh", try b.linear(reset, weights[1], plus: fromInput[2]))

        let candidateSlope = try d.bySteps(try b.multiply(try b.subtract(b.scalar(1), z), try b.tanhSlope(n)), &b)
        let updateSlope = try d.bySteps(try b.multiply(try b.subtract(d.before, n), try b.sigmoidSlope(z)), &b)
        let resetSlope = try d.bySteps(try b.multiply(d.before, try b.sigmoidSlope(r)), &b)
        let (kept, resets) = (try d.bySteps(z, &b), try d.bySteps(r, &b))

        var gates: [Int: String] = [:]
        let state = try d.backwards(&b) { step, dh, b in
            let candidate = try b.multiply(dh, candidateSlope[step])
            let throughReset = try b.gemm(candidate, weights[1])
            let both = try b.concat([try b.multiply(dh, updateSlope[step]), try b.multiply(throughReset, resetSlope[step])], axis: 1)
            gates[step] = try b.concat([both, candidate], axis: 1)
            let direct = try b.add(try b.multiply(dh, kept[step]), try b.multiply(throughReset, resets[step]))
            return try b.product(both, weights[0], plus: direct)
        }
        let all = try d.together(gates, &b)
        let split = try b.split(all, axis: 1, sizes: [2 * hidden, hidden])
        let weight = try b.concat([try b.gemm(split[0], d.before, transA: true), try b.gemm(split[1], reset, transA: true)], axis: 0)
        return .init(gates: all, recurrentGates: all, recurrentWeight: weight, state: state)
    }
}

/// The plain recurrent layer (Elman 1990): h′ = tanh(x·Wᵀ + h·Rᵀ + b).
enum ElmanCell {
    static func back(_ d: RecurrentDirection, _ b: inout GradientBuilder) throws -> RecurrentDirection.Gradients {
        let slope = try d.bySteps(try b.tanhSlope(d.states), &b)
        var sums: [Int: String] = [:]
        let state = try d.backwards(&b) { step, dh, b in
            let gradient = try b.multiply(dh, slope[step])
            sums[step] = gradient
            return try b.gemm(gradient, d.recurrentWeight)
        }
        let all = try d.together(sums, &b)
        return .init(gates: all, recurrentGates: all, recurrentWeight: try b.gemm(all, d.before, transA: true), state: state)
    }
}

private func zip2(_ a: String?, _ b: String?) -> (String, String)? {
    guard let a, let b else { return nil }
    return (a, b)
}
