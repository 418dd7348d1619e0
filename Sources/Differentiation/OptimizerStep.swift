import Foundation

/// Memory of one trained tensor during a step; all buffers have its number of elements.
public struct WeightMemory: @unchecked Sendable {
    public var weight: UnsafeMutableBufferPointer<Float>
    /// `Optimizer.stateCount` buffers: momentum, or Adam's averages of gradients and of their squares.
    public var states: [UnsafeMutableBufferPointer<Float>]
    /// Gradients of the parts of a batch, which are summed; the first is overwritten.
    public var gradients: [UnsafeMutableBufferPointer<Float>]
    /// 1 where an element is trained, 0 where it stays zero; `nil` if all are.
    public var mask: UnsafeMutableBufferPointer<Float>?

    public init(
        weight: UnsafeMutableBufferPointer<Float>, states: [UnsafeMutableBufferPointer<Float>], gradients: [UnsafeMutableBufferPointer<Float>],
        mask: UnsafeMutableBufferPointer<Float>? = nil
    ) {
        (self.weight, self.states, self.gradients, self.mask) = (weight, states, gradients, mask)
    }
}

/// One optimizer step over all trained tensors, in place and in one pass over memory, piece by piece on every core.
///
/// As a graph of the runtime's operators a step makes a pass for each of them. Results do not depend on the number of cores.
public struct OptimizerStep: Sendable {
    private let optimizer: Optimizer
    private let weights: [UpdatedWeight]
    /// Elements of a piece: some buffers of that many fit into a core's cache.
    private static let piece = 8192

    public init(_ optimizer: Optimizer, weights: [UpdatedWeight]) { (self.optimizer, self.weights) = (optimizer, weights) }

    private struct Piece {
        var weight: Int
        var range: Range<Int>
    }

    /// - Parameters:
    ///   - memory: of each weight, in the order of `init`.
    ///   - rate: the learning rate.
    ///   - number: 1 for the first step.
    ///   - held: weights that stay as they are, with their states, and count in no norm.
    public func run(_ memory: [WeightMemory], rate: Float, number: Int, held: Set<Int> = []) {
        let pieces = memory.indices.filter { !held.contains($0) }.flatMap { index in
            stride(from: 0, to: memory[index].weight.count, by: Self.piece).map { Piece(weight: index, range: $0..<min($0 + Self.piece, memory[index].weight.count)) }
        }
        // Gradients of groups are of the weights before the step.
        let norms = memory.indices.map { weights[$0].groupLasso > 0 && !held.contains($0) ? Self.groupNorms(memory[$0].weight, weights[$0]) : [] }
        let corrections = Self.corrections(optimizer, step: number)
        var factor: Float = 1
        if optimizer.clipNorm > 0 {
            let squares = [Double](unsafeUninitializedCapacity: pieces.count) { buffer, count in
                nonisolated(unsafe) let squares = buffer
                Self.onEveryCore(pieces) { squares[$0] = gather(memory[pieces[$0].weight], pieces[$0], square: true) }
                count = pieces.count
            }
            factor = min(1, optimizer.clipNorm / (Float(squares.reduce(0, +).squareRoot()) + 1e-6))
        }
        Self.onEveryCore(pieces) { place in
            let piece = pieces[place]
            let buffers = memory[piece.weight]
            if optimizer.clipNorm <= 0 { _ = gather(buffers, piece, square: false) }
            if factor != 1 { for index in piece.range { buffers.gradients[0][index] *= factor } }
            penalize(buffers, piece, norms[piece.weight])
            move(buffers, piece, rate: rate * weights[piece.weight].rate, corrections)
        }
    }

    private static func onEveryCore(_ pieces: [Piece], _ body: (Int) -> Void) {
        // A few thousand elements take less time than waking a thread.
        if pieces.reduce(0, { $0 + $1.range.count }) < 2 * piece { return pieces.indices.forEach(body) }
        withoutActuallyEscaping(body) { body in
            nonisolated(unsafe) let body = body
            DispatchQueue.concurrentPerform(iterations: pieces.count) { body($0) }
        }
    }

    /// Sums the gradients of a piece into the first buffer; returns the sum of squares if asked.
    private func gather(_ memory: WeightMemory, _ piece: Piece, square: Bool) -> Double {
        let total = memory.gradients[0]
        for part in memory.gradients.dropFirst() { for index in piece.range { total[index] += part[index] } }
        let factor = weights[piece.weight].gradientFactor
        if factor != 1 { for index in piece.range { total[index] *= factor } }
        if let mask = memory.mask { for index in piece.range { total[index] *= mask[index] } }
        guard square else { return 0 }
        return piece.range.reduce(0) { $0 + Double(total[$1]) * Double(total[$1]) }
    }

    /// √n times what a group's norm divides by, for each slice of n elements along the first axis.
    private static func groupNorms(_ weight: UnsafeMutableBufferPointer<Float>, _ updated: UpdatedWeight) -> [Float] {
        guard updated.dims.count > 1, let groups = updated.dims.first, groups > 0 else { return [] }
        let size = weight.count / groups
        return (0..<groups).map { group in
            let squares = (group * size..<(group + 1) * size).reduce(Float(0)) { $0 + weight[$1] * weight[$1] }
            return updated.groupLasso * Float(size).squareRoot() / (squares + 1e-12).squareRoot()
        }
    }

    /// Adds to the gradient what penalties and coupled weight decay give.
    private func penalize(_ memory: WeightMemory, _ piece: Piece, _ norms: [Float]) {
        let updated = weights[piece.weight]
        let (gradient, weight) = (memory.gradients[0], memory.weight)
        if updated.l1 > 0 {
            for index in piece.range { gradient[index] += weight[index] > 0 ? updated.l1 : weight[index] < 0 ? -updated.l1 : 0 }
        }
        if !norms.isEmpty {
            let size = weight.count / norms.count
            for index in piece.range { gradient[index] += weight[index] * norms[index / size] }
        }
        if updated.decays, optimizer.weightDecay > 0, optimizer.kind != .adamw {
            for index in piece.range { gradient[index] += weight[index] * optimizer.weightDecay }
        }
    }

    private func move(_ memory: WeightMemory, _ piece: Piece, rate: Float, _ corrections: (Float, Float)) {
        let updated = weights[piece.weight]
        let (gradient, weight) = (memory.gradients[0], memory.weight)
        switch optimizer.kind {
        case .sgd:
            let momentum = optimizer.momentum
            if momentum > 0 {
                let velocity = memory.states[0]
                for index in piece.range { velocity[index] = momentum * velocity[index] + gradient[index] }
                if optimizer.nesterov {
                    for index in piece.range { weight[index] -= rate * (gradient[index] + momentum * velocity[index]) }
                } else {
                    for index in piece.range { weight[index] -= rate * velocity[index] }
                }
            } else {
                for index in piece.range { weight[index] -= rate * gradient[index] }
            }
        case .adam, .adamw:
            let (mean, square) = (memory.states[0], memory.states[1])
            let (beta1, beta2, epsilon) = (optimizer.beta1, optimizer.beta2, optimizer.epsilon)
            let (rest1, rest2) = (1 - beta1, 1 - beta2)
            let kept = updated.decays && optimizer.kind == .adamw ? 1 - rate * optimizer.weightDecay : 1
            let (first, second) = (rate * corrections.0, corrections.1)
            for index in piece.range {
                let slope = gradient[index]
                let newMean = beta1 * mean[index] + rest1 * slope
                let newSquare = beta2 * square[index] + rest2 * slope * slope
                mean[index] = newMean
                square[index] = newSquare
                weight[index] = kept * weight[index] - first * newMean / (newSquare.squareRoot() * second + epsilon)
            }
        }
        if let mask = memory.mask { for index in piece.range { weight[index] *= mask[index] } }
        if let minimum = updated.minimum { for index in piece.range { weight[index] = max(weight[index], minimum) } }
    }

    /// 1/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ) for step t ≥ 1.
    static func corrections(_ optimizer: Optimizer, step: Int) -> (Float, Float) {
        guard optimizer.kind != .sgd else { return (1, 1) }
        let first = 1 - pow(Double(optimizer.beta1), Double(step))
        let second = 1 - pow(Double(optimizer.beta2), Double(step))
        return (Float(1 / first), Float(1 / second.squareRoot()))
    }
}
