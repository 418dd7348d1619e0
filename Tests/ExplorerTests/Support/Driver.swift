import CompressionEngine
import Recipes
import TerminalCells

@testable import Explorer

/// Drives a model as the runtime does, with a clock of its own and a fake engine.
final class Driver {
    var model: ExplorerModel
    let engine: FakeEngine
    var time = 0.0
    /// Everything the updates asked for.
    var effects: [Effect] = []
    var clipboard: [String] = []
    var existingFiles: Set<String> = []
    private let inbox = Inbox()

    final class Inbox: Sendable {
        private let events = EventQueue(wake: {})
        func put(_ event: EngineEvent) { events.send(event) }
        func drain() -> [EngineEvent] { events.drain() }
    }

    init(
        _ engine: FakeEngine = FakeEngine(), size: Size = Size(width: 80, height: 24), theme: Theme = Theme(glyphTier: .block, colorTier: .indexed), opens: Bool = true,
        keyMap: KeyMap = KeyMap(), catalog: TechniqueCatalog = FakeCatalog.catalog, settings: ExplorerSettings = ExplorerSettings()
    ) {
        self.engine = engine
        model = ExplorerModel(
            request: OpenRequest(modelPath: "models/lenet-5.onnx", dataPath: "fashion-mnist.yaml"), catalog: catalog, keyMap: keyMap,
            capabilities: Capabilities(theme: theme, canCopy: true, hasMouse: true), size: size, settings: settings, logPath: "session.jsonl")
        if opens {
            let inbox = inbox
            engine.open(model.request, send: { inbox.put($0) })
            settle()
        }
    }

    func send(_ message: Message) {
        for effect in model.update(message, at: time) { perform(effect) }
    }

    /// Takes in what the engine has said until it says nothing more.
    func settle() {
        while true {
            let events = inbox.drain()
            if events.isEmpty { break }
            for event in events { send(.engine(event)) }
        }
        while !model.answers.presetsToPredict.isEmpty { send(.tick) }
    }

    /// Presses keys, a second apart, so that each is a state of its own. `space` and the like are written as in `Key`.
    func press(_ keys: String, every interval: Double = 1) {
        for text in keys.split(separator: " ") {
            guard let key = Key(String(text)) else { preconditionFailure("no key: \(text)") }
            time += interval
            send(.key(key))
            settle()
        }
    }

    func type(_ text: String) {
        for character in text {
            send(.key(Key(.character(character))))
            settle()
        }
    }

    /// Lets notices expire.
    func wait(_ seconds: Double = 20) {
        time += seconds
        send(.tick)
    }

    var screen: String { ExplorerView.frame(model).grid.text }

    private func perform(_ effect: Effect) {
        effects.append(effect)
        switch effect {
        case .predict(let recipe): send(.predicted(canonical: recipe.canonical, engine.predict(recipe)))
        case .evaluateBaseline: engine.evaluateBaseline()
        case .cancelBaseline: engine.cancelBaseline()
        case .evaluate(let recipe, let generation): engine.evaluate(recipe, generation: generation)
        case .measureLatency(let recipe, let request, let generation): engine.measureLatency(recipe, request: request, generation: generation)
        case .foresee(let recipes): engine.foresee(recipes)
        case .traceWhatIf(let recipe, let step, let parameter, let generation):
            engine.traceWhatIf(recipe, step: step, parameter: parameter, generation: generation)
        case .checkFiles(let paths): send(.existing(paths.filter { existingFiles.contains($0) }))
        case .export(let recipe, let request, let job): engine.export(recipe, request: request, job: job)
        case .analyze(let request, let job): engine.analyze(request, job: job)
        case .search(let request, let title, let job): engine.search(request, title: title, job: job)
        case .allocate(let grid, let measure, let goal, let job): engine.allocate(grid, measure: measure, goal: goal, job: job)
        case .train(let recipe, let steps, let job): engine.train(recipe, steps: steps, job: job)
        case .control(let command, let job): engine.control(command, job: job)
        case .cancel(let job): engine.cancel(job: job)
        case .setPinned(let pinned, let trial): engine.setPinned(pinned, trial: trial)
        case .histogram(let layer, let recipe):
            send(.histogram(layer: layer, canonical: model.histogramKey, engine.weightHistogram(layer: layer, recipe: recipe)))
        case .equivalentCommand(let recipe, let path, let shown):
            send(.command(engine.equivalentCommand(for: recipe, recipePath: path), shown: shown))
        case .copy(let text):
            clipboard.append(text)
            send(.copied(text, true))
        case .setMouse, .setColors, .suspend, .quit, .log: break
        }
    }

    var hasQuit: Bool { effects.contains { if case .quit = $0 { true } else { false } } }

    /// The lines the session log would hold.
    var log: [SessionLine] { effects.compactMap { if case .log(let line) = $0 { line } else { nil } } }
}
