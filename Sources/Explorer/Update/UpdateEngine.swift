import CompressionEngine
import Measurement
import Recipes
import Techniques

extension ExplorerModel {
    /// Takes in what the engine says. Answers to requests that are no longer open change nothing.
    mutating func handle(_ event: EngineEvent) {
        switch event {
        case .opening(let phase, let fraction):
            if case .opening = self.facts.phase { self.facts.phase = .opening(phase: phase, fraction: fraction) }
        case .opened(let info, let baseline, let refusals, let recipe): opened(info, baseline, refusals, recipe)
        case .counted(let baseline): self.facts.baseline = baseline
        case .prepared(let baseline):
            self.facts.baseline = baseline
            facts.isPrepared = true
            if facts.baselineRun == nil, whyNoAccuracy == nil { facts.baselineRun = (now, nil) }
            effects.append(.predict(recipe))
            predictPresets()
        case .baselineAccuracy(let estimate):
            // What was on its way when it was canceled.
            guard estimate.seen >= facts.baselineAccuracy?.seen ?? 0, facts.baselineProblem == nil || estimate.isComplete else { return }
            facts.baselineProblem = nil
            facts.baselineAccuracy = estimate
            guard estimate.isComplete else { return }
            if let run = facts.baselineRun, run.finished == nil { facts.baselineRun?.finished = now }
            // What was rewritten while there was no baseline has no accuracy yet.
            if !isBaseline, answers.evaluation.status == .settled, result?.accuracy == nil { evaluate(again: true) }
        case .baselineFailed(let message):
            facts.baselineProblem = message
            facts.baselineAccuracy = nil
            facts.baselineRun?.finished = now
            // That was said when it was asked for.
            if message != "canceled" { notify(.failure, message) }
        case .baselineRemarks(let remarks):
            facts.baselineRemarks = remarks
            for remark in remarks { record(.warning, remark) }
        case .rewritten(let generation, let figures, let reports):
            guard generation == answers.evaluation.generation else { return }
            let notes = reports.flatMap(\.notes)
            let old = answers.results[answers.evaluation.canonical]?.reports.flatMap(\.notes) ?? []
            answers.results.update(answers.evaluation.canonical) { ($0.figures, $0.reports) = (figures.completed(by: $0.figures), reports) }
            for note in notes where !old.contains(note) { record(.info, note) }
        case .accuracy(let generation, let estimate):
            guard generation == answers.evaluation.generation, answers.evaluation.status == .running else { return }
            answers.results.update(answers.evaluation.canonical) { $0.accuracy = estimate }
            if estimate.isComplete { addToCurve(estimate) }
        case .latency(let generation, let figures, let operators):
            if generation == answers.evaluation.generation {
                // A model that runs in the same way was timed before.
                return answers.results.update(answers.evaluation.canonical) { ($0.latency, $0.operators) = (figures, operators) }
            }
            guard let run = answers.latencyRun, run.generation == generation else { return }
            answers.latencyRun = nil
            answers.results.update(run.canonical) { ($0.latency, $0.operators) = (figures, operators) }
            if isBaseline { answers.baselineOperators = operators }
            guard run.isExplicit else { return }
            if let warning = figures.warning { record(.warning, "latency: \(warning)") }
            let factor = Measure.latency.factorText(from: 1, to: figures.ratio, times: theme.glyphs.times).map { "\($0) than the baseline" } ?? "the same as the baseline"
            notify(.success, "latency \(Measure.latency.numberFormat.text(figures.candidate)), \(factor)")
        case .baselineOperators(let operators): answers.baselineOperators = operators
        case .foreseen(let recipe, let figures, let reports, let estimate):
            let canonical = recipe.canonical
            guard answers.results[canonical]?.accuracy?.isComplete != true else { return }
            answers.results.update(canonical) { ($0.figures, $0.reports, $0.accuracy, $0.isForeseen) = (figures, reports, estimate, true) }
        case .rescue(let recipe, let rescue): answers.results.update(recipe.canonical) { $0.rescue = rescue }
        case .latencyWaits(let generation): if answers.latencyRun?.generation == generation { answers.latencyRun?.isWaiting = true }
        case .settled(let generation):
            guard generation == answers.evaluation.generation, answers.evaluation.status == .running else { return }
            answers.evaluation.status = .settled
            answers.evaluation.finished = now
            answers.results.update(answers.evaluation.canonical) { $0.isForeseen = false }
            logResult()
            startQueuedTraining()
        case .whatIf(let generation, let point): insert(point, generation)
        case .whatIfForecast(let generation, let points): insert(points, generation)
        case .trials(let records):
            board.trials = records
            // Latency against accuracy is what most people ask, once there is something to see.
            if !board.areAxesChosen, records.count(where: { $0.figures[.latency] != nil && !$0.recipe.activeSteps.isEmpty }) > 1 { board.axes.x = .latency }
        case .jobUpdated(let update): jobUpdated(update)
        case .exported(let job, let files):
            guard let index = tasks.jobs.firstIndex(where: { $0.id == job }) else { return }
            tasks.jobs[index].files = files
            tasks.jobs[index].update.state = .finished
            tasks.jobs[index].update.fraction = 1
            notify(.success, "written: \(files.first ?? "") and \(max(0, files.count - 1)) more")
        case .sensitivity(let job, let grid): if tasks.analysisJobs.contains(job) { tasks.sensitivity = grid }
        case .training(let job, let progress): training(job, progress)
        case .trained(let job, let recipe): trained(job, recipe)
        case .recovered(let job, let recipe, let estimate, let steps): recovered(job, recipe, estimate, steps)
        case .allocated(_, let recipe, let isMet):
            act(.edit(.replace(recipe, why: "allocated by sensitivity")))
            notify(isMet ? .success : .warning, isMet ? "allocated: the goal is met; u undoes it" : "the goal cannot be met: this is the closest; u undoes it")
        case .foundSoFar(let job, let trial): if job == tasks.searchJob { tasks.found = trial }
        case .searched(let job, let result): searched(job, result)
        case .failed(let generation, let job, let message): failed(generation, job, message)
        case .sourceChanged(let path):
            notify(.warning, "\(path) changed on disk; shown is the model as opened: open it again")
        case .remark(let text): record(.info, text)
        }
    }

    private mutating func opened(_ info: SessionInfo, _ baseline: ModelFigures, _ refusals: [String: [Int: String]], _ opened: Recipe?) {
        let isFirst = self.facts.info == nil
        self.facts.info = info
        if isFirst { facts.layerNames = LayerNames(info.layers.map(\.id)) }
        self.facts.baseline = baseline
        self.facts.refusals = refusals
        session.editor.layers = info.layers
        if case .opening = facts.phase { facts.phase = .ready }
        for warning in info.warnings { record(.warning, warning) }
        if isFirst, let problem = info.runtimeProblem { record(.warning, problem) }
        if let problem = info.cannotRun { record(.warning, "the model does not run, so only sizes are known: \(problem)") }
        guard isFirst else { return }
        if board.axes.y.metric != nil { board.axes.y = metric }
        var first = SessionLine(t: now, action: "opened")
        (first.model, first.modelHash, first.data, first.runtime) = (info.modelPath, info.modelHash, info.dataName, info.runtimeVersion)
        effects.append(.log(first))
        offerEarlier(isOtherRecipe: opened?.steps.isEmpty == false)
        if let opened, !opened.steps.isEmpty {
            act(.edit(.replace(opened, why: opened.name.isEmpty ? "opened recipe" : opened.name)))
        } else {
            traceCurve(force: true)
        }
    }

    /// The present recipe is a point of the curve through it.
    private mutating func addToCurve(_ estimate: AccuracyEstimate) {
        guard let entry = focusedTechnique, entry.isEnabled, let parameter = focusedParameter,
            let request = CurveKey.request(entry.step, parameter.name, in: recipe, catalog), whatIf.curves[request.key] != nil
        else { return }
        var point = WhatIfPoint(step: request.index, parameter: parameter.name, value: value(of: parameter))
        point.accuracy = estimate
        point.serializedBytes = result?.figures?.serializedBytes.value
        whatIf.curves[request.key]?.insert(point, at: parameter.axisPosition(point.value))
    }

    private mutating func insert(_ point: WhatIfPoint, _ generation: Int) {
        guard let request = whatIf.request, request.generation == generation, point.parameter == request.key.parameter,
            let parameter = catalog[request.key.step.technique]?.parameter(point.parameter)
        else { return }
        whatIf.curves[request.key, default: WhatIfCurve()].insert(point, at: parameter.axisPosition(point.value))
    }

    private mutating func insert(_ points: [WhatIfForecast], _ generation: Int) {
        guard let request = whatIf.request, request.generation == generation,
            let parameter = catalog[request.key.step.technique]?.parameter(request.key.parameter)
        else { return }
        whatIf.forecasts[request.key] = points.map { WhatIfForecastPoint(x: parameter.axisPosition($0.value), value: $0.value, figures: $0.figures) }
            .sorted { $0.x < $1.x }
    }

    private mutating func jobUpdated(_ update: JobUpdate) {
        guard let index = tasks.jobs.firstIndex(where: { $0.id == update.id }) else {
            tasks.jobs.append(Job(update: update))
            return
        }
        // A late progress report does not bring a finished job back.
        guard tasks.jobs[index].isRunning else { return }
        tasks.jobs[index].update = update
        switch update.state {
        case .failed(let message): notify(.failure, "\(update.title): \(message)")
        case .cancelled:
            notify(
                .warning,
                "\(update.title): canceled"
                    + (tasks.analysisJobs.contains(update.id) ? "" : tasks.trainingJobs[update.id] == nil ? ", nothing was written" : "; R resumes from the last epoch"))
        default: break
        }
    }

    private mutating func failed(_ generation: Int?, _ job: Int?, _ message: String) {
        if let job {
            guard let index = tasks.jobs.firstIndex(where: { $0.id == job }), tasks.jobs[index].isRunning else { return }
            tasks.jobs[index].update.state = .failed(message)
            return notify(.failure, "\(tasks.jobs[index].update.title): \(message)")
        }
        if let generation {
            if generation == answers.latencyRun?.generation {
                let isExplicit = answers.latencyRun?.isExplicit ?? true
                answers.latencyRun = nil
                if isExplicit { notify(.failure, "latency: \(message)") } else { record(.warning, "latency: \(message)") }
            } else if generation == answers.evaluation.generation, answers.evaluation.status == .running {
                answers.evaluation.status = .failed(message)
                answers.evaluation.finished = now
                answers.results.update(answers.evaluation.canonical) { $0.problem = message }
                notify(.failure, message)
            }
            return
        }
        if case .opening = facts.phase {
            facts.phase = .failed(message)
            record(.failure, message)
        } else {
            notify(.failure, message)
        }
    }

    /// What was found goes into the session log, so that a replay can be held against it.
    private mutating func logResult() {
        guard let result = answers.results[answers.evaluation.canonical] else { return }
        var line = SessionLine(t: now, action: "result")
        line.accuracy = result.accuracy?.value
        line.seen = result.accuracy?.seen
        line.fileBytes = result.figures?.serializedBytes.value
        effects.append(.log(line))
    }
}
