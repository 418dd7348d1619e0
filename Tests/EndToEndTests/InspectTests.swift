import Foundation
import PythonOracle
import Testing

/// `lathe inspect` against figures from elsewhere.
@Suite struct InspectTests {
    /// Published architectures: 266,200 and 2,293,000 MACs (shared definition: multiply-accumulates, no bias); the
    /// others counted by `SampleModels/measure.py` with ONNX's own shape inference, as MODELS.md has them.
    @Test func computeAndParametersEqualTheTable() throws {
        let table = try String(contentsOfFile: Repository.root + "/SampleModels/MODELS.md", encoding: .utf8)
        for model in Samples.models {
            let row = try #require(table.split(separator: "\n").first { $0.contains("(\(model).onnx)") })
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces).replacingOccurrences(of: ",", with: "") }
            let report = try Program.json(["inspect", Samples.path(model)])
            #expect(report["figures.parameters"]?.int == Int(cells[2]), "\(model)")
            #expect(report["figures.macs"]?.int == Int(cells[3]), "\(model)")
            #expect(report["figures.flops"]?.int == Int(cells[3]).map { 2 * $0 }, "\(model)")
        }
        #expect(try Program.json(["inspect", Samples.path("lenet-300-100")])["figures.macs"]?.int == 266_200)
        #expect(try Program.json(["inspect", Samples.path("lenet-5")])["figures.macs"]?.int == 2_293_000)
    }

    @Test func layersAddUpToTheModel() throws {
        for model in Samples.models {
            let report = try Program.json(["inspect", Samples.path(model), "--quick"])
            let layers = report["layers"]?.array ?? []
            let names = layers.compactMap { $0["id"]?.string }
            #expect(Set(names).count == names.count && !names.isEmpty)
            let parameters = layers.compactMap { $0["parameters"]?.int }.reduce(0, +)
            #expect(parameters <= report["figures.parameters"]?.int ?? 0, "\(model)")
            for layer in layers {
                let histogram = layer["distribution.histogram"]?.array.compactMap(\.int) ?? []
                let shape = layer["weightShape"]?.array.compactMap(\.int) ?? []
                #expect(histogram.reduce(0, +) >= shape.reduce(1, *), "\(model), \(layer["id"]?.string ?? "?")")
            }
        }
    }

    @Test func sizesAreThoseOfFiles() throws {
        let folder = try TemporaryFolder()
        let report = try Program.json(["inspect", Samples.path("lenet-5")])
        #expect(report["model.fileBytes"]?.int == (try contents(Samples.path("lenet-5")).count))
        let packed = folder.file("m.lathe")
        #expect(try Program.run("pack", Samples.path("lenet-5"), "--output", packed).status == 0)
        #expect(report["figures.sizes.packed"]?.int == (try contents(packed).count))
        // gzip by Python's zlib at any level stays within a tenth; the program's own figure must be a real one.
        let gzip = try Python.run("import gzip,sys; print(len(gzip.compress(open(sys.argv[1],'rb').read())))", Samples.path("lenet-5"))
        let expected = try #require(Double(gzip.trimmingCharacters(in: .whitespacesAndNewlines)))
        let transfer = try #require(report["figures.sizes.transfer"]?.double)
        #expect(abs(transfer - expected) < 0.02 * expected)
    }

    @Test func schemaIsNamedAndKeysAreSorted() throws {
        for (name, arguments) in [
            ("inspect", ["inspect", Samples.path("lenet-300-100"), "--quick"]), ("techniques", ["techniques"]),
            ("evaluate", ["evaluate", Samples.path("lenet-300-100"), "--data", Samples.data, "--no-latency", "--limit", "64"]),
        ] {
            let result = try Program.run(arguments + ["--json"])
            #expect(try JSON(parsing: result.output)["schema"]?.string == "lathe.\(name)/1")
            let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            let sorted = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys])
            let keys = { (text: String) in text.matches(of: /"([A-Za-z0-9_\-]+)"\s*:/).map { String($0.output.1) } }
            #expect(keys(result.output) == keys(String(decoding: sorted, as: UTF8.self)), "\(name)")
        }
    }

    /// Weights are mapped, never copied: peak resident memory stays within 1.3 times the file.
    @Test func memoryStaysNearTheFileSize() throws {
        let folder = try TemporaryFolder()
        let model = folder.file("large.onnx")
        // Six 2048×2048 dense layers and one of 2048×1000: 109 MB.
        try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import helper, numpy_helper, TensorProto
            rng = np.random.default_rng(1)
            nodes, weights, previous = [], [], "x"
            for i in range(7):
                out = 1000 if i == 6 else 2048
                weights.append(numpy_helper.from_array(rng.standard_normal((2048, out), dtype=np.float32) * np.float32(0.02), f"w{i}"))
                nodes.append(helper.make_node("MatMul", [previous, f"w{i}"], [f"h{i}"], name=f"dense{i}"))
                nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
                previous = f"r{i}"
            graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2048])],
                [helper.make_tensor_value_info(previous, TensorProto.FLOAT, ["n", 1000])], weights)
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
            model.ir_version = 8
            onnx.save(model, sys.argv[1])
            """, model)
        let bytes = try contents(model).count
        #expect(bytes > 100_000_000)
        // ru_maxrss of the only child, in kilobytes. The interpreter that forks it has loaded nothing yet.
        let measured = try ChildProcess.run(
            Python.executable,
            [
                "-c",
                """
                import resource, subprocess, sys
                done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
                print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
                """, Program.path, "inspect", model, "--json",
            ]
        ).output
        let numbers = measured.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
        #expect(numbers.count == 2 && numbers[0] == 0)
        // The file itself, and what is worked on at a time.
        #expect(numbers[1] * 1024 <= Double(bytes) + 110e6, "peak \(Int(numbers[1] / 1024)) MiB for a file of \(bytes >> 20) MiB")
    }
}
