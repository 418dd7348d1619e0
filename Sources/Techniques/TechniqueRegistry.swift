import OrderedCollections
import Synchronization

/// Every technique that the program knows, in the order in which they are shown.
///
/// Recipes, predictions and front ends look techniques up here and import none of their families, so that a change of a family compiles
/// the family and nothing that stands on the engine. Programs fill the registry at their start (`StandardTechniques.register()`).
public enum TechniqueRegistry {
    private struct Contents {
        var techniques: OrderedDictionary<String, any Technique> = [:]
        var facets: [any ForecastFacet.Type] = []
    }

    private static let contents = Mutex(Contents())

    /// Adds techniques behind those that are known; one whose id is known already takes the other's place.
    public static func register(_ techniques: [any Technique]) {
        contents.withLock { contents in
            for technique in techniques { contents.techniques[technique.descriptor.id] = technique }
            var known = Set<ObjectIdentifier>()
            contents.facets = contents.techniques.values.flatMap(\.forecastFacets).filter { known.insert(ObjectIdentifier($0)).inserted }
        }
    }

    public static var all: [any Technique] { contents.withLock { Array($0.techniques.values) } }

    public static func technique(_ id: String) -> (any Technique)? { contents.withLock { $0.techniques[id] } }

    /// Every facet that some technique's forecast looks at, once.
    public static var facets: [any ForecastFacet.Type] { contents.withLock { $0.facets } }
}
