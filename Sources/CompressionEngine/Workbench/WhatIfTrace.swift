import Recipes
import Techniques

/// A what-if curve in the making.
struct WhatIfTrace: Sendable {
    let recipe: Recipe
    let step: Int
    let parameter: String
    let generation: Int
    let ticket: EventOutlet.Ticket
    /// Values still to do, nearest to the present one first.
    var values: [ParameterValue]

    /// Samples of the validation set behind one point of the curve.
    static let sampleLimit = 2000

    /// - Parameter isDense: every value of the parameter's range.
    init(recipe: Recipe, step: Int, parameter: String, generation: Int, ticket: EventOutlet.Ticket, isDense: Bool = false) {
        self.recipe = recipe
        self.step = step
        self.parameter = parameter
        self.generation = generation
        self.ticket = ticket
        values = []
        guard recipe.steps.indices.contains(step), let technique = TechniqueRegistry.technique(recipe.steps[step].technique),
            let descriptor = technique.descriptor.parameter(parameter)
        else { return }
        let present = recipe.steps[step].parameters[parameter] ?? descriptor.defaultValue
        values = Self.grid(descriptor, around: present, isDense: isDense)
    }

    /// About twenty values over the range, the present one and its neighbors first.
    static func grid(_ descriptor: ParameterDescriptor, around present: ParameterValue, isDense: Bool = false) -> [ParameterValue] {
        var all: [ParameterValue] = []
        func position(_ value: ParameterValue) -> Double {
            switch value {
            case .real(let number): number
            case .integer(let number): Double(number)
            default: 0
            }
        }
        switch descriptor.domain {
        case .flag: all = [.flag(false), .flag(true)]
        case .choice(let choices): all = choices.map { .choice($0.name) }
        case .integer(let range, let step):
            let count = (range.upperBound - range.lowerBound) / step
            let stride = max(1, (count + 19) / 20) * step
            all = Swift.stride(from: range.lowerBound, through: range.upperBound, by: stride).map { .integer($0) }
        case .real(let range, let step):
            let count = Int(((range.upperBound - range.lowerBound) / step).rounded())
            // Where a point costs nothing the curve is fine.
            let stride = max(1, isDense ? (count + 99) / 100 : (count + 19) / 20)
            all = Swift.stride(from: 0, through: count, by: stride).map { descriptor.stepped(.real(range.lowerBound), by: $0) }
        }
        let near = [present, descriptor.stepped(present, by: 1), descriptor.stepped(present, by: -1)]
        var ordered: [ParameterValue] = []
        for value in near + all.sorted(by: { abs(position($0) - position(present)) < abs(position($1) - position(present)) })
        where !ordered.contains(value) { ordered.append(value) }
        return ordered
    }

    func recipe(with value: ParameterValue) -> Recipe {
        var changed = recipe
        changed.steps[step].parameters[parameter] = value
        return changed
    }

    /// Whether the curve is over the live parameter of the recipe's model.
    var isLive: Bool { recipe.steps.indices.contains(step) && recipe.steps[step].liveParameter == parameter && recipe.liveKnob != nil }

    /// The same curve over every value of the range.
    var dense: WhatIfTrace { WhatIfTrace(recipe: recipe, step: step, parameter: parameter, generation: generation, ticket: ticket, isDense: true) }

    func point(_ value: ParameterValue) -> WhatIfPoint { WhatIfPoint(step: step, parameter: parameter, value: value) }
}
