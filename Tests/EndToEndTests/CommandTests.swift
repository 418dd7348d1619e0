import Foundation
import PythonOracle
import Testing

/// What the headless commands promise beside numbers.
@Suite struct CommandTests {
    /// Status 1 and a line for a requirement that is not met, 0 for one that is; the report comes either way.
    @Test func requirements() throws {
        let model = Samples.path("lenet-300-100")
        let common = ["evaluate", model, "--data", Samples.data, "--no-latency"]
        let truth = try Program.json(common)
        let accuracy = try #require(truth["accuracy.value"]?.double) * 100
        let size = try #require(truth["figures.candidate.sizes.serialized"]?.int)
        let packed = try #require(truth["figures.candidate.sizes.packed"]?.int)
        let cases: [([String], Int32, String)] = [
            (["--min-accuracy", "\(accuracy - 0.01)"], 0, "min-accuracy"), (["--min-accuracy", "\(accuracy + 0.01)%"], 1, "min-accuracy"),
            (["--max-drop", "0"], 0, "max-drop"), (["--max-size", "\(size)"], 0, "max-size"), (["--max-size", "\(size - 1)B"], 1, "max-size"),
            (["--max-size", "1KiB"], 1, "max-size"), (["--max-packed-size", "\(packed)"], 0, "max-packed-size"),
            (["--max-packed-size", "\(packed - 1)"], 1, "max-packed-size"),
        ]
        for (options, status, name) in cases {
            let result = try Program.run(common + options + ["--json"])
            #expect(result.status == status, "\(options): \(result.errors)")
            let requirement = try #require(try JSON(parsing: result.output)["requirements"]?.array.first)
            #expect(requirement["name"]?.string == name)
            #expect(requirement["met"]?.bool == (status == 0))
            #expect(result.errorLines.count == (status == 0 ? 0 : 1), "\(result.errors)")
        }
        let emptied = try Program.run(common + ["--step", "magnitude-pruning:sparsity=0.99", "--max-drop", "1"])
        #expect(emptied.status == 1 && emptied.errors.contains("drops by"))
    }

    /// Weights beside the graph by choice: from `apply` and from `unpack` alike, and Python's onnxruntime computes the same.
    @Test func externalDataByChoice() throws {
        let folder = try TemporaryFolder()
        let model = Samples.path("lenet-5")
        let steps = ["--step", "magnitude-pruning:sparsity=0.9", "--step", "sparse-storage"]
        #expect(try Program.run(["apply", model] + steps + ["--output", folder.file("one.onnx"), "--pack", folder.file("m.lathe")]).status == 0)
        #expect(try Program.run(["apply", model] + steps + ["--output", folder.file("two.onnx"), "--external-data"]).status == 0)
        #expect(try Program.run(["unpack", folder.file("m.lathe"), "--output", folder.file("three.onnx"), "--external-data"]).status == 0)
        func size(_ name: String) throws -> Int { try Data(contentsOf: URL(fileURLWithPath: folder.file(name))).count }
        for name in ["two", "three"] {
            #expect(try size("\(name).onnx") < 20_000 && size("\(name).onnx.data") > 150_000)
        }
        let told = try Python.run(
            """
            import os, sys, numpy as np, onnxruntime as ort
            os.chdir(sys.argv[1])
            x = np.random.default_rng(1).standard_normal((1, 1, 28, 28)).astype(np.float32)
            def run(p):
                s = ort.InferenceSession(p, providers=['CPUExecutionProvider']); return s.run(None, {s.get_inputs()[0].name: x})[0].tobytes()
            print(int(run('one.onnx') == run('two.onnx') == run('three.onnx')))
            """, folder.path)
        #expect(told.trimmingCharacters(in: .whitespacesAndNewlines) == "1")
    }

    /// A partial evaluation says how much it has seen, and its interval covers the whole.
    @Test func limitedEvaluation() throws {
        let common = ["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--no-latency"]
        let whole = try Program.json(common)
        let part = try Program.json(common + ["--limit", "1000"])
        #expect(part["accuracy.samples"]?.int == 1000)
        let value = try #require(whole["accuracy.value"]?.double)
        // A 95 % interval of a fixed sample: this one is known to cover, and stays so while order and models do.
        #expect(try #require(part["accuracy.interval.low"]?.double) < value && value < #require(part["accuracy.interval.high"]?.double))
        let width = { (report: JSON) in (report["accuracy.interval.high"]?.double ?? 0) - (report["accuracy.interval.low"]?.double ?? 0) }
        #expect(width(part) > 2 * width(whole))
    }

    /// What takes time may be left out, but not what is demanded.
    @Test func quickSizes() throws {
        let base = ["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data, "--no-latency", "--limit", "10", "--step", "fp16"]
        let quick = try Program.json(base + ["--quick"])
        let whole = try Program.json(base)
        for side in ["baseline", "candidate"] {
            #expect(quick["figures.\(side).sizes.serialized"]?.int == whole["figures.\(side).sizes.serialized"]?.int)
            #expect(quick["figures.\(side).sizes.packed"]?.int == nil && (whole["figures.\(side).sizes.packed"]?.int ?? 0) > 0)
        }
        let file = try FileManager.default.attributesOfItem(atPath: Samples.path("lenet-300-100"))[.size] as? Int
        #expect(quick["figures.baseline.sizes.serialized"]?.int == file)
        let both = try Program.run(base + ["--quick", "--max-packed-size", "1MB"])
        #expect(both.status == 2 && both.errors.contains("--quick"), "\(both.errors)")
    }

    /// A model against another model's file, sample by sample.
    @Test func anotherBaseline() throws {
        let report = try Program.json(
            ["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--no-latency", "--baseline", Samples.path("lenet-300-100")])
        let alone = try Program.json(["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data, "--no-latency"])
        #expect(report["accuracy.baselineCorrect"]?.int == alone["accuracy.correct"]?.int)
        let lost = try #require(report["accuracy.onlyBaseline"]?.int)
        let won = try #require(report["accuracy.onlyCandidate"]?.int)
        let correct = try #require(report["accuracy.correct"]?.int)
        #expect(try won - lost == correct - #require(alone["accuracy.correct"]?.int))
        // McNemar's exact test by scipy.
        let p = try Python.run("import sys; from scipy.stats import binomtest as b; l,w=map(int,sys.argv[1:]); print(b(min(l,w),l+w).pvalue)", "\(lost)", "\(won)")
        let expected = try #require(Double(p.trimmingCharacters(in: .whitespacesAndNewlines)))
        let found = try #require(report["accuracy.mcnemarP"]?.double)
        #expect(abs(found - expected) <= 1e-9 + 1e-6 * expected)
    }

    @Test func latencyIsComparedAndNamed() throws {
        let report = try Program.json(["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data, "--limit", "64", "--batch", "8"])
        #expect(report["latency.batch"]?.int == 8)
        #expect(report["latency.threads"]?.int == 1)
        // The same model against itself.
        let ratio = try #require(report["latency.ratio"]?.double)
        #expect(ratio > 0.5 && ratio < 2)
        #expect(report["latency.instructionSet"]?.string?.isEmpty == false)
        #expect(report["latency.operators"]?.array.isEmpty == false)
        #expect(report["latencies"] == nil)
        let several = try Program.json(["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data, "--limit", "64", "--threads", "2,1"])
        #expect(several["latencies"]?.array.compactMap { $0["threads"]?.int } == [2, 1] && several["latency.threads"]?.int == 2)
        for wrong in ["", "1,", "0", "1,x"] { #expect(try Program.run(["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data, "--threads", wrong]).status == 2) }
    }

    /// Pruned weights in a dense tensor: the program says that the file is no smaller.
    @Test func fileThatIsNoSmallerIsPointedOut() throws {
        let report = try Program.json(
            ["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--no-latency", "--limit", "64", "--step", "magnitude-pruning:sparsity=0.9"])
        #expect(report["warnings"]?.array.contains { $0.string?.contains("no smaller") == true } == true)
        let packed = { (side: String) in report["figures.\(side).sizes.packed"]?.double ?? 0 }
        #expect(packed("candidate") < 0.3 * packed("baseline"))
    }

    /// A saved recipe replays to the same bytes; so does one that names layers, through every way of naming them.
    @Test func savedRecipesReplay() throws {
        let folder = try TemporaryFolder()
        let model = Samples.path("lenet-5")
        let specs = [
            "magnitude-pruning:sparsity=0.7@/ip1/Gemm,/ip2/Gemm", "magnitude-pruning:sparsity=0.7@/ip*", "magnitude-pruning:sparsity=0.7@kind:gemm",
            "magnitude-pruning:sparsity=0.7@2..4", "magnitude-pruning:sparsity=0.7@!kind:conv",
        ]
        var bytes: [Data] = []
        for (number, spec) in specs.enumerated() {
            let (first, second, recipe) = (folder.file("a\(number).onnx"), folder.file("b\(number).onnx"), folder.file("\(number).yaml"))
            let result = try Program.run("apply", model, "--step", spec, "--output", first, "--save-recipe", recipe)
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Program.run("apply", model, "--recipe", recipe, "--output", second).status == 0)
            #expect(try contents(first) == contents(second), "\(spec)")
            bytes.append(try contents(first))
        }
        #expect(Set(bytes).count == 1, "five ways of naming two layers give different models")
        let all = folder.file("all.onnx")
        #expect(try Program.run("apply", model, "--step", "magnitude-pruning:sparsity=0.7", "--output", all).status == 0)
        #expect(try contents(all) != bytes[0])
    }

    /// Pack and unpack are inverse to each other, bit by bit, and unpacking gives the accuracy back.
    @Test(arguments: Samples.models) func packingIsLossless(_ model: String) throws {
        let folder = try TemporaryFolder()
        let (applied, packed, direct, unpacked) = (folder.file("m.onnx"), folder.file("m.lathe"), folder.file("d.lathe"), folder.file("u.onnx"))
        let steps = ["--step", "magnitude-pruning:sparsity=0.9", "--step", "weight-sharing:bits=5", "--step", "huffman"]
        let result = try Program.run(["apply", Samples.path(model), "--output", applied, "--pack", direct] + steps)
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Program.run("pack", applied, "--output", packed).status == 0)
        #expect(try Program.run("unpack", direct, "--output", unpacked).status == 0)
        #expect(try contents(unpacked) == contents(applied), "\(model): unpacking does not give the model back")
        #expect(try contents(packed).count < contents(applied).count / 4)
        let truth = try Python.correct([applied, unpacked])
        #expect(truth[0] == truth[1])
    }

    /// Deep Compression's recipe on LeNet-5: below 60 KB, and what is unpacked runs with the accuracy that was shown.
    @Test func deepCompressionOfLeNet5() throws {
        let folder = try TemporaryFolder()
        let (packed, unpacked) = (folder.file("m.lathe"), folder.file("m.onnx"))
        let steps = ["--step", "magnitude-pruning:sparsity=0.9,scope=global", "--step", "weight-sharing:bits=5", "--step", "huffman"]
        let result = try Program.run(["apply", Samples.path("lenet-5"), "--pack", packed] + steps)
        #expect(result.status == 0, "\(result.errors)")
        #expect(try contents(packed).count < 60_000)
        #expect(try Program.run("unpack", packed, "--output", unpacked).status == 0)
        let report = try Program.json(["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--no-latency"] + steps)
        #expect(try Python.correct([unpacked]).first == report["accuracy.correct"]?.int)
        #expect(report["figures.candidate.sizes.packed"]?.int == (try contents(packed).count))
    }

    /// An archive that is damaged is refused in one line, wherever the damage is.
    @Test func damagedArchives() throws {
        let folder = try TemporaryFolder()
        let packed = folder.file("m.lathe")
        #expect(try Program.run("pack", Samples.path("ds-cnn"), "--output", packed).status == 0)
        let original = try contents(packed)
        for trial in 0..<40 {
            var bytes = original
            let place = (trial * 7919 + 13) * (trial < 20 ? 1 : 37) % bytes.count
            if trial % 2 == 0 { bytes = bytes.prefix(place) } else { bytes[place] ^= UInt8(1 << (trial % 8)) }
            let path = folder.file("damaged.lathe")
            try bytes.write(to: URL(fileURLWithPath: path))
            let result = try Program.run("unpack", path, "--output", folder.file("out.onnx"))
            #expect(result.signal == nil && result.status == 2 && result.errorLines.count == 1, "trial \(trial) at \(place): \(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: folder.file("out.onnx")))
        }
    }

    /// Interrupted work leaves nothing behind and says so.
    @Test func interruption() throws {
        let folder = try TemporaryFolder()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Program.path)
        process.arguments = [
            "apply", Samples.path("resnet-8"), "--data", Samples.data, "--step", "static-int8", "--step", "huffman", "--output", folder.file("o.onnx"), "--pack",
            folder.file("o.lathe"),
        ]
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        // As soon as the program has taken the signal over, which the kernel tells.
        let status = "/proc/\(process.processIdentifier)/status"
        let deadline = Date().addingTimeInterval(Tmux.patience)
        while process.isRunning, Date() < deadline {
            let text = (try? String(contentsOfFile: status, encoding: .utf8)) ?? ""
            let ignored = text.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }.flatMap { UInt64($0.split(separator: "\t")[1], radix: 16) } ?? 0
            if ignored & (1 << UInt64(SIGTERM - 1)) != 0 { break }
            usleep(2000)
        }
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
        let message = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        if process.terminationStatus == 0 { return }  // It was quicker than the signal.
        #expect(process.terminationReason == .exit && process.terminationStatus == 130, "\(message)")
        #expect(message == "lathe: canceled\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    /// The runtime is named and broken: what needs no running works, what needs it says what is wrong.
    @Test func withoutTheRuntime() throws {
        let environment = ["LATHE_ONNXRUNTIME": "/nonexistent/libonnxruntime.so"]
        let inspect = try Program.run(["inspect", Samples.path("lenet-5"), "--json"], environment: environment)
        #expect(inspect.status == 0)
        let report = try JSON(parsing: inspect.output)
        #expect(report["figures.parameters"]?.int == 431_080)
        #expect(report["figures.macs"] == nil && report["runtimeProblem"]?.string?.contains("/nonexistent") == true)
        let folder = try TemporaryFolder()
        let apply = try Program.run(["apply", Samples.path("lenet-5"), "--step", "magnitude-pruning", "--output", folder.file("o.onnx")], environment: environment)
        #expect(apply.status == 0, "\(apply.errors)")
        let evaluate = try Program.run(["evaluate", Samples.path("lenet-5"), "--data", Samples.data], environment: environment)
        #expect(evaluate.status == 2 && evaluate.errorLines.count == 1 && evaluate.errors.contains("/nonexistent"), "\(evaluate.errors)")
    }
}
