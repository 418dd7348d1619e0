import CompressionEngine
import Measurement

/// What `lathe sensitivity` prints for people: a row for each layer, a column for each value, the loss with its margin.
enum SensitivityText {
    static func text(_ document: SensitivityDocument) -> String {
        let metric = MetricText(document.metric ?? "")
        let values = document.rows.first?.cells.map { $0.value ?? "on" } ?? []
        let samples = document.rows.lazy.flatMap(\.cells).compactMap(\.samples).first ?? 0
        let varied = document.parameter.map { ", \($0) varied" } ?? ""
        var lines = [
            "\(document.model.name): \(document.technique)\(varied); loss of \(document.metric ?? "accuracy") with one row changed, ± half its 95 % interval, \(Written.exact(samples)) samples",
            "",
        ]
        var table = TextTable([("layer", .left)] + values.map { ($0, .right) })
        for row in document.rows {
            let name = row.layers.count > 1 ? "\(row.layers[0]) +\(row.layers.count - 1)" : row.layers.first ?? ""
            table.rows.append([name.onOneLine] + row.cells.map { cell(metric, $0) })
        }
        lines.append(table.text)
        let coupled = document.rows.filter { $0.layers.count > 1 }
        if !coupled.isEmpty {
            lines.append("")
            for row in coupled { lines.append("note: changed together: \(row.layers.map(\.onOneLine).joined(separator: ", "))") }
        }
        for problem in Set(document.rows.flatMap { $0.cells.compactMap(\.problem) }).sorted() { lines.append("note: no number (×): \(problem.onOneLine)") }
        if let allocation = document.allocation { lines += [""] + text(allocation, metric) }
        return lines.joined(separator: "\n")
    }

    private static func cell(_ metric: MetricText, _ cell: SensitivityDocument.Cell) -> String {
        guard let loss = cell.loss else { return "×" }
        guard let interval = cell.lossInterval else { return metric.difference(-loss) }
        // A loss is written as a fall, so that it reads like everywhere else.
        return "\(metric.difference(-loss)) ±\(((interval.high - interval.low) / 2 * 100).formatted(places: 2))"
    }

    private static func text(_ allocation: SensitivityDocument.Allocation, _ metric: MetricText) -> [String] {
        var table = TextTable([("layer", .left), ("allocated", .right)])
        for choice in allocation.choices { table.add(choice.layer.onOneLine, choice.changed ? choice.value ?? "on" : "left alone") }
        let bytes = allocation.measure == AllocationMeasure.size.rawValue || allocation.measure == AllocationMeasure.packed.rawValue
        func amount(_ value: Double?) -> String { bytes ? Written.bytes(value) : Written.count(value) }
        let share = allocation.after.map { " (\(Written.percent($0 / max(allocation.before, 1), digits: 1)))" } ?? ""
        var verdict = "\(allocation.measure) \(amount(allocation.before)) → \(amount(allocation.after))\(share), accuracy \(metric.value(allocation.accuracy))"
        verdict += ", difference \(metric.difference(allocation.difference))"
        if let interval = allocation.differenceInterval { verdict += " [\(metric.difference(interval.low)), \(metric.difference(interval.high))]" }
        verdict += ", measured as a whole; single layers added up predicted \(metric.difference(-allocation.foretoldLoss))"
        return [table.text, "", verdict] + (allocation.file.map { ["recipe written to \($0)"] } ?? []) + (allocation.met ? ["met: \(allocation.demand)"] : [])
    }
}
