/// How much of a row or column of rectangles one part takes.
///
/// Fixed and percentage parts are served first, then every `minimum` gets its minimum, then what is left is shared
/// among `minimum` and `fill` parts by weight. When space runs out, later parts lose first.
public enum Length: Hashable, Sendable {
    /// Exactly this many cells.
    case fixed(Int)
    /// This share of the whole, 0...100.
    case percentage(Int)
    /// At least this many cells, and a share (by weight) of what is left over; weight 0 never grows.
    case minimum(Int, weight: Int = 1)
    /// A share (by weight) of what is left over.
    case fill(weight: Int = 1)

    /// `.fill` with weight 1.
    public static var fill: Length { .fill(weight: 1) }
}

/// Divides a length into parts.
public enum Layout {
    /// The length of every part, `spacing` cells apart. The sum never exceeds `total`.
    public static func divide(_ total: Int, into parts: [Length], spacing: Int = 0) -> [Int] {
        guard !parts.isEmpty else { return [] }
        let available = max(0, total - spacing * (parts.count - 1))
        var lengths = parts.map { part -> Int in
            switch part {
            case .fixed(let n): max(0, n)
            case .percentage(let p): (available * min(100, max(0, p)) + 50) / 100
            case .minimum(let n, _): max(0, n)
            case .fill: 0
            }
        }
        var left = available
        for index in lengths.indices {
            lengths[index] = min(lengths[index], left)
            left -= lengths[index]
        }
        let weights = parts.map { part -> Int in
            switch part {
            case .minimum(_, let weight), .fill(let weight): max(0, weight)
            default: 0
            }
        }
        var weightLeft = weights.reduce(0, +)
        guard weightLeft > 0 else { return lengths }
        // Shares are handed out one after the other from what remains, so rounding never loses or invents a cell.
        for index in lengths.indices where weights[index] > 0 {
            let share = (left * weights[index] + weightLeft / 2) / weightLeft
            lengths[index] += share
            left -= share
            weightLeft -= weights[index]
        }
        return lengths
    }
}

extension Rect {
    /// Splits the rectangle into rows stacked from top to bottom.
    public func rows(_ parts: [Length], spacing: Int = 0) -> [Rect] {
        var top = y
        return Layout.divide(height, into: parts, spacing: spacing).map { length in
            defer { top += length + spacing }
            return Rect(x: x, y: min(top, maxY), width: width, height: length)
        }
    }

    /// Splits the rectangle into columns from left to right.
    public func columns(_ parts: [Length], spacing: Int = 0) -> [Rect] {
        var left = x
        return Layout.divide(width, into: parts, spacing: spacing).map { length in
            defer { left += length + spacing }
            return Rect(x: min(left, maxX), y: y, width: length, height: height)
        }
    }
}
