@testable import CompressionEngine
@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// A workbench over a session, a clock and a store that a test holds in its hands.
struct Bench {
    let session: FakeSession
    let clock = ManualClock()
    let log = EventLog()
    let workbench: Workbench

    init(_ session: FakeSession = FakeSession(), store: @escaping @Sendable (StoreLimits) -> TrialStore = { .inMemory(limits: $0) }) {
        self.session = session
        workbench = Workbench(
            clock: clock,
            opener: { _, cancellation, progress in
                progress("reading", nil)
                try session.enter(.open, nil, cancellation)
                return session
            }, store: store)
    }

    /// Opens the session and waits until recipes can be worked on and everything of the baseline is known.
    static func opened(_ session: FakeSession = FakeSession(), store: @escaping @Sendable (StoreLimits) -> TrialStore = { .inMemory(limits: $0) }) async -> Bench {
        let bench = Bench(session, store: store)
        bench.open()
        await session.began(.completed)
        await bench.settle()
        return bench
    }

    func open() { workbench.open(OpenRequest(modelPath: "small.onnx"), send: { [log] in log.take($0) }) }

    /// Returns once the workbench has nothing to do.
    func settle() async { await workbench.core.settled() }

    /// Waits for it on a thread of its own, as the explorer's does.
    func close() async throws { try await BlockingThread.run("test", Cancellation()) { [workbench] in workbench.close() } }

    static func pruning(_ sparsity: Double) -> Recipe {
        Recipe(steps: [RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(sparsity)]))])
    }
}
