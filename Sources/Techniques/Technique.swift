import ModelGraph

/// A way of making a model smaller or faster: a rewrite of its graph, described once.
///
/// To add one: write one file with a type that conforms, and its name in `StandardTechniques`.
public protocol Technique: Sendable {
    var descriptor: TechniqueDescriptor { get }

    /// Why this technique cannot work on a layer, in a few words for the user; `nil` if it can.
    func refusal(for layer: Layer, in model: Model) -> String?

    /// The same for all layers of a model at once (`model.layers()`, in that order), for techniques that must look at
    /// the whole graph. What is known of intermediate shapes may allow more layers.
    /// - Parameter shapes: shapes of intermediate values at batch 1 (`RewriteContext.shapes`); may be empty.
    func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?]

    /// Rewrites the graph for the targets, which all passed `refusals(for:in:shapes:)` on this very model.
    ///
    /// Must be deterministic: the same model, targets and seed give the same bytes. Layers not among the targets are
    /// only changed where a target's change demands it (the channels behind a removed filter).
    func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws

    /// Layers that can only be changed together, as positions in `layers`; each layer that the technique can work on stands
    /// in one group. By default layers that share a weight.
    func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]]

    /// What `predict` looks at beside the summaries themselves; none by default.
    var forecastFacets: [any ForecastFacet.Type] { get }

    /// Predicts, from prepared summaries and in O(layers), what `rewrite` will do to sizes and compute. Runs on the
    /// key-press path: no pass over weights.
    func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary])
}

/// A technique that can say of no layer by itself whether it works there: it looks at branches, attention or what stands behind a layer.
public protocol WholeModelTechnique: Technique {}

extension WholeModelTechnique {
    public func refusal(for layer: Layer, in model: Model) -> String? {
        let layers = model.layers()
        guard let index = layers.firstIndex(where: { $0.id == layer.id }) else { return "there is no such layer" }
        return refusals(for: layers, in: model, shapes: [:])[index]
    }
}

extension Technique {
    public var forecastFacets: [any ForecastFacet.Type] { [] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        layers.map { refusal(for: $0, in: model) }
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let refusals = refusals(for: layers, in: model, shapes: shapes)
        var groups: [[Int]] = []
        var known: [WeightReaders.Place: Int] = [:]
        for (index, layer) in layers.enumerated() where refusals[index] == nil {
            guard let place = model.place(of: layer.weight, readBy: layer), let group = known[place] else {
                if let place = model.place(of: layer.weight, readBy: layer) { known[place] = groups.count }
                groups.append([index])
                continue
            }
            groups[group].append(index)
        }
        return groups
    }
}

/// A layer chosen by a recipe step, with that step's parameters for it, defaults filled in.
public struct LayerTarget: Sendable {
    public var layer: Layer
    public var parameters: ParameterValues

    public init(layer: Layer, parameters: ParameterValues) {
        self.layer = layer
        self.parameters = parameters
    }
}

public struct TechniqueDescriptor: Sendable {
    public enum Family: String, Sendable, CaseIterable {
        case pruning, quantization, factorization, sharing, correction, training
        case earlyExit = "early-exit"
        case coding

        /// As users read it. The raw value is a key in JSON, spelled as the field spells it.
        public var title: String {
            self == .earlyExit ? "Early exits" : rawValue.prefix(1).uppercased() + rawValue.dropFirst()
        }
    }

    /// What must be true of weights before, or becomes true after, for the order of steps to make sense.
    public enum Trait: String, Sendable {
        /// Weights are floating point and stand in their layer as one dense tensor.
        case floatWeights
        /// Weights become integers, or float16.
        case loweredPrecision
        /// Weights take few distinct values.
        case sharedWeights
        /// Zeros matter and must be kept by later steps.
        case sparseWeights
        /// Layers become several layers.
        case factorized
        /// Weights take new values, fitted to data.
        case refittedWeights
        /// Makes up for what earlier steps did, by comparing with or measuring the model they left.
        case correction
        /// Weights are learned on training data, which takes time: the step runs as a job and is remembered.
        case training
        /// Which parts of the network run depends on the sample; fitted to the network as it then is.
        case earlyExit
        /// Stores weights otherwise in the ONNX file; changes no number.
        case storage
        /// Declares how the packed archive codes weights; changes no number.
        case coding
    }

    /// Key in recipes and on the command line, lower-case with hyphens.
    public var id: String
    public var title: String
    public var family: Family
    /// One line.
    public var summary: String
    /// A paragraph or two for help and documentation: what it does to the graph, to size, MACs, latency, accuracy.
    public var details: String
    /// Where the method is from.
    public var source: String
    public var parameters: [ParameterDescriptor]
    /// Name of the parameter that says how much (sparsity, bits, ratio); `nil` if it is the first, or there is none.
    public var strength: String?
    public var needsCalibration: Bool
    public var requires: Set<Trait>
    public var produces: Set<Trait>
    /// Whether a model in halves or doubles is widened to float32 for the technique, where it would apply to no layer otherwise.
    public var widens: Bool

    public init(
        id: String, title: String, family: Family, summary: String, details: String, source: String,
        parameters: [ParameterDescriptor], strength: String? = nil, needsCalibration: Bool = false, requires: Set<Trait> = [.floatWeights],
        produces: Set<Trait> = [], widens: Bool = true
    ) {
        self.id = id
        self.title = title
        self.family = family
        self.summary = summary
        self.details = details
        self.source = source
        self.parameters = parameters
        self.strength = strength
        self.needsCalibration = needsCalibration
        self.requires = requires
        self.produces = produces
        self.widens = widens
    }

    public func parameter(_ name: String) -> ParameterDescriptor? { parameters.first { $0.name == name } }

    /// What in a step needs calibration data, in words for the user; `nil` if nothing does. Values not set have their default.
    public func calibrationNeed(_ values: ParameterValues) -> String? {
        if needsCalibration { return id }
        for parameter in parameters {
            guard case .choice(let choices) = parameter.domain, case .choice(let name) = values[parameter.name] ?? parameter.defaultValue else { continue }
            if choices.contains(where: { $0.name == name && $0.needsCalibration }) { return "\(id) with \(parameter.name) \(name)" }
        }
        return nil
    }

    /// Choices that need calibration data where others of the same parameter do not: `criterion apoz`.
    public var calibratedChoices: [String] {
        parameters.flatMap { parameter -> [String] in
            guard case .choice(let choices) = parameter.domain else { return [] }
            return choices.filter(\.needsCalibration).map { "\(parameter.name) \($0.name)" }
        }
    }
}
