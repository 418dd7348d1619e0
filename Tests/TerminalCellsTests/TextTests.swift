import Foundation
import Testing

@testable import TerminalCells

#if canImport(Glibc)
import Glibc
#endif

@Suite struct TextTests {
    #if canImport(Glibc)
    /// The C library's own table, which curses goes by, as an independent authority.
    @Test func widthsAgreeWithTheCLibrary() throws {
        // Declared only for programs that ask for X/Open, which Swift's module does not.
        typealias Wcwidth = @convention(c) (wchar_t) -> Int32
        let wcwidth = unsafeBitCast(try #require(dlsym(dlopen(nil, RTLD_NOW), "wcwidth")), to: Wcwidth.self)
        let locale = try #require(newlocale(LC_CTYPE_MASK, "C.UTF-8", nil))
        let before = uselocale(locale)
        defer {
            uselocale(before)
            freelocale(locale)
        }
        var different: [UInt32] = []
        for value in UInt32(0x20)...0x2FFFF {
            guard let scalar = Unicode.Scalar(value), (0xE000...0xF8FF).contains(value) == false else { continue }
            let theirs = wcwidth(wchar_t(bitPattern: value))
            // -1: not in their version of Unicode, or a control character.
            if theirs >= 0, Int(theirs) != DisplayWidth.of(scalar) { different.append(value) }
        }
        // Versions of Unicode differ in a few characters; whole blocks would be a mistake in the table.
        #expect(different.count < 150, "\(different.prefix(40).map { String($0, radix: 16) })")
        for value in UInt32(0x20)...0x2FF where !(0x7F..<0xA0).contains(value) {
            #expect(!different.contains(value))
        }
        for value in UInt32(0x2500)...0x259F { #expect(!different.contains(value), "box drawing and blocks") }
        for value in UInt32(0x2800)...0x28FF { #expect(!different.contains(value), "braille") }
    }
    #endif

    @Test(arguments: GlyphTier.allCases) func everyGlyphIsOneColumn(tier: GlyphTier) {
        let g = Glyphs.of(tier)
        let borders = [g.border, g.focusBorder].flatMap {
            [$0.horizontal, $0.vertical, $0.topLeft, $0.topRight, $0.bottomLeft, $0.bottomRight]
        }
        let single = [
            g.saved, g.excess, g.band, g.tick, g.arrowUp, g.arrowDown, g.arrowLeft, g.arrowRight, g.sortAscending,
            g.sortDescending, g.pointer, g.check, g.cross, g.bullet, g.warning, g.ellipsis, g.estimate, g.stale,
            g.absent,
            g.plusMinus, g.times, g.sliderTrack, g.sliderFill, g.sliderKnob, g.sliderDefault, g.scrollTrack,
            g.scrollThumb,
            g.axisHorizontal, g.axisVertical, g.axisCorner, g.axisTickX, g.axisTickY, g.cursorLine,
        ]
        for glyph in borders + single + g.horizontalBar + g.verticalBar + g.shades + g.markers + g.spinner {
            #expect(DisplayWidth.of(glyph) == 1)
            if tier == .ascii { #expect(glyph.asciiValue.map { (0x20...0x7E).contains($0) } == true) }
        }
        #expect(Set(g.markers).count == g.markers.count)
    }

    @Test func formatsReadAsPeopleWriteThem() {
        func bytes(_ n: Double) -> String { NumberFormat.bytes.text(n) }
        #expect(
            [0, 999, 1000, 44_426, 999_499, 999_500, 25_600_000].map(bytes) == [
                "0 B", "999 B", "1.00 KB", "44.4 KB", "999 KB", "1.00 MB", "25.6 MB",
            ])
        #expect(NumberFormat.binaryBytes.text(44_426) == "43.4 KiB")
        // LeNet-300-100, LeNet-5 and ResNet-50 MACs as the literature writes them.
        #expect([266_200, 2_293_000, 4.12e9].map(NumberFormat.count.text) == ["266 K", "2.29 M", "4.12 G"])
        #expect(
            NumberFormat.percent(digits: 2).text(0.98425) == "98.43 %"
                || NumberFormat.percent(digits: 2).text(0.98425) == "98.42 %")
        #expect(NumberFormat.points().text(-0.0031) == "-0.31 pt")
        #expect(NumberFormat.points().text(0.0031) == "+0.31 pt")
        #expect(NumberFormat.points().text(0.000001) == "0.00 pt")
        #expect(
            [0.412, 0.085, 1200, 12.34].map(NumberFormat.milliseconds.text) == [
                "412 µs", "85.0 µs", "1.20 s", "12.3 ms",
            ])
        #expect(NumberFormat.ratio().text(1.518) == "1.52x")
        #expect(NumberFormat.si(unit: "J").text(1.32e-3) == "1.32 mJ")
        #expect(
            [0.1, 1_234_567, 1e-7, -2.5, 0, 1e21].map { NumberFormat.general($0) } == [
                "0.1", "1234567", "1e-7", "-2.5", "0", "1e21",
            ])
        #expect([0.44, 12, 185, 3727].map { NumberFormat.duration($0) } == ["0.4 s", "12 s", "3:05", "1:02:07"])
        #expect(NumberFormat.fixed(-0.0001, digits: 2) == "0.00")
        #expect(NumberFormat.bytes.text(.nan) == "nan")
    }

    @Test func fixedAgreesWithTheCLibrary() {
        var generator = SeededGenerator(state: 4)
        for _ in 0..<2000 {
            let value = Double.random(in: -1000...1000, using: &generator)
            let digits = Int.random(in: 0...6, using: &generator)
            #expect(NumberFormat.fixed(value, digits: digits) == String(format: "%.\(digits)f", value))
        }
    }

    @Test func logarithmsAgreeWithTheCLibrary() {
        var generator = SeededGenerator(state: 5)
        for _ in 0..<2000 {
            let exponent = Double.random(in: -300...300, using: &generator)
            let x = Foundation.pow(10, exponent)
            #expect(abs(ElementaryMath.log10(x) - exponent) < 1e-11)
            #expect(abs(ElementaryMath.pow10(exponent) / x - 1) < 1e-11)
        }
        for power in -20...20 { #expect(ElementaryMath.decade(Double("1e\(power)") ?? 0) == power) }
        #expect(ElementaryMath.decade(999.9999) == 2)
    }

    /// Measured, estimated, stale and absent numbers differ in every tier even without attributes; absent is never zero.
    @Test(arguments: GlyphTier.allCases) func standingsAreToldApart(tier: GlyphTier) {
        let texts = [
            Figure(0, .percent()), Figure(0, .percent(), standing: .estimated), Figure(0, .percent(), isStale: true),
            Figure(0, .percent(), standing: .estimated, isStale: true), Figure(nil, .percent()),
        ].map { $0.text(tier: tier) }
        #expect(Set(texts).count == texts.count)
        #expect(!texts[4].contains("0"))
        #expect(Figure(0.912, .percent(), standing: .estimated, margin: 0.021).text(tier: .block) == "≈91.2 % ±2.1 %")
        #expect(Figure(0.912, .percent(), standing: .estimated, margin: 0.021).text(tier: .ascii) == "~91.2 % +-2.1 %")
        #expect(Figure(.nan, .percent()).text(tier: .block) == "–")
    }

    @Test func wrappingLosesNothingButSpaces() {
        let text = "The quick brown fox jumps over the lazy dog and_a_very_long_word_without_spaces 日本語日本語日本語"
        for width in 2...40 {
            let lines = StyledLine(text).wrapped(to: width)
            #expect(lines.allSatisfy { $0.width <= width })
            #expect(lines.map(\.plain).joined().filter { $0 != " " } == text.filter { $0 != " " })
        }
        #expect(StyledLine("a b\n\nc").wrapped(to: 9).map(\.plain) == ["a b", "", "c"])
        #expect(StyledLine("ab cd").wrapped(to: 2).map(\.plain) == ["ab", "cd"])
    }

    @Test func truncationMarksWhatIsMissing() {
        let line = StyledLine("backbone/conv/weight")
        #expect(line.truncated(to: 8, ellipsis: "…").plain == "backbon…")
        #expect(line.truncated(to: 8, at: .start, ellipsis: "…").plain == "…/weight")
        #expect(line.truncated(to: 9, at: .middle, ellipsis: "…").plain == "back…ight")
        #expect(line.truncated(to: 20, ellipsis: "…") == line)
        for width in 0...21 {
            #expect(StyledLine("日本語abc日本語日本").truncated(to: width, at: .middle, ellipsis: "…").width <= width)
        }
    }

    @Test func fuzzyMatchingPrefersWordStarts() throws {
        func score(_ query: String, _ text: String) -> Int? { FuzzyMatch.match(query, in: text)?.score }
        #expect(score("xyz", "weight pruning") == nil)
        #expect(try #require(score("wp", "weight pruning")) > #require(score("wp", "show preview")))
        #expect(try #require(score("exp", "export model")) > #require(score("exp", "next player")))
        #expect(FuzzyMatch.match("WP", in: "weight pruning")?.positions == [0, 7])
        #expect(FuzzyMatch.match("", in: "anything")?.score == 0)
    }
}
