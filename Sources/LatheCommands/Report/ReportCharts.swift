import Measurement

/// Charts of a report, as SVG. Lengths are in the units of the view box; colors come from the page's style.
enum ReportCharts {
    private static let width = 720.0
    /// Where names end and bars begin, and where bars end.
    private static let (left, right) = (180.0, 530.0)

    /// Pairs of bars from 0: what was, and what is now.
    /// - Parameter rows: a name, the two values, and the two as text.
    static func pairs(_ rows: [(name: String, before: Double, now: Double, text: String)], title: String) -> String {
        let largest = rows.flatMap { [$0.before, $0.now] }.max() ?? 0
        guard largest > 0 else { return "" }
        var lines: [String] = []
        let step = 38.0
        for (place, row) in rows.enumerated() {
            let top = Double(place) * step + 8
            func bar(_ value: Double, _ y: Double, _ kind: String) -> String {
                "<rect class=\"\(kind)\" x=\"\(left)\" y=\"\(number(y))\" width=\"\(number(max(value / largest * (right - left), 1)))\" height=\"11\" rx=\"2\"/>"
            }
            lines.append(
                "<text class=\"n\" x=\"\(left - 10)\" y=\"\(number(top + 16))\">\(HTMLText.escaped(shortened(row.name)))<title>\(HTMLText.escaped(row.name))</title></text>")
            lines.append(bar(row.before, top, "before"))
            lines.append(bar(row.now, top + 13, "now"))
            lines.append("<text class=\"soft\" x=\"\(right + 10)\" y=\"\(number(top + 16))\">\(HTMLText.escaped(row.text))</text>")
        }
        lines.append("<line class=\"rule\" x1=\"\(left)\" y1=\"2\" x2=\"\(left)\" y2=\"\(number(Double(rows.count) * step + 4))\"/>")
        return svg(lines, height: Double(rows.count) * step + 8, title: title)
    }

    /// Differences with their intervals, around 0.
    static func intervals(_ rows: [(name: String, value: Double, low: Double, high: Double, text: String)], title: String) -> String {
        let reach = rows.flatMap { [abs($0.low), abs($0.high)] }.max() ?? 0
        guard reach > 0, reach.isFinite else { return "" }
        func place(_ value: Double) -> String { number((left + right) / 2 + value / reach * (right - left) / 2 * 0.95) }
        var lines: [String] = []
        let step = 34.0
        for (index, row) in rows.enumerated() {
            let y = Double(index) * step + 20
            lines.append("<text class=\"n\" x=\"\(left - 10)\" y=\"\(number(y + 5))\">\(HTMLText.escaped(shortened(row.name)))</text>")
            lines.append("<line class=\"span\" x1=\"\(place(row.low))\" y1=\"\(number(y))\" x2=\"\(place(row.high))\" y2=\"\(number(y))\"/>")
            lines.append("<circle class=\"now\" cx=\"\(place(row.value))\" cy=\"\(number(y))\" r=\"5\"/>")
            lines.append("<text class=\"soft\" x=\"\(right + 10)\" y=\"\(number(y + 5))\">\(HTMLText.escaped(row.text))</text>")
        }
        lines.append("<line class=\"zero\" x1=\"\(place(0))\" y1=\"2\" x2=\"\(place(0))\" y2=\"\(number(Double(rows.count) * step + 2))\"/>")
        return svg(lines, height: Double(rows.count) * step + 8, title: title)
    }

    private static func svg(_ lines: [String], height: Double, title: String) -> String {
        "<div class=\"scroll\"><svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(number(width)) \(number(height))\" role=\"img\" aria-label=\"\(HTMLText.escaped(title))\">\n"
            + lines.joined(separator: "\n") + "\n</svg></div>"
    }

    private static func number(_ value: Double) -> String { value.formatted(places: 1) }

    /// As much of a name as there is room for, its end rather than its beginning.
    private static func shortened(_ name: String) -> String { name.count > 24 ? "…" + name.suffix(23) : name }
}
