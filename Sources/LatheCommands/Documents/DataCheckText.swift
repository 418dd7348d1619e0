import Datasets
import Foundation
import TerminalCells
import TerminalCurses

/// What `lathe data check` prints for people.
enum DataCheckText {
    static func text(_ document: DataCheckDocument, dataset: Dataset, split: DatasetSplit) throws -> String {
        var lines = ["\(document.dataset): \(document.split), \(document.samples) of \(document.count) samples, metric \(document.metric)".onOneLine, ""]
        var table = TextTable([("input", .left), ("type", .left), ("shape", .left), ("", .left), ("min", .right), ("mean", .right), ("max", .right), ("std", .right)])
        for input in document.inputs {
            func add(_ names: [String], _ range: DataCheckDocument.Range) {
                table.rows.append(names + [range.minimum, range.mean, range.maximum, range.standardDeviation].map(DataCheckDocument.short))
            }
            add([input.name.onOneLine, input.type, "[" + input.shape.map(String.init).joined(separator: ", ") + "]", ""], input.all)
            for (index, channel) in input.channels.enumerated() { add(["", "", "", "channel \(index)"], channel) }
        }
        lines.append(table.text)
        let prepared = try split.prepared()
        let tier = isatty(STDOUT_FILENO) == 1 ? TerminalDetection.colorTier(environment: ProcessInfo.processInfo.environment, colors: 256) : .mono
        for (index, input) in prepared.inputs.enumerated() where input.type.isFloatingPoint || input.type == .uint8 {
            let layout = SampleLayout(input.shape)
            let values = try prepared.values(at: 0, input: index)
            if layout.isImage {
                lines += ["", "the first sample, from its smallest to its largest value:"] + SamplePicture.lines(values, layout, tier)
            } else if input.shape.contains(where: { $0 >= 256 }) {
                lines += ["", "the first sample: \(SamplePicture.waveform(values))"]
            }
        }
        if !document.labels.isEmpty {
            lines += ["", "first labels"]
            for (index, label) in document.labels.enumerated() { lines.append("  \(index)  \(label)".onOneLineKeepingIndent) }
        } else {
            lines += ["", "no labels"]
        }
        if !document.notes.isEmpty || !document.warnings.isEmpty { lines.append("") }
        for note in document.notes { lines.append("note: \(note.onOneLine)") }
        for warning in document.warnings { lines.append("warning: \(warning.onOneLine)") }
        return lines.joined(separator: "\n")
    }
}

extension String {
    fileprivate var onOneLineKeepingIndent: String { String(prefix { $0 == " " }) + onOneLine }
}

/// A sample drawn with characters.
enum SamplePicture {
    private static let columns = 64
    private static let shades: [Character] = [" ", "░", "▒", "▓", "█"]

    /// Two rows of pixels in each row of half blocks; without color, shades of one row of twice the height.
    static func lines(_ values: [Float], _ layout: SampleLayout, _ tier: ColorTier) -> [String] {
        let width = min(columns, layout.width)
        let height = max(2, min(2 * columns, layout.height * width / layout.width) / 2 * 2)
        let finite = values.filter(\.isFinite)
        guard let least = finite.min(), let most = finite.max() else { return [] }
        let scale = most > least ? 1 / (most - least) : 0
        /// The mean over the pixels that fall into one, from 0 to 1.
        func pixel(_ row: Int, _ column: Int, _ channel: Int) -> Float {
            let rows = row * layout.height / height..<max(row * layout.height / height + 1, (row + 1) * layout.height / height)
            let across = column * layout.width / width..<max(column * layout.width / width + 1, (column + 1) * layout.width / width)
            var sum: Float = 0
            for y in rows {
                for x in across {
                    let value = values[layout.index(channel, min(y, layout.height - 1), min(x, layout.width - 1))]
                    sum += value.isFinite ? (value - least) * scale : 0
                }
            }
            return sum / Float(rows.count * across.count)
        }
        func color(_ row: Int, _ column: Int) -> [Float] {
            layout.channels == 3 ? (0..<3).map { pixel(row, column, $0) } : Array(repeating: pixel(row, column, 0), count: 3)
        }
        return stride(from: 0, to: height, by: 2).map { row in
            var line = ""
            for column in 0..<width {
                let (upper, lower) = (color(row, column), color(row + 1, column))
                switch tier {
                case .truecolor:
                    func code(_ color: [Float]) -> String { color.map { String(Int(($0 * 255).rounded())) }.joined(separator: ";") }
                    line += "\u{1B}[38;2;\(code(upper))m\u{1B}[48;2;\(code(lower))m▀"
                case .indexed:
                    /// The color cube of 6 × 6 × 6.
                    func code(_ color: [Float]) -> Int { color.reduce(0) { $0 * 6 + Int(($1 * 5).rounded()) } + 16 }
                    line += "\u{1B}[38;5;\(code(upper))m\u{1B}[48;5;\(code(lower))m▀"
                default:
                    let light = zip(upper + lower, [0.299, 0.587, 0.114, 0.299, 0.587, 0.114]).reduce(Float(0)) { $0 + $1.0 * Float($1.1) } / 2
                    line.append(shades[min(4, max(0, Int(light * 5)))])
                }
            }
            return tier == .truecolor || tier == .indexed ? line + "\u{1B}[0m" : line
        }
    }

    /// The loudest of each part, in eight heights, and the level of all.
    static func waveform(_ values: [Float]) -> String {
        let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        let finite = values.map { $0.isFinite ? abs($0) : 0 }
        let largest = finite.max() ?? 0
        let count = min(columns, finite.count)
        let line = (0..<count).map { part -> Character in
            let range = part * finite.count / count..<max(part * finite.count / count + 1, (part + 1) * finite.count / count)
            return bars[largest > 0 ? min(7, Int((finite[range].max() ?? 0) / largest * 7.999)) : 0]
        }
        let power = finite.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(max(1, finite.count))
        let level = power > 0 ? String(format: "%.1f dB", 10 * log10(power)) : "silent"
        return "\(String(line))  largest \(DataCheckDocument.short(Double(largest))), level \(level)"
    }
}
