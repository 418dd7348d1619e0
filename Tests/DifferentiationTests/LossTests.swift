import Foundation
import ModelGraph
import OnnxRuntime
import Testing

@testable import Differentiation

/// Losses against their definitions, in double precision, and their gradients against differences of these.
@Suite struct LossTests {
    /// - Parameter definition: the loss of one shard, of a batch twice its size, by its definition.
    private func check(
        _ kind: LossTerm.Kind, dims: [Int], target: [Float], targetDims: [Int], labels: Bool = false, weight: Float = 1,
        _ definition: ([Double], [Double]) -> Double
    ) throws {
        var numbers = FixedNumbers(seed: 11)
        let values = numbers.signed(dims.reduce(1, *)).map { 2 * $0 }
        func info(_ name: String, _ type: ModelGraph.ElementType, _ dims: [Int]) -> ValueInfo { ValueInfo(name: name, elementType: type, shape: dims.map { .fixed($0) }) }
        let forward = Model(graph: Graph(name: "loss", inputs: [info("scores", .float32, dims)]), opset: 17)
        let made = try GradientGraph(
            forward: forward, shapes: [:], integers: [:], trained: ["scores"],
            loss: [LossTerm(kind, value: "scores", target: "wanted", weight: weight)],
            targets: [info("wanted", labels ? .int64 : .float32, targetDims)], batch: 2 * dims[0], shard: dims[0])
        let library = try GradientCheck.runtime.get()
        let session = try GradientCheck.session(made.model, library)
        let wanted =
            try labels
            ? Value(target.map { Int64($0) }, shape: targetDims, library: library) : Value(target, shape: targetDims, library: library)
        let results = try session.run(
            inputs: [("scores", try Value(values, shape: dims, library: library)), ("wanted", wanted)],
            outputs: [GradientGraph.loss, try #require(made.gradients["scores"])])
        let x = values.map(Double.init)
        let t = target.map(Double.init)
        let expected = definition(x, t) * Double(weight)
        #expect(abs(Double(try results[0].floats()[0]) - expected) < 1e-5 * max(abs(expected), 1))
        let gradient = try results[1].floats()
        let slopes = x.indices.map { index -> Double in
            var (up, down) = (x, x)
            up[index] += 1e-5
            down[index] -= 1e-5
            return (definition(up, t) - definition(down, t)) / 2e-5 * Double(weight)
        }
        let scale = slopes.map { abs($0) }.max() ?? 1
        for (found, slope) in zip(gradient, slopes) { #expect(abs(Double(found) - slope) < 1e-3 * scale) }
    }

    private func logSoftmax(_ row: [Double]) -> [Double] {
        let top = row.max() ?? 0
        let total = log(row.reduce(0) { $0 + exp($1 - top) }) + top
        return row.map { $0 - total }
    }

    private func rows(_ values: [Double], _ width: Int) -> [[Double]] { stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) } }

    /// Sum of squared differences.
    private func squares(_ a: [Double], _ b: [Double]) -> Double {
        var total = 0.0
        for (x, y) in zip(a, b) { total += (x - y) * (x - y) }
        return total
    }

    private func crossEntropy(_ x: [Double], _ labels: [Double], classes: Int, smoothing: Double, decisions: Double) -> Double {
        var total = 0.0
        for (row, label) in zip(rows(x, classes), labels) {
            for (index, logarithm) in logSoftmax(row).enumerated() {
                total -= logarithm * ((index == Int(label) ? 1 - smoothing : 0) + smoothing / Double(classes))
            }
        }
        return total / decisions
    }

    @Test(arguments: [Float(0), 0.1])
    func crossEntropyIsTheMeanOverTheBatch(_ smoothing: Float) throws {
        try check(.crossEntropy(smoothing: smoothing), dims: [4, 5], target: [0, 4, 2, 2], targetDims: [4], labels: true, weight: 0.7) {
            crossEntropy($0, $1, classes: 5, smoothing: Double(smoothing), decisions: 8)
        }
    }

    /// −log σ(x) where the label is 1, −log(1 − σ(x)) where it is 0.
    @Test(arguments: [[4, 1], [4]])
    func oneNumberIsTheLogitOfClassOne(_ dims: [Int]) throws {
        try check(.crossEntropy(smoothing: 0.1), dims: dims, target: [0, 1, 1, 0], targetDims: [4], labels: true) { x, labels in
            var total = 0.0
            for (logit, label) in zip(x, labels) {
                let likely = 0.1 / 2 + 0.9 * label
                total += likely * log(1 + exp(-logit)) + (1 - likely) * log(1 + exp(logit))
            }
            return total / 8
        }
        try check(.distillation(temperature: 2), dims: dims, target: [0.3, -2, 1.5, 0], targetDims: dims) { x, taught in
            var total = 0.0
            for (own, other) in zip(x, taught) {
                let (q, p) = (1 / (1 + exp(-own / 2)), 1 / (1 + exp(-other / 2)))
                total += p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
            }
            return 4 * total / 8
        }
    }

    @Test func everyPlaceOfASequenceIsADecision() throws {
        try check(.crossEntropy(smoothing: 0), dims: [2, 3, 4], target: [0, 3, 2, 2, 1, 1], targetDims: [2, 3], labels: true) {
            crossEntropy($0, $1, classes: 4, smoothing: 0, decisions: 12)
        }
    }

    @Test func distillationIsKullbackLeiblerTimesTheSquaredTemperature() throws {
        var numbers = FixedNumbers(seed: 5)
        try check(.distillation(temperature: 3), dims: [4, 5], target: numbers.signed(20).map { 3 * $0 }, targetDims: [4, 5]) { x, t in
            var total = 0.0
            for (own, teacher) in zip(rows(x.map { $0 / 3 }, 5), rows(t.map { $0 / 3 }, 5)) {
                for (p, q) in zip(logSoftmax(teacher), logSoftmax(own)) { total += exp(p) * (p - q) }
            }
            return 9 * total / 8
        }
    }

    @Test func meanSquareIsTheMeanOverElements() throws {
        var numbers = FixedNumbers(seed: 5)
        try check(.meanSquare, dims: [4, 2, 3], target: numbers.signed(24), targetDims: [4, 2, 3], weight: 2) { x, t in
            squares(x, t) / 48
        }
    }

    @Test func binaryCrossEntropyJudgesEachLogit() throws {
        try check(.binaryCrossEntropy, dims: [2, 5], target: [1, 0, 0, 1, 1, 0, 1, 0, 0, 0], targetDims: [2, 5], labels: true) { x, t in
            var total = 0.0
            for (logit, label) in zip(x, t) { total += log(1 + exp(label == 1 ? -logit : logit)) }
            return total / 20
        }
    }

    @Test func meanAbsoluteTakesTheSizeOfDifferences() throws {
        var numbers = FixedNumbers(seed: 3)
        try check(.meanAbsolute, dims: [2, 3, 2], target: numbers.signed(12), targetDims: [2, 3, 2], weight: 0.5) { x, t in
            var total = 0.0
            for (value, wanted) in zip(x, t) { total += abs(value - wanted) }
            return total / 24
        }
    }

    @Test func attentionTransferComparesNormalizedEnergies() throws {
        var numbers = FixedNumbers(seed: 5)
        // The teacher has another number of channels.
        try check(.attentionTransfer, dims: [2, 3, 2, 2], target: numbers.signed(40), targetDims: [2, 5, 2, 2]) { x, t in
            func maps(_ values: [Double], _ channels: Int) -> [[Double]] {
                rows(values, channels * 4).map { sample in
                    var energy = [Double](repeating: 0, count: 4)
                    for (index, value) in sample.enumerated() { energy[index % 4] += value * value / Double(channels) }
                    let length = squares(energy, [0, 0, 0, 0]).squareRoot()
                    return energy.map { $0 / length }
                }
            }
            var total = 0.0
            for (own, teacher) in zip(maps(x, 3), maps(t, 5)) { total += squares(own, teacher) }
            return total / 4
        }
    }
}
