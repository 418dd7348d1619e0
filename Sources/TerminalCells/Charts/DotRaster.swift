/// A rectangle of cells drawn on with points smaller than a cell: 2x4 per cell in braille, 2x2 quadrants in the block tier,
/// 1x2 in ASCII (`'` above, `.` below, `:` both).
struct DotRaster {
    /// A place in points, from the top left.
    typealias Dot = (x: Double, y: Double)

    let columns: Int
    let rows: Int
    /// Points per cell.
    let dotsX: Int
    let dotsY: Int
    private let tier: GlyphTier
    /// Drawn in every cell that has points, instead of their pattern.
    private let mark: Character?
    private var bits: [UInt8]
    private var styles: [Style]

    init(columns: Int, rows: Int, tier: GlyphTier, mark: Character? = nil) {
        self.mark = mark
        self.columns = max(0, columns)
        self.rows = max(0, rows)
        self.tier = tier
        (dotsX, dotsY) =
            switch tier {
            case .ascii: (1, 2)
            case .block: (2, 2)
            case .braille: (2, 4)
            }
        bits = Array(repeating: 0, count: self.columns * self.rows)
        styles = Array(repeating: .standard, count: self.columns * self.rows)
    }

    var width: Int { columns * dotsX }
    var height: Int { rows * dotsY }

    /// Sets the point `x` from the left and `y` from the top; outside is ignored.
    mutating func set(_ x: Int, _ y: Int, style: Style) {
        guard x >= 0, x < width, y >= 0, y < height else { return }
        let cell = y / dotsY * columns + x / dotsX
        bits[cell] |= 1 << UInt8(y % dotsY * dotsX + x % dotsX)
        styles[cell] = style
    }

    /// A straight line; every `dash.on` points of `dash.on + dash.off` are drawn. `phase` carries the dash along a polyline.
    mutating func line(
        from a: Dot, to b: Dot, style: Style,
        dash: (on: Int, off: Int) = (1, 0), phase: inout Int
    ) {
        // Far-away ends would cost time without a dot to show for it.
        guard let (a, b) = clipped(a, b) else { return }
        let steps = max(1, Int(max(abs(b.x - a.x), abs(b.y - a.y)).rounded(.up)))
        for step in 0...steps {
            let t = Double(step) / Double(steps)
            if phase % (dash.on + dash.off) < dash.on {
                set(Int((a.x + (b.x - a.x) * t).rounded()), Int((a.y + (b.y - a.y) * t).rounded()), style: style)
            }
            phase += 1
        }
    }

    /// Liang-Barsky clipping to the raster with one point of margin.
    private func clipped(_ a: Dot, _ b: Dot) -> (Dot, Dot)? {
        guard a.x.isFinite, a.y.isFinite, b.x.isFinite, b.y.isFinite else { return nil }
        let (dx, dy) = (b.x - a.x, b.y - a.y)
        var (start, end) = (0.0, 1.0)
        for (p, q) in [
            (-dx, a.x + 1), (dx, Double(width) - a.x), (-dy, a.y + 1), (dy, Double(height) - a.y),
        ] {
            if p == 0 {
                if q < 0 { return nil }
            } else if p < 0 {
                start = max(start, q / p)
            } else {
                end = min(end, q / p)
            }
        }
        guard start <= end else { return nil }
        return ((a.x + dx * start, a.y + dy * start), (a.x + dx * end, a.y + dy * end))
    }

    /// Draws the cells that have points; the others stay as they are.
    func draw(at origin: Point, on grid: inout CellGrid) {
        for row in 0..<rows {
            for column in 0..<columns where bits[row * columns + column] != 0 {
                let index = row * columns + column
                grid.put(
                    mark ?? glyph(bits[index]), at: Point(x: origin.x + column, y: origin.y + row), style: styles[index]
                )
            }
        }
    }

    private func glyph(_ bits: UInt8) -> Character {
        switch tier {
        case .ascii: return [" ", "'", ".", ":"][Int(bits & 3)]
        case .block: return Self.quadrants[Int(bits & 15)]
        case .braille:
            // Braille numbers its dots down the left column (1 2 3 7), then down the right one (4 5 6 8).
            var pattern: UInt32 = 0
            for (bit, dot) in [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80].enumerated()
            where bits & (1 << UInt8(bit)) != 0 {
                pattern |= UInt32(dot)
            }
            return Character(Unicode.Scalar(0x2800 + pattern) ?? " ")
        }
    }

    /// Bit 0 upper left, 1 upper right, 2 lower left, 3 lower right.
    private static let quadrants: [Character] = [
        " ", "▘", "▝", "▀", "▖", "▌", "▞", "▛", "▗", "▚", "▐", "▜", "▄", "▙", "▟", "█",
    ]
}
