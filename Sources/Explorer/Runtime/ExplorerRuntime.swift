import CompressionEngine
import Foundation
import Recipes
import TerminalCells

/// Runs the explorer: takes in what terminal and engine say, has the model updated, does what the update wants done,
/// and shows the result. One thread; it never waits for the engine.
public final class ExplorerRuntime {
    public private(set) var model: ExplorerModel
    private let port: any TerminalPort
    private let engine: any ExplorerEngine
    private let queue: EventQueue
    private let clock: () -> Double
    private let start: Double
    private let log: SessionLogWriter?
    private var frame: Frame?
    private var hasQuit = false

    /// Seconds between frames of the spinner.
    public static let tickInterval = 0.1

    /// - Parameters:
    ///   - clock: seconds, monotonic; tests bring their own.
    ///   - log: where the session is recorded; `nil` for nowhere.
    ///   - earlier: the last session of the model.
    public init(
        request: OpenRequest, port: any TerminalPort, engine: any ExplorerEngine, settings: ExplorerSettings = ExplorerSettings(), keyMap: KeyMap = KeyMap(),
        catalog: TechniqueCatalog = .registered, log: SessionLogWriter? = nil, earlier: EarlierSession? = nil, clock: @escaping () -> Double = ExplorerRuntime.monotonicSeconds
    ) {
        self.port = port
        self.engine = engine
        self.clock = clock
        self.log = log
        start = clock()
        queue = EventQueue(wake: port.waker)
        model = ExplorerModel(
            request: request, catalog: catalog, keyMap: keyMap, capabilities: port.capabilities, size: port.size, settings: settings, logPath: log?.path,
            cores: ProcessInfo.processInfo.activeProcessorCount)
        model.earlier = earlier
    }

    public static func monotonicSeconds() -> Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }

    private var time: Double { clock() - start }

    /// Runs until the user quits.
    /// - Returns: the recipe the session ended with.
    /// - Throws: when the terminal is gone.
    @discardableResult
    public func run() throws -> Recipe {
        var first = SessionLine(t: 0, action: "start")
        first.lathe = SessionLog.version
        // Absolute, so that they are found again from anywhere.
        first.model = URL(fileURLWithPath: model.request.modelPath).path
        first.data = model.request.dataPath.map { URL(fileURLWithPath: $0).path }
        log?.write(first)
        port.setMouse(enabled: model.isMouseOn)
        if model.theme.colorTier != port.capabilities.theme.colorTier { port.setColors(model.theme.colorTier) }
        // The first frame stands before the model is parsed.
        present()
        let queue = queue
        engine.open(model.request, send: { queue.send($0) })
        defer {
            engine.close()
            log?.close()
        }
        var lastTick = time
        while !hasQuit {
            var events = try port.events(timeout: model.isAnimating ? Self.tickInterval : 5)
            var changed = false
            // All keys that wait are taken in before one frame is drawn, so that a held key never lags behind.
            while !events.isEmpty {
                for event in events { take(event) }
                changed = true
                guard !hasQuit else { return model.recipe }
                events = try port.events(timeout: 0)
            }
            for event in queue.drain() {
                send(.engine(event))
                changed = true
            }
            let captured = port.capturedLines()
            if !captured.isEmpty {
                send(.captured(captured))
                changed = true
            }
            if model.isAnimating, time - lastTick >= Self.tickInterval {
                send(.tick)
                lastTick = time
                changed = true
            }
            if changed, !hasQuit { present() }
        }
        return model.recipe
    }

    private func present() {
        let frame = ExplorerView.frame(model)
        port.present(frame.grid)
        self.frame = frame
    }

    private func take(_ event: InputEvent) {
        switch event {
        case .key(let key): send(.key(key))
        case .paste(let text): send(.paste(text))
        case .mouse(let mouse): send(.mouse(mouse, target: frame?.target(at: mouse.position)))
        case .resize(let size): send(.resize(size))
        case .focus: break
        }
    }

    private func send(_ message: Message) {
        for effect in model.update(message, at: time) { perform(effect) }
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .predict(let recipe): send(.predicted(canonical: recipe.canonical, engine.predict(recipe)))
        case .evaluateBaseline: engine.evaluateBaseline()
        case .cancelBaseline: engine.cancelBaseline()
        case .evaluate(let recipe, let generation): engine.evaluate(recipe, generation: generation)
        case .measureLatency(let recipe, let request, let generation): engine.measureLatency(recipe, request: request, generation: generation)
        case .foresee(let recipes): engine.foresee(recipes)
        case .traceWhatIf(let recipe, let step, let parameter, let generation):
            engine.traceWhatIf(recipe, step: step, parameter: parameter, generation: generation)
        case .checkFiles(let paths): send(.existing(paths.filter { FileManager.default.fileExists(atPath: $0) }))
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
        case .copy(let text): send(.copied(text, port.copy(text)))
        case .setMouse(let on): port.setMouse(enabled: on)
        case .setColors(let tier): port.setColors(tier)
        case .suspend: for event in port.suspend() { take(event) }
        case .quit: hasQuit = true
        case .log(let line): log?.write(line)
        }
    }
}
