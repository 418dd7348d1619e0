import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Every form of storage computes in Python's onnxruntime what the rounded weights compute as floats.
@Suite struct WeightStorageTests {
    static let forms = [
        "gemm", "gemm_transB", "gemm_scaled", "matmul", "matmul_batched_input", "conv", "conv_strided", "conv_1d", "grouped", "depthwise", "conv_transpose",
        "embedding", "lstm", "gru", "rnn", "tied", "subgraph", "constant_node", "batched_constant",
    ]

    @Test(arguments: forms, [1, 2, 3, 4, 6, 8]) func packedComputesTheSame(form: String, bits: Int) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        var pairs: [(Model, Model)] = []
        for granularity in ["tensor", "channel", "group"] {
            for symmetric in [true, false] {
                var parameters: [String: ParameterValue] = [
                    "bits": .integer(bits), "granularity": .choice(granularity), "group-size": .choice("16"), "symmetric": .flag(symmetric),
                    "storage": .choice("simulated"),
                ]
                let simulated = try Fixture.apply("weight-quantization", parameters, to: model).model
                parameters["storage"] = .choice("packed")
                let packed = try Fixture.apply("weight-quantization", parameters, to: model).model
                pairs.append((simulated, packed))
                #expect(packed.layers().map(\.id) == model.layers().map(\.id), "layers are found again")
                #expect(packed.layers().allSatisfy { !$0.isFloat }, "\(form)")
            }
        }
        let differences = try PythonComparison.differences(pairs)
        #expect(differences.count == pairs.count && differences.allSatisfy { $0 < 1e-5 }, "\(form) \(bits): \(differences)")
    }

    @Test(arguments: ["gemm", "gemm_transB", "matmul", "matmul_batched_input", "embedding"], [2, 4, 8]) func blockKernelsComputeTheSame(form: String, bits: Int) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        var pairs: [(Model, Model)] = []
        for granularity in ["tensor", "channel", "group"] {
            for symmetric in [true, false] {
                var parameters: [String: ParameterValue] = [
                    "bits": .integer(bits), "granularity": .choice(granularity), "group-size": .choice("16"), "symmetric": .flag(symmetric),
                    "storage": .choice("simulated"), "activations": .choice("float32"),
                ]
                let simulated = try Fixture.apply("weight-quantization", parameters, to: model).model
                parameters["storage"] = .choice("matmulnbits")
                let blocks = try Fixture.apply("weight-quantization", parameters, to: model).model
                #expect(blocks.graph.nodes.contains { $0.opType == (form == "embedding" ? "GatherBlockQuantized" : "MatMulNBits") }, "\(form) \(bits)")
                pairs.append((simulated, blocks))
            }
        }
        let differences = try PythonComparison.differences(pairs)
        #expect(differences.count == pairs.count && differences.allSatisfy { $0 < 1e-5 }, "\(form) \(bits): \(differences)")
    }

    @Test(arguments: ["gemm", "gemm_transB", "matmul", "conv", "depthwise", "embedding", "lstm"], [3, 4, 8]) func dequantizeLinearComputesTheSame(form: String, bits: Int) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        var pairs: [(Model, Model)] = []
        for granularity in ["tensor", "channel"] {
            for symmetric in [true, false] {
                var parameters: [String: ParameterValue] = [
                    "bits": .integer(bits), "granularity": .choice(granularity), "symmetric": .flag(symmetric), "storage": .choice("simulated"),
                ]
                let simulated = try Fixture.apply("weight-quantization", parameters, to: model).model
                parameters["storage"] = .choice("dequantize")
                let made = try Fixture.apply("weight-quantization", parameters, to: model).model
                pairs.append((simulated, made))
            }
        }
        // ONNX Runtime may fuse DequantizeLinear and the product into a kernel that rounds activations to 8 bits.
        // Scales of a table's rows are halves.
        let tolerance = form.hasPrefix("ge") || form == "matmul" ? 0.02 : form == "embedding" ? 0x1p-11 : 1e-5
        let differences = try PythonComparison.differences(pairs)
        #expect(differences.count == pairs.count && differences.allSatisfy { $0 < tolerance }, "\(form) \(bits): \(differences)")
    }

    /// Layers that compute in half precision get their weights back in half precision, in every form.
    @Test(arguments: ["gemm_transB", "matmul", "conv", "embedding"], [4, 8]) func halvesStayHalves(form: String, bits: Int) throws {
        let folder = try TemporaryFolder()
        var model = try PythonComparison.form(form, in: folder)
        for (name, tensor) in model.graph.initializers where tensor.elementType == .float32 {
            model.graph.initializers[name] = Tensor(name: name, float16s: (tensor.floats() ?? []).map { Float16($0) }, dims: tensor.dims)
        }
        for input in model.graph.inputs where input.elementType == .float32 {
            model.graph.replaceReads([input.name: "\(input.name).half"])
            model.graph.nodes.insert(Node("Cast", inputs: [input.name], outputs: ["\(input.name).half"], attributes: [Attribute("to", .integer(10))]), at: 0)
        }
        for output in model.graph.outputs {
            for index in model.graph.nodes.indices where model.graph.nodes[index].outputs == [output.name] { model.graph.nodes[index].outputs = ["\(output.name).half"] }
            model.graph.replaceReads([output.name: "\(output.name).half"])
            model.graph.nodes.append(Node("Cast", inputs: ["\(output.name).half"], outputs: [output.name], attributes: [Attribute("to", .integer(1))]))
        }
        func made(_ storage: String) throws -> Model {
            try Fixture.apply("weight-quantization", ["bits": .integer(bits), "storage": .choice(storage)], to: model).model
        }
        let simulated = try made("simulated")
        #expect(simulated.layers().allSatisfy { $0.weightType == .float16 })
        var pairs = [(model, simulated)]
        for storage in ["packed", "dequantize", "auto", "matmulnbits"] {
            let other = try made(storage)
            #expect(other.layers().map { $0.quantization?.bits ?? 16 }.allSatisfy { $0 <= 8 }, "\(storage)")
            pairs.append((simulated, other))
        }
        let found = try PythonComparison.differences(pairs)
        #expect(found[0] < (bits == 8 ? 0.02 : 0.4) && found.dropFirst().allSatisfy { $0 < 0.005 }, "\(found)")
    }

    /// MatMulNBits as its documentation lays it out: B[N][blocks][block_size · bits / 8], low bits first, scales[N · blocks], default zero point 2^(bits−1).
    @Test(arguments: [2, 4, 8]) func blockLayoutIsTheDocumentedOne(bits: Int) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("matmul", in: folder)
        let parameters: [String: ParameterValue] = [
            "bits": .integer(bits), "granularity": .choice("group"), "group-size": .choice("16"), "storage": .choice("matmulnbits"),
        ]
        let made = try Fixture.apply("weight-quantization", parameters, to: model).model.written(folder, "blocks.onnx")
        let text = try Python.run(
            """
            import onnx
            from onnx import numpy_helper
            model, original = onnx.load(args[0]), onnx.load(args[1])
            bits = int(args[2])
            node = next(n for n in model.graph.node if n.op_type == 'MatMulNBits')
            a = {x.name: x.i for x in node.attribute}
            t = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}
            w = numpy_helper.to_array(next(x for x in original.graph.initializer if x.name == 'w'))
            b, s = t[node.input[1]], t[node.input[2]]
            assert (a['K'], a['N'], a['bits'], a['block_size']) == (20, 24, bits, 16), a
            assert b.shape == (24, 2, 16 * bits // 8) and s.size == 24 * 2, (b.shape, s.shape)
            codes = np.stack([(b >> (bits * i)) & (2 ** bits - 1) for i in range(8 // bits)], -1).reshape(24, 32).astype(np.float32)
            values = (codes - 2 ** (bits - 1)) * np.repeat(s.reshape(24, 2), 16, 1)
            error = np.abs(values[:, :20].T - w)
            print((error <= np.repeat(s.reshape(24, 2), 16, 1)[:, :20].T * 0.5001).all())
            """, made, folder.path + "/matmul.onnx", "\(bits)")
        #expect(text.contains("True"))
    }

    /// Packed files are as small as their width says, and say so.
    @Test(arguments: 1...8) func filesAreAsSmallAsTheyClaim(bits: Int) throws {
        let model = try Fixture.sample("lenet-300-100")
        let applied = try Fixture.apply("weight-quantization", ["bits": .integer(bits), "storage": .choice("packed")], to: model)
        let weights = model.layers().reduce(0) { $0 + $1.weightCount }
        let (before, after) = (try model.serialized().byteCount, try applied.model.serialized().byteCount)
        // Scales, nodes and the small last layer aside.
        #expect(abs(Double(before - after) - Double(weights) * Double(32 - bits) / 8) < 12_000)
        let figures = try FigureCounting.figures(of: applied.model, shapes: nil)
        #expect(figures.layers[0].weightBits == Double(bits))
        #expect(figures.parameters.value == (try FigureCounting.figures(of: model, shapes: nil)).parameters.value)
    }

    @Test func ternaryAndStochasticComputeTheSamePacked() throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form("conv", in: folder)
        for extra in [["levels": ParameterValue.choice("ternary")], ["rounding": .choice("stochastic"), "bits": .integer(3)]] {
            let simulated = try Fixture.apply("weight-quantization", extra.merging(["storage": .choice("simulated")]) { $1 }, to: model, seed: 9).model
            let packed = try Fixture.apply("weight-quantization", extra.merging(["storage": .choice("packed")]) { $1 }, to: model, seed: 9).model
            #expect(try PythonComparison.difference(simulated, packed) < 1e-5)
            let again = try Fixture.apply("weight-quantization", extra.merging(["storage": .choice("packed")]) { $1 }, to: model, seed: 9).model
            #expect(try packed.serialized().joined() == again.serialized().joined())
        }
    }

    @Test(arguments: forms) func codebooksComputeTheSame(form: String) throws {
        let folder = try TemporaryFolder()
        let model = try PythonComparison.form(form, in: folder)
        var pairs: [(Model, Model)] = []
        for (set, bits) in [("nf4", 4), ("fp4", 4), ("power-of-two", 3), ("power-of-two", 6), ("additive-power-of-two", 5)] {
            for granularity in ["tensor", "channel", "group"] {
                var parameters: [String: ParameterValue] = [
                    "values": .choice(set), "bits": .integer(bits), "granularity": .choice(granularity), "group-size": .choice("16"),
                    "storage": .choice("simulated"), "range": .choice(granularity == "tensor" ? "mse" : "minmax"),
                ]
                let simulated = try Fixture.apply("codebook-quantization", parameters, to: model).model
                parameters["storage"] = .choice("packed")
                let packed = try Fixture.apply("codebook-quantization", parameters, to: model).model
                pairs.append((simulated, packed))
                #expect(packed.layers().map(\.id) == model.layers().map(\.id) && packed.layers().allSatisfy { !$0.isFloat }, "\(form) \(set)")
            }
        }
        let differences = try PythonComparison.differences(pairs)
        #expect(differences.count == pairs.count && differences.allSatisfy { $0 < 1e-5 }, "\(form): \(differences)")
    }

    /// NF4 per group of 64 against its definition in NumPy: nearest entry of w / max|w|.
    @Test func normalFloatIsTheNearestEntry() throws {
        let tensor = Fixture.normal("w", [8, 128], seed: 4)
        let layer = try #require(Self.layer(tensor))
        let view = try WeightView(tensor, of: layer, granularity: .group, groupSize: 64)
        let made = try ValueSet.normalFloat.quantize(view, range: .minmax, memo: LayerMemo())
        let (values, rounded) = (try #require(tensor.floats()), WeightQuantizer.dequantize(made))
        for group in 0..<16 {
            let part = values[(group * 64)..<(group * 64 + 64)]
            let largest = part.map(abs).max() ?? 1
            for (value, got) in zip(part, rounded[(group * 64)..<(group * 64 + 64)]) {
                let nearest = ValueSet.normalFloat.entries.map { abs($0 * largest - value) }.min() ?? 0
                #expect(abs(abs(got - value) - nearest) < 1e-6)
            }
        }
    }

    /// A true 4 bits in the file.
    @Test func codebookFilesAreSmall() throws {
        let model = try Fixture.sample("lenet-300-100")
        let applied = try Fixture.apply("codebook-quantization", to: model)
        let weights = model.layers().reduce(0) { $0 + $1.weightCount }
        let saved = try model.serialized().byteCount - applied.model.serialized().byteCount
        #expect(abs(Double(saved) - Double(weights) * 3.5) < 12_000)
        let figures = try FigureCounting.figures(of: applied.model, shapes: nil)
        #expect(figures.layers[0].weightBits == 4)
        #expect(figures.parameters.value == (try FigureCounting.figures(of: model, shapes: nil)).parameters.value)
    }

    static func layer(_ tensor: Tensor) -> Layer? {
        var graph = Graph(name: "g", nodes: [Node("Gemm", name: "n", inputs: ["x", "w"], outputs: ["y"], attributes: [Attribute("transB", .integer(1))])])
        graph.initializers["w"] = tensor
        return Model(graph: graph).layers().first
    }

    /// What is predicted of size and zeros is near what the rewrite makes.
    @Test(arguments: ["weight-quantization", "codebook-quantization", "bf16", "fp16"]) func predictionIsNear(technique: String) throws {
        let model = try Fixture.sample("lenet-300-100")
        let layers = model.layers()
        let summaries = try LayerPreparation.summaries(of: model, layers: layers, shapes: nil, cancellation: Cancellation())
        let subject = try #require(TechniqueRegistry.technique(technique))
        for bits in technique == "weight-quantization" ? [1, 2, 4, 8] : [4] {
            var parameters: [String: ParameterValue] = [:]
            if subject.descriptor.parameter("bits") != nil { parameters["bits"] = .integer(bits) }
            var states = summaries.map(LayerState.init)
            let before = states.reduce(0) { $0 + $1.serializedBits }
            let values = ParameterValues(parameters).resolved(by: subject.descriptor)
            subject.predict(&states, targets: Dictionary(uniqueKeysWithValues: layers.indices.map { ($0, values) }), summaries: summaries)
            let predicted = (before - states.reduce(0) { $0 + $1.serializedBits }) / 8
            let made = try Fixture.apply(technique, parameters, to: model).model
            let saved = Double(try model.serialized().byteCount - made.serialized().byteCount)
            #expect(abs(predicted - saved) < 0.01 * saved + 3000, "\(technique) \(bits): predicted \(predicted), saved \(saved)")
            let figures = try FigureCounting.figures(of: made, shapes: nil)
            for (state, layer) in zip(states, figures.layers) where layer.parameters > 1000 {
                // How far a channel's own range lies from the layer's is estimated, which tells most where a third of the codes is zero.
                #expect(abs(state.nonZeroCount + state.biasCount - layer.nonZeros) < 0.25 * layer.parameters, "\(technique) \(bits) \(layer.id)")
            }
        }
    }
}
