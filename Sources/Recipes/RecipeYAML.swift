import EngineSupport
import Foundation
import ModelGraph
import Techniques
import Yams

// The recipe file. Schema and examples: Docs/RecipeFormat.md.

extension Recipe {
    /// Reads a recipe file.
    /// - Throws: `EngineError` of one line that names the file, the line and what was expected.
    /// - Parameter path: of a file, or `preset:NAME` for one of `RecipePreset.all`.
    public static func read(path: String) throws(EngineError) -> Recipe {
        if let preset = try RecipePreset.named(in: path) { return try preset.recipe() }
        guard let data = FileManager.default.contents(atPath: path) else { throw EngineError(.recipe, "\(path): cannot be read") }
        return try parse(String(decoding: data, as: UTF8.self), file: path)
    }

    public static func parse(_ text: String, file: String) throws(EngineError) -> Recipe {
        let node: Yams.Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            let line = "\(error)".split(whereSeparator: \.isNewline).prefix(2).joined(separator: " ")
            throw EngineError(.recipe, "\(file): not valid YAML: \(line)")
        }
        guard let node else { throw EngineError(.recipe, "\(file): empty, expected a recipe") }
        return try RecipeParser(file: file).recipe(node)
    }

    /// The recipe as YAML. The same recipe always gives the same text.
    public var yaml: String {
        var lines = ["# Made by lathe; replay with: lathe apply MODEL --recipe FILE --output OUT.onnx", "lathe: \(Self.formatVersion)"]
        if !name.isEmpty { lines.append("name: \(Self.quoted(name))") }
        if let modelHash { lines.append("model: \(modelHash)") }
        if seed != 0 { lines.append("seed: \(seed)") }
        lines.append(steps.isEmpty ? "steps: []" : "steps:")
        for step in steps {
            lines.append("  - technique: \(step.technique)")
            if !step.enabled { lines.append("    enabled: false") }
            if step.optional { lines.append("    optional: true") }
            if !step.parameters.explicit.isEmpty {
                lines.append("    parameters:")
                for (key, value) in step.parameters.explicit.sorted(by: { $0.key < $1.key }) { lines.append("      \(key): \(value.text)") }
            }
            if step.layers != .all { lines += Self.selector(step.layers, indent: "    ") }
            if !step.overrides.isEmpty {
                lines.append("    overrides:")
                for override in step.overrides {
                    var block = Self.selector(override.layers, indent: "        ")
                    block.append("        parameters:")
                    for (key, value) in override.parameters.explicit.sorted(by: { $0.key < $1.key }) {
                        block.append("          \(key): \(value.text)")
                    }
                    block[0] = "      - " + block[0].drop { $0 == " " }
                    lines += block
                }
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func selector(_ selector: LayerSelector, indent: String) -> [String] {
        guard selector != .all else { return ["\(indent)layers: all"] }
        var lines = ["\(indent)layers:"]
        for (key, patterns) in [("include", selector.include), ("exclude", selector.exclude)] where !patterns.isEmpty {
            lines.append("\(indent)  \(key):")
            for pattern in patterns {
                switch pattern {
                case .name(let name): lines.append("\(indent)    - \(quoted(name))")
                case .kind(let kind): lines.append("\(indent)    - {kind: \(kind)}")
                case .positions(let range): lines.append("\(indent)    - {positions: [\(range.lowerBound), \(range.upperBound)]}")
                case .layer(let name, let kind, let shape, let occurrence):
                    let extents = shape.map(String.init).joined(separator: ", ")
                    lines.append("\(indent)    - {name: \(quoted(name)), kind: \(kind), shape: [\(extents)], occurrence: \(occurrence)}")
                }
            }
        }
        return lines
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            default:
                if scalar.value < 0x20 { out += "\\x" + String(format: "%02x", scalar.value) } else { out.unicodeScalars.append(scalar) }
            }
        }
        return out + "\""
    }
}

/// Turns YAML nodes into a recipe; every error names file and line.
private struct RecipeParser {
    let file: String

    func fail(_ node: Yams.Node?, _ message: String) -> EngineError {
        let place = node?.mark.map { "\(file):\($0.line)" } ?? file
        return EngineError(.recipe, "\(place): \(message)")
    }

    func recipe(_ node: Yams.Node) throws(EngineError) -> Recipe {
        let fields = try mapping(node, "a recipe", allowed: ["lathe", "name", "model", "seed", "steps"])
        guard let version = fields["lathe"] else { throw fail(node, "expected 'lathe: \(Recipe.formatVersion)', the format version") }
        guard version.int == Recipe.formatVersion else {
            throw fail(version, "format version \(version.string ?? "?") is not supported, expected \(Recipe.formatVersion)")
        }
        var recipe = Recipe()
        if let name = fields["name"] { recipe.name = try text(name, "name") }
        if let model = fields["model"] { recipe.modelHash = try text(model, "model") }
        if let seed = fields["seed"] {
            guard let value = seed.scalar.flatMap({ UInt64($0.string) }) else { throw fail(seed, "seed: expected a whole number of at least 0") }
            recipe.seed = value
        }
        guard let steps = fields["steps"] else { throw fail(node, "expected 'steps'") }
        guard let sequence = steps.sequence else { throw fail(steps, "steps: expected a list") }
        for element in sequence { recipe.steps.append(try step(element)) }
        return recipe
    }

    private func step(_ node: Yams.Node) throws(EngineError) -> RecipeStep {
        let fields = try mapping(node, "a step", allowed: ["technique", "parameters", "layers", "overrides", "enabled", "optional"])
        guard let name = fields["technique"] else { throw fail(node, "a step needs 'technique'") }
        let id = try text(name, "technique")
        guard let technique = TechniqueRegistry.technique(id) else {
            let known = TechniqueRegistry.all.map(\.descriptor.id).joined(separator: ", ")
            throw fail(name, "there is no technique '\(id)', expected one of \(known)")
        }
        var step = RecipeStep(technique: id)
        if let parameters = fields["parameters"] { step.parameters = try values(parameters, technique.descriptor) }
        if let layers = fields["layers"] { step.layers = try selector(layers) }
        if let enabled = fields["enabled"] {
            guard let flag = enabled.bool else { throw fail(enabled, "enabled: expected true or false") }
            step.enabled = flag
        }
        if let optional = fields["optional"] {
            guard let flag = optional.bool else { throw fail(optional, "optional: expected true or false") }
            step.optional = flag
        }
        if let overrides = fields["overrides"] {
            guard let sequence = overrides.sequence else { throw fail(overrides, "overrides: expected a list") }
            for element in sequence {
                let parts = try mapping(element, "an override", allowed: ["layers", "parameters"])
                guard let layers = parts["layers"], let parameters = parts["parameters"] else {
                    throw fail(element, "an override needs 'layers' and 'parameters'")
                }
                step.overrides.append(
                    LayerOverride(layers: try selector(layers), parameters: try values(parameters, technique.descriptor)))
            }
        }
        return step
    }

    private func values(_ node: Yams.Node, _ descriptor: TechniqueDescriptor) throws(EngineError) -> ParameterValues {
        let fields = try mapping(node, "parameters", allowed: descriptor.parameters.map(\.name))
        var values = ParameterValues()
        for (key, value) in fields {
            guard let parameter = descriptor.parameter(key) else { continue }
            do {
                values[key] = try parameter.parse(try text(value, key))
            } catch {
                throw fail(value, error.message)
            }
        }
        return values
    }

    private func selector(_ node: Yams.Node) throws(EngineError) -> LayerSelector {
        if let word = node.scalar?.string { return word == "all" ? .all : LayerSelector(include: [.name(word)]) }
        if let sequence = node.sequence {
            var patterns: [LayerPattern] = []
            for element in sequence { patterns.append(try pattern(element)) }
            return LayerSelector(include: patterns)
        }
        let fields = try mapping(node, "layers", allowed: ["include", "exclude"])
        var selector = LayerSelector()
        for (key, value) in fields {
            guard let sequence = value.sequence else { throw fail(value, "\(key): expected a list of layers") }
            for element in sequence {
                if key == "include" { selector.include.append(try pattern(element)) } else { selector.exclude.append(try pattern(element)) }
            }
        }
        return selector
    }

    private func pattern(_ node: Yams.Node) throws(EngineError) -> LayerPattern {
        if let name = node.scalar?.string { return .name(name) }
        let fields = try mapping(node, "a layer", allowed: ["name", "kind", "positions", "shape", "occurrence"])
        if let positions = fields["positions"] {
            guard let bounds = positions.sequence.map({ $0.compactMap(\.int) }), bounds.count == 2, bounds[0] >= 0, bounds[0] <= bounds[1] else {
                throw fail(positions, "positions: expected [first, past the last]")
            }
            return .positions(bounds[0]..<bounds[1])
        }
        guard let kindNode = fields["kind"] else { throw fail(node, "a layer needs 'kind' or 'positions', or is just a name") }
        let kind = try text(kindNode, "kind")
        guard Layer.Kind(rawValue: kind) != nil else {
            throw fail(kindNode, "kind: expected one of \(Layer.Kind.allCases.map(\.rawValue).joined(separator: ", ")), found '\(kind)'")
        }
        guard let name = fields["name"] else { return .kind(kind) }
        let shape = fields["shape"]?.sequence?.compactMap(\.int) ?? []
        return .layer(name: try text(name, "name"), kind: kind, shape: shape, occurrence: fields["occurrence"]?.int ?? 0)
    }

    private func text(_ node: Yams.Node, _ what: String) throws(EngineError) -> String {
        guard let scalar = node.scalar else { throw fail(node, "\(what): expected a single value") }
        return scalar.string
    }

    private func mapping(_ node: Yams.Node, _ what: String, allowed: [String]) throws(EngineError) -> [(key: String, value: Yams.Node)] {
        guard let mapping = node.mapping else { throw fail(node, "expected \(what) as 'key: value' lines") }
        var fields: [(String, Yams.Node)] = []
        for (key, value) in mapping {
            let name = key.string ?? ""
            guard allowed.contains(name) else {
                throw fail(key, "unknown key '\(name)' in \(what), expected \(allowed.joined(separator: ", "))")
            }
            guard !fields.contains(where: { $0.0 == name }) else { throw fail(key, "'\(name)' is given twice") }
            fields.append((name, value))
        }
        return fields
    }
}

extension [(key: String, value: Yams.Node)] {
    fileprivate subscript(key: String) -> Yams.Node? { first { $0.key == key }?.value }
}
