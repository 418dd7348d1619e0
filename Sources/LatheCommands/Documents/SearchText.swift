import CompressionEngine
import Measurement
import Recipes

/// What `lathe search` prints for people.
enum SearchText {
    /// `file <= 50.0 %`, `drop <= 0.50 pt`.
    static func limit(_ demand: Demand) -> String {
        let sign = demand.isAtLeast ? ">=" : "<="
        switch demand.quantity {
        case .value: return "\(demand.measure.id) \(sign) \(Written.value(demand.number, demand.measure))"
        case .ratio: return "\(demand.measure.id) \(sign) \(demand.number.formatted(digits: 3))x"
        case .drop: return "drop \(sign) \(demand.measure.changeFormat.magnitude(demand.number))"
        }
    }

    /// The objective and the loss.
    static func short(_ trial: SearchTrial, _ goal: SearchGoal) -> String {
        let accuracy = trial.findings.accuracy.map { Written.change($0.difference, $0.measure) } ?? "–"
        return "\(goal.objective.isLatency ? "latency " : "")\(objective(trial, goal)), \(accuracy)"
    }

    static func objective(_ trial: SearchTrial, _ goal: SearchGoal) -> String { value(goal.objective, trial) }

    private static func value(_ measure: Measure, _ trial: SearchTrial) -> String {
        if measure.isLatency { return trial.findings.latency.map { "\($0.ratio.formatted(digits: 3))×" } ?? "–" }
        guard measure.metric == nil else { return Written.change(trial.findings.accuracy?.difference, measure) }
        return Written.value(measure.figure(in: trial.findings.after)?.value, measure)
    }

    static func steps(_ recipe: Recipe) -> String {
        recipe.activeSteps.isEmpty ? "the original" : recipe.activeSteps.map { "--step '\($0.shortLine)'" }.joined(separator: " ")
    }

    static func text(_ document: SearchDocument) -> String {
        let result = document.result
        let goal = result.goal
        let limits = document.limits.isEmpty ? "" : ": " + document.limits.joined(separator: ", ")
        var lines = ["\(document.model.name)\(limits); \(sought(goal))"]
        let why =
            switch result.end {
            case .settled: "nothing better came for a while"
            case .budget: "the time was up"
            case .interrupted: "interrupted"
            }
        let kinds = [(result.dropped, "cut short"), (result.known, "known before"), (result.trainings, "trained")].filter { $0.0 > 0 }.map { "\($0) \($1)" }
        let others = [(result.rejected, "left out for their sizes"), (result.slow, "clearly too slow"), (result.idle, "changed nothing"), (result.failed, "did not apply")]
        lines.append(
            "\(result.tried) recipes tried\(kinds.isEmpty ? "" : " (\(kinds.joined(separator: ", ")))")"
                + others.filter { $0.0 > 0 }.map { ", \($0) \($1)" }.joined() + "; \(Int(result.seconds.rounded())) s, \(why)")
        lines.append("")
        if let best = result.best {
            if goal.isFront {
                lines += [front(result.front, goal).text, "", "The one nearest to what would be best on every axis:", ""]
            }
            lines += table(best, goal)
            lines += choice(result)
            lines += ["", "recipe: \(steps(best.recipe))"]
            if !goal.isFront, result.front.count > 1 {
                lines += ["", "What meets the goal with less loss:", ""]
                lines.append(front(Array(result.front.dropFirst()), goal).text)
            }
        } else {
            lines.append("No recipe meets the goal.\(result.misses.isEmpty ? " Nothing could be tried to its end." : " The nearest:")")
            for miss in result.misses {
                let value = miss.demand.value(miss.trial.findings)
                let found = value.map { reached(miss.demand, $0) } ?? "–"
                lines += ["", "\(limit(miss.demand)) is missed: \(found)\(result.misses.count > 1 ? ", the others hold" : "")"]
                lines += table(miss.trial, goal)
                lines.append("recipe: \(steps(miss.trial.recipe))")
            }
        }
        if !document.files.isEmpty { lines += ["", "written: \(document.files.joined(separator: ", "))"] }
        return lines.joined(separator: "\n")
    }

    /// What is made best, in words.
    static func sought(_ goal: SearchGoal) -> String { "\(goal.isFront ? "front of" : "least") \(goal.objectives.map(name).joined(separator: ", "))" }

    /// Trials by what they are compared by.
    static func front(_ trials: [SearchTrial], _ goal: SearchGoal) -> TextTable {
        var table = TextTable(goal.axes.map { (name($0), .right) } + [("recipe", .left)])
        for trial in trials { table.add(cells: goal.axes.map { value($0, trial) } + [steps(trial.recipe)]) }
        return table
    }

    private static func name(_ measure: Measure) -> String { measure.metric == nil ? measure.name : "change of \(measure.name)" }

    /// What the validation figure of the best of many is worth.
    private static func choice(_ result: SearchResult) -> [String] {
        guard let metric = result.goal.metric else { return [] }
        let measure = Measure.metric(metric)
        func change(_ loss: Double) -> Double { measure.direction == .lower ? loss : -loss }
        var lines: [String] = []
        if let corrected = result.correctedLoss {
            lines.append("change corrected for the choice among \(corrected.choices) recipes (bootstrap): \(Written.change(change(corrected.value), measure))")
        }
        if let test = result.test {
            let interval = test.differenceInterval.map { " [\(Written.change($0.low, measure)), \(Written.change($0.high, measure))]" } ?? ""
            lines.append(
                "test split, read once: \(Written.value(test.baseline, measure)) to \(Written.value(test.value, measure)), \(Written.change(test.difference, measure))\(interval)")
        }
        return lines
    }

    static func reached(_ demand: Demand, _ value: Double) -> String {
        switch demand.quantity {
        case .value: "\(demand.measure.name) \(Written.value(value, demand.measure))"
        case .ratio: "\(demand.measure.name) \(value.formatted(digits: 3))×"
        case .drop: "\(demand.measure.name) \(demand.measure.direction == .lower ? "rises" : "drops") by \(demand.measure.changeFormat.magnitude(max(0, value)))"
        }
    }

    static func table(_ trial: SearchTrial, _ goal: SearchGoal) -> [String] {
        var table = TextTable([("", .left), ("baseline", .right), ("now", .right), ("change", .right)])
        if let accuracy = trial.findings.accuracy {
            let measure = accuracy.measure
            let interval = accuracy.differenceInterval.map { " [\(Written.change($0.low, measure)), \(Written.change($0.high, measure))]" } ?? ""
            table.add(measure.name, Written.value(accuracy.baseline, measure), Written.value(accuracy.value, measure), Written.change(accuracy.difference, measure) + interval)
        }
        if let latency = trial.findings.latency {
            table.add("latency", Written.value(latency.baseline, .latency), Written.value(latency.candidate, .latency), "\(latency.ratio.formatted(digits: 3))×")
        }
        let wanted = Set(goal.demands.map(\.measure) + goal.objectives + [.file, .macs])
        for measure in Measure.all where measure.isOfFigures && wanted.contains(measure) {
            guard let before = measure.figure(in: trial.findings.before)?.value, let after = measure.figure(in: trial.findings.after)?.value else { continue }
            table.add(measure.name, Written.value(before, measure), Written.value(after, measure), measure.changeText(from: before, to: after) ?? "–")
        }
        return table.lines
    }
}
