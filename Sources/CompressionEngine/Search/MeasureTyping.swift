import Foundation
import Measurement

// Numbers as people type them, in limits and goals.
extension Measure {
    /// A value as it is typed: in the unit that it is written in, which may be left out.
    /// - Returns: the value in the measure's own unit; `nil` if the text is none.
    package func typed(_ text: String) -> Double? {
        switch format {
        case .bytes: return TypedBytes.value(text)
        case .count:
            let factors: [Character: Double] = ["K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12]
            if let last = text.uppercased().last, let factor = factors[last] { return Self.finite(text.dropLast()).map { $0 * factor } }
            return Self.finite(text)
        case .si(let unit, let scale):
            for (prefix, factor) in [("p", 1e-12), ("n", 1e-9), ("u", 1e-6), ("µ", 1e-6), ("m", 1e-3), ("", 1)] where text.hasSuffix(prefix + unit) {
                if let number = Self.finite(text.dropLast(prefix.count + unit.count)) { return number * factor / scale }
            }
            return Self.finite(text)
        case .percent, .points, .relative: return Self.finite(text.hasSuffix("%") ? text.dropLast() : text[...]).map { $0 / 100 }
        case .fixed(_, let unit, _), .significant(_, let unit, _):
            let hasUnit = !unit.isEmpty && text.lowercased().hasSuffix(unit.lowercased())
            return Self.finite(hasUnit ? text.dropLast(unit.count) : text[...])
        }
    }

    /// A difference of two values as it is typed: percentage points may say so.
    package func typedDifference(_ text: String) -> Double? {
        typed(text) ?? (comparison == .points && text.hasSuffix("pt") ? typed(String(text.dropLast(2))) : nil)
    }

    private static func finite(_ text: some StringProtocol) -> Double? { Double(text).flatMap { $0.isFinite ? $0 : nil } }

    /// What `typed` expects, in words.
    package var typedForm: String {
        switch format {
        case .bytes: "bytes such as 60000, 60KB or 58KiB"
        case .count: "a count such as 2000000 or 2M"
        case .si: "a number in \(self.unit), or with its unit"
        case .percent, .points, .relative: "percent"
        case .fixed(_, let unit, _), .significant(_, let unit, _):
            !unit.isEmpty
                ? "a number in \(unit)"
                : !range.lowerBound.isFinite || !range.upperBound.isFinite
                    ? "a number" : String(format: "a number from %.3g to %.3g", range.lowerBound, range.upperBound)
        }
    }

    package var typedDifferenceForm: String { comparison == .points ? "percentage points" : typedForm }
}

/// A number of bytes: `60000`, `60KB` (1 KB = 1000 bytes), `1.5MiB` (1 MiB = 1024² bytes).
package enum TypedBytes {
    package static func value(_ text: String) -> Double? {
        let text = text.filter { $0 != " " && $0 != "_" }
        let number = text.prefix { $0.isNumber || $0 == "." }
        let units = ["": 1.0, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 1024, "MIB": 1_048_576, "GIB": 1_073_741_824]
        guard let value = Double(number), let unit = units[text.dropFirst(number.count).uppercased()], value.isFinite else { return nil }
        return value * unit
    }
}
