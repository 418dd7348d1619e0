import CompressionEngine
import Measurement
import Metrics
import TerminalCells

extension MeasureFormat {
    /// The same as the terminal's charts and tables write it.
    public var numberFormat: NumberFormat {
        switch self {
        case .bytes: .bytes
        case .count: .count
        case .si(let unit, let scale): .si(unit: unit, scale: scale)
        case .percent(let digits): .percent(digits: digits)
        case .points(let digits): .points(digits: digits)
        case .relative: .relative
        case .significant(let digits, let unit, let signed): .significant(digits: digits, unit: unit, signed: signed)
        case .fixed(let digits, let unit, let signed): signed ? .signed(digits: digits, unit: unit) : .fixed(digits: digits, unit: unit)
        }
    }

    /// The size of a difference, without its sign: `0.14 pt`.
    public func magnitude(_ value: Double) -> String { String(numberFormat.text(abs(value)).drop { $0 == "+" }) }
}

extension Measure {
    public var numberFormat: NumberFormat { format.numberFormat }

    public var axis: Axis { Axis(title, format: numberFormat, bounds: bounds) }

    /// An interval with its unit once: `90.12–90.95 %`.
    func text(_ interval: Interval, dash: String) -> String {
        let (low, high) = (numberFormat.text(interval.low), numberFormat.text(interval.high))
        guard let space = low.firstIndex(of: " "), high.hasSuffix(low[space...]) else { return interval.low < 0 || interval.high < 0 ? "\(low) to \(high)" : low + dash + high }
        return interval.low < 0 || interval.high < 0 ? "\(low[..<space]) to \(high)" : "\(low[..<space])\(dash)\(high)"
    }

    /// The two ends of a change, without signs and with the unit once: `0.10 to 0.31 pt`.
    func text(_ interval: Interval, of format: MeasureFormat) -> String {
        let (low, high) = (format.magnitude(interval.low), format.magnitude(interval.high))
        guard let space = low.firstIndex(of: " "), high.hasSuffix(low[space...]) else { return "\(low) to \(high)" }
        return "\(low[..<space]) to \(high)"
    }

    /// `1.43x faster`; `nil` where ratios are not compared or there is no difference.
    func factorText(from before: Double, to after: Double, times: Character) -> String? {
        factor(from: before, to: after).map { NumberFormat.general($0.value, significant: 3) + "\(times) \($0.word)" }
    }

    /// How a stored value of it is drawn.
    func standing(in trial: TrialRecord) -> TerminalCells.Figure.Standing {
        if metric != nil, !trial.figures.isComplete { return .estimated }
        return kind == .modeled ? .modeled : .measured
    }
}

/// Numbers with their digits in groups of three: `1,724,336`.
enum Grouping {
    static func text(_ value: Double) -> String { MeasureFormat.grouped(value) }
    static func text(_ value: Int) -> String { MeasureFormat.grouped(value) }
}

extension Provenance {
    var standing: TerminalCells.Figure.Standing {
        switch self {
        case .measured: .measured
        case .estimated: .estimated
        case .modeled: .modeled
        }
    }
}

extension ExplorerModel {
    /// The data set's metric as a measure; top-1 until there is one.
    public var metric: Measure { .metric(facts.info?.metric ?? .top1) }

    /// Measures that trials have, in the order of lists and axes.
    public var trialMeasures: [Measure] { Measure.all(metric: facts.info?.metric, atLeast: .pane) }
}
