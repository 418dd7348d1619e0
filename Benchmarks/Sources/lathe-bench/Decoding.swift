import Archive
import CompressionEngine
import Foundation
import ModelGraph
import Recipes
import Techniques

/// The packed archive by each code: bytes, and how fast one core decodes. Once with weights as they are, once pruned and shared.
enum Decoding {
    static func run() throws {
        print("decoding the archive on one core (target: at least 200 MB/s of float32 weights)")
        for name in ["lenet-300-100", "lenet-5"] {
            let model = try Model.read(path: Repository.sample(name))
            let steps = [
                RecipeStep(technique: "magnitude-pruning", parameters: ParameterValues(["sparsity": .real(0.9)])),
                RecipeStep(technique: "weight-sharing"),
            ]
            for count in 0...2 {
                let recipe = Recipe(steps: Array(steps[(2 - count)...]))
                let rewritten = try RecipeExecutor(baseline: model).apply(recipe, context: RewriteContext()).model
                let what = count == 0 ? "as it is" : recipe.steps.map(\.technique).joined(separator: " + ")
                for entry in try CodingComparison(rewritten).entries {
                    let line = String(
                        format: "  %-44@  %@ %9d bytes  %8.0f MB/s", "\(name), \(what)" as NSString, entry.name.padding(toLength: 9, withPad: " ", startingAt: 0) as NSString,
                        entry.bytes, entry.megabytesPerSecond)
                    print(line)
                }
            }
        }
    }
}
