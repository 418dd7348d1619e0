import EngineSupport
import ModelGraph
import Techniques

// A step's form on one line, as on the command line and in canonical text:
//
//   technique[~][?][:key=value,…][@layer,…][;key=value,…@layer,…]…
//
// `~` keeps the step and switches it off, `?` makes it optional, what comes after `;` are other values for some layers. A layer is a name,
// `kind:conv`, `0..3` (positions, the last excluded) or `layer:KIND:SHAPE:OCCURRENCE:NAME` (by name or else by structure, the shape as `500x800`);
// `!` before it leaves it out. Names that could be taken for something else stand in double quotes, with `\"`, `\\`, `\n`, `\r` inside.

extension RecipeStep {
    /// The step on one line.
    public var line: String {
        guard case .fields(let fields) = form.value else { return technique }
        var line = ""
        var parameters: [RecipeForm.Field] = []
        var layers = ""
        var overrides = ""
        for field in fields {
            switch (field.key, field.value.value) {
            case ("technique", .text(let text)): line = text + line
            case ("enabled", .flag(false)): line += "~"
            case ("optional", .flag(true)): line += "?"
            case ("parameters", .fields(let values)): parameters = values
            case ("layers", _): layers = "@" + StepLine.layers(field.value)
            case ("overrides", .list(let list)):
                for case .fields(let parts) in list.map(\.value) {
                    overrides += ";"
                    for case .fields(let values) in parts.filter({ $0.key == "parameters" }).map(\.value.value) { overrides += StepLine.values(values) }
                    for part in parts where part.key == "layers" { overrides += "@" + StepLine.layers(part.value) }
                }
            default: break
            }
        }
        return line + (parameters.isEmpty ? "" : ":" + StepLine.values(parameters)) + layers + overrides
    }

    /// The step on one line, without values that are its technique's defaults: what a person would type.
    public var shortLine: String {
        var step = self
        for parameter in TechniqueRegistry.technique(technique)?.descriptor.parameters ?? [] where step.parameters[parameter.name]?.text == parameter.defaultValue.text {
            step.parameters[parameter.name] = nil
        }
        return step.line
    }

    /// - Parameter place: what to call the line in errors.
    /// - Throws: `EngineError` that says what is wrong and what was expected.
    public init(line: String, place: String) throws(EngineError) {
        try self.init(form: StepLine(line, place: place).form())
    }
}

extension Recipe {
    /// Reads canonical text.
    /// - Throws: `EngineError`, also for text of earlier builds, which was not meant to be read.
    public init(canonical text: String) throws(EngineError) {
        // By scalars: to Swift a carriage return and the line feed behind it are one character.
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        guard let first = lines.first, first.hasPrefix("seed="), let seed = UInt64(first.dropFirst(5)) else { throw EngineError(.recipe, "expected 'seed=' and a number") }
        self.init(seed: seed)
        for line in lines.dropFirst() { steps.append(try RecipeStep(line: line, place: "'\(line)'")) }
    }
}

private struct StepLine {
    private let scalars: [Unicode.Scalar]
    private let place: String
    private var position = 0

    init(_ line: String, place: String) {
        scalars = Array(line.unicodeScalars)
        self.place = place
    }

    // MARK: Writing

    static func values(_ fields: [RecipeForm.Field]) -> String { fields.map { "\($0.key)=\($0.value.text ?? "")" }.joined(separator: ",") }

    static func layers(_ form: RecipeForm) -> String {
        guard case .fields(let fields) = form.value else { return "" }
        return fields.flatMap { field in (field.value.list ?? []).map { (field.key == "exclude" ? "!" : "") + layer($0) } }.joined(separator: ",")
    }

    private static func layer(_ form: RecipeForm) -> String {
        if let name = form.text { return isPlain(name) ? name : quoted(name) }
        guard case .fields(let fields) = form.value else { return "" }
        func value(_ key: String) -> RecipeForm? { fields.first { $0.key == key }?.value }
        func numbers(_ key: String, _ separator: String) -> String { (value(key)?.list ?? []).compactMap(\.text).joined(separator: separator) }
        if value("positions") != nil { return numbers("positions", "..") }
        let kind = value("kind")?.text ?? ""
        guard let name = value("name")?.text else { return "kind:" + kind }
        return "layer:\(kind):\(numbers("shape", "x")):\(value("occurrence")?.text ?? "0"):" + (isPlain(name) ? name : quoted(name))
    }

    /// Whether a name, as it is, is read as that name.
    private static func isPlain(_ name: String) -> Bool {
        let scalars = Array(name.unicodeScalars)
        guard let first = scalars.first, first != "!", first != "\"", !scalars.contains(where: { ",;@\n\r".unicodeScalars.contains($0) }) else { return false }
        return positions(name) == nil && !name.hasPrefix("kind:") && !name.hasPrefix("layer:")
    }

    private static func quoted(_ name: String) -> String {
        var out = "\""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "\"", "\\": out += "\\\(scalar)"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    /// `0..3`.
    private static func positions(_ word: String) -> [String]? {
        guard let dots = word.firstRange(of: "..") else { return nil }
        let ends = [String(word[..<dots.lowerBound]), String(word[dots.upperBound...])]
        return ends.allSatisfy { UInt64($0) != nil } ? ends : nil
    }

    // MARK: Reading

    private func made(_ value: RecipeForm.Value) -> RecipeForm { RecipeForm(value, place: place) }
    private func field(_ key: String, _ value: RecipeForm.Value) -> RecipeForm.Field { RecipeForm.Field(key, made(value), place: place) }
    private func fail(_ message: String) -> EngineError { made(.flag(false)).fail(message) }

    consuming func form() throws(EngineError) -> RecipeForm {
        var id = run(until: ":@;")
        let isOptional = id.hasSuffix("?")
        if isOptional { id.removeLast() }
        let isOff = id.hasSuffix("~")
        if isOff { id.removeLast() }
        var fields = [field("technique", .text(id))]
        if isOff { fields.append(field("enabled", .flag(false))) }
        if isOptional { fields.append(field("optional", .flag(true))) }
        if take(":") { fields.append(field("parameters", .fields(try values()))) }
        if take("@") {
            let layers = try layers()
            guard case .fields = layers.value else { throw fail("expected layers after '@'") }
            fields.append(RecipeForm.Field("layers", layers, place: place))
        }
        var overrides: [RecipeForm] = []
        while take(";") {
            let parameters = field("parameters", .fields(try values()))
            overrides.append(made(.fields([RecipeForm.Field("layers", take("@") ? try layers() : made(.text("all")), place: place), parameters])))
        }
        if !overrides.isEmpty { fields.append(field("overrides", .list(overrides))) }
        let rest = run(until: "")
        guard rest.isEmpty else { throw fail("expected ',' or ';' before '\(rest)'") }
        return made(.fields(fields))
    }

    /// `key=value,key=value`, up to layers or the next override.
    private mutating func values() throws(EngineError) -> [RecipeForm.Field] {
        var fields: [RecipeForm.Field] = []
        repeat {
            let assignment = run(until: ",@;")
            guard !assignment.isEmpty else { continue }
            guard let equals = assignment.firstIndex(of: "=") else { throw fail("expected key=value, found '\(assignment)'") }
            fields.append(field(String(assignment[..<equals]), .text(String(assignment[assignment.index(after: equals)...]))))
        } while take(",")
        return fields
    }

    /// A selector; the word `all` if nothing stands there.
    private mutating func layers() throws(EngineError) -> RecipeForm {
        var include: [RecipeForm] = []
        var exclude: [RecipeForm] = []
        repeat {
            let isExcluded = take("!")
            guard let pattern = try pattern() else { continue }
            if isExcluded { exclude.append(pattern) } else { include.append(pattern) }
        } while take(",")
        if include.isEmpty, exclude.isEmpty { return made(.text("all")) }
        var fields: [RecipeForm.Field] = []
        if !include.isEmpty { fields.append(field("include", .list(include))) }
        if !exclude.isEmpty { fields.append(field("exclude", .list(exclude))) }
        return made(.fields(fields))
    }

    private mutating func pattern() throws(EngineError) -> RecipeForm? {
        if let name = try quotedName() { return made(.text(name)) }
        let start = position
        let word = name()
        if word.isEmpty { return nil }
        if word.hasPrefix("kind:") {
            let kind = String(word.dropFirst(5))
            let known = Layer.Kind.allCases.first { $0.rawValue.lowercased() == kind.lowercased() }
            return made(.fields([field("kind", .text(known?.rawValue ?? kind))]))
        }
        if word.hasPrefix("layer:") {
            let parts = word.unicodeScalars.split(separator: ":", maxSplits: 4, omittingEmptySubsequences: false).map { String($0) }
            guard parts.count == 5, UInt64(parts[3]) != nil else { return made(.text(word)) }
            // The name may be quoted, and then hold anything.
            position = start + parts[..<4].reduce(4) { $0 + $1.unicodeScalars.count }
            let own = try quotedName() ?? name()
            let shape = parts[2].split(separator: "x").map { made(.text(String($0))) }
            return made(.fields([field("name", .text(own)), field("kind", .text(parts[1])), field("shape", .list(shape)), field("occurrence", .text(parts[3]))]))
        }
        if let ends = Self.positions(word) { return made(.fields([field("positions", .list(ends.map { made(.text($0)) }))])) }
        return made(.text(word))
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard position < scalars.count, scalars[position] == scalar else { return false }
        position += 1
        return true
    }

    private mutating func run(until ends: String) -> String {
        var text = String.UnicodeScalarView()
        while position < scalars.count, !ends.unicodeScalars.contains(scalars[position]) {
            text.append(scalars[position])
            position += 1
        }
        return String(text)
    }

    /// A name as it stands. Semicolons are common in names that came by way of TensorFlow Lite: only one with `key=…` or `@` behind it ends the name.
    private mutating func name() -> String {
        var text = String.UnicodeScalarView()
        while position < scalars.count, scalars[position] != ",", !(scalars[position] == ";" && beginsOverride(position + 1)) {
            text.append(scalars[position])
            position += 1
        }
        return String(text)
    }

    private func beginsOverride(_ start: Int) -> Bool {
        var place = start
        while place < scalars.count, scalars[place] == "-" || scalars[place].properties.isLowercase || ("0"..."9").contains(scalars[place]) { place += 1 }
        guard place < scalars.count else { return false }
        return scalars[place] == "@" ? place == start : scalars[place] == "=" && place > start
    }

    /// A name in double quotes; `nil` if none begins here.
    private mutating func quotedName() throws(EngineError) -> String? {
        guard take("\"") else { return nil }
        var text = String.UnicodeScalarView()
        while position < scalars.count {
            let scalar = scalars[position]
            position += 1
            if scalar == "\"" { return String(text) }
            guard scalar == "\\", position < scalars.count else {
                text.append(scalar)
                continue
            }
            text.append(scalars[position] == "n" ? "\n" : scalars[position] == "r" ? "\r" : scalars[position])
            position += 1
        }
        throw fail("a name without its second '\"'")
    }
}
