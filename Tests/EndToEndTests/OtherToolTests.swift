import Foundation
import PythonOracle
import Testing

/// What other tools and runtimes get: targets, records in files, recipes in their words, reports.
@Suite struct OtherToolTests {
    /// The first held-out images as the model reads them, for scripts that calibrate.
    private static func samples(_ folder: TemporaryFolder) throws -> String {
        let path = folder.file("samples.npz")
        try Python.run(
            """
            import gzip
            with gzip.open(args[0]) as file: raw = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:1000].astype(np.float32)
            np.savez(args[1], image=(raw * np.float32(1 / 255) - np.float32(0.2860)) / np.float32(0.3530))
            """, Repository.root + "/SampleModels/data/fashion-mnist/heldout-images-idx3-ubyte.gz", path)
        return path
    }

    @Test func targetsNameWhatTheyDoNotRead() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("blocks.onnx")
        let blocks = ["apply", Samples.path("lenet-300-100"), "--step", "weight-quantization:bits=4,granularity=group,storage=matmulnbits", "--output", file]
        let refused = try Program.run(blocks + ["--target", "portable"])
        #expect(refused.status == 1 && refused.errorLines.count == 1 && refused.errors.contains("not for portable: com.microsoft.MatMulNBits"), "\(refused.errors)")
        #expect(FileManager.default.fileExists(atPath: file))
        #expect(try Program.run(blocks + ["--target", "onnxruntime"]).status == 0)
        let packed = ["apply", Samples.path("lenet-300-100"), "--step", "weight-quantization:bits=4", "--output", file, "--target", "portable"]
        #expect(try Program.json(packed)["target.objections"]?.array.isEmpty == true)
        #expect(try Program.run(packed.dropLast() + ["ncnn"]).status == 2)
    }

    /// The recipe and its figures come back from the file, also behind a second recipe; a recipe without a record takes the old one away.
    @Test func recordsTravelInFiles() throws {
        let folder = try TemporaryFolder()
        let (once, twice, silent) = (folder.file("once.onnx"), folder.file("twice.onnx"), folder.file("silent.onnx"))
        func apply(_ from: String, _ step: String, _ to: String, _ record: Bool) throws {
            #expect(try Program.run(["apply", from, "--step", step, "--output", to] + (record ? ["--record"] : [])).status == 0)
        }
        try apply(Samples.path("lenet-5"), "magnitude-pruning:sparsity=0.8", once, true)
        try apply(once, "weight-quantization:bits=4", twice, true)
        try apply(once, "fp16", silent, false)
        let report = try Program.json(["inspect", twice, "--quick"])
        let makings = report["record.makings"]?.array ?? []
        #expect(makings.map { $0["model"]?.string } == ["lenet-5.onnx", "once.onnx"])
        let hash = try Program.json(["inspect", Samples.path("lenet-5"), "--quick"])["model.hash"]?.string
        #expect(makings[0]["recipe"]?.string?.contains("sparsity: 0.8") == true && makings[0]["modelHash"]?.string == hash)
        #expect(makings[1]["figures.non-zeros"]?.array.last?.int == report["figures.nonZeros"]?.int)
        let text = try Program.run(["inspect", twice, "--quick"]).output
        #expect(text.contains("from lenet-5.onnx (xxh3-") && text.contains("magnitude-pruning") && text.contains("weight-quantization"))
        #expect(try Program.json(["inspect", silent, "--quick"])["record"] == nil)
        // Read by someone else, and no part of what runs.
        let seen = try Python.run(
            "import json, onnx\nrecord = {p.key: p.value for p in onnx.load(args[0]).metadata_props}['lathe.record']\nprint(json.loads(record)['schema'], len(json.loads(record)['makings']))",
            twice)
        #expect(seen.contains("lathe.record/1 2"))
    }

    /// ONNX Runtime's own quantizer runs the script and comes to the same accuracy.
    @Test(arguments: [
        ("lenet-5", "static-int8:target=integer"), ("lenet-300-100", "dynamic-int8"),
    ])
    func scriptsForOnnxRuntimeRun(model: String, step: String) throws {
        let folder = try TemporaryFolder()
        let (script, theirs, ours) = (folder.file("quantize.py"), folder.file("theirs.onnx"), folder.file("ours.onnx"))
        let converted = try Program.run("convert", Samples.path(model), "--step", step, "--to", "onnxruntime", "--output", script)
        #expect(converted.status == 0, "\(converted.errors)")
        let run = try ChildProcess.run(Python.executable, [script, Samples.path(model), try Self.samples(folder), theirs])
        #expect(run.status == 0, "\(run.errors)")
        #expect(try Program.run("apply", Samples.path(model), "--data", Samples.data, "--step", step, "--output", ours).status == 0)
        let right = try Python.correct([theirs, ours])
        #expect(abs(right[0] - right[1]) <= 30, "\(step): \(right) of 10,000")
        #expect(try contents(theirs).count < contents(Samples.path(model)).count * 2 / 3)
    }

    @Test func whatCannotBeSaidIsListed() throws {
        let mixed = try Program.run(
            "convert", Samples.path("lenet-5"), "--step", "magnitude-pruning", "--step", "static-int8:calibration=mse", "--to", "onnxruntime")
        #expect(mixed.status == 0 && mixed.output.contains("quantize_static("))
        for line in ["step 1, magnitude-pruning: onnxruntime.quantization has no counterpart", "calibration=mse has no counterpart"] {
            #expect(mixed.errors.contains(line), "\(mixed.errors)")
        }
        let nothing = try Program.run("convert", Samples.path("lenet-5"), "--step", "svd", "--to", "nncf")
        #expect(nothing.status == 2 && nothing.errorLines.count == 1 && nothing.errors.contains("nothing of the recipe can be expressed for nncf"), "\(nothing.errors)")
    }

    /// AIMET's formula, scale · (code + offset), by NumPy: weights and activations come out as the quantized model has them.
    @Test func encodingsAreTheModelsScales() throws {
        let folder = try TemporaryFolder()
        let (encodings, quantized) = (folder.file("encodings.json"), folder.file("q.onnx"))
        let step = "static-int8:target=integer"
        #expect(try Program.run("convert", Samples.path("lenet-5"), "--data", Samples.data, "--step", step, "--to", "aimet", "--output", encodings).status == 0)
        #expect(try Program.run("apply", Samples.path("lenet-5"), "--data", Samples.data, "--step", step, "--output", quantized).status == 0)
        let text = try Python.run(
            """
            import json, onnx
            from onnx import numpy_helper
            found = json.load(open(args[0]))
            original, made = onnx.load(args[1]).graph, onnx.load(args[2]).graph
            before = {t.name: numpy_helper.to_array(t) for t in original.initializer}
            after = {t.name: numpy_helper.to_array(t) for t in made.initializer}
            for node in made.node:
                if node.op_type == 'Constant': after[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            assert found['version'] == '1.0.0' and len(found['param_encodings']) == 4, found
            produced = {o: n for n in made.node for o in n.output}
            names = {n.name: n for n in made.node}
            for node in original.node:
                if node.op_type not in ('Conv', 'Gemm'): continue
                entry = next(e for e in found['param_encodings'] if e['name'] == node.input[1])
                dequantize = produced[names[node.name].input[1]]
                codes, scales = (after[n] for n in dequantize.input[:2])
                assert entry['bw'] == 8 and entry['is_sym'] and set(entry['offset']) == {-128} and np.allclose(entry['scale'], scales.ravel(), rtol=0, atol=0), entry
                # scale * (unsigned code + offset) is scale * signed code.
                w = before[node.input[1]]
                axis = 0 if node.op_type == 'Conv' or any(a.name == 'transB' and a.i for a in node.attribute) else 1
                shape = [1] * w.ndim; shape[axis] = -1
                unsigned = np.clip(np.round(w / scales.reshape(shape)) + 128, 1, 255)
                assert np.abs(np.asarray(entry['scale']).reshape(shape) * (unsigned + entry['offset'][0]) - w).max() <= scales.max() * 0.501
            activations = {e['name']: e for e in found['activation_encodings']}
            assert {'image', '/Relu_output_0'} <= set(activations), activations.keys()
            # The image is 0…255 scaled: black and white are the ends.
            entry = activations['image']
            low, high = entry['scale'][0] * entry['offset'][0], entry['scale'][0] * (255 + entry['offset'][0])
            assert abs(low + 0.2860 / 0.3530) < 0.02 and abs(high - (1 - 0.2860) / 0.3530) < 0.02, (low, high)
            print('good')
            """, encodings, Samples.path("lenet-5"), quantized)
        #expect(text.contains("good"))
    }

    /// Every number of the page is that of the JSON document, and nothing in it asks for anything from elsewhere.
    @Test func reportsHoldTheTrialsNumbers() throws {
        let folder = try TemporaryFolder()
        let page = folder.file("report.html")
        let arguments = [
            "evaluate", Samples.path("lenet-5"), "--data", Samples.data, "--step", "weight-quantization:bits=4", "--limit", "500", "--classes", "--no-latency", "--report", page,
        ]
        let document = try Program.json(arguments)
        let text = try Python.run(
            """
            import html.parser, json, re, xml.etree.ElementTree
            page = open(args[0], encoding='utf-8').read()
            class Page(html.parser.HTMLParser):
                def __init__(self): super().__init__(); self.values, self.tags, self.script = [], [], None
                def handle_starttag(self, tag, attributes):
                    attributes = dict(attributes); self.tags.append(tag)
                    if 'data-value' in attributes: self.values.append(float(attributes['data-value']))
                    self.script = attributes.get('id') == 'document' or None
                    for name in ('src', 'href', 'action'):
                        assert attributes.get(name, 'data:').startswith('data:'), attributes
                def handle_data(self, data):
                    if self.script: self.json = json.loads(data); self.script = None
            read = Page(); read.feed(page)
            assert not re.search(r'(?:https?:)?//(?!www.w3.org/2000/svg)[a-z]', page.split('<script type')[0]) and '@import' not in page and 'url(' not in page
            charts = re.findall(r'<svg.*?</svg>', page, re.S)
            for chart in charts: xml.etree.ElementTree.fromstring(chart)
            found = read.json
            numbers = set(read.values)
            wanted = [found['accuracy'][k] for k in ('value', 'baseline')]
            for side in ('baseline', 'candidate'):
                wanted += [found['figures'][side][k] for k in ('parameters', 'nonZeros', 'macs')] + list(found['figures'][side]['sizes'].values())
            missing = [w for w in wanted if w not in numbers]
            print(len(charts), len(read.values), missing, found['accuracy']['correct'])
            """, page)
        let words = text.split(whereSeparator: \.isWhitespace)
        #expect(words.count == 4 && words[2] == "[]" && Int(words[0]).map { $0 >= 3 } == true, "\(text)")
        #expect(words.last.flatMap { Int($0) } == document["accuracy.correct"]?.int)
    }
}
