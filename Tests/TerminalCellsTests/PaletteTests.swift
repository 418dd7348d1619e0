import Foundation
import Testing

@testable import TerminalCells

@Suite struct PaletteTests {
    static let roles: [Role] =
        [.muted, .accent, .good, .warning, .bad, .estimate, .stale, .modified]
        + (0..<8).map { Role.series($0) } + (0...255).map { Role.ramp($0) }

    /// Relative luminance as WCAG 2.1 defines it.
    static func luminance(_ rgb: UInt32) -> Double {
        func channel(_ shift: UInt32) -> Double {
            let value = Double(rgb >> shift & 255) / 255
            return value <= 0.03928 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    /// The terminal's background is kept, so every color must be seen on white and on black: 3:1 (WCAG 2.1, 1.4.11).
    @Test func everyColorIsSeenOnLightAndDark() throws {
        for role in Self.roles {
            let rgb = try #require(Palette.rgb(of: role))
            let indexed = try #require(Palette.rgb(ofIndexed: Palette.nearestIndexed(rgb)))
            for color in [rgb, indexed] {
                let l = Self.luminance(color)
                #expect(1.05 / (l + 0.05) >= 3, "\(role) #\(String(color, radix: 16)) on white")
                #expect((l + 0.05) / 0.05 >= 3, "\(role) #\(String(color, radix: 16)) on black")
            }
        }
    }

    /// As seen with protanopia and deuteranopia (Viénot, Brettel and Mollon 1999), the pairs that carry opposite meanings stay apart.
    @Test func oppositesStayApartForColorBlindEyes() throws {
        func linear(_ rgb: UInt32) -> [Double] {
            [16, 8, 0].map { pow(Double(rgb >> UInt32($0) & 255) / 255, 2.2) }
        }
        func seen(_ rgb: UInt32, _ matrix: [[Double]]) -> [Double] {
            let v = linear(rgb)
            return matrix.map { row in pow(max(0, zip(row, v).map(*).reduce(0, +)), 1 / 2.2) }
        }
        let protanope = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]
        let deuteranope = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
        let pairs: [(Role, Role)] = [(.good, .bad), (.accent, .bad), (.series(0), .series(1)), (.ramp(0), .ramp(255))]
        for (a, b) in pairs {
            for matrix in [protanope, deuteranope] {
                let x = seen(try #require(Palette.rgb(of: a)), matrix)
                let y = seen(try #require(Palette.rgb(of: b)), matrix)
                let distance = zip(x, y).map { ($0 - $1) * ($0 - $1) }.reduce(0, +).squareRoot()
                #expect(distance > 0.25, "\(a) and \(b): \(distance)")
            }
        }
    }

    @Test func nearestIndexedIsTheNearest() {
        var generator = SeededGenerator(state: 6)
        func distance(_ a: UInt32, _ b: UInt32) -> Int {
            [16, 8, 0].map { (shift: UInt32) in Int(a >> shift & 255) - Int(b >> shift & 255) }.map { $0 * $0 }.reduce(
                0, +)
        }
        for _ in 0..<2000 {
            let rgb = UInt32.random(in: 0...0xFFFFFF, using: &generator)
            let best = (UInt8(16)...255).map { distance(Palette.rgb(ofIndexed: $0)!, rgb) }.min()
            #expect(distance(Palette.rgb(ofIndexed: Palette.nearestIndexed(rgb))!, rgb) == best)
        }
    }

    @Test func monoKeepsBoldAndReverseAndDropsColor() {
        let palette = Palette(tier: .mono)
        for role in Self.roles {
            let resolved = palette.resolve(Style(role, on: role, [.bold, .reverse]))
            #expect(resolved.foreground == .standard && resolved.background == .standard)
            #expect(resolved.attributes.isSuperset(of: [.bold, .reverse]))
        }
    }
}
