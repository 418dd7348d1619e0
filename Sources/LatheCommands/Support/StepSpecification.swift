import ArgumentParser
import Recipes

/// A recipe step on the command line, for example `magnitude-pruning:sparsity=0.8` or `svd:rank=8@fc*`; see `RecipeStep.line`.
struct StepSpecification: ExpressibleByArgument {
    /// Kept as it is and read by `resolve`: ArgumentParser's own message would not say what is wrong with it.
    private var text: String

    init?(argument: String) { text = argument }

    /// Steps of `--step` options, in their order.
    /// - Throws: `EngineError` that says what was expected.
    static func resolve(_ specifications: [StepSpecification]) throws -> [RecipeStep] {
        try specifications.map { try RecipeStep(line: $0.text, place: "--step '\($0.text)'") }
    }
}
