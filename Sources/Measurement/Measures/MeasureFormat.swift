import Foundation

/// How numbers are written, apart from any screen: front ends turn it into their own forms. `exact` gives every digit.
public enum MeasureFormat: Hashable, Sendable {
    /// Whole bytes.
    case bytes
    case count
    /// A quantity that is `scale` times `unit`: picojoules are `.si(unit: "J", scale: 1e-12)`.
    case si(unit: String, scale: Double)
    /// A proportion 0…1 in percent.
    case percent(digits: Int)
    /// A difference of proportions in percentage points, with its sign.
    case points(digits: Int)
    /// A ratio less one, in percent with its sign.
    case relative
    /// A plain number with fixed digits; with its sign where it is a difference. No unit: empty.
    case fixed(digits: Int, unit: String, signed: Bool = false)
    /// A plain number that may be of any size, with so many digits that mean something; with its sign where it is a difference.
    case significant(digits: Int, unit: String, signed: Bool = false)

    public static let milliseconds = MeasureFormat.si(unit: "s", scale: 1e-3)

    /// The number with every digit that means something.
    public func exact(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "not a number" : value > 0 ? "infinite" : "minus infinite" }
        return switch self {
        case .bytes: Self.grouped(value) + " bytes"
        case .count: Self.grouped(value)
        case .si(let unit, let scale): Self.prefixed(value * scale, unit: unit)
        case .percent(let digits): String(format: "%.\(digits + 1)f %%", value * 100)
        case .points(let digits): String(format: "%+.\(digits + 1)f pt", value * 100)
        case .relative: String(format: "%+.2f %%", value * 100)
        case .fixed(let digits, let unit, let signed): String(format: "\(signed ? "%+" : "%").\(digits + 1)f", value) + (unit.isEmpty ? "" : " " + unit)
        case .significant(let digits, let unit, let signed): Self.significant(value, digits: digits + 1, signed: signed) + (unit.isEmpty ? "" : " " + unit)
        }
    }

    /// The number with the digits that tables have.
    package func short(_ value: Double) -> String {
        switch self {
        case .percent(let digits): String(format: "%.\(digits)f %%", value * 100)
        case .points(let digits): String(format: "%+.\(digits)f pt", value * 100)
        case .relative: String(format: "%+.1f %%", value * 100)
        case .fixed(let digits, let unit, let signed): String(format: "\(signed ? "%+" : "%").\(digits)f", value) + (unit.isEmpty ? "" : " " + unit)
        case .significant(let digits, let unit, let signed): Self.significant(value, digits: digits, signed: signed) + (unit.isEmpty ? "" : " " + unit)
        case .bytes, .count, .si: exact(value)
        }
    }

    /// The number that a person types for a value: `92.5` for 0.925 where values are written in percent.
    package var typedScale: Double {
        switch self {
        case .percent, .points, .relative: 100
        case .bytes, .count, .si, .fixed, .significant: 1
        }
    }

    /// `351.49`, `0.0011783`, `1222294`, and with an exponent where that would be all zeros.
    private static func significant(_ value: Double, digits: Int, signed: Bool) -> String {
        let sign = signed ? "%+" : "%"
        guard value.isFinite, value != 0 else { return String(format: "\(sign).0f", value) }
        let decade = Int(log10(abs(value)).rounded(.down))
        guard decade >= -4, decade < 7 else { return String(format: "\(sign).\(digits - 1)e", value) }
        return String(format: "\(sign).\(max(0, digits - 1 - decade))f", value)
    }

    /// Whole numbers with their digits in groups of three: `1,724,336`.
    public static func grouped(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 9e15 else { return "\(value)" }
        return grouped(Int(value.rounded()))
    }

    public static func grouped(_ value: Int) -> String {
        let digits = String(value.magnitude)
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
            result.append(digit)
        }
        return (value < 0 ? "-" : "") + result
    }

    private static let prefixes: [(name: String, factor: Double)] = [
        ("p", 1e-12), ("n", 1e-9), ("µ", 1e-6), ("m", 1e-3), ("", 1), ("K", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12),
    ]

    /// Five significant digits with the largest prefix that keeps the number at 1 or more.
    private static func prefixed(_ value: Double, unit: String) -> String {
        guard value != 0 else { return "0 \(unit)" }
        let prefix = prefixes.last { abs(value) >= $0.factor } ?? prefixes[0]
        return String(format: "%.5g", value / prefix.factor) + " \(prefix.name)\(unit)"
    }
}
