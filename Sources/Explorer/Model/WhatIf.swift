import CompressionEngine
import Measurement
import Recipes
import Techniques

/// Which knob a curve is about, and everything else about the recipe that the curve depends on.
public struct CurveKey: Hashable, Sendable {
    public var step: StepAddress
    public var parameter: String
    /// The recipe with the step switched on and the knob at its default, as canonical text.
    var context: String

    /// - Returns: the key, and the recipe and step to trace; `nil` if the technique cannot be switched on.
    static func request(
        _ step: StepAddress, _ parameter: String, in recipe: Recipe, _ catalog: TechniqueCatalog
    ) -> (key: CurveKey, recipe: Recipe, index: Int)? {
        var traced = recipe
        let index: Int
        if let found = step.index(in: recipe) {
            traced.steps[found].enabled = true
            index = found
            if catalog.problem(in: traced.steps) != nil { return nil }
        } else {
            let added = RecipeStep(technique: step.technique)
            guard case .success(let place) = catalog.place(for: added, in: recipe.steps) else { return nil }
            traced.steps.insert(added, at: place)
            index = place
        }
        var atDefault = traced
        atDefault.steps[index].parameters[parameter] = nil
        let canonical = atDefault.steps.filter(\.enabled).map(\.canonical).joined(separator: "\n")
        return (CurveKey(step: step, parameter: parameter, context: "\(recipe.seed)\n\(canonical)"), traced, index)
    }
}

/// A what-if curve as far as it is known, by ascending value.
public struct WhatIfCurve: Sendable {
    public struct Point: Sendable {
        /// The place on the axis: the number itself, or the choice's position.
        public var x: Double
        public var point: WhatIfPoint
    }

    public private(set) var points: [Point] = []

    mutating func insert(_ point: WhatIfPoint, at x: Double) {
        if let index = points.firstIndex(where: { $0.x >= x }) {
            // What was run on more samples says more: a point of the curve does not take the place of the whole evaluation.
            if points[index].x == x {
                if points[index].point.accuracy?.isComplete == true, point.accuracy?.isComplete == false {
                    points[index].point.live = point.live
                } else if point.accuracy?.seen ?? 0 >= points[index].point.accuracy?.seen ?? 0 {
                    points[index].point = point
                }
            } else {
                points.insert(Point(x: x, point: point), at: index)
            }
        } else {
            points.append(Point(x: x, point: point))
        }
    }
}

extension ParameterDescriptor {
    /// Where a value stands on an axis: numbers as they are, those on a ladder by their rung, choices and flags by position.
    func axisPosition(_ value: ParameterValue) -> Double {
        if let ladder, case .real(let number) = value {
            // Between two rungs in proportion.
            guard let above = ladder.firstIndex(where: { $0 >= number }), above > 0 else { return number <= ladder[0] ? 0 : Double(ladder.count - 1) }
            return Double(above) - (ladder[above] - number) / (ladder[above] - ladder[above - 1])
        }
        return switch (domain, value) {
        case (_, .real(let number)): number
        case (_, .integer(let number)): Double(number)
        case (.choice(let choices), .choice(let name)): Double(choices.firstIndex { $0.name == name } ?? 0)
        case (_, .flag(let on)): on ? 1 : 0
        default: 0
        }
    }

    /// The ends of that axis.
    var axisRange: ClosedRange<Double> {
        if let ladder { return 0...Double(max(1, ladder.count - 1)) }
        return switch domain {
        case .real(let range, _): range
        case .integer(let range, _): Double(range.lowerBound)...Double(range.upperBound)
        case .choice(let choices): 0...Double(max(1, choices.count - 1))
        case .flag: 0...1
        }
    }

    /// The value nearest to a place on the axis.
    func value(atAxis x: Double) -> ParameterValue {
        if let ladder { return .real(ladder[min(max(0, Int(x.rounded())), ladder.count - 1)]) }
        switch domain {
        case .real(let range, let step):
            let steps = ((min(max(x, range.lowerBound), range.upperBound) - range.lowerBound) / step).rounded()
            return stepped(.real(range.lowerBound), by: Int(steps))
        case .integer(let range, let step):
            let steps = ((min(max(x, Double(range.lowerBound)), Double(range.upperBound)) - Double(range.lowerBound)) / Double(step)).rounded()
            return stepped(.integer(range.lowerBound), by: Int(steps))
        case .choice(let choices): return .choice(choices[min(max(0, Int(x.rounded())), choices.count - 1)].name)
        case .flag: return .flag(x >= 0.5)
        }
    }

    /// A value with its unit, as it is shown.
    func shown(_ value: ParameterValue) -> String { unit.isEmpty ? value.text : value.text + " " + unit }
}
