import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Turns the main graph to float16: nodes compute in float16 except those that must not or shall not, with Casts wherever a
/// value crosses. Inputs and outputs of the model keep their types.
struct HalfPrecisionGraph {
    private var editor: GraphEditor
    private let graph: Graph
    private let types: ElementTypeInference
    private let context: RewriteContext
    /// Whether each node computes in float16.
    private var isHalf: [Bool]
    /// Nodes that compute with constants alone.
    private let constantArithmetic: Set<Int>
    /// Values that are float16 under their own name.
    private var halfValues: Set<String> = []
    /// Cast copies made: value → its copy in the other type.
    private var toHalf: [String: String] = [:]
    private var toFloat: [String: String] = [:]

    /// Operators without a float16 form in the standard or in ONNX Runtime, or whose inputs must stay float32.
    static let floatOperators: Set<String> = [
        "Resize", "Upsample", "Range", "NonMaxSuppression", "TopK", "RoiAlign", "CumSum", "RandomNormal", "RandomUniform", "RandomNormalLike",
        "RandomUniformLike", "Multinomial", "Bernoulli", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger",
        "QLinearConv", "QLinearMatMul", "If", "Loop", "Scan", "SequenceMap", "Det", "Einsum", "GridSample", "AffineGrid", "STFT", "DFT", "MelWeightMatrix",
        "HannWindow", "HammingWindow", "BlackmanWindow", "TfIdfVectorizer", "StringNormalizer", "ImageDecoder", "MaxUnpool", "MaxRoiPool", "EyeLike",
        "CastLike", "OneHot", "IsInf", "IsNaN", "Unique", "Compress", "ReverseSequence", "LpPool", "GlobalLpPool", "LpNormalization",
        "MeanVarianceNormalization", "Hardmax", "SequenceConstruct", "SequenceAt", "SequenceInsert", "SequenceErase", "SequenceEmpty", "SequenceLength",
        "ConcatFromSequence", "SplitToSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "Scatter", "NegativeLogLikelihoodLoss",
        "SoftmaxCrossEntropyLoss", "BitShift", "DeformConv", "CenterCropPad", "Col2Im", "Celu",
    ]

    /// - Parameter floatNodes: nodes that shall stay float32.
    init(_ model: Model, floatNodes: Set<Int>, context: RewriteContext) {
        editor = GraphEditor(model)
        graph = model.graph
        types = ElementTypeInference(graph)
        self.context = context
        isHalf = []
        let onShapes = Self.shapeArithmetic(graph).union(TransposeFusionCrash.nodes(of: graph))
        constantArithmetic = Self.constantArithmetic(graph)
        let ofConstants = constantArithmetic
        isHalf = graph.nodes.enumerated().map { position, node in
            let standard = node.domain.isEmpty || node.domain == "ai.onnx"
            return standard && !Self.floatOperators.contains(node.opType) && node.subgraphs.isEmpty && !floatNodes.contains(position)
                && !onShapes.contains(position) && !Self.isBeyondHalf(node, graph) && !Self.reduces(node) && !ofConstants.contains(position)
                && node.outputs.contains { types.isFloat32($0) } && (node.outputs + node.inputs).allSatisfy { $0.isEmpty || types.types[$0] != nil }
        }
    }

    /// ONNX Runtime has scatters that add or multiply in float32 alone.
    private static func reduces(_ node: Node) -> Bool {
        ["ScatterElements", "ScatterND"].contains(node.opType) && node.string("reduction") ?? "none" != "none"
    }

    /// Operators that move values and compute nothing.
    private static let movements: Set<String> = [
        "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Concat", "Identity", "Cast", "Expand", "Gather", "Split", "Tile",
    ]

    /// Nodes that compute with constants alone. ONNX Runtime evaluates them while loading, but not in float16: it has no kernels for most, and would
    /// compute them at every run.
    private static func constantArithmetic(_ graph: Graph) -> Set<Int> {
        let constants = graph.constantNames()
        return Set(
            graph.nodes.indices.filter { position in
                let node = graph.nodes[position]
                let inputs = node.inputs.filter { !$0.isEmpty }
                return !inputs.isEmpty && inputs.allSatisfy(constants.contains) && !movements.contains(node.opType)
            })
    }

    /// A normalization with a mean or variance that no half holds: clamped, it would scale by something else. (Masks may be clamped.)
    private static func isBeyondHalf(_ node: Node, _ graph: Graph) -> Bool {
        node.opType == "BatchNormalization" && node.inputs.contains { name in graph.initializers[name]?.floats()?.contains { abs($0) > 65504 } ?? false }
    }

    /// Nodes whose values depend on shapes and constants only: dimensions above 2,048 are not exact in float16.
    private static func shapeArithmetic(_ graph: Graph) -> Set<Int> {
        var derived: Set<String> = []
        var nodes: Set<Int> = []
        for (position, node) in graph.nodes.enumerated() {
            let inputs = node.inputs.filter { !$0.isEmpty && graph.initializers[$0] == nil }
            let fromShapes = ["Shape", "Size"].contains(node.opType) || (!inputs.isEmpty && inputs.allSatisfy(derived.contains))
            guard fromShapes, node.subgraphs.isEmpty, node.opType != "ConstantOfShape" else { continue }
            derived.formUnion(node.outputs)
            nodes.insert(position)
        }
        return nodes
    }

    /// - Parameter counts: constants clamped and vanished, added to.
    mutating func converted(counts: inout (clamped: Int, vanished: Int)) throws -> Model {
        let outputs = Set(graph.outputs.map(\.name))
        for (position, node) in graph.nodes.enumerated() {
            try context.cancellation.check()
            var reads: [String: String] = [:]
            var captured = Set<String>()
            for (_, body) in node.subgraphs { captured.formUnion(body.capturedNames()) }
            for name in Set(node.inputs).union(captured).sorted() where types.isFloat32(name) {
                let isStored = constantArithmetic.contains(position) && graph.initializers[name]?.count ?? 0 >= 128
                let copy = try isHalf[position] ? half(name, counts: &counts) : isStored ? stored(name, counts: &counts) : float(name)
                if copy != name { reads[name] = copy }
            }
            editor.edit(position, at: .main) { $0.replaceReads(reads) }
            guard isHalf[position] else { continue }
            try convertAttributes(position, node, counts: &counts)
            for output in node.outputs where types.isFloat32(output) && !outputs.contains(output) { halfValues.insert(output) }
            for output in node.outputs where outputs.contains(output) && types.isFloat32(output) {
                // The model's output keeps name and type; the half goes by another name.
                let value = editor.fresh("\(output)_half")
                editor.edit(position, at: .main) { node in
                    if node.name.isEmpty, node.outputs.first == output { node.name = output }
                    for index in node.outputs.indices where node.outputs[index] == output { node.outputs[index] = value }
                }
                editor.add(.cast(value, output, to: .float32), after: position, at: .main)
                toHalf[output] = value
            }
        }
        var model = editor.finish()
        for name in halfValues { model.graph.valueInfos[name]?.elementType = .float16 }
        model.graph.removeDeadCode()
        return model
    }

    /// The half form of a float32 value: a converted constant, or a Cast behind its producer.
    private mutating func half(_ name: String, counts: inout (clamped: Int, vanished: Int)) throws -> String {
        if halfValues.contains(name) { return name }
        if let known = toHalf[name] { return known }
        let made: String
        if let tensor = graph.initializers[name] {
            let result = try HalfConversion.half(tensor)
            counts.clamped += result.clamped
            counts.vanished += result.vanished
            made = editor.add(result.tensor, "\(name)_half", at: .main)
        } else {
            made = editor.fresh("\(name)_half")
            place(.cast(name, made, to: .float16), behind: name)
        }
        toHalf[name] = made
        return made
    }

    /// The float32 form of a large constant that is stored in half.
    private mutating func stored(_ name: String, counts: inout (clamped: Int, vanished: Int)) throws -> String {
        if let known = toFloat[name] { return known }
        let kept = try half(name, counts: &counts)
        let made = editor.fresh("\(name)_float")
        editor.addFront(.cast(kept, made, to: .float32), at: .main)
        toFloat[name] = made
        return made
    }

    /// The float32 form of a value.
    private mutating func float(_ name: String) -> String {
        guard halfValues.contains(name) else { return name }
        if let known = toFloat[name] { return known }
        let made = editor.fresh("\(name)_float")
        place(.cast(name, made, to: .float32), behind: name)
        toFloat[name] = made
        return made
    }

    private mutating func place(_ node: Node, behind value: String) {
        if let producer = graph.nodes.firstIndex(where: { $0.outputs.contains(value) }) {
            editor.add(node, after: producer, at: .main)
        } else {
            editor.addFront(node, at: .main)
        }
    }

    private mutating func convertAttributes(_ position: Int, _ node: Node, counts: inout (clamped: Int, vanished: Int)) throws {
        if node.opType == "Cast" {
            editor.edit(position, at: .main) { $0.set("to", .integer(Int(ElementType.float16.rawValue))) }
        } else if node.opType == "ConstantOfShape" {
            let value = node.tensor("value") ?? Tensor(name: "", floats: [0], dims: [1])
            let result = try HalfConversion.half(value)
            counts.clamped += result.clamped
            editor.edit(position, at: .main) { $0.set("value", .tensor(result.tensor)) }
        }
    }
}
