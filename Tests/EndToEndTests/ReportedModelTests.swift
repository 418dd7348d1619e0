import Foundation
import PythonOracle
import Testing

/// Forms of models that people reported trouble with (reported_models.py makes them), run through the built program and compared in Python's
/// onnxruntime.
@Suite(.serialized) struct ReportedModelTests {
    private static let script = Repository.root + "/Tests/EndToEndTests/reported_models.py"

    /// All models with their data, made once.
    private static let folder: String = {
        let path = NSTemporaryDirectory() + "lathe-reported-\(getpid())"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let made = try? ChildProcess.run(Python.executable, [script, "make", path])
        precondition(made?.status == 0, made?.errors ?? "no Python")
        return path
    }()

    private struct Outcome {
        var cosine: Double
        /// Size over the model's.
        var size: Double
        var output: String
    }

    private static func model(_ name: String) -> String { "\(folder)/\(name).onnx" }
    private static func data(_ name: String) -> String { "\(folder)/\(name).npz" }

    /// The model after steps, beside the model itself.
    private func apply(_ name: String, _ steps: [String]) throws -> Outcome {
        let result = "\(Self.folder)/\(name)-\(UInt32.random(in: 0...UInt32.max)).onnx"
        defer { unlink(result) }
        let arguments = ["apply", Self.model(name), "--data", Self.data(name), "--output", result] + steps.flatMap { ["--step", $0] }
        let run = try Program.run(arguments)
        try #require(run.status == 0, "\(name) \(steps): \(run.errors)")
        let compared = try ChildProcess.run(Python.executable, [Self.script, "compare", Self.model(name), Self.data(name), result])
        try #require(compared.status == 0, "\(name) \(steps): \(compared.errors.suffix(600))")
        let numbers = compared.output.split(separator: " ").compactMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        try #require(numbers.count == 2)
        return Outcome(cosine: numbers[0], size: numbers[1], output: run.output + run.errors)
    }

    /// A table stands in the file once, whoever reads it and in whatever form.
    @Test(arguments: ["tables1", "tables2", "tables3", "tables1head", "tables2head", "tables3head"])
    func sharedTablesStayShared(name: String) throws {
        for (step, size, cosine) in [
            ("weight-quantization", 0.34, 0.999), ("weight-quantization:bits=4", 0.24, 0.97), ("static-int8", 0.34, 0.995), ("dynamic-int8", 0.36, 0.97), ("fp16", 0.56, 0.9999),
            ("codebook-quantization", 0.24, 0.97),
        ] {
            let made = try apply(name, [step])
            #expect(made.size < size && made.cosine > cosine, "\(name) \(step): \(made.size) \(made.cosine)")
        }
        // GPTQ does not look rows up, but where it fits the head, its lookups read what became of the table.
        if name.hasSuffix("head") {
            let made = try apply(name, ["gptq"])
            #expect(made.size < 0.3 && made.cosine > 0.9, "\(name): \(made.size) \(made.cosine)")
        }
    }

    /// What a Gemm adds to its product, if it is no bias, is no part of what least squares fit.
    @Test(arguments: ["c_matrix", "c_column", "c_computed"]) func addendsAreNotFitted(name: String) throws {
        let pruned = try apply(name, ["magnitude-pruning:sparsity=0.5"])
        let fitted = try apply(name, ["magnitude-pruning:sparsity=0.5", "least-squares-reconstruction"])
        #expect(fitted.cosine > pruned.cosine, "\(name): \(fitted.cosine) after \(pruned.cosine)")
    }

    /// In float16 a written-out normalization still loads and does not overflow.
    @Test(arguments: ["norm_Pow_input", "norm_Pow_layer", "norm_Mul_input", "norm_Mul_layer"]) func writtenOutNormalizations(name: String) throws {
        let made = try apply(name, ["fp16:mode=compute"])
        #expect(made.cosine > 0.999, "\(name): \(made.cosine)")
    }

    /// NaN among calibrated activations is left out, and said.
    @Test func paddingIsNoData() throws {
        let magnitude = try apply("padding", ["magnitude-pruning:sparsity=0.6"])
        for step in ["wanda:sparsity=0.6", "sparsegpt:sparsity=0.6"] {
            let made = try apply("padding", [step])
            #expect(made.cosine > magnitude.cosine - 0.01, "\(step): \(made.cosine) against \(magnitude.cosine)")
            #expect(made.output.contains("NaN or infinite"), "\(step): \(made.output)")
        }
        for step in ["gptq", "smoothquant", "static-int8", "activation-aware-svd:mode=energy,energy=0.999"] {
            let made = try apply("padding", [step])
            #expect(made.cosine > 0.9, "\(step): \(made.cosine)")
        }
    }

    /// Weights that are stored in half precision beside others are quantized and pruned like those.
    @Test(arguments: ["half_one", "half_three"]) func halvesAreWidened(name: String) throws {
        let made = try apply(name, ["weight-quantization"])
        #expect(made.cosine > 0.999 && made.output.contains("float32 from here on"), "\(name): \(made.output)")
        let integers = try apply(name, ["static-int8"])
        #expect(integers.cosine > 0.98 && !integers.output.contains("stored as float16 already"))
        // What an earlier step of the recipe put into 16 bits is the user's choice.
        let mixed = try apply("stacked", ["fp16@h_node", "weight-quantization"])
        #expect(mixed.cosine > 0.999)
    }

    /// Scales pass a normalization behind a dense layer: the model computes the same.
    @Test func scalesPassNormalization() throws {
        for step in ["smoothquant", "awq"] {
            let made = try apply("bn_dense", [step])
            #expect(made.cosine > 0.9999999, "\(step): \(made.cosine)")
        }
    }

    @Test func stackedMatricesAreMatrices() throws {
        for step in ["gptq", "svd:mode=energy,energy=0.99", "sparsegpt:sparsity=0.3", "static-int8"] {
            let made = try apply("stacked", [step])
            #expect(made.cosine > 0.9, "\(step): \(made.cosine)")
        }
    }

    /// Probabilities are scored, as a tensor or as a table by class; a class by name alone is not.
    @Test func textOutputs() throws {
        func score(_ name: String) throws -> String {
            let run = try Program.run("evaluate", Self.model(name), "--data", Self.data(name), "--no-latency")
            return run.status == 0 ? run.output : run.errors
        }
        let (tensor, table, alone) = (try score("labels_tensor"), try score("labels_table"), try score("labels_alone"))
        func accuracy(_ text: String) -> Substring? { text.split(separator: "\n").first { $0.hasPrefix("top-1 accuracy") } }
        #expect(accuracy(tensor) != nil && accuracy(tensor) == accuracy(table), "\(table)")
        #expect(alone.contains("text alone, so there is nothing to score"), "\(alone)")
    }

    /// Too few samples for a split of their own: the reason is the split.
    @Test func emptySplits() throws {
        let few = Self.folder + "/few.npz"
        try Python.run("np.savez(args[1], x=np.load(args[0])['x'][:3])", Self.data("stacked"), few)
        let run = try Program.run("apply", Self.model("stacked"), "--data", few, "--step", "gptq", "--output", Self.folder + "/few.onnx")
        #expect(run.status == 2 && run.errors.contains("that split of few is empty"), "\(run.errors)")
    }

    @Test(arguments: ["heads_gather", "heads_split", "heads_one_key"]) func headsAreFound(name: String) throws {
        let made = try apply(name, ["head-pruning:ratio=0.5"])
        #expect(made.size < 0.8 && made.output.contains("removed 2 of 4 heads"), "\(name): \(made.size) \(made.output)")
        // Nothing removed: nothing changes.
        let same = try apply(name, ["head-pruning:ratio=0"])
        #expect(same.cosine > 0.9999999)
    }

    /// Attention counts alike in every form.
    @Test func attentionIsCounted() throws {
        for name in ["fused_mha", "fused_onnx", "fused_einsum"] {
            let document = try Program.json(["inspect", Self.model(name), "--data", Self.data(name)])
            #expect(document["figures.macs"]?.int == 4 * 16 * 32 * 32 + 2 * 16 * 16 * 32, "\(name)")
        }
    }

    /// Biases in 32-bit codes are corrected too.
    @Test func biasesOfIntegerLayers() throws {
        let plain = try apply("convolutions", ["static-int8:target=integer,weight-bits=7"])
        let corrected = try apply("convolutions", ["static-int8:target=integer,weight-bits=7", "bias-correction"])
        #expect(corrected.output.contains("corrected 2 of 2 layers"), "\(corrected.output)")
        #expect(corrected.cosine > plain.cosine - 0.0005)
    }

    @Test func parametersInNoLayerAreNamed() throws {
        let odd = try Program.run("inspect", Self.model("table_axis1"))
        #expect((odd.output + odd.errors).contains("96 % of the parameters are in no layer, and techniques leave them as they are: e (Gather)"), "\(odd.output)")
        let negative = try apply("table_negative", ["weight-quantization"])
        #expect(negative.size < 0.34 && negative.cosine > 0.999)
    }

    /// A file that the runtime refuses does not stand under the name asked for; --no-check writes it all the same.
    @Test func writtenFilesLoad() throws {
        let (source, good) = (Self.model("stacked"), Self.folder + "/good.onnx")
        let written = try Program.run("apply", source, "--step", "weight-quantization", "--output", good)
        #expect(written.status == 0 && !FileManager.default.fileExists(atPath: good + ".partial"))
        let unchecked = try Program.run("apply", source, "--step", "weight-quantization", "--output", good, "--no-check")
        #expect(unchecked.status == 0)
        let left = try FileManager.default.contentsOfDirectory(atPath: Self.folder).filter { $0.contains("partial") || $0.contains("refused") }
        #expect(left.isEmpty, "\(left)")
    }

    /// A model that is rewritten in place while it is worked on: no signal, figures of the model that was opened, and a line.
    @Test func rewrittenInPlace() throws {
        let path = Self.folder + "/moving.onnx"
        let (first, second) = (try contents(Self.model("convolutions")), try contents(Self.model("bn_dense")))
        try first.write(to: URL(fileURLWithPath: path))
        let expected = try Program.json(["evaluate", path, "--data", Self.data("convolutions"), "--step", "adaround", "--no-latency"])
        let child = Process()
        child.executableURL = URL(fileURLWithPath: Program.path)
        child.arguments = ["evaluate", path, "--data", Self.data("convolutions"), "--step", "adaround", "--no-latency", "--json"]
        let (output, errors) = (Pipe(), Pipe())
        (child.standardOutput, child.standardError) = (output, errors)
        try child.run()
        usleep(30_000)
        // As cp and exporters write: the same file, made short and filled again.
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: second)
        try handle.close()
        let (text, problem) = (output.fileHandleForReading.readDataToEndOfFile(), errors.fileHandleForReading.readDataToEndOfFile())
        child.waitUntilExit()
        #expect(child.terminationReason == .exit)
        guard child.terminationStatus == 0 else { return }
        // Opened before or after the change: of one of the two, and of the first with a line that says so.
        let found = try JSON(parsing: String(decoding: text, as: UTF8.self))
        if found["baseline.hash"]?.string == expected["baseline.hash"]?.string {
            #expect(found["accuracy.value"]?.double == expected["accuracy.value"]?.double)
            #expect(String(decoding: problem, as: UTF8.self).contains("changed meanwhile"))
        }
    }

    // MARK: A second round of reports

    /// The batch is declared open and is 1 inside: calibration and training run one sample at a time.
    @Test func theBatchIsOneInside() throws {
        for (step, cosine) in [("static-int8", 0.999), ("gptq", 0.95), ("wanda:sparsity=0.3", 0.9), ("fine-tuning:epochs=1,loss=logits", 0.99)] {
            let made = try apply("batch_inside", [step])
            #expect(made.cosine > cosine, "\(step): \(made.cosine)")
        }
    }

    /// What ONNX Runtime has no float16 kernel for, or whose type hides in a sequence, stays float32.
    @Test(arguments: ["sums_ScatterElements", "sums_ScatterND", "chunks"]) func halvesThatRun(name: String) throws {
        let made = try apply(name, ["fp16:mode=compute"])
        #expect(made.cosine > 0.9999 && made.size < 0.75, "\(name): \(made.cosine) \(made.size)")
    }

    /// Values beyond float16 stay float32 where calibration data show them; a mask may be as low as it likes.
    @Test func rangesOfHalves() throws {
        let large = try apply("large_values", ["fp16:mode=compute"])
        #expect(large.cosine > 0.9999 && large.output.contains("stay float32"), "\(large)")
        let mask = try apply("low_mask", ["fp16:mode=compute"])
        #expect(mask.cosine > 0.9999 && !mask.output.contains("stay float32"), "\(mask)")
    }

    /// A file that loads and does not run is no result.
    @Test func writtenFilesRun() throws {
        // Its own data do not reach it; the check runs the file on zeros, as the model before it.
        let broken = Self.folder + "/broken.onnx"
        try Python.run(
            """
            import onnx
            model = onnx.load(args[0])
            model.graph.node[1].op_type = 'Reshape'
            model.graph.node[1].input.append('shape')
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3, 64], np.int64), 'shape'))
            onnx.save(model, args[1])
            """, Self.model("weight_output"), broken)
        let library = ProcessInfo.processInfo.environment["LATHE_ONNXRUNTIME"] ?? Repository.root + "/.deps/onnxruntime"
        let answer = try Program.run("load-check", broken, "--runtime", library, "--shapes", #"{"x": [1, 32]}"#)
        #expect(answer.status == 0 && answer.output.contains("\"failure\""), "\(answer.output)\(answer.errors)")
        let sound = try Program.run("load-check", Self.model("weight_output"), "--runtime", library, "--shapes", #"{"x": [1, 32]}"#)
        #expect(sound.status == 0 && !sound.output.contains("\"failure\""), "\(sound.output)\(sound.errors)")
    }

    /// A weight that is an output keeps its shape and its values.
    @Test(arguments: ["structured-pruning:ratio=0.5", "magnitude-pruning:sparsity=0.9", "weight-sharing:bits=2", "svd:rank=2"]) func outputsThatAreWeights(step: String) throws {
        let result = Self.folder + "/output.onnx"
        let run = try Program.run("apply", Self.model("weight_output"), "--step", step, "--output", result)
        if run.status == 0 {
            let same = try Python.run(
                """
                import onnxruntime as ort
                a, b = (ort.InferenceSession(p).run(['w2'], {'x': np.zeros((1, 32), np.float32)})[0] for p in args)
                print(a.shape == b.shape and (a == b).all())
                """, Self.model("weight_output"), result)
            #expect(same.contains("True"), "\(step)")
        }
        #expect((run.output + run.errors).contains("is an output of the model"), "\(step): \(run.output)\(run.errors)")
    }

    @Test func ruinedWeightsAreNamed() throws {
        for arguments in [["inspect", Self.model("ruined")], ["evaluate", Self.model("ruined"), "--data", Self.data("ruined"), "--step", "weight-quantization", "--no-latency"]] {
            let run = try Program.run(arguments)
            #expect((run.output + run.errors).contains("weights that are NaN or infinite: 2 in w1"), "\(run.output)\(run.errors)")
        }
    }

    /// Layers that one quantizer leaves are there for another, by name or kind.
    @Test func whatIsLeftCanFollow() throws {
        let alone = try apply("upsampling", ["static-int8:target=integer"])
        let both = try apply("upsampling", ["static-int8:target=integer", "weight-quantization@kind:convtranspose"])
        #expect(both.size < 0.7 * alone.size && both.cosine > 0.99, "\(both) \(alone)")
        let run = try Program.run(
            "apply", Self.model("upsampling"), "--data", Self.data("upsampling"), "--step", "static-int8", "--step", "weight-quantization", "--output", Self.folder + "/twice.onnx")
        #expect(run.status == 2 && run.errors.contains("give it layers that the other leaves"), "\(run.errors)")
    }

    /// Blocks that a layer's few inputs fill.
    @Test func blocksFit() throws {
        let made = try apply("chunks", ["weight-quantization:bits=4,storage=matmulnbits"])
        #expect(made.size < 0.42 && made.cosine > 0.97, "\(made)")
    }

    @Test func largerFilesAreSaid() throws {
        let (small, again) = (Self.folder + "/small.onnx", Self.folder + "/again.onnx")
        _ = try Program.run("apply", Self.model("stacked"), "--step", "fp16", "--output", small)
        let run = try Program.run("apply", small, "--step", "float32", "--output", again)
        #expect(run.status == 0 && run.errors.contains("larger than the model's file"), "\(run.output)\(run.errors)")
    }
}
