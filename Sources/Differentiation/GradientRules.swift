import ModelGraph

/// Turns gradients of a node's outputs (`nil` where the loss does not depend on one) into those of its inputs (`nil` where
/// there is none or nobody needs it). A gradient has its value's shape.
public typealias GradientRule = @Sendable (_ node: Node, _ gradients: [String?], _ b: inout GradientBuilder) throws -> [String?]

/// The gradient rule of each operator.
public enum GradientRules {
    private static let rules: [String: GradientRule] = {
        var all: [String: GradientRule] = [:]
        for group in [
            ElementwiseGradients.rules, ActivationGradients.rules, MatrixGradients.rules, ConvolutionGradients.rules, PoolingGradients.rules,
            NormalizationGradients.rules, ReductionGradients.rules, ShapeGradients.rules, SoftmaxGradients.rules, LookupGradients.rules,
            QuantizationGradients.rules, RecurrentGradients.rules, foldedRules, ResizingGradients.rules, PaddingGradients.rules, EinsumGradients.rules,
        ] { all.merge(group) { first, _ in first } }
        return all
    }()

    private static let foldedRules: [String: GradientRule] = [
        FoldedConvolution.opType: FoldedConvolution.rule, FoldedPooling.maximum: FoldedPooling.rule, FoldedPooling.average: FoldedPooling.rule,
    ]

    /// Operators through which nothing flows back, although they read values that are trained.
    private static let dead: Set<String> = [
        "Shape", "Size", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Not", "Xor", "IsNaN", "IsInf", "ArgMax", "ArgMin",
        "ConstantOfShape", "EyeLike", "NonZero", "Sign", "OneHot", "Bernoulli", "RandomNormalLike", "RandomUniformLike", Macro.constant,
    ]

    /// Operators with a rule, sorted.
    public static var operators: [String] { rules.keys.sorted() }

    static func carriesGradient(_ node: Node) -> Bool { !dead.contains(node.opType) }

    /// - Returns: `nil` for an operator without a rule, and for operators of foreign domains.
    static func rule(for node: Node) -> GradientRule? {
        guard node.domain.isEmpty || node.domain == "ai.onnx" || node.domain == Macro.domain else { return nil }
        return rules[node.opType]
    }
}
