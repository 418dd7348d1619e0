/// The six views, in the order of their digits.
public enum ViewID: String, CaseIterable, Sendable, Codable {
    case explore, layers, pareto, history, jobs, export

    public var title: String { rawValue.prefix(1).uppercased() + rawValue.dropFirst() }
    /// The digit that opens the view.
    public var digit: Int { (Self.allCases.firstIndex(of: self) ?? 0) + 1 }

    /// Panes in the order in which Tab visits them.
    public var panes: [Pane] {
        switch self {
        case .explore: [.techniques, .parameters, .figures, .curve, .scatter]
        case .layers: [.layerTable, .layerDetail, .layerHeat]
        case .pareto: [.paretoPlot, .paretoList, .paretoDetail]
        case .history: [.historyTree, .historyDiff]
        case .jobs: [.jobList, .jobDetail]
        case .export: [.exportForm, .exportSummary]
        }
    }
}

/// A part of a view that can have the focus. Key bindings are looked up for the focused pane first, then for all.
public enum Pane: String, CaseIterable, Sendable, Codable {
    case techniques, parameters, figures, curve, scatter
    case layerTable, layerDetail, layerHeat
    case paretoPlot, paretoList, paretoDetail
    case historyTree, historyDiff
    case jobList, jobDetail
    case exportForm, exportSummary

    public var view: ViewID {
        switch self {
        case .techniques, .parameters, .figures, .curve, .scatter: .explore
        case .layerTable, .layerDetail, .layerHeat: .layers
        case .paretoPlot, .paretoList, .paretoDetail: .pareto
        case .historyTree, .historyDiff: .history
        case .jobList, .jobDetail: .jobs
        case .exportForm, .exportSummary: .export
        }
    }

    /// Text to read: the cursor keys scroll it.
    public var isText: Bool { [.paretoDetail, .historyDiff, .jobDetail, .exportSummary].contains(self) }

    public var title: String {
        switch self {
        case .techniques: "Techniques"
        case .parameters: "Parameters"
        case .figures: "Figures"
        case .curve: "What if"
        case .scatter: "Trade-off"
        case .layerTable: "Layers"
        case .layerDetail: "Layer"
        case .layerHeat: "Sensitivity"
        case .paretoPlot: "Pareto front"
        case .paretoList: "Trials"
        case .paretoDetail: "Recipe"
        case .historyTree: "History"
        case .historyDiff: "Difference"
        case .jobList: "Jobs"
        case .jobDetail: "Detail"
        case .exportForm: "Export"
        case .exportSummary: "What will be written"
        }
    }
}
