import EngineSupport
import Yams

/// Reads YAML strictly: every complaint names the file, the line and what was expected.
struct YAMLFields {
    let file: String

    /// - Throws: `EngineError` if the text is not one YAML document.
    func document(_ text: String, expected: String) throws -> Node {
        let node: Node?
        do {
            node = try compose(yaml: text)
        } catch let error as YamlError {
            throw EngineError(.data, Self.describe(error, file: file))
        } catch {
            throw EngineError(.data, "\(file): not valid YAML")
        }
        guard let node else { throw EngineError(.data, "\(file): empty, expected \(expected)") }
        return node
    }

    func fail(_ node: Node?, _ message: String) -> EngineError {
        EngineError(.data, "\(file):\(node?.mark.map { "\($0.line):" } ?? "") \(message)")
    }

    /// The fields of a mapping by key.
    func mapping(_ node: Node, _ what: String, allowed: [String], required: [String] = []) throws -> [String: Node] {
        guard let mapping = node.mapping else { throw fail(node, "\(what): expected 'key: value' lines") }
        var fields: [String: Node] = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string, allowed.contains(name) else {
                throw fail(key, "unknown key '\(key.scalar?.string ?? "?")' in \(what), expected \(allowed.joined(separator: ", "))")
            }
            fields[name] = value
        }
        for name in required where fields[name] == nil { throw fail(node, "\(what) needs '\(name)'") }
        return fields
    }

    func string(_ node: Node, _ what: String) throws -> String {
        guard let text = node.scalar?.string, !text.isEmpty else { throw fail(node, "\(what): expected text") }
        return text
    }

    func choice<T: CaseIterable & RawRepresentable>(_ node: Node, _ what: String, _: T.Type) throws -> T where T.RawValue == String {
        let text = try string(node, what)
        guard let value = T(rawValue: text) else {
            throw fail(node, "\(what): expected one of \(T.allCases.map(\.rawValue).joined(separator: ", ")), found '\(text)'")
        }
        return value
    }

    func number(_ node: Node, _ what: String) throws -> Double {
        guard let value = node.float, value.isFinite else { throw fail(node, "\(what): expected a number, found '\(found(node))'") }
        return value
    }

    func integer(_ node: Node, _ what: String, in range: ClosedRange<Int>) throws -> Int {
        guard let value = node.int, range.contains(value) else {
            throw fail(node, "\(what): expected a whole number from \(range.lowerBound) to \(range.upperBound), found '\(found(node))'")
        }
        return value
    }

    func boolean(_ node: Node, _ what: String) throws -> Bool {
        guard let value = node.bool else { throw fail(node, "\(what): expected true or false, found '\(found(node))'") }
        return value
    }

    func list<T>(_ node: Node, _ what: String, count: ClosedRange<Int> = 1...65536, _ element: (Node) throws -> T) throws -> [T] {
        guard let sequence = node.sequence, count.contains(sequence.count) else {
            let length = count.lowerBound == count.upperBound ? " of \(count.lowerBound)" : ""
            throw fail(node, "\(what): expected a list\(length) in brackets, found '\(found(node))'")
        }
        return try sequence.map(element)
    }

    private func found(_ node: Node) -> String {
        if let text = node.scalar?.string { return String(text.prefix(40)) }
        if let sequence = node.sequence { return "a list of \(sequence.count)" }
        return "a mapping"
    }

    private static func describe(_ error: YamlError, file: String) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            "\(file):\(mark.line): not valid YAML: \(problem)"
        case .duplicatedKeysInMapping(let duplicates, let context):
            "\(file):\(context.mark.line): '\(duplicates.first ?? "")' is given twice"
        default: "\(file): not valid YAML"
        }
    }
}
