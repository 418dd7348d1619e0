/// What a graph must keep to before anything else looks at it. ONNX Runtime refuses what does not; our own analysis comes before the runtime, and may then
/// rely on it: operands that must be there are, every node makes something, no value is made twice, and windows have a size.
extension Model {
    /// Checks the main graph, its subgraphs and the bodies of functions.
    /// - Throws: `ModelGraphError` that names the first node which is wrong.
    func validate() throws(ModelGraphError) {
        try graph.validate()
        for function in functions { try Graph.validate(function.nodes) }
    }
}

extension Graph {
    fileprivate func validate() throws(ModelGraphError) {
        try Self.validate(nodes)
        var made = Set<String>()
        for node in nodes {
            for output in node.outputs where !output.isEmpty && !made.insert(output).inserted {
                throw ModelGraphError(.graph, "value '\(output.shortened)' is made by more than one node")
            }
        }
    }

    fileprivate static func validate(_ nodes: [Node]) throws(ModelGraphError) {
        for (position, node) in nodes.enumerated() {
            if node.domain.isEmpty || node.domain == "ai.onnx" { try node.validate(at: position) }
            for (_, body) in node.subgraphs { try body.validate() }
        }
    }
}

extension Node {
    /// - Throws: `ModelGraphError` if an operator of ONNX lacks what all its versions need.
    fileprivate func validate(at position: Int) throws(ModelGraphError) {
        func fail(_ what: String) -> ModelGraphError {
            let title = name.isEmpty ? "node \(position), \(opType)" : "node '\(name.shortened)', \(opType)"
            return ModelGraphError(.graph, "\(title): \(what)")
        }
        guard outputs.contains(where: { !$0.isEmpty }) else { throw fail("it has no output") }
        let needed = Self.requiredInputs[opType] ?? 0
        guard inputs.count >= needed, !inputs.prefix(needed).contains(where: \.isEmpty) else {
            throw fail("expected at least \(needed) input\(needed == 1 ? "" : "s"), found \(inputs.count { !$0.isEmpty })")
        }
        for attribute in attributes {
            guard let range = Self.ranges[attribute.name] else { continue }
            let values: [Int64] =
                switch attribute.value {
                case .int(let value): [value]
                case .ints(let values): values
                default: []
                }
            for value in values where !range.contains(value) { throw fail("attribute \(attribute.name) is \(value), expected \(range.lowerBound) to \(range.upperBound)") }
        }
    }

    /// Attributes that count elements or name dimensions, with what they can be: more elements than this no tensor has along a dimension, nor more dimensions.
    private static let ranges: [String: ClosedRange<Int64>] = {
        let extent: Int64 = 1 << 31
        var ranges: [String: ClosedRange<Int64>] = [:]
        for name in ["kernel_shape", "strides", "dilations", "group", "blocksize", "hidden_size", "num_heads"] { ranges[name] = 1...extent }
        for name in ["pads", "output_padding"] { ranges[name] = -extent...extent }
        for name in ["axis", "axes"] { ranges[name] = -64...64 }
        ranges["perm"] = 0...64
        return ranges
    }()

    /// Inputs that every version of an operator needs (ONNX 1.23, `onnx.defs`: least `min_input` over all versions).
    private static let requiredInputs: [String: Int] = {
        let names: [(Int, String)] = [
            (
                1,
                """
                Abs Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh AveragePool Bernoulli BitCast BitwiseNot BlackmanWindow Cast Ceil Celu Clip Concat ConcatFromSequence \
                ConstantOfShape Cos Cosh DFT DepthToSpace Det Dropout DynamicQuantizeLinear Einsum Elu Erf Exp EyeLike Flatten Floor Gelu GlobalAveragePool GlobalLpPool \
                GlobalMaxPool HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If ImageDecoder IsInf IsNaN LRN LeakyRelu Log LogSoftmax LpNormalization LpPool \
                Max MaxPool Mean MeanVarianceNormalization Min Mish Multinomial Neg NonZero Not OptionalGetElement Pad RandomNormalLike RandomUniformLike Reciprocal ReduceL1 \
                ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize Round Scan Selu \
                SequenceConstruct SequenceErase SequenceLength SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split \
                SplitToSequence Sqrt Squeeze StringNormalizer StringSplit Sum Swish Tan Tanh TfIdfVectorizer ThresholdedRelu TopK Transpose Trilu Unique Unsqueeze Upsample
                """
            ),
            (
                2,
                """
                Add AffineGrid And BitShift BitwiseAnd BitwiseOr BitwiseXor CastLike CausalConvWithState CenterCropPad Compress Conv ConvInteger ConvTranspose CumProd CumSum \
                DequantizeLinear Div Equal Expand Gather GatherElements GatherND Gemm Greater GreaterOrEqual GridSample LayerNormalization Less LessOrEqual MatMul \
                MatMulInteger MaxRoiPool MaxUnpool Mod Mul NegativeLogLikelihoodLoss NonMaxSuppression Or PRelu Pow QuantizeLinear RMSNormalization ReverseSequence STFT \
                SequenceAt SequenceInsert SoftmaxCrossEntropyLoss StringConcat Sub SwiGLU TensorScatter Tile Xor
                """
            ),
            (
                3,
                """
                Attention Col2Im DeformConv GRU GroupNormalization InstanceNormalization LSTM LinearAttention OneHot RNN Range RoiAlign RotaryEmbedding Scatter \
                ScatterElements ScatterND Where
                """
            ),
            (5, "BatchNormalization MelWeightMatrix"), (8, "QLinearConv QLinearMatMul"),
        ]
        return Dictionary(uniqueKeysWithValues: names.flatMap { count, words in words.split(separator: " ").map { (String($0), count) } })
    }()
}
