import EngineSupport
import Foundation
import ModelGraph
import OnnxRuntime

/// Times a candidate against the baseline, one after the other in turn, so that what slows the machine slows both.
public enum LatencyMeasurement {
    /// - Parameters:
    ///   - seconds: time to spend, warm-up included.
    ///   - inputs: values for one call of `batch` rows. Several of them are taken in turn, the same for both models, and then means are compared.
    public static func compare(
        baseline: ModelRunner, candidate: ModelRunner, inputs: [[(String, Value)]], outputs: [String], batch: Int, threads: Int,
        seconds: Double = 2, version: String, cancellation: Cancellation, progress: (Double) -> Void = { _ in }
    ) throws -> LatencyFigures {
        guard !inputs.isEmpty else { throw EngineError(.data, "no samples to time") }
        let before = ProcessorLoad.now()
        let timing = InterleavedTiming(seconds: seconds, inputs: inputs.count)
        let rounds = try Denormals.with(flushed: true) {
            try timing.run(
                baseline: { _ = try baseline.run(inputs[$0], outputs: outputs, cancellation: cancellation) },
                candidate: { _ = try candidate.run(inputs[$0], outputs: outputs, cancellation: cancellation) }, progress: progress)
        }
        var figures = rounds.figures(batch: batch, threads: threads, version: version)
        if let before, let after = ProcessorLoad.now() { figures.warning = ProcessorLoad.warning(from: before, to: after) }
        return figures
    }
}

/// The processor's instruction set, as far as inference cares.
public enum InstructionSet {
    public static let current: String = {
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return "unknown" }
        let flags = Set(
            text.split(separator: "\n").first { $0.hasPrefix("flags") || $0.hasPrefix("Features") }?
                .split(separator: ":").last?.split(separator: " ").map(String.init) ?? [])
        if flags.contains("amx_int8") { return "AVX512-AMX" }
        if flags.contains("avx512_vnni") { return "AVX512-VNNI" }
        if flags.contains("avx512f") { return "AVX512" }
        if flags.contains("avx_vnni") { return "AVX-VNNI" }
        if flags.contains("avx2") { return "AVX2" }
        if flags.contains("i8mm") { return "NEON-I8MM" }
        if flags.contains("asimddp") { return "NEON-dotprod" }
        if flags.contains("asimd") { return "NEON" }
        return flags.contains("sse4_2") ? "SSE4.2" : "unknown"
    }()

    /// Whether u8×s8 products can saturate (no VNNI or dot product): 7-bit weights are then safer.
    public static var saturates: Bool { ["AVX512", "AVX2", "SSE4.2"].contains(current) }
}

/// Times of single operators from the runtime's profiler.
public enum OperatorProfile {
    /// Median milliseconds per node over `runs` runs after one warm-up, slowest first.
    public static func measure(
        _ model: Model, library: RuntimeLibrary, inputs: [(String, Value)], threads: Int, runs: Int = 15, cancellation: Cancellation
    ) throws -> [OperatorTime] {
        let report = try report(of: model, library: library, inputs: inputs, threads: threads, runs: (runs + 1, runs + 1, 0), cancellation: cancellation)
        return report.operators.map { OperatorTime(node: $0.node, opType: $0.opType, milliseconds: $0.medianMicroseconds / 1000) }
            .assigned(to: model.layers(), of: model)
            .sorted { $0.milliseconds > $1.milliseconds }
    }

    /// Milliseconds per node of one call, for comparisons: quicker, and a mean, since the profiler counts whole microseconds.
    /// - Parameter runs: at least, at most, and seconds after which it is enough.
    package static func nodes(
        of model: Model, library: RuntimeLibrary, inputs: [(String, Value)], threads: Int, runs: (least: Int, most: Int, seconds: Double), cancellation: Cancellation
    ) throws -> [(String, Double)] {
        try report(of: model, library: library, inputs: inputs, threads: threads, runs: runs, cancellation: cancellation).operators.map {
            ($0.node, KernelTiming.typical($0.microseconds) / 1000)
        }
    }

    private static func report(
        of model: Model, library: RuntimeLibrary, inputs: [(String, Value)], threads: Int, runs: (least: Int, most: Int, seconds: Double), cancellation: Cancellation
    ) throws -> ProfileReport {
        let prefix = NSTemporaryDirectory() + "lathe-profile-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        var options = SessionOptions()
        options.profilingFilePrefix = prefix
        let runner = try ModelRunner(model, library: library, threads: threads, options: options, label: "profiled model")
        let outputs = model.graph.outputs.map(\.name)
        let start = DispatchTime.now().uptimeNanoseconds
        var count = 0
        var failure: (any Error)?
        do {
            while count < runs.least || (count < runs.most && Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9 < runs.seconds) {
                _ = try runner.run(inputs, outputs: outputs, cancellation: cancellation)
                count += 1
            }
        } catch {
            failure = error
        }
        let path = try runner.session.endProfiling()
        defer { unlink(path) }
        if let failure { throw failure }
        return try ProfileReport.read(path: path)
    }
}
