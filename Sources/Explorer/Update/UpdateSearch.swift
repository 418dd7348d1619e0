import CompressionEngine
import EngineSupport
import Measurement
import Metrics
import Recipes
import Techniques
import TerminalCells

extension ExplorerModel {
    /// Asks for the goal of a search; while one runs, for another one to take its place: what is known by then stays known.
    mutating func askGoal() {
        guard facts.phase == .ready, facts.info != nil else { return }
        if let whyNoAccuracy { return notify(.warning, "a search needs accuracy: \(whyNoAccuracy)") }
        ui.overlay = .entry(
            Entry(
                purpose: .search,
                field: TextField(
                    tasks.goal.isEmpty ? goalChoices[0].text : tasks.goal, prompt: runningSearch == nil ? "goal: " : "new goal: ",
                    placeholder: "file <= 50%, drop <= \(usualDrop), latency <= 0.8x, minimize file drop, with training, for 10m")))
    }

    var runningSearch: Job? { tasks.searchJob.flatMap { id in tasks.jobs.first { $0.id == id && $0.isRunning } } }

    /// Starts a search for a goal as it was typed; one that runs ends.
    /// - Returns: why it cannot be meant; `nil` once the search is on its way.
    mutating func search(_ text: String) -> String? {
        do {
            let request = try SearchRequest(text, metric: facts.info?.metric ?? .top1)
            if let running = runningSearch { effects.append(.cancel(job: running.id)) }
            (tasks.goal, tasks.target) = (text, request.goal)
            tasks.lastJob += 1
            tasks.searchJob = tasks.lastJob
            tasks.found = nil
            let title = "Search: \(text)"
            tasks.jobs.append(
                Job(update: JobUpdate(id: tasks.lastJob, title: title, phase: "waiting", fraction: nil, elapsedSeconds: 0, remainingSeconds: nil, state: .waiting)))
            effects.append(.search(request, title: title, job: tasks.lastJob))
            if let remark = request.goal.remark {
                notify(.warning, remark)
            } else {
                notify(.info, "searching; 3 shows what is tried, \(keyLabel(.takeRescue, .ascii)) takes the best so far")
            }
            return nil
        } catch {
            return error.message
        }
    }

    /// Completes the word at the end of a goal; the same key again goes on to the next that fits.
    static func completedGoal(_ text: String, after stem: String?, metric: MetricKind) -> (text: String, stem: String)? {
        let stem = stem ?? text
        let start = stem.lastIndex { ",;".contains($0) }.map { stem.index(after: $0) } ?? stem.startIndex
        let typed = stem[start...].drop { $0 == " " }
        let head = String(stem[..<start]) + (start == stem.startIndex ? "" : " ")
        var choices = SearchRequest.words(metric).map { head + $0 }.filter { $0.count > head.count + typed.count && $0.dropFirst(head.count).hasPrefix(typed) }
        if let last = typed.lastIndex(of: " "), ["only", "minimize"].contains(where: { typed.hasPrefix($0 + " ") }) {
            // Further words of a list.
            let names = typed.hasPrefix("only") ? TechniqueRegistry.all.map(\.descriptor.id).sorted() : ["drop"] + SearchGoal.names(metric)
            let part = typed[typed.index(after: last)...]
            choices = names.filter { $0.hasPrefix(part) && $0 != part }.map { head + String(typed[...last]) + $0 }
        }
        guard !choices.isEmpty else { return nil }
        let next = choices.firstIndex(of: text).map { ($0 + 1) % choices.count } ?? 0
        return (choices[next], stem)
    }

    /// What a search has come to.
    mutating func searched(_ job: Int, _ result: SearchResult) {
        guard job == tasks.searchJob else { return }
        if let best = result.best {
            tasks.found = best
            let test = result.test.map { "; test split \($0.measure.changeFormat.numberFormat.text($0.difference ?? 0))" } ?? ""
            notify(.success, "found: \(words(best, result.goal))\(test); \(keyLabel(.takeRescue, .ascii)) takes it")
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
