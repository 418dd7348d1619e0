import Foundation
import PythonOracle
import Testing

/// Every metric of Docs/DataSets.md on the command line and in the explorer: its own unit, range and direction.
@Suite(.serialized) struct MetricTests {
    private static let metrics: [(name: String, title: String, written: String, unit: String, difference: String, range: ClosedRange<Double>)] = [
        ("top1", "top-1", "top-1 accuracy", " %", " pt", 0...1), ("top5", "top-5", "top-5 accuracy", " %", " pt", 0...1),
        ("agreement", "agreement", "agreement", " %", " pt", 0...1), ("cosine", "cosine", "cosine", "", "", -1...1), ("sqnr", "SQNR", "SQNR", " dB", " dB", -150...150),
    ]

    private static func declaration(_ metric: String, images: Int, in folder: TemporaryFolder) throws -> String {
        let data = (Repository.root + "/SampleModels/data/fashion-mnist")
        let path = folder.file("\(metric).yaml")
        try """
        name: few images
        format: idx
        metric: \(metric)
        preprocessing: {scale: 0.00392156862745098, mean: [0.2860], std: [0.3530], shape: [1, 28, 28]}
        splits:
          calibration: {images: \(data)/heldout-images-idx3-ubyte.gz, labels: \(data)/heldout-labels-idx1-ubyte.gz, range: [0, 64]}
          validation: {images: \(data)/t10k-images-idx3-ubyte.gz, labels: \(data)/t10k-labels-idx1-ubyte.gz, range: [0, \(images)]}
        """.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test(arguments: Samples.models) func textAndJSON(model: String) throws {
        let folder = try TemporaryFolder()
        for metric in Self.metrics {
            let data = try Self.declaration(metric.name, images: 200, in: folder)
            let arguments = ["evaluate", Samples.path(model), "--data", data, "--no-latency", "--quick", "--step", "magnitude-pruning:sparsity=0.8"]
            let report = try Program.json(arguments)
            let value = try #require(report["accuracy.value"]?.double)
            #expect(report["accuracy.metric"]?.string == metric.title && report["accuracy.better"]?.string == "higher")
            #expect(report["accuracy.unit"]?.string == (metric.name == "sqnr" ? "dB" : "1"))
            #expect(report["accuracy.range.low"]?.double == metric.range.lowerBound && report["accuracy.range.high"]?.double == metric.range.upperBound)
            #expect(metric.range.contains(value))
            let (low, high) = (try #require(report["accuracy.interval.low"]?.double), try #require(report["accuracy.interval.high"]?.double))
            #expect(low <= value && value <= high && metric.range.contains(low) && metric.range.contains(high), "\(model) \(metric.name)")
            let (down, up) = (try #require(report["accuracy.differenceInterval.low"]?.double), try #require(report["accuracy.differenceInterval.high"]?.double))
            let difference = try #require(report["accuracy.difference"]?.double)
            #expect(down <= difference && difference <= up)
            let isMean = ["cosine", "sqnr"].contains(metric.name)
            #expect((report["accuracy.mcnemarP"] == nil) == isMean && (report["accuracy.correct"] == nil) == isMean)
            if isMean { #expect(report["accuracy.verdict"]?.string == "worse" && difference < 0) }

            let text = try Program.run(arguments)
            let row = try #require(text.output.split(separator: "\n").first { $0.contains(metric.written) }, "\(text.output)")
            if metric.unit.isEmpty { #expect(!row.contains("%") && !row.contains("pt")) } else { #expect(row.contains(metric.unit) && row.contains(metric.difference), "\(row)") }
            #expect(text.output.contains("95 % interval") && text.output.contains("MACs"))
        }
    }

    /// Cosine and SQNR of every sample, computed by numpy from what Python's onnxruntime says of the two files.
    @Test(arguments: ["lenet-5", "transformer"]) func cosineAndSQNREqualNumPys(model: String) throws {
        let folder = try TemporaryFolder()
        let images = 500
        let step = ["--step", "weight-quantization:bits=4"]
        let compressed = folder.file("compressed.onnx")
        let applied = try Program.run(["apply", Samples.path(model), "--output", compressed] + step)
        try #require(applied.status == 0, "\(applied.errors)")
        let truth = try JSON(parsing: Python.run(Self.oracle, arguments: [(Repository.root + "/SampleModels"), "\(images)", Samples.path(model), compressed]))
        for (metric, tolerance) in [("cosine", 1e-5), ("sqnr", 0.02)] {
            let report = try Program.json(
                ["evaluate", Samples.path(model), "--data", try Self.declaration(metric, images: images, in: folder), "--no-latency", "--quick"] + step)
            let (value, expected) = (try #require(report["accuracy.value"]?.double), try #require(truth["\(metric).mean"]?.double))
            #expect(abs(value - expected) < tolerance, "\(metric): lathe \(value), numpy \(expected)")
            let (low, high) = (try #require(truth["\(metric).low"]?.double), try #require(truth["\(metric).high"]?.double))
            #expect(try abs(#require(report["accuracy.interval.low"]?.double) - low) < tolerance && abs(#require(report["accuracy.interval.high"]?.double) - high) < tolerance)
        }
    }

    private static let oracle = """
        import gzip, json, sys
        import numpy as np, onnxruntime
        from scipy import stats
        with gzip.open(sys.argv[1] + "/data/fashion-mnist/t10k-images-idx3-ubyte.gz") as file:
            raw = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32)[:int(sys.argv[2])]
        images = (raw * np.float32(1 / 255) - np.float32(0.2860)) / np.float32(0.3530)
        def outputs(path):
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            return np.concatenate([session.run(["logits"], {"image": images[i:i + 50]})[0] for i in range(0, len(images), 50)]).astype(np.float64)
        a, b = outputs(sys.argv[3]), outputs(sys.argv[4])
        scores = {"cosine": (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)), "sqnr": 10 * np.log10((a * a).sum(1) / ((b - a) ** 2).sum(1))}
        out = {}
        for name, s in scores.items():
            low, high = stats.t.interval(0.95, len(s) - 1, s.mean(), stats.sem(s))
            out[name] = {"mean": float(s.mean()), "low": float(low), "high": float(high)}
        print(json.dumps(out))
        """

    /// Limits are in the metric's unit; one in another unit is refused before anything is measured.
    @Test func limitsAreInTheMetricsUnit() throws {
        let folder = try TemporaryFolder()
        let data = try Self.declaration("sqnr", images: 100, in: folder)
        let common = ["evaluate", Samples.path("lenet-300-100"), "--data", data, "--no-latency", "--quick", "--step", "weight-quantization:bits=8"]
        let value = try #require(try Program.json(common)["accuracy.value"]?.double)
        #expect(value > 20 && value < 100, "decibels of 8-bit weights")
        for (options, status) in [
            (["--min-accuracy", "\(value - 1)"], 0), (["--min-accuracy", "\(value + 1)dB"], 1), (["--max-drop", "\(150 - value + 1)"], 0), (["--max-drop", "1 dB"], 1),
            (["--require", "sqnr>=\(value - 1)"], 0), (["--require", "accuracy>=\(value + 1)"], 1), (["--require", "file<=0.5x"], 0), (["--require", "macs<=1K"], 1),
            (["--require", "energy<=90%, file <= 50%"], 0), (["--require", "file<=10%"], 1),
        ] as [([String], Int32)] {
            let result = try Program.run(common + options)
            #expect(result.status == status, "\(options): \(result.output)\(result.errors)")
            if status == 1, !["macs<=1K", "file<=10%"].contains(options[1]) { #expect(result.errors.contains(" dB"), "\(result.errors)") }
        }
        for (options, said) in [
            (["--min-accuracy", "92%"], "dB"), (["--max-drop", "0.5pt"], "dB"), (["--require", "cosine>=0.9"], "SQNR"), (["--require", "gzip<=x"], "bytes"),
            (["--require", "training-time<=3"], "no measure"), (["--require", "latency<=1x"], "latency"), (["--require", "weight<=1"], "require"),
        ] {
            let result = try Program.run(common.filter { $0 != "--quick" || !options[1].hasPrefix("gzip") } + options)
            #expect(result.status == 2 && result.errors.contains(said) && result.errorLines.count == 1, "\(options): \(result.errors)")
        }
    }

    /// What crashed: a what-if curve of decibels.
    @Test(arguments: [(80, 24), (160, 48)]) func theExplorerShowsDecibels(width: Int, height: Int) throws {
        let folder = try TemporaryFolder()
        let terminal = try Tmux(width: width, height: height)
        try terminal.open(data: try Self.declaration("sqnr", images: 300, in: folder), evaluated: "evaluated 300")
        try terminal.press("Space")
        let shown = try terminal.wait("the SQNR of the pruned model", seconds: 60) { screen in screen.contains("1 on") && screen.contains("evaluated 300") }
        for view in ["2", "3", "4", "5", "6", "1"] { try terminal.type(view) }
        let screen = try terminal.wait("the SQNR in the explorer", seconds: 60) { $0.contains("SQNR") && $0.contains(" dB") }
        #expect(!screen.contains("0000 %"), "\(shown)\(screen)")
        try terminal.quit()
    }
}
