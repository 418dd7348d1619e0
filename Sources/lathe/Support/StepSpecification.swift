import ArgumentParser
import EngineSupport
import Recipes
import Techniques

/// A recipe step on the command line: `technique[?][:key=value,…][@layer,…]`, for example
/// `magnitude-pruning:sparsity=0.8` or `svd:rank=8@fc*`.
///
/// A layer is a name (`*` stands for any run of characters), `kind:conv`, or `0..3` (positions, the last excluded);
/// `!` before it leaves such layers out. `?` behind the technique makes the step optional.
struct StepSpecification: ExpressibleByArgument {
    /// Kept as it is and read by `resolve`: ArgumentParser's own message would not say what is wrong with it.
    private var text: String

    init?(argument: String) { text = argument }

    /// Steps of `--step` options, in their order.
    static func resolve(_ specifications: [StepSpecification]) throws -> [RecipeStep] {
        try specifications.map { try parse($0.text) }
    }

    /// - Throws: `BadInput` that says what was expected.
    static func parse(_ text: String) throws -> RecipeStep {
        func fail(_ message: String) -> BadInput { BadInput("--step '\(text)': \(message)") }
        let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let head = halves[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let isOptional = head[0].hasSuffix("?")
        let id = String(isOptional ? head[0].dropLast() : head[0])
        guard let descriptor = TechniqueRegistry.technique(id)?.descriptor else {
            let known = TechniqueRegistry.all.map(\.descriptor.id).joined(separator: ", ")
            throw fail("there is no technique '\(id)', expected one of \(known)")
        }
        var step = RecipeStep(technique: id, optional: isOptional)
        if head.count == 2 {
            for assignment in head[1].split(separator: ",") {
                let sides = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let key = String(sides[0])
                guard sides.count == 2 else { throw fail("expected key=value, found '\(assignment)'") }
                guard let parameter = descriptor.parameter(key) else {
                    let known = descriptor.parameters.map(\.name).joined(separator: ", ")
                    throw fail("\(id) has no parameter '\(key)'\(known.isEmpty ? "" : ", expected one of \(known)")")
                }
                guard step.parameters[key] == nil else { throw fail("'\(key)' is given twice") }
                do {
                    step.parameters[key] = try parameter.parse(String(sides[1]))
                } catch {
                    throw fail(error.message)
                }
            }
        }
        if halves.count == 2 {
            for word in halves[1].split(separator: ",") {
                if word.hasPrefix("!") {
                    step.layers.exclude.append(try pattern(word.dropFirst(), fail))
                } else {
                    step.layers.include.append(try pattern(word, fail))
                }
            }
            guard step.layers != .all else { throw fail("expected layers after '@'") }
        }
        return step
    }

    private static func pattern(_ word: Substring, _ fail: (String) -> BadInput) throws -> LayerPattern {
        if word.hasPrefix("kind:") {
            let kind = String(word.dropFirst(5))
            guard LayerKinds.all.contains(kind) else {
                throw fail("there is no kind of layer '\(kind)', expected one of \(LayerKinds.all.joined(separator: ", "))")
            }
            return .kind(kind)
        }
        if let dots = word.firstRange(of: ".."), let low = Int(word[..<dots.lowerBound]), let high = Int(word[dots.upperBound...]) {
            guard low >= 0, low < high else { throw fail("positions: expected FIRST..PAST-THE-LAST, found '\(word)'") }
            return .positions(low..<high)
        }
        return .name(String(word))
    }
}
