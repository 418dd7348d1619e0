@testable import Differentiation

/// Pooling.
enum PoolingCases {
    private static func pool(_ type: String, _ title: String, _ x: [Int], opset: Int = 17, with settings: KeyValuePairs<String, Setting>) -> GradientCase {
        // Inputs lie further apart than the step, so that no maximum changes its place.
        let half = Float(x.reduce(1, *)) / 10
        return GradientCase("\(type), \(title)", opset: opset, step: 0.01) { $0.node(type, $0.input(shape: x, in: -half...half), with: settings) }
    }

    static let all: [GradientCase] = windows + special + folded

    /// Tiled windows over batches of two samples that lie behind the width.
    private static let folded: [GradientCase] =
        [FoldedPooling.maximum, FoldedPooling.average].flatMap { type in [tiled(type, 4, 6), tiled(type, 5, 7)] }

    private static func tiled(_ type: String, _ height: Int, _ width: Int) -> GradientCase {
        let half = Float(height * width * 6) / 10
        return GradientCase("\(type), \(height) × \(width)", step: 0.01) { s in
            let x = s.input(shape: [1, 3, height, width * 2], in: -half...half)
            return s.nodes(type, [x], with: ["kernel_shape": [2, 2], "samples": 2], outputs: 1, domain: Macro.domain)[0]
        }
    }

    private static let windows: [GradientCase] =
        ["MaxPool", "AveragePool"].flatMap { (type: String) -> [GradientCase] in
            [
                pool(type, "side by side", [2, 3, 4, 6], with: ["kernel_shape": [2, 2], "strides": [2, 2]]),
                pool(type, "side by side, some never reached", [2, 3, 5, 7], with: ["kernel_shape": [2, 2], "strides": [2, 2]]),
                pool(type, "side by side, 3×2", [1, 2, 6, 6], with: ["kernel_shape": [3, 2], "strides": [3, 2]]),
                pool(type, "side by side, rounded up", [1, 2, 5, 5], with: ["kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1]),
                pool(type, "overlapping", [2, 3, 7, 7], with: ["kernel_shape": [3, 3], "strides": [2, 2]]),
                pool(type, "overlapping, pads", [2, 3, 6, 6], with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]]),
                pool(type, "uneven pads", [1, 3, 6, 6], with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 0]]),
                pool(type, "stride 1", [1, 3, 5, 5], with: ["kernel_shape": [2, 3]]),
                pool(type, "rounded up", [1, 3, 6, 6], with: ["kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1]),
                pool(type, "rounded up, pads", [1, 3, 6, 6], with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1]),
                pool(type, "strides wider than the window", [1, 2, 7, 7], with: ["kernel_shape": [2, 2], "strides": [3, 3]]),
                pool(type, "SAME_UPPER", [1, 2, 5, 6], with: ["kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"]),
                pool(type, "SAME_LOWER", [1, 2, 5, 6], with: ["kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"]),
                pool(type, "one axis", [2, 3, 9], with: ["kernel_shape": [3], "strides": [2]]),
                pool(type, "one axis, side by side", [2, 3, 8], with: ["kernel_shape": [2], "strides": [2]]),
                pool(type, "opset 9", [1, 2, 5, 5], opset: 9, with: ["kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]]),
                pool(type, "opset 9, side by side", [1, 2, 5, 5], opset: 9, with: ["kernel_shape": [2, 2], "strides": [2, 2]]),
                pool(type, "opset 8", [1, 2, 5, 5], opset: 8, with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]]),
            ]
        }

    private static let special: [GradientCase] = [
        pool("MaxPool", "dilations", [1, 2, 7, 7], with: ["kernel_shape": [2, 2], "dilations": [2, 3]]),
        pool("AveragePool", "dilations", [1, 2, 7, 7], opset: 19, with: ["kernel_shape": [2, 2], "dilations": [2, 3]]),
        pool("AveragePool", "pads counted", [1, 2, 6, 6], with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1]),
        pool("AveragePool", "pads counted, stride 1", [1, 2, 5, 5], with: ["kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1]),
        pool(
            "AveragePool", "pads counted, rounded up", [1, 2, 6, 6], opset: 19,
            with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1, "ceil_mode": 1]),
        pool("GlobalAveragePool", "planes", [2, 3, 4, 5], with: [:]),
        pool("GlobalAveragePool", "one axis", [2, 3, 5], with: [:]),
        pool("GlobalAveragePool", "three axes", [1, 2, 3, 2, 2], with: [:]),
        pool("GlobalMaxPool", "planes", [2, 3, 4, 5], with: [:]),
    ]
}
