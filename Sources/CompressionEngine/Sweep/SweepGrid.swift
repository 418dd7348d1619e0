import EngineSupport
import Foundation
import Recipes
import Techniques

/// One step over several values: `gptq:bits=2..8`, `sparsegpt:sparsity=0.1..0.9/0.1`, `weight-quantization:bits=8|4,granularity=channel|group@fc*`.
public struct SweepGrid: Sendable {
    /// The step with each combination of values, in the order in which they are written.
    public let steps: [RecipeStep]

    /// More than anyone can mean.
    private static let limit = 100_000

    /// - Throws: `EngineError` in one line that says what was expected.
    public init(_ text: String) throws(EngineError) {
        let place = "--grid '\(text)'"
        // Layers, where `0..3` are positions, and other values for some of them stay as they are.
        let end = text.firstIndex { $0 == "@" || $0 == ";" } ?? text.endIndex
        let head = text[..<end]
        let colon = head.firstIndex(of: ":") ?? head.endIndex
        let technique = head[..<colon].filter { $0 != "?" && $0 != "~" }
        guard let descriptor = TechniqueRegistry.technique(technique)?.descriptor else { throw EngineError(.recipe, "\(place): there is no technique '\(technique)'") }
        var lines = [String(head[..<colon])]
        let assignments = colon == head.endIndex ? [] : head[head.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: true)
        for (number, assignment) in assignments.enumerated() {
            guard let equals = assignment.firstIndex(of: "=") else { throw EngineError(.recipe, "\(place): expected key=values, found '\(assignment)'") }
            let name = String(assignment[..<equals])
            guard let parameter = descriptor.parameter(name) else {
                throw EngineError(.recipe, "\(place): \(technique) has no parameter '\(name)', expected \(descriptor.parameters.map(\.name).joined(separator: ", "))")
            }
            let values = try Self.values(String(assignment[assignment.index(after: equals)...]), parameter, place)
            guard lines.count * values.count <= Self.limit else { throw EngineError(.recipe, "\(place): more than \(Self.limit) combinations") }
            let separator = number == 0 ? ":" : ","
            lines = lines.flatMap { line in values.map { "\(line)\(separator)\(name)=\($0)" } }
        }
        var steps: [RecipeStep] = []
        for line in lines { steps.append(try RecipeStep(line: line + text[end...], place: place)) }
        self.steps = steps
    }

    /// `a..b`, `a..b/step` and single values with `|` between.
    private static func values(_ text: String, _ parameter: ParameterDescriptor, _ place: String) throws(EngineError) -> [String] {
        var values: [String] = []
        for part in text.split(separator: "|", omittingEmptySubsequences: false).map(String.init) {
            guard let dots = part.range(of: "..") else {
                guard !part.isEmpty else { throw EngineError(.recipe, "\(place): \(parameter.name) has an empty value") }
                values.append(part)
                continue
            }
            switch parameter.domain {
            case .choice, .flag: throw EngineError(.recipe, "\(place): \(parameter.name) has no range, expected \(parameter.expectation) with | between")
            case .integer, .real: break
            }
            let expected = EngineError(.recipe, "\(place): expected values of \(parameter.name) such as 2..8, 0.1..0.9/0.1 or 4|6|8, found '\(part)'")
            let rest = part[dots.upperBound...].split(separator: "/", omittingEmptySubsequences: false)
            guard let low = Double(part[..<dots.lowerBound]), rest.count <= 2, let high = Double(rest[0]), low.isFinite, high.isFinite, low <= high else { throw expected }
            let step: Double
            switch parameter.domain {
            case .integer(_, let own):
                guard low == low.rounded(), high == high.rounded() else { throw expected }
                if rest.count == 2 {
                    guard let given = Int(rest[1]), given > 0 else { throw expected }
                    step = Double(given)
                } else {
                    step = Double(own)
                }
            case .real:
                guard rest.count == 2, let given = Double(rest[1]), given.isFinite, given > 0 else {
                    throw EngineError(.recipe, "\(place): \(parameter.name) is a real number, so its range needs a step: \(part.prefix { $0 != "/" })/0.1")
                }
                step = given
            case .choice, .flag: throw expected
            }
            let count = ((high - low) / step + 1e-9).rounded(.down)
            guard count < Double(limit) else { throw EngineError(.recipe, "\(place): more than \(limit) values of \(parameter.name)") }
            for index in 0...Int(count) {
                // On round numbers, whatever sums in binary fractions come to.
                let value = ((low + Double(index) * step) * 1e9).rounded() / 1e9
                values.append(ParameterValue.real(value).text)
            }
        }
        return values
    }

    /// Recipes with one step of each grid, in their order: all combinations.
    /// - Throws: `EngineError` where there are too many, or the steps make no sense in this order.
    public static func product(_ grids: [SweepGrid]) throws(EngineError) -> [Recipe] {
        var recipes = [Recipe()]
        for grid in grids {
            guard recipes.count * grid.steps.count <= limit else { throw EngineError(.recipe, "--grid: more than \(limit) combinations") }
            recipes = recipes.flatMap { recipe in grid.steps.map { Recipe(seed: recipe.seed, steps: recipe.steps + [$0]) } }
        }
        for recipe in recipes { try RecipeOrder.check(recipe) }
        return recipes
    }
}
