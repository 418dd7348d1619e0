import CNcurses
import TerminalCells

/// Puts cells on a curses window: colors to pairs, attributes to attributes.
struct CellPainter {
    private struct Colors: Hashable {
        var foreground: Int32
        var background: Int32
    }
    private let palette: Palette
    private let pairLimit: Int
    /// Pairs are allocated when first used; a terminal has at least 64, the palette needs a few dozen.
    private var pairs: [Colors: Int32] = [:]
    private var resolved: [Style: (attributes: attr_t, pair: Int32)] = [:]

    init(palette: Palette) {
        self.palette = palette
        pairLimit = palette.tier == .mono ? 1 : Int(lathe_color_pairs())
    }

    /// Draws the run; what lies outside the window is left out.
    mutating func paint(_ run: CellRun, on window: UnsafeMutablePointer<WINDOW>?, columns: Int, rows: Int) {
        guard run.y < rows, wmove(window, Int32(run.y), Int32(run.x)) == OK else { return }
        var x = run.x
        for cell in run.cells {
            defer { x += 1 }
            guard cell.width > 0 else { continue }
            guard x + Int(cell.width) <= columns else { return }
            let (attributes, pair) = look(of: cell.style)
            // The lower right corner answers ERR after drawing, because the cursor cannot go on.
            if let scalar = cell.character.singleScalar {
                _ = lathe_add_scalar(window, wchar_t(bitPattern: scalar.value), attributes, pair)
            } else {
                let scalars = cell.character.unicodeScalars.map { wchar_t(bitPattern: $0.value) } + [0]
                _ = lathe_add_cell(window, scalars, attributes, pair)
            }
        }
    }

    private mutating func look(of style: Style) -> (attributes: attr_t, pair: Int32) {
        if let known = resolved[style] { return known }
        let colors = palette.resolve(style)
        var attributes: attr_t = 0
        if colors.attributes.contains(.bold) { attributes |= lathe_attr_bold() }
        if colors.attributes.contains(.dim) { attributes |= lathe_attr_dim() }
        if colors.attributes.contains(.reverse) { attributes |= lathe_attr_reverse() }
        if colors.attributes.contains(.underline) { attributes |= lathe_attr_underline() }
        if colors.attributes.contains(.italic) { attributes |= lathe_attr_italic() }
        let pair = pair(
            for: Colors(foreground: Self.index(colors.foreground), background: Self.index(colors.background)))
        resolved[style] = (attributes, pair)
        return (attributes, pair)
    }

    private mutating func pair(for colors: Colors) -> Int32 {
        if colors.foreground < 0, colors.background < 0 { return 0 }
        if let known = pairs[colors] { return known }
        let next = Int32(pairs.count + 1)
        // Out of pairs: the terminal's own colors are always readable.
        guard Int(next) < pairLimit, init_extended_pair(next, colors.foreground, colors.background) == OK else {
            return 0
        }
        pairs[colors] = next
        return next
    }

    private static func index(_ color: TerminalColor) -> Int32 {
        switch color {
        case .standard: -1
        case .indexed(let index): Int32(index)
        case .rgb(let value): Int32(value)
        }
    }
}

extension Character {
    fileprivate var singleScalar: Unicode.Scalar? {
        let scalars = unicodeScalars
        guard let first = scalars.first, scalars.index(after: scalars.startIndex) == scalars.endIndex else {
            return nil
        }
        return first
    }
}
