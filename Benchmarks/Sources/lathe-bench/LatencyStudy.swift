import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import Recipes
import Techniques

/// Predicted latency against measured: all techniques without training on the sample models, three values each of the parameter that says how far they go.
///
/// Each prediction is read before that recipe was run; what was measured is learnt from, as in a session. Of models that run in the same way one is timed. `LATHE_MODELS` names other models (paths, with
/// commas between), which are opened without data.
enum LatencyStudy {
    private struct Pair {
        var model: String
        var name: String
        var predicted: LatencyPrediction
        var measured: LatencyFigures
        /// The model runs as the baseline does.
        var isSame: Bool
        var error: Double { predicted.ratio / measured.ratio - 1 }
    }

    static func run() throws {
        print("predicted latency, as a ratio to the baseline's, against measured (target: median error at most 8 %, p90 at most 25 %)")
        // A store of its own: what was learnt before does not help.
        let state = NSTemporaryDirectory() + "lathe-bench-\(getpid())"
        setenv("XDG_STATE_HOME", state, 1)
        defer { try? FileManager.default.removeItem(atPath: state) }
        var pairs: [Pair] = []
        let models = ProcessInfo.processInfo.environment["LATHE_MODELS"]?.split(separator: ",").map { (String($0), nil as String?) }
        for (path, data) in models ?? samples.map({ (Repository.sample($0), Repository.data) }) {
            let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
            let found = try study(path, data: data)
            summary(found, name)
            pairs += found
        }
        summary(pairs, "all")
        if models == nil { try write(pairs) }
        print("  models that run differently, the largest errors first:")
        for pair in worst(pairs) { print("    " + line(pair)) }
    }

    private static func worst(_ pairs: [Pair]) -> [Pair] {
        pairs.filter { !$0.isSame }.sorted { abs(log(1 + $0.error)) > abs(log(1 + $1.error)) }
    }

    private static func line(_ pair: Pair) -> String {
        String(
            format: "%-60@ predicted %.3f [%.3f, %.3f], measured %.3f", pair.name as NSString, pair.predicted.ratio, pair.predicted.interval.low,
            pair.predicted.interval.high, pair.measured.ratio)
    }

    /// `Docs/Results/LatencyPrediction.md`.
    private static func write(_ pairs: [Pair]) throws {
        var text = """
            # Predicted latency against measured

            Written by `lathe-bench latency` (`make bench`): techniques without training on the sample models, three values each of the parameter that says how far they go, 1 thread, \
            batch 1, \(Machine.name). Each ratio to the baseline was predicted before its recipe was run; what was measured was learnt from, as in a session. Of models that run in the same way one \
            was timed. Early exits are left out: their time hangs on the sample and is predicted from their profile.

            | model | recipes | of which run differently | median error | 90th percentile | intervals hold | rank correlation | slower by 10 %: precision | recall |
            |---|--:|--:|--:|--:|--:|--:|--:|--:|

            """
        let models = pairs.map(\.model).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        for model in models { text += Summary(pairs.filter { $0.model == model }).row(model) }
        text += Summary(pairs).row("all")
        text += Summary(pairs.filter { !$0.isSame }).row("all that run differently")
        text += "\nThe recipes that run differently, the largest errors first:\n\n| recipe | predicted | interval | measured |\n|---|--:|--:|--:|\n"
        for pair in worst(pairs) {
            text += String(
                format: "| %@ | %.3f | %.3f to %.3f | %.3f |\n", pair.name as NSString, pair.predicted.ratio, pair.predicted.interval.low, pair.predicted.interval.high,
                pair.measured.ratio)
        }
        try text.write(toFile: Repository.root + "/Docs/Results/LatencyPrediction.md", atomically: true, encoding: .utf8)
    }

    private static let samples = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
        .filter { FileManager.default.fileExists(atPath: Repository.sample($0)) }

    private static func study(_ path: String, data: String?) throws -> [Pair] {
        let workbench = Workbench()
        let events = EventQueue()
        defer { workbench.close() }
        let start = DispatchTime.now().uptimeNanoseconds
        workbench.open(OpenRequest(modelPath: path, dataPath: data)) { events.push($0) }
        var refusals: [String: [Int: String]] = [:]
        var layers = 0
        try events.wait { event in
            if case .opened(let info, _, let found, _) = event { (layers, refusals) = (info.layers.count, found) }
            return if case .prepared = event { true } else { false }
        }
        let (looked, last) = try learn(workbench, events)
        print(
            String(
                format: "  %@: ready after %.1f s, of which %.1f s to learn the machine", URL(fileURLWithPath: path).lastPathComponent as NSString,
                Double(last - start) / 1e9, Double(last - looked) / 1e9))
        let model = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        var pairs: [Pair] = []
        var generation = 1
        for technique in TechniqueRegistry.all {
            let descriptor = technique.descriptor
            guard !descriptor.produces.contains(.training), refusals[descriptor.id]?.count ?? 0 < layers else { continue }
            for values in Self.values(descriptor) {
                let recipe = Recipe(steps: [RecipeStep(technique: descriptor.id, parameters: values)])
                guard let predicted = workbench.predict(recipe)?.latency else { continue }
                generation += 1
                workbench.measureLatency(recipe, request: LatencyRequest(), generation: generation)
                var measured: LatencyFigures?
                do {
                    try events.wait { event in
                        if case .latency(generation, let figures, _) = event { measured = figures }
                        return if case .settled(generation) = event { true } else { false }
                    }
                } catch { continue }
                guard let measured else { continue }
                pairs.append(
                    Pair(
                        model: model, name: "\(model) \(descriptor.id) \(values.text)", predicted: predicted, measured: measured,
                        isSame: predicted.ratio == 1))
            }
        }
        return pairs
    }

    /// Measures the baseline and waits until the machine was looked at.
    /// - Returns: when that began, and when it ended.
    @discardableResult
    static func learn(_ workbench: Workbench, _ events: EventQueue, event: (EngineEvent) -> Void = { _ in }) throws -> (began: UInt64, ended: UInt64) {
        workbench.measureLatency(Recipe(), request: LatencyRequest(isExplicit: true), generation: 1)
        try events.wait { if case .settled(1) = $0 { true } else { false } }
        // Learning is over when nothing more is prepared.
        let began = DispatchTime.now().uptimeNanoseconds
        var last = began
        while DispatchTime.now().uptimeNanoseconds - last < 3_000_000_000 {
            Thread.sleep(forTimeInterval: 0.2)
            for found in events.drain() {
                event(found)
                if case .prepared = found { last = DispatchTime.now().uptimeNanoseconds }
            }
        }
        return (began, last)
    }

    /// Three values of the first parameter that is a number, or the default alone.
    private static func values(_ descriptor: TechniqueDescriptor) -> [ParameterValues] {
        let name = descriptor.strength ?? descriptor.parameters.first { if case .real = $0.domain { true } else { false } }?.name
        guard let parameter = descriptor.parameters.first(where: { $0.name == name }), case .real(let range, _) = parameter.domain else { return [ParameterValues()] }
        return [0.25, 0.5, 0.75].map { share in
            let wanted = range.lowerBound + (range.upperBound - range.lowerBound) * share
            let steps = Int(((wanted - range.lowerBound) / (range.upperBound - range.lowerBound) * 100).rounded())
            var best = ParameterValue.real(range.lowerBound)
            for step in 0...max(steps * 10, 1) {
                let value = parameter.stepped(.real(range.lowerBound), by: step)
                guard case .real(let number) = value, number <= wanted + 1e-9 else { break }
                best = value
            }
            return ParameterValues([parameter.name: best])
        }
    }

    private struct Summary {
        let pairs: [Pair]
        let errors: [Double]
        let inside: Double
        let slow: Int
        let said: Int
        let both: Int

        init(_ pairs: [Pair]) {
            self.pairs = pairs
            errors = pairs.map { abs($0.error) }.sorted()
            inside = Double(pairs.count { ($0.predicted.interval.low...$0.predicted.interval.high).contains($0.measured.ratio) }) / Double(max(pairs.count, 1))
            slow = pairs.count { $0.measured.ratio > 1.1 }
            said = pairs.count { $0.predicted.ratio > 1.1 }
            both = pairs.count { $0.measured.ratio > 1.1 && $0.predicted.ratio > 1.1 }
        }

        func quantile(_ share: Double) -> Double { errors.isEmpty ? .nan : errors[min(Int((Double(errors.count - 1) * share).rounded(.up)), errors.count - 1)] }

        func row(_ name: String) -> String {
            String(
                format: "| %@ | %d | %d | %.1f %% | %.1f %% | %.0f %% | %.3f | %d of %d | %d of %d |\n", name as NSString, pairs.count, pairs.count { !$0.isSame },
                quantile(0.5) * 100, quantile(0.9) * 100, inside * 100, correlation(pairs), both, said, both, slow)
        }
    }

    private static func summary(_ pairs: [Pair], _ name: String) {
        guard !pairs.isEmpty else { return }
        print("  " + Summary(pairs).row(name), terminator: "")
        let changed = pairs.filter { !$0.isSame }
        if !changed.isEmpty { print("  " + Summary(changed).row("  of those that run differently"), terminator: "") }
    }

    /// Spearman's.
    private static func correlation(_ pairs: [Pair]) -> Double {
        func ranks(_ values: [Double]) -> [Double] {
            let order = values.indices.sorted { values[$0] < values[$1] }
            var ranks = [Double](repeating: 0, count: values.count)
            // Equal values share the mean of their ranks.
            var start = 0
            while start < order.count {
                var end = start
                while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
                for place in start..<end { ranks[order[place]] = Double(start + end - 1) / 2 }
                start = end
            }
            return ranks
        }
        guard pairs.count > 2 else { return .nan }
        let (a, b) = (ranks(pairs.map(\.predicted.ratio)), ranks(pairs.map(\.measured.ratio)))
        let mean = Double(pairs.count - 1) / 2
        let covariance = zip(a, b).reduce(0) { $0 + ($1.0 - mean) * ($1.1 - mean) }
        func spread(_ values: [Double]) -> Double { values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }.squareRoot() }
        return covariance / (spread(a) * spread(b))
    }
}

extension ParameterValues {
    fileprivate var text: String { explicit.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.text)" }.joined(separator: ",") }
}
