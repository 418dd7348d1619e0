import Foundation
import Testing

@testable import Differentiation

/// Optimizer steps against their formulas, and against PyTorch's figures (Reference/optimizers.py).
@Suite struct OptimizerTests {
    /// Two weights and their gradients by rules that Python repeats.
    private static let dims = [[2, 3], [4]]
    private static func weight(_ number: Int) -> [Double] { (0..<(number == 0 ? 6 : 4)).map { sin(Double($0 + 7 * number)) } }
    private static func gradient(_ number: Int, step: Int) -> [Double] { (0..<(number == 0 ? 6 : 4)).map { cos(Double($0) + 3 * Double(step) + Double(number)) } }

    /// Weights after some steps, each gradient handed over in two unequal shards.
    private func run(_ optimizer: Optimizer, steps: Int, mask: [Float]? = nil, held: Set<Int> = [], change: (inout [UpdatedWeight]) -> Void = { _ in }) throws -> [[Float]] {
        var weights = (0..<2).map { UpdatedWeight(name: "w\($0)", dims: Self.dims[$0], decays: $0 == 0, isMasked: $0 == 0 && mask != nil) }
        change(&weights)
        let step = OptimizerStep(optimizer, weights: weights)
        func buffer(_ values: [Float]) -> UnsafeMutableBufferPointer<Float> {
            let made = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
            _ = made.initialize(from: values)
            return made
        }
        let memory = weights.enumerated().map { number, weight in
            let size = weight.dims.reduce(1, *)
            return WeightMemory(
                weight: buffer(Self.weight(number).map { Float($0) }), states: (0..<optimizer.stateCount).map { _ in buffer([Float](repeating: 0, count: size)) },
                gradients: (0..<2).map { _ in buffer([Float](repeating: 0, count: size)) }, mask: weight.isMasked ? mask.map(buffer) : nil)
        }
        defer { for buffers in memory { for each in [buffers.weight] + buffers.states + buffers.gradients + [buffers.mask].compactMap({ $0 }) { each.deallocate() } } }
        for number in 1...steps {
            for (place, buffers) in memory.enumerated() {
                for (part, share) in [Float(0.25), 0.75].enumerated() {
                    for (index, slope) in Self.gradient(place, step: number).enumerated() { buffers.gradients[part][index] = Float(slope) * share }
                }
            }
            step.run(memory, rate: 0.1, number: number, held: held)
        }
        return memory.map { Array($0.weight) }
    }

    private func expect(_ found: [[Float]], _ expected: [[Double]], within tolerance: Double = 2e-6, at location: SourceLocation = #_sourceLocation) {
        for (a, b) in zip(found, expected) {
            #expect(a.count == b.count, sourceLocation: location)
            for (x, y) in zip(a, b) { #expect(abs(Double(x) - y) < tolerance, sourceLocation: location) }
        }
    }

    @Test(arguments: OptimizerReference.all)
    func agreesWithPyTorch(_ reference: OptimizerReference) throws {
        expect(try run(reference.optimizer, steps: 5), reference.weights)
    }

    @Test func plainDescentIsTheFormula() throws {
        var optimizer = Optimizer(.sgd)
        optimizer.momentum = 0
        #expect(optimizer.stateCount == 0)
        expect(try run(optimizer, steps: 1), (0..<2).map { number in zip(Self.weight(number), Self.gradient(number, step: 1)).map { $0 - 0.1 * $1 } })
    }

    @Test func gradientsAreScaledAndWeightsKeptAboveTheirMinimum() throws {
        var optimizer = Optimizer(.sgd)
        optimizer.momentum = 0
        let found = try run(optimizer, steps: 1) { weights in
            weights[0].gradientFactor = 0.125
            weights[1].minimum = 0.5
        }
        let expected = (0..<2).map { number in zip(Self.weight(number), Self.gradient(number, step: 1)).map { $0 - (number == 0 ? 0.0125 : 0.1) * $1 } }
        expect(found, [expected[0], expected[1].map { max($0, 0.5) }])
    }

    @Test func maskedElementsStayZeroAndOthersGoTheirWay() throws {
        let mask: [Float] = [1, 0, 1, 1, 0, 1]
        var optimizer = Optimizer(.adamw)
        optimizer.weightDecay = 0.01
        let free = try run(optimizer, steps: 3)
        let masked = try run(optimizer, steps: 3, mask: mask)
        for (index, kept) in mask.enumerated() { #expect(masked[0][index] == (kept == 0 ? 0 : free[0][index])) }
        #expect(masked[1] == free[1])
    }

    /// Masked gradients do not count for the norm that is clipped.
    @Test func clippingSeesWhatIsTrained() throws {
        var optimizer = Optimizer(.sgd)
        optimizer.momentum = 0
        optimizer.clipNorm = 0.5
        let mask: [Float] = [1, 0, 0, 0, 0, 0]
        let found = try run(optimizer, steps: 1, mask: mask)
        let (first, second) = (Self.gradient(0, step: 1)[0], Self.gradient(1, step: 1))
        let norm = (first * first + second.reduce(0) { $0 + $1 * $1 }).squareRoot()
        expect([found[1]], [zip(Self.weight(1), second).map { $0 - 0.1 * $1 * 0.5 / (norm + 1e-6) }])
    }

    @Test func penaltiesAddTheirSubgradients() throws {
        var optimizer = Optimizer(.sgd)
        optimizer.momentum = 0
        let found = try run(optimizer, steps: 1) {
            $0[0].groupLasso = 0.3
            $0[1].l1 = 0.2
        }
        let (w, g) = (Self.weight(0), Self.gradient(0, step: 1))
        let lasso = w.indices.map { index -> Double in
            let row = w[(index / 3 * 3)..<(index / 3 * 3 + 3)]
            return w[index] - 0.1 * (g[index] + 0.3 * 3.0.squareRoot() * w[index] / row.reduce(0) { $0 + $1 * $1 }.squareRoot())
        }
        let l1 = zip(Self.weight(1), Self.gradient(1, step: 1)).map { $0 - 0.1 * ($1 + 0.2 * ($0 > 0 ? 1 : -1)) }
        expect(found, [lasso, l1])
    }

    @Test func aWeightsOwnRateScalesItsStep() throws {
        var optimizer = Optimizer(.sgd)
        optimizer.momentum = 0
        let found = try run(optimizer, steps: 1) { $0[0].rate = 0.1 }
        expect([found[0]], [zip(Self.weight(0), Self.gradient(0, step: 1)).map { $0 - 0.01 * $1 }])
    }

    /// A weight that is held keeps its value, and its gradient counts in no norm.
    @Test func heldWeightsAreLeftOut() throws {
        var optimizer = Optimizer(.sgd)
        optimizer.momentum = 0
        optimizer.clipNorm = 0.5
        let found = try run(optimizer, steps: 1, held: [0])
        let second = Self.gradient(1, step: 1)
        let norm = second.reduce(0) { $0 + $1 * $1 }.squareRoot()
        expect(found, [Self.weight(0), zip(Self.weight(1), second).map { $0 - 0.1 * $1 * 0.5 / (norm + 1e-6) }])
    }

    /// Many pieces on several cores give what one after the other gives.
    @Test func longWeightsAreCutIntoPieces() {
        let size = 50_000
        var optimizer = Optimizer(.adamw)
        optimizer.clipNorm = 1
        func run(_ parts: [Range<Int>]) -> [Float] {
            let buffers = parts.map { range in
                (0..<4).map { kind in
                    let made = UnsafeMutableBufferPointer<Float>.allocate(capacity: range.count)
                    for (place, index) in range.enumerated() { made.initializeElement(at: place, to: kind == 0 ? sin(Float(index)) : kind == 3 ? cos(Float(index)) : 0) }
                    return made
                }
            }
            defer { buffers.joined().forEach { $0.deallocate() } }
            let step = OptimizerStep(optimizer, weights: parts.map { UpdatedWeight(name: "\($0)", dims: [$0.count], decays: false) })
            step.run(buffers.map { WeightMemory(weight: $0[0], states: [$0[1], $0[2]], gradients: [$0[3]]) }, rate: 0.01, number: 1)
            return buffers.flatMap { Array($0[0]) }
        }
        let whole = run([0..<size])
        let parted = run(stride(from: 0, to: size, by: 8192).map { $0..<min($0 + 8192, size) })
        #expect(whole == parted)
        #expect(whole == run([0..<size]))
    }
}
