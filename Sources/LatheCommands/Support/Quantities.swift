import ArgumentParser
import CompressionEngine
import Explorer
import Foundation
import Measurement

import enum TerminalCells.NumberFormat

/// A number of bytes on the command line: `60000`, `60KB` (1 KB = 1000 bytes), `1.5MiB` (1 MiB = 1024² bytes).
struct ByteQuantity: ExpressibleByArgument {
    var bytes: Double

    init?(argument: String) {
        guard let value = TypedBytes.value(argument) else { return nil }
        bytes = value
    }
}

/// A percentage on the command line: `92.5` or `92.5%`. `fraction` is 0.925.
struct PercentQuantity: ExpressibleByArgument {
    var fraction: Double

    init?(argument: String) {
        let text = argument.hasSuffix("%") ? String(argument.dropLast()) : argument
        guard let value = Double(text), value.isFinite else { return nil }
        fraction = value / 100
    }
}

/// A whole number of at least 1.
struct PositiveCount: ExpressibleByArgument, CustomStringConvertible {
    var value: Int

    init(_ value: Int) { self.value = value }

    init?(argument: String) {
        guard let value = Int(argument), value >= 1 else { return nil }
        self.value = value
    }

    var description: String { String(value) }
    var defaultValueDescription: String { description }
}

/// Counts, with commas between: `1,2,4`.
struct PositiveCounts: ExpressibleByArgument, CustomStringConvertible {
    /// Not empty.
    var values: [Int]

    init(_ value: Int) { values = [value] }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { PositiveCount(argument: String($0))?.value }
        guard !parts.isEmpty, !parts.contains(nil) else { return nil }
        values = parts.compactMap(\.self)
    }

    var description: String { values.map(String.init).joined(separator: ",") }
    var defaultValueDescription: String { description }
}

/// The shape of an input: `image=1x3x224x224`.
struct InputShape: ExpressibleByArgument {
    var name: String
    var extents: [Int]

    init?(argument: String) {
        guard let equals = argument.lastIndex(of: "=") else { return nil }
        let words = argument[argument.index(after: equals)...].split(separator: "x", omittingEmptySubsequences: false)
        let extents = words.compactMap { Int($0) }
        guard !extents.isEmpty, extents.count == words.count, extents.allSatisfy({ $0 > 0 && $0 < 1 << 28 }) else { return nil }
        name = String(argument[..<equals])
        self.extents = extents
    }
}

/// Numbers as the commands write them.
enum Written {
    static func bytes(_ value: Double?) -> String { value.map { NumberFormat.bytes.text($0) } ?? "–" }
    static func percent(_ value: Double?, digits: Int = 2) -> String { value.map { NumberFormat.percent(digits: digits).text($0) } ?? "–" }

    /// A measure's value, and the change of one, as it is written everywhere.
    static func value(_ value: Double?, _ measure: Measure) -> String {
        value.map { (measure.kind == .modeled ? "≈" : "") + measure.numberFormat.text($0) } ?? "–"
    }
    static func change(_ value: Double?, _ measure: Measure) -> String { value.map { measure.changeFormat.numberFormat.text($0) } ?? "–" }

    /// A probability of a test with its relation: "= 0.031", "< 0.0001".
    static func pValue(_ p: Double) -> String { p < 1e-4 ? "< 0.0001" : "= \(p.formatted(digits: 2))" }

    /// A count with thousands separated.
    static func exact(_ value: Int) -> String { MeasureFormat.grouped(value) }
}

extension Double {
    /// As an integer for a document; `nil` where it is none.
    var whole: Int? { isFinite && abs(self) < 9e18 ? Int(rounded()) : nil }
}
