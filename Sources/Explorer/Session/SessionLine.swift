import EngineSupport
import Foundation
import Recipes
import Techniques

/// One line of a session log: a JSON object with the seconds since the session began, the action's name and what it
/// was done to. Lines whose action changes no recipe (`view-layers`, …) are there to be read and are skipped on replay.
public struct SessionLine: Codable, Hashable, Sendable {
    /// Version of the format, in the first line only.
    public var lathe: Int?
    /// Seconds since the session began.
    public var t: Double
    public var action: String
    public var technique: String?
    /// Which of several steps of that technique, from 0; left out for the first.
    public var occurrence: Int?
    public var parameter: String?
    public var value: String?
    public var layer: String?
    public var by: Int?
    public var state: Int?
    public var on: Bool?
    public var recipe: RecipeForm?
    public var why: String?
    // First line.
    public var model: String?
    public var modelHash: String?
    public var data: String?
    public var runtime: String?
    // Results.
    public var accuracy: Double?
    public var seen: Int?
    public var fileBytes: Double?

    public init(t: Double, action: String) {
        // Milliseconds are enough, and keep the lines short.
        self.t = (t * 1000).rounded() / 1000
        self.action = action
    }

    private enum CodingKeys: String, CodingKey {
        case lathe, t, action, technique, occurrence, parameter, value, layer, by, state, on, recipe, why, model, data, runtime, accuracy, seen
        case modelHash = "model-hash"
        case fileBytes = "file-bytes"
    }

    /// The line as JSON without a line break, keys sorted.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }

    public init(json: String) throws {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        self = try decoder.decode(SessionLine.self, from: Data(json.utf8))
    }
}

extension SessionLine {
    public init(_ action: SessionAction, t: Double) {
        switch action {
        case .edit(let edit): self.init(edit, t: t)
        case .undo: self.init(t: t, action: "undo")
        case .redo: self.init(t: t, action: "redo")
        case .jump(let id):
            self.init(t: t, action: "jump")
            state = id
        case .name(let id, let name):
            self.init(t: t, action: "name-state")
            state = id
            value = name
        case .pin(let id, let pinned):
            self.init(t: t, action: "pin-state")
            state = id
            on = pinned
        }
    }

    private init(_ edit: RecipeEdit, t: Double) {
        func name(_ step: StepAddress) -> (String, Int?) { (step.technique, step.occurrence == 0 ? nil : step.occurrence) }
        switch edit {
        case .enable(let step):
            self.init(t: t, action: "enable")
            (technique, occurrence) = name(step)
        case .disable(let step):
            self.init(t: t, action: "disable")
            (technique, occurrence) = name(step)
        case .remove(let step):
            self.init(t: t, action: "remove")
            (technique, occurrence) = name(step)
        case .set(let step, let parameter, let value):
            self.init(t: t, action: "set")
            (technique, occurrence) = name(step)
            (self.parameter, self.value) = (parameter, value.text)
        case .reset(let step, let parameter):
            self.init(t: t, action: "reset")
            (technique, occurrence) = name(step)
            self.parameter = parameter
        case .setLayer(let step, let layer, let parameter, let value):
            self.init(t: t, action: "set-layer")
            (technique, occurrence) = name(step)
            (self.layer, self.parameter, self.value) = (layer, parameter, value.text)
        case .resetLayer(let step, let layer):
            self.init(t: t, action: "reset-layer")
            (technique, occurrence) = name(step)
            self.layer = layer
        case .includeLayer(let step, let layer, let included):
            self.init(t: t, action: "include-layer")
            (technique, occurrence) = name(step)
            (self.layer, on) = (layer, included)
        case .move(let step, let by):
            self.init(t: t, action: "move")
            (technique, occurrence) = name(step)
            self.by = by
        case .replace(let recipe, let why):
            self.init(t: t, action: "replace")
            self.recipe = recipe.form
            self.why = why
        }
    }

    /// The action of this line; `nil` for lines that change no recipe.
    /// - Throws: `RecipeRefusal` when the line is incomplete or names what the catalog does not have.
    public func sessionAction(_ catalog: TechniqueCatalog) throws(RecipeRefusal) -> SessionAction? {
        switch action {
        case "undo": return .undo
        case "redo": return .redo
        case "jump": return .jump(try need(state, "state"))
        case "name-state": return .name(try need(state, "state"), value ?? "")
        case "pin-state": return .pin(try need(state, "state"), try need(on, "on"))
        case "enable": return .edit(.enable(try step()))
        case "disable": return .edit(.disable(try step()))
        case "remove": return .edit(.remove(try step()))
        case "set": return .edit(.set(try step(), parameter: try need(parameter, "parameter"), try parsedValue(catalog)))
        case "reset": return .edit(.reset(try step(), parameter: try need(parameter, "parameter")))
        case "set-layer":
            return .edit(.setLayer(try step(), layer: try need(layer, "layer"), parameter: try need(parameter, "parameter"), try parsedValue(catalog)))
        case "reset-layer": return .edit(.resetLayer(try step(), layer: try need(layer, "layer")))
        case "include-layer": return .edit(.includeLayer(try step(), layer: try need(layer, "layer"), try need(on, "on")))
        case "move": return .edit(.move(try step(), by: try need(by, "by")))
        case "replace": return .edit(.replace(try readRecipe(catalog), why: why ?? ""))
        default: return nil
        }
    }

    private func need<T>(_ value: T?, _ name: String) throws(RecipeRefusal) -> T {
        guard let value else { throw RecipeRefusal("'\(action)' without '\(name)'") }
        return value
    }

    private func readRecipe(_ catalog: TechniqueCatalog) throws(RecipeRefusal) -> Recipe {
        do {
            return try Recipe(form: try need(recipe, "recipe"), techniques: catalog.descriptors)
        } catch let error as RecipeRefusal {
            throw error
        } catch {
            throw RecipeRefusal("\(error)")
        }
    }

    private func step() throws(RecipeRefusal) -> StepAddress { StepAddress(try need(technique, "technique"), occurrence ?? 0) }

    private func parsedValue(_ catalog: TechniqueCatalog) throws(RecipeRefusal) -> ParameterValue {
        try catalog.parse(try need(value, "value"), technique: try need(technique, "technique"), parameter: try need(parameter, "parameter"))
    }
}

extension TechniqueCatalog {
    /// A value of a technique's parameter from text.
    func parse(_ text: String, technique: String, parameter: String) throws(RecipeRefusal) -> ParameterValue {
        guard let descriptor = self[technique] else { throw RecipeRefusal("there is no technique '\(technique)'") }
        guard let parameter = descriptor.parameter(parameter) else {
            throw RecipeRefusal("\(descriptor.title) has no parameter '\(parameter)'")
        }
        do {
            return try parameter.parse(text)
        } catch {
            throw RecipeRefusal(error.message)
        }
    }
}
