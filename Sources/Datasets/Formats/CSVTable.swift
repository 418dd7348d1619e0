import EngineSupport
import Foundation
import SwiftCSV

/// A CSV file with a header line: one column of labels (numbers or class names), every other column a feature.
struct CSVTable: Sendable {
    let path: String
    /// Float32, rows × features.
    let features: RawArray
    let featureNames: [String]
    /// Text of the label column per row, if there is one.
    let labelTexts: [String]?

    /// Names a label column may have when none is declared, compared without case.
    static let labelNames = ["label", "labels", "class", "target"]

    /// - Parameters:
    ///   - label: the label column; `nil` looks for one of `labelNames` and does without if there is none.
    /// - Throws: `EngineError` in one line naming the line and the column.
    init(path: String, label: String?) throws {
        self.path = path
        let bytes = try InputFile.read(path, limit: DataLimits.fileBytes)
        guard String(validating: bytes, as: UTF8.self) != nil else { throw EngineError(.data, "\(path): not UTF-8 text") }
        var collector = Collector(path: path, label: label)
        if bytes.contains(UInt8(ascii: "\"")) {
            try Self.parseQuoted(bytes, path, &collector)
        } else {
            try Self.parsePlain(bytes, &collector)
        }
        let rows = collector.featureNames.isEmpty ? 0 : collector.values.count / collector.featureNames.count
        guard !collector.featureNames.isEmpty else { throw EngineError(.data, "\(path): no feature columns") }
        guard rows > 0 else { throw EngineError(.data, "\(path): no rows below the header") }
        let memory = try SampleMemory(byteCount: collector.values.count * 4, what: path)
        collector.values.withUnsafeBytes { memory.mutableBytes.copyMemory(from: $0) }
        features = RawArray(type: .float32, shape: [rows, collector.featureNames.count], memory: memory)
        featureNames = collector.featureNames
        labelTexts = collector.labelColumn == nil ? nil : collector.labels
    }

    /// Quoting needs a real parser.
    private static func parseQuoted(_ bytes: [UInt8], _ path: String, _ collector: inout Collector) throws {
        let delimiter: CSVDelimiter = [UInt8(ascii: ";"): .semicolon, UInt8(ascii: "\t"): .tab][delimiter(bytes)] ?? .comma
        var result = collector
        var problem: (any Error)?
        do {
            // No rows yet: they are streamed below instead of being kept as text.
            let csv = try EnumeratedCSV(string: String(decoding: bytes, as: UTF8.self), delimiter: delimiter, loadColumns: false, rowLimit: 0)
            try result.add(csv.header)
            try csv.enumerateAsArray(startAt: 1, rowLimit: nil) { fields in
                guard problem == nil else { return }
                do { try result.add(fields) } catch { problem = error }
            }
        } catch CSVParseError.quotation(let message) {
            throw EngineError(.data, "\(path), row \(result.row + 1): quotation: \(message)")
        } catch let error as EngineError {
            throw error
        } catch {
            throw EngineError(.data, "\(path), row \(result.row + 1): not CSV")
        }
        if let problem { throw problem }
        collector = result
    }

    /// Without a single quotation mark every delimiter delimits. Tables of pixels are like this, and large.
    private static func parsePlain(_ bytes: [UInt8], _ collector: inout Collector) throws {
        let delimiter = delimiter(bytes)
        let (newline, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))
        let lineEnd = bytes.contains(newline) ? newline : carriageReturn
        var rest = bytes[...]
        if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
        while !rest.isEmpty {
            let end = rest.firstIndex(of: lineEnd) ?? rest.endIndex
            var line = rest[..<end]
            rest = rest[min(end + 1, rest.endIndex)...]
            if line.last == carriageReturn { line.removeLast() }
            try collector.add(line.split(separator: delimiter, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) })
        }
    }

    /// Makes numbers of rows as they come.
    private struct Collector {
        let path: String
        let label: String?
        var featureNames: [String] = []
        var values: [Float] = []
        var labels: [String] = []
        var labelColumn: Int?
        var row = 0
        private var header: [String]?

        init(path: String, label: String?) {
            self.path = path
            self.label = label
        }

        mutating func add(_ fields: [String]) throws {
            row += 1
            guard let header else { return try begin(fields.map(CSVTable.trimmed)) }
            if fields.count == 1, CSVTable.trimmed(fields[0]).isEmpty { return }
            guard fields.count == header.count else {
                throw EngineError(.data, "\(path), row \(row): \(fields.count) fields, the header has \(header.count)")
            }
            for (column, field) in fields.enumerated() {
                let text = CSVTable.trimmed(field)
                if column == labelColumn {
                    labels.append(text)
                } else if let value = Float(text) {
                    values.append(value)
                } else {
                    throw EngineError(.data, "\(path), row \(row), column '\(header[column])': '\(text.prefix(40))' is not a number")
                }
            }
        }

        private mutating func begin(_ header: [String]) throws {
            self.header = header
            if let label {
                guard let column = header.firstIndex(of: label) else {
                    throw EngineError(.data, "\(path): no column '\(label)', found \(CSVTable.listed(header))")
                }
                labelColumn = column
            } else {
                labelColumn = header.firstIndex { CSVTable.labelNames.contains($0.lowercased()) }
            }
            let column = labelColumn
            featureNames = header == [""] ? [] : header.enumerated().filter { $0.offset != column }.map(\.element)
        }
    }

    /// Without spaces at either end; most fields have none.
    fileprivate static func trimmed(_ text: String) -> String {
        guard let first = text.utf8.first, let last = text.utf8.last, first <= 0x20 || last <= 0x20 else { return text }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Comma, semicolon or tab, whichever the header line has most of.
    private static func delimiter(_ bytes: [UInt8]) -> UInt8 {
        let header = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        var best = (delimiter: UInt8(ascii: ","), count: 0)
        for delimiter in [UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "\t")] {
            let count = header.count { $0 == delimiter }
            if count > best.count { best = (delimiter, count) }
        }
        return best.delimiter
    }

    fileprivate static func listed(_ names: [String]) -> String {
        names.count <= 8 ? names.joined(separator: ", ") : names.prefix(8).joined(separator: ", ") + ", … (\(names.count))"
    }
}
