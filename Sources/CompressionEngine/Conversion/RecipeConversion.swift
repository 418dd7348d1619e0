import EngineSupport
import ModelGraph
import Recipes
import Techniques

/// The tools that recipes are written for.
public enum ConversionTarget: String, Sendable, CaseIterable {
    case onnxruntime, nncf, aimet

    public var help: String {
        switch self {
        case .onnxruntime: "a Python script for onnxruntime.quantization"
        case .nncf: "a Python script for NNCF"
        case .aimet: "encodings of AIMET, as JSON: the scales of the quantized model"
        }
    }
}

/// A recipe as another tool takes it.
public struct ConvertedRecipe: Sendable {
    /// What stands in the file.
    public var text: String
    /// What the tool has no word for: a line for each.
    public var omissions: [String] = []
}

/// One step of a recipe with the layers it applies to, as converters read it.
struct ConvertedStep {
    /// From 1.
    var number: Int
    var technique: String
    var parameters: ParameterValues
    /// Whether layers have parameters of their own.
    var hasOverrides: Bool
    var layers: [Layer]
    /// Layers of the same kinds that the step leaves alone.
    var others: [Layer]

    func omission(_ what: String) -> String { "step \(number), \(technique): \(what)" }

    /// Lines for parameters that have no counterpart, if they are not at their default.
    /// - Parameter words: what to say, by the parameter's name.
    func omissions(_ words: [(name: String, text: String)]) -> [String] {
        guard let descriptor = TechniqueRegistry.technique(technique)?.descriptor else { return [] }
        let resolved = parameters.resolved(by: descriptor)
        var lines: [String] = []
        for (name, text) in words {
            guard let parameter = descriptor.parameter(name), let value = resolved[name], value != parameter.defaultValue else { continue }
            lines.append(omission("\(name)=\(value): \(text)"))
        }
        if hasOverrides { lines.append(omission("values of single layers are left out; those of the step stand for all")) }
        return lines
    }
}

extension EngineSession {
    /// A recipe as another tool takes it.
    /// - Throws: `EngineError` if nothing of it can be expressed, naming the first reason; for AIMET, whatever applying it throws.
    public func converted(_ recipe: Recipe, to target: ConversionTarget, cancellation: Cancellation) throws -> ConvertedRecipe {
        let steps = try convertedSteps(recipe)
        let result: ConvertedRecipe?
        switch target {
        case .onnxruntime: result = OnnxRuntimeConversion.converted(steps, model)
        case .nncf: result = NNCFConversion.converted(steps)
        case .aimet: result = try AIMETEncodings.converted(steps, of: apply(recipe, cancellation: cancellation).model, original: model)
        }
        guard let result else {
            let why = steps.first.map { $0.omission("\(target.rawValue) has no counterpart") } ?? "the recipe has no steps"
            throw EngineError(.recipe, "nothing of the recipe can be expressed for \(target.rawValue): \(why)")
        }
        return result
    }

    private func convertedSteps(_ recipe: Recipe) throws -> [ConvertedStep] {
        let dims = (try? shapes(of: model))??.dims ?? [:]
        return try recipe.activeSteps.enumerated().map { number, step in
            guard let technique = TechniqueRegistry.technique(step.technique) else { throw EngineError(.recipe, "there is no technique '\(step.technique)'") }
            let refusals = technique.refusals(for: layers, in: model, shapes: dims)
            let chosen = try step.resolve(layers, step: number)
            let positions = layers.indices.filter { chosen[$0] != nil && refusals[$0] == nil }
            let kinds = Set(positions.map { layers[$0].opType })
            return ConvertedStep(
                number: number + 1, technique: step.technique, parameters: step.parameters.resolved(by: technique.descriptor), hasOverrides: !step.overrides.isEmpty,
                layers: positions.map { layers[$0] }, others: layers.indices.filter { !positions.contains($0) && kinds.contains(layers[$0].opType) }.map { layers[$0] })
        }
    }
}

/// Text of Python programs and of JSON.
enum ConvertedText {
    /// A string as Python and JSON both read it.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20: result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    static func list(_ names: [String]) -> String { "[" + names.map(quoted).joined(separator: ", ") + "]" }
}
