/// Arithmetic, functions of one value, and selection.
enum ElementwiseCases {
    static let all: [GradientCase] = arithmetic + several + functions + positive + selection

    private static let arithmetic: [GradientCase] =
        ["Add", "Sub", "Mul", "Div"].flatMap { (type: String) -> [GradientCase] in
            [
                GradientCase("\(type), equal shapes") { $0.node(type, $0.input(2, 3), $0.input(2, 3, in: 0.5...2)) },
                GradientCase("\(type), right side broadcast") { $0.node(type, $0.input(2, 3, 4), $0.input(3, 1, in: 0.5...2)) },
                GradientCase("\(type), left side broadcast") { $0.node(type, $0.input(4), $0.input(2, 3, 4, in: 0.5...2)) },
                GradientCase("\(type), both sides broadcast") { $0.node(type, $0.input(2, 1, 4), $0.input(3, 1, in: 0.5...2)) },
                GradientCase("\(type), with a scalar") { $0.node(type, $0.input(2, 3), $0.input(shape: [], in: 0.5...2)) },
            ]
        }

    private static let several: [GradientCase] = [
        GradientCase("Mul, a value by itself") { s in
            let x = s.input(2, 3)
            return s.node("Mul", x, x)
        },
        GradientCase("Pow, square") { $0.node("Pow", $0.input(2, 3), $0.floats([2], [])) },
        GradientCase("Pow, cube of negative values") { $0.node("Pow", $0.input(2, 3), $0.floats([3], [1])) },
        GradientCase("Pow, integer exponent") { $0.node("Pow", $0.input(2, 3), $0.integers([3], [])) },
        GradientCase("Pow, exponent of a higher rank") { $0.node("Pow", $0.input(2, in: 0.5...2), $0.floats([3], [1, 1, 1])) },
        GradientCase("Pow, both sides") { $0.node("Pow", $0.input(2, 1, in: 0.5...2), $0.input(3)) },
        GradientCase("Pow, constant exponents") { $0.node("Pow", $0.input(2, 1, in: 0.5...2), $0.floats([1, 2.5, 3])) },
        GradientCase("Sum of three") { $0.node("Sum", $0.input(2, 3), $0.input(3), $0.input(2, 1)) },
        GradientCase("Mean of three") { $0.node("Mean", $0.input(2, 3), $0.input(3), $0.input(2, 1)) },
        GradientCase("Max of three") { $0.node("Max", $0.input(2, 3), $0.input(3), $0.input(2, 1)) },
        GradientCase("Max, opset 8", opset: 8) { $0.node("Max", $0.input(2, 3), $0.input(3)) },
        GradientCase("Min of two") { $0.node("Min", $0.input(2, 3), $0.input(3)) },
        GradientCase("Max with a constant") { $0.node("Max", $0.input(2, 3), $0.floats([0.1], [])) },
    ]

    private static let functions: [GradientCase] = ["Neg", "Exp", "Abs", "Sin", "Cos", "Erf", "Identity", "Atan"].map { (type: String) -> GradientCase in
        GradientCase(type) { $0.node(type, $0.input(2, 6)) }
    }

    private static let positive: [GradientCase] = ["Log", "Sqrt", "Reciprocal"].map { (type: String) -> GradientCase in
        GradientCase(type) { $0.node(type, $0.input(2, 6, in: 0.5...3)) }
    }

    private static let selection: [GradientCase] = [
        GradientCase("Dropout, opset 13") { $0.node("Dropout", $0.input(2, 3)) },
        GradientCase("Dropout, opset 10", opset: 10) { $0.node("Dropout", $0.input(2, 3), with: ["ratio": 0.5]) },
        GradientCase("Cast to float") { $0.node("Cast", $0.input(2, 3), with: ["to": 1]) },
        GradientCase("Where") { s in
            let condition = s.node("Cast", s.integers([1, 0, 1, 0, 0, 1], [2, 3]), with: ["to": 9])
            return s.node("Where", condition, s.input(2, 3), s.input(3))
        },
        GradientCase("Where, condition broadcast") { s in
            let condition = s.node("Cast", s.integers([1, 0], [2, 1]), with: ["to": 9])
            return s.node("Where", condition, s.input(3), s.input(shape: []))
        },
        GradientCase("Where by a comparison of what is differentiated") { s in
            let x = s.input(2, 4)
            let y = s.node("Mul", x, x)
            return s.node("Where", s.node("Greater", x, s.floats([0], [])), y, s.node("Neg", x))
        },
    ]
}
