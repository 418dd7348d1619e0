import Measurement

/// What `lathe evaluate` found as one HTML file: charts, tables that can be sorted, no request to anywhere. Every number stands in it as it is in
/// the JSON document, which the page holds too.
struct EvaluateReport {
    private let document: EvaluateDocument

    init(_ document: EvaluateDocument) { self.document = document }

    /// - Throws: if the document cannot be encoded.
    func page() throws -> String {
        // A closing tag inside of a string would end the element.
        let json = try document.printed().replacing("</", with: "<\\/")
        let sections = [head, figures, accuracy, sizes, layers, classes, latency, recipe, remarks].compactMap { $0 }
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
            <link rel="icon" href="data:,"><title>\(HTMLText.escaped(document.model.name)): lathe evaluate</title>
            <style>\(HTMLText.style)</style></head><body><main>
            \(sections.joined(separator: "\n"))
            </main>
            <script type="application/json" id="document">\(json)</script>
            <script>\(HTMLText.script)</script>
            </body></html>

            """
    }

    private var head: String {
        let accuracy = document.accuracy
        let part = accuracy.samples == accuracy.total ? Written.exact(accuracy.total) : "\(Written.exact(accuracy.samples)) of \(Written.exact(accuracy.total))"
        let compared = document.baseline.path == document.model.path ? "the model before the recipe" : document.baseline.name
        return """
            <h1>\(HTMLText.escaped(document.model.name))</h1>
            <p><code>\(HTMLText.escaped(EvaluateText.steps(document.recipe)))</code></p>
            <p class="soft">\(HTMLText.escaped(document.data.name)), \(document.data.split), \(part) samples. Compared with \(HTMLText.escaped(compared)). \
            Content hash <code>\(document.model.hash)</code>.</p>
            """
    }

    /// The number as the JSON document has it.
    private func exact(_ value: Double?, _ measure: Measure) -> Double? {
        guard let value, measure.format == .bytes || measure.format == .count, let whole = value.whole else { return value }
        return Double(whole)
    }

    private func title(_ measure: Measure) -> String { measure.name + (measure.kind == .modeled ? ", modeled" : "") }

    private var figures: String {
        var rows: [[HTMLText.Cell]] = []
        func add(_ name: String, _ measure: Measure, _ first: Double?, _ second: Double?, _ change: String?) {
            guard first != nil || second != nil else { return }
            rows.append([
                HTMLText.Cell(name), HTMLText.Cell(Written.value(first, measure), exact(first, measure)), HTMLText.Cell(Written.value(second, measure), exact(second, measure)),
                HTMLText.Cell(change ?? "–", first.flatMap { first in second.flatMap { first == 0 ? nil : $0 / first } }),
            ])
        }
        let metric = document.accuracy.measure
        add(metric.name, metric, document.accuracy.baseline, document.accuracy.value, Written.change(document.accuracy.difference, metric))
        func add(_ name: String, _ measure: Measure, _ first: Double?, _ second: Double?) {
            add(name, measure, first, second, first.flatMap { first in second.flatMap { measure.changeText(from: first, to: $0) } })
        }
        let (before, after) = (document.figures.baseline, document.figures.candidate)
        for measure in Measure.all where measure.isOfFigures && measure.place >= .table { add(title(measure), measure, before[measure], after[measure]) }
        if let latency = document.latency {
            add("latency, median", .latency, latency.baselineMedian, latency.candidateMedian)
            add("latency, p90", .latency, latency.baselineP90, latency.candidateP90)
        }
        return "<h2>Figures</h2>\n"
            + HTMLText.table([("", false), ("baseline", true), ("now", true), ("change", true)], rows, caption: "Measured on the graph that 'apply' writes")
    }

    private var accuracy: String? {
        let accuracy = document.accuracy
        let metric = accuracy.measure
        guard let difference = accuracy.difference, let interval = accuracy.differenceInterval else { return nil }
        let chart = ReportCharts.intervals(
            [("all samples", difference, interval.low, interval.high, Written.change(difference, metric))], title: "Difference in \(metric.name) with its 95 % interval")
        var text = "95 % interval of the difference: \(Written.change(interval.low, metric)) to \(Written.change(interval.high, metric))"
        if let p = accuracy.mcnemarP, let lost = accuracy.onlyBaseline, let won = accuracy.onlyCandidate {
            text += "; \(lost) samples lost and \(won) won, McNemar p \(Written.pValue(p))"
        }
        return "<h2>\(HTMLText.escaped(metric.title))</h2>\n\(chart)\n<p>\(HTMLText.escaped(text)).</p>"
    }

    private var sizes: String? {
        let (before, after) = (document.figures.baseline, document.figures.candidate)
        var rows: [(name: String, before: Double, now: Double, text: String)] = []
        for measure in Measure.all where measure.isOfFigures && measure.place >= .table && measure.direction == .lower {
            guard let first = before[measure], let second = after[measure], first > 0 else { continue }
            rows.append((title(measure), 100, 100 * second / first, measure.changeText(from: first, to: second) ?? "–"))
        }
        if let latency = document.latency { rows.append(("latency", 100, 100 * latency.ratio, Measure.latency.changeText(from: 1, to: latency.ratio) ?? "–")) }
        guard !rows.isEmpty else { return nil }
        return "<h2>Against the baseline</h2>\n<p class=\"soft\">Gray: baseline, 100 %. Blue: now. Shorter is better.</p>\n"
            + ReportCharts.pairs(rows, title: "Sizes, compute and latency against the baseline")
    }

    private var layers: String? {
        let before = Dictionary(document.figures.baseline.layers.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let layers = document.figures.candidate.layers
        guard !layers.isEmpty else { return nil }
        let rows = layers.map { layer in
            [
                HTMLText.Cell(layer.id), HTMLText.Cell(layer.opType), HTMLText.Cell(layer.weightShape.map(String.init).joined(separator: "×")), HTMLText.Cell(layer.weightType),
                HTMLText.Cell(Written.exact(Int(layer.parameters)), layer.parameters), HTMLText.Cell(Written.exact(Int(layer.nonZeros)), layer.nonZeros),
                HTMLText.Cell(layer.macs.map { Written.exact(Int($0)) } ?? "–", layer.macs),
                HTMLText.Cell(before[layer.id].map { Written.exact(Int($0.serializedBytes)) } ?? "–", before[layer.id]?.serializedBytes),
                HTMLText.Cell(Written.exact(Int(layer.serializedBytes)), layer.serializedBytes),
            ]
        }
        let largest = layers.sorted { ($0.serializedBytes, $1.id) > ($1.serializedBytes, $0.id) }.prefix(12)
        let bars = largest.map { layer -> (name: String, before: Double, now: Double, text: String) in
            let first = before[layer.id]?.serializedBytes ?? layer.serializedBytes
            return (layer.id, first, layer.serializedBytes, Written.bytes(layer.serializedBytes))
        }
        let columns = [
            ("layer", false), ("operator", false), ("weight", false), ("type", false), ("parameters", true), ("non-zero", true), ("MACs", true), ("bytes before", true),
            ("bytes now", true),
        ]
        return "<h2>Layers</h2>\n" + ReportCharts.pairs(bars, title: "Bytes of the largest layers") + "\n"
            + HTMLText.table(columns.map { (title: $0.0, isNumber: $0.1) }, rows, caption: "Click a head to sort")
    }

    private var classes: String? {
        guard let classes = document.classes else { return nil }
        let rows = classes.map { entry in
            let count = Double(max(entry.samples, 1))
            let (before, now) = (Double(entry.baselineCorrect) / count, Double(entry.correct) / count)
            return [
                HTMLText.Cell(entry.name ?? "\(entry.label)"), HTMLText.Cell(Written.exact(entry.samples), Double(entry.samples)),
                HTMLText.Cell(Written.value(before, .top1), before),
                HTMLText.Cell(Written.value(now, .top1), now), HTMLText.Cell(Written.change(now - before, .top1), now - before),
            ]
        }
        return "<h2>Classes</h2>\n"
            + HTMLText.table([("class", false), ("samples", true), ("baseline", true), ("now", true), ("change", true)], rows, caption: "Those first that lose most")
    }

    private var latency: String? {
        guard let latency = document.latency else { return nil }
        let text =
            "Ratio \(latency.ratio.formatted(digits: 3)), 95 % interval \(latency.ratioInterval.low.formatted(digits: 3)) to \(latency.ratioInterval.high.formatted(digits: 3)); "
            + "batch \(latency.batch), \(latency.threads) thread\(latency.threads == 1 ? "" : "s"), \(latency.instructionSet), ONNX Runtime \(latency.runtime), \(latency.rounds) rounds."
        let rows = latency.operators.map { [HTMLText.Cell($0.node), HTMLText.Cell($0.type), HTMLText.Cell("\($0.milliseconds.formatted(digits: 3)) ms", $0.milliseconds)] }
        return "<h2>Latency</h2>\n<p>\(HTMLText.escaped(text))</p>\n"
            + (rows.isEmpty ? "" : HTMLText.table([("operator", false), ("type", false), ("time", true)], rows, caption: "Time of the operators of one call"))
    }

    private var recipe: String? {
        guard !document.recipe.steps.isEmpty else { return nil }
        let items = document.recipe.steps.map { step in
            let values = step.parameters.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.value.text)" }.joined(separator: ", ")
            var lines = step.refusalsByReason.map { "\($0.layers) left alone: \($0.reason)" } + (step.notes ?? [])
            if let why = step.skipped { lines.append("skipped: \(why)") }
            let notes = lines.isEmpty ? "" : "<ul>" + lines.map { "<li>\(HTMLText.escaped($0))</li>" }.joined() + "</ul>"
            return
                "<li><strong>\(HTMLText.escaped(step.technique))</strong>: \(step.layers?.count ?? 0) layers. <span class=\"soft\">\(HTMLText.escaped(values))</span>\(notes)</li>"
        }
        return "<h2>Recipe</h2>\n<ul>\(items.joined(separator: "\n"))</ul>"
    }

    private var remarks: String? {
        let requirements = document.requirements.map { "<li class=\"\($0.met ? "met" : "missed")\">\($0.met ? "met" : "not met"): \(HTMLText.escaped($0.description))</li>" }
        let warnings = document.warnings.map { "<li>\(HTMLText.escaped($0))</li>" }
        let all = requirements + warnings
        return all.isEmpty ? nil : "<h2>Remarks</h2>\n<ul>\(all.joined(separator: "\n"))</ul>"
    }
}
