import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime

/// Profiles models with early exits: runs the network without branches, and keeps what every exit says of every sample.
struct ExitProfiler: LiveProfiler {
    let model: Model
    let declaration: ExitDeclaration
    /// Seconds for the times of all ways through the model, about.
    static let timingSeconds = 1.0

    /// - Returns: `nil` for a model without exits.
    init?(_ model: Model) {
        guard let declaration = ExitDeclaration(model) else { return nil }
        self.model = model
        self.declaration = declaration
    }

    var key: ContentHash { declaration.settingThresholds([Float](repeating: 0, count: declaration.exits.count), in: model).contentHash }
    var straightened: Model { declaration.unrolled(model) }
    var paths: [GraphPath] { declaration.paths(in: model) }

    func complete(_ shapes: inout ValueShapes) {
        for exit in declaration.exits { shapes.values[exit.gathered] = shapes[exit.cut] }
    }

    func figures(from profile: any LiveProfile) -> LiveFigures? { (profile as? ExitProfile)?.figures(thresholds: declaration.thresholds(in: model)) }

    /// Nothing known yet.
    private func empty(_ setting: ProfileSetting) -> ExitProfile {
        let parts = setting.shapes.map { FigureCounting.partMACs(of: model, declaration, shapes: $0) } ?? []
        var sum = 0.0
        let macs = parts.map { part -> Double in
            sum += part
            return sum
        }
        return ExitProfile(metric: setting.samples.metric, total: setting.samples.count, exits: declaration.exits.count, macs: macs)
    }

    func profile(continuing known: (any LiveProfile)?, in setting: ProfileSetting, keep: (any LiveProfile, Double) -> Void) throws -> any LiveProfile {
        var profile = known as? ExitProfile ?? empty(setting)
        let (set, exits) = (setting.samples, declaration.exits)
        guard profile.count < set.count else { return profile }
        let runner = try ModelRunner(straightened, library: setting.library)
        let output = try AccuracyEvaluation.scoredOutput(of: model).name
        let batch = setting.samplesAreIndependent && set.fixedBatch(of: model) == nil ? AccuracyEvaluation.batchSize(of: model, samples: set) : 1
        let names = exits.map(\.answer) + [output] + exits.map(\.confidence)
        let chunk = batch * 2 * ProcessInfo.processInfo.activeProcessorCount
        while profile.count < set.count {
            try setting.cancellation.check()
            let end = min(profile.count + chunk, set.count)
            let ranges = stride(from: profile.count, to: end, by: batch).map { $0..<min($0 + batch, end) }
            let rows = try Parallel.map(ranges) { range -> [[Float]] in
                let values = try Denormals.with(flushed: true) { try runner.run(try set.values(range), outputs: names, cancellation: setting.cancellation) }
                return try values.enumerated().map { index, value in
                    let floats = try value.floats()
                    guard index <= exits.count else { return floats }
                    return try Self.scores(floats, range, setting)
                }
            }
            for part in rows {
                for exit in exits.indices {
                    profile.scores[exit] += part[exit]
                    profile.confidences[exit] += part[exits.count + 1 + exit]
                }
                profile.scores[exits.count] += part[exits.count]
            }
            profile.baseline += setting.baselineScores[profile.count..<end]
            keep(profile, Double(profile.count) / Double(set.count))
        }
        return profile
    }

    /// Scores of a batch of answers.
    private static func scores(_ answers: [Float], _ range: Range<Int>, _ setting: ProfileSetting) throws -> [Float] {
        let set = setting.samples
        let width = answers.count / max(range.count, 1)
        guard width > 0, answers.count == width * range.count else { throw EngineError(.data, "an exit's answer is not one score per class") }
        return try answers.withUnsafeBufferPointer { all in
            try range.enumerated().map { row, sample in
                let own = UnsafeBufferPointer(rebasing: all[row * width..<(row + 1) * width])
                if let labels = set.labels { return OutputComparison.isInTop(set.metric == .top5 ? 5 : 1, own, label: labels[sample]) ? 1 : 0 }
                guard let reference = setting.reference else { throw EngineError(.data, "no reference outputs to agree with") }
                return reference.withRow(sample) { OutputComparison.likeness(set.metric, own, $0) }
            }
        }
    }

    func timed(_ profile: any LiveProfile, in setting: ProfileSetting) throws -> any LiveProfile {
        guard var profile = profile as? ExitProfile else { return profile }
        let exits = declaration.exits.count
        // Nobody leaves before exit k, everybody there; last, nobody at all.
        let runners =
            try (0...exits).map { last in
                try ModelRunner(
                    declaration.settingThresholds((0..<exits).map { $0 < last ? 2 : -1 }, in: model), library: setting.library, label: "model with exits")
            } + [ModelRunner(setting.baseline, library: setting.library, label: "baseline")]
        let outputs = setting.baseline.graph.outputs.map(\.name)
        var sums = [Double](repeating: 0, count: runners.count)
        var rounds = 0
        let start = DispatchTime.now().uptimeNanoseconds
        while rounds < 20 || Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9 < Self.timingSeconds {
            try setting.cancellation.check()
            let sample = rounds % setting.samples.count
            let feeds = try setting.samples.values(sample..<(sample + 1))
            for (index, runner) in runners.enumerated() {
                let begin = DispatchTime.now().uptimeNanoseconds
                _ = try Denormals.with(flushed: true) { try runner.run(feeds, outputs: outputs, cancellation: setting.cancellation) }
                // The first rounds allocate and prepack.
                if rounds >= 5 { sums[index] += Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e6 }
            }
            rounds += 1
        }
        let means = sums.map { $0 / Double(rounds - 5) }
        profile.times = ExitTimes(milliseconds: Array(means.dropLast()), baseline: means[means.count - 1])
        return profile
    }
}
