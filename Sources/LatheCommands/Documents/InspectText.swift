import Foundation
import Measurement
import Recipes

/// What `lathe inspect` prints for people.
enum InspectText {
    static func text(_ document: InspectDocument) -> String {
        let model = document.model
        let opsets = model.opsets.sorted { $0.key < $1.key }.map { $0.key == "ai.onnx" ? "opset \($0.value)" : "\($0.key) \($0.value)" }
        var lines = [
            "\(model.name)  (\(([opsets.joined(separator: ", ")] + [model.producer].filter { !$0.isEmpty }).joined(separator: ", ")))".onOneLine
        ]
        for (title, values) in [("input", model.inputs), ("output", model.outputs)] {
            for value in values { lines.append("  \(title)  \(describe(value))".onOneLineKeepingIndent) }
        }
        lines += ["", layers(document), "", totals(document)]
        for making in document.record?.makings ?? [] { lines += made(making) }
        for warning in document.warnings { lines.append("note: \(warning.onOneLine)") }
        if let problem = document.runtimeProblem { lines.append("note: no MACs and activations: \(problem.onOneLine)") }
        return lines.joined(separator: "\n")
    }

    /// What the model says of how it was made.
    private static func made(_ making: ModelRecord.Making) -> [String] {
        let steps = try? Recipe.parse(making.recipe, file: "record").steps.map(\.canonical)
        let figures = Measure.all.compactMap { measure -> String? in
            guard let pair = making.figures[measure.id], pair.count == 2 else { return nil }
            return "\(measure.name) \(measure.format.exact(pair[0])) → \(measure.format.exact(pair[1]))"
        }
        return ["", "made by \(making.program) from \(making.model) (\(making.modelHash))".onOneLine]
            + (steps ?? [making.recipe]).map { "  \($0.onOneLine)" } + figures.map { "  \($0)" }
    }

    private static func describe(_ value: InspectDocument.Value) -> String {
        let extents = value.shape?.map { extent in
            switch extent {
            case .fixed(let number): String(number)
            case .open(let name): name
            }
        }
        return "\(value.name)  \(value.type ?? "?")\(extents.map { " [" + $0.joined(separator: ", ") + "]" } ?? "")"
    }

    private static func layers(_ document: InspectDocument) -> String {
        var table = TextTable([
            ("layer", .left), ("operator", .left), ("weight", .left), ("type", .left), ("parameters", .right), ("MACs", .right), ("bytes", .right),
            ("sparsity", .right), ("std", .right), ("max |w|", .right), ("distribution", .left),
        ])
        for layer in document.layers {
            let spread = layer.distribution
            table.rows.append([
                layer.id.onOneLine, layer.operatorType, layer.weightShape.map(String.init).joined(separator: "×"), layer.weightType,
                layer.parameters.map(Written.exact) ?? "–", layer.macs.map(Written.exact) ?? "–", Written.bytes(layer.serializedBytes.map(Double.init)),
                Written.percent(layer.sparsity, digits: 1), spread.map { short($0.standardDeviation) } ?? "–",
                spread.map { short($0.maximumMagnitude) } ?? "–", spread.map { sparkline($0.histogram) } ?? "",
            ])
        }
        return table.text
    }

    private static func totals(_ document: InspectDocument) -> String {
        let figures = document.figures
        var table = TextTable([("", .left), ("", .right), ("", .left)])
        for measure in Measure.all where measure.isOfFigures && measure.place >= .table {
            guard let value = figures[measure] else { continue }
            var remark = measure.format == .bytes || measure.format == .count ? Written.value(value, measure) : ""
            if measure == .parameters { remark += ", \(Written.value(figures[.sparsity], .sparsity)) zero" }
            if measure == .macs { remark += ", one inference; FLOPs = 2 × MACs" }
            if measure == .file, document.sparseWeights > 0 {
                remark += ", \(document.sparseWeights) weight\(document.sparseWeights == 1 ? "" : "s") stored without zeros"
            }
            if measure == .memory { remark += ", weights and activations" + fits(document) }
            if measure.kind == .modeled { remark = "for one inference at 45 nm, modeled" }
            table.add(measure.name, measure.format.exact(value), remark)
        }
        return table.text
    }

    private static func fits(_ document: InspectDocument) -> String { document.caches.modelFitsIn.map { ", fits this machine's \($0)" } ?? "" }

    private static func short(_ value: Double) -> String { value.formatted(digits: 3) }

    /// The histogram in 16 characters; heights by square root, so that tails can be seen.
    static func sparkline(_ histogram: [Int]) -> String {
        guard !histogram.isEmpty else { return "" }
        let width = max(histogram.count / 16, 1)
        let bins = stride(from: 0, to: histogram.count, by: width).map { histogram[$0..<min($0 + width, histogram.count)].reduce(0, +) }
        guard let largest = bins.max(), largest > 0 else { return "" }
        let levels = Array("▁▂▃▄▅▆▇█")
        return String(
            bins.map { count in
                count == 0 ? " " : levels[min(Int((Double(count) / Double(largest)).squareRoot() * 8), 7)]
            })
    }
}

extension Double {
    /// At most `digits` significant digits.
    func formatted(digits: Int) -> String { String(format: "%.\(digits)g", self) }
}

extension String {
    /// One line, with the spaces at its beginning kept.
    fileprivate var onOneLineKeepingIndent: String { String(prefix { $0 == " " }) + onOneLine }
}
