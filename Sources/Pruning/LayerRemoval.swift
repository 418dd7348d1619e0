import EngineSupport
import ModelGraph
import Techniques

/// Removes whole residual branches.
public struct LayerRemoval: WholeModelTechnique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "layer-removal",
        title: "Layer removal",
        family: .pruning,
        summary: "Removes whole residual branches, starting with those that change the stream least",
        details: """
            In a residual network each block adds its result to a stream: the convolutions of a ResNet block, the attention or the feed-forward part \
            of a transformer block. A block whose result is added to its own input, in equal shape, can be removed: the stream passes unchanged. \
            Blocks that change the stream's shape, with a projection in the shortcut, stay. The given number of branches is removed. They are ranked \
            by one minus the cosine between the stream before and after, over calibration data (for sequences, token by token), or by the norm of the \
            branch's last weights.

            File, parameters, MACs and latency all go down by the branch's share, on any hardware. Networks of many blocks tolerate the loss of some; \
            small ones do not. A branch is a candidate only if all its layers are chosen.
            """,
        source:
            "Men et al., ShortGPT: Layers in Large Language Models are More Redundant Than You Expect, 2024 (arXiv:2403.03853); Huang et al., Deep Networks with Stochastic Depth, ECCV 2016",
        parameters: [
            ParameterDescriptor(
                "count", title: "Branches", domain: .integer(1...64, step: 1), default: .integer(1), unit: "branches",
                help: "Branches to remove; all of them if there are fewer"),
            ParameterDescriptor(
                "criterion", title: "Criterion",
                domain: .choice([
                    .init("cosine", "one minus the cosine between the stream before and after", needsCalibration: true),
                    .init("norm", "root mean square of the branch's last weights"),
                ]), default: .choice("cosine"), help: "Which branches go first"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(128), unit: "samples",
                help: "Calibration samples for cosine"),
        ],
        requires: [])

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        var reasons = [String?](repeating: "not in a residual branch", count: layers.count)
        for branch in ResidualBranch.all(in: model, layers: layers, shapes: shapes) { for layer in branch.layers { reasons[layer] = nil } }
        return reasons
    }

    /// Branches, each whole: a part of one cannot go. Of branches within each other the smallest.
    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        var taken: Set<Int> = []
        let branches = ResidualBranch.all(in: model, layers: layers, shapes: shapes).map(\.layers).filter { !$0.isEmpty }
        return branches.sorted { ($0.count, $0[0]) < ($1.count, $1[0]) }.filter { branch in
            guard taken.isDisjoint(with: branch) else { return false }
            taken.formUnion(branch)
            return true
        }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let layers = model.layers()
        let chosen = Set(targets.map(\.layer.id))
        let branches = ResidualBranch.all(in: model, layers: layers, shapes: context.shapes).filter { branch in
            branch.layers.allSatisfy { chosen.contains(layers[$0].id) }
        }
        guard let parameters = targets.first?.parameters, !branches.isEmpty else {
            throw EngineError(.technique, "layer-removal: no residual branch has all its layers chosen")
        }
        let scores =
            parameters.choice("criterion") == "cosine"
            ? try turns(branches, model, parameters.integer("samples"), context)
            : branches.map { Self.norm(of: $0.layers.last.map { layers[$0] }, in: model) }
        let order = branches.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        let removed = order.prefix(parameters.integer("count")).sorted()
        // A removed branch's result is its stream, which may itself be the result of another removed one.
        var replacements: [String: String] = [:]
        for number in removed {
            let branch = branches[number]
            replacements[branch.result] = replacements[branch.stream] ?? branch.stream
        }
        let outputs = Set(model.graph.outputs.map(\.name))
        for number in removed {
            let branch = branches[number]
            let stream = replacements[branch.result] ?? branch.stream
            if outputs.contains(branch.result) {
                // The name is part of the model's interface.
                let name = model.graph.nodes[branch.add].name
                model.graph.nodes[branch.add] = Node("Identity", name: name, inputs: [stream], outputs: [branch.result])
                replacements[branch.result] = nil
            }
            context.notes.add("removed \(branch.layers.map { layers[$0].id }.joined(separator: ", "))")
        }
        let gone = Set(removed.flatMap { branches[$0].layers })
        let kept = Set(layers.indices.filter { !gone.contains($0) }.map { layers[$0].weight })
        let shared = gone.count { kept.contains(layers[$0].weight) }
        if shared > 0 { context.notes.add("the weights of \(shared) of these \(gone.count) layers stay in the file: other layers share them") }
        model.graph.replaceReads(replacements)
        if removed.count < parameters.integer("count") { context.notes.add("there are only \(branches.count) branches to remove") }
    }

    /// One minus the mean cosine of stream and result.
    private func turns(_ branches: [ResidualBranch], _ model: Model, _ samples: Int, _ context: RewriteContext) throws -> [Double] {
        let source = try context.requiredCalibration()
        let names = Array(Set(branches.flatMap { [$0.stream, $0.result] })).sorted()
        let place = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        var sums = [Double](repeating: 0, count: branches.count)
        var counts = [Int](repeating: 0, count: branches.count)
        try source.forEachBatch(of: model.truncated(to: names), values: names, limit: samples, cancellation: context.cancellation) { values in
            for (number, branch) in branches.enumerated() {
                guard let a = place[branch.stream].map({ values[$0] }), let b = place[branch.result].map({ values[$0] }),
                    a.shape == b.shape, a.floats.count == b.floats.count, !a.floats.isEmpty
                else { continue }
                // Tokens of a sequence one by one, images whole.
                let width = a.shape.count == 3 ? a.shape[2] : a.floats.count / max(a.shape.first ?? 1, 1)
                for start in stride(from: 0, to: a.floats.count, by: max(width, 1)) {
                    var (dot, one, two) = (0.0, 0.0, 0.0)
                    for index in start..<(start + width) {
                        let (x, y) = (Double(a.floats[index]), Double(b.floats[index]))
                        dot += x * y
                        one += x * x
                        two += y * y
                    }
                    // Nothing that stays nothing has not turned.
                    sums[number] += one > 0 && two > 0 ? dot / (one * two).squareRoot() : one == two ? 1 : 0
                    counts[number] += 1
                }
            }
        }
        return zip(sums, counts).map { $1 > 0 && $0.isFinite ? 1 - $0 / Double($1) : .infinity }
    }

    private static func norm(of layer: Layer?, in model: Model) -> Double {
        guard let layer, let tensor = model.initializer(layer.weight, from: layer.path)?.tensor else { return .infinity }
        let sum = tensor.withFloats { $0.reduce(0.0) { $0 + Double($1) * Double($1) } } ?? .infinity
        return sum.isFinite ? (sum / Double(max(tensor.count, 1))).squareRoot() : .infinity
    }

    /// The smallest branches stand in for those the data will choose.
    public var forecastFacets: [any ForecastFacet.Type] { [RemovableBranches.self] }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        guard let count = targets.values.first?.integer("count") else { return }
        let branches = (summaries[RemovableBranches.self]?.layers ?? []).filter { $0.allSatisfy { targets[$0] != nil } }
        func norm(_ branch: [Int]) -> Double {
            guard let last = branch.last else { return .infinity }
            let summary = summaries[last]
            return (Double(summary.standardDeviation) * Double(summary.standardDeviation) + Double(summary.mean) * Double(summary.mean)).squareRoot()
        }
        let order = branches.indices.sorted { (norm(branches[$0]), $0) < (norm(branches[$1]), $1) }
        for layer in order.prefix(count).flatMap({ branches[$0] }) {
            states[layer].weightCount = 0
            states[layer].biasCount = 0
            states[layer].attachedCount = 0
            states[layer].overheadBits = 0
            states[layer].macs = states[layer].macs.map { _ in 0 }
            states[layer].outputElements = states[layer].outputElements.map { _ in 0 }
        }
    }
}
