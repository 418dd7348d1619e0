import EngineSupport
import Foundation
import Measurement
import ModelGraph

/// Makes layer summaries: one pass over each layer's weights.
public enum LayerPreparation {
    /// Summaries of layers, on as many threads as there are cores.
    /// - Parameter facets: what forecasts look at beside; slow ones are left to `addSlowParts`.
    /// - Throws: `EngineError.cancelled`.
    public static func summaries(
        of model: Model, layers: [Layer], shapes: ValueShapes?, facets: [any ForecastFacet.Type] = TechniqueRegistry.facets, cancellation: Cancellation
    ) throws -> [LayerSummary] {
        let macs = shapes.map { Compute.macs(of: model.graph, shapes: $0) }
        let results = Results(count: layers.count)
        DispatchQueue.concurrentPerform(iterations: layers.count) { index in
            guard !cancellation.isCancelled else { return }
            let layer = layers[index]
            var summary = summary(of: layer, in: model)
            if layer.path.isMain {
                summary.macs = macs?[layer.nodeIndex]
                let node = model.graph.nodes[layer.nodeIndex]
                summary.outputElements = node.outputs.first.flatMap { shapes?[$0] }.map { Double($0.count) }
                summary.inputElements = node.input(node.input(1) == layer.weight ? 0 : 1).flatMap { shapes?[$0] }.map { Double($0.count) }
            }
            results.set(index, summary)
        }
        try cancellation.check()
        var summaries = results.all
        let (dims, index) = (shapes?.dims ?? [:], GraphIndex(model.graph))
        let structure = ChannelStructure(of: model, layers: layers, shapes: dims)
        let norms = summaries.map { OutputNorms(l1: $0.outputNormsL1, l2: $0.outputNormsL2) }
        let channels = ChannelForecast(structure, norms: norms)
        for number in summaries.indices {
            summaries[number].attachedCount = structure.attachedCounts[number]
            summaries[number].channels = channels
        }
        let prepared = PreparedModel(model: model, layers: layers, index: index, shapes: dims, cancellation: cancellation)
        for facet in facets where !facet.isSlow { try facet.prepare(&summaries, of: prepared) }
        return summaries
    }

    /// Adds what takes seconds and nothing waits for.
    /// - Parameter summaries: those of the model's layers, as `summaries` made them.
    /// - Throws: `EngineError.cancelled`.
    public static func addSlowParts(
        to summaries: inout [LayerSummary], of model: Model, facets: [any ForecastFacet.Type] = TechniqueRegistry.facets, cancellation: Cancellation
    ) throws {
        let prepared = PreparedModel(model: model, layers: summaries.map(\.layer), index: GraphIndex(model.graph), shapes: [:], cancellation: cancellation)
        for facet in facets where facet.isSlow { try facet.prepare(&summaries, of: prepared) }
    }

    /// Collects results of concurrent iterations; the lock makes it safe to share.
    private final class Results: @unchecked Sendable {
        private let lock = NSLock()
        private var slots: [LayerSummary?]
        init(count: Int) { slots = [LayerSummary?](repeating: nil, count: count) }
        func set(_ index: Int, _ value: LayerSummary) { lock.withLock { slots[index] = value } }
        var all: [LayerSummary] { lock.withLock { slots.compactMap { $0 } } }
    }

    static func summary(of layer: Layer, in model: Model) -> LayerSummary {
        let tensors = ([layer.weight] + layer.otherWeights).compactMap { model.initializer($0, from: layer.path)?.tensor }
        let bias = layer.bias.flatMap { model.initializer($0, from: layer.path)?.tensor }
        var pass = WeightPass()
        // Codes that share bytes, each by itself.
        let codes = StoredCodes.values(of: layer, in: model).map { [Tensor(name: "", floats: $0, dims: [$0.count])] }
        let counted = codes ?? tensors
        for tensor in counted { tensor.forEachFloatRun { pass.extremes($0) } }
        for tensor in counted {
            tensor.forEachFloatRun { pass.count($0) }
            tensor.storage.releasePages()
        }
        let weightCount = counted.reduce(0) { $0 + $1.count }
        let norms = OutputNorms(of: tensors, axis: layer.outputAxis)
        for tensor in tensors { tensor.storage.releasePages() }
        let mean = weightCount > 0 ? pass.sum / Double(weightCount) : 0
        let variance = weightCount > 0 ? max(pass.sumOfSquares / Double(weightCount) - mean * mean, 0) : 0
        let form = model.place(of: layer.weight, readBy: layer).flatMap { model.graph[$0.owner]?.sparseForms[$0.name] }
        return LayerSummary(
            layer: layer, weightCount: weightCount, biasCount: bias?.count ?? 0, zeroCount: pass.zeros, sparseForm: form,
            maximumMagnitude: pass.maximum, mean: Float(mean), standardDeviation: Float(variance.squareRoot()),
            magnitudeQuantiles: pass.quantiles(), histogram: pass.histogram, outputNormsL1: norms.l1, outputNormsL2: norms.l2)
    }

    /// Statistics gathered over the weights of one layer. Magnitudes are counted by the top 16 bits of their float
    /// pattern (sign 0, exponent, 7 bits of mantissa): bins under 1 % wide, one increment per weight.
    private struct WeightPass {
        var maximum: Float = 0
        var zeros = 0
        var sum = 0.0
        var sumOfSquares = 0.0
        var histogram = [Int](repeating: 0, count: 256)
        var magnitudes = [Int32](repeating: 0, count: 1 << 16)

        mutating func extremes(_ values: UnsafeBufferPointer<Float>) {
            var largest: Float = 0
            for value in values {
                let magnitude = abs(value)
                if magnitude > largest, magnitude.isFinite { largest = magnitude }
            }
            maximum = max(maximum, largest)
        }

        mutating func count(_ values: UnsafeBufferPointer<Float>) {
            // Of subnormal weights the quotient may be infinite.
            let quotient = maximum > 0 ? 127.999 / maximum : 0
            let scale = quotient.isFinite ? quotient : 0
            var zeros = 0
            var sum = 0.0
            var squares = 0.0
            histogram.withUnsafeMutableBufferPointer { histogram in
                magnitudes.withUnsafeMutableBufferPointer { magnitudes in
                    for value in values where value.isFinite {
                        if value == 0 { zeros += 1 }
                        sum += Double(value)
                        squares += Double(value) * Double(value)
                        histogram[Int(value * scale + 128)] += 1
                        magnitudes[Int((value.bitPattern & 0x7FFF_FFFF) >> 16)] += 1
                    }
                }
            }
            self.zeros += zeros
            self.sum += sum
            sumOfSquares += squares
        }

        func quantiles() -> [Float] {
            let total = magnitudes.reduce(0) { $0 + Int($1) }
            guard total > 0 else { return [] }
            var result = [Float]()
            result.reserveCapacity(1025)
            var below = 0
            var bin = 0
            for rank in 0...1024 {
                let position = Double(rank) / 1024 * Double(total)
                while bin < magnitudes.count - 1, Double(below + Int(magnitudes[bin])) < position {
                    below += Int(magnitudes[bin])
                    bin += 1
                }
                let low = Float(bitPattern: UInt32(bin) << 16)
                let high = min(Float(bitPattern: UInt32(bin + 1) << 16), maximum)
                let inside = magnitudes[bin] > 0 ? Float((position - Double(below)) / Double(magnitudes[bin])) : 0
                result.append(bin == 0 ? 0 : low + (max(high, low) - low) * min(max(inside, 0), 1))
            }
            return result
        }
    }
}
