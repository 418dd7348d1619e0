import Foundation

/// A document that a command prints with `--json`. Keys are sorted; a key that is absent was not measured, which is
/// not zero. The number behind the slash rises when a key changes its meaning or goes; new keys may come at any time.
protocol JSONDocument: Encodable {
    /// For example `lathe.inspect/1`.
    var schema: String { get }
}

extension JSONDocument {
    func printed() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
