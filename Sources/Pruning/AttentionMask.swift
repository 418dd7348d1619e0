import EngineSupport
import ModelGraph
import Techniques

/// Lets tokens attend only to those near them.
public struct AttentionMask: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "attention-mask",
        title: "Attention mask",
        family: .pruning,
        summary: "Restricts attention to nearby tokens (a window or neighboring blocks) and a few global ones",
        details: """
            A mask before the Softmax of each attention removes all pairs of tokens but nearby ones: those within a window around each token \
            (sliding-window attention), or in the same and neighboring blocks (block-sparse attention). Global tokens attend to all tokens, and all \
            tokens attend to them. The mask is computed from the sequence length where that is not fixed. With scope local only those heads get it \
            whose attention leaves the pattern least on calibration data.

            A mask alone saves nothing in ONNX Runtime, which still multiplies all pairs: file, MACs and latency stay, and are shown so. It tells what \
            accuracy a kernel would cost that skips the masked pairs; the notes say what share of the pairs is left. Attention is recognized as \
            MatMul, Softmax and MatMul in the main graph.
            """,
        source:
            "Child et al., Generating Long Sequences with Sparse Transformers, 2019 (arXiv:1904.10509); Beltagy, Peters and Cohan, Longformer, 2020 (arXiv:2004.05150); Zaheer et al., Big Bird, NeurIPS 2020",
        parameters: [
            ParameterDescriptor(
                "window", title: "Window", domain: .integer(0...4096, step: 1), default: .integer(8), unit: "tokens",
                help: "Tokens to each side that a token attends to"),
            ParameterDescriptor(
                "pattern", title: "Pattern",
                domain: .choice([
                    .init("window", "tokens at most so far away"), .init("blocks", "the token's own block and as many blocks to each side as the window needs"),
                ]), default: .choice("window"), help: "Which tokens count as near"),
            ParameterDescriptor(
                "block-size", title: "Block size", domain: .integer(2...256, step: 1), default: .integer(8), unit: "tokens",
                help: "Tokens to a block, for pattern blocks"),
            ParameterDescriptor(
                "global", title: "Global tokens", domain: .integer(0...64, step: 1), default: .integer(0), unit: "tokens",
                help: "First tokens of the sequence, which attend to all and are attended to by all"),
            ParameterDescriptor(
                "scope", title: "Scope",
                domain: .choice([
                    .init("all", "every head"), .init("local", "the heads that attend least beyond the pattern", needsCalibration: true),
                ]), default: .choice("all"), help: "Which heads are masked"),
            ParameterDescriptor(
                "share", title: "Share of heads", domain: .real(0...1, step: 0.05), default: .real(0.5), help: "Share of all heads that scope local masks"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(128), unit: "samples",
                help: "Calibration samples for scope local"),
        ],
        requires: [])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        let all = AttentionProjections(model, layers: layers).attentions
        guard !all.isEmpty else { return layers.map { _ in AttentionProjections.refusal(model) } }
        if model.opset < 11 { return layers.map { _ in "needs operator set 11 (Range); the model has \(model.opset)" } }
        let usable = Set(all.filter { AttentionProjections.isMaskable($0, model, shapes) }.flatMap(\.layers))
        return layers.map { layer in
            guard layer.path.isMain, all.contains(where: { $0.layers.contains(layer.nodeIndex) }) else { return "not an attention projection" }
            return usable.contains(layer.nodeIndex) ? nil : "its Softmax does not run over the keys"
        }
    }

    /// Layers of one attention belong together.
    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let refusals = refusals(for: layers, in: model, shapes: shapes)
        var seen = Set<Int>()
        return AttentionProjections(model, layers: layers).attentions.map { attention in
            layers.indices.filter { refusals[$0] == nil && layers[$0].path.isMain && attention.layers.contains(layers[$0].nodeIndex) && seen.insert($0).inserted }
        }.filter { !$0.isEmpty }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let layers = model.layers()
        let values = Dictionary(targets.map { ($0.layer.nodeIndex, $0.parameters) }, uniquingKeysWith: { first, _ in first })
        let all = AttentionProjections(model, layers: layers).attentions.filter { AttentionProjections.isMaskable($0, model, context.shapes) }
        let chosen = all.compactMap { attention in
            attention.layers.sorted().lazy.compactMap { values[$0] }.first.map { (attention: attention, pattern: AttentionPattern($0), parameters: $0) }
        }
        let isFixed = model.graph.requiredInputs.allSatisfy { $0.shape?.dropFirst().allSatisfy { $0.fixedValue != nil } ?? false }
        let masked = try heads(chosen.map { ($0.attention, $0.pattern, $0.parameters) }, model, context)
        let types = ElementTypeInference(model.graph)
        var editor = GraphEditor(model)
        var builder = AttentionMaskGraph(isFixed: isFixed)
        var known = Set<Double>()
        for (number, entry) in chosen.enumerated() where masked[number]?.contains(true) ?? true {
            let node = model.graph.nodes[entry.attention.softmax]
            guard let scores = node.input(0) else { continue }
            let shape = context.shapes[scores]
            let type = types.types[scores] ?? .float32
            let mask = builder.mask(entry.pattern, scores: scores, shape: shape, heads: masked[number], type: type, before: entry.attention.softmax, &editor)
            let sum = editor.fresh(scores + "_masked")
            editor.add(Node("Add", name: (node.name.isEmpty ? sum : node.name) + "/Mask", inputs: [scores, mask], outputs: [sum]), before: entry.attention.softmax)
            editor.edit(entry.attention.softmax, at: .main) { $0.inputs[0] = sum }
            if let shape, shape.count >= 2 {
                let share = (masked[number].map { Double($0.count { $0 }) / Double(max($0.count, 1)) } ?? 1)
                known.insert(1 - share * (1 - entry.pattern.density(queries: shape[shape.count - 2], keys: shape[shape.count - 1])))
            }
        }
        model = editor.finish()
        let left = known.sorted().map { "\(Int(($0 * 100).rounded())) %" }
        if !left.isEmpty {
            context.notes.add(
                "\(left.joined(separator: " to ")) of the pairs of tokens are left; ONNX Runtime still computes the others")
        }
    }

    /// Which heads of each attention are masked; `nil` for all.
    private func heads(
        _ chosen: [(AttentionProjections.Attention, AttentionPattern, ParameterValues)], _ model: Model, _ context: RewriteContext
    ) throws -> [[Bool]?] {
        var result = [[Bool]?](repeating: nil, count: chosen.count)
        let local = chosen.indices.filter { chosen[$0].2.choice("scope") == "local" }
        guard !local.isEmpty else { return result }
        let source = try context.requiredCalibration()
        let names = local.map { model.graph.nodes[chosen[$0].0.softmax].outputs[0] }
        var beyond = [[Double]](repeating: [], count: local.count)
        let samples = local.map { chosen[$0].2.integer("samples") }.max() ?? 0
        try source.forEachBatch(of: model.truncated(to: names), values: names, limit: samples, cancellation: context.cancellation) { batch in
            for (place, value) in batch.enumerated() where value.shape.count == 4 && value.floats.count == value.shape.reduce(1, *) {
                let (count, heads, queries, keys) = (value.shape[0], value.shape[1], value.shape[2], value.shape[3])
                if beyond[place].isEmpty { beyond[place] = [Double](repeating: 0, count: heads) }
                guard beyond[place].count == heads else { continue }
                let pattern = chosen[local[place]].1
                for row in 0..<(count * heads * queries) {
                    let query = row % queries
                    for key in 0..<keys where !pattern.allows(query: query + keys - queries, key: key) {
                        beyond[place][row / queries % heads] += Double(value.floats[row * keys + key])
                    }
                }
            }
        }
        if beyond.contains(where: \.isEmpty) { throw EngineError(.technique, "attention-mask: heads cannot be separated; use scope all") }
        // All heads of all attentions in one order.
        let order = beyond.indices.flatMap { place in beyond[place].indices.map { (place, $0) } }
            .sorted { (beyond[$0.0][$0.1], $0.0, $0.1) < (beyond[$1.0][$1.1], $1.0, $1.1) }
        for place in beyond.indices { result[local[place]] = [Bool](repeating: false, count: beyond[place].count) }
        let share = local.map { chosen[$0].2.real("share") }.min() ?? 0
        for (place, head) in order.prefix(Int((Double(order.count) * share).rounded())) { result[local[place]]?[head] = true }
        context.notes.add("\(Int((Double(order.count) * share).rounded())) of \(order.count) heads are masked")
        return result
    }

    /// Sizes and compute stay: only constants of a few tokens' numbers are added.
    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}

/// Which pairs of tokens are left.
struct AttentionPattern: Hashable {
    var window: Int
    /// 1 where windows are counted token by token.
    var block: Int
    var global: Int

    init(_ values: ParameterValues) {
        block = values.choice("pattern") == "blocks" ? values.integer("block-size") : 1
        window = (values.integer("window") + block - 1) / block
        global = values.integer("global")
    }

    func allows(query: Int, key: Int) -> Bool { abs(query / block - key / block) <= window || query < global || key < global }

    /// Share of the pairs that are left.
    func density(queries: Int, keys: Int) -> Double {
        guard queries > 0, keys > 0, queries * keys <= 1 << 24 else { return 1 }
        let left = (0..<queries).reduce(0) { sum, query in sum + (0..<keys).count { allows(query: query + keys - queries, key: $0) } }
        return Double(left) / Double(queries * keys)
    }
}
