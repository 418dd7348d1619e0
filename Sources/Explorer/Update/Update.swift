import CompressionEngine
import Measurement
import ModelGraph
import Recipes
import Techniques
import TerminalCells

extension ExplorerModel {
    /// Takes in what happened at a time (seconds since the session began) and says what is to be done. Pure: the same
    /// model, message and time give the same model and effects.
    public mutating func update(_ message: Message, at time: Double) -> [Effect] {
        // Milliseconds, as in the session log, so that replay merges the same key presses.
        now = max(now, (time * 1000).rounded() / 1000)
        feed.endNotice(at: now, byKey: message.isKey)
        switch message {
        case .key(let key): handle(key)
        case .paste(let text): paste(text)
        case .mouse(let event, let target): handle(event, target)
        case .resize(let size): self.size = size
        case .engine(let event): handle(event)
        case .tick:
            tick += 1
            predictNextPreset()
        case .predicted(let canonical, let figures):
            if canonical == recipe.canonical { answers.prediction = figures }
            for (preset, recipe) in catalog.presets where recipe.canonical == canonical { answers.presetFigures[preset.id] = figures }
        case .histogram(let layer, let canonical, let value): ui.histogram = (layer, canonical, value)
        case .command(let text, let shown): if shown { showCommand(text) } else { ui.exportCommand = text }
        case .copied(let text, let done): copied(text, done)
        case .existing(let paths): confirmOverwrite(paths)
        case .captured(let lines): for line in lines where !line.isEmpty { record(.info, "output: " + line) }
        }
        measureWhenIdle()
        foresee()
        updateHistogram()
        updateExportCommand()
        defer { effects = [] }
        return effects
    }

    /// Something on the screen changes by itself, so ticks are needed.
    public var isAnimating: Bool {
        if case .opening = facts.phase { return true }
        return answers.evaluation.status == .running || answers.latencyRun != nil || tasks.jobs.contains(where: \.isRunning) || feed.notice?.until != nil || isBaselineRunning
            || !answers.presetsToPredict.isEmpty
    }

    var isBaselineRunning: Bool { facts.baselineRun.map { $0.finished == nil } ?? false }

    /// Work that Ctrl-C cancels before it quits.
    public var isBusy: Bool {
        answers.evaluation.status == .running || isBaselineRunning || answers.latencyRun?.isExplicit == true || tasks.jobs.contains(where: \.isRunning)
    }

    // MARK: - Messages

    /// - Parameter stays: until a key is pressed: for what is said while the user waits and may look elsewhere.
    mutating func notify(_ kind: Toast.Kind, _ text: String, stays: Bool = false) {
        feed.notice = Notice(kind: kind, text: text, until: stays ? nil : now + (kind == .failure ? 10 : 5))
        switch kind {
        case .failure: record(.failure, text)
        case .warning: record(.warning, text)
        case .info, .success: break
        }
    }

    mutating func record(_ kind: LoggedMessage.Kind, _ text: String) {
        feed.record(LoggedMessage(time: now, kind: kind, text: text))
    }

    // MARK: - The recipe

    /// Does and logs what changes the recipe or its history.
    mutating func act(_ action: SessionAction, quietly: Bool = false) {
        let before = (recipe: recipe, accuracy: accuracyNow, latency: latencyNow)
        do {
            let title = try session.perform(action, at: now)
            effects.append(.log(SessionLine(action, t: now)))
            if !quietly { notify(.info, title) }
        } catch {
            notify(.warning, error.description)
            return
        }
        // The cursor of the history goes with the present state.
        ui.lists[.historyTree] = nil
        guard recipe != before.recipe else { return }
        if recipe.canonical != before.recipe.canonical {
            answers.staleAccuracy = before.accuracy?.estimate
            answers.staleLatency = before.latency?.figures
            answers.latencyRun = nil
            answers.prediction = nil
            effects.append(.predict(recipe))
            evaluate()
        }
        traceCurve(force: true)
    }

    /// Starts the evaluation of the present recipe, unless everything is known already.
    mutating func evaluate(again: Bool = false) {
        guard facts.phase == .ready else { return }
        let canonical = recipe.canonical
        let isKnown = result?.isForeseen != true && result?.figures != nil && (result?.accuracy?.isComplete ?? (whyNoAccuracy != nil))
        if isBaseline || (isKnown && !again) {
            if answers.evaluation.status == .running { effects.append(.cancel(job: nil)) }
            answers.evaluation.status = isBaseline ? .idle : .settled
            answers.evaluation.canonical = canonical
            return
        }
        answers.lastGeneration += 1
        // The engine drops what it was doing for an evaluation.
        answers.latencyRun = nil
        answers.evaluation.generation = answers.lastGeneration
        answers.evaluation.canonical = canonical
        answers.evaluation.status = .running
        answers.evaluation.started = now
        answers.results.update(canonical) { $0.problem = nil }
        effects.append(.evaluate(recipe, generation: answers.lastGeneration))
    }

    /// Asks for the curve of the focused parameter, if it is not on its way.
    mutating func traceCurve(force: Bool = false) {
        guard facts.phase == .ready, ui.view == .explore, let entry = focusedTechnique, let parameter = focusedParameter else { return }
        // What a training would come to cannot be traced: each value is a training.
        guard entry.descriptor.produces.isDisjoint(with: [.training]), let request = CurveKey.request(entry.step, parameter.name, in: recipe, catalog),
            refusal(of: entry.descriptor, step: focusedStep) == nil || entry.isEnabled
        else {
            whatIf.request = nil
            return
        }
        if !force, whatIf.request?.key == request.key { return }
        answers.lastGeneration += 1
        whatIf.request = (answers.lastGeneration, request.key)
        effects.append(.traceWhatIf(request.recipe, step: request.index, parameter: parameter.name, generation: answers.lastGeneration))
    }

    /// Latency follows by itself once nothing else is waited for.
    private mutating func measureWhenIdle() {
        let isSettled = isBaseline || (answers.evaluation.status == .settled && answers.evaluation.canonical == recipe.canonical)
        guard measuresLatency, facts.phase == .ready, facts.isPrepared, facts.info?.runtimeVersion != nil, facts.info?.cannotRun == nil, isSettled,
            answers.evaluation.status != .running, !isBaselineRunning, answers.latencyRun == nil, !tasks.jobs.contains(where: \.isRunning),
            result?.latency == nil, answers.timedUnasked != recipe.canonical
        else { return }
        answers.timedUnasked = recipe.canonical
        requestLatency(isExplicit: false)
    }

    private mutating func requestLatency(isExplicit: Bool) {
        answers.lastGeneration += 1
        answers.latencyRun = LatencyRun(generation: answers.lastGeneration, canonical: recipe.canonical, started: now, isExplicit: isExplicit)
        effects.append(
            .measureLatency(recipe, LatencyRequest(conditions: answers.conditions, isExplicit: isExplicit), generation: answers.lastGeneration))
    }

    /// Measures latency with another batch or number of threads from now on.
    mutating func setConditions(_ conditions: LatencyConditions) {
        guard conditions != answers.conditions else { return }
        answers.conditions = conditions
        answers.results.forgetLatencies()
        (answers.staleLatency, answers.latencyRun, answers.timedUnasked) = (nil, nil, nil)
        let text = "batch \(conditions.batch), \(conditions.threads) thread\(conditions.threads == 1 ? "" : "s")"
        notify(.info, "latency is measured with \(text)")
        if !measuresLatency { measureLatency() }
    }

    mutating func measureLatency() {
        guard facts.phase == .ready else { return }
        guard let info = facts.info, info.runtimeVersion != nil else { return notify(.warning, "latency needs ONNX Runtime; ! tells why it cannot be used") }
        guard info.cannotRun == nil else { return notify(.warning, "ONNX Runtime does not run this model; ! tells why") }
        guard answers.latencyRun.map({ !$0.isExplicit }) ?? true else { return notify(.info, "latency is being measured") }
        requestLatency(isExplicit: true)
    }

    /// Tells the recipe a histogram is of, and whether its graph has been rewritten yet.
    var histogramKey: String { recipe.canonical + (result?.figures == nil ? "" : "\nrewritten") }

    /// Keeps the histogram that of the selected layer.
    private mutating func updateHistogram() {
        guard ui.view == .layers, facts.isPrepared, let layer = selectedLayer?.layer.id else { return }
        let canonical = histogramKey
        guard ui.histogram?.layer != layer || ui.histogram?.canonical != canonical else { return }
        ui.histogram = (layer, canonical, ui.histogram?.layer == layer ? ui.histogram?.value : nil)
        effects.append(.histogram(layer: layer, recipe))
    }

    /// Keeps the command of the export view that of the form.
    private mutating func updateExportCommand() {
        guard ui.view == .export, facts.phase == .ready else { return }
        let key = ui.export.recipePath + "\n" + recipe.canonical
        guard key != ui.exportCommandKey else { return }
        ui.exportCommandKey = key
        effects.append(.equivalentCommand(recipe, recipePath: ui.export.recipePath, shown: false))
    }
}
