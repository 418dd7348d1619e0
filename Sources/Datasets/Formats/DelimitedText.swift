import EngineSupport
import Foundation
import SwiftCSV

/// Rows of fields in text, parted by commas, semicolons or tabs.
enum DelimitedText {
    /// Hands over every row, the first included, in order.
    /// - Parameters:
    ///   - delimiter: `nil`: comma, semicolon or tab, whichever the first line has most of.
    ///   - quotesTabbed: whether quotation marks quote between tabs too. Lists of transcripts have them as they are.
    /// - Throws: `EngineError` naming the row, or what `body` throws.
    static func forEachRow(_ bytes: [UInt8], path: String, delimiter: UInt8? = nil, quotesTabbed: Bool = true, _ body: ([String]) throws -> Void) throws {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw EngineError(.data, "\(path): not UTF-8 text") }
        let delimiter = delimiter ?? Self.delimiter(bytes)
        guard bytes.contains(UInt8(ascii: "\"")), quotesTabbed || delimiter != UInt8(ascii: "\t") else { return try plain(bytes, delimiter, body) }
        try withoutActuallyEscaping(body) { try quoted(bytes, delimiter, path, $0) }
    }

    /// Quoting needs a real parser.
    private static func quoted(_ bytes: [UInt8], _ delimiter: UInt8, _ path: String, _ body: @escaping ([String]) throws -> Void) throws {
        let delimiter: CSVDelimiter = [UInt8(ascii: ";"): .semicolon, UInt8(ascii: "\t"): .tab][delimiter] ?? .comma
        var problem: (any Error)?
        var row = 0
        do {
            // No rows yet: they are streamed below instead of being kept as text.
            let csv = try EnumeratedCSV(string: String(decoding: bytes, as: UTF8.self), delimiter: delimiter, loadColumns: false, rowLimit: 0)
            row = 1
            try body(csv.header)
            try csv.enumerateAsArray(startAt: 1, rowLimit: nil) { fields in
                guard problem == nil else { return }
                row += 1
                do { try body(fields) } catch { problem = error }
            }
        } catch CSVParseError.quotation(let message) {
            throw EngineError(.data, "\(path), row \(row + 1): quotation: \(message)")
        } catch let error as EngineError {
            throw error
        } catch {
            throw EngineError(.data, "\(path), row \(row + 1): not CSV")
        }
        if let problem { throw problem }
    }

    /// Without a single quotation mark every delimiter delimits. Tables of pixels are like this, and large.
    private static func plain(_ bytes: [UInt8], _ delimiter: UInt8, _ body: ([String]) throws -> Void) throws {
        let (newline, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))
        let lineEnd = bytes.contains(newline) ? newline : carriageReturn
        var rest = bytes[...]
        if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
        while !rest.isEmpty {
            let end = rest.firstIndex(of: lineEnd) ?? rest.endIndex
            var line = rest[..<end]
            rest = rest[min(end + 1, rest.endIndex)...]
            if line.last == carriageReturn { line.removeLast() }
            try body(line.split(separator: delimiter, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) })
        }
    }

    /// Comma, semicolon or tab, whichever the first line has most of.
    static func delimiter(_ bytes: [UInt8]) -> UInt8 {
        let header = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        var best = (delimiter: UInt8(ascii: ","), count: 0)
        for delimiter in [UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "\t")] {
            let count = header.count { $0 == delimiter }
            if count > best.count { best = (delimiter, count) }
        }
        return best.delimiter
    }

    /// Without spaces at either end; most fields have none.
    static func trimmed(_ text: String) -> String {
        guard let first = text.utf8.first, let last = text.utf8.last, first <= 0x20 || last <= 0x20 else { return text }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    static func listed(_ names: [String]) -> String {
        names.count <= 8 ? names.joined(separator: ", ") : names.prefix(8).joined(separator: ", ") + ", … (\(names.count))"
    }
}
