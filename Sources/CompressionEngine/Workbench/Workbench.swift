import Dispatch
import EngineSupport
import Foundation
import Measurement
import Recipes

/// The engine behind the explorer: one piece of work at a time, always what the user waits for most, and jobs beside.
///
/// Order: the evaluation of the present recipe, then latency, then points of the what-if curve, starting with the neighbors of the present
/// value. A new evaluation cancels whatever is under way at its next batch.
///
/// Calls return at once: what is asked at the terminal is answered from a snapshot (`WorkbenchSnapshot`), everything else is handed to an
/// actor (`WorkbenchCore`), which works on threads of its own. `close` alone waits.
public final class Workbench: ExplorerEngine {
    /// Opens a session; reports phases and fractions.
    typealias Opener = @Sendable (OpenRequest, Cancellation, (String, Double?) -> Void) throws -> any WorkbenchSession

    private let outlet = EventOutlet()
    private let snapshot = WorkbenchSnapshot()
    private let clock: any Clock<Duration>
    let core: WorkbenchCore

    /// How long `close` waits at most.
    static let patience = Duration.seconds(2)

    public convenience init() {
        self.init(clock: ContinuousClock(), opener: { try EngineSession.open($0, cancellation: $1, progress: $2) }, store: { TrialStore.open(limits: $0) })
    }

    /// - Parameters:
    ///   - clock: measures how long jobs take, and `close`'s patience.
    ///   - opener: opens the session to work with.
    ///   - store: opens the store of results.
    init(clock: any Clock<Duration>, opener: @escaping Opener, store: @escaping @Sendable (StoreLimits) -> TrialStore) {
        self.clock = clock
        core = WorkbenchCore(outlet: outlet, snapshot: snapshot, clock: clock, opener: opener, openStore: store)
    }

    public func open(_ request: OpenRequest, send: @escaping @Sendable (EngineEvent) -> Void) {
        outlet.open(send)
        snapshot.request = request
        core.submit { $0.open(request) }
    }

    // MARK: Answers at once

    public func predict(_ recipe: Recipe) -> ModelFigures? { snapshot.predict(recipe) }

    public func weightHistogram(layer: String, recipe: Recipe) -> WeightHistogram? { snapshot.weightHistogram(layer: layer, recipe: recipe) }

    public func equivalentCommand(for recipe: Recipe, recipePath: String) -> String {
        let request = snapshot.request
        return ShellCommand.apply(request?.modelPath ?? "MODEL", recipe: recipePath, output: "OUT.onnx", data: request?.dataPath)
    }

    // MARK: The present recipe

    public func evaluate(_ recipe: Recipe, generation: Int) {
        let request = WorkQueue.Request(recipe: recipe, generation: generation, ticket: outlet.replaceEvaluation())
        core.submit { $0.evaluate(request) }
    }

    public func measureLatency(_ recipe: Recipe, request: LatencyRequest, generation: Int) {
        let work = WorkQueue.Request(recipe: recipe, generation: generation, ticket: outlet.ticket())
        core.submit { $0.measureLatency(work, request) }
    }

    public func traceWhatIf(_ recipe: Recipe, step: Int, parameter: String, generation: Int) {
        let trace = WhatIfTrace(recipe: recipe, step: step, parameter: parameter, generation: generation, ticket: outlet.replaceCurve())
        core.submit { $0.draw(trace) }
    }

    public func cancelBaseline() { core.submit { $0.cancelBaseline() } }

    public func evaluateBaseline() { core.submit { $0.scoreBaselineAgain() } }

    public func foresee(_ recipes: [Recipe]) { core.submit { $0.foresee(recipes) } }

    public func cancel(job: Int?) {
        if let job {
            core.submit { $0.cancel(job: job) }
        } else {
            _ = outlet.replaceEvaluation()
            core.submit { $0.cancelPresent() }
        }
    }

    // MARK: Jobs

    public func export(_ recipe: Recipe, request: ExportRequest, job: Int) { core.submit { $0.export(recipe, request: request, job: job) } }

    public func analyze(_ request: SensitivityRequest, job: Int) { core.submit { $0.analyze(request, job: job) } }

    public func allocate(_ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, job: Int) {
        core.submit { $0.allocate(grid, measure: measure, goal: goal, job: job) }
    }

    public func search(_ request: SearchRequest, title: String, job: Int) { core.submit { $0.search(request, title: title, job: job) } }

    public func train(_ recipe: Recipe, steps: Int?, job: Int) { core.submit { $0.train(recipe, steps: steps, job: job) } }

    public func control(_ command: TrainingCommand, job: Int) { core.submit { $0.control(command, job: job) } }

    public func setPinned(_ pinned: Bool, trial: String) { core.submit { $0.setPinned(pinned, trial: trial) } }

    // MARK: The end

    public func close() {
        outlet.close()
        let ended = DispatchSemaphore(value: 0)
        core.submit { $0.close { ended.signal() } }
        let clock = clock
        let patience = Task.detached {
            try? await clock.sleep(for: Self.patience)
            ended.signal()
        }
        ended.wait()
        patience.cancel()
    }
}
