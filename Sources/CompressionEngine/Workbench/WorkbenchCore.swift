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
    /// The curve over a live parameter that was asked for last.
    var liveTrace: WhatIfTrace?
    let opening = Cancellation()
    /// Cancels what is being done for the present recipe; `nil` while nothing is.
    private var current: Cancellation?
    private var jobs: [Int: RunningJob] = [:]
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

    func evaluate(_ request: WorkQueue.Request) {
        queue.evaluate(request)
        current?.cancel()
        pump()
    }

    func measureLatency(_ request: WorkQueue.Request) {
        queue.measureLatency(request)
        pump()
    }

    func draw(_ trace: WhatIfTrace) {
        liveTrace = trace.isLive ? trace : nil
        // What a profile answers costs nothing to try.
        if trace.isLive, snapshot.liveFigures(for: trace.recipe) != nil {
            queue.draw(nil)
            sweep(trace)
        } else {
            queue.draw(trace)
            pump()
        }
    }

    func cancelPresent() {
        queue.clear()
        current?.cancel()
    }

    /// Begins what comes next, unless something is being done.
    private func pump() {
        guard isReady, !isClosed, current == nil, let session, let work = queue.next() else { return }
        let cancellation = Cancellation()
        current = cancellation
        track { core in
            switch work {
            case .evaluation(let request): await core.perform(evaluation: request, session, cancellation)
            case .latency(let request): await core.perform(latency: request, session, cancellation)
            case .point(let trace, let value): await core.perform(point: value, of: trace, session, cancellation)
            }
            core.current = nil
            core.pump()
        }
    }

    // MARK: Jobs

    func began(_ job: Int, _ running: RunningJob) { jobs[job] = running }
    func ended(_ job: Int) { jobs[job] = nil }
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
}
