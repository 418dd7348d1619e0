import EngineSupport
import ModelGraph

/// Values kept for their owners under their types: shared code carries them and looks into none.
///
/// What only some techniques know of (attentions, spectra, planes of an image) travels so with summaries and contexts that all techniques see.
public struct Facets: Sendable {
    private var values: [ObjectIdentifier: any Sendable] = [:]

    public init() {}

    public subscript<Value: Sendable>(type: Value.Type) -> Value? {
        get { values[ObjectIdentifier(type)] as? Value }
        set { values[ObjectIdentifier(type)] = newValue }
    }
}

/// What the forecasts of some techniques must know of a model beside its layers' weights. A technique names the facets that it reads
/// (`Technique.forecastFacets`); each is prepared once per model, in the background, however many techniques read it.
public protocol ForecastFacet: Sendable {
    /// Whether preparing takes seconds: then nothing waits for it, and forecasts do without until it is there.
    static var isSlow: Bool { get }

    /// Puts the facet into the summaries of the layers that have it; into all of them where it is of the model as a whole.
    /// - Throws: `EngineError.cancelled`.
    static func prepare(_ summaries: inout [LayerSummary], of model: PreparedModel) throws
}

extension ForecastFacet {
    public static var isSlow: Bool { false }
}

extension [LayerSummary] {
    /// A facet of the model as a whole.
    public subscript<Value: Sendable>(type: Value.Type) -> Value? { first?.facets[type] }

    /// Puts a facet of the model as a whole into every summary.
    public mutating func set<Value: Sendable>(_ value: Value) {
        for index in indices { self[index].facets[Value.self] = value }
    }
}

/// A model whose layers are summarized, for facets to look at.
public struct PreparedModel: Sendable {
    public let model: Model
    public let layers: [Layer]
    /// Of the main graph.
    public let index: GraphIndex
    /// Shapes of intermediate values at batch 1; may be empty.
    public let shapes: [String: [Int]]
    public let cancellation: Cancellation
}
