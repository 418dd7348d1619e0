import ModelGraph

/// Makes the nodes that compute an additive mask: from constants where the sequence's length is fixed, which the runtime folds on loading,
/// else from the shape of the scores.
struct AttentionMaskGraph {
    /// All dimensions but the batch are fixed.
    let isFixed: Bool
    /// Masks made so far from constants alone.
    private var made: [String: String] = [:]

    init(isFixed: Bool) { self.isFixed = isFixed }

    /// What is added to a score to take it away: far below any score, yet finite in half precision.
    private static let refused: Float = -10_000

    /// - Parameters:
    ///   - scores: the Softmax's input, … × queries × keys.
    ///   - shape: of it at batch 1, where known.
    ///   - heads: which heads are masked, for scores of four dimensions; `nil` for all.
    ///   - node: before which nodes are placed.
    /// - Returns: the mask, queries × keys or heads × queries × keys.
    mutating func mask(
        _ pattern: AttentionPattern, scores: String, shape: [Int]?, heads: [Bool]?, type: ElementType, before node: Int, _ editor: inout GraphEditor
    ) -> String {
        let fixed = isFixed ? shape.flatMap { $0.count >= 2 ? ($0[$0.count - 2], $0[$0.count - 1]) : nil } : nil
        let key = "\(pattern) \(fixed.map { "\($0)" } ?? "") \(heads ?? []) \(type)"
        if fixed != nil, let known = made[key] { return known }
        func whole(_ values: [Int], _ dims: [Int], _ editor: inout GraphEditor) -> String {
            editor.constant(Tensor(name: "", int64s: values.map(Int64.init), dims: dims), at: .main)
        }
        func add(_ type: String, _ inputs: [String], _ attributes: [Attribute] = [], _ editor: inout GraphEditor) -> String {
            let output = editor.fresh("attention_mask_\(type)")
            editor.add(Node(type, name: output, inputs: inputs, outputs: [output], attributes: attributes), before: node)
            return output
        }
        let queries: String
        let keys: String
        if let fixed {
            queries = whole((0..<fixed.0).map { $0 + fixed.1 - fixed.0 }, [fixed.0, 1], &editor)
            keys = whole(Array(0..<fixed.1), [1, fixed.1], &editor)
        } else {
            let extents = add("Shape", [scores], [], &editor)
            let rows = add("Gather", [extents, whole([-2], [], &editor)], [], &editor)
            let columns = add("Gather", [extents, whole([-1], [], &editor)], [], &editor)
            let first = add("Sub", [columns, rows], [], &editor)
            let one = whole([1], [], &editor)
            let range = add("Range", [first, columns, one], [], &editor)
            queries = add("Reshape", [range, whole([-1, 1], [2], &editor)], [], &editor)
            keys = add("Range", [whole([0], [], &editor), columns, one], [], &editor)
        }
        var (left, right) = (queries, keys)
        if pattern.block > 1 {
            let size = whole([pattern.block], [], &editor)
            left = add("Div", [queries, size], [], &editor)
            right = add("Div", [keys, size], [], &editor)
        }
        let distance = add("Abs", [add("Sub", [left, right], [], &editor)], [], &editor)
        var allowed = add("Less", [distance, whole([pattern.window + 1], [], &editor)], [], &editor)
        if pattern.global > 0 {
            let count = whole([pattern.global], [], &editor)
            let global = add("Or", [add("Less", [queries, count], [], &editor), add("Less", [keys, count], [], &editor)], [], &editor)
            allowed = add("Or", [allowed, global], [], &editor)
        }
        if let heads, heads.contains(false) {
            // Heads that are free: a zero is less than one, a one is not.
            let masked = whole(heads.map { $0 ? 1 : 0 }, [heads.count, 1, 1], &editor)
            allowed = add("Or", [allowed, add("Less", [masked, whole([1], [], &editor)], [], &editor)], [], &editor)
        }
        let model = Tensor(name: "", floats: [0], dims: [])
        func number(_ value: Float, _ editor: inout GraphEditor) -> String {
            let tensor = type == .float16 ? Tensor(name: "", float16s: [Float16(value)], dims: []) : model.withFloats([value])
            return editor.constant(tensor, at: .main)
        }
        var mask = add("Where", [allowed, number(0, &editor), number(Self.refused, &editor)], [], &editor)
        if type != .float32, type != .float16 { mask = add("Cast", [mask], [Attribute("to", .integer(Int(type.rawValue)))], &editor) }
        if fixed != nil { made[key] = mask }
        return mask
    }
}
