/// Operators that move elements about.
enum ShapeCases {
    static let all: [GradientCase] = forms + joints + slices + pads + resizing

    private static let forms: [GradientCase] = [
        GradientCase("Reshape") { $0.node("Reshape", $0.input(2, 6), $0.integers([3, -1])) },
        GradientCase("Flatten") { $0.node("Flatten", $0.input(2, 3, 4), with: ["axis": 2]) },
        GradientCase("Squeeze, opset 13") { $0.node("Squeeze", $0.input(2, 1, 3), $0.integers([1])) },
        GradientCase("Squeeze, all") { $0.node("Squeeze", $0.input(1, 2, 1, 3)) },
        GradientCase("Squeeze, opset 11", opset: 11) { $0.node("Squeeze", $0.input(2, 1, 3), with: ["axes": [1]]) },
        GradientCase("Unsqueeze, opset 13") { $0.node("Unsqueeze", $0.input(2, 3), $0.integers([-1, 0])) },
        GradientCase("Unsqueeze, opset 11", opset: 11) { $0.node("Unsqueeze", $0.input(2, 3), with: ["axes": [1]]) },
        GradientCase("Transpose") { $0.node("Transpose", $0.input(2, 3, 4), with: ["perm": [2, 0, 1]]) },
        GradientCase("Transpose, default") { $0.node("Transpose", $0.input(2, 3, 4)) },
        GradientCase("Transpose, extents of one") { $0.node("Transpose", $0.input(1, 3, 1, 4), with: ["perm": [2, 1, 3, 0]]) },
        GradientCase("Expand") { $0.node("Expand", $0.input(3, 1), $0.integers([2, 3, 4])) },
        GradientCase("Expand, shape of a lower rank") { $0.node("Expand", $0.input(2, 3, 1), $0.integers([4])) },
        GradientCase("Tile") { $0.node("Tile", $0.input(2, 3), $0.integers([2, 3])) },
        GradientCase("DepthToSpace, DCR") { $0.node("DepthToSpace", $0.input(1, 8, 2, 3), with: ["blocksize": 2]) },
        GradientCase("DepthToSpace, CRD") { $0.node("DepthToSpace", $0.input(1, 8, 2, 3), with: ["blocksize": 2, "mode": "CRD"]) },
        GradientCase("SpaceToDepth") { $0.node("SpaceToDepth", $0.input(1, 2, 4, 6), with: ["blocksize": 2]) },
        GradientCase("Trilu, upper") { $0.node("Trilu", $0.input(2, 3, 4)) },
        GradientCase("Trilu, lower, offset") { $0.node("Trilu", $0.input(3, 4), $0.integers([1], []), with: ["upper": 0]) },
        GradientCase("CumSum") { $0.node("CumSum", $0.input(2, 4), $0.integers([1], [])) },
        GradientCase("CumSum, exclusive, reverse") { $0.node("CumSum", $0.input(2, 4), $0.integers([0], []), with: ["exclusive": 1, "reverse": 1]) },
        GradientCase("CumSum, exclusive") { $0.node("CumSum", $0.input(2, 4), $0.integers([-1], []), with: ["exclusive": 1]) },
    ]

    private static let joints: [GradientCase] = [
        GradientCase("Concat") { $0.node("Concat", $0.input(2, 3), $0.input(2, 1), $0.input(2, 2), with: ["axis": 1]) },
        GradientCase("Concat, negative axis") { $0.node("Concat", $0.input(2, 3), $0.floats([1, 2], [2, 1]), with: ["axis": -1]) },
        GradientCase("Concat, a value twice") { s in
            let x = s.input(2, 3)
            return s.node("Concat", x, x, with: ["axis": 0])
        },
        GradientCase.several("Split, opset 13") { s in s.nodes("Split", [s.input(2, 6), s.integers([1, 2, 3])], with: ["axis": 1], outputs: 3) },
        GradientCase.several("Split, one part unused") { s in Array(s.nodes("Split", [s.input(2, 6), s.integers([1, 2, 3])], with: ["axis": -1], outputs: 3).dropFirst()) },
        GradientCase.several("Split, equal parts, opset 18", opset: 18) { s in s.nodes("Split", [s.input(4, 3)], with: ["num_outputs": 2], outputs: 2) },
        GradientCase.several("Split, opset 11", opset: 11) { s in s.nodes("Split", [s.input(2, 6)], with: ["axis": 1, "split": [2, 4]], outputs: 2) },
    ]

    private static func slice(_ title: String, _ dims: [Int], _ starts: [Int], _ ends: [Int], _ axes: [Int]?, _ steps: [Int]?, opset: Int = 17) -> GradientCase {
        GradientCase("Slice, \(title)", opset: opset) { s in
            var inputs = [s.input(shape: dims), s.integers(starts), s.integers(ends)]
            if axes != nil || steps != nil { inputs.append(axes.map { s.integers($0) } ?? "") }
            if let steps { inputs.append(s.integers(steps)) }
            return s.nodes("Slice", inputs, outputs: 1)[0]
        }
    }

    private static let slices: [GradientCase] = [
        slice("rows", [4, 5], [1], [3], nil, nil),
        slice("to the end", [4, 5], [1], [Int.max], [1], nil),
        slice("negative bounds", [4, 5], [-3], [-1], [1], nil),
        slice("steps", [4, 7], [1], [7], [1], [2]),
        slice("negative step", [4, 5], [-1], [Int.min + 1], [1], [-1]),
        slice("negative step by two", [4, 7], [5], [0], [-1], [-2]),
        slice("two axes", [4, 7], [1, -6], [4, 100], [0, 1], [2, 3]),
        slice("step past the end", [4, 7], [0], [7], [1], [5]),
        slice("all", [4, 5], [0], [4], [0], [1]),
        slice("opset 10", [4, 5], [1, 0], [3, 5], [0, 1], [1, 2], opset: 10),
        GradientCase("Slice, opset 9", opset: 9) { $0.node("Slice", $0.input(4, 5), with: ["starts": [1, -4], "ends": [3, 1000], "axes": [0, 1]]) },
        GradientCase("Slice, opset 9, no axes", opset: 9) { $0.node("Slice", $0.input(4, 5), with: ["starts": [1], "ends": [-1]]) },
    ]

    private static func pad(_ title: String, _ dims: [Int], _ pads: [Int], mode: String = "constant", axes: [Int]? = nil, opset: Int = 18) -> GradientCase {
        GradientCase("Pad, \(title)", opset: opset) { s in
            var inputs = [s.input(shape: dims), s.integers(pads)]
            if let axes { inputs += ["", s.integers(axes)] }
            return s.nodes("Pad", inputs, with: ["mode": .text(mode)], outputs: 1)[0]
        }
    }

    private static let pads: [GradientCase] = [
        pad("zeros", [2, 3], [1, 0, 0, 2]),
        pad("negative", [4, 5], [-1, 0, 1, -2]),
        pad("negative on both sides", [4, 5], [-1, -1, -1, 2]),
        pad("axes", [2, 3, 4], [1, 2], axes: [-1]),
        pad("reflect", [2, 5], [0, 2, 0, 3], mode: "reflect"),
        pad("reflect on two axes", [4, 5], [1, 2, 3, 0], mode: "reflect"),
        pad("edge", [3, 5], [1, 2, 0, 3], mode: "edge"),
        pad("wrap", [3, 5], [0, 2, 0, 3], mode: "wrap", opset: 19),
        GradientCase("Pad, opset 10", opset: 10) { $0.node("Pad", $0.input(2, 3), with: ["pads": [1, 0, 0, 2]]) },
        GradientCase("Pad, value given", opset: 13) { $0.node("Pad", $0.input(2, 3), $0.integers([1, 0, 0, 2]), $0.floats([3], [])) },
    ]

    private static func resize(
        _ title: String, _ dims: [Int], scales: [Float] = [], sizes: [Int] = [], opset: Int = 17, with settings: KeyValuePairs<String, Setting>
    ) -> GradientCase {
        GradientCase("Resize, \(title)", opset: opset, step: 0.1) { s in
            var inputs = [s.input(shape: dims), "", scales.isEmpty ? "" : s.floats(scales)]
            if opset < 13 { inputs[1] = s.floats([], [0]) }
            if opset < 13, scales.isEmpty { inputs[2] = s.floats([], [0]) }
            if !sizes.isEmpty { inputs.append(s.integers(sizes)) }
            return s.nodes("Resize", inputs, with: settings, outputs: 1)[0]
        }
    }

    private static let resizing: [GradientCase] = [
        resize("nearest, doubled", [1, 2, 3, 4], scales: [1, 1, 2, 2], with: ["mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"]),
        resize("nearest, default", [1, 2, 3, 4], scales: [1, 1, 2, 3], with: [:]),
        resize("nearest, odd sizes", [1, 2, 3, 4], sizes: [1, 2, 5, 7], with: ["mode": "nearest", "nearest_mode": "round_prefer_ceil"]),
        resize("nearest, made smaller", [1, 2, 6, 5], sizes: [1, 2, 3, 2], with: ["mode": "nearest", "nearest_mode": "ceil"]),
        resize("nearest, corners", [1, 2, 3, 4], sizes: [1, 2, 6, 7], with: ["mode": "nearest", "coordinate_transformation_mode": "align_corners"]),
        resize(
            "nearest, opset 11", [1, 2, 3, 4], scales: [1, 1, 2, 2], opset: 11, with: ["mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"]),
        resize("linear, doubled", [1, 2, 3, 4], scales: [1, 1, 2, 2], with: ["mode": "linear"]),
        resize("linear, PyTorch's half pixels", [1, 2, 3, 4], sizes: [1, 2, 5, 6], with: ["mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"]),
        resize("linear, corners", [1, 2, 3, 4], sizes: [1, 2, 6, 7], with: ["mode": "linear", "coordinate_transformation_mode": "align_corners"]),
        resize("linear, asymmetric, smaller", [1, 2, 6, 5], scales: [1, 1, 0.5, 0.6], with: ["mode": "linear", "coordinate_transformation_mode": "asymmetric"]),
        resize("cubic", [1, 2, 4, 4], scales: [1, 1, 2, 2], with: ["mode": "cubic"]),
        resize("cubic, corners", [1, 1, 4, 5], sizes: [1, 1, 7, 8], with: ["mode": "cubic", "coordinate_transformation_mode": "align_corners", "cubic_coeff_a": -0.5]),
        GradientCase("Upsample, opset 9", opset: 9, step: 0.1) { $0.node("Upsample", $0.input(1, 2, 3, 4), $0.floats([1, 1, 2, 3])) },
        GradientCase("Upsample, linear", opset: 9, step: 0.1) { $0.node("Upsample", $0.input(1, 2, 3, 4), $0.floats([1, 1, 2, 2]), with: ["mode": "linear"]) },
        GradientCase("Resize, opset 10", opset: 10, step: 0.1) { $0.node("Resize", $0.input(1, 2, 3, 4), $0.floats([1, 1, 2, 2])) },
    ]
}
