import CompressionEngine
import Datasets
import Explorer
import Foundation
import Measurement
import Metrics

/// What `lathe sensitivity` prints for people: a row for each layer, a column for each value, the loss with its margin.
enum SensitivityText {
    static func text(_ document: SensitivityDocument) -> String {
        let metric = Measure.metric(document.metric.flatMap(MetricKind.init(title:)) ?? .top1)
        let values = document.rows.first?.cells.map { $0.value ?? "on" } ?? []
        let samples = document.rows.lazy.flatMap(\.cells).compactMap(\.samples).first ?? 0
        let varied = document.parameter.map { ", \($0) varied" } ?? ""
        let isPredicted = document.method != SensitivityMethod.measured.rawValue
        var lines = [
            isPredicted
                ? predictedTitle(document, metric, varied, samples)
                : "\(document.model.name): \(document.technique)\(varied); change of \(metric.name) with one row changed (\(metric.direction == .lower ? "more" : "less") is worse), ± half its 95 % interval, \(Written.exact(samples)) samples",
            "",
        ]
        var table = TextTable([("layer", .left)] + values.map { ($0, .right) })
        for row in document.rows {
            let name = row.layers.count > 1 ? "\(row.layers[0]) +\(row.layers.count - 1)" : row.layers.first ?? ""
            table.rows.append([name.onOneLine] + row.cells.map { cell(metric, $0) })
        }
        lines.append(table.text)
        if isPredicted, document.rows.contains(where: { $0.cells.contains { $0.predicted != nil && $0.predictedLoss == nil && $0.loss == nil } }) {
            lines += ["", "note: what the metric loses is not known: too little was measured to tell the scale. Numbers are divergences of the outputs"]
        }
        if let baseline = document.baselineMilliseconds { lines += ["", times(document, values, baseline)] }
        let coupled = document.rows.filter { $0.layers.count > 1 }
        if !coupled.isEmpty {
            lines.append("")
            for row in coupled { lines.append("note: changed together: \(row.layers.map(\.onOneLine).joined(separator: ", "))") }
        }
        for problem in Set(document.rows.flatMap { $0.cells.compactMap(\.problem) }).sorted() { lines.append("note: no number (×): \(problem.onOneLine)") }
        if let allocation = document.allocation { lines += [""] + text(allocation, metric) }
        return lines.joined(separator: "\n")
    }

    private static func cell(_ metric: Measure, _ cell: SensitivityDocument.Cell) -> String {
        guard let loss = cell.loss else {
            guard let predicted = cell.predicted, let interval = cell.predictedInterval else { return "×" }
            guard let loss = cell.predictedLoss else { return String(format: "≈%.2g ±%.1g", predicted, (interval.high - interval.low) / 2) }
            return "≈\(Written.change(metric.direction == .lower ? loss : -loss, metric))"
        }
        let change = metric.direction == .lower ? loss : -loss
        guard let interval = cell.lossInterval else { return Written.change(change, metric) }
        // A loss is written as a fall, so that it reads like everywhere else.
        let margin = metric.changeFormat.magnitude((interval.high - interval.low) / 2)
        return "\(Written.change(change, metric)) ±\(margin.prefix { $0 != " " })"
    }

    private static func predictedTitle(_ document: SensitivityDocument, _ metric: Measure, _ varied: String, _ samples: Int) -> String {
        let measured = document.rows.reduce(0) { $0 + $1.cells.count { $0.loss != nil } }
        return "\(document.model.name): \(document.technique)\(varied); change of \(metric.name) with one row changed (\(metric.direction == .lower ? "more" : "less") is worse), "
            + "≈ predicted from gradients, \(measured) cells measured on \(Written.exact(samples)) samples"
    }

    /// Milliseconds that each cell changes, measured.
    private static func times(_ document: SensitivityDocument, _ values: [String], _ baseline: Double) -> String {
        // To a hundredth of a percent of the model, about.
        let digits = max(0, 3 - Int(log10(max(baseline, 1e-6)).rounded(.down)))
        var table = TextTable([("layer", .left)] + values.map { ($0, .right) })
        for row in document.rows {
            let name = row.layers.count > 1 ? "\(row.layers[0]) +\(row.layers.count - 1)" : row.layers.first ?? ""
            table.rows.append(
                [name.onOneLine]
                    + row.cells.map { cell in
                        guard let ratio = cell.latencyRatio, let interval = cell.latencyInterval else { return "×" }
                        let half = (interval.high - interval.low) / 2 * baseline
                        return String(format: "%+.*f ±%.*f", digits, (ratio - 1) * baseline, digits, half)
                    })
        }
        return "latency \(Written.value(baseline, .latency)); milliseconds that one row changed adds, ± half the 95 % interval, measured in turns\n\n\(table.text)"
    }

    private static func text(_ allocation: SensitivityDocument.Allocation, _ metric: Measure) -> [String] {
        var table = TextTable([("layer", .left), ("allocated", .right)])
        for choice in allocation.choices { table.add(choice.layer.onOneLine, choice.changed ? choice.value ?? "on" : "left alone") }
        let measure = AllocationMeasure(rawValue: allocation.measure)?.measure ?? .file
        let share = allocation.after.flatMap { measure.changeText(from: allocation.before, to: $0) }.map { " (\($0))" } ?? ""
        var verdict =
            "\(measure.name) \(Written.value(allocation.before, measure)) → \(Written.value(allocation.after, measure))\(share), \(metric.name) \(Written.value(allocation.accuracy, metric))"
        verdict += ", difference \(Written.change(allocation.difference, metric))"
        if let interval = allocation.differenceInterval { verdict += " [\(Written.change(interval.low, metric)), \(Written.change(interval.high, metric))]" }
        verdict += ", measured as a whole; single layers added up predicted \(Written.change(-allocation.foretoldLoss, metric))"
        return [table.text, "", verdict] + (allocation.file.map { ["recipe written to \($0)"] } ?? []) + (allocation.met ? ["met: \(allocation.demand)"] : [])
    }
}
