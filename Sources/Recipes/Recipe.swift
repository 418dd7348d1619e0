import ModelGraph
import Techniques

/// What is done to a model, in order. The unit of undo, of storage and of exchange.
public struct Recipe: Hashable, Sendable {
    public static let formatVersion = 1

    /// Name for people; may be empty.
    public var name: String = ""
    /// `ContentHash.tagged` of the model the recipe was made for; `nil` for presets meant for any model.
    public var modelHash: String?
    public var seed: UInt64 = 0
    public var steps: [RecipeStep]

    public init(name: String = "", modelHash: String? = nil, seed: UInt64 = 0, steps: [RecipeStep] = []) {
        self.name = name
        self.modelHash = modelHash
        self.seed = seed
        self.steps = steps
    }

    /// Steps that are switched on.
    public var activeSteps: [RecipeStep] { steps.filter(\.enabled) }

    /// Whether the recipe was made for another model than the one with this hash. Hashes of earlier builds were made another way and tell nothing.
    public func isForAnotherModel(than hash: String) -> Bool { modelHash.map { $0.hasPrefix(ContentHash.tag) && $0 != hash } ?? false }
}

/// One technique applied to some layers.
public struct RecipeStep: Hashable, Sendable {
    /// `TechniqueDescriptor.id`.
    public var technique: String
    public var parameters: ParameterValues
    public var layers: LayerSelector
    /// Other parameter values for some of the layers; later entries win.
    public var overrides: [LayerOverride]
    public var enabled: Bool
    /// Where the technique applies to none of the layers, or the layers do not exist, the step is passed over instead of being an error: for
    /// recipes that are meant for any model.
    public var optional: Bool

    public init(
        technique: String, parameters: ParameterValues = ParameterValues(), layers: LayerSelector = .all,
        overrides: [LayerOverride] = [], enabled: Bool = true, optional: Bool = false
    ) {
        self.technique = technique
        self.parameters = parameters
        self.layers = layers
        self.overrides = overrides
        self.enabled = enabled
        self.optional = optional
    }
}

/// Other parameter values for some layers of a step.
public struct LayerOverride: Hashable, Sendable {
    public var layers: LayerSelector
    public var parameters: ParameterValues

    public init(layers: LayerSelector, parameters: ParameterValues) {
        self.layers = layers
        self.parameters = parameters
    }
}

/// Which layers a step works on: those any `include` pattern matches (all, if there is none) and no `exclude` pattern does.
public struct LayerSelector: Hashable, Sendable {
    public var include: [LayerPattern]
    public var exclude: [LayerPattern]

    public init(include: [LayerPattern] = [], exclude: [LayerPattern] = []) {
        self.include = include
        self.exclude = exclude
    }

    public static let all = LayerSelector()

    public static func names(_ names: String...) -> LayerSelector { LayerSelector(include: names.map { .name($0) }) }

    public func matches(_ layer: Layer, position: Int) -> Bool {
        (include.isEmpty || include.contains { $0.matches(layer, position: position) })
            && !exclude.contains { $0.matches(layer, position: position) }
    }

    /// In short, for people.
    public var text: String {
        let kept = include.isEmpty ? "all" : include.map(\.text).joined(separator: "|")
        return exclude.isEmpty ? kept : kept + "!" + exclude.map(\.text).joined(separator: "|")
    }
}

/// One way of naming layers.
public enum LayerPattern: Hashable, Sendable {
    /// A layer's id or weight name; `*` stands for any run of characters.
    case name(String)
    /// Every layer of a kind (`Layer.Kind.rawValue`).
    case kind(String)
    /// Half-open range of positions among the model's layers, from 0.
    case positions(Range<Int>)
    /// One layer by name and, should the name be gone after a re-export, by structure: its kind, its weight's shape
    /// and its position among the layers with that kind and shape.
    case layer(name: String, kind: String, shape: [Int], occurrence: Int)

    public func matches(_ layer: Layer, position: Int) -> Bool {
        switch self {
        case .name(let pattern): Self.glob(pattern, layer.id) || Self.glob(pattern, layer.weight)
        case .kind(let kind): layer.kind.rawValue == kind
        case .positions(let range): range.contains(position)
        case .layer(let name, _, _, _): layer.id == name
        }
    }

    /// In short, for people: of a layer only its name.
    public var text: String {
        switch self {
        case .name(let name): name
        case .kind(let kind): "kind:\(kind)"
        case .positions(let range): "\(range.lowerBound)..\(range.upperBound)"
        case .layer(let name, _, _, _): name
        }
    }

    /// Shell-like matching with `*` only.
    static func glob(_ pattern: String, _ text: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return pattern == text }
        guard text.hasPrefix(parts[0]), text.hasSuffix(parts[parts.count - 1]),
            text.count >= parts[0].count + parts[parts.count - 1].count
        else { return false }
        var rest = text.dropFirst(parts[0].count).dropLast(parts[parts.count - 1].count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }
}
