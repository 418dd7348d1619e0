import Foundation
import TerminalCells
import Testing

@testable import Explorer

/// States of the explorer that are looked at in every size and tier.
enum Scene: String, CaseIterable {
    case opening, empty, partial, stale, layers, pareto, history, jobs, export, help, palette, noRuntime

    func driver(_ size: Size, _ theme: Theme) -> Driver {
        switch self {
        case .opening: return Driver(size: size, theme: theme, opens: false)
        case .empty: return Driver(size: size, theme: theme)
        case .partial, .stale:
            let engine = FakeEngine(answersAtOnce: false)
            let driver = Driver(engine, size: size, theme: theme)
            driver.press("space tab")
            if let (recipe, generation) = engine.state.withLock({ $0.evaluations.last }) {
                for event in engine.answers(recipe, generation).prefix(3) { engine.send(event) }
            }
            driver.settle()
            if self == .stale { driver.press("l") }
            driver.wait()
            return driver
        case .noRuntime:
            let driver = Driver(FakeEngine(hasData: false, hasRuntime: false), size: size, theme: theme)
            driver.press("space")
            driver.wait()
            return driver
        case .layers, .pareto, .history, .jobs, .export, .help, .palette:
            let driver = Driver(size: size, theme: theme)
            driver.press("space tab l l T u u l")
            let keys: [Scene: String] = [.layers: "2", .pareto: "3", .history: "4", .jobs: "5", .export: "6", .help: "?", .palette: ":"]
            driver.press(keys[self] ?? "")
            driver.wait()
            return driver
        }
    }
}

@Suite struct ScreenTests {
    static let sizes = [Size(width: 59, height: 17), Size(width: 80, height: 24), Size(width: 120, height: 40), Size(width: 200, height: 60)]

    @Test(arguments: Scene.allCases) func invariantsHoldEverywhere(scene: Scene) {
        for size in Self.sizes + [Size(width: 60, height: 18), Size(width: 60, height: 50), Size(width: 1, height: 1)] {
            for glyphs in GlyphTier.allCases {
                for colors in [ColorTier.mono, .sixteen, .indexed] {
                    let theme = Theme(glyphTier: glyphs, colorTier: colors)
                    let grid = ExplorerView.frame(scene.driver(size, theme).model).grid
                    #expect(grid.size == size)
                    if glyphs == .ascii { #expect(grid.text.unicodeScalars.allSatisfy { $0 == "\n" || (0x20...0x7E).contains($0.value) }, "\(scene) \(size)") }
                    if glyphs == .block { #expect(!grid.text.unicodeScalars.contains { (0x2801...0x28FF).contains($0.value) }, "\(scene) \(size)") }
                }
            }
        }
    }

    @Test func belowTheMinimumItSaysWhatItNeeds() {
        let screen = Scene.empty.driver(Size(width: 59, height: 17), Theme(glyphTier: .block)).screen
        #expect(screen.contains("need 60×18, have 59×17"))
        #expect(!Scene.empty.driver(Size(width: 60, height: 18), Theme(glyphTier: .block)).screen.contains("need"))
    }

    @Test func keyNumbersAreWholeAt80x24() {
        let driver = Driver()
        driver.press("space tab ) l T")
        driver.wait()
        for title in ["Accuracy", "ONNX file", "Archive", "MACs", "Latency"] {
            let line = driver.screen.split(separator: "\n").first { $0.contains(title) && $0.contains(" ") }
            #expect(line != nil, "\(title) is in view")
        }
        // Each as the fake engine has it, not cut.
        #expect(driver.screen.contains("90.58 %"))
        #expect(driver.screen.contains("2.29 M"))
        #expect(driver.screen.contains("287 µs"))
    }

    @Test func selectionIsVisibleInMono() {
        for scene in [Scene.empty, .layers, .pareto, .history, .export] {
            let driver = scene.driver(Size(width: 80, height: 24), Theme(glyphTier: .ascii, colorTier: .mono))
            if scene == .pareto { driver.press("tab") }
            let grid = ExplorerView.frame(driver.model).grid
            var reversed = 0
            // The tab of the view is reversed, too: look below it.
            for y in 2..<22 { for x in 0..<80 where grid[x, y].style.attributes.contains(.reverse) { reversed += 1 } }
            #expect(reversed > 0, "\(scene)")
        }
    }

    @Test func numbersOfDifferentStandingLookDifferent() {
        let size = Size(width: 120, height: 40)
        let theme = Theme(glyphTier: .ascii, colorTier: .mono)
        #expect(Scene.partial.driver(size, theme).screen.contains("~90.4"))
        let stale = Scene.stale.driver(size, theme).screen
        #expect(stale.contains("from the previous recipe"))
        #expect(stale.contains("%*"))
        #expect(Scene.empty.driver(size, theme).screen.contains("^"), "energy is modeled")
    }

    @Test func withoutRuntimeItSaysWhyAndSizesStillFollow() {
        let driver = Scene.noRuntime.driver(Size(width: 120, height: 40), Theme(glyphTier: .block))
        #expect(driver.screen.contains("no accuracy"))
        #expect(driver.screen.contains("make setup"))
        #expect(driver.model.figuresNow != nil)
        #expect(driver.model.accuracyNow == nil)
    }

    /// To be read: the text of every scene in sizes and glyphs that differ most, and how the views look with their styles.
    @Test(arguments: Scene.allCases) func snapshots(scene: Scene) throws {
        for (size, glyphs) in [(Self.sizes[1], GlyphTier.block), (Self.sizes[1], .ascii), (Self.sizes[2], .braille), (Self.sizes[3], .block)] {
            try Snapshot.check(scene.driver(size, Theme(glyphTier: glyphs)).screen, "\(scene.rawValue)-\(size)-\(glyphs.rawValue)")
        }
        for colors in [ColorTier.mono, .sixteen, .indexed] {
            let theme = Theme(glyphTier: .block, colorTier: colors)
            let grid = ExplorerView.frame(scene.driver(Self.sizes[1], theme).model).grid
            try Snapshot.check(Snapshot.styles(grid, theme.palette), "Styles/\(scene.rawValue)-80x24-\(colors.rawValue)")
        }
    }

    /// Every size, glyph tier and color tier: digests of text and styles, so that a change anywhere is noticed. Which cells
    /// changed is seen by recording and looking at the program.
    @Test(arguments: Scene.allCases) func digests(scene: Scene) throws {
        var lines: [String] = []
        for size in Self.sizes {
            for glyphs in GlyphTier.allCases {
                for colors in [ColorTier.mono, .sixteen, .indexed] {
                    let theme = Theme(glyphTier: glyphs, colorTier: colors)
                    let grid = ExplorerView.frame(scene.driver(size, theme).model).grid
                    lines.append("\(size) \(glyphs.rawValue) \(colors.rawValue): \(Snapshot.digest(grid.text + "\n" + Snapshot.styles(grid, theme.palette)))")
                }
            }
        }
        try Snapshot.check(lines.joined(separator: "\n"), "Digests/\(scene.rawValue)")
    }
}

/// Screens as text files beside the tests. `LATHE_RECORD=1` writes them anew: read the difference before committing it.
enum Snapshot {
    static let isRecording = ProcessInfo.processInfo.environment["LATHE_RECORD"] != nil

    static func check(_ text: String, _ name: String, file: String = #filePath) throws {
        let folder = URL(fileURLWithPath: file).deletingLastPathComponent().appendingPathComponent("Snapshots")
        let url = folder.appendingPathComponent(name + ".txt")
        if isRecording {
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try (text + "\n").write(to: url, atomically: true, encoding: .utf8)
            return
        }
        let recorded = try String(contentsOf: url, encoding: .utf8)
        #expect(text + "\n" == recorded, "\(name) has changed")
    }

    /// A letter per cell for how it is drawn, `.` for plain; what the letters mean stands below.
    static func styles(_ grid: CellGrid, _ palette: Palette) -> String {
        var letters: [String: Character] = ["": "."]
        var names: [(Character, String)] = []
        var lines: [String] = []
        for y in 0..<grid.size.height {
            var line = ""
            for x in 0..<grid.size.width {
                let style = description(palette.resolve(grid[x, y].style))
                if letters[style] == nil {
                    let letter = Character(Unicode.Scalar(UInt8(ascii: "a") + UInt8(min(25, names.count))))
                    letters[style] = letter
                    names.append((letter, style))
                }
                line.append(letters[style] ?? "?")
            }
            lines.append(line)
        }
        return (lines + names.map { "\($0): \($1)" }).joined(separator: "\n")
    }

    private static func description(_ style: ResolvedStyle) -> String {
        func color(_ color: TerminalColor) -> String {
            switch color {
            case .standard: ""
            case .indexed(let index): "\(index)"
            case .rgb(let value): "#" + String(value, radix: 16)
            }
        }
        var words: [String] = []
        if style.foreground != .standard { words.append("color " + color(style.foreground)) }
        if style.background != .standard { words.append("on " + color(style.background)) }
        for (attribute, name) in [(Attributes.bold, "bold"), (.dim, "dim"), (.reverse, "reverse"), (.underline, "underline"), (.italic, "italic")]
        where style.attributes.contains(attribute) { words.append(name) }
        return words.joined(separator: " ")
    }

    /// FNV-1a, 64 bits: Swift's own hashes differ from run to run.
    static func digest(_ text: String) -> String {
        let hash = text.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        return String(hash, radix: 16)
    }
}
