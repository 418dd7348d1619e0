import Metrics

/// How the widths and the depth of a trained model are searched.
public enum ArchitectureStrategy: String, CaseIterable, Sendable, Hashable {
    /// Each group of channels and each residual branch is scored alone, then the assignment is sought that loses least within the limits.
    case score

    /// One line, for help.
    public var help: String {
        switch self {
        case .score: "each group of channels scored at each width, then the assignment that loses least within the limits"
        }
    }
}

extension SearchGoal {
    /// A goal for an architecture that does not say what to minimize: where only sizes or times are limited, the least loss within them is
    /// meant, since channels can be cut as far as one likes. Goals that say something of the metric stay as they are.
    public var forArchitecture: SearchGoal {
        guard let metric, metricDemands.isEmpty, !isFront, objective.metric == nil, !demands.isEmpty else { return self }
        var goal = self
        goal.objectives = [.metric(metric)]
        return goal
    }
}
