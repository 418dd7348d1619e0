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

    @Test func huberCountsLargeDifferencesLess() throws {
        var numbers = FixedNumbers(seed: 3)
        try check(.huber, dims: [2, 3, 2], target: numbers.signed(12).map { 3 * $0 }, targetDims: [2, 3, 2], weight: 0.5) { x, t in
            var total = 0.0
            for (value, wanted) in zip(x, t) { total += abs(value - wanted) < 1 ? (value - wanted) * (value - wanted) / 2 : abs(value - wanted) - 0.5 }
            return total / 24
        }
    }

    /// By the sum over all ways to say it: every path of classes that becomes the text when equal neighbors are joined and blanks dropped.
    @Test func sequenceLossSumsOverAllPaths() throws {
        let texts = [[1, 1], [2, 1, 2], [], [1]]
        let target = texts.flatMap { SequenceTargets($0, blank: 0, states: 7).rows }.map(Float.init)
        try check(.sequence, dims: [4, 5, 3], target: target, targetDims: [4, 3, 7], labels: true) { x, _ in
            var total = 0.0
            for (sample, text) in texts.enumerated() {
                let steps = rows(Array(x[sample * 15..<(sample + 1) * 15]), 3).map(logSoftmax)
                var likely = 0.0
                for code in 0..<243 {
                    var path: [Int] = []
                    var rest = code
                    for _ in 0..<5 { (path, rest) = (path + [rest % 3], rest / 3) }
                    var said: [Int] = []
                    for (place, step) in path.enumerated() where step != 0 && (place == 0 || path[place - 1] != step) { said.append(step) }
                    if said == text { likely += exp(zip(steps, path).reduce(0) { $0 + $1.0[$1.1] }) }
                }
                total -= log(likely)
            }
            return total / 8
        }
    }

    /// PyTorch 2.13.0: torch.nn.functional.ctc_loss with reduction='none', and the gradient of half the sum.
    @Test func sequenceLossIsPyTorchs() throws {
        let scores = (0..<60).map { place -> Float in
            let (sample, step, part) = (Double(place / 30), Double(place / 5 % 6), Double(place % 5))
            return Float(2 * sin(1 + 3 * sample + 7 * step + 11 * part))
        }
        let texts = [[1, 3, 3], [4, 2]].map { SequenceTargets($0, blank: 0, states: 7) }
        #expect(texts.map(\.steps) == [4, 2])
        func info(_ name: String, _ type: ModelGraph.ElementType, _ dims: [Int]) -> ValueInfo { ValueInfo(name: name, elementType: type, shape: dims.map { .fixed($0) }) }
        let forward = Model(graph: Graph(name: "loss", inputs: [info("scores", .float32, [2, 6, 5])]), opset: 17)
        let made = try GradientGraph(
            forward: forward, shapes: [:], integers: [:], trained: ["scores"], loss: [LossTerm(.sequence, value: "scores", target: "wanted")],
            targets: [info("wanted", .int64, [2, 3, 7])], batch: 2, shard: 2)
        let library = try GradientCheck.runtime.get()
        let results = try GradientCheck.session(made.model, library).run(
            inputs: [("scores", try Value(scores, shape: [2, 6, 5], library: library)), ("wanted", try Value(texts.flatMap(\.rows), shape: [2, 3, 7], library: library))],
            outputs: [GradientGraph.loss, try #require(made.gradients["scores"])])
        let loss = Double(try results[0].floats()[0])
        #expect(abs(loss - (12.64513576955828 + 8.404067364027878) / 2) < 1e-4)
        let wanted: [Double] = [-0.248458116, -0.051038176, 0.006448497, 0.100932634, 0.19211516, -0.108464722, -0.1084015, 0.004164128, -0.00341608, 0.216118173]
        let last: [Double] = [-0.018305447, 0.220362506, 0.130804001, -0.287249783, 0.01825472, 0.003755482, 0.051255355, 0.213984226]
        let gradient = try results[1].floats()
        for (found, expected) in zip(gradient.prefix(10), wanted) { #expect(abs(Double(found) - expected) < 1e-5) }
        for (found, expected) in zip(gradient.suffix(8), last) { #expect(abs(Double(found) - expected) < 1e-5, "\(found) \(expected)") }
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
