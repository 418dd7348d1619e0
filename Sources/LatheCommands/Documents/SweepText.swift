import CompressionEngine
import Foundation
import Measurement
import Recipes

/// What `lathe sweep` prints for people, and its table.
enum SweepText {
    /// How far it is.
    static func show(_ document: SweepDocument) -> String {
        let summary = document.summary
        var lines = heading(document)
        let workers = summary.workers.filter { $0.began != nil || !$0.works.isEmpty }
        if !workers.isEmpty {
            lines.append("")
            var table = TextTable([("worker", .left), ("results", .right), ("per hour", .right), ("trial", .left)])
            for worker in workers {
                let works = worker.works.isEmpty ? "–" : worker.works.sorted().map(String.init).joined(separator: ", ")
                table.add(worker.name, "\(worker.results)", worker.rate.map { "\(Int($0.rounded()))" } ?? "–", works + (worker.lives == false ? " (has ended)" : ""))
            }
            lines += table.lines
        }
        lines.append("")
        if let best = summary.result.best {
            lines.append("best so far: \(SearchText.short(best, summary.goal)): \(SearchText.steps(best.recipe))")
            if summary.result.front.count > 1 { lines += ["", "front:", ""] + front(summary.result.front, summary.goal) }
        } else if let miss = summary.result.misses.first {
            lines.append("nothing meets the goal so far; nearest: \(SearchText.short(miss.trial, summary.goal)): \(SearchText.steps(miss.trial.recipe))")
        } else {
            lines.append("no results so far")
        }
        return lines.joined(separator: "\n")
    }

    private static func heading(_ document: SweepDocument) -> [String] {
        let summary = document.summary
        let limits = document.limits.isEmpty ? "" : ", " + document.limits.joined(separator: ", ")
        var lines = ["\(document.folder): \(document.model)\(limits); \(SearchText.sought(summary.goal))"]
        func count(_ state: SweepResult.State) -> Int { summary.states[state] ?? 0 }
        var parts = ["\(count(.complete)) complete", "\(count(.dropped)) cut short", "\(count(.rejected)) left out for their sizes"]
        if count(.unchanged) > 0 { parts.append("\(count(.unchanged)) that change nothing") }
        parts.append("\(count(.failed)) failed")
        var line = "\(summary.total) trials: \(summary.done) done (\(parts.joined(separator: ", "))), \(summary.claimed) claimed, \(summary.open) open"
        if let seconds = summary.secondsLeft, !summary.isComplete { line += "; about \(duration(seconds)) left" }
        lines.append(line)
        if let machine = summary.machine {
            lines.append("latencies of \(machine)" + (summary.elsewhere > 0 ? "; \(summary.elsewhere) results of other machines are left out: --machine chooses" : ""))
        }
        return lines
    }

    private static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e7 else { return "–" }
        return seconds < 120 ? "\(Int(seconds.rounded(.up))) s" : seconds < 7200 ? "\(Int((seconds / 60).rounded())) min" : "\(Int((seconds / 3600).rounded())) h"
    }

    private static func front(_ trials: [SearchTrial], _ goal: SearchGoal) -> [String] {
        SearchText.front(trials, goal).lines
    }

    /// What was found.
    static func collected(_ document: SweepDocument) -> String {
        let (result, goal) = (document.summary.result, document.summary.goal)
        var lines = heading(document) + [""]
        if let best = result.best {
            lines += SearchText.table(best, goal)
            lines += ["", "recipe: \(SearchText.steps(best.recipe))"]
            if result.front.count > 1 { lines += ["", "The front:", ""] + front(result.front, goal) }
        } else {
            lines.append("No recipe meets the goal.\(result.misses.isEmpty ? " Nothing was tried to its end." : " The nearest:")")
            for miss in result.misses {
                let found = miss.demand.value(miss.trial.findings).map { SearchText.reached(miss.demand, $0) } ?? "–"
                lines += ["", "\(SearchText.limit(miss.demand)) is missed: \(found)\(result.misses.count > 1 ? ", the others hold" : "")"]
                lines += SearchText.table(miss.trial, goal)
                lines.append("recipe: \(SearchText.steps(miss.trial.recipe))")
            }
        }
        if !document.files.isEmpty { lines += ["", "written: \(document.files.joined(separator: ", "))"] }
        return lines.joined(separator: "\n")
    }

    // MARK: - CSV

    /// A row for each result, titles first; RFC 4180 with line feeds.
    static func csv(_ results: [SweepResult], _ sweep: Sweep) -> String {
        let measures = Measure.all.filter { measure in measure.isOfFigures && results.contains { $0.figures?[measure] != nil } }
        var titles = ["trial", "state", "reason", "recipe"]
        titles += measures.map(\.id)
        titles += ["metric", "value", "baseline", "difference", "difference low", "difference high", "samples", "latency", "latency baseline", "latency ratio"]
        titles += ["host", "machine", "threads", "worker", "lathe", "onnxruntime", "strikes", "began", "seconds"]
        var rows = [titles]
        for result in results {
            let figures = result.figures
            let recipe = (try? result.appliedRecipe())?.activeSteps.map(\.shortLine).joined(separator: " ; ") ?? result.recipe
            var row = ["\(result.id)", result.state.rawValue, result.reason ?? "", recipe]
            row += measures.map { number(figures?[$0]) }
            row += [
                figures?.metric?.title ?? "", number(figures?.accuracy), number(result.baseline), number(result.difference), number(result.differenceInterval?.low),
                number(result.differenceInterval?.high), figures?.seen.map(String.init) ?? "", number(figures?[.latency]), number(result.baselineLatency),
            ]
            row += [number(figures?.latencyRatio), result.host, result.machine, "\(result.threads)", result.worker, result.version, result.runtime, "\(result.strikes)"]
            row += [number(result.began), number(result.seconds)]
            rows.append(row)
        }
        return rows.map { $0.map(quoted).joined(separator: ",") + "\n" }.joined()
    }

    private static func number(_ value: Double?) -> String { value.map { $0 == $0.rounded() && abs($0) < 1e15 ? String(Int($0)) : String($0) } ?? "" }

    private static func quoted(_ text: String) -> String {
        text.contains { $0 == "," || $0 == "\"" || $0.isNewline } ? "\"\(text.replacingOccurrences(of: "\"", with: "\"\""))\"" : text
    }
}
