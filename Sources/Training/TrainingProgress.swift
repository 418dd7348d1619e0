import EngineSupport
import Foundation
import Synchronization
import Techniques

/// How a training goes.
public struct TrainingProgress: Sendable {
    public var step: Int
    public var totalSteps: Int
    /// Epochs finished.
    public var epochs: [TrainingEpoch]
    public var totalEpochs: Int
    /// Mean loss of the last steps.
    public var loss: Double?
    public var rate: Double
    public var elapsed: Double
    public var trainedParameters: Int
    public var metric: String

    public init(
        step: Int, totalSteps: Int, epochs: [TrainingEpoch], totalEpochs: Int, loss: Double?, rate: Double, elapsed: Double, trainedParameters: Int, metric: String
    ) {
        self.step = step
        self.totalSteps = totalSteps
        self.epochs = epochs
        self.totalEpochs = totalEpochs
        self.loss = loss
        self.rate = rate
        self.elapsed = elapsed
        self.trainedParameters = trainedParameters
        self.metric = metric
    }

    public var fraction: Double { Double(step) / Double(max(totalSteps, 1)) }
    public var remaining: Double? { step > 2 && step < totalSteps ? elapsed / Double(step) * Double(totalSteps - step) : nil }
}

/// Lets one thread tell a running training to pause, or to end with the best state it has.
public final class TrainingControl: Sendable {
    private struct State {
        var isPaused = false
        var shouldFinish = false
    }
    private let state = Mutex(State())
    /// Wakes who waits.
    private let changed = NSCondition()

    public init() {}

    private func change(_ body: (inout State) -> Void) {
        changed.lock()
        state.withLock { body(&$0) }
        changed.broadcast()
        changed.unlock()
    }

    public var isPaused: Bool {
        get { state.withLock { $0.isPaused } }
        set { change { $0.isPaused = newValue } }
    }

    /// Ends the training after the step that runs.
    public func finish() { change { $0.shouldFinish = true } }

    package var shouldFinish: Bool { state.withLock { $0.shouldFinish } }

    /// Returns when not paused, or when told to finish or cancelled.
    package func wait(_ cancellation: Cancellation) throws {
        guard isPaused else { return }
        try cancellation.withHook({ self.change { _ in } }) {
            changed.lock()
            defer { changed.unlock() }
            while isPaused, !shouldFinish {
                try cancellation.check()
                changed.wait()
            }
        }
    }
}
