import EngineSupport
import Measurement
import ModelGraph
import Techniques

extension TechniqueRegistry {
    /// Every facet that some technique's forecast looks at, once.
    public static let facets: [any ForecastFacet.Type] = {
        var known = Set<ObjectIdentifier>()
        return all.flatMap(\.forecastFacets).filter { known.insert(ObjectIdentifier($0)).inserted }
    }()
}

extension LayerPreparation {
    /// Summaries of layers with the facets of all registered techniques, as far as these take no seconds.
    /// - Throws: `EngineError.cancelled`.
    public static func summaries(of model: Model, layers: [Layer], shapes: ValueShapes?, cancellation: Cancellation) throws -> [LayerSummary] {
        try summaries(of: model, layers: layers, shapes: shapes, facets: TechniqueRegistry.facets, cancellation: cancellation)
    }

    /// Adds what takes seconds and nothing waits for.
    /// - Parameter summaries: those of the model's layers, as `summaries` made them.
    /// - Throws: `EngineError.cancelled`.
    public static func addSlowParts(to summaries: inout [LayerSummary], of model: Model, cancellation: Cancellation) throws {
        try addSlowFacets(TechniqueRegistry.facets, to: &summaries, of: model, cancellation: cancellation)
    }
}
