import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Runs of weights stand for rows of a codebook.
public struct ProductQuantization: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "product-quantization", title: "Product quantization", family: .sharing,
        summary: "Replaces runs of neighboring weights by codebook entries, down to less than one bit per weight",
        details: """
            Each output's weights are cut into runs of a few inputs. k-means finds 2^bits vectors that represent all runs, and the file holds one code \
            per run and the codebook. Eight bits for four weights are two bits per weight, and less for longer runs. Weights that go together are \
            coded together, so the error is smaller than that of single weights with as many bits. One codebook per layer is vector quantization; one \
            for each position among the inputs (block) is the product quantizer of the paper, whose codebooks take more room and which pays for wide \
            layers with many outputs.

            With error outputs the distance is that of the layer's outputs on calibration data: directions in which inputs vary much count more. Codes \
            take one byte in the file, or two above eight bits; the packed archive codes them by frequency. ONNX Runtime looks the weights up while \
            loading: memory, MACs and speed stay the same. Zeros made by pruning are lost. Layers that would not shrink are left alone.
            """,
        source: """
            Jégou, Douze and Schmid, Product Quantization for Nearest Neighbor Search, PAMI 2011; Gong et al., arXiv:1412.6115; with error outputs Stock et al., \
            And the Bit Goes Down, ICLR 2020, section 3
            """,
        parameters: [
            ParameterDescriptor(
                "bits", title: "Bits of a code", domain: .integer(1...12, step: 1), default: .integer(8), unit: "bits", help: "2^bits vectors in a codebook"),
            ParameterDescriptor(
                "dimension", title: "Weights per code", domain: .integer(2...16, step: 1), default: .integer(4), unit: "weights",
                help: "Neighboring inputs of an output that one code stands for; 9 are a whole 3×3 kernel"),
            ParameterDescriptor(
                "codebook", title: "Codebook for",
                domain: .choice([.init("layer", "all runs of a layer"), .init("block", "the runs at one position among the inputs, each position on its own")]),
                default: .choice("layer"), help: "Which runs share a codebook"),
            ParameterDescriptor(
                "error", title: "Error",
                domain: .choice([
                    .init("weights", "squared error of the weights"),
                    .init("outputs", "squared error of the layer's outputs on calibration data", needsCalibration: true),
                ]), default: .choice("weights"), help: "Error that the codebook minimizes"),
            ParameterDescriptor(
                "iterations", title: "Iterations", domain: .integer(1...100, step: 1), default: .integer(20), help: "Most iterations of k-means; it stops when nothing moves"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples at most, with error outputs"),
        ],
        requires: [.floatWeights], produces: [.sharedWeights, .loweredPrecision])

    public func refusal(for layer: Layer, in model: Model) -> String? { ComputedWeightWriter.refusal(for: layer) }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var writer = ComputedWeightWriter(model, targets: targets)
        let jobs = writer.jobs(context).filter { job in
            let plan = Plan(job.layer, dims: job.tensor.dims, weightBits: Double(job.tensor.storage.byteCount * 8) / Double(job.tensor.count), job.parameters)
            if !plan.saves { context.notes.add("\(job.layer.id): codes and codebook would take more than its \(job.tensor.count) weights; left as they are") }
            return plan.saves
        }
        let source = model
        let weighted = jobs.filter { $0.parameters.choice("error") == "outputs" && InputWindows.refusal(for: $0.layer, in: source) == nil }
        let limit = weighted.map { $0.parameters.integer("samples") }.max() ?? 0
        let inputs = weighted.isEmpty ? [:] : try InputStatistics.remembered(of: model, layers: weighted.map(\.layer), gram: true, limit: limit, context: context)
        let coded = try Parallel.map(jobs) { job in
            try context.cancellation.check()
            let seen = job.parameters.choice("error") == "outputs" && job.tensor.name == job.layer.weight ? inputs[job.layer.id] : nil
            if seen == nil, job.parameters.choice("error") == "outputs" { context.notes.add("\(job.layer.id): its inputs cannot be measured; coded by the error of its weights") }
            let data = seen.map { "\(context.calibration?.contentHash.description ?? "") \(limit) \($0.shape)" } ?? ""
            let key = "product-quantization \(job.tensor.contentHash) \(job.layer.kind) \(job.layer.outputAxis) \(job.parameters.canonical) \(context.seed) \(data)"
            return try context.memo.tensors(seen == nil ? key : key + source.contentHash.description) { try Self.code(job, seen, context) }
        }
        for (number, job) in jobs.enumerated() where coded[number].count == 2 {
            try context.cancellation.check()
            let plan = Plan(job.layer, dims: job.tensor.dims, weightBits: 32, job.parameters)
            writer.replace(job) { editor, path in
                let codes = editor.add(coded[number][0], "\(job.place.name)/codes", at: path)
                let codebook = editor.add(coded[number][1], "\(job.place.name)/codebook", at: path)
                var rows = editor.frontCast(codes, from: coded[number][0].elementType, to: .int32, at: path)
                if plan.books > 1 {
                    let each = coded[number][1].dims[0] / plan.books
                    let first = Tensor(name: "", int32s: (0..<plan.books).map { Int32($0 * each) }, dims: [plan.books])
                    rows = editor.front("Add", [rows, editor.constant(first, at: path)], at: path)
                }
                let vectors = editor.front("Gather", [codebook, rows], at: path)
                return plan.layout.emit(vectors, dims: job.tensor.dims, &editor, at: path)
            }
            context.progress(Double(number + 1) / Double(jobs.count), "coding \(job.layer.id)")
        }
        model = writer.finish()
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let layer = summaries[index].layer
            let state = states[index]
            let plan = Plan(layer, dims: layer.weightShape, weightBits: state.weightBits, values.resolved(by: descriptor))
            guard plan.saves else { continue }
            states[index].weightBits = plan.storedBits / Double(max(plan.weights, 1))
            states[index].density = 1
            states[index].distinctValues = nil
            states[index].valueEntropy = nil
            states[index].overheadBits += Plan.graphBits
        }
    }

    /// What is stored of a weight tensor.
    private struct Plan {
        static let graphBits = Double(8 * 7 * ComputedWeightWriter.nodeBytes)

        var layout: Subvectors
        var books: Int
        /// Vectors in each codebook.
        var entries: Int
        var weights: Int
        private var plainBits: Double
        private var weightBits: Double

        init(_ layer: Layer, dims: [Int], weightBits: Double, _ parameters: ParameterValues) {
            layout = Subvectors(layer, dims: dims, dimension: parameters.integer("dimension"))
            books = parameters.choice("codebook") == "block" ? layout.blocks : 1
            entries = min(1 << parameters.integer("bits"), layout.count / max(books, 1))
            weights = dims.reduce(1, *)
            self.weightBits = weightBits
            plainBits = Double(weights) * weightBits
        }

        /// Codes and codebooks.
        var storedBits: Double {
            Double(layout.count) * (entries > 256 ? 16 : 8) + Double(books * entries * layout.dimension) * weightBits
        }

        var saves: Bool { entries > 1 && storedBits + Self.graphBits < plainBits }
    }

    /// Codes, [rows, blocks], and codebooks, one row for each vector.
    private static func code(_ job: WeightJob, _ seen: LayerInputs?, _ context: RewriteContext) throws -> [Tensor] {
        let plan = Plan(job.layer, dims: job.tensor.dims, weightBits: 32, job.parameters)
        let layout = plan.layout
        let d = layout.dimension
        let vectors = layout.vectors(job.tensor)
        guard vectors.count == layout.count * d else { return [] }
        let iterations = job.parameters.integer("iterations")
        // Inputs of one group and place are one class of vectors.
        let metrics = seen.map { Self.metrics($0, layout) } ?? []
        let perGroup = seen.map { $0.shape.rows } ?? layout.rows
        func classOf(_ vector: Int) -> Int { vector / layout.blocks / perGroup * layout.blocks + vector % layout.blocks }
        var codes = [UInt16](repeating: 0, count: layout.count)
        var codebook: [Float] = []
        for book in 0..<plan.books {
            // All vectors, or those at one place; those of a class together.
            let members = plan.books == 1 ? Array(0..<layout.count) : (0..<layout.rows).map { $0 * layout.blocks + book }
            let ordered = metrics.isEmpty ? members : members.map { (classOf($0), $0) }.sorted { $0 < $1 }.map(\.1)
            var own: [Float] = []
            own.reserveCapacity(ordered.count * d)
            for vector in ordered { own += vectors[(vector * d)..<((vector + 1) * d)] }
            let classes = metrics.isEmpty ? [Int](repeating: 0, count: ordered.count) : ordered.map(classOf)
            let means = try VectorKMeans(
                own, dimension: d, count: plan.entries, metrics: metrics, classOf: { classes[$0] }, iterations: iterations,
                seed: context.seed &+ UInt64(book), cancellation: context.cancellation)
            for (place, code) in means.assign(own, classes: classes).codes.enumerated() { codes[ordered[place]] = code }
            codebook += means.centroids
            // Fewer different vectors than entries.
            codebook += [Float](repeating: 0, count: (plan.entries - means.count) * d)
        }
        let dims = [layout.rows, layout.blocks]
        let stored =
            plan.entries > 256
            ? try Tensor(name: "", elementType: .uint16, dims: dims, storage: TensorStorage(copying: codes))
            : Tensor(name: "", uint8s: codes.map { UInt8(truncatingIfNeeded: $0) }, dims: dims)
        return [stored, Tensor(like: job.tensor, name: "", floats: codebook, dims: [plan.books * plan.entries, d])]
    }

    /// Second moments of the inputs of each class: blocks on the diagonal of the Gram matrix, raised a little so that inputs
    /// that are always zero count as well.
    private static func metrics(_ inputs: LayerInputs, _ layout: Subvectors) -> [[Float]] {
        let (d, columns) = (layout.dimension, inputs.shape.columns)
        let mean = inputs.meanSquare.reduce(0, +) / Float(max(inputs.meanSquare.count, 1))
        let raise = max(0.01 * mean, .leastNormalMagnitude)
        return (0..<(inputs.shape.groups * layout.blocks)).map { number in
            let (group, block) = number.quotientAndRemainder(dividingBy: layout.blocks)
            var metric = [Float](repeating: 0, count: d * d)
            for row in 0..<d {
                for column in 0..<d {
                    let (x, y) = (block * d + row, block * d + column)
                    if x < columns, y < columns { metric[row * d + column] = inputs.gram[(group * columns + x) * columns + y] }
                }
                metric[row * d + row] += raise
            }
            return metric
        }
    }
}
