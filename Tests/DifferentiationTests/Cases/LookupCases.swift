import ModelGraph

/// Lookups by index, and their reverse.
enum LookupCases {
    private static func gather(_ title: String, _ dims: [Int], _ indices: [Int], _ extents: [Int]? = nil, axis: Int = 0, opset: Int = 17) -> GradientCase {
        GradientCase("Gather, \(title)", opset: opset) { $0.node("Gather", $0.input(shape: dims), $0.integers(indices, extents), with: ["axis": .int(axis)]) }
    }

    static let all: [GradientCase] = [
        gather("rows", [5, 3], [4, 0, 4, 2], [2, 2]),
        gather("negative indices", [5, 3], [-1, 0, -5]),
        gather("one row", [5, 3], [2], []),
        gather("axis 1", [2, 5, 3], [1, 1, 4], axis: 1),
        gather("last axis, matrix of indices", [2, 5], [1, -1, 4, 1], [2, 2], axis: -1),
        gather("a scalar along axis 1", [2, 5, 3], [-2], [], axis: 1),
        gather("before scattered sums", [5, 3], [4, 0, 4, 2], [2, 2], opset: 13),
        gather("negative, before scattered sums", [2, 5], [-1, 0, -5], axis: 1, opset: 11),
        gather("opset 9", [5, 3], [4, 0, 4], opset: 9),
        GradientCase("Gather, int32 indices") { s in s.node("Gather", s.input(5, 3), s.constant { Tensor(name: $0, int32s: [4, 0, -1], dims: [3]) }) },
        GradientCase("Gather, int32 indices, before scattered sums", opset: 13) { s in
            s.node("Gather", s.input(5, 3), s.constant { Tensor(name: $0, int32s: [4, 0, -1], dims: [3]) })
        },
        GradientCase("GatherElements") { $0.node("GatherElements", $0.input(3, 4), $0.integers([0, 2, -1, 0, 1, 1], [2, 3]), with: ["axis": 0]) },
        GradientCase("GatherElements, axis 1") { $0.node("GatherElements", $0.input(3, 4), $0.integers([0, 3, 3, 1, 1, -4], [3, 2]), with: ["axis": 1]) },
        GradientCase("GatherND") { $0.node("GatherND", $0.input(3, 4, 2), $0.integers([0, 1, 2, -1, 0, 1], [3, 2])) },
        GradientCase("ScatterND") { $0.node("ScatterND", $0.input(4, 3), $0.integers([2, 0], [2, 1]), $0.input(2, 3)) },
        GradientCase("ScatterND, sum") {
            $0.node("ScatterND", $0.input(4, 3), $0.integers([2, 0, 2], [3, 1]), $0.input(3, 3), with: ["reduction": "add"])
        },
        GradientCase("ScatterElements") { $0.node("ScatterElements", $0.input(3, 4), $0.integers([1, 0, 2, 1], [2, 2]), $0.input(2, 2), with: ["axis": 1]) },
        GradientCase("ScatterElements, sum") {
            $0.node("ScatterElements", $0.input(3, 4), $0.integers([1, 1, 2, 1], [2, 2]), $0.input(2, 2), with: ["axis": 1, "reduction": "add"])
        },
        GradientCase.several("TopK") { s in Array(s.nodes("TopK", [s.input(2, 5), s.integers([2])], outputs: 2).dropLast()) },
        GradientCase.several("TopK, smallest along the first axis") { s in
            Array(s.nodes("TopK", [s.input(5, 3), s.integers([2])], with: ["axis": 0, "largest": 0], outputs: 2).dropLast())
        },
    ]
}
