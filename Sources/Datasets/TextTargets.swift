import EngineSupport
import Metrics

/// What texts as labels may be taken for.
struct LabelRules: Sendable {
    /// Whether what is measured compares numbers, so that 3 is a quantity and no class.
    var wantsNumbers = false
    /// Whether what is measured compares texts, so that "42" is two characters and no class.
    var wantsText = false
    /// Names of the classes in their order, if declared.
    var classes: [String] = []
}

/// Labels that are written out, one text per sample: class names, numbers, or the texts themselves.
enum TextTargets {
    /// The form that the texts suggest: all whole numbers, all numbers, all declared class names, else text.
    static func targets(_ texts: [String], rules: LabelRules, place: String) throws -> Targets {
        if !rules.wantsText {
            if !rules.classes.isEmpty, let labels = names(texts, rules.classes) { return Targets(labels: labels, areNames: true) }
            let numbers = texts.map { Int($0) }
            if !rules.wantsNumbers, !numbers.contains(nil) { return Targets(labels: numbers.compactMap { $0 }) }
            let floats = texts.map { Float($0) }
            if !floats.contains(nil) { return Targets(numbers: floats.compactMap { $0 }, width: 1) }
            if rules.wantsNumbers, let row = floats.firstIndex(where: { $0 == nil }) {
                throw EngineError(.data, "\(place): row \(row): '\(texts[row].prefix(40))' is not a number")
            }
        }
        return Targets(texts: texts)
    }

    /// The texts of an array of text.
    /// - Throws: `EngineError` if there is not one per row, or bytes are not UTF-8.
    static func texts(_ array: RawArray, place: String) throws -> [String] {
        guard array.shape.count >= 2, array.shape.dropFirst().dropLast().allSatisfy({ $0 == 1 }) else {
            throw EngineError(.data, "\(place): texts of shape \(array.shape.dropLast().shapeText), expected one per row")
        }
        return try (0..<array.rowCount).map { row in
            let bytes = array.row(row)
            if array.type == .uint8 {
                guard let text = String(validating: bytes.prefix((bytes.lastIndex { $0 != 0 } ?? -1) + 1), as: UTF8.self) else {
                    throw EngineError(.data, "\(place): row \(row): bytes that are not UTF-8 text")
                }
                return text
            }
            let codes = bytes.bindMemory(to: UInt32.self)
            var text = String.UnicodeScalarView()
            for code in codes.prefix((codes.lastIndex { $0 != 0 } ?? -1) + 1) {
                guard let scalar = Unicode.Scalar(code) else { throw EngineError(.data, "\(place): row \(row): \(code) is no Unicode character") }
                text.append(scalar)
            }
            return String(text)
        }
    }

    /// The lines of a text file; the end of the last one may be missing.
    static func lines(path: String) throws -> [String] {
        let bytes = try InputFile.read(path)
        guard let text = String(validating: bytes, as: UTF8.self) else { throw EngineError(.data, "\(path): not UTF-8 text") }
        // By bytes: to Swift "\r\n" is one character.
        var lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
            String(Substring(line.last == UInt8(ascii: "\r") ? line.dropLast() : line))
        }
        if lines.last == "" { lines.removeLast() }
        if let first = lines.first, first.hasPrefix("\u{FEFF}") { lines[0] = String(first.dropFirst()) }
        return lines
    }

    /// The place of each text among declared classes; `nil` where one is missing.
    static func names(_ texts: [String], _ classes: [String]) -> [Int]? {
        let index = Dictionary(classes.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let labels = texts.map { index[$0] }
        return labels.contains(nil) ? nil : labels.compactMap { $0 }
    }
}

extension ArraySlice where Element == Int {
    var shapeText: String { Array(self).shapeText }
}

extension Targets {
    init(texts: [String]) {
        self.init(
            kind: .text, shape: nil, read: { .text(texts[$0]) },
            mix: { rows, digest in for row in rows { digest.combine(texts[row]) } })
    }

    /// - Parameters:
    ///   - numbers: rows one after the other.
    ///   - width: numbers of a row; of one number the shape is empty.
    init(numbers: [Float], width: Int) {
        let shape = width == 1 ? [] : [width]
        self.init(
            kind: .numbers, shape: shape, read: { .numbers(Array(numbers[$0 * width..<($0 + 1) * width]), shape: shape) },
            mix: { rows, digest in for row in rows { numbers[row * width..<(row + 1) * width].withUnsafeBytes { digest.combine(bytes: $0) } } })
    }
}
