import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Techniques

/// The gradient criterion of structured pruning.
@Suite struct TaylorTests {
    /// For the last bias-free dense layer before a softmax the gradient is known in closed form: (p − y)ᵀ·x / batch.
    @Test func gradientsAreThoseOfTheCrossEntropy() throws {
        let session = try Fixture.session("lenet-300-100")
        let calibration = try #require(session.calibration)
        let labels = try #require(calibration.labels)
        let layer = try #require(session.model.layers().last)
        let node = session.model.graph.nodes[layer.nodeIndex]
        var found: [Float] = []
        try calibration.gradients(of: session.model, weights: [layer.weight], limit: 32, cancellation: Cancellation()) { found = $0[layer.weight] ?? [] }
        let (outputs, inputs) = (layer.weightShape[layer.outputAxis], layer.weightShape[layer.inputAxis])
        #expect(found.count == outputs * inputs)
        var expected = [Double](repeating: 0, count: outputs * inputs)
        var first = 0
        try calibration.forEachBatch(of: session.model, values: [node.inputs[0], node.outputs[0]], limit: 32, cancellation: Cancellation()) { values in
            for sample in 0..<values[0].shape[0] {
                let scores = values[1].floats[sample * outputs..<(sample + 1) * outputs].map(Double.init)
                let total = scores.reduce(0) { $0 + exp($1) }
                for output in 0..<outputs {
                    let error = exp(scores[output]) / total - (labels[first + sample] == output ? 1 : 0)
                    for input in 0..<inputs {
                        let place = layer.outputAxis == 0 ? output * inputs + input : input * outputs + output
                        expected[place] += error * Double(values[0].floats[sample * inputs + input]) / 32
                    }
                }
            }
            first += values[0].shape[0]
        }
        let scale = expected.map(abs).max() ?? 1
        for (a, b) in zip(found, expected) { #expect(abs(Double(a) - b) < 1e-4 * scale) }
    }

    /// Units that the loss does not depend on go first: those whose readers are zero.
    @Test func unitsNobodyReadsGoFirst() throws {
        let session = try Fixture.session("lenet-300-100")
        var model = session.model
        let layers = model.layers()
        let reader = layers[1]
        var values = try #require(model.graph.initializers[reader.weight]?.floats())
        let (outputs, inputs) = (reader.weightShape[reader.outputAxis], reader.weightShape[reader.inputAxis])
        let idle = Set(stride(from: 0, to: inputs, by: 4))
        for output in 0..<outputs { for input in idle { values[reader.outputAxis == 0 ? output * inputs + input : input * outputs + output] = 0 } }
        model.graph.initializers[reader.weight] = model.graph.initializers[reader.weight]?.withFloats(values)
        let importance = ChannelImportance(model: model, layers: layers, context: RewriteContext(calibration: session.calibration), samples: 64)
        let scores = try importance.scores(.taylor)[0]
        #expect(Set(scores.indices.filter { scores[$0] == 0 }).isSuperset(of: idle))
        #expect(scores.count { $0 > 0 } > 100)
    }
}
