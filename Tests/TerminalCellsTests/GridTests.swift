import Testing

@testable import TerminalCells

/// A small deterministic generator (splitmix64), so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct GridTests {
    static func random(_ size: Size, _ generator: inout SeededGenerator) -> CellGrid {
        var grid = CellGrid(size: size)
        let pieces = ["a", "日", "한", "e\u{301}", "🙂", "xyz", "─", "\u{7}", "本語", " "]
        let styles: [Style] = [.standard, .bold, .selected, .bad, Style(.ramp(9), .dim)]
        for _ in 0..<Int.random(in: 0...60, using: &generator) {
            let point = Point(
                x: Int.random(in: -3...size.width + 3, using: &generator),
                y: Int.random(in: -2...size.height + 2, using: &generator))
            let clip = Rect(
                x: Int.random(in: -2...8, using: &generator), y: Int.random(in: -2...4, using: &generator),
                width: Int.random(in: 0...20, using: &generator), height: Int.random(in: 0...8, using: &generator))
            let style = styles.randomElement(using: &generator) ?? .standard
            let text = pieces.randomElement(using: &generator) ?? ""
            switch Int.random(in: 0...3, using: &generator) {
            case 0: grid.withClip(clip) { $0.put(text, at: point, style: style) }
            case 1: grid.highlight(clip, style)
            case 2: grid.fill(clip, with: text.first ?? " ", style: style)
            default: grid.put(text, at: point, style: style)
            }
        }
        return grid
    }

    @Test func differenceAppliedToOldGivesNew() {
        var generator = SeededGenerator(state: 1)
        for _ in 0..<500 {
            let size = Size(
                width: Int.random(in: 1...24, using: &generator), height: Int.random(in: 1...8, using: &generator))
            let old = Self.random(size, &generator)
            let new = Self.random(size, &generator)
            let runs = new.changes(from: old)
            #expect(old.applying(runs) == new)
            // Painting a run never starts or ends in the middle of a character.
            for run in runs {
                #expect(run.cells.first?.width != 0)
                #expect(run.cells.last?.width != 2)
            }
            // Everything, when there is nothing to compare with.
            #expect(CellGrid(size: size).applying(new.changes(from: nil)) == new)
            #expect(new.changes(from: new).isEmpty)
        }
    }

    @Test func randomDrawingKeepsWideCharactersWhole() {
        var generator = SeededGenerator(state: 2)
        for _ in 0..<500 {
            let grid = Self.random(Size(width: 17, height: 5), &generator)
            for y in 0..<5 {
                for x in 0..<17 {
                    if grid[x, y].width == 2 { #expect(grid[x + 1, y].width == 0 && x < 16) }
                    if grid[x, y].width == 0 { #expect(x > 0 && grid[x - 1, y].width == 2) }
                    if grid[x, y].width == 0 { #expect(grid[x, y].style == grid[x - 1, y].style) }
                }
            }
        }
    }

    @Test func overwritingHalfOfAWideCharacterBlanksTheOther() {
        var grid = CellGrid(width: 6, height: 1)
        grid.put("日本語", at: Point(x: 0, y: 0))
        #expect(grid.text == "日本語")
        grid.put("x", at: Point(x: 1, y: 0))
        #expect(grid.text(row: 0) == " x本語")
        grid.put("y", at: Point(x: 4, y: 0))
        #expect(grid.text(row: 0) == " x本y ")
    }

    @Test func wideCharacterAtTheEdgeIsNotDrawnByHalves() {
        var grid = CellGrid(width: 3, height: 1)
        let columns = grid.put("日本", at: Point(x: 0, y: 0))
        #expect(columns == 4)
        #expect(grid.text(row: 0) == "日 ")
        grid.put("本", at: Point(x: -1, y: 0))
        #expect(grid.text(row: 0).hasPrefix(" "))
    }

    /// An ONNX file may name a layer anything.
    @Test func hostileTextIsHarmless() {
        var grid = CellGrid(width: 20, height: 1)
        grid.put("a\u{1B}[2J\u{9B}b\u{202E}c\r\nd\u{200B}\0", at: Point(x: 0, y: 0))
        #expect(grid.text == "a?[2J?b?c?d??")
        var family = CellGrid(width: 4, height: 1)
        family.put("👨‍👩‍👧!", at: Point(x: 0, y: 0))
        #expect(family.text == "👨!")
        #expect(family[2, 0].character == "!")
    }

    @Test func layoutSharesEveryCell() {
        #expect(Layout.divide(10, into: [.fixed(3), .fill, .fixed(2)]) == [3, 5, 2])
        #expect(Layout.divide(10, into: [.fill, .fill, .fill]).reduce(0, +) == 10)
        #expect(Layout.divide(100, into: [.percentage(40), .fill]) == [40, 60])
        #expect(Layout.divide(20, into: [.minimum(8, weight: 0), .minimum(4, weight: 1)], spacing: 1) == [8, 11])
        // Too little room: the later parts lose.
        #expect(Layout.divide(5, into: [.fixed(3), .fixed(4), .fill]) == [3, 2, 0])
        var generator = SeededGenerator(state: 3)
        for _ in 0..<300 {
            let parts = (0..<Int.random(in: 1...6, using: &generator)).map { _ -> Length in
                switch Int.random(in: 0...3, using: &generator) {
                case 0: .fixed(Int.random(in: 0...30, using: &generator))
                case 1: .percentage(Int.random(in: 0...100, using: &generator))
                case 2:
                    .minimum(Int.random(in: 0...9, using: &generator), weight: Int.random(in: 0...2, using: &generator))
                default: .fill(weight: Int.random(in: 1...3, using: &generator))
                }
            }
            let total = Int.random(in: 0...90, using: &generator)
            let lengths = Layout.divide(total, into: parts)
            #expect(lengths.allSatisfy { $0 >= 0 } && lengths.reduce(0, +) <= total)
            if parts.contains(where: { if case .fill = $0 { true } else { false } }) {
                #expect(lengths.reduce(0, +) == total)
            }
        }
    }
}
