import EngineSupport
import Foundation
import Testing

@testable import Measurement
@testable import ModelGraph
@testable import Recipes
@testable import Techniques

@Suite struct LatencyForecastTests {
    private let kernel = Kernel(convolution: [8, 8], inputs: 16, outputs: 16, window: [3, 3])

    /// A model of two equal layers of 0.4 ms each, with 0.2 ms of other operators.
    private func forecast(_ more: [Kernel: Double] = [:]) -> LatencyForecast {
        var table = KernelTable()
        table.insert(kernel, milliseconds: 0.2)
        for (kernel, time) in more { table.insert(kernel, milliseconds: time) }
        return LatencyForecast(
            baseline: 1, profile: ["a": 0.4, "b": 0.4], total: 1, nodes: 3, layerIDs: ["a", "b"], kernels: [kernel, kernel], table: table)
    }

    private var states: [LayerState] {
        let layer = Layer(
            id: "a", kind: .conv, opType: "Conv", path: .main, nodeIndex: 0, weight: "w", weightShape: [16, 16, 3, 3], weightType: .float32, otherWeights: [],
            bias: nil, outputAxis: 0, inputAxis: 1, group: 1)
        var summary = LayerSummary(
            layer: layer, weightCount: 2304, biasCount: 0, zeroCount: 0, maximumMagnitude: 1, mean: 0, standardDeviation: 1, magnitudeQuantiles: [], histogram: [],
            outputNormsL1: [], outputNormsL2: [])
        (summary.macs, summary.outputElements) = (147_456, 1024)
        return [LayerState(summary), LayerState(summary)]
    }

    @Test func zerosChangeNothing() throws {
        var pruned = states
        pruned[0].density = 0.1
        let prediction = try #require(forecast().prediction(initial: states, states: pruned))
        #expect(prediction.ratio == 1 && prediction.milliseconds == 1 && prediction.interval.low > 0.9 && prediction.interval.high < 1.1)
    }

    /// The other form's time counts, in proportion to what the layer takes in the model itself.
    @Test func anotherFormIsLookedUp() throws {
        var changed = states
        changed[0].form = .staticInt8
        let made = forecast([kernel.with(form: .staticInt8): 0.1])
        #expect(abs(made.rawRatio(states, changed) - 0.8) < 1e-9)
        #expect(try #require(made.prediction(initial: states, states: changed)).interval.low < 0.8)
        // Slower is slower, whatever MACs say.
        let slow = forecast([kernel.with(form: .staticInt8): 0.5])
        #expect(abs(slow.rawRatio(states, changed) - 1.6) < 1e-9)
    }

    /// Factors cost what each of them does, and a node more.
    @Test func linksAddUp() throws {
        var changed = states
        changed[1].links = [
            LayerLink(inputs: 16, outputs: 8, window: [3, 3], positions: 64), LayerLink(inputs: 8, outputs: 16, window: [1, 1], positions: 64),
        ]
        changed[1].macs = 70_000
        let first = Kernel(convolution: [8, 8], inputs: 16, outputs: 8, window: [3, 3])
        let second = Kernel(convolution: [8, 8], inputs: 8, outputs: 16, window: [1, 1])
        let ratio = forecast([first: 0.12, second: 0.1]).rawRatio(states, changed)
        #expect(ratio > 1.04 && ratio < 1.046, "0.22 against 0.2 of one kernel, and one node: \(ratio)")
    }

    @Test func removedChannelsMakeItFaster() throws {
        var changed = states
        for index in changed.indices {
            (changed[index].outputsKept, changed[index].inputsKept) = (0.5, 0.5)
            changed[index].macs = changed[index].macs.map { $0 / 4 }
            changed[index].outputElements = 512
        }
        let ratio = forecast([kernel.with(inputs: 8, outputs: 8): 0.06]).rawRatio(states, changed)
        #expect(abs(ratio - (1 - 0.8 * 0.7 - 0.2 * 0.5 * 0.8)) < 1e-9)
    }

    /// Whole models that were timed correct later predictions of the same kind of change, most where they are near, and narrow the interval.
    @Test func measurementsCorrect() throws {
        var residuals = LatencyResiduals()
        let before = residuals.corrected(0.5, changes: ["chain of 2"])
        #expect(before.ratio == 0.5)
        for _ in 0..<4 { residuals.learn(0.7, raw: 0.5, changes: ["chain of 2"]) }
        let after = residuals.corrected(0.5, changes: ["chain of 2"])
        #expect(abs(after.ratio - 0.7) < 0.03)
        #expect(after.interval.high / after.interval.low < before.interval.high / before.interval.low, "measured nearby")
        let far = residuals.corrected(8, changes: ["chain of 2"]).ratio
        #expect(abs(far - 8) < 0.05, "far away it says little")
        #expect(residuals.corrected(0.5, changes: ["static-int8"]).ratio == 0.5, "nothing about others")
        let copy = try JSONDecoder().decode(LatencyResiduals.self, from: JSONEncoder().encode(residuals))
        #expect(copy.corrected(0.5, changes: ["chain of 2"]).ratio == after.ratio)
    }

    /// With enough measurements the interval holds nine of ten of them.
    @Test func intervalsHoldTheirShare() {
        var residuals = LatencyResiduals()
        var generator = SeededGenerator(seed: 3)
        func noise() -> Double { (0..<12).reduce(-6.0) { sum, _ in sum + Double(generator.next() >> 11) / 9_007_199_254_740_992 } * 0.1 }
        var hits = 0
        for number in 0..<600 {
            let raw = 0.4 + Double(number % 7) * 0.1
            // Each kind of change for the first time, so that only the spread is known.
            let changes = ["change \(number)"]
            let measured = raw * exp(noise())
            if number >= 200 {
                let interval = residuals.corrected(raw, changes: changes).interval
                if (interval.low...interval.high).contains(measured) { hits += 1 }
            }
            residuals.learn(measured, raw: raw, changes: changes)
        }
        #expect((340...380).contains(hits), "nine of ten of 400: \(hits)")
    }
}
