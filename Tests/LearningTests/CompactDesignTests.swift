import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Cheaper blocks in the place of convolutions.
@Suite struct CompactDesignTests {
    /// Weights of separable blocks: n·k² in the depthwise and n·m in the 1×1 convolution (Howard et al. 2017, section 3.1).
    @Test func separableBlocksHoldWhatTheFormulaSays() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("resnet-8", in: folder)
        let before = session.model
        let applied = try FewImages.apply("compact-design", ["epochs": .integer(1)], to: session)
        let weights = Dictionary(applied.model.layers().map { ($0.id, $0.weightCount) }) { $1 }
        var replaced = 0
        for layer in before.layers() where layer.kind == .conv && CompactDesign().refusal(for: layer, in: before) == nil {
            let (m, n, k) = (layer.weightShape[0], layer.weightShape[1], layer.weightShape[2] * layer.weightShape[3])
            guard n * (k + m) < m * n * k else { continue }
            replaced += 1
            #expect(weights[layer.id + "/depthwise"] == n * k && weights[layer.id + "/pointwise"] == n * m, "\(layer.id)")
        }
        #expect(replaced >= 6)
        #expect(try session.figures(of: applied.model).macs?.value ?? .infinity < 0.4 * 9_345_920)
        // The same inputs, outputs and bytes twice.
        #expect(applied.model.graph.outputs.map(\.name) == before.graph.outputs.map(\.name))
        let again = try FewImages.apply("compact-design", ["epochs": .integer(1)], to: FewImages.session("resnet-8", in: folder)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined())
    }

    /// With as many channels as there are positions nothing is lost, whatever strides, padding and dilation.
    @Test func fullBlocksComputeTheConvolution() throws {
        let folder = try TemporaryFolder()
        var pairs: [(Model, Model)] = []
        let forms = ["conv", "conv_strided", "conv_same", "conv_1d", "conv_tall"]
        for form in forms {
            let model = try PythonComparison.form(form, in: folder)
            var split = model
            try CompactDesign.separate(
                &split, model.layers().map { LayerTarget(layer: $0, parameters: ParameterValues(["multiplier": .integer(16)])) }, RewriteContext(), always: true)
            #expect(split.graph.nodes.count == 2, "\(form)")
            pairs.append((model, split))
        }
        for (form, difference) in zip(forms, try PythonComparison.differences(pairs)) { #expect(difference < 1e-5, "\(form)") }
    }
}
