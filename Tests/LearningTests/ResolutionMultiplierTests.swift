import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Networks over smaller images.
@Suite struct ResolutionMultiplierTests {
    private static func small(_ model: Model, _ share: Double) throws -> Model {
        let shapes = try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1))
        var result = model
        try ResolutionMultiplier.shrink(&result, to: share, shapes: shapes, notes: RewriteContext.Notes())
        return result
    }

    /// NumPy: means of blocks, or linear interpolation between pixels' middles (half_pixel), first; the original dense layer on feature maps repeated to their
    /// old size behind.
    @Test func imagesAndDenseLayersAreWhatTheyAreSaidToBe() throws {
        let folder = try TemporaryFolder()
        let (resnet, lenet) = (try Fixture.sample("resnet-8"), try Fixture.sample("lenet-5"))
        let found = PythonComparison.numbers(
            try Python.run(
                """
                import onnx, onnxruntime as ort
                from onnx import helper, numpy_helper
                def run(path, *values):
                    m = onnx.load(path); onnx.checker.check_model(m, full_check=True)
                    for v in values: m.graph.output.append(helper.make_empty_tensor_value_info(v))
                    return ort.InferenceSession(m.SerializeToString()).run(list(values), {'image': x})
                x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype(np.float32)
                print(np.abs(run(args[0], 'image/small')[0] - x.reshape(3, 1, 14, 2, 14, 2).mean((3, 5))).max())
                image, map, dense = run(args[1], 'image/small', '/MaxPool_1_output_0', '/ip1/Gemm_output_0')
                at = np.clip((np.arange(21) + 0.5) * 28 / 21 - 0.5, 0, 27)
                low = np.floor(at).astype(int); high = np.minimum(low + 1, 27); t = at - low
                rows = x[:, :, low] * (1 - t)[:, None] + x[:, :, high] * t[:, None]
                print(np.abs(image - (rows[..., low] * (1 - t) + rows[..., high] * t)).max())
                t = {i.name: numpy_helper.to_array(i) for i in onnx.load(args[2]).graph.initializer}
                assert map.shape == (3, 50, 2, 2)
                wide = map.repeat(2, 2).repeat(2, 3)
                print(np.abs(dense - (wide.reshape(3, -1) @ t['ip1.weight'].T + t['ip1.bias'])).max() / np.abs(dense).max())
                """,
                arguments: [
                    try Self.small(resnet, 0.5).written(folder, "resnet.onnx"), try Self.small(lenet, 0.75).written(folder, "lenet.onnx"),
                    Samples.path("lenet-5"),
                ]))
        try #require(found.count == 3)
        for difference in found { #expect(difference < 1e-5, "\(found)") }
    }

    /// A network of every kind of window, for an image of any size.
    private static func windows(_ height: Int?, _ width: Int?) -> Model {
        var b = GraphBuilder(input: [nil, 3, nil, nil])
        b.graph.inputs[0].shape = [.symbolic("batch"), .fixed(3), height.map { .fixed($0) } ?? .symbolic("height"), width.map { .fixed($0) } ?? .symbolic("width")]
        func kernel(_ name: String, _ dims: [Int]) -> String { b.constant(name + ".weight", dims) }
        b.node("Conv", ["x", kernel("same", [4, 3, 3, 5])], "same", [("auto_pad", .text("SAME_UPPER")), ("strides", .integers([2, 1]))])
        b.node("Conv", ["same", kernel("dilated", [4, 4, 3, 2])], "dilated", [("dilations", .integers([2, 3])), ("pads", .integers([1, 0, 2, 1]))])
        b.node(
            "MaxPool", ["dilated"], "up", [("kernel_shape", .integers([3, 3])), ("strides", .integers([2, 2])), ("ceil_mode", .integer(1)), ("pads", .integers([1, 1, 1, 1]))])
        b.node("AveragePool", ["dilated"], "valid", [("kernel_shape", .integers([2, 3])), ("auto_pad", .text("VALID"))])
        b.node("Pad", ["valid", b.integers("pads", [0, 0, 1, 0, 0, 0, 2, 3])], "padded")
        b.node("Concat", ["padded", b.node("Relu", ["padded"], "rectified")], "joined", [("axis", .integer(1))])
        let gate = b.node("Sigmoid", [b.conv(b.node("GlobalAveragePool", ["joined"], "mean"), "squeeze", (8, 8), kernel: 1)], "gate")
        b.node("Mul", ["joined", gate], "gated")
        let left = b.node("Flatten", [b.node("GlobalMaxPool", ["gated"], "most")], "left")
        let right = b.node("Flatten", [b.node("GlobalAveragePool", ["up"], "average")], "right")
        return b.model(b.gemm(b.node("Concat", [left, right], "features", [("axis", .integer(1))]), "scores", (12, 5)))
    }

    /// Sizes predicted for every feature map are those that the runtime finds.
    @Test(arguments: [0.5, 0.6, 0.75, 0.9, 0.35]) func planesAreThoseOfTheRuntime(_ share: Double) throws {
        var seen = 0
        for model in try [Self.windows(33, 40), Self.windows(24, 31), Fixture.sample("resnet-8"), Fixture.sample("ds-cnn"), Fixture.sample("lenet-5")] {
            let input = Fixture.inputs(for: model, batch: 2)
            let shapes = try Fixture.shapes(of: model, input)
            let maps = try FeatureMaps(model, layers: model.layers(), shapes: shapes)
            let predicted = maps.maps(at: maps.image(at: share))
            guard predicted.failure == nil else {
                #expect(throws: EngineError.self) { try Self.small(model, share) }
                continue
            }
            let small = try Self.small(model, share)
            let found = try Fixture.shapes(of: small, input)
            for (value, size) in predicted.maps where value != maps.image { #expect(found[value].map { Array($0.suffix(2)) } == size, "\(value)") }
            #expect(try Fixture.run(small, input).map(\.shape) == Fixture.run(model, input).map(\.shape))
            seen += 1
        }
        #expect(seen >= 3)
    }

    /// Where the graph leaves the image's size open, it stays open.
    @Test func openExtentsStayOpen() throws {
        let model = Self.windows(nil, nil)
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, 3, 40, 40], seed: 1)])
        for share in [0.5, 0.7] {
            var small = model
            try ResolutionMultiplier.shrink(&small, to: share, shapes: shapes, notes: RewriteContext.Notes())
            for (height, width) in [(40, 40), (32, 64), (41, 35)] { #expect(try Fixture.run(small, [Fixture.normal("x", [2, 3, height, width], seed: 2)])[0].shape == [2, 5]) }
        }
    }

    /// Poolings by a window as large as the feature map become global, Reshapes with the number of positions get fewer.
    @Test func windowsOfWholePlanesAndCountsFollow() throws {
        var b = GraphBuilder(input: [nil, 3, 16, 16], opset: 9)
        let map = b.conv("x", "conv", (3, 6))
        let mean = b.node("AveragePool", [map], "mean", [("kernel_shape", .integers([16, 16]))])
        let first = b.matMul(b.node("Reshape", [mean, b.integers("means", [-1, 6])], "flat"), "first", (6, 4))
        let second = b.matMul(b.node("Reshape", [map, b.integers("all", [-1, 6 * 16 * 16])], "long"), "second", (6 * 16 * 16, 4))
        let model = b.model(b.node("Add", [first, second], "scores"))
        let small = try Self.small(model, 0.5)
        #expect(small.graph.nodes.contains { $0.opType == "GlobalAveragePool" } && small.graph.nodes.count { $0.opType == "AveragePool" } == 1)
        #expect(small.layers().first { $0.id == "second" }?.weightShape == [6 * 8 * 8, 4])
        // A picture of one color but for the border, whose convolution sees other padding, is the same at every resolution.
        let input = [Fixture.normal("x", [2, 3, 16, 16], seed: 1)]
        #expect(try Fixture.run(small, input)[0].shape == [2, 4])
        #expect(throws: EngineError.self) { try Self.small(model, 0.7) }
    }

    /// What depends on the image's size says so.
    @Test func othersAreRefused() throws {
        func reason(_ model: Model) throws -> String {
            let shapes = try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1))
            let refusals = ResolutionMultiplier().refusals(for: model.layers(), in: model, shapes: shapes)
            #expect(refusals.allSatisfy { $0 != nil })
            return refusals.first.flatMap { $0 } ?? ""
        }
        #expect(try reason(Fixture.sample("lenet-300-100")) == "no convolution reads the image")
        for name in ["transformer", "lstm"] { #expect(try !reason(Fixture.sample(name)).isEmpty) }
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        #expect(try reason(b.model(b.conv("x", "conv", (3, 4)))) == "output 'conv' has a value for each position of the image")
        b = GraphBuilder(input: [nil, 3, 8, 8])
        let positioned = b.node("Add", [b.conv("x", "conv", (3, 4)), b.constant("positions", [1, 4, 8, 8])], "positioned")
        #expect(try reason(b.model(b.node("GlobalAveragePool", [positioned], "mean"))) == "Add has a constant for each position ('positions')")
        b = GraphBuilder(input: [nil, 3, 8, 8])
        let tokens = b.node("Reshape", [b.conv("x", "conv", (3, 4)), b.integers("tokens", [-1, 4, 64])], "tokens.out")
        #expect(try reason(b.model(b.node("ReduceMean", [tokens], "mean", [("axes", .integers([2]))]))) == "Reshape depends on the number of positions")
    }

    @Test(.long) func trainsAndIsTheSameTwice() throws {
        let folder = try TemporaryFolder()
        let session = try FewImages.session("ds-cnn", in: folder, training: 96)
        let parameters: [String: ParameterValue] = ["epochs": .integer(2), "keep": .choice("last")]
        let applied = try FewImages.apply("resolution-multiplier", parameters, to: session)
        let (before, after) = (try session.figures(of: session.model), try session.figures(of: applied.model))
        #expect(after.parameters.value == before.parameters.value)
        #expect(try #require(after.macs?.value) < 0.4 * #require(before.macs?.value))
        let epochs = try #require(applied.reports.last?.training?.epochs)
        #expect(try #require(epochs[2].loss) < #require(epochs[1].loss))
        let again = try FewImages.apply("resolution-multiplier", parameters, to: FewImages.session("ds-cnn", in: folder, training: 96)).model
        #expect(try applied.model.serialized().joined() == again.serialized().joined(), "the same bytes twice")
    }
}
