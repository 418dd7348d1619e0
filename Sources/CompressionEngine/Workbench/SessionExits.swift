import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime

// Models with early exits: what they do depends on the sample, so it is measured over samples.

extension EngineSession {
    /// Identifies a model with exits whatever its thresholds.
    static func exitKey(_ declaration: ExitDeclaration, _ model: Model) -> ContentHash {
        declaration.settingThresholds([Float](repeating: 0, count: declaration.exits.count), in: model).contentHash
    }

    /// What is known of a model's exits so far; `nil` before `exitProfile`.
    func knownExitProfile(_ key: ContentHash) -> ExitProfile? { exitProfiles.value(for: key) }

    /// Confidence and score of every exit for every sample of the validation split, run once and kept. Cancelled, it goes on
    /// where it stopped when asked again.
    /// - Returns: `nil` for a model without exits, or without data or runtime.
    public func exitProfile(of model: Model, cancellation: Cancellation = Cancellation(), progress: (Double) -> Void = { _ in }) throws -> ExitProfile? {
        guard let declaration = ExitDeclaration(model), let runtime, let set = validation, set.count > 0, runs, self.model.graph.outputs.count == 1 else { return nil }
        let key = Self.exitKey(declaration, model)
        let shapes = try shapes(of: model, cancellation: cancellation)
        let parts = shapes.map { FigureCounting.partMACs(of: model, declaration, shapes: $0) } ?? []
        var sum = 0.0
        let macs = parts.map { part -> Double in
            sum += part
            return sum
        }
        var profile = knownExitProfile(key) ?? ExitProfile(metric: set.metric, total: set.count, exits: declaration.exits.count, macs: macs)
        guard profile.count < set.count else { return profile }
        let baseline = try baselineScores(cancellation: cancellation)
        let reference = knownReference(.validation)
        let runner = try ModelRunner(declaration.unrolled(model), library: runtime)
        let output = try AccuracyEvaluation.scoredOutput(of: model).name
        let batch = samplesAreIndependent && set.fixedBatch(of: model) == nil ? AccuracyEvaluation.batchSize(of: model, samples: set) : 1
        let names = declaration.exits.map(\.answer) + [output] + declaration.exits.map(\.confidence)
        let chunk = batch * 2 * ProcessInfo.processInfo.activeProcessorCount
        while profile.count < set.count {
            try cancellation.check()
            let end = min(profile.count + chunk, set.count)
            let ranges = stride(from: profile.count, to: end, by: batch).map { $0..<min($0 + batch, end) }
            let rows = try Parallel.map(ranges) { range -> [[Float]] in
                Denormals.setFlushed(true)
                let values = try runner.run(try set.values(range), outputs: names, cancellation: cancellation)
                return try values.enumerated().map { index, value in
                    let floats = try value.floats()
                    guard index <= declaration.exits.count else { return floats }
                    return try Self.scores(floats, range, set, reference)
                }
            }
            for part in rows {
                for exit in declaration.exits.indices {
                    profile.scores[exit] += part[exit]
                    profile.confidences[exit] += part[declaration.exits.count + 1 + exit]
                }
                profile.scores[declaration.exits.count] += part[declaration.exits.count]
            }
            profile.baseline += baseline.scores[profile.count..<end]
            exitProfiles.insert(profile, for: key)
            progress(Double(profile.count) / Double(set.count))
        }
        return profile
    }

    /// What a model with exits does at the thresholds it has; `nil` for others and without data.
    func exitFigures(of model: Model, cancellation: Cancellation) throws -> ExitFigures? {
        guard let declaration = ExitDeclaration(model) else { return nil }
        return try exitProfile(of: model, cancellation: cancellation)?.figures(thresholds: declaration.thresholds(in: model))
    }

    /// Scores of a batch of answers.
    private static func scores(
        _ answers: [Float], _ range: Range<Int>, _ set: SampleSet, _ reference: AccuracyEvaluation.ReferenceOutputs?
    ) throws -> [Float] {
        let width = answers.count / max(range.count, 1)
        guard width > 0, answers.count == width * range.count else { throw EngineError(.data, "an exit's answer is not one score per class") }
        return try answers.withUnsafeBufferPointer { all in
            try range.enumerated().map { row, sample in
                let own = UnsafeBufferPointer(rebasing: all[row * width..<(row + 1) * width])
                if let labels = set.labels { return OutputComparison.isInTop(set.metric == .top5 ? 5 : 1, own, label: labels[sample]) ? 1 : 0 }
                guard let reference else { throw EngineError(.data, "no reference outputs to agree with") }
                return reference.withRow(sample) { OutputComparison.likeness(set.metric, own, $0) }
            }
        }
    }

    /// Times a sample through each exit and through everything, in turns with the baseline, and keeps that with the profile.
    @discardableResult
    public func exitTimes(of model: Model, seconds: Double = 1, cancellation: Cancellation = Cancellation()) throws -> ExitTimes? {
        guard let declaration = ExitDeclaration(model), let runtime, let set = validation, set.count > 0, runs else { return nil }
        let key = Self.exitKey(declaration, model)
        if let known = knownExitProfile(key)?.times { return known }
        let exits = declaration.exits.count
        // Nobody leaves before exit k, everybody there; last, nobody at all.
        let runners =
            try (0...exits).map { last in
                try ModelRunner(
                    declaration.settingThresholds((0..<exits).map { $0 < last ? 2 : -1 }, in: model), library: runtime, label: "model with exits")
            } + [ModelRunner(self.model, library: runtime, label: "baseline")]
        Denormals.setFlushed(true)
        let outputs = self.model.graph.outputs.map(\.name)
        var sums = [Double](repeating: 0, count: runners.count)
        var rounds = 0
        let start = DispatchTime.now().uptimeNanoseconds
        while rounds < 20 || Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9 < seconds {
            try cancellation.check()
            let sample = rounds % set.count
            let feeds = try set.values(sample..<(sample + 1))
            for (index, runner) in runners.enumerated() {
                let begin = DispatchTime.now().uptimeNanoseconds
                _ = try runner.run(feeds, outputs: outputs, cancellation: cancellation)
                // The first rounds allocate and prepack.
                if rounds >= 5 { sums[index] += Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e6 }
            }
            rounds += 1
        }
        let means = sums.map { $0 / Double(rounds - 5) }
        let times = ExitTimes(milliseconds: Array(means.dropLast()), baseline: means[means.count - 1])
        exitProfiles.update(key) { $0.times = times }
        return times
    }
}
