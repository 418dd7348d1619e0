import EngineSupport
import ModelGraph
import Techniques

// From a form to a recipe. What the program does not know is an error that says where it stands and what was expected.

extension Recipe {
    /// - Parameter techniques: those that steps may name.
    /// - Throws: `EngineError` of one line that says where the form was read, what is wrong, and what was expected.
    public init(form: RecipeForm, techniques: [TechniqueDescriptor] = RecipeForm.registered) throws(EngineError) {
        self = try RecipeReader(techniques: techniques).recipe(form)
    }
}

extension RecipeStep {
    /// - Throws: as `Recipe.init(form:techniques:)`.
    public init(form: RecipeForm, techniques: [TechniqueDescriptor] = RecipeForm.registered) throws(EngineError) {
        self = try RecipeReader(techniques: techniques).step(form)
    }
}

extension RecipeForm {
    /// Descriptors of all techniques that the program has.
    public static let registered = TechniqueRegistry.all.map(\.descriptor)

    var text: String? {
        switch value {
        case .text(let text): text
        case .number(let number): String(number)
        case .flag(let flag): flag ? "true" : "false"
        case .list, .fields: nil
        }
    }

    var number: UInt64? { if case .number(let number) = value { number } else if case .text(let text) = value { UInt64(text) } else { nil } }

    /// With what YAML takes for flags.
    var flag: Bool? {
        switch value {
        case .flag(let flag): flag
        case .text(let text):
            switch text.lowercased() {
            case "true", "yes", "on": true
            case "false", "no", "off": false
            default: nil
            }
        default: nil
        }
    }

    var list: [RecipeForm]? { if case .list(let elements) = value { elements } else { nil } }

    func fail(_ message: String) -> EngineError { EngineError(.recipe, place.isEmpty ? message : "\(place): \(message)") }
}

private struct RecipeReader {
    let techniques: [TechniqueDescriptor]

    func recipe(_ form: RecipeForm) throws(EngineError) -> Recipe {
        let fields = try fields(form, "a recipe", allowed: ["lathe", "name", "model", "seed", "steps"])
        if let version = fields["lathe"], version.number != UInt64(Recipe.formatVersion) {
            throw version.fail("format version \(version.text ?? "?") is not supported, expected \(Recipe.formatVersion)")
        }
        var recipe = Recipe()
        if let name = fields["name"] { recipe.name = try text(name, "name") }
        if let model = fields["model"] { recipe.modelHash = try text(model, "model") }
        if let seed = fields["seed"] {
            guard let value = seed.number else { throw seed.fail("seed: expected a whole number of at least 0") }
            recipe.seed = value
        }
        guard let steps = fields["steps"] else { throw form.fail("expected 'steps'") }
        guard let elements = steps.list else { throw steps.fail("steps: expected a list") }
        for element in elements { recipe.steps.append(try step(element)) }
        return recipe
    }

    func step(_ form: RecipeForm) throws(EngineError) -> RecipeStep {
        let fields = try fields(form, "a step", allowed: ["technique", "parameters", "layers", "overrides", "enabled", "optional"])
        guard let name = fields["technique"] else { throw form.fail("a step needs 'technique'") }
        let id = try text(name, "technique")
        guard let technique = techniques.first(where: { $0.id == id }) else {
            throw name.fail("there is no technique '\(id)', expected one of \(techniques.map(\.id).joined(separator: ", "))")
        }
        var step = RecipeStep(technique: id)
        if let parameters = fields["parameters"] { step.parameters = try values(parameters, technique) }
        if let layers = fields["layers"] { step.layers = try selector(layers) }
        if let enabled = fields["enabled"] { step.enabled = try flag(enabled, "enabled") }
        if let optional = fields["optional"] { step.optional = try flag(optional, "optional") }
        if let overrides = fields["overrides"] {
            guard let elements = overrides.list else { throw overrides.fail("overrides: expected a list") }
            for element in elements {
                let parts = try self.fields(element, "an override", allowed: ["layers", "parameters"])
                guard let layers = parts["layers"], let parameters = parts["parameters"] else { throw element.fail("an override needs 'layers' and 'parameters'") }
                step.overrides.append(LayerOverride(layers: try selector(layers), parameters: try values(parameters, technique)))
            }
        }
        return step
    }

    private func values(_ form: RecipeForm, _ technique: TechniqueDescriptor) throws(EngineError) -> ParameterValues {
        var values = ParameterValues()
        for (key, value) in try fields(form, "parameters", allowed: technique.parameters.map(\.name)) {
            guard let parameter = technique.parameter(key) else { continue }
            let text = try text(value, key)
            do {
                values[key] = try parameter.parse(text)
            } catch {
                throw value.fail(error.reason)
            }
        }
        return values
    }

    private func selector(_ form: RecipeForm) throws(EngineError) -> LayerSelector {
        if let elements = form.list {
            var selector = LayerSelector()
            for element in elements { selector.include.append(try pattern(element)) }
            return selector
        }
        if let word = form.text { return word == "all" ? .all : LayerSelector(include: [.name(word)]) }
        var selector = LayerSelector()
        for (key, value) in try fields(form, "layers", allowed: ["include", "exclude"]) {
            guard let elements = value.list else { throw value.fail("\(key): expected a list of layers") }
            for element in elements {
                if key == "include" { selector.include.append(try pattern(element)) } else { selector.exclude.append(try pattern(element)) }
            }
        }
        return selector
    }

    private func pattern(_ form: RecipeForm) throws(EngineError) -> LayerPattern {
        if let name = form.text { return .name(name) }
        // `from` and `to`: positions in session logs of earlier builds.
        let fields = try fields(form, "a layer", allowed: ["name", "kind", "positions", "shape", "occurrence", "from", "to"])
        if let positions = fields["positions"] {
            guard let elements = positions.list, elements.count == 2 else { throw positions.fail("positions: expected [first, past the last]") }
            return .positions(try range(elements[0], elements[1], positions))
        }
        if let from = fields["from"], let to = fields["to"] { return .positions(try range(from, to, form)) }
        let name = try fields["name"].map { name throws(EngineError) in try text(name, "name") }
        guard let kindForm = fields["kind"] else {
            if let name { return .name(name) }
            throw form.fail("a layer needs 'kind' or 'positions', or is just a name")
        }
        let kind = try text(kindForm, "kind")
        guard Layer.Kind(rawValue: kind) != nil else {
            throw kindForm.fail("kind: expected one of \(Layer.Kind.allCases.map(\.rawValue).joined(separator: ", ")), found '\(kind)'")
        }
        guard let name else { return .kind(kind) }
        var shape: [Int] = []
        for extent in fields["shape"]?.list ?? [] { shape.append(try count(extent, "shape")) }
        return .layer(name: name, kind: kind, shape: shape, occurrence: try fields["occurrence"].map { form throws(EngineError) in try count(form, "occurrence") } ?? 0)
    }

    private func range(_ first: RecipeForm, _ end: RecipeForm, _ form: RecipeForm) throws(EngineError) -> Range<Int> {
        guard let low = first.number.flatMap(Int.init(exactly:)), let high = end.number.flatMap(Int.init(exactly:)), low <= high else {
            throw form.fail("positions: expected [first, past the last]")
        }
        return low..<high
    }

    private func text(_ form: RecipeForm, _ what: String) throws(EngineError) -> String {
        guard let text = form.text else { throw form.fail("\(what): expected a single value") }
        return text
    }

    private func flag(_ form: RecipeForm, _ what: String) throws(EngineError) -> Bool {
        guard let flag = form.flag else { throw form.fail("\(what): expected true or false") }
        return flag
    }

    private func count(_ form: RecipeForm, _ what: String) throws(EngineError) -> Int {
        guard let number = form.number.flatMap(Int.init(exactly:)) else { throw form.fail("\(what): expected whole numbers from 0") }
        return number
    }

    private func fields(_ form: RecipeForm, _ what: String, allowed: [String]) throws(EngineError) -> [(key: String, value: RecipeForm)] {
        guard case .fields(let given) = form.value else { throw form.fail("expected \(what) as 'key: value' lines") }
        var fields: [(key: String, value: RecipeForm)] = []
        for field in given {
            let key = RecipeForm(.flag(true), place: field.place)
            guard allowed.contains(field.key) else {
                throw key.fail("unknown key '\(field.key)' in \(what), expected \(allowed.filter { !["from", "to"].contains($0) }.joined(separator: ", "))")
            }
            guard fields[field.key] == nil else { throw key.fail("'\(field.key)' is given twice") }
            fields.append((field.key, field.value))
        }
        return fields
    }
}

extension [(key: String, value: RecipeForm)] {
    fileprivate subscript(key: String) -> RecipeForm? { first { $0.key == key }?.value }
}
