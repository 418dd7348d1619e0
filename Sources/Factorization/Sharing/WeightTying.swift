import EngineSupport
import ModelGraph
import Techniques

/// Layers whose weights have the same shape share one tensor.
public struct WeightTying: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "weight-tying", title: "Weight tying", family: .sharing,
        summary: "Layers whose weights have equal shapes share one tensor, each with its own scale",
        details: """
            Among the targets of one kind and weight shape one tensor is kept: the one whose multiples approximate all of them with the least squared \
            error (the first singular vector of the weights), or without scales their mean. Each layer keeps its biases. The file holds the tensor \
            once, so m layers take the room of one; the graph multiplies it by each layer's scale, which ONNX Runtime does while loading. MACs and \
            speed stay the same; without scales the layers share memory too.

            Weights that are copies of each other already, transposed ones too (as exporters write a table that is looked up at one end and multiplied \
            by at the other), are stored once whatever the kinds of their layers, and nothing else changes. A layer that reads a transposed one is not \
            seen as a layer by later steps.

            Layers of a trained model are seldom alike: expect a large loss unless the model was trained with tied weights or is trained afterwards. \
            Choose layers, such as neighboring blocks of a transformer, rather than all.
            """,
        source: """
            Lan et al., ALBERT, ICLR 2020, section 3.1 (parameters shared across layers); Savarese and Maire, Learning Implicitly Recurrent CNNs Through Parameter Sharing, \
            ICLR 2019, section 3 (layers as multiples of shared tensors)
            """,
        parameters: [
            ParameterDescriptor("scale", title: "Scales", domain: .flag, default: .flag(true), help: "Multiply the shared tensor by a number of each layer's own")
        ],
        requires: [.floatWeights], produces: [.sharedWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = ComputedWeightWriter.refusal(for: layer) { return reason }
        guard layer.weightNames.allSatisfy({ model.place(of: $0, readBy: layer)?.owner.isMain == true }) else {
            return "its weights are in a subgraph, where other layers cannot read them"
        }
        return nil
    }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        var reasons = layers.map { refusal(for: $0, in: model) }
        var tensors: [Form: Set<String>] = [:]
        for (layer, reason) in zip(layers, reasons) where reason == nil { tensors[Form(layer), default: []].insert(layer.weight) }
        let copies = Self.copies(layers, reasons, in: model)
        for (index, layer) in layers.enumerated() where reasons[index] == nil && tensors[Form(layer), default: []].count < 2 && !copies.contains(index) {
            reasons[index] = "no other layer has weights of its shape"
        }
        return reasons
    }

    /// Layers whose weights are copies, and those they are copies of.
    private static func copies(_ layers: [Layer], _ reasons: [String?], in model: Model) -> Set<Int> {
        let found = WeightCopies(layers, candidates: layers.indices.filter { reasons[$0] == nil }, in: model).copies
        return Set(found.keys).union(found.values.map(\.original))
    }

    public func coupledLayers(_ layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [[Int]] {
        let reasons = refusals(for: layers, in: model, shapes: shapes)
        var groups: [[Int]] = []
        var known: [Form: Int] = [:]
        for (index, layer) in layers.enumerated() where reasons[index] == nil {
            if let group = known[Form(layer)] {
                groups[group].append(index)
            } else {
                known[Form(layer)] = groups.count
                groups.append([index])
            }
        }
        return groups
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var writer = ComputedWeightWriter(model, targets: targets)
        var groups: [[WeightJob]] = []
        var known: [Role: Int] = [:]
        var jobs = writer.jobs(context).filter(\.place.owner.isMain)
        let copied = Self.storeCopies(&jobs, model, &writer, context)
        for job in jobs {
            let role = Role(form: Form(job.layer), isMain: job.place.name == job.layer.weight, dims: job.tensor.dims, scale: job.parameters.flag("scale"))
            if let group = known[role] {
                groups[group].append(job)
            } else {
                known[role] = groups.count
                groups.append([job])
            }
        }
        for (number, group) in groups.enumerated() {
            try context.cancellation.check()
            guard group.count > 1 else {
                guard !copied.contains(group[0].place) else { continue }
                context.notes.add("\(group[0].layer.id): no other target has weights of its shape; left as they are")
                continue
            }
            let scaled = group[0].parameters.flag("scale")
            let (shared, scales) = Self.common(group.map(\.tensor), scaled: scaled)
            let tensor = Tensor(like: group[0].tensor, name: "", floats: shared, dims: group[0].tensor.dims)
            var name: String?
            for (index, job) in group.enumerated() {
                writer.replace(job) { editor, path in
                    let common = name ?? editor.add(tensor, "\(job.place.name)/tied", at: path)
                    name = common
                    guard scaled else { return common }
                    return editor.front("Mul", [common, editor.number(scales[index], like: tensor.elementType, at: path)], at: path)
                }
            }
            context.progress(Double(number + 1) / Double(groups.count), "tying \(group[0].layer.id)")
        }
        model = writer.finish()
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        var first: [Role: String] = [:]
        for (index, values) in targets.sorted(by: { $0.key < $1.key }) {
            let layer = summaries[index].layer
            let scaled = values.resolved(by: descriptor).flag("scale")
            let role = Role(form: Form(layer), isMain: true, dims: layer.weightShape, scale: scaled)
            guard let owner = first[role] else {
                first[role] = layer.weight
                continue
            }
            // Layers tied already are counted once as it is.
            guard owner != layer.weight else { continue }
            states[index].weightCount = 0
            states[index].distinctValues = nil
            states[index].valueEntropy = nil
            if scaled { states[index].overheadBits += Double(8 * 2 * ComputedWeightWriter.nodeBytes) }
        }
    }

    /// Lets copies of a weight be read from where it stands first, and takes them off the list.
    /// - Returns: the weights that others are read from now.
    private static func storeCopies(_ jobs: inout [WeightJob], _ model: Model, _ writer: inout ComputedWeightWriter, _ context: RewriteContext) -> Set<WeightReaders.Place> {
        let layers = jobs.map(\.layer)
        let copies = WeightCopies(layers, candidates: jobs.indices.filter { jobs[$0].place.name == layers[$0].weight }, in: model).copies
        for (position, copy) in copies.sorted(by: { $0.key < $1.key }) {
            let original = jobs[copy.original].place.name
            writer.replace(jobs[position]) { editor, path in
                copy.isTransposed ? editor.front("Transpose", [original], at: path, [Attribute("perm", .integers([1, 0]))]) : original
            }
            context.notes.add("\(layers[position].id): reads the weights of \(layers[copy.original].id)\(copy.isTransposed ? ", transposed" : ""), of which it had a copy")
        }
        let kept = Set(copies.values.map { jobs[$0.original].place })
        jobs = jobs.indices.filter { copies[$0] == nil }.map { jobs[$0] }
        // A table that others read as it is stays as it is.
        jobs.removeAll { kept.contains($0.place) }
        return kept
    }

    /// What layers that may share a tensor have in common.
    private struct Form: Hashable {
        var kind: Layer.Kind
        var shape: [Int]
        var type: ElementType
        var outputAxis: Int
        var group: Int

        init(_ layer: Layer) {
            kind = layer.kind
            shape = layer.weightShape
            type = layer.weightType
            outputAxis = layer.outputAxis
            group = layer.group
        }
    }

    private struct Role: Hashable {
        var form: Form
        var isMain: Bool
        var dims: [Int]
        var scale: Bool
    }

    /// The tensor T and the numbers s for which Σ ‖W − s·T‖² is least; every s is 1 if not `scaled`.
    static func common(_ tensors: [Tensor], scaled: Bool) -> (shared: [Float], scales: [Float]) {
        let weights = tensors.compactMap { $0.floats() }
        let m = weights.count
        var direction = [Double](repeating: 1 / Double(m).squareRoot(), count: m)
        if scaled {
            // First singular vector over the layers, by power iteration on their inner products.
            var gram = [Double](repeating: 0, count: m * m)
            for row in 0..<m {
                for column in row..<m {
                    var sum = 0.0
                    for (x, y) in zip(weights[row], weights[column]) { sum += Double(x) * Double(y) }
                    gram[row * m + column] = sum
                    gram[column * m + row] = sum
                }
            }
            // No symmetry of the layers may hold it in a lesser direction.
            direction = (0..<m).map { 1 + Double($0) / Double(8 * m) }
            for _ in 0..<2000 {
                let next = (0..<m).map { row in (0..<m).reduce(0.0) { $0 + gram[row * m + $1] * direction[$1] } }
                let norm = next.reduce(0) { $0 + $1 * $1 }.squareRoot()
                guard norm > 0 else { break }
                direction = next.map { $0 / norm }
            }
            let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
            direction = direction.map { $0 / norm }
        }
        // Scales of about 1, so that the tensor is of the layers' size.
        let root = Double(m).squareRoot()
        let shared = weights[0].indices.map { index in Float((0..<m).reduce(0.0) { $0 + direction[$1] * Double(weights[$1][index]) } / root) }
        return (shared, direction.map { Float($0 * root) })
    }
}
