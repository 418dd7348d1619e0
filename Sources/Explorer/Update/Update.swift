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
        if let notice, now > notice.until { self.notice = nil }
        switch message {
        case .key(let key): handle(key)
        case .paste(let text): paste(text)
        case .mouse(let event, let target): handle(event, target)
        case .resize(let size): self.size = size
        case .engine(let event): handle(event)
        case .tick: tick += 1
        case .predicted(let canonical, let figures):
            if canonical == recipe.canonical { prediction = figures }
        case .histogram(let layer, let canonical, let value): histogram = (layer, canonical, value)
        case .command(let text, let shown): if shown { showCommand(text) } else { exportCommand = text }
        case .copied(let text, let done): copied(text, done)
        case .existing(let paths): confirmOverwrite(paths)
        case .captured(let lines): for line in lines where !line.isEmpty { record(.info, "output: " + line) }
        }
        updateHistogram()
        updateExportCommand()
        defer { effects = [] }
        return effects
    }

    /// Something on the screen changes by itself, so ticks are needed.
    public var isAnimating: Bool {
        if case .opening = phase { return true }
        return evaluation.status == .running || latencyRun != nil || jobs.contains(where: \.isRunning) || notice != nil || isBaselineRunning
    }

    private var isBaselineRunning: Bool { baselineRun.map { $0.finished == nil } ?? false }

    /// Work that Ctrl-C cancels before it quits.
    public var isBusy: Bool { evaluation.status == .running || latencyRun != nil || jobs.contains(where: \.isRunning) }

    // MARK: - Messages

    mutating func notify(_ kind: Toast.Kind, _ text: String) {
        notice = Notice(kind: kind, text: text, until: now + (kind == .failure ? 10 : 5))
        switch kind {
        case .failure: record(.failure, text)
        case .warning: record(.warning, text)
        case .info, .success: break
        }
    }

    mutating func record(_ kind: LoggedMessage.Kind, _ text: String) {
        messages.append(LoggedMessage(time: now, kind: kind, text: text))
        if messages.count > 2000 { messages.removeFirst(messages.count - 2000) }
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
        guard recipe != before.recipe else { return }
        if recipe.canonical != before.recipe.canonical {
            staleAccuracy = before.accuracy?.estimate
            staleLatency = before.latency?.figures
            latencyRun = nil
            prediction = nil
            effects.append(.predict(recipe))
            evaluate()
        }
        traceCurve(force: true)
    }

    /// Starts the evaluation of the present recipe, unless everything is known already.
    mutating func evaluate(again: Bool = false) {
        guard phase == .ready else { return }
        let canonical = recipe.canonical
        let isKnown = result?.figures != nil && (result?.accuracy?.isComplete ?? (whyNoAccuracy != nil))
        if isBaseline || (isKnown && !again) {
            if evaluation.status == .running { effects.append(.cancel(job: nil)) }
            evaluation.status = isBaseline ? .idle : .settled
            evaluation.canonical = canonical
            return
        }
        lastGeneration += 1
        // The engine drops what it was doing for an evaluation.
        latencyRun = nil
        evaluation.generation = lastGeneration
        evaluation.canonical = canonical
        evaluation.status = .running
        evaluation.started = now
        results.update(canonical) { $0.problem = nil }
        effects.append(.evaluate(recipe, generation: lastGeneration))
    }

    /// Asks for the curve of the focused parameter, if it is not on its way.
    mutating func traceCurve(force: Bool = false) {
        guard phase == .ready, view == .explore, let entry = focusedTechnique, let parameter = focusedParameter else { return }
        // What a training would come to cannot be traced: each value is a training.
        guard entry.descriptor.produces.isDisjoint(with: [.training]), let request = CurveKey.request(entry.step, parameter.name, in: recipe, catalog),
            refusal(of: entry.descriptor, step: focusedStep) == nil || entry.isEnabled
        else {
            curveRequest = nil
            return
        }
        if !force, curveRequest?.key == request.key { return }
        lastGeneration += 1
        curveRequest = (lastGeneration, request.key)
        effects.append(.traceWhatIf(request.recipe, step: request.index, parameter: parameter.name, generation: lastGeneration))
    }

    mutating func measureLatency() {
        guard phase == .ready else { return }
        guard let info, info.runtimeVersion != nil else { return notify(.warning, "latency needs ONNX Runtime; ! tells why it cannot be used") }
        guard info.cannotRun == nil else { return notify(.warning, "ONNX Runtime does not run this model; ! tells why") }
        guard latencyRun == nil else { return notify(.info, "latency is being measured") }
        lastGeneration += 1
        latencyRun = LatencyRun(generation: lastGeneration, canonical: recipe.canonical, started: now)
        effects.append(.measureLatency(recipe, generation: lastGeneration))
    }

    /// Tells the recipe a histogram is of, and whether its graph has been rewritten yet.
    var histogramKey: String { recipe.canonical + (result?.figures == nil ? "" : "\nrewritten") }

    /// Keeps the histogram that of the selected layer.
    private mutating func updateHistogram() {
        guard view == .layers, isPrepared, let layer = selectedLayer?.layer.id else { return }
        let canonical = histogramKey
        guard histogram?.layer != layer || histogram?.canonical != canonical else { return }
        histogram = (layer, canonical, histogram?.layer == layer ? histogram?.value : nil)
        effects.append(.histogram(layer: layer, recipe))
    }

    /// Keeps the command of the export view that of the form.
    private mutating func updateExportCommand() {
        guard view == .export, phase == .ready else { return }
        let key = export.recipePath + "\n" + recipe.canonical
        guard key != exportCommandKey else { return }
        exportCommandKey = key
        effects.append(.equivalentCommand(recipe, recipePath: export.recipePath, shown: false))
    }
}
