@testable import Differentiation

/// Normalizations.
enum NormalizationCases {
    private static func batch(_ title: String, _ x: [Int], opset: Int = 17) -> GradientCase {
        GradientCase("BatchNormalization, frozen, \(title)", opset: opset) { s in
            let channels = x[1]
            return s.node(
                "BatchNormalization", s.input(shape: x), s.input(channels), s.input(channels), s.floats((0..<channels).map { Float($0) / 5 }),
                s.floats((0..<channels).map { 0.5 + Float($0) }), with: ["epsilon": 0.01])
        }
    }

    private static func statistics(_ title: String, _ x: [Int], outputs: Int = 1, opset: Int = 17) -> GradientCase {
        GradientCase.several("BatchNormalization, of the batch, \(title)", opset: opset) { s in
            let made = s.nodes(
                BatchNormalizationMacro.opType, [s.input(shape: x), s.input(x[1]), s.input(x[1])], with: ["epsilon": 0.01], outputs: 4, domain: Macro.domain)
            return Array(made.prefix(outputs))
        }
    }

    private static func layer(_ title: String, _ x: [Int], _ scale: [Int], bias: Bool = true, axis: Int) -> GradientCase {
        GradientCase("LayerNormalization, \(title)") { s in
            var inputs = [s.input(shape: x), s.input(shape: scale)]
            if bias { inputs.append(s.input(shape: scale)) }
            return s.nodes("LayerNormalization", inputs, with: ["axis": .int(axis), "epsilon": 0.01], outputs: 1)[0]
        }
    }

    static let all: [GradientCase] = [
        batch("planes", [2, 3, 4, 4]), batch("one axis", [2, 3, 4]), batch("features", [4, 3]), batch("opset 9", [2, 3, 4, 4], opset: 9),
        statistics("planes", [2, 3, 4, 4]), statistics("one axis", [2, 3, 4]), statistics("features", [5, 3]), statistics("opset 18", [2, 3, 4, 4], opset: 18),
        layer("last axis", [2, 3, 6], [6], axis: -1), layer("no bias", [2, 3, 6], [6], bias: false, axis: 2), layer("two axes", [2, 3, 4], [3, 4], axis: 1),
        layer("scale broadcast", [2, 3, 4], [4], axis: 1),
        GradientCase("LayerNormalization, its statistics given out") { s in
            s.nodes("LayerNormalization", [s.input(2, 6), s.input(6), s.input(6)], with: ["epsilon": 0.01], outputs: 3)[0]
        },
        GradientCase("InstanceNormalization") {
            $0.node("InstanceNormalization", $0.input(2, 3, 4, 4), $0.input(3), $0.input(3), with: ["epsilon": 0.01])
        },
        GradientCase("InstanceNormalization, one axis") { $0.node("InstanceNormalization", $0.input(2, 3, 6), $0.input(3), $0.input(3)) },
        GradientCase("GroupNormalization, scale per group", opset: 18) {
            $0.node("GroupNormalization", $0.input(2, 6, 3, 3), $0.input(2), $0.input(2), with: ["num_groups": 2, "epsilon": 0.01])
        },
        GradientCase("GroupNormalization, scale per channel", opset: 21) {
            $0.node("GroupNormalization", $0.input(2, 6, 3, 3), $0.input(6), $0.input(6), with: ["num_groups": 2, "epsilon": 0.01])
        },
        GradientCase("LpNormalization") { $0.node("LpNormalization", $0.input(2, 3, 4)) },
        GradientCase("LpNormalization, axis") { $0.node("LpNormalization", $0.input(2, 3, 4), with: ["axis": 1]) },
        GradientCase("LpNormalization, L1") { $0.node("LpNormalization", $0.input(2, 3, 4), with: ["axis": 1, "p": 1]) },
    ]
}
