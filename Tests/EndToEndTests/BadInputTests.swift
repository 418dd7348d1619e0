import Foundation
import PythonOracle
import Testing

/// Whatever it is given, the program answers with one line and status 2: no crash, no hang, no half-written file.
@Suite struct BadInputTests {
    private func expectRefusal(_ arguments: [String], names: String? = nil, _ comment: String = "") throws {
        let result = try Program.run(arguments)
        let shown = "lathe \(arguments.joined(separator: " ")) \(comment)"
        #expect(result.signal == nil, "\(shown): ended by signal \(result.signal ?? 0)")
        #expect(result.status == 2, "\(shown): status \(result.status)")
        #expect(result.errorLines.count == 1, "\(shown): \(result.errors)")
        #expect(result.errors.hasPrefix("lathe: "), "\(shown): \(result.errors)")
        #expect(result.output.isEmpty, "\(shown): \(result.output)")
        if let names { #expect(result.errors.contains(names), "\(shown): \(result.errors)") }
    }

    @Test func argumentErrors() throws {
        try expectRefusal([])
        try expectRefusal(["inspect"])
        try expectRefusal(["inspect", Samples.path("lenet-5"), "--no-such-option"])
        try expectRefusal(["evaluate", Samples.path("lenet-5")], names: "--data")
        try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--batch", "0"], names: "--batch")
        try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--split", "train"], names: "--split")
        try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--no-latency", "--max-latency-ratio", "1"])
        try expectRefusal(["apply", Samples.path("lenet-5"), "--step", "fp16"], names: "--output")
        try expectRefusal(["techniques", "no-such-technique"], names: "no-such-technique")
        try expectRefusal(["inspect", Samples.path("lenet-5"), "--shape", "nonsense=1x1"], names: "nonsense")
    }

    @Test func stepsThatDoNotFit() throws {
        let folder = try TemporaryFolder()
        let out = folder.file("out.onnx")
        for (step, names) in [
            ("no-such-technique", "no-such-technique"), ("magnitude-pruning:sparsity=2", "0 to 1"), ("magnitude-pruning:sparsity=much", "much"),
            ("magnitude-pruning:nonsense=1", "nonsense"), ("magnitude-pruning:sparsity", "key=value"), ("magnitude-pruning@nowhere", "nowhere"),
            ("magnitude-pruning@", "layers"), ("magnitude-pruning@kind:banana", "banana"), ("magnitude-pruning@7..3", "7..3"),
        ] {
            try expectRefusal(["apply", Samples.path("lenet-5"), "--step", step, "--output", out], names: names == "0 to 1" ? "sparsity" : names)
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }

    @Test func theModelIsNeverOverwritten() throws {
        let folder = try TemporaryFolder()
        let model = folder.file("m.onnx")
        try FileManager.default.copyItem(atPath: Samples.path("lenet-5"), toPath: model)
        let before = try contents(model)
        try FileManager.default.createSymbolicLink(atPath: folder.file("link.onnx"), withDestinationPath: model)
        for path in [model, folder.file("link.onnx")] {
            try expectRefusal(["apply", model, "--step", "magnitude-pruning", "--output", path], names: "overwrite")
        }
        #expect(try contents(model) == before)
    }

    @Test func outputThatCannotBeWritten() throws {
        let folder = try TemporaryFolder()
        try expectRefusal(
            ["apply", Samples.path("lenet-300-100"), "--step", "magnitude-pruning", "--output", folder.file("no/such/folder/out.onnx")], names: "out.onnx")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func filesThatAreNoModels() throws {
        let folder = try TemporaryFolder()
        let empty = folder.file("empty.onnx")
        try Data().write(to: URL(fileURLWithPath: empty))
        let text = folder.file("text.onnx")
        try Data("This is no model.\nIt only says it is.\n".utf8).write(to: URL(fileURLWithPath: text))
        let newline = folder.file("two\nlines.onnx")
        for path in [empty, text, folder.path, folder.file("missing.onnx"), newline, "/dev/null"] {
            try expectRefusal(["inspect", path])
            try expectRefusal(["evaluate", path, "--data", Samples.data])
            try expectRefusal(["apply", path, "--step", "magnitude-pruning", "--output", folder.file("o.onnx")])
            try expectRefusal(["pack", path, "--output", folder.file("o.lathe")])
            try expectRefusal(["unpack", path, "--output", folder.file("o.onnx")])
        }
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: folder.path)) == ["empty.onnx", "text.onnx"])
    }

    /// Cut short anywhere and with bytes flipped, a model is refused or read; never a crash and never more than a line.
    @Test func damagedModels() throws {
        let folder = try TemporaryFolder()
        let original = try contents(Samples.path("ds-cnn"))
        var random = RepeatableNumbers(seed: 2026)
        for trial in 0..<60 {
            var bytes = original
            if trial % 2 == 0 {
                bytes = bytes.prefix(Int(random.next() % UInt64(bytes.count)))
            } else {
                // Mostly within the first and last kilobytes, where structure is.
                for _ in 0...(trial % 7) {
                    let span = UInt64(min(bytes.count, 4096))
                    let offset = Int(random.next() % span)
                    bytes[random.next() % 2 == 0 ? offset : bytes.count - 1 - offset] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            let path = folder.file("damaged-\(trial).onnx")
            try bytes.write(to: URL(fileURLWithPath: path))
            let result = try Program.run("inspect", path, "--json")
            #expect(result.signal == nil && (result.status == 0 || result.status == 2), "trial \(trial): \(result.status), signal \(result.signal ?? 0)")
            if result.status == 2 { #expect(result.errorLines.count == 1 && result.output.isEmpty, "trial \(trial): \(result.errors)") }
        }
    }

    /// Lengths that lie: a few bytes that claim to hold much.
    @Test func hostileModels() throws {
        let folder = try TemporaryFolder()
        let claims: [(String, [UInt8])] = [
            ("huge length", [0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
            ("unending varint", [UInt8](repeating: 0xFF, count: 4096)),
            ("nested groups", [UInt8](repeating: 0x3B, count: 100_000)),
            ("nested graphs", nestedGraphs(depth: 2000)),
        ]
        for (what, bytes) in claims {
            let path = folder.file("\(what).onnx")
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            try expectRefusal(["inspect", path], "(\(what))")
        }
        // A tensor of 2^62 elements with no data; a tensor whose external data lies outside the model's folder.
        for (name, edit) in [
            ("impossible", "t.dims[:] = [1 << 31, 1 << 31]"),
            ("outside", "t.ClearField('raw_data'); t.data_location = 1; e = t.external_data.add(); e.key = 'location'; e.value = '../../etc/passwd'"),
            ("absolute", "t.ClearField('raw_data'); t.data_location = 1; e = t.external_data.add(); e.key = 'location'; e.value = '/etc/passwd'"),
        ] {
            let path = folder.file("\(name).onnx")
            try Python.run(
                """
                import sys, onnx
                model = onnx.load(sys.argv[1])
                t = max(model.graph.initializer, key=lambda t: len(t.raw_data))
                \(edit)
                open(sys.argv[2], "wb").write(model.SerializeToString())
                """, Samples.path("lenet-300-100"), path)
            try expectRefusal(["inspect", path], "(\(name))")
        }
    }

    /// Graphs within attributes within nodes within graphs.
    private func nestedGraphs(depth: Int) -> [UInt8] {
        func field(_ number: UInt8, _ body: [UInt8]) -> [UInt8] {
            var length = body.count
            var header: [UInt8] = [number << 3 | 2]
            repeat {
                header.append(UInt8(length & 0x7F) | (length > 127 ? 0x80 : 0))
                length >>= 7
            } while length > 0
            return header + body
        }
        var graph: [UInt8] = []
        for _ in 0..<depth { graph = field(1, field(5, field(6, graph))) }
        return field(7, graph)
    }

    @Test func dataThatCannotBeUsed() throws {
        let folder = try TemporaryFolder()
        for (name, text) in [
            ("empty.yaml", ""), ("list.yaml", "- 1\n- 2\n"), ("unclosed.yaml", "splits: {validation: [\n"), ("unknown.yaml", "format: idx\nnonsense: 1\n"),
            ("missing.yaml", "format: idx\nsplits: {validation: {images: nowhere.gz, labels: nowhere.gz}}\n"),
        ] {
            let path = folder.file(name)
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", path])
        }
        try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", folder.path])
        try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", folder.file("missing.npz")])
    }

    /// Arrays, tables, images and IDX files that do not fit lenet-5 ([batch, 1, 28, 28] to 10 classes).
    @Test func dataThatDoesNotFit() throws {
        let folder = try TemporaryFolder()
        try Python.run(
            """
            import sys, os, struct, numpy as np
            from PIL import Image
            os.chdir(sys.argv[1])
            r = np.random.default_rng(0)
            x, y = r.standard_normal((20, 1, 28, 28)).astype('f4'), r.integers(0, 10, 20)
            nan = x.copy(); nan[:, 0, 0, 0] = np.nan
            for name, arrays in dict(nan=dict(image=nan, labels=y), empty=dict(image=x[:0], labels=y[:0]), big=dict(image=x, labels=y + 100), negative=dict(image=x, labels=y - 5),
                                     half=dict(image=x, labels=y + 0.5), few=dict(image=x, labels=y[:5]), shape=dict(image=x[:, :, :27]), names=dict(foo=x, bar=x),
                                     text=dict(image=np.array(['a', 'b'])), scalar=dict(image=np.float32(1)), complex=dict(image=x.astype('c8'))).items():
                np.savez(name + '.npz', **arrays)
            open('words.csv', 'w').write('a,b,label\\n1,2,0\\n3,x,1\\n'); open('empty.csv', 'w').write(''); open('header.csv', 'w').write('a,b\\n')
            for name in ('pictures/a', 'no-pictures', 'cut', 'small'): os.makedirs(name)
            open('pictures/a/1.png', 'w').write('nope')
            def idx(folder, count, side, there):
                open(folder + '/t10k-images-idx3-ubyte', 'wb').write(struct.pack('>IIII', 0x803, count, side, side) + bytes(side * side * there))
                open(folder + '/t10k-labels-idx1-ubyte', 'wb').write(struct.pack('>II', 0x801, count) + bytes(count))
            idx('cut', 10, 28, 9); idx('small', 10, 14, 10)
            """, folder.path)
        for (name, word) in [
            ("empty.npz", "no samples"), ("big.npz", "label 10"), ("negative.npz", "expected 0 or more"), ("half.npz", "whole numbers"), ("few.npz", "5 labels"),
            ("shape.npz", "[1, 27, 28]"), ("names.npz", "image"), ("text.npz", "text"), ("scalar.npz", "single number"), ("complex.npz", "complex"),
            ("words.csv", "'x'"), ("empty.csv", "columns"), ("header.csv", "rows"), ("pictures", "1.png"), ("no-pictures", "images"), ("cut", "7072"), ("small", "[14, 14]"),
        ] {
            try expectRefusal(["evaluate", Samples.path("lenet-5"), "--data", folder.file(name), "--no-latency"], names: word, name)
        }
        // NaN in the data is the model's to answer; the report says that it could not. (A ReLU would answer 0.)
        try Python.run(
            """
            import sys, numpy as np, onnx
            from onnx import helper as h, TensorProto as T
            w = onnx.numpy_helper.from_array(np.ones((784, 10), np.float32), 'w')
            graph = h.make_graph([h.make_node('Flatten', ['image'], ['flat']), h.make_node('MatMul', ['flat', 'w'], ['logits'])], 'linear',
                [h.make_tensor_value_info('image', T.FLOAT, ['batch', 1, 28, 28])], [h.make_tensor_value_info('logits', T.FLOAT, ['batch', 10])], [w])
            onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid('', 17)], ir_version=8), sys.argv[1])
            """, folder.file("linear.onnx"))
        let report = try Program.json(["evaluate", folder.file("linear.onnx"), "--data", folder.file("nan.npz"), "--no-latency"])
        #expect(report["warnings"]?.array.contains { $0.string?.contains("not finite") == true } == true)
    }

    @Test func recipesThatCannotBeUsed() throws {
        let folder = try TemporaryFolder()
        for (name, text, place) in [
            ("version.yaml", "lathe: 99\nsteps: []\n", "version.yaml:1"),
            ("key.yaml", "lathe: 1\nsteps:\n  - technique: magnitude-pruning\n    color: red\n", "key.yaml:4"),
            ("value.yaml", "lathe: 1\nsteps:\n  - technique: magnitude-pruning\n    parameters:\n      sparsity: 3\n", "value.yaml:5"),
            ("technique.yaml", "lathe: 1\nsteps:\n  - technique: alchemy\n", "technique.yaml:3"),
        ] {
            let path = folder.file(name)
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            try expectRefusal(["apply", Samples.path("lenet-5"), "--recipe", path, "--output", folder.file("o.onnx")], names: place)
        }
    }

    @Test func withoutATerminalTheExplorerSaysWhatToUse() throws {
        try expectRefusal([Samples.path("lenet-5")], names: "lathe inspect")
        try expectRefusal(["explore", Samples.path("lenet-5"), "--data", Samples.data], names: "terminal")
    }
}

/// Repeatable random numbers (SplitMix64).
private struct RepeatableNumbers {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
