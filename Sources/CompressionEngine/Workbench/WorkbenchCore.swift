import EngineSupport
import Measurement
import ModelGraph
import Recipes
import Techniques
import Training

/// The workbench's state, and who works on what: one piece of work for the present recipe at a time, and any number of jobs beside.
///
/// Nothing here blocks: what does goes to threads of its own, and each stage of work waits for the one before without holding a thread.
actor WorkbenchCore {
    nonisolated let executor = SerialQueue("lathe.workbench")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let outlet: EventOutlet
    let snapshot: WorkbenchSnapshot
    let clock: any Clock<Duration>
    let opener: Workbench.Opener
    let openStore: @Sendable (StoreLimits) -> TrialStore

    var session: (any WorkbenchSession)?
    var trials: TrialLedger?
    /// SQLite may wait for another process, so it has a queue of its own; results are stored and pinned in the order that was asked for.
    nonisolated let storage = SerialQueue("lathe.trials")
    var queue = WorkQueue()
    var results = ResultCache()
    /// Those under which latency was asked for last.
    var conditions = LatencyConditions()
    /// The curve over a live parameter that was asked for last.
    var liveTrace: WhatIfTrace?
    /// The curve that was asked for last, to be predicted again when more is known about time.
    var lastTrace: WhatIfTrace?
    /// Cancels the predictions for that curve.
    var forecasting: Cancellation?
    let opening = Cancellation()
    /// Cancels the baseline's evaluation; `nil` while there is none.
    var scoring: Cancellation?
    var isScoringUnwanted = false
    /// Cancels what is being done for the present recipe; `nil` while nothing is.
    private var current: Cancellation?
    /// What is being done is learning, which gives way to everything.
    private var isLearning = false
    private var jobs: [Int: RunningJob] = [:]
    /// Nothing of the opening goes on any more, which would disturb timing.
    private var hasOpened = false
    /// How long the last evaluation on all samples took.
    var evaluationSeconds: Double?
    /// Without the baseline's accuracy no other is asked for: it would fail in the same way.
    var hasBaseline = true
    /// What is being learnt about time; `nil` before latency was measured.
    var learning: Learning?
    /// The latency request that waits for a quiet machine, and since when.
    var waiting: (generation: Int, since: Stopwatch)?
    /// Opened far enough to work on recipes.
    private var isReady = false
    private(set) var isClosed = false
    /// Pieces of work that have not ended.
    private var running = 0
    private var whenIdle: [@Sendable () -> Void] = []

    struct RunningJob {
        let cancellation: Cancellation
        let control: TrainingControl?
    }

    init(
        outlet: EventOutlet, snapshot: WorkbenchSnapshot, clock: any Clock<Duration>, opener: @escaping Workbench.Opener,
        openStore: @escaping @Sendable (StoreLimits) -> TrialStore
    ) {
        self.outlet = outlet
        self.snapshot = snapshot
        self.clock = clock
        self.opener = opener
        self.openStore = openStore
    }

    /// Does something to the state, behind everything that was submitted before. Returns at once.
    nonisolated func submit(_ body: @escaping @Sendable (isolated WorkbenchCore) -> Void) {
        executor.async { self.assumeIsolated { body($0) } }
    }

    /// Works on something that `close` waits for.
    func track(_ body: @escaping @Sendable (isolated WorkbenchCore) async -> Void) {
        running += 1
        Task {
            await body(self)
            running -= 1
            if running == 0 { becameIdle() }
        }
    }

    // MARK: The present recipe

    func ready() {
        isReady = true
        pump()
    }

    func opened() {
        hasOpened = true
        pump()
    }

    func evaluate(_ request: WorkQueue.Request) {
        waiting = nil
        queue.evaluate(request)
        current?.cancel()
        pump()
    }

    func measureLatency(_ request: WorkQueue.Request, _ how: LatencyRequest) {
        if isLearning { current?.cancel() }
        conditions = how.conditions
        queue.measureLatency(request, how)
        pump()
    }

    func draw(_ trace: WhatIfTrace) {
        liveTrace = trace.isLive ? trace : nil
        lastTrace = trace
        forecast(trace)
        // What a profile answers costs nothing to try.
        if trace.isLive, snapshot.liveFigures(for: trace.recipe) != nil {
            queue.draw(nil)
            sweep(trace)
        } else {
            queue.draw(trace)
            if isLearning { current?.cancel() }
            pump()
        }
    }

    func foresee(_ recipes: [Recipe]) {
        queue.foresee(recipes)
        if isLearning { current?.cancel() }
        pump()
    }

    func cancelPresent() {
        waiting = nil
        queue.clear()
        current?.cancel()
    }

    /// Ends the baseline's evaluation, also one that is still to begin.
    func cancelBaseline() {
        if let scoring { scoring.cancel() } else { isScoringUnwanted = !hasOpened }
    }

    /// Begins what comes next, unless something is being done.
    private func pump() {
        guard isReady, !isClosed, current == nil, let session else { return }
        guard let work = queue.next(isOpen: hasOpened) ?? (jobs.isEmpty ? learning?.next.map(WorkQueue.Work.learning) : nil) else { return }
        let cancellation = Cancellation()
        current = cancellation
        if case .learning = work { isLearning = true }
        track { core in
            switch work {
            case .evaluation(let request): await core.perform(evaluation: request, session, cancellation)
            case .latency(let request, let how): await core.perform(latency: request, how, session, cancellation)
            case .foreseen(let recipe): await core.perform(foreseen: recipe, session, cancellation)
            case .learning(let kernels): await core.perform(learning: kernels, session, cancellation)
            case .point(let trace, let value): await core.perform(point: value, of: trace, session, cancellation)
            }
            core.current = nil
            core.isLearning = false
            core.pump()
        }
    }

    // MARK: Jobs

    func began(_ job: Int, _ running: RunningJob) { jobs[job] = running }
    func ended(_ job: Int) {
        jobs[job] = nil
        pump()
    }
    func cancel(job: Int) { jobs[job]?.cancellation.cancel() }

    func control(_ command: TrainingCommand, job: Int) {
        guard let control = jobs[job]?.control else { return }
        switch command {
        case .pause: control.isPaused = true
        case .goOn: control.isPaused = false
        case .finish: control.finish()
        }
    }

    // MARK: The end

    /// Cancels everything.
    /// - Parameter idle: called once all work has ended; exports too remove what they had begun.
    func close(idle: @escaping @Sendable () -> Void) {
        isClosed = true
        forecasting?.cancel()
        waiting = nil
        queue.clear()
        for cancellation in [opening, current].compactMap(\.self) + jobs.values.map(\.cancellation) { cancellation.cancel() }
        whenIdle.append(idle)
        if running == 0 { becameIdle() }
    }

    /// Returns once nothing is left to do.
    func settled() async {
        guard running > 0 else { return }
        await withCheckedContinuation { continuation in whenIdle.append { continuation.resume() } }
    }

    /// Returns once all that was submitted before has been taken in.
    func roundTrip() {}

    private func becameIdle() {
        for call in whenIdle { call() }
        whenIdle = []
    }
}

/// Results by content, so that nothing is computed twice in a session.
struct ResultCache {
    /// Complete accuracies by content hash of the model.
    var accuracy = BoundedCache<ContentHash, AccuracyEstimate>(maximumCount: 4096)
    /// What-if points by recipe text.
    var points = BoundedCache<String, WhatIfPoint>(maximumCount: 4096)
    /// Times by how models run.
    var latency = BoundedCache<LatencyKey, TimedModel>(maximumCount: 1024)
}

/// What time hangs on beside the machine. Weights' values do not count: a kernel takes as long for zeros.
struct LatencyKey: Hashable, Sendable {
    var structure: ContentHash
    var conditions: LatencyConditions
}

struct TimedModel: Sendable {
    var figures: LatencyFigures
    var operators: [OperatorTime]
}
