/// Activation functions.
enum ActivationCases {
    private static func one(_ type: String, _ title: String = "", opset: Int = 17, with settings: KeyValuePairs<String, Setting> = [:], in range: ClosedRange<Float> = -2...2)
        -> GradientCase
    {
        GradientCase(title.isEmpty ? type : "\(type), \(title)", opset: opset) { $0.node(type, $0.input(2, 3, 4, in: range), with: settings) }
    }

    static let all: [GradientCase] = [
        one("Relu"),
        one("LeakyRelu"), one("LeakyRelu", "slope", with: ["alpha": 0.3]),
        one("Sigmoid"), one("Tanh"), one("Softplus", in: -4...4), one("Softsign"),
        one("HardSigmoid", in: -4...4), one("HardSigmoid", "settings", with: ["alpha": 0.4, "beta": 0.3]),
        one("HardSwish", in: -5...5),
        one("Elu"), one("Elu", "alpha", with: ["alpha": 0.6]),
        one("Selu"), one("Selu", "settings", with: ["alpha": 1.2, "gamma": 0.8]),
        one("Celu"), one("Celu", "alpha", with: ["alpha": 0.6]),
        one("ThresholdedRelu", with: ["alpha": 0.5]),
        one("Gelu", "exact", opset: 20), one("Gelu", "tanh", opset: 20, with: ["approximate": "tanh"]),
        one("Mish", opset: 18),
        GradientCase("PRelu, one slope") { $0.node("PRelu", $0.input(2, 3, 4), $0.input(1, in: 0.1...0.5)) },
        GradientCase("PRelu, slope per channel") { $0.node("PRelu", $0.input(2, 3, 4), $0.input(3, 1, in: 0.1...0.5)) },
        GradientCase("Clip, inputs") { $0.node("Clip", $0.input(2, 6), $0.floats([-0.9], []), $0.floats([1.1], [])) },
        GradientCase("Clip, upper bound only") { $0.node("Clip", $0.input(2, 6), "", $0.floats([1.1], [])) },
        GradientCase("Clip, lower bound only") { $0.node("Clip", $0.input(2, 6), $0.floats([-0.9], [])) },
        GradientCase("Clip, unbounded") { $0.node("Clip", $0.input(2, 6)) },
        GradientCase("Clip, attributes", opset: 10) { $0.node("Clip", $0.input(2, 6), with: ["min": -0.9, "max": 1.1]) },
        GradientCase("Clip, opset 8", opset: 8) { $0.node("Clip", $0.input(2, 6), with: ["min": -0.9, "max": 1.1]) },
        one("Relu", "opset 8", opset: 8), one("LeakyRelu", "opset 8", opset: 8), one("Elu", "opset 8", opset: 8),
        one("Softmax", "last axis"), one("Softmax", "middle axis", with: ["axis": 1]), one("Softmax", "negative axis", with: ["axis": -2]),
        one("Softmax", "opset 11 flattens", opset: 11), one("Softmax", "opset 11, last axis", opset: 11, with: ["axis": 2]),
        one("Softmax", "opset 11, first axis", opset: 11, with: ["axis": 0]),
        one("LogSoftmax", "last axis"), one("LogSoftmax", "first axis", with: ["axis": 0]), one("LogSoftmax", "opset 11 flattens", opset: 11),
    ]
}
