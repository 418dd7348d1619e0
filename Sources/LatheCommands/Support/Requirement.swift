import ArgumentParser
import Measurement

/// Something the user demands of the result, and whether it is met.
struct Requirement: Encodable {
    /// The option that states it, without dashes.
    var name: String
    var limit: Double
    var value: Double
    var met: Bool
    /// Both numbers as people read them.
    var description: String

    private enum CodingKeys: CodingKey {
        case name, limit, value, met
    }
}

/// Demands on the result: the command ends with status 1 when one is not met.
struct RequirementOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Demand at least this accuracy, in percent.", valueName: "percent"))
    var minAccuracy: PercentQuantity?

    @Option(help: ArgumentHelp("Demand that accuracy drops by at most this many percentage points.", valueName: "points"))
    var maxDrop: PercentQuantity?

    @Option(help: ArgumentHelp("Demand an ONNX file of at most this many bytes (60000, 60KB, 58KiB).", valueName: "bytes"))
    var maxSize: ByteQuantity?

    @Option(help: ArgumentHelp("Demand a packed archive of at most this many bytes.", valueName: "bytes"))
    var maxPackedSize: ByteQuantity?

    @Option(help: ArgumentHelp("Demand at most this latency relative to the baseline (1: not slower).", valueName: "ratio"))
    var maxLatencyRatio: Double?

    func check(_ accuracy: AccuracyEstimate, _ figures: ModelFigures, _ latency: LatencyFigures?) -> [Requirement] {
        var list: [Requirement] = []
        if let minAccuracy {
            let limit = minAccuracy.fraction
            list.append(
                Requirement(
                    name: "min-accuracy", limit: limit, value: accuracy.value, met: accuracy.value >= limit,
                    description: "accuracy \(Written.percent(accuracy.value)), at least \(Written.percent(limit)) demanded"))
        }
        if let maxDrop {
            let limit = maxDrop.fraction
            let drop = -(accuracy.difference ?? 0)
            // 0.5 points of 10,000 samples are 50, but not in binary fractions.
            list.append(
                Requirement(
                    name: "max-drop", limit: limit, value: drop, met: drop <= limit + 1e-12,
                    description: "accuracy drops by \(Written.points(drop)), at most \(Written.points(limit)) demanded"))
        }
        if let maxSize { list.append(Self.size("max-size", "ONNX file", figures.serializedBytes.value, maxSize.bytes)) }
        if let maxPackedSize, let packed = figures.packedBytes {
            list.append(Self.size("max-packed-size", "packed archive", packed.value, maxPackedSize.bytes))
        }
        if let maxLatencyRatio, let latency {
            list.append(
                Requirement(
                    name: "max-latency-ratio", limit: maxLatencyRatio, value: latency.ratio, met: latency.ratio <= maxLatencyRatio,
                    description: "latency \(latency.ratio.formatted(digits: 3))× the baseline's, at most \(maxLatencyRatio.formatted(digits: 3))× demanded"))
        }
        return list
    }

    private static func size(_ name: String, _ what: String, _ value: Double, _ limit: Double) -> Requirement {
        Requirement(
            name: name, limit: limit, value: value, met: value <= limit,
            description: "\(what) of \(Written.bytes(value)), at most \(Written.bytes(limit)) demanded")
    }
}
