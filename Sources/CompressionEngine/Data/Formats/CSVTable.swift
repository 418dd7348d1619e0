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
        let csv: EnumeratedCSV
        do {
            // No rows yet: they are streamed below instead of being kept as text.
            csv = try EnumeratedCSV(string: String(decoding: bytes, as: UTF8.self), delimiter: Self.delimiter(bytes), loadColumns: false, rowLimit: 0)
        } catch {
            throw EngineError(.data, "\(path): \(Self.reason(error))")
        }
        let header = csv.header.map { $0.trimmingCharacters(in: .whitespaces) }
        let labelColumn: Int?
        if let label {
            guard let column = header.firstIndex(of: label) else {
                throw EngineError(.data, "\(path): no column '\(label)', found \(Self.listed(header))")
            }
            labelColumn = column
        } else {
            labelColumn = header.firstIndex { Self.labelNames.contains($0.lowercased()) }
        }
        guard header.count > (labelColumn == nil ? 0 : 1) else { throw EngineError(.data, "\(path): no feature columns") }
        let names = header.enumerated().filter { $0.offset != labelColumn }.map(\.element)

        var values: [Float] = []
        var labels: [String] = []
        var problem: EngineError?
        var line = 1
        do {
            try csv.enumerateAsArray(startAt: 1, rowLimit: nil) { fields in
                line += 1
                guard problem == nil, fields != [""] else { return }
                guard fields.count == header.count else {
                    problem = EngineError(.data, "\(path), row \(line): \(fields.count) fields, the header has \(header.count)")
                    return
                }
                for (column, field) in fields.enumerated() {
                    if column == labelColumn {
                        labels.append(field.trimmingCharacters(in: .whitespaces))
                    } else if let value = Float(field.trimmingCharacters(in: .whitespaces)) {
                        values.append(value)
                    } else {
                        problem = EngineError(.data, "\(path), row \(line), column '\(header[column])': '\(field.prefix(40))' is not a number")
                        return
                    }
                }
            }
        } catch {
            throw EngineError(.data, "\(path), row \(line + 1): \(Self.reason(error))")
        }
        if let problem { throw problem }
        let rows = values.count / names.count
        guard rows > 0 else { throw EngineError(.data, "\(path): no rows below the header") }
        let memory = try SampleMemory(byteCount: values.count * 4, what: path)
        values.withUnsafeBytes { memory.mutableBytes.copyMemory(from: $0) }
        features = RawArray(type: .float32, shape: [rows, names.count], memory: memory)
        featureNames = names
        labelTexts = labelColumn == nil ? nil : labels
    }

    /// Comma, semicolon or tab, whichever the header line has most of.
    private static func delimiter(_ bytes: [UInt8]) -> CSVDelimiter {
        let header = bytes.prefix { $0 != UInt8(ascii: "\n") }
        let candidates: [(CSVDelimiter, UInt8)] = [(.comma, UInt8(ascii: ",")), (.semicolon, UInt8(ascii: ";")), (.tab, UInt8(ascii: "\t"))]
        var best = (delimiter: CSVDelimiter.comma, count: 0)
        for (delimiter, byte) in candidates {
            let count = header.count { $0 == byte }
            if count > best.count { best = (delimiter, count) }
        }
        return best.delimiter
    }

    private static func reason(_ error: any Error) -> String {
        if case CSVParseError.quotation(let message) = error { return "quotation: \(message)" }
        return "not CSV"
    }

    private static func listed(_ names: [String]) -> String {
        names.count <= 8 ? names.joined(separator: ", ") : names.prefix(8).joined(separator: ", ") + ", … (\(names.count))"
    }
}
