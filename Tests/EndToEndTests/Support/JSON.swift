import Foundation
import Testing

/// A JSON document, read by key path.
struct JSON: @unchecked Sendable {
    // Sendable: made by JSONSerialization, immutable and never shared for writing.
    private let value: Any

    init(parsing text: String) throws { value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed) }

    private init(_ value: Any) { self.value = value }

    /// The value behind keys, for example `figures.sizes.packed`; `nil` where a key is absent.
    subscript(_ path: String) -> JSON? {
        var current = value
        for key in path.split(separator: ".") {
            guard let next = (current as? [String: Any])?[String(key)], !(next is NSNull) else { return nil }
            current = next
        }
        return JSON(current)
    }

    var int: Int? { (value as? NSNumber)?.intValue }
    var double: Double? { (value as? NSNumber)?.doubleValue }
    var string: String? { value as? String }
    var bool: Bool? { value as? Bool }
    var array: [JSON] { (value as? [Any])?.map(JSON.init) ?? [] }
    var keys: [String] { (value as? [String: Any])?.keys.sorted() ?? [] }
}
