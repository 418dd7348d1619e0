import Recipes

/// What an allocation is to reach.
public enum AllocationGoal: Sendable, Hashable {
    /// At most this share of the baseline's measure, at the least loss.
    case share(Double)
    /// As small as possible, losing at most this much accuracy (0…1).
    case maximumDrop(Double)
}

extension Workbench {
    public func analyze(_ request: SensitivityRequest, job: Int) {
        let store = state.withLock { $0.store }
        runJob(job, title: "Sensitivity to \(request.step.technique)") { session, cancellation, progress in
            let grid = try SensitivityAnalysis(session, store: store, cancellation: cancellation).run(request) { grid in
                progress(Double(grid.done) / Double(max(grid.total, 1)), "\(grid.done) of \(grid.total) cells")
                self.send(.sensitivity(job: job, grid))
            }
            return .sensitivity(job: job, grid)
        }
    }

    public func allocate(_ grid: SensitivityGrid, measure: AllocationMeasure, goal: AllocationGoal, job: Int) {
        runJob(job, title: "Allocate \(grid.request.step.technique)") { session, cancellation, progress in
            let allocation = try Allocation(grid, measure: measure)
            let found: EngineSession.Allocated
            switch goal {
            case .share(let share):
                progress(0.1, "measuring the allocated model")
                found = try session.allocate(allocation, within: share * (grid.baseline[measure] ?? 0), cancellation: cancellation)
            case .maximumDrop(let drop):
                // Bisection over the path.
                let steps = Double(max(allocation.path.count, 2)).exponent + 1
                var done = 0.0
                found = try session.allocate(allocation, maximumDrop: drop, cancellation: cancellation) { _ in
                    done += 1
                    progress(min(done / Double(steps), 0.99), "measured \(Int(done)) candidates")
                }
            }
            return .allocated(job: job, found.recipe, isMet: found.isMet)
        }
    }
}
