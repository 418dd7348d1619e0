/// How a number is written. All forms keep to ASCII but for `µs`, which the ASCII tier writes `us`.
public enum NumberFormat: Hashable, Sendable {
    /// Whole bytes in decimal units, three significant digits: 999 B, 44.4 KB (1 KB = 1000 bytes), 1.07 MB, 25.6 GB.
    case bytes
    /// Whole bytes in binary units: 43.4 KiB (1 KiB = 1024 bytes).
    case binaryBytes
    /// A count with an SI prefix, three significant digits: 999, 266 K, 2.29 M, 4.12 G.
    case count
    /// A quantity with an SI prefix and a unit, given in `scale` of it: 1.32 mJ, 5.2 µJ.
    case si(unit: String, scale: Double = 1)
    /// A fraction 0...1 as percent with fixed digits: 98.42 %.
    case percent(digits: Int = 1)
    /// A difference of fractions in percentage points with its sign: -0.31 pt.
    case points(digits: Int = 2)
    /// A ratio less one in percent with its sign: -74.0 %, +150 %, `same`; more digits where next to nothing is left.
    case relative
    /// A difference with fixed digits, its sign and an optional unit: -2.15 dB.
    case signed(digits: Int, unit: String = "")
    /// A time given in milliseconds, three significant digits, in µs, ms or s as it reads best: 412 µs, 12.3 ms, 1.20 s.
    case milliseconds
    /// A factor: 1.52x.
    case ratio(digits: Int = 2)
    /// A plain number with fixed digits and an optional unit.
    case fixed(digits: Int, unit: String = "")
    /// A plain number of any size with so many significant digits, an optional unit, and its sign where it is a difference.
    case significant(digits: Int, unit: String = "", signed: Bool = false)
    /// A plain number with as few digits as needed, at most six significant ones.
    case general

    /// The text. NaN is `nan`, infinities `inf`.
    public func text(_ value: Double) -> String {
        switch self {
        case .bytes: Self.scaled(value, step: 1000, units: ["B", "KB", "MB", "GB", "TB", "PB"])
        case .binaryBytes: Self.scaled(value, step: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
        case .count: Self.scaled(value, step: 1000, units: ["", "K", "M", "G", "T", "P", "E"])
        case .si(let unit, let scale): Self.si(value * scale, unit: unit)
        case .percent(let digits): Self.fixed(value * 100, digits: digits) + " %"
        case .points(let digits): Self.signed(value * 100, digits: digits) + " pt"
        case .relative: Self.relative(value)
        case .signed(let digits, let unit): Self.signed(value, digits: digits) + (unit.isEmpty ? "" : " " + unit)
        case .milliseconds: Self.si(value / 1000, unit: "s")
        case .ratio(let digits): Self.fixed(value, digits: digits) + "x"
        case .fixed(let digits, let unit): Self.fixed(value, digits: digits) + (unit.isEmpty ? "" : " " + unit)
        case .significant(let digits, let unit, let signed):
            (signed && value > 0 ? "+" : "") + Self.significant(value, digits: digits) + (unit.isEmpty ? "" : " " + unit)
        case .general: Self.general(value)
        }
    }

    /// The text with more significant digits than the three of quantities with a prefix, or than the format has.
    public func text(_ value: Double, significant digits: Int) -> String {
        switch self {
        case .bytes: Self.scaled(value, step: 1000, units: ["B", "KB", "MB", "GB", "TB", "PB"], significant: digits)
        case .binaryBytes: Self.scaled(value, step: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], significant: digits)
        case .count: Self.scaled(value, step: 1000, units: ["", "K", "M", "G", "T", "P", "E"], significant: digits)
        case .si(let unit, let scale): Self.si(value * scale, unit: unit, significant: digits)
        case .milliseconds: Self.si(value / 1000, unit: "s", significant: digits)
        case .significant(_, let unit, let signed): NumberFormat.significant(digits: digits, unit: unit, signed: signed).text(value)
        default: text(value)
        }
    }

    /// Decimal digits after the point, rounded half away from zero; never "-0".
    public static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite else { return nonFinite(value) }
        let places = min(15, max(0, digits))
        let scaled = (abs(value) * ElementaryMath.pow10(places)).rounded()
        guard scaled < 9e15 else { return "\(value)" }
        var text = String(Int(scaled))
        if places > 0 {
            if text.count <= places { text = String(repeating: "0", count: places + 1 - text.count) + text }
            text.insert(".", at: text.index(text.endIndex, offsetBy: -places))
        }
        return (value < 0 && scaled > 0 ? "-" : "") + text
    }

    /// As `fixed`, with "+" before positive numbers.
    public static func signed(_ value: Double, digits: Int) -> String {
        let text = fixed(value, digits: digits)
        return value > 0 && text.contains { "123456789".contains($0) } ? "+" + text : text
    }

    private static func relative(_ value: Double) -> String {
        guard value.isFinite else { return nonFinite(value) }
        let percent = value * 100
        if abs(percent) < 0.05 { return "same" }
        // 98 % and 99.9 % less differ twentyfold; 150 % and 150.3 % more do not matter.
        let digits = percent <= -99 ? 2 : abs(percent) < 99.95 ? 1 : 0
        return signed(percent, digits: digits) + " %"
    }

    /// So many significant digits with their zeros, as long as that is no row of zeros.
    private static func significant(_ value: Double, digits: Int) -> String {
        guard value.isFinite, value != 0 else { return general(value) }
        let decade = ElementaryMath.decade(value)
        return decade < -4 || decade >= 7 ? general(value, significant: digits) : fixed(value, digits: max(0, digits - 1 - decade))
    }

    /// At most `digits` significant digits, trailing zeros dropped, exponents below 1e-4 and from 1e7 on.
    public static func general(_ value: Double, significant digits: Int = 6) -> String {
        guard value.isFinite else { return nonFinite(value) }
        guard value != 0 else { return "0" }
        let decade = ElementaryMath.decade(value)
        if decade < -4 || decade >= 7 {
            var mantissa = fixed(value / ElementaryMath.pow10(decade), digits: digits - 1)
            var exponent = decade
            if mantissa.hasPrefix("10") || mantissa.hasPrefix("-10") {
                mantissa = value < 0 ? "-1" : "1"
                exponent += 1
            }
            return trimmed(mantissa) + "e\(exponent)"
        }
        return trimmed(fixed(value, digits: max(0, digits - 1 - decade)))
    }

    private static func trimmed(_ text: String) -> String {
        guard text.contains(".") else { return text }
        var text = text
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return text
    }

    private static func nonFinite(_ value: Double) -> String { value.isNaN ? "nan" : (value > 0 ? "inf" : "-inf") }

    /// Three significant digits with the largest unit that keeps the number at 1 or more; whole numbers below one step
    /// stay whole.
    private static func scaled(_ value: Double, step: Double, units: [String], significant: Int = 3) -> String {
        guard value.isFinite else { return nonFinite(value) }
        var number = abs(value)
        var unit = 0
        // 999.5 would be rounded to 1000: it belongs to the next unit.
        while number >= step - 0.5, unit < units.count - 1 {
            number /= step
            unit += 1
        }
        let isWhole = unit == 0 && number == number.rounded()
        let text = isWhole ? fixed(number, digits: 0) : digits(number, significant)
        let sign = value < 0 && number > 0 ? "-" : ""
        return sign + text + (units[unit].isEmpty ? "" : " " + units[unit])
    }

    private static func si(_ value: Double, unit: String, significant: Int = 3) -> String {
        guard value.isFinite else { return nonFinite(value) }
        guard value != 0 else { return "0 " + unit }
        let prefixes = ["p", "n", "µ", "m", "", "K", "M", "G", "T", "P"]
        var number = abs(value) * 1e12
        var index = 0
        while number >= 999.5, index < prefixes.count - 1 {
            number /= 1000
            index += 1
        }
        return (value < 0 ? "-" : "") + digits(number, significant) + " " + prefixes[index] + unit
    }

    private static func digits(_ number: Double, _ significant: Int) -> String {
        let decimals = significant - (number < 9.995 ? 1 : number < 99.95 ? 2 : 3)
        return fixed(number, digits: max(0, decimals))
    }
}

extension NumberFormat {
    /// A duration in seconds for people: 0.4 s, 12 s, 3:05, 1:02:07.
    public static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0 else { return "-" }
        if seconds < 9.95 { return fixed(seconds, digits: 1) + " s" }
        let whole = Int(min(seconds, 3.6e8).rounded())
        if whole < 60 { return "\(whole) s" }
        func two(_ n: Int) -> String { n < 10 ? "0\(n)" : "\(n)" }
        if whole < 3600 { return "\(whole / 60):\(two(whole % 60))" }
        return "\(whole / 3600):\(two(whole / 60 % 60)):\(two(whole % 60))"
    }
}
