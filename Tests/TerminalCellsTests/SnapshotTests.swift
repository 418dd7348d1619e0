import Foundation
import Testing

@testable import TerminalCells

/// Screens as text, compared with files in Snapshots/. Set LATHE_RECORD_SNAPSHOTS=1 to write them anew, and read the difference
/// before committing it.
@Suite struct SnapshotTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Snapshots")
    static let isRecording = ProcessInfo.processInfo.environment["LATHE_RECORD_SNAPSHOTS"] != nil

    private func compare(_ text: String, _ name: String) throws {
        let file = Self.folder.appendingPathComponent(name + ".txt")
        if Self.isRecording { try Data((text + "\n").utf8).write(to: file) }
        let expected = try String(contentsOf: file, encoding: .utf8)
        #expect(text + "\n" == expected, "\(name) differs from its snapshot")
    }

    @Test(arguments: Scene.allCases, GlyphTier.allCases)
    func text(scene: Scene, tier: GlyphTier) throws {
        for size in Scene.sizes {
            let grid = scene.draw(size, Theme(glyphTier: tier, colorTier: .mono))
            try compare(grid.text, "\(scene)-\(size)-\(tier)")
        }
    }

    /// Every cell's look as a letter, with what the letters mean.
    @Test(arguments: Scene.allCases, ColorTier.allCases)
    func styles(scene: Scene, tier: ColorTier) throws {
        let theme = Theme(glyphTier: .block, colorTier: tier)
        let grid = scene.draw(Size(width: 80, height: 24), theme)
        var letters: [ResolvedStyle: Character] = [:]
        var legend: [String] = []
        let alphabet = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
        let lines = (0..<grid.size.height).map { y in
            String(
                (0..<grid.size.width).map { x -> Character in
                    let style = theme.palette.resolve(grid[x, y].style)
                    if style == theme.palette.resolve(.standard) { return "." }
                    if let known = letters[style] { return known }
                    let letter = alphabet[letters.count]
                    letters[style] = letter
                    legend.append("\(letter) \(style.words)")
                    return letter
                })
        }
        try compare((lines + [""] + legend).joined(separator: "\n"), "\(scene)-styles-\(tier.rawValue)")
    }
}

extension ResolvedStyle {
    var words: String {
        func name(_ color: TerminalColor) -> String {
            switch color {
            case .standard: "default"
            case .indexed(let index): "\(index)"
            case .rgb(let value): "#" + String(value, radix: 16)
            }
        }
        let names: [(Attributes, String)] = [
            (.bold, "bold"), (.dim, "dim"), (.reverse, "reverse"), (.underline, "underline"), (.italic, "italic"),
        ]
        let words = names.filter { attributes.contains($0.0) }.map(\.1)
        return (["\(name(foreground)) on \(name(background))"] + words).joined(separator: " ")
    }
}
