import Foundation
import PythonOracle
import Synchronization
import Testing

/// Models that are legal but rare, and models that lie (Tests/RealModels/odd_models.py makes them): each is read and rewritten
/// to what computes the same in Python's onnxruntime, or refused in one line. Always within bounded memory and time.
@Suite(.serialized) struct OddModelTests {
    private static let script = Repository.root + "/Tests/RealModels/odd_models.py"

    /// Runs the program with six gigabytes of address space and a minute.
    private static func limited(_ arguments: [String]) throws -> ChildProcess.Result {
        try ChildProcess.run("/bin/sh", ["-c", "ulimit -v 6000000; exec timeout 60 \"$@\"", "sh", Program.path] + arguments)
    }

    /// What is wrong with how a run ended; `nil` if it succeeded, or refused in one line.
    private static func problem(_ result: ChildProcess.Result) -> String? {
        if let signal = result.signal { return "ended by signal \(signal): \(result.errors.suffix(300))" }
        guard result.status == 2 else { return result.status == 0 ? nil : "status \(result.status): \(result.errors.suffix(300))" }
        return result.errorLines.count == 1 && result.output.isEmpty ? nil : "not one line: \(result.errors.prefix(500))"
    }

    /// Runs `body` for 0 ..< count on two threads and gathers what it complains of.
    private static func complaints(_ count: Int, _ body: @Sendable (Int) throws -> String?) -> [String] {
        let found = Mutex<[String]>([])
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 2) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                do {
                    if let complaint = try body(index) { found.withLock { $0.append(complaint) } }
                } catch {
                    found.withLock { $0.append("\(index): \(error)") }
                }
            }
        }
        return found.withLock { $0.sorted() }
    }

    private struct Case: Sendable {
        var name: String
        var expectation: String
        var layers: Int?
    }

    @Test func rareAndLyingModels() throws {
        let folder = try TemporaryFolder()
        let samples = ["resnet-8", "lstm", "transformer"].map(Samples.path)
        let made = try ChildProcess.run(Python.executable, [Self.script, "make", folder.path] + samples)
        try #require(made.status == 0, "\(made.errors)")
        let manifest = try JSON(parsing: String(contentsOfFile: folder.file("manifest.json"), encoding: .utf8))
        let cases = manifest.array.compactMap { entry -> Case? in
            guard let name = entry["name"]?.string, let expectation = entry["expect"]?.string else { return nil }
            return Case(name: name, expectation: expectation, layers: entry["layers"]?.int)
        }
        try #require(cases.count > 150)
        let complaints = Self.complaints(cases.count) { index in
            let entry = cases[index]
            let file = folder.file("\(entry.name).onnx")
            let inspected = try Self.limited(["inspect", file, "--json"])
            if let problem = Self.problem(inspected) { return "\(entry.name), inspect: \(problem)" }
            switch (entry.expectation, inspected.status) {
            case ("refused", 0): return "\(entry.name): accepted"
            case ("runs", 2), ("reads", 2): return "\(entry.name): \(inspected.errors)"
            default: break
            }
            if inspected.status == 0, let expected = entry.layers, let found = try JSON(parsing: inspected.output)["layers"]?.array.count, found != expected {
                return "\(entry.name): \(found) layers, expected \(expected)"
            }
            for (step, suffix) in [("fp16", "after"), ("structured-pruning", "pruned"), ("weight-quantization", "quantized")] {
                let applied = try Self.limited(["apply", file, "--step", step, "--output", folder.file("\(entry.name).\(suffix).onnx")])
                if let problem = Self.problem(applied) { return "\(entry.name), \(step): \(problem)" }
                // Weights of another width than float32 are rightly left alone.
                let isOtherWidth = applied.errors.contains("not float32") || applied.errors.contains("float16 already")
                if step == "fp16", entry.expectation == "runs", entry.layers != nil, applied.status != 0, !isOtherWidth { return "\(entry.name): \(applied.errors)" }
            }
            return nil
        }
        #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")

        let compared = try ChildProcess.run(Python.executable, [Self.script, "compare", folder.path])
        try #require(compared.status == 0, "\(compared.errors)")
        let expectations = Dictionary(cases.map { ($0.name, $0.expectation) }, uniquingKeysWith: { $1 })
        var same = 0
        for line in compared.output.split(separator: "\n") {
            let result = try JSON(parsing: String(line))
            guard let name = result["name"]?.string, expectations[name] == "runs" else { continue }
            #expect(result["failed"]?.string == nil, "\(name): \(result["failed"]?.string ?? "")")
            #expect((result["error"]?.double ?? 1) < 0.01, "\(name): off by \(result["error"]?.double ?? 1) of the largest output")
            same += 1
        }
        #expect(same > 80)
    }

    /// Cut after every hundredth of its length, a model is refused or read.
    @Test(arguments: ["transformer", "lstm"]) func truncated(_ model: String) throws {
        let folder = try TemporaryFolder()
        let original = try contents(Samples.path(model))
        let complaints = Self.complaints(100) { percent in
            let path = folder.file("\(percent).onnx")
            try original.prefix(original.count * percent / 100).write(to: URL(fileURLWithPath: path))
            let result = try Self.limited(["inspect", path, "--json"])
            return Self.problem(result).map { "\(model) at \(percent) %: \($0)" }
        }
        #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")
    }

    /// Bytes flipped at random where structure is, a model is refused, or read and rewritten.
    @Test(arguments: ["resnet-8", "transformer", "lstm"]) func flippedBytes(_ model: String) throws {
        let folder = try TemporaryFolder()
        // Without weights nearly every byte is structure.
        let path = folder.file("structure.onnx")
        try Python.run(
            """
            import sys, onnx
            model = onnx.load(sys.argv[1])
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) > 4096:
                    tensor.raw_data = bytes(len(tensor.raw_data))
            open(sys.argv[2], "wb").write(model.SerializeToString())
            """, Samples.path(model), path)
        let original = [UInt8](try contents(path))
        let structure = original.indices.filter { original[$0] != 0 }
        let complaints = Self.complaints(100) { trial in
            var bytes = original
            var state = UInt64(trial &+ 1) &* 0x9E37_79B9_7F4A_7C15
            func random(_ bound: Int) -> Int {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                return Int(state % UInt64(bound))
            }
            for _ in 0...(trial % 5) { bytes[structure[random(structure.count)]] ^= UInt8(1 << random(8)) }
            let damaged = folder.file("flipped-\(trial).onnx")
            try Data(bytes).write(to: URL(fileURLWithPath: damaged))
            if let problem = Self.problem(try Self.limited(["inspect", damaged, "--json", "--quick"])) { return "\(model), trial \(trial), inspect: \(problem)" }
            let step = ["structured-pruning", "weight-quantization", "fp16:mode=compute", "svd", "dynamic-int8"][trial % 5]
            let out = folder.file("out-\(trial).onnx")
            let applied = try Self.limited(["apply", damaged, "--step", step, "--output", out])
            return Self.problem(applied).map { "\(model), trial \(trial), \(step): \($0)" }
        }
        #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")
    }
}
