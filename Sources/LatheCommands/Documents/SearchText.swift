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
        return "\(objective(trial, goal)), \(accuracy)"
    }

    static func objective(_ trial: SearchTrial, _ goal: SearchGoal) -> String {
        let measure = goal.objective
        if measure.isLatency { return trial.findings.latency.map { "latency \($0.ratio.formatted(digits: 3))×" } ?? "latency –" }
        guard measure.metric == nil else { return Written.value(trial.findings.accuracy?.value, measure) }
        return Written.value(measure.figure(in: trial.findings.after)?.value, measure)
    }

    static func steps(_ recipe: Recipe) -> String {
        recipe.activeSteps.isEmpty ? "the original" : recipe.activeSteps.map { "--step '\($0.line)'" }.joined(separator: " ")
    }

    static func text(_ document: SearchDocument) -> String {
        let result = document.result
        let goal = result.goal
        let direction = goal.objective.metric == nil && goal.objective.direction == .lower ? "least" : "best"
        var lines = ["\(document.model.name): \(document.limits.joined(separator: ", ")); \(direction) \(goal.objective.name)"]
        let why =
            switch result.end {
            case .settled: "nothing better came for a while"
            case .budget: "the time was up"
            case .interrupted: "interrupted"
            }
        lines.append(
            "\(result.tried) recipes tried (\(result.dropped) cut short, \(result.known) known before), \(result.rejected) left out for their sizes, \(result.failed) did not apply; "
                + "\(Int(result.seconds.rounded())) s, \(why)")
        lines.append("")
        if let best = result.best {
            lines += table(best, goal)
            lines += ["", "recipe: \(steps(best.recipe))"]
            if result.front.count > 1 {
                lines += ["", "What meets the goal with less loss:", ""]
                var table = TextTable([(goal.objective.name, .right), ("change", .right), ("recipe", .left)])
                for trial in result.front.dropFirst() {
                    table.add(objective(trial, goal), trial.findings.accuracy.map { Written.change($0.difference, $0.measure) } ?? "–", steps(trial.recipe))
                }
                lines.append(table.text)
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
        let wanted = Set(goal.demands.map(\.measure) + [goal.objective, .file, .macs])
        for measure in Measure.all where measure.isOfFigures && wanted.contains(measure) {
            guard let before = measure.figure(in: trial.findings.before)?.value, let after = measure.figure(in: trial.findings.after)?.value else { continue }
            table.add(measure.name, Written.value(before, measure), Written.value(after, measure), measure.changeText(from: before, to: after) ?? "–")
        }
        return table.lines
    }
}
