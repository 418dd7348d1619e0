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
        var place = 0
        func time(_ runner: ModelRunner, repeats: Int) throws -> Double {
            let feeds = inputs[place % inputs.count]
            let start = DispatchTime.now().uptimeNanoseconds
            for _ in 0..<repeats { _ = try runner.run(feeds, outputs: outputs, cancellation: cancellation) }
            return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6 / Double(repeats)
        }
        Denormals.setFlushed(true)
        let loadBefore = Self.cpuTimes()
        let ownBefore = Self.ownSeconds()
        let begin = DispatchTime.now().uptimeNanoseconds
        func elapsed() -> Double { Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9 }
        // Warm up: first calls allocate and prepack.
        var warmups = 0
        var single = 0.0
        repeat {
            single = try max(time(baseline, repeats: 1), time(candidate, repeats: 1))
            warmups += 1
        } while warmups < 3 || (elapsed() < seconds * 0.15 && warmups < 200)
        // A round long enough for the clock: at least half a millisecond of each. Of a sample's own time, the middle one of three calls: means have
        // no defense against a call that something else interrupted.
        let isMean = inputs.count > 1
        let repeats = isMean ? 1 : max(1, min(64, Int((0.5 / max(single, 0.001)).rounded(.up))))
        let calls = isMean ? 3 : 1
        let mostRounds = isMean ? inputs.count : 2000
        var baselineTimes: [Double] = []
        var candidateTimes: [Double] = []
        while (elapsed() < (isMean ? 2 * seconds : seconds) || baselineTimes.count < min(isMean ? 50 : 10, mostRounds)) && baselineTimes.count < mostRounds {
            var (before, after): ([Double], [Double]) = ([], [])
            for call in 0..<calls {
                // Alternate who goes first, so that neither always finds the other's caches.
                if (baselineTimes.count + call) % 2 == 0 {
                    before.append(try time(baseline, repeats: repeats))
                    after.append(try time(candidate, repeats: repeats))
                } else {
                    after.append(try time(candidate, repeats: repeats))
                    before.append(try time(baseline, repeats: repeats))
                }
            }
            baselineTimes.append(Quantiles.median(before) ?? .nan)
            candidateTimes.append(Quantiles.median(after) ?? .nan)
            place += 1
            progress(min(elapsed() / (isMean ? 2 * seconds : seconds), 1))
        }
        let ratios = zip(candidateTimes, baselineTimes).map { $0 / $1 }
        func quantile(_ values: [Double], _ q: Double) -> Double { Quantiles.quantile(values, q) ?? .nan }
        let interval = Bootstrap.medianRatioInterval(candidateTimes, over: baselineTimes, seed: 1) ?? Interval(low: .nan, high: .nan)
        var figures = LatencyFigures(
            baselineMedian: quantile(baselineTimes, 0.5), baselineP90: quantile(baselineTimes, 0.9),
            candidateMedian: quantile(candidateTimes, 0.5), candidateP90: quantile(candidateTimes, 0.9), ratio: quantile(candidateTimes, 0.5) / quantile(baselineTimes, 0.5),
            ratioP90: quantile(ratios, 0.9), ratioInterval: interval, batch: batch,
            threads: threads, rounds: ratios.count, instructionSet: InstructionSet.current, runtimeVersion: version)
        if isMean {
            let (before, after) = (baselineTimes.reduce(0, +) / Double(baselineTimes.count), candidateTimes.reduce(0, +) / Double(candidateTimes.count))
            figures.means = LatencyFigures.Means(baseline: before, candidate: after, samples: min(place, inputs.count) * batch)
            figures.ratio = after / before
            figures.ratioInterval = Bootstrap.meanRatioInterval(candidateTimes, over: baselineTimes, seed: 1) ?? interval
        }
        if let load = foreignLoad(before: loadBefore, after: cpuTimes(), own: ownSeconds() - ownBefore), load > 0.2 {
            figures.warning = "other processes used \(Int((load * 100).rounded())) % of a core meanwhile; timings may be off"
        }
        return figures
    }

    /// Seconds of processor time per state since boot, summed over cores: (busy, idle).
    private static func cpuTimes() -> (busy: Double, wall: Double)? {
        guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .utf8),
            let line = text.split(separator: "\n").first
        else { return nil }
        let fields = line.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard fields.count >= 5 else { return nil }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        return ((fields[0] + fields[1] + fields[2]) / ticks, Double(DispatchTime.now().uptimeNanoseconds) / 1e9)
    }

    private static func ownSeconds() -> Double {
        var usage = rusage()
        getrusage(0, &usage)  // RUSAGE_SELF, which Glibc's importer types differently
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Cores that others kept busy during the measurement.
    private static func foreignLoad(before: (busy: Double, wall: Double)?, after: (busy: Double, wall: Double)?, own: Double) -> Double? {
        guard let before, let after, after.wall > before.wall else { return nil }
        return max((after.busy - before.busy - own) / (after.wall - before.wall), 0)
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
        let prefix = NSTemporaryDirectory() + "lathe-profile-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        var options = SessionOptions()
        options.profilingFilePrefix = prefix
        let runner = try ModelRunner(model, library: library, threads: threads, options: options, label: "profiled model")
        let outputs = model.graph.outputs.map(\.name)
        for _ in 0..<(runs + 1) { _ = try runner.run(inputs, outputs: outputs, cancellation: cancellation) }
        let path = try runner.session.endProfiling()
        defer { unlink(path) }
        let report = try ProfileReport.read(path: path)
        return report.operators.map { OperatorTime(node: $0.node, opType: $0.opType, milliseconds: $0.medianMicroseconds / 1000) }
            .sorted { $0.milliseconds > $1.milliseconds }
    }
}
