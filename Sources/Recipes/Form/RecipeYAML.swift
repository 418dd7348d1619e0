import EngineSupport
import Foundation
import Yams

// A form as YAML. Schema and examples: Docs/RecipeFormat.md.

extension Recipe {
    /// Reads a recipe file.
    /// - Throws: `EngineError` of one line that names the file, the line and what was expected.
    /// - Parameter path: of a file, or `preset:NAME` for one of `RecipePreset.all`.
    public static func read(path: String) throws(EngineError) -> Recipe {
        if let preset = try RecipePreset.named(in: path) { return try preset.recipe() }
        guard let data = FileManager.default.contents(atPath: path) else { throw EngineError(.recipe, "\(path): cannot be read") }
        return try parse(String(decoding: data, as: UTF8.self), file: path)
    }

    /// - Parameter file: what to call the text in errors.
    public static func parse(_ text: String, file: String) throws(EngineError) -> Recipe {
        let form = try RecipeForm(yaml: text, file: file)
        if case .fields(let fields) = form.value, !fields.contains(where: { $0.key == "lathe" }) {
            // A misspelt key says more than a missing one.
            _ = try Recipe(form: form)
            throw form.fail("expected 'lathe: \(formatVersion)', the format version")
        }
        return try Recipe(form: form)
    }

    /// The recipe as YAML. The same recipe always gives the same text.
    public var yaml: String { "# Made by lathe; replay with: lathe apply MODEL --recipe FILE --output OUT.onnx\n" + form.yaml }
}

extension RecipeForm {
    /// Lists of layers, and names: written in quotes, as they may hold anything.
    private static let quotedKeys: Set<String> = ["name", "include", "exclude"]

    fileprivate var yaml: String {
        guard case .fields(let fields) = value else { return "" }
        return fields.flatMap { Self.block($0.key, $0.value, indent: "") }.joined(separator: "\n") + "\n"
    }

    /// A key with its value, in lines of their own.
    private static func block(_ key: String, _ form: RecipeForm, indent: String) -> [String] {
        let deeper = indent + "  "
        switch form.value {
        case .fields(let fields) where !fields.isEmpty:
            return ["\(indent)\(key):"] + fields.flatMap { block($0.key, $0.value, indent: deeper) }
        case .list(let elements) where !elements.isEmpty:
            return ["\(indent)\(key):"]
                + elements.flatMap { element -> [String] in
                    // A pattern for layers stays on its line.
                    guard case .fields(let fields) = element.value, !quotedKeys.contains(key) else { return ["\(deeper)- \(flow(element, in: key))"] }
                    var lines = fields.flatMap { block($0.key, $0.value, indent: deeper + "  ") }
                    if let first = lines.first { lines[0] = "\(deeper)- " + first.dropFirst(deeper.count + 2) }
                    return lines
                }
        default: return ["\(indent)\(key): \(flow(form, in: key))"]
        }
    }

    /// A value within a line.
    private static func flow(_ form: RecipeForm, in key: String) -> String {
        switch form.value {
        case .text(let text): quotedKeys.contains(key) || !isPlain(text) ? quoted(text) : text
        case .number(let number): String(number)
        case .flag(let flag): flag ? "true" : "false"
        case .list(let elements): "[" + elements.map { flow($0, in: key) }.joined(separator: ", ") + "]"
        case .fields(let fields): "{" + fields.map { "\($0.key): \(flow($0.value, in: $0.key))" }.joined(separator: ", ") + "}"
        }
    }

    /// Ids, words, numbers and hashes.
    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty && text != "-" && text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0 & 0xDF) || [45, 46, 95].contains($0) }
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            // Line breaks to YAML, and a byte order mark: never as they are.
            case "\u{85}", "\u{2028}", "\u{2029}", "\u{FEFF}": out += "\\u" + String(format: "%04x", scalar.value)
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F { out += "\\x" + String(format: "%02x", scalar.value) } else { out.unicodeScalars.append(scalar) }
            }
        }
        return out + "\""
    }

    // MARK: Reading

    /// Parts of a text at most: aliases can make a small file a huge tree.
    private static let maximumParts = 1_000_000

    init(yaml text: String, file: String) throws(EngineError) {
        let node: Yams.Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            let line = "\(error)".split(whereSeparator: \.isNewline).prefix(2).joined(separator: " ")
            throw EngineError(.recipe, "\(file): not valid YAML: \(line)")
        }
        guard let node else { throw EngineError(.recipe, "\(file): empty, expected a recipe") }
        var parts = 0
        self = try Self.form(node, file, &parts)
    }

    private static func form(_ node: Yams.Node, _ file: String, _ parts: inout Int) throws(EngineError) -> RecipeForm {
        func place(_ node: Yams.Node) -> String { node.mark.map { "\(file):\($0.line)" } ?? file }
        parts += 1
        guard parts <= maximumParts else { throw EngineError(.recipe, "\(file): more than \(maximumParts) values, expected a recipe") }
        switch node {
        case .scalar(let scalar): return RecipeForm(.text(scalar.string), place: place(node))
        case .sequence(let sequence):
            var elements: [RecipeForm] = []
            for element in sequence { elements.append(try form(element, file, &parts)) }
            return RecipeForm(.list(elements), place: place(node))
        case .mapping(let mapping):
            var fields: [Field] = []
            for (key, value) in mapping { fields.append(Field(key.string ?? "", try form(value, file, &parts), place: place(key))) }
            return RecipeForm(.fields(fields), place: place(node))
        default: throw EngineError(.recipe, "\(place(node)): an alias to nowhere")
        }
    }
}
