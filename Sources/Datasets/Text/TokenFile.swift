import EngineSupport
import Foundation

/// Lines of JSON, each an object of token ids and what is right for them.
struct TokenFile: Sendable {
    /// Of one key in one line.
    enum Value: Decodable, Sendable {
        case integer(Int)
        case number(Double)
        case text(String)
        case integers([Int])
        case numbers([Double])
        /// Nested lists, objects, null.
        case other

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Int.self) {
                self = .integer(value)
            } else if let value = try? container.decode(Double.self) {
                self = .number(value)
            } else if let value = try? container.decode(String.self) {
                self = .text(value)
            } else if let value = try? container.decode(Bool.self) {
                self = .integer(value ? 1 : 0)
            } else if let value = try? container.decode([Int].self) {
                self = .integers(value)
            } else if let value = try? container.decode([Double].self) {
                self = .numbers(value)
            } else {
                self = .other
            }
        }
    }

    let path: String
    /// By key.
    let rows: [[String: Value]]
    /// Line of each row, from 1.
    let lines: [Int]

    /// - Throws: `EngineError` in one line naming the line.
    init(path: String) throws {
        self.path = path
        let bytes = try InputFile.read(path, limit: DataLimits.tokenFileBytes)
        let decoder = JSONDecoder()
        var rows: [[String: Value]] = []
        var lines: [Int] = []
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { $0 > 0x20 }) else { continue }
            do {
                rows.append(try decoder.decode([String: Value].self, from: Data(line)))
            } catch {
                throw EngineError(.data, "\(path):\(index + 1): not a JSON object on one line, expected {\"input_ids\": [1, 2, …], \"labels\": …}")
            }
            lines.append(index + 1)
        }
        guard !rows.isEmpty else { throw EngineError(.data, "\(path): no lines") }
        self.rows = rows
        self.lines = lines
    }

    func has(_ key: String) -> Bool { rows.contains { $0[key] != nil } }

    func fail(_ row: Int, _ message: String) -> EngineError { EngineError(.data, "\(path):\(lines[row]): \(message)") }
}
