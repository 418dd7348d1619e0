import Measurement
import Recipes
import Techniques

/// What the workbench has to do for the present recipe, most wanted first: its evaluation, then latency, then points of the what-if curve.
struct WorkQueue {
    struct Request: Sendable {
        var recipe: Recipe
        var generation: Int
        var ticket: EventOutlet.Ticket
    }

    enum Work: Sendable {
        case evaluation(Request)
        case latency(Request, LatencyRequest)
        case point(WhatIfTrace, ParameterValue)
        case foreseen(Recipe)
        /// Kernels to be timed while nothing else is to do; not kept in the queue.
        case learning([Kernel])
    }

    private(set) var evaluation: Request?
    private(set) var latency: (work: Request, how: LatencyRequest)?
    private(set) var trace: WhatIfTrace?
    /// Recipes that may be asked for next.
    private(set) var foreseen: [Recipe] = []
    /// How many of them were begun before the curve went on.
    private var inTurn = 0

    /// Replaces all that waits: the curve of an older recipe is of no use, nor is its latency.
    mutating func evaluate(_ request: Request) {
        evaluation = request
        foreseen = []
        latency = nil
        trace = nil
    }

    mutating func measureLatency(_ request: Request, _ how: LatencyRequest) { latency = (request, how) }

    /// Replaces the curve; `nil` for none.
    mutating func draw(_ trace: WhatIfTrace?) { self.trace = trace }

    mutating func foresee(_ recipes: [Recipe]) { (foreseen, inTurn) = (recipes, 0) }

    mutating func clear() { self = WorkQueue() }

    /// Takes out what comes next.
    /// - Parameter isOpen: nothing of the opening goes on any more; timing that nobody asked for waits for that.
    mutating func next(isOpen: Bool = true) -> Work? {
        if let request = evaluation {
            evaluation = nil
            return .evaluation(request)
        }
        if let (request, how) = latency, isOpen || how.isExplicit {
            latency = nil
            return .latency(request, how)
        }
        // The two likeliest, then in turns with the curve: a turn of the knob is the commonest of all keys.
        if !foreseen.isEmpty, inTurn < 2 || trace?.values.isEmpty ?? true {
            inTurn += 1
            return .foreseen(foreseen.removeFirst())
        }
        guard var present = trace, !present.values.isEmpty else { return nil }
        inTurn = 1
        let value = present.values.removeFirst()
        trace = present
        return .point(present, value)
    }
}
