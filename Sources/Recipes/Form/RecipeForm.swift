/// A recipe, or a part of one, as a tree of plain values: what all notations (YAML, the session log's JSON, the step on the command line, the canonical
/// text) write and read. `Recipe.form` makes it and `Recipe(form:)` reads it; nothing else knows what a recipe's keys are called.
public struct RecipeForm: Hashable, Sendable {
    public enum Value: Hashable, Sendable {
        /// A word, a name, or a parameter's value; from notations that do not tell them apart also a number or a flag.
        case text(String)
        case number(UInt64)
        case flag(Bool)
        case list([RecipeForm])
        case fields([Field])
    }

    public struct Field: Hashable, Sendable {
        public var key: String
        public var value: RecipeForm
        /// Where the key stands; see `RecipeForm.place`.
        var place: String

        init(_ key: String, _ value: RecipeForm, place: String = "") {
            self.key = key
            self.value = value
            self.place = place
        }

        public static func == (a: Field, b: Field) -> Bool { a.key == b.key && a.value == b.value }

        public func hash(into hasher: inout Hasher) {
            hasher.combine(key)
            hasher.combine(value)
        }
    }

    public var value: Value
    /// Where it was read, for errors: `recipe.yaml:4`; empty where there is nothing to say. No part of the value.
    var place: String

    init(_ value: Value, place: String = "") {
        self.value = value
        self.place = place
    }

    public static func == (a: RecipeForm, b: RecipeForm) -> Bool { a.value == b.value }

    public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

// MARK: - JSON

/// As JSON: objects, arrays, strings, whole numbers, `true` and `false`.
extension RecipeForm: Codable {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public func encode(to encoder: any Encoder) throws {
        switch value {
        case .text(let text):
            var container = encoder.singleValueContainer()
            try container.encode(text)
        case .number(let number):
            var container = encoder.singleValueContainer()
            try container.encode(number)
        case .flag(let flag):
            var container = encoder.singleValueContainer()
            try container.encode(flag)
        case .list(let elements):
            var container = encoder.unkeyedContainer()
            for element in elements { try container.encode(element) }
        case .fields(let fields):
            var container = encoder.container(keyedBy: Key.self)
            for field in fields { try container.encode(field.value, forKey: Key(stringValue: field.key)) }
        }
    }

    /// - Throws: `DecodingError` for numbers that are not whole and for `null`.
    public init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: Key.self) {
            self.init(
                .fields(
                    try container.allKeys.sorted { $0.stringValue < $1.stringValue }.map { Field($0.stringValue, try container.decode(RecipeForm.self, forKey: $0)) }))
        } else if var container = try? decoder.unkeyedContainer() {
            var elements: [RecipeForm] = []
            while !container.isAtEnd { elements.append(try container.decode(RecipeForm.self)) }
            self.init(.list(elements))
        } else {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self.init(.text(text))
            } else if let flag = try? container.decode(Bool.self) {
                self.init(.flag(flag))
            } else {
                self.init(.number(try container.decode(UInt64.self)))
            }
        }
    }
}
