import CompressionEngine
import Measurement
import Recipes
import TerminalCells

/// A line of the jobs view: a job, or work the explorer asked for itself.
public struct JobRow: Sendable {
    public enum Source: Sendable, Hashable {
        case job(Int)
        case evaluation, baseline, latency
    }
    public var source: Source
    public var update: JobUpdate
    public var files: [String]
    public var isPaused = false
}

extension ExplorerModel {
    /// What runs or ran, newest first; the evaluation and a latency measurement on top while they run.
    public var jobRows: [JobRow] {
        var rows: [JobRow] = []
        if answers.evaluation.status != .idle {
            let accuracy = answers.results[answers.evaluation.canonical]?.accuracy
            let fraction = accuracy.map { $0.total > 0 ? Double($0.seen) / Double($0.total) : 0 }
            let elapsed = (answers.evaluation.status == .running ? now : answers.evaluation.finished) - answers.evaluation.started
            let remaining = fraction.flatMap { $0 > 0 && $0 < 1 ? elapsed * (1 - $0) / $0 : nil }
            let state: JobUpdate.State =
                switch answers.evaluation.status {
                case .running: .running
                case .failed(let message): .failed(message)
                case .cancelled: .cancelled
                default: .finished
                }
            let phase = accuracy.map { "\(Grouping.text($0.seen)) of \(Grouping.text($0.total)) samples" } ?? "applying the recipe"
            rows.append(
                JobRow(
                    source: .evaluation,
                    update: JobUpdate(
                        id: -1, title: "Evaluate the current recipe", phase: phase, fraction: state == .finished ? 1 : fraction, elapsedSeconds: max(0, elapsed),
                        remainingSeconds: remaining, state: state),
                    files: []))
        }
        if let run = facts.baselineRun {
            let fraction = facts.baselineAccuracy.map { $0.total > 0 ? Double($0.seen) / Double($0.total) : 0 } ?? 0
            let elapsed = (run.finished ?? now) - run.started
            rows.append(
                JobRow(
                    source: .baseline,
                    update: JobUpdate(
                        id: -3, title: "Evaluate the baseline",
                        phase: facts.baselineAccuracy.map { "\(Grouping.text($0.seen)) of \(Grouping.text($0.total)) samples" } ?? "starting",
                        fraction: fraction, elapsedSeconds: max(0, elapsed), remainingSeconds: fraction > 0 && run.finished == nil ? elapsed * (1 - fraction) / fraction : nil,
                        state: facts.baselineProblem.map { .failed($0) } ?? (run.finished == nil ? .running : .finished)),
                    files: []))
        }
        if let run = answers.latencyRun {
            rows.append(
                JobRow(
                    source: .latency,
                    update: JobUpdate(
                        id: -2, title: "Measure latency", phase: run.isWaiting ? "waits: other programs are busy" : "baseline and candidate in turns", fraction: nil,
                        elapsedSeconds: now - run.started,
                        remainingSeconds: nil, state: .running),
                    files: []))
        }
        let query = ui.filters[.jobList] ?? ""
        rows += tasks.jobs.reversed().map { JobRow(source: .job($0.id), update: $0.update, files: $0.files, isPaused: tasks.pausedJobs.contains($0.id)) }
        return query.isEmpty ? rows : rows.filter { matches(query, $0.update.title) }
    }

    public var selectedJob: JobRow? {
        let rows = jobRows
        guard !rows.isEmpty else { return nil }
        return rows[min(max(0, jobCursor), rows.count - 1)]
    }

    /// The job under the cursor; at first one that runs.
    var jobCursor: Int {
        if let chosen = ui.lists[.jobList]?.selected { return chosen }
        return jobRows.firstIndex { if case .job = $0.source { $0.update.state == .running } else { false } } ?? jobRows.firstIndex { $0.update.state == .running } ?? 0
    }

    /// Lines of the history tree that pass the filter.
    public var historyLines: [RecipeHistory.Line] {
        let query = ui.filters[.historyTree] ?? ""
        let lines = session.history.lines
        guard !query.isEmpty else { return lines }
        return lines.filter { matches(query, session.history.nodes[$0.id].title) || matches(query, session.history.nodes[$0.id].name) }
    }

    /// The state under the cursor of History.
    public var selectedState: Int {
        let lines = historyLines
        guard let selected = ui.lists[.historyTree]?.selected, !lines.isEmpty else { return session.history.currentID }
        return lines[min(max(0, selected), lines.count - 1)].id
    }

    // MARK: - Actions of the views

    mutating func pin() {
        switch pane.view {
        case .pareto:
            guard let trial = selectedTrial else { return }
            effects.append(.setPinned(!trial.pinned, trial: trial.id))
            if let index = board.trials.firstIndex(where: { $0.id == trial.id }) { board.trials[index].pinned.toggle() }
        case .history: pin(state: selectedState)
        default: pin(state: session.history.currentID)
        }
    }

    private mutating func pin(state: Int) {
        let pinned = !session.history.nodes[state].isPinned
        act(.pin(state, pinned))
        if !pinned, ui.comparedState == state { ui.comparedState = nil }
        // The stored trial of the state is pinned with it, so that it survives the session.
        let hash = session.history.nodes[state].recipe.contentHash
        if let trial = board.trials.first(where: { $0.recipeHash == hash }) { effects.append(.setPinned(pinned, trial: trial.id)) }
    }

    /// Compares with the last pinned state; again, with the baseline.
    mutating func compare() {
        if ui.comparedState != nil {
            ui.comparedState = nil
            return notify(.info, "compared with the baseline")
        }
        guard let state = session.history.nodes.last(where: \.isPinned) else {
            return notify(.warning, "nothing is pinned: p pins the current state")
        }
        ui.comparedState = state.id
        notify(.info, "compared with \(state.name.isEmpty ? "state \(state.id), \(state.title)" : state.name)")
    }

    mutating func restore() {
        switch pane.view {
        case .history:
            guard selectedState != session.history.currentID else { return notify(.info, "this is the current state") }
            act(.jump(selectedState))
        default:
            guard let trial = selectedTrial else { return }
            act(.edit(.replace(trial.recipe, why: "restored: \(summary(of: trial.recipe))")))
        }
    }

    mutating func rename() {
        guard pane.view == .history else { return }
        let state = selectedState
        let field = TextField(session.history.nodes[state].name, prompt: "name of state \(state): ", placeholder: "empty removes the name")
        ui.overlay = .entry(Entry(purpose: .name(state: state), field: field))
    }

    mutating func markDifference() {
        let state = selectedState
        ui.differenceBase = ui.differenceBase == state ? nil : state
    }

    mutating func cancelJob() {
        guard let row = selectedJob, row.update.state == .running || row.update.state == .waiting else {
            return notify(.info, "nothing to cancel here")
        }
        switch row.source {
        case .job(let id): effects.append(.cancel(job: id))
        case .baseline: cancelBaseline()
        case .evaluation, .latency:
            effects.append(.cancel(job: nil))
            if answers.evaluation.status == .running {
                answers.evaluation.status = .cancelled
                answers.evaluation.finished = now
            }
            answers.latencyRun = nil
            whatIf.request = nil
        }
        notify(.warning, "canceled: \(row.update.title)")
    }

    mutating func copyDetail() {
        guard let row = selectedJob else { return }
        effects.append(.copy(detail(of: row).joined(separator: "\n")))
    }

    /// Everything about a job, as text.
    public func detail(of row: JobRow) -> [String] {
        var lines = [row.update.title]
        switch row.update.state {
        case .waiting: lines.append("waiting")
        case .running: lines.append("running: \(row.update.phase)")
        case .finished: lines.append("finished in \(NumberFormat.duration(row.update.elapsedSeconds))")
        case .cancelled: lines.append("canceled after \(NumberFormat.duration(row.update.elapsedSeconds))")
        case .failed(let message): lines += ["failed after \(NumberFormat.duration(row.update.elapsedSeconds))", "", message]
        }
        if !row.files.isEmpty { lines += ["", "written:"] + row.files.map { "  " + $0 } }
        if row.source == .evaluation {
            let reports = answers.results[answers.evaluation.canonical]?.reports ?? []
            for report in reports {
                let count = report.layers.count == 1 ? "1 layer" : "\(report.layers.count) layers"
                let outcome = report.layers.isEmpty ? "nothing to do here" + (report.skipped.map { ": \($0)" } ?? "") : count
                lines += ["", "\(catalog.title(report.technique)): \(outcome)"]
                lines += report.refused.map { "  not \($0.layer): \($0.reason)" } + report.notes.map { "  \($0)" }
            }
        }
        return lines
    }

    // MARK: - Classes

    /// A table of the classes, those first that lose most.
    mutating func showClassChanges() {
        if let whyNoAccuracy { return notify(.warning, whyNoAccuracy) }
        guard let now = accuracyNow, !now.isStale, now.estimate.isComplete else { return notify(.warning, "classes are compared when all samples are evaluated") }
        let changes = isBaseline ? now.estimate.classes.sorted { Double($0.right) / Double(max($0.count, 1)) < Double($1.right) / Double(max($1.count, 1)) } : now.estimate.classes
        if changes.isEmpty { return showSampleChanges(now.estimate) }
        func name(_ label: Int) -> String { facts.info.map { $0.classes.indices.contains(label) ? $0.classes[label] : "\(label)" } ?? "\(label)" }
        func share(_ right: Int, _ count: Int) -> String { NumberFormat.fixed(100 * Double(right) / Double(max(count, 1)), digits: 1) + " %" }
        func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - DisplayWidth.of(text))) + text }
        let width = min(24, max(5, changes.map { DisplayWidth.of(name($0.label)) }.max() ?? 5))
        func left(_ text: String) -> String {
            var text = text
            while DisplayWidth.of(text) > width { text.removeLast() }
            return text + String(repeating: " ", count: width - DisplayWidth.of(text))
        }
        let heading = left("class") + padded("samples", 9) + padded("baseline", 11) + (isBaseline ? "" : padded("now", 10) + padded("change", 11)) + "   most taken for"
        let lines = changes.map { change -> String in
            let other = change.confusedWith.map { "\(name($0)) (\(change.confused))" } ?? ""
            let after = padded(share(change.right, change.count), 10) + padded(NumberFormat.signed(-100 * change.loss, digits: 1) + " pt", 11)
            return left(name(change.label)) + padded("\(change.count)", 9) + padded(share(change.baselineRight, change.count), 11) + (isBaseline ? "" : after) + "   " + other
        }
        let title = isBaseline ? "Classes of the baseline, worst first" : "Classes, those first that lose most"
        ui.overlay = .text(TextBox(title: title, lines: [heading] + lines, text: ([heading] + lines).joined(separator: "\n"), copied: false))
    }

    /// Samples that lose most, where they have no classes.
    private mutating func showSampleChanges(_ estimate: AccuracyEstimate) {
        guard !estimate.samples.isEmpty else {
            return notify(
                .warning, isBaseline ? "samples are compared with the baseline's: switch something on first" : "no sample has another \(metric.name) than with the baseline")
        }
        func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - DisplayWidth.of(text))) + text }
        let format = metric.numberFormat
        let heading = padded("row", 8) + padded("baseline", 13) + padded("now", 13) + padded("change", 13)
        let lines = estimate.samples.map { sample in
            padded("\(sample.row)", 8) + padded(format.text(sample.baseline), 13) + padded(format.text(sample.value), 13)
                + padded(metric.changeText(from: sample.baseline, to: sample.value) ?? "", 13)
        }
        ui.overlay = .text(TextBox(title: "Samples, those first that lose most", lines: [heading] + lines, text: ([heading] + lines).joined(separator: "\n"), copied: false))
    }

    // MARK: - Showing and copying

    mutating func showCommand(_ command: String) {
        var lines = [command]
        lines += ["", "6 Export writes the recipe file; `lathe apply` then gives the same bytes."]
        if let logPath { lines += ["", "lathe replay \(logPath)", "", "repeats this session up to here without a terminal."] }
        ui.overlay = .text(TextBox(title: "The same from the shell", lines: lines, text: command, copied: false))
        effects.append(.copy(command))
    }

    mutating func copied(_ text: String, _ done: Bool) {
        if case .text(var box) = ui.overlay {
            box.copied = done
            ui.overlay = .text(box)
        } else if done {
            notify(.success, "copied")
        } else {
            ui.overlay = .text(TextBox(title: "To copy", lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init), text: text, copied: false))
        }
    }
}
