import EngineSupport
import ModelGraph
import Techniques

/// Weights that share values by a hash of their position.
public struct HashedNets: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "hashednets", title: "HashedNets", family: .sharing,
        summary: "A hash of its position decides which of a few values a weight takes; only the values are stored",
        details: """
            A hash of its position puts each weight into a bucket at random, and all weights of a bucket share one value: their mean, the nearest in \
            least squares. With signs, another bit of the hash gives half of them the negative of that value, which makes neighboring weights less alike. \
            The hash can be computed, so no index is stored: the ONNX file holds the values and thirty operators that compute the rest. Its size falls by \
            the ratio itself, less about two kilobytes per layer. ONNX Runtime computes the weights while loading; memory, MACs and speed stay the same.

            Buckets ignore what the weights are. Fitted to a trained model, without training the values afterwards, they lose far more accuracy than \
            clusters or factors of the same size: add fine-tuning after it. It needs operator set 11. Layers that are too small to gain are left \
            alone.
            """,
        source: "Chen, Wilson, Tyree, Weinberger and Chen, Compressing Neural Networks with the Hashing Trick, ICML 2015, section 4",
        parameters: [
            ParameterDescriptor(
                "ratio", title: "Values kept", domain: .real(0.005...0.9, step: 0.005), default: .real(0.125),
                help: "Values stored, as a share of the layer's weights"),
            ParameterDescriptor(
                "signs", title: "Signs", domain: .flag, default: .flag(true), help: "Let a second hash give half of the weights the negative of their value"),
        ],
        requires: [.floatWeights], produces: [.sharedWeights, .loweredPrecision])

    static let oldestOperatorSet = 11

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = ComputedWeightWriter.refusal(for: layer) { return reason }
        guard model.opset >= Self.oldestOperatorSet else { return "needs operator set \(Self.oldestOperatorSet), the model has \(model.opset)" }
        return nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var writer = ComputedWeightWriter(model, targets: targets)
        let hash = PositionHash(seed: context.seed)
        let jobs = writer.jobs(context).filter { job in
            let saved = (job.tensor.count - Self.buckets(job.tensor.count, job.parameters)) * job.tensor.storage.byteCount / job.tensor.count
            let worth = saved > Self.graphBytes(job.parameters)
            if !worth { context.notes.add("\(job.layer.id): \(job.tensor.count) weights are too few to gain anything; left as they are") }
            return worth
        }
        var hashed: [String: String] = [:]
        let values = try Parallel.map(jobs) { job in
            try context.cancellation.check()
            return Self.fit(job, hash)
        }
        for (number, job) in jobs.enumerated() {
            writer.replace(job) { editor, path in
                let parts = Self.parts(job.tensor.count)
                let pieces = zip(parts, values[number]).enumerated().map { index, part in
                    // Whole parts are hashed alike.
                    let known = "\(path) \(part.0.count)"
                    let hashes = hashed[known] ?? hash.emit(&editor, count: part.0.count, at: path)
                    hashed[known] = hashes
                    let name = "\(job.place.name)/hashed" + (index > 0 ? "_\(index)" : "")
                    return Self.emit(part.1, hashes, job, name: name, &editor, at: path)
                }
                let all = pieces.count == 1 ? pieces[0] : editor.front("Concat", pieces, at: path, [Attribute("axis", .integer(0))])
                return editor.frontReshape(all, job.tensor.dims, at: path)
            }
            context.progress(Double(number + 1) / Double(jobs.count), "hashing \(job.layer.id)")
        }
        model = writer.finish()
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let parameters = values.resolved(by: descriptor)
            let state = states[index]
            let kept = Double(Self.parts(Int(state.weightCount)).reduce(0) { $0 + Self.buckets($1.count, parameters) })
            let graph = Double(Self.graphBytes(parameters)) * 8
            guard (state.weightCount - kept) * state.weightBits > graph else { continue }
            states[index].weightCount = kept
            states[index].density = 1
            states[index].distinctValues = nil
            states[index].valueEntropy = nil
            states[index].overheadBits += graph
        }
    }

    private static func buckets(_ count: Int, _ parameters: ParameterValues) -> Int {
        max(min(Int((Double(count) * parameters.real("ratio")).rounded()), count), 1)
    }

    /// Bytes of the nodes and constants that look up one weight tensor.
    private static func graphBytes(_ parameters: ParameterValues) -> Int { ComputedWeightWriter.nodeBytes * (parameters.flag("signs") ? 32 : 26) }

    /// As many weights as there are positions to hash; what is beyond them has buckets of its own.
    private static func parts(_ count: Int) -> [Range<Int>] {
        stride(from: 0, to: max(count, 1), by: PositionHash.limit).map { $0..<min($0 + PositionHash.limit, count) }
    }

    /// The weights of a part, as a list: its values by the hashes of the positions.
    private static func emit(
        _ values: [Float], _ hashes: String, _ job: WeightJob, name: String, _ editor: inout GraphEditor, at path: GraphPath
    ) -> String {
        let type = job.tensor.elementType
        let total = editor.number(Int64(values.count), at: path)
        let stored = editor.add(Tensor(like: job.tensor, name: "", floats: values, dims: [values.count]), name, at: path)
        let value = editor.front("Gather", [stored, editor.front("Mod", [hashes, total], at: path)], at: path)
        guard job.parameters.flag("signs") else { return value }
        let parity = editor.front("Mod", [editor.front("Div", [hashes, total], at: path), editor.number(2, at: path)], at: path)
        let flag = editor.frontCast(parity, from: .int64, to: type, at: path)
        let minus = editor.front("Mul", [flag, editor.number(Float(-2), like: type, at: path)], at: path)
        let sign = editor.front("Add", [minus, editor.number(Float(1), like: type, at: path)], at: path)
        return editor.front("Mul", [value, sign], at: path)
    }

    /// The mean of each bucket's weights, each with its sign: the least-squares fit. Empty buckets hold 0.
    private static func fit(_ job: WeightJob, _ hash: PositionHash) -> [[Float]] {
        parts(job.tensor.count).map { part in
            let total = buckets(part.count, job.parameters)
            let places = hash.buckets(part.count, of: total, signed: job.parameters.flag("signs"))
            var sums = [Double](repeating: 0, count: total)
            var counts = [Int32](repeating: 0, count: total)
            job.tensor.withFloats { weights in
                for (weight, place) in zip(weights[part], places) {
                    let bucket = Int(place & 0x7FFF_FFFF)
                    sums[bucket] += place >> 31 == 1 ? -Double(weight) : Double(weight)
                    counts[bucket] += 1
                }
            }
            return zip(sums, counts).map { $1 > 0 ? Float($0 / Double($1)) : 0 }
        }
    }
}
