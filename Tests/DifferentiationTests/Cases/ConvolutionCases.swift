@testable import Differentiation

/// Convolutions and transposed convolutions.
enum ConvolutionCases {
    /// Linear in each input: a long step keeps rounding small.
    private static func conv(
        _ title: String, _ x: [Int], _ w: [Int], bias: Bool = false, opset: Int = 17, type: String = "Conv", with settings: KeyValuePairs<String, Setting> = [:]
    ) -> GradientCase {
        GradientCase("\(type), \(title)", opset: opset, step: 0.25) { s in
            let group: Int = if case .int(let value)? = settings.first(where: { $0.key == "group" })?.value { value } else { 1 }
            var inputs = [s.input(shape: x), s.input(shape: w)]
            if bias { inputs.append(s.input(shape: [type == "Conv" ? w[0] : w[1] * group])) }
            return s.nodes(type, inputs, with: settings, outputs: 1)[0]
        }
    }

    static let all: [GradientCase] = plain + grouped + flat + transposed + folded

    /// Strided windows over batches that lie behind the width, two or three samples.
    private static func behind(_ title: String, _ x: [Int], _ w: [Int], samples: Int, bias: Bool = false, with settings: KeyValuePairs<String, Setting>) -> GradientCase {
        GradientCase("folded, \(title)", step: 0.25) { s in
            var inputs = [s.input(shape: [1, x[0], x[1], x[2] * samples]), s.input(shape: w)]
            if bias { inputs.append(s.input(w[0])) }
            let made = s.nodes(FoldedConvolution.opType, inputs, with: settings, outputs: 1, domain: Macro.domain)[0]
            s.set("samples", .int(samples), ofMaker: made)
            s.set("kernel_shape", .ints(Array(w.dropFirst(2))), ofMaker: made)
            return made
        }
    }

    private static let folded: [GradientCase] = [
        behind("strides", [3, 7, 8], [4, 3, 3, 3], samples: 2, bias: true, with: ["strides": [2, 2]]),
        behind("strides, uneven pads", [5, 6, 7], [4, 5, 3, 3], samples: 3, with: ["pads": [0, 2, 1, 0], "strides": [2, 3]]),
        behind("strides, rows never reached", [2, 8, 8], [4, 2, 3, 3], samples: 2, with: ["strides": [3, 3]]),
        behind("strides wider than the window", [2, 8, 8], [4, 2, 1, 2], samples: 2, with: ["strides": [3, 3]]),
        behind(
            "dilations, strides, groups", [4, 7, 8], [6, 2, 3, 2], samples: 2, bias: true, with: ["dilations": [2, 1], "strides": [1, 2], "group": 2, "pads": [1, 1, 1, 1]]),
        behind("depthwise", [4, 7, 8], [4, 1, 3, 3], samples: 2, with: ["strides": [2, 2], "group": 4, "pads": [1, 1, 1, 1]]),
    ]

    private static let plain: [GradientCase] = [
        conv("3×3", [2, 3, 5, 6], [4, 3, 3, 3], bias: true),
        conv("3×3, many channels", [2, 6, 5, 6], [4, 6, 3, 3], bias: true),
        conv("3×3, pads", [2, 3, 5, 6], [4, 3, 3, 3], with: ["pads": [1, 1, 1, 1]]),
        conv("3×3, pads, many channels", [2, 5, 5, 6], [4, 5, 3, 3], with: ["pads": [1, 1, 1, 1]]),
        conv("uneven pads", [2, 3, 5, 6], [4, 3, 3, 3], with: ["pads": [0, 2, 1, 0]]),
        conv("uneven pads, strides", [2, 5, 6, 7], [4, 5, 3, 3], with: ["pads": [0, 2, 1, 0], "strides": [2, 3]]),
        conv("pads wider than the window", [1, 2, 4, 4], [2, 2, 2, 2], with: ["pads": [3, 3, 2, 2]]),
        conv("strides", [2, 3, 7, 8], [4, 3, 3, 3], bias: true, with: ["strides": [2, 2]]),
        conv("strides, rows never reached", [2, 5, 8, 8], [4, 5, 3, 3], with: ["strides": [3, 3]]),
        conv("strides wider than the window", [2, 5, 8, 8], [4, 5, 1, 2], with: ["strides": [3, 3]]),
        conv("dilations", [2, 3, 7, 8], [4, 3, 3, 3], with: ["dilations": [2, 3]]),
        conv("dilations, pads, strides", [2, 5, 7, 8], [4, 5, 3, 2], with: ["dilations": [2, 1], "pads": [2, 1, 2, 1], "strides": [1, 2]]),
        conv("1×1", [2, 6, 4, 4], [5, 6, 1, 1], bias: true),
        conv("1×1, few channels", [2, 3, 4, 4], [5, 3, 1, 1]),
        conv("1×1, strides", [2, 6, 5, 5], [4, 6, 1, 1], with: ["strides": [2, 2]]),
        conv("5×5, no pads", [1, 2, 8, 8], [3, 2, 5, 5]),
        conv("5×5, pads, many channels", [1, 5, 6, 6], [3, 5, 5, 5], with: ["pads": [2, 2, 2, 2]]),
        conv("7×1", [1, 5, 8, 4], [3, 5, 7, 1], with: ["pads": [3, 0, 3, 0]]),
        conv("1×7", [1, 5, 4, 8], [3, 5, 1, 7], with: ["pads": [0, 3, 0, 3]]),
        conv("SAME_UPPER, strides", [2, 3, 6, 7], [4, 3, 3, 3], with: ["auto_pad": "SAME_UPPER", "strides": [2, 2]]),
        conv("SAME_LOWER, strides", [2, 3, 6, 7], [4, 3, 3, 3], with: ["auto_pad": "SAME_LOWER", "strides": [2, 2]]),
        conv("SAME_UPPER, even window", [2, 3, 6, 7], [4, 3, 2, 4], with: ["auto_pad": "SAME_UPPER"]),
        conv("SAME_LOWER, even window", [2, 5, 6, 7], [4, 5, 2, 4], with: ["auto_pad": "SAME_LOWER"]),
        conv("VALID", [2, 3, 6, 7], [4, 3, 3, 3], with: ["auto_pad": "VALID"]),
        conv("one place", [2, 3, 3, 3], [4, 3, 3, 3]),
        conv("opset 9", [2, 5, 6, 6], [4, 5, 3, 3], opset: 9, with: ["pads": [1, 1, 1, 1]]),
        conv("opset 8", [2, 5, 6, 6], [4, 5, 3, 3], opset: 8, with: ["pads": [1, 1, 1, 1], "strides": [2, 2]]),
        conv("opset 11", [2, 3, 6, 6], [4, 3, 3, 3], opset: 11, with: ["pads": [1, 1, 1, 1], "strides": [2, 2]]),
    ]

    private static let grouped: [GradientCase] = [
        conv("groups", [2, 4, 5, 6], [6, 2, 3, 3], bias: true, with: ["group": 2, "pads": [1, 1, 1, 1]]),
        conv("groups, strides", [2, 6, 6, 6], [3, 2, 3, 3], with: ["group": 3, "strides": [2, 2]]),
        conv("groups, 1×1", [2, 4, 4, 4], [6, 2, 1, 1], with: ["group": 2]),
        conv("depthwise", [2, 5, 6, 6], [5, 1, 3, 3], bias: true, with: ["group": 5, "pads": [1, 1, 1, 1]]),
        conv("depthwise, strides", [2, 5, 7, 7], [5, 1, 3, 3], with: ["group": 5, "pads": [0, 0, 1, 1], "strides": [2, 2]]),
        conv("depthwise, 5×5", [1, 3, 7, 7], [3, 1, 5, 5], with: ["group": 3, "pads": [2, 2, 2, 2]]),
        conv("depthwise, two per channel", [2, 3, 6, 6], [6, 1, 3, 3], with: ["group": 3, "pads": [1, 1, 1, 1]]),
        conv("depthwise, dilations", [1, 3, 8, 8], [3, 1, 3, 3], with: ["group": 3, "dilations": [2, 2]]),
    ]

    private static let flat: [GradientCase] = [
        conv("one axis", [2, 3, 9], [4, 3, 3], bias: true),
        conv("one axis, many channels, pads", [2, 6, 9], [4, 6, 3], with: ["pads": [1, 2]]),
        conv("one axis, strides, dilations", [2, 6, 12], [4, 6, 3], with: ["strides": [2], "dilations": [2], "pads": [1, 0]]),
        conv("one axis, wide window", [2, 2, 12], [4, 2, 7], with: ["strides": [3]]),
        conv("one axis, depthwise", [2, 4, 9], [4, 1, 5], with: ["group": 4, "pads": [2, 2]]),
        conv("one axis, SAME_UPPER", [2, 3, 10], [4, 3, 4], with: ["auto_pad": "SAME_UPPER", "strides": [2]]),
    ]

    private static func back(_ title: String, _ x: [Int], _ w: [Int], bias: Bool = false, opset: Int = 17, with settings: KeyValuePairs<String, Setting> = [:]) -> GradientCase {
        conv(title, x, w, bias: bias, opset: opset, type: "ConvTranspose", with: settings)
    }

    private static let transposed: [GradientCase] = [
        back("3×3", [2, 3, 4, 5], [3, 4, 3, 3], bias: true),
        back("strides", [2, 3, 4, 5], [3, 4, 3, 3], bias: true, with: ["strides": [2, 3]]),
        back("strides, many channels", [2, 6, 4, 5], [6, 5, 2, 2], with: ["strides": [2, 2]]),
        back("pads", [2, 3, 4, 5], [3, 4, 3, 3], with: ["strides": [2, 2], "pads": [1, 0, 1, 1]]),
        back("output padding", [2, 3, 4, 5], [3, 4, 3, 3], with: ["strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]]),
        back("output padding beyond the window", [2, 3, 4, 4], [3, 4, 2, 2], with: ["strides": [3, 3], "output_padding": [1, 2]]),
        back("groups", [2, 4, 4, 4], [4, 3, 3, 3], bias: true, with: ["group": 2, "strides": [2, 2]]),
        back("depthwise", [2, 4, 4, 4], [4, 1, 4, 4], with: ["group": 4, "strides": [2, 2], "pads": [1, 1, 1, 1]]),
        back("dilations", [2, 3, 4, 5], [3, 4, 3, 3], with: ["dilations": [2, 2]]),
        back("one axis", [2, 3, 6], [3, 4, 4], bias: true, with: ["strides": [2], "pads": [1, 1]]),
        back("output shape", [1, 3, 4, 4], [3, 2, 3, 3], with: ["strides": [2, 2], "output_shape": [8, 8]]),
        back("SAME_UPPER", [1, 3, 4, 4], [3, 2, 3, 3], with: ["strides": [2, 2], "auto_pad": "SAME_UPPER"]),
        back("SAME_LOWER", [1, 3, 4, 4], [3, 2, 3, 3], with: ["strides": [2, 2], "auto_pad": "SAME_LOWER"]),
        back("opset 10", [1, 3, 4, 4], [3, 2, 3, 3], opset: 10, with: ["strides": [2, 2], "pads": [1, 1, 0, 0]]),
    ]
}
