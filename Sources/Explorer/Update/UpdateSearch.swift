import CompressionEngine
import EngineSupport
import Measurement
import Recipes
import TerminalCells

extension ExplorerModel {
    /// Seconds of a search that is started here; one that nobody waits for may be canceled at any time and keeps what it has.
    static let searchSeconds = 600.0

    /// Asks for the goal of a search; while one runs, shows it.
    mutating func askGoal() {
        guard facts.phase == .ready, facts.info != nil else { return }
        if let whyNoAccuracy { return notify(.warning, "a search needs accuracy: \(whyNoAccuracy)") }
        if let job = tasks.searchJob, tasks.jobs.contains(where: { $0.id == job && $0.isRunning }) {
            return notify(.info, "a search is running: 5 shows it, c there ends it; \(keyLabel(.takeRescue, .ascii)) takes the best so far")
        }
        let drop = metric.comparison == .points ? "0.5" : metric.changeFormat.magnitude(0.01 * abs(facts.baselineAccuracy?.value ?? 1))
        ui.overlay = .entry(
            Entry(
                purpose: .search,
                field: TextField(tasks.goal.isEmpty ? "file <= 50%, drop <= \(drop)" : tasks.goal, prompt: "goal: ", placeholder: "file <= 50%, drop <= \(drop), latency <= 0.8x")))
    }

    /// Starts a search for a goal as it was typed.
    /// - Returns: why it cannot be meant; `nil` once the search is on its way.
    mutating func search(_ text: String) -> String? {
        do {
            let goal = try SearchGoal(text, metric: facts.info?.metric ?? .top1)
            tasks.goal = text
            tasks.lastJob += 1
            tasks.searchJob = tasks.lastJob
            tasks.found = nil
            tasks.jobs.append(
                Job(
                    update: JobUpdate(
                        id: tasks.lastJob, title: "Search: \(text)", phase: "waiting", fraction: nil, elapsedSeconds: 0, remainingSeconds: nil, state: .waiting)))
            effects.append(.search(goal, seconds: Self.searchSeconds, job: tasks.lastJob))
            notify(.info, "searching; 3 shows what is tried, \(keyLabel(.takeRescue, .ascii)) takes the best so far")
            return nil
        } catch {
            return error.message
        }
    }

    /// What a search has come to.
    mutating func searched(_ job: Int, _ result: SearchResult) {
        guard job == tasks.searchJob else { return }
        if let best = result.best {
            tasks.found = best
            notify(.success, "found: \(words(best, result.goal)); \(keyLabel(.takeRescue, .ascii)) takes it")
        } else if let miss = result.misses.first {
            tasks.found = miss.trial
            notify(.warning, "the goal is not met; nearest: \(words(miss.trial, result.goal)); \(keyLabel(.takeRescue, .ascii)) takes it")
        } else {
            notify(.warning, "the goal is not met by any recipe that could be tried")
        }
    }

    /// The objective and the loss of a trial.
    func words(_ trial: SearchTrial, _ goal: SearchGoal) -> String {
        let measure = goal.objective
        let value =
            measure.isLatency
            ? trial.findings.latency.map { "latency \(NumberFormat.ratio().text($0.ratio))" }
            : measure.figure(in: trial.findings.after).map { "\(measure.name) \(measure.numberFormat.text($0.value))" }
        let change = trial.findings.accuracy.map { accuracy in "\(accuracy.measure.name) \(accuracy.measure.changeFormat.numberFormat.text(accuracy.difference ?? 0))" }
        return [value, change].compactMap(\.self).joined(separator: ", ")
    }

    /// Takes the recipe that was suggested in place of a ruinous one, or that a search has found.
    mutating func takeRescue() {
        if let rescue = result?.rescue { return act(.edit(.replace(rescue.recipe, why: rescue.change))) }
        guard let found = tasks.found else {
            return notify(.warning, "nothing is suggested: \(keyLabel(.search, .ascii)) searches for a goal")
        }
        tasks.found = nil
        act(.edit(.replace(found.recipe, why: "found by search")))
    }
}
