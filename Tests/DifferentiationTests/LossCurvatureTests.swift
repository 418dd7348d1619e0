import Foundation
import ModelGraph
import OnnxRuntime
import Testing

@testable import Differentiation

/// Random directions against second derivatives of the losses by definition, in double precision: over all signs the mean of their products is the Hessian.
@Suite struct LossCurvatureTests {
    private func check(_ curvature: LossCurvature, dims: [Int], loss: ([Double], [Double]) -> Double) throws {
        var numbers = FixedNumbers(seed: 3)
        let values = numbers.signed(dims.reduce(1, *)).map { 2 * $0 }
        let signShape = curvature.signShape(of: dims)
        let count = signShape.reduce(1, *)
        func info(_ name: String, _ dims: [Int]) -> ValueInfo { ValueInfo(name: name, elementType: .float32, shape: dims.map { .fixed($0) }) }
        let forward = Model(graph: Graph(name: "loss", inputs: [info("scores", dims)]), opset: 17)
        let made = try GradientGraph(
            forward: forward, shapes: [:], integers: [:], trained: ["scores"], loss: [LossTerm(.probe(curvature), value: "scores", target: "signs")],
            targets: [info("signs", signShape)], batch: 1, shard: dims[0])
        let library = try GradientCheck.runtime.get()
        let session = try GradientCheck.session(made.model, library)
        let scores = try Value(values, shape: dims, library: library)
        let size = values.count
        var mean = [Double](repeating: 0, count: size * size)
        for code in 0..<1 << count {
            let signs = try Value((0..<count).map { Float(code >> $0 & 1 == 0 ? 1 : -1) }, shape: signShape, library: library)
            let gradient = try session.run(inputs: [("scores", scores), ("signs", signs)], outputs: [try #require(made.gradients["scores"])])[0].floats().map(Double.init)
            for row in 0..<size { for column in 0..<size { mean[row * size + column] += gradient[row] * gradient[column] / Double(1 << count) } }
        }
        let x = values.map(Double.init)
        let step = 1e-3
        for row in 0..<size {
            for column in 0..<size {
                func moved(_ a: Double, _ b: Double) -> Double {
                    var y = x
                    y[row] += a
                    y[column] += b
                    return loss(x, y)
                }
                let expected = (moved(step, step) - moved(step, -step) - moved(-step, step) + moved(-step, -step)) / (4 * step * step)
                #expect(abs(mean[row * size + column] - expected) < 1e-4, "\(row) \(column): \(mean[row * size + column]) against \(expected)")
            }
        }
    }

    private func logSoftmax(_ row: [Double]) -> [Double] {
        let top = row.max() ?? 0
        let total = log(row.reduce(0) { $0 + exp($1 - top) }) + top
        return row.map { $0 - total }
    }

    /// T²·KL of rows, summed; of each sample's places the mean.
    private func divergence(_ before: [Double], _ after: [Double], classes: Int, temperature: Double, places: Double) -> Double {
        var total = 0.0
        for start in stride(from: 0, to: before.count, by: classes) {
            let p = logSoftmax(before[start..<start + classes].map { $0 / temperature })
            let q = logSoftmax(after[start..<start + classes].map { $0 / temperature })
            for (a, b) in zip(p, q) { total += exp(a) * (a - b) }
        }
        return total * temperature * temperature / places
    }

    @Test(arguments: [1.0, 2.0]) func softmaxOfRows(_ temperature: Double) throws {
        try check(.softmax(temperature: Float(temperature)), dims: [2, 4]) { divergence($0, $1, classes: 4, temperature: temperature, places: 1) }
    }

    /// A sample of several decisions has their mean.
    @Test func softmaxOfPlaces() throws {
        try check(.softmax(temperature: 2), dims: [1, 2, 3]) { divergence($0, $1, classes: 3, temperature: 2, places: 2) }
    }

    @Test func oneNumberIsALogit() throws {
        try check(.softmax(temperature: 1), dims: [3, 1]) { before, after in
            divergence(before.flatMap { [0, $0] }, after.flatMap { [0, $0] }, classes: 2, temperature: 1, places: 1)
        }
    }

    @Test func sigmoidOfNumbers() throws {
        try check(.sigmoid(temperature: 2), dims: [2, 3]) { before, after in
            divergence(before.flatMap { [0, $0] }, after.flatMap { [0, $0] }, classes: 2, temperature: 2, places: 3)
        }
    }

    @Test func squares() throws {
        try check(.square, dims: [2, 3]) { before, after in
            var total = 0.0
            for (a, b) in zip(before, after) { total += (a - b) * (a - b) }
            return total / 3
        }
    }
}
