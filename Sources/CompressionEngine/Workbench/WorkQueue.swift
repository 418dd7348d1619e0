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
        case latency(Request)
        case point(WhatIfTrace, ParameterValue)
    }

    private(set) var evaluation: Request?
    private(set) var latency: Request?
    private(set) var trace: WhatIfTrace?

    /// Replaces all that waits: the curve of an older recipe is of no use, nor is its latency.
    mutating func evaluate(_ request: Request) {
        evaluation = request
        latency = nil
        trace = nil
    }

    mutating func measureLatency(_ request: Request) { latency = request }

    /// Replaces the curve; `nil` for none.
    mutating func draw(_ trace: WhatIfTrace?) { self.trace = trace }

    mutating func clear() { self = WorkQueue() }

    /// Takes out what comes next.
    mutating func next() -> Work? {
        if let request = evaluation {
            evaluation = nil
            return .evaluation(request)
        }
        if let request = latency {
            latency = nil
            return .latency(request)
        }
        guard var present = trace, !present.values.isEmpty else { return nil }
        let value = present.values.removeFirst()
        trace = present
        return .point(present, value)
    }
}
