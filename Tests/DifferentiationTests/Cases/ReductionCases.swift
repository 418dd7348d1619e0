/// Reductions along axes.
enum ReductionCases {
    private static let types = [
        "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceLogSum",
    ]

    static let all: [GradientCase] = ordinary + special

    private static let ordinary: [GradientCase] =
        types.flatMap { (type: String) -> [GradientCase] in
            let range: ClosedRange<Float> = type == "ReduceLogSum" ? 0.5...3 : -2...2
            let isSum = type == "ReduceSum"
            return [
                GradientCase("\(type), axes as an attribute", opset: isSum ? 11 : 17) { $0.node(type, $0.input(2, 3, 4, in: range), with: ["axes": [0, 2]]) },
                GradientCase("\(type), axes as an input", opset: 18) { $0.node(type, $0.input(2, 3, 4, in: range), $0.integers([-1]), with: ["keepdims": 0]) },
                GradientCase("\(type), all") { $0.node(type, $0.input(2, 3, in: range)) },
                GradientCase("\(type), all, dropped", opset: 18) { $0.node(type, $0.input(2, 3, in: range), with: ["keepdims": 0]) },
            ]
        }

    private static let special: [GradientCase] = [
        GradientCase("ReduceSum, no axes meaning none", opset: 18) { $0.node("ReduceSum", $0.input(2, 3), with: ["noop_with_empty_axes": 1]) },
        GradientCase("ReduceMean, negative attribute axes", opset: 13) { $0.node("ReduceMean", $0.input(2, 3, 4), with: ["axes": [-2], "keepdims": 0]) },
    ]
}
