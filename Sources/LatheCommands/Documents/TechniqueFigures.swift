import Foundation

import enum TerminalCells.NumberFormat

/// What `Benchmarks/technique_figures.py` measured of each technique on the sample models, and how a page shows it.
struct TechniqueFigures: Decodable {
    /// One sample model: what it was and what it became, or why the technique does not apply to it.
    struct Outcome: Decodable {
        var refused: String?
        /// Before and after, bytes of the ONNX file.
        var bytes: [Double]?
        /// Before and after, bytes of the packed archive.
        var packed: [Double]?
        /// Before and after, multiply-accumulates for one sample.
        var macs: [Double]?
        /// Before and after, percent.
        var accuracy: [Double]?
        /// Change of the accuracy and its 95 % interval, in points.
        var difference: [Double]?
        /// Latency against the original and its 95 % interval.
        var latency: [Double]?
    }

    struct Entry: Decodable {
        /// The recipe, each step as on the command line.
        var steps: [String]
        var models: [String: Outcome]
    }

    struct Conditions: Decodable {
        var runtime: String
        var instructionSet: String
        var threads: Int
        var batch: Int
    }

    var techniques: [String: Entry]
    var measured: Conditions?

    /// - Throws: ``BadInput`` where the file cannot be read or is something else.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else { throw BadInput("\(path): cannot be read") }
        do {
            self = try JSONDecoder().decode(Self.self, from: data)
        } catch {
            throw BadInput("\(path): expected what Benchmarks/technique_figures.py writes")
        }
    }

    /// The sample models in the order of their documentation.
    private static let models = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]

    /// The section of a technique's page; nil if nothing was measured.
    func section(_ technique: String) -> String? {
        guard let entry = techniques[technique], !entry.models.isEmpty else { return nil }
        let names = Self.models.filter { entry.models[$0] != nil }
        let applied = names.filter { entry.models[$0]?.refused == nil }
        var text = "## On the sample models\n\n"
        let recipe = entry.steps.map { "`\($0)`" }.joined(separator: ", then ")
        if applied.isEmpty {
            text += "\(recipe) applies to none of them:\n\n"
        } else {
            text += "\(recipe), with defaults for all else. Sizes, MACs and latency are changes against the original model; "
            text += "the change of top-1 is in points, with its 95 % interval.\n\n"
            text += "| model | ONNX file | packed archive | MACs | latency | top-1 | change |\n|---|--:|--:|--:|--:|--:|--:|\n"
            for name in applied { if let outcome = entry.models[name] { text += row(name, outcome) } }
        }
        var refused: [(reason: String, models: [String])] = []
        for name in names {
            guard let reason = entry.models[name]?.refused else { continue }
            if let place = refused.firstIndex(where: { $0.reason == reason }) { refused[place].models.append(name) } else { refused.append((reason, [name])) }
        }
        if !applied.isEmpty, !refused.isEmpty { text += "\nNot applied:\n\n" }
        for (reason, models) in refused { text += "- \(models.joined(separator: ", ")): \(reason)\n" }
        if !applied.isEmpty { text += "\n\(note(entry, applied))\n" }
        return text
    }

    private func row(_ name: String, _ outcome: Outcome) -> String {
        func ratio(_ pair: [Double]?) -> String {
            guard let pair, pair.count == 2, pair[0] > 0 else { return "" }
            return pair[0] == pair[1] ? "same" : Self.change(pair[1] / pair[0])
        }
        let latency = outcome.latency?.first.map(Self.change) ?? ""
        let accuracy = outcome.accuracy?.last.map { "\(NumberFormat.fixed($0, digits: 2)) %" } ?? ""
        var change = ""
        if let difference = outcome.difference, difference.count == 3 {
            let written = difference.map { NumberFormat.signed($0, digits: 2) }
            change = "\(written[0]) (\(written[1]) to \(written[2]))"
        }
        return "| \(name) | \(ratio(outcome.bytes)) | \(ratio(outcome.packed)) | \(ratio(outcome.macs)) | \(latency) | \(accuracy) | \(change) |\n"
    }

    /// A ratio as a change in whole percent, its direction plain.
    private static func change(_ ratio: Double) -> String {
        let percent = ((ratio - 1) * 100).rounded()
        return percent == 0 ? "0 %" : "\(NumberFormat.signed(percent, digits: 0)) %"
    }

    private func note(_ entry: Entry, _ applied: [String]) -> String {
        var text = "`Benchmarks/technique_figures.py` measured this with `lathe evaluate` on the 10,000 validation images"
        if let measured, applied.contains(where: { entry.models[$0]?.latency != nil }) {
            text += "; latency in ONNX Runtime \(measured.runtime), \(measured.instructionSet), batch \(measured.batch), "
            text += measured.threads == 1 ? "one thread" : "\(measured.threads) threads"
        }
        text += "."
        if entry.steps.contains(where: { $0.contains("epochs=1") }) { text += " One epoch over the 55,000 training images; more epochs give more." }
        return TechniquePages.wrapped(text)
    }
}
