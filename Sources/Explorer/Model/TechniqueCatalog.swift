import Recipes
import Techniques

/// The techniques the explorer offers: those of the registry, or a test's own.
public struct TechniqueCatalog: Sendable {
    public let descriptors: [TechniqueDescriptor]
    private let byID: [String: TechniqueDescriptor]
    /// Recipes that come with the program and whose techniques are all there, read once.
    let presets: [(preset: RecipePreset, recipe: Recipe)]

    public init(_ descriptors: [TechniqueDescriptor]) {
        self.descriptors = descriptors
        let byID = Dictionary(descriptors.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        self.byID = byID
        presets = RecipePreset.all.compactMap { preset in
            guard let recipe = try? preset.recipe(), recipe.steps.allSatisfy({ byID[$0.technique] != nil }) else { return nil }
            return (preset, recipe)
        }
    }

    public static let registered = TechniqueCatalog(TechniqueRegistry.all.map(\.descriptor))

    public subscript(id: String) -> TechniqueDescriptor? { byID[id] }

    public func title(_ id: String) -> String { byID[id]?.title ?? id }

    /// Why a step cannot stand after others.
    public func refusal(of step: RecipeStep, after earlier: [RecipeStep]) -> String? {
        RecipeOrder.refusal(of: step, after: earlier, describing: { self[$0] })
    }

    /// The first step that makes no sense where it stands, and why.
    public func problem(in steps: [RecipeStep]) -> (index: Int, reason: String)? {
        for (index, step) in steps.enumerated() where step.enabled {
            if let reason = refusal(of: step, after: steps[..<index].filter(\.enabled)) { return (index, reason) }
        }
        return nil
    }

    /// Where a step can be switched on among others without breaking any: as late as possible.
    ///
    /// - Returns: the position to insert it at, or the reason why there is none.
    public func place(for step: RecipeStep, in steps: [RecipeStep]) -> Result<Int, RecipeRefusal> {
        var step = step
        step.enabled = true
        var lastReason = ""
        for position in stride(from: steps.count, through: 0, by: -1) {
            var candidate = steps
            candidate.insert(step, at: position)
            guard let problem = problem(in: candidate) else { return .success(position) }
            // The reason at the end is about the new step itself and says most.
            if lastReason.isEmpty { lastReason = problem.reason }
        }
        return .failure(RecipeRefusal(lastReason))
    }
}

/// Why an edit was not made, in a few words for the status line.
public struct RecipeRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
