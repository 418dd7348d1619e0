/// Matrix products.
enum MatrixCases {
    static let all: [GradientCase] = products + gemm + einsum

    private static let shapes: [([Int], [Int])] = [
        ([2, 3], [3, 4]), ([5, 2, 3], [3, 4]), ([2, 3], [5, 3, 4]), ([5, 2, 3], [5, 3, 4]), ([2, 1, 2, 3], [5, 3, 4]),
        ([1, 2, 3], [5, 3, 4]), ([5, 2, 3], [1, 3, 4]), ([2, 5, 2, 3], [3, 4]), ([3], [3]), ([3], [3, 4]), ([2, 3], [3]), ([3], [5, 3, 4]), ([5, 2, 3], [3]),
        ([2, 5, 2, 3], [3]), ([3], [2, 5, 3, 4]), ([1, 3], [3, 4]), ([2, 3], [3, 1]), ([1, 1, 3], [3, 1]),
    ]

    private static let products: [GradientCase] = shapes.map { (left: [Int], right: [Int]) -> GradientCase in
        GradientCase("MatMul \(left) × \(right)") { $0.node("MatMul", $0.input(shape: left), $0.input(shape: right)) }
    }

    private static let gemm: [GradientCase] = (0..<4).flatMap { (number: Int) -> [GradientCase] in
        let (a, b) = (number / 2, number % 2)
        let biases: [[Int]?] = [[3], [2, 3], [2, 1], [1, 3], [1], [], nil]
        return biases.map { (bias: [Int]?) -> GradientCase in
            GradientCase("Gemm, transA \(a), transB \(b), bias \(bias.map { "\($0)" } ?? "none")") { s in
                var inputs = [s.input(shape: a == 0 ? [2, 4] : [4, 2]), s.input(shape: b == 0 ? [4, 3] : [3, 4])]
                if let bias { inputs.append(s.input(shape: bias)) }
                return s.nodes("Gemm", inputs, with: ["transA": .int(a), "transB": .int(b), "alpha": 0.7, "beta": 1.3], outputs: 1)[0]
            }
        }
    }

    private static let equations: [(String, [[Int]])] = [
        ("bij,bjk->bik", [[2, 3, 4], [2, 4, 5]]), ("bhid,bhjd->bhij", [[2, 2, 3, 4], [2, 2, 3, 4]]), ("bij,kj->bik", [[2, 3, 4], [5, 4]]),
        ("bij,jk", [[2, 3, 4], [4, 5]]), ("ij->ji", [[2, 3]]), ("bij->b", [[2, 3, 4]]), ("i,j->ij", [[2], [3]]), ("bijc,bc->bi", [[2, 3, 4, 2], [2, 2]]),
    ]

    private static let einsum: [GradientCase] = equations.map { (equation: String, shapes: [[Int]]) -> GradientCase in
        GradientCase("Einsum \(equation)") { s in
            let inputs = shapes.map { s.input(shape: $0) }
            return s.nodes("Einsum", inputs, with: ["equation": .text(equation)], outputs: 1)[0]
        }
    }
}
