import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import Recipes
import Synchronization
import Techniques

/// From a changed knob to the first accuracy estimate with its interval, through the workbench as the explorer drives it.
/// Each press is a new sparsity, so that no cached answer helps.
enum FirstEstimate {
    static func run() throws {
        print("from key press to the first accuracy estimate (target: median at most 80 ms)")
        for name in ["lenet-5", "resnet-8"] {
            let workbench = Workbench()
            let events = EventQueue()
            workbench.open(OpenRequest(modelPath: Repository.sample(name), dataPath: Repository.data)) { events.push($0) }
            try events.wait { if case .baselineAccuracy(let estimate) = $0 { estimate.isComplete } else { false } }
            var first = Distribution()
            var complete = Distribution()
            for press in 1...60 {
                let recipe = Recipe(steps: [
                    RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.01 * Double(press))]))
                ])
                let start = DispatchTime.now().uptimeNanoseconds
                workbench.evaluate(recipe, generation: press)
                try events.wait { if case .accuracy(press, _) = $0 { true } else { false } }
                first.times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
                try events.wait { if case .accuracy(press, let estimate) = $0 { estimate.isComplete } else { false } }
                complete.times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
            }
            workbench.close()
            first.printed("\(name): first estimate")
            complete.printed("\(name): all images")
        }
    }
}

/// Engine events in order, to wait for.
final class EventQueue: Sendable {
    private let events = Mutex<[EngineEvent]>([])
    private let signal = DispatchSemaphore(value: 0)

    func push(_ event: EngineEvent) {
        events.withLock { $0.append(event) }
        signal.signal()
    }

    /// Takes all that is there.
    func drain() -> [EngineEvent] {
        var taken: [EngineEvent] = []
        while signal.wait(timeout: .now()) == .success { taken.append(events.withLock { $0.removeFirst() }) }
        return taken
    }

    /// Takes events until one fits.
    func wait(_ fits: (EngineEvent) -> Bool) throws {
        let deadline = DispatchTime.now() + 120
        while signal.wait(timeout: deadline) == .success {
            let event = events.withLock { $0.removeFirst() }
            if case .failed(_, _, let message) = event { throw EngineError(.runtime, message) }
            if fits(event) { return }
        }
        throw EngineError(.runtime, "no answer within two minutes")
    }
}
