import Testing

@testable import Differentiation

/// Every gradient rule against differences of ONNX Runtime's own forward computation.
@Suite struct RuleTests {
    static let cases: [GradientCase] =
        ElementwiseCases.all + ActivationCases.all + MatrixCases.all + ConvolutionCases.all + PoolingCases.all + NormalizationCases.all
        + ShapeCases.all + LookupCases.all + ReductionCases.all + RecurrentCases.all

    @Test(arguments: cases)
    func agreesWithDifferences(_ example: GradientCase) throws {
        let outcome = try GradientCheck(example).outcome()
        #expect(outcome.error < 1e-3, "\(outcome.worst), \(outcome.isDouble ? "float64" : "float32")")
    }

    /// Rules whose gradient is a convention, not a derivative: StraightThroughTests holds them to their definitions.
    static let conventions: Set<String> = ["Round", "Floor", "Ceil", "QuantizeLinear", "DequantizeLinear"]

    /// Rounding has slope zero: a gradient that passes it must not pass the check.
    @Test func aWrongGradientIsSeen() throws {
        let rounding = GradientCase("Round") { s in
            let x = s.input(2, 3)
            return s.node("Add", s.node("Round", x), s.node("Mul", x, s.floats([0.01], [])))
        }
        #expect(try GradientCheck(rounding).outcome().error > 0.5)
    }

    @Test func everyRuleHasACase() {
        let covered = Set(Self.cases.flatMap { $0.sketch.model.graph.nodes.map(\.opType) }).union(Self.conventions)
        #expect(Set(GradientRules.operators).subtracting(covered) == [])
    }
}
