import enum TerminalCells.DisplayWidth

/// Columns of text, aligned.
struct TextTable {
    enum Alignment {
        case left, right
    }

    var columns: [(title: String, alignment: Alignment)]
    var rows: [[String]] = []
    var indent = "  "

    init(_ columns: [(String, Alignment)]) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

    mutating func add(_ cells: String...) { rows.append(cells) }
    mutating func add(cells: [String]) { rows.append(cells) }

    /// Lines without trailing spaces; titles first unless all are empty.
    var lines: [String] {
        let titles = columns.map(\.title)
        let all = (titles.allSatisfy(\.isEmpty) ? [] : [titles]) + rows
        let widths = columns.indices.map { column in all.map { $0.indices.contains(column) ? DisplayWidth.of($0[column]) : 0 }.max() ?? 0 }
        return all.map { row in
            var line = indent
            for (column, cell) in row.enumerated() where widths.indices.contains(column) {
                let padding = String(repeating: " ", count: max(widths[column] - DisplayWidth.of(cell), 0))
                line += columns[column].alignment == .left ? cell + padding : padding + cell
                line += "  "
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    var text: String { lines.joined(separator: "\n") }
}
