import CompressionEngine
import Measurement
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Techniques

/// Files as other tools write them are seen as what they are. Figures are counted by NumPy.
@Suite struct ForeignFileTests {
    private struct File {
        var model: Model
        var truth: [Double]
        var folder: TemporaryFolder

        init(_ form: String) throws {
            folder = try TemporaryFolder()
            let path = folder.path + "/m.onnx"
            truth = try Python.run(ForeignFiles.script, form, path).split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
            model = try Model.read(path: path)
        }
    }

    /// Zeros are the codes of the zero point, and 32-bit biases are parameters.
    @Test(arguments: ["qlinearconv", "qgemm", "qlinearmatmul", "bitshift"]) func zerosAreZeroPoints(form: String) throws {
        let file = try File(form)
        let figures = try FigureCounting.figures(of: file.model, shapes: nil)
        #expect([figures.parameters.value, figures.nonZeros.value] == file.truth)
        #expect(figures.layers.map(\.parameters) == [file.truth[0]] && figures.layers.map(\.nonZeros) == [file.truth[1]])
        if form == "bitshift" { #expect(file.model.layers().map { $0.quantization?.bits } == [4] && figures.layers[0].weightType == "4-bit") }
    }

    /// Both forms hold the same codes: what packs them and what NumPy counts agree.
    @Test func statisticsAreOfCodes() throws {
        let file = try File("matmulnbits")
        let layers = file.model.layers()
        let summary = try LayerPreparation.summaries(of: file.model, layers: layers, shapes: nil, cancellation: Cancellation())[0]
        #expect(abs(Double(summary.standardDeviation) - file.truth[0]) < 1e-4 && Double(summary.maximumMagnitude) == file.truth[1])
        #expect(abs(Double(summary.mean) - file.truth[2]) < 1e-4 && summary.weightCount == 1024)
        #expect(try FigureCounting.figures(of: file.model, shapes: nil).layers[0].weightType == "4-bit")
        let sample = try Fixture.sample("lenet-300-100")
        func spread(_ storage: String) throws -> [LayerSummary] {
            let made = try Fixture.apply("weight-quantization", ["bits": .integer(4), "granularity": .choice("tensor"), "storage": .choice(storage)], to: sample).model
            return try LayerPreparation.summaries(of: made, layers: made.layers(), shapes: nil, cancellation: Cancellation())
        }
        for (packed, whole) in zip(try spread("packed"), try spread("dequantize")) {
            #expect(packed.standardDeviation == whole.standardDeviation && packed.zeroCount == whole.zeroCount && packed.weightCount == whole.weightCount)
        }
    }

    /// What a quantizer of someone else's reads is a layer, left alone.
    @Test func foreignQuantizersAreSeen() throws {
        let layers = try File("quark").model.layers()
        #expect(layers.map(\.id) == ["product", "second"] && layers.map(\.weightShape) == [[12, 8], [8, 4]])
        #expect(layers.map { $0.quantization?.opType } == ["ExtendedDequantizeLinear", "BFPQuantizeDequantize"] && layers[0].quantization?.bits == 8)
    }

    @Test(arguments: ["attention", "multihead"]) func fusedAttentionCountsAndIsRefusedByName(form: String) throws {
        let file = try File(form)
        let session = try EngineSession.open(OpenRequest(modelPath: file.folder.path + "/m.onnx"))
        #expect(try session.baselineFigures(slowSizes: false).macs?.value == file.truth[0])
        let name = form == "attention" ? "Attention" : "MultiHeadAttention"
        for technique in ["head-pruning", "attention-mask", "linear-attention"] {
            let reasons = try #require(TechniqueRegistry.technique(technique)).refusals(for: file.model.layers(), in: file.model, shapes: [:])
            #expect(reasons.allSatisfy { $0?.contains("one operator (\(name))") ?? false }, "\(technique): \(reasons)")
        }
    }

    /// A table that stands in the file twice, once transposed: stored once, and the same to the bit.
    @Test(arguments: ["tied", "transposed"]) func copiesAreStoredOnce(form: String) throws {
        let file = try File(form)
        let tied = try Fixture.apply("weight-tying", to: file.model).model
        #expect(try tied.serialized().byteCount < 200 * 16 * 4 + 600)
        let written = try tied.written(file.folder, "tied.onnx")
        let text = try Python.run(
            """
            import onnxruntime as ort
            a, b = (ort.InferenceSession(p, providers=['CPUExecutionProvider']).run(None, {'x': np.array([3, 1, 199, 0, 7])})[0] for p in args)
            print(np.array_equal(a, b))
            """, file.folder.path + "/m.onnx", written)
        #expect(text.contains("True"))
    }

    /// Stacked matrices run in integers, with one scale for all.
    @Test func stackedMatricesComputeInIntegers() throws {
        let file = try File("stacked")
        let calibration = [Fixture.inputs(for: file.model), Fixture.inputs(for: file.model, seed: 9)]
        let applied = try Fixture.apply("static-int8", ["target": .choice("integer")], to: file.model, calibration: calibration)
        #expect(applied.reports[0].notes.contains { $0.contains("one scale for all weights of stacked matrices: product") })
        #expect(try PythonComparison.difference(file.model, applied.model) < 0.03)
        let operators = try Python.run(
            """
            import onnx, onnxruntime as ort
            options = ort.SessionOptions(); options.optimized_model_filepath = args[1]; options.log_severity_level = 3
            ort.InferenceSession(args[0], options, providers=['CPUExecutionProvider'])
            print(*(n.op_type for n in onnx.load(args[1]).graph.node))
            """, try applied.model.written(file.folder, "q.onnx"), file.folder.path + "/o.onnx")
        #expect(operators.contains("QLinearMatMul") || operators.contains("MatMulIntegerToFloat"), "\(operators)")
    }
}
