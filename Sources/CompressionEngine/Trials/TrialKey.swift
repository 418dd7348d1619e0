import EngineSupport
import ModelGraph
import Recipes

/// What decides a result. Trials with equal keys are the same trial, whenever and by whichever process they were run.
public struct TrialKey: Sendable, Hashable, Codable {
    /// What kind of result it is, for example `evaluation`, `latency`, `calibration`.
    public var kind: String
    public var modelHash: String
    /// `DatasetSplit.contentHash`; empty for results that need no data.
    public var dataHash: String
    /// The recipe's canonical text; in trials of earlier builds its YAML.
    public var recipe: String
    /// The runtime with its version and, where it matters, the instruction set.
    public var runtime: String
    public var threads: Int

    public init(kind: String, modelHash: String, dataHash: String, recipe: String, runtime: String, threads: Int) {
        self.kind = kind
        self.modelHash = modelHash
        self.dataHash = dataHash
        self.recipe = recipe
        self.runtime = runtime
        self.threads = threads
    }

    /// 32 hexadecimal digits: the trial's content address.
    public var address: String {
        var digest = ContentHash()
        // Each piece is hashed with its length, so pieces cannot run into each other.
        for piece in [kind, modelHash, dataHash, recipe, runtime] { digest.combine(piece) }
        digest.combine(threads)
        return digest.description
    }
    /// The recipe that was tried.
    /// - Throws: `EngineError` if this version cannot read it.
    public func storedRecipe() throws(EngineError) -> Recipe {
        // Trials of earlier builds hold YAML.
        recipe.hasPrefix("lathe:") || recipe.hasPrefix("#") ? try Recipe.parse(recipe, file: "stored trial") : try Recipe(canonical: recipe)
    }
}
