import ArgumentParser
import Datasets
import Explorer
import Measurement
import Metrics

struct Measures: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measures", abstract: "List what is measured: unit, range, which end is better, and how it comes about.")

    @Flag(help: "Print them as the Markdown page Docs/Measures.md.")
    var markdown = false

    @OptionGroup var output: OutputOptions

    func run() throws {
        if markdown { return Console.print(MeasurePage.text) }
        if output.json { return Console.print(try MeasureDocument(Measure.all).printed()) }
        var table = TextTable([("measure", .left), ("", .left), ("unit", .left), ("range", .left), ("better", .left), ("is", .left)])
        for measure in Measure.all {
            table.add(measure.id, measure.name, measure.shownUnit, measure.rangeText, measure.direction.rawValue, measure.kind.rawValue)
        }
        Console.print(table.text + "\n\n'accuracy' is the data set's metric. 'lathe evaluate --require' takes a limit on any measure but those of training.")
    }
}

/// What `lathe measures --json` prints.
struct MeasureDocument: JSONDocument {
    struct Entry: Encodable {
        var id: String
        var name: String
        var explanation: String
        var unit: String
        var range: Interval
        var better: String
        var kind: String
        /// The key in documents that hold the measure, one name for each level.
        var key: String
    }

    let schema = "lathe.measures/1"
    var measures: [Entry]

    init(_ list: [Measure]) {
        measures = list.map {
            Entry(
                id: $0.id, name: $0.name, explanation: $0.explanation, unit: $0.unit, range: Interval(low: $0.range.lowerBound, high: $0.range.upperBound),
                better: $0.direction.rawValue, kind: $0.kind.rawValue, key: $0.documentKey.joined(separator: "."))
        }
    }
}

/// Docs/Measures.md.
enum MeasurePage {
    static var text: String {
        var lines = [
            "# Measures", "",
            "Made by `lathe measures --markdown` from the measures' own descriptions (`Sources/Measurement/Measures`). How each is counted or measured: [Measuring](Measuring.md).",
            "",
        ]
        func section(_ title: String, _ choose: (Measure) -> Bool) {
            lines += ["## \(title)", "", "| measure | id | unit | range | better | is | compared by | says |", "|---|---|---|---|---|---|---|---|"]
            for measure in Measure.all where choose(measure) {
                lines.append(
                    "| \(measure.name) | `\(measure.id)` | \(measure.shownUnit) | \(measure.rangeText) | \(measure.direction.rawValue) | \(measure.kind.rawValue) | \(measure.comparisonText) | \(measure.explanation) |"
                )
            }
            lines.append("")
        }
        section("Metrics of data sets") { $0.metric != nil }
        lines += ["A data set has one of them (`metric:`, see [Data sets](DataSets.md)); `accuracy` names whichever it is.", ""]
        section("Models") { $0.metric == nil && ($0.isOfFigures || $0.isLatency) }
        section("Trainings") { $0.metric == nil && !$0.isOfFigures && !$0.isLatency }
        return lines.dropLast().joined(separator: "\n")
    }
}

extension Measure {
    /// The unit that values are written in.
    fileprivate var shownUnit: String {
        switch format {
        case .bytes: "bytes"
        case .percent: "%"
        case .count: "–"
        case .si: self.unit
        case .points, .relative: "%"
        case .fixed(_, let unit, _), .significant(_, let unit, _): unit.isEmpty ? "–" : unit
        }
    }

    fileprivate var rangeText: String {
        var scale = 1.0
        if case .percent = format { scale = 100 }
        func end(_ value: Double) -> String { (value * scale).formatted(digits: 4) }
        return range.upperBound.isFinite ? "\(end(range.lowerBound)) to \(end(range.upperBound))" : "\(end(range.lowerBound)) or more"
    }

    fileprivate var comparisonText: String {
        switch comparison {
        case .ratio(let less, let more): "ratio: \(less), \(more)"
        case .points: "percentage points"
        case .difference: format == .fixed(digits: 5, unit: "") ? "difference" : "difference in \(shownUnit)"
        }
    }
}
