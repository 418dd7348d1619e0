import ArgumentParser
import CompressionEngine
import Explorer
import Measurement
import Metrics

/// Something the user demands of the result, and whether it is met.
struct Requirement: Encodable {
    /// The option that states it, without dashes; of `--require`, what was demanded.
    var name: String
    /// The measure it is about.
    var measure: String
    /// In the measure's unit; of a ratio or a drop, that.
    var limit: Double
    var value: Double
    var met: Bool
    /// Both numbers as people read them.
    var description: String

    private enum CodingKeys: CodingKey {
        case name, measure, limit, value, met
    }
}

/// A limit on one measure, read but not checked yet.
struct Limit {
    var name: String
    var demand: Demand

    init(name: String, _ demand: Demand) { (self.name, self.demand) = (name, demand) }

    /// - Throws: `BadInput` where there is no such number.
    func check(_ found: Demand.Findings) throws -> Requirement {
        let measure = demand.measure
        guard let value = demand.value(found) else { throw BadInput("--\(name): \(measure.name) is not known here") }
        let words = demand.isAtLeast ? "at least" : "at most"
        let (one, other): (String, String) =
            switch demand.quantity {
            case .value: ("\(measure.name) \(Written.value(value, measure))", Written.value(demand.number, measure))
            case .ratio: ("\(measure.name) \(value.formatted(digits: 3))× the baseline's", "\(demand.number.formatted(digits: 3))×")
            case .drop:
                (
                    "\(measure.name) \(measure.direction == .lower ? "rises" : "drops") by \(measure.changeFormat.magnitude(max(value, 0)))",
                    measure.changeFormat.magnitude(demand.number)
                )
            }
        return Requirement(
            name: name, measure: measure.id, limit: demand.number, value: value, met: demand.isMet(value), description: "\(one), \(words) \(other) demanded")
    }
}

/// Limits as they are typed, with commas between: `gzip<=60KB`, `file <= 50%, drop <= 0.5`. What they mean depends on the data set's metric.
struct LimitText: ExpressibleByArgument {
    let limits: [String]

    init?(argument: String) {
        limits = argument.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard !limits.isEmpty else { return nil }
    }

    /// The measures they are about.
    var ids: [String] { limits.compactMap(Demand.measureID(typed:)) }
}

/// Demands on the result: the command ends with status 1 when one is not met.
struct RequirementOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Demand at least this value of the data set's metric.",
            discussion: "In the metric's own unit: percent for accuracy and agreement, dB for SQNR, a plain number for cosine.", valueName: "value"))
    var minAccuracy: MetricQuantity?

    @Option(
        help: ArgumentHelp(
            "Demand that the data set's metric drops by at most so much.",
            discussion: "In the metric's own unit: percentage points of accuracy and agreement, dB of SQNR, a plain number for cosine.", valueName: "loss"))
    var maxDrop: MetricQuantity?

    @Option(help: ArgumentHelp("Demand an ONNX file of at most this many bytes (60000, 60KB, 58KiB).", valueName: "bytes"))
    var maxSize: ByteQuantity?

    @Option(help: ArgumentHelp("Demand a packed archive of at most this many bytes.", valueName: "bytes"))
    var maxPackedSize: ByteQuantity?

    @Option(help: ArgumentHelp("Demand at most this latency relative to the baseline (1: not slower).", valueName: "ratio"))
    var maxLatencyRatio: Double?

    @Option(
        help: ArgumentHelp(
            "Demand limits on any measures; may be repeated.",
            discussion: """
                Written like the goal of 'lathe search': 'gzip<=60KB', 'macs<=50%' (of the baseline's), 'latency<=2ms', 'accuracy>=92.5', 'drop<=0.5'; several \
                with commas between. 'lathe measures' lists the measures.
                """,
            valueName: "limits"))
    var require: [LimitText] = []

    /// Whether a limit needs the sizes that take long.
    var needsSlowSizes: Bool { maxPackedSize != nil || require.contains { !Set($0.ids).isDisjoint(with: [Measure.packed.id, Measure.gzip.id]) } }
    var needsLatency: Bool { maxLatencyRatio != nil || require.contains { $0.ids.contains(Measure.latency.id) } }

    /// The limits for a data set's metric.
    /// - Throws: `BadInput` for a number that the measure does not have, or another metric than the data set's.
    func limits(metric kind: MetricKind?) throws -> [Limit] {
        let metric = Measure.metric(kind ?? .top1)
        var limits: [Limit] = []
        if let minAccuracy {
            guard metric.direction == .higher else {
                throw BadInput("--min-accuracy: less is better of \(metric.name); demand it with --require 'accuracy<=LIMIT'")
            }
            limits.append(Limit(name: "min-accuracy", Demand(metric, isAtLeast: true, try minAccuracy.value(of: metric, option: "min-accuracy"))))
        }
        if let maxDrop {
            limits.append(Limit(name: "max-drop", Demand(metric, .drop, try maxDrop.value(of: metric, option: "max-drop", isDifference: true))))
        }
        if let maxSize { limits.append(Limit(name: "max-size", Demand(.file, maxSize.bytes))) }
        if let maxPackedSize { limits.append(Limit(name: "max-packed-size", Demand(.packed, maxPackedSize.bytes))) }
        if let maxLatencyRatio { limits.append(Limit(name: "max-latency-ratio", Demand(.latency, .ratio, maxLatencyRatio))) }
        for text in require.flatMap(\.limits) { limits.append(Limit(name: text, try Demand(typed: text, metric: kind ?? .top1, in: "--require"))) }
        return limits
    }
}

/// A number in the unit of a metric that is known only when the data are: `92.5`, `92.5%`, `20dB`, `0.99`.
struct MetricQuantity: ExpressibleByArgument {
    private let text: String

    init?(argument: String) {
        text = argument.filter { $0 != " " }
        let number = text.prefix { $0.isNumber || "+-.eE".contains($0) }
        // `e` may begin no number but a unit; what remains must be one.
        guard Double(number)?.isFinite == true, text.dropFirst(number.count).allSatisfy({ $0.isLetter || $0 == "%" }) else { return nil }
    }

    /// - Parameter isDifference: percentage points instead of percent.
    /// - Throws: `BadInput` where the unit is not the metric's.
    func value(of metric: Measure, option: String, isDifference: Bool = false) throws -> Double {
        if let value = isDifference ? metric.typedDifference(text) : metric.typed(text) { return value }
        throw BadInput("--\(option) \(text): the data set measures \(metric.name): expected \(isDifference ? metric.typedDifferenceForm : metric.typedForm)")
    }
}
