import EngineSupport
import Foundation
import ModelGraph
import Synchronization
import Techniques

/// Weight sharing by one-dimensional k-means ("trained quantization" of Deep Compression, without the training).
public struct WeightSharing: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "weight-sharing", title: "Weight sharing", family: .sharing,
        summary: "Clusters weights by k-means, so that each layer uses only 2^bits different values",
        details: """
            Every weight becomes the mean of its cluster. Zeros made by pruning stay exact zeros and take one of the 2^bits values. Biases do not \
            change.

            With storage dense the ONNX file keeps its size: it still holds one float per weight, only with few different values, and runs everywhere \
            at the same speed. The packed archive shrinks (bits per weight plus a codebook, less with entropy codes), and in part the gzip size. With \
            storage codebook the file holds one byte per weight and a codebook, about a quarter of the size; the runtime looks the weights up while \
            loading, so memory and speed are as before.

            Method exact finds the clusters of least squared error, for up to 262,144 different weights; beyond that, neighboring weights are first \
            grouped into at most 65,536 bins, and Lloyd's algorithm follows on all of them. Method lloyd is that of the paper, which found linear \
            initialization best for pruned weights that are trained afterwards, because it keeps the few large weights apart. Its clusters differ much \
            in size, so entropy codes gain more: at equal bits the archive is often a tenth smaller than with exact, whose error is lower.
            """,
        source: """
            Han, Mao and Dally, Deep Compression, ICLR 2016, section 3; exact: Wang and Song, Ckmeans.1d.dp, R Journal 2011, and Grønlund et al., \
            arXiv:1701.07204, section 2.3
            """,
        parameters: [
            ParameterDescriptor(
                "bits", title: "Bits", domain: .integer(1...8, step: 1), default: .integer(5), unit: "bits",
                help: "2^bits different values per codebook, zero included if zeros are preserved"),
            ParameterDescriptor(
                "method", title: "Method",
                domain: .choice([
                    .init("exact", "least squared error, by dynamic programming"),
                    .init("lloyd", "Lloyd's algorithm, from initial centroids"),
                ]), default: .choice("exact"), help: "How k-means is solved"),
            ParameterDescriptor(
                "initialization", title: "Initial centroids",
                domain: .choice([
                    .init("linear", "evenly spaced from the smallest to the largest weight"),
                    .init("density", "at evenly spaced quantiles"), .init("random", "weights drawn at random"),
                ]), default: .choice("linear"), help: "Where Lloyd's algorithm starts"),
            ParameterDescriptor(
                "iterations", title: "Iterations", domain: .integer(1...200, step: 1), default: .integer(50),
                help: "Most iterations of Lloyd's algorithm; it stops when nothing moves"),
            ParameterDescriptor(
                "scope", title: "Codebook for",
                domain: .choice([.init("layer", "each layer on its own"), .init("model", "all layers of the step together")]),
                default: .choice("layer"), help: "Which weights share a codebook"),
            ParameterDescriptor(
                "preserve-zeros", title: "Preserve zeros", domain: .flag, default: .flag(true),
                help: "Keep weights that are zero exactly zero and cluster the others"),
            ParameterDescriptor(
                "storage", title: "Storage",
                domain: .choice([
                    .init("dense", "one float per weight: the ONNX file is no smaller, the archive is"),
                    .init("codebook", "one byte per weight and a codebook: the ONNX file is about a quarter"),
                ]), default: .choice("dense"), help: "How the ONNX file stores shared weights"),
        ],
        requires: [.floatWeights], produces: [.sharedWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        guard layer.isFloat else {
            // Rows of integers are gathered too, but not as indices.
            let isTable = layer.kind == .embedding && model.graph[layer.path]?.nodes[layer.nodeIndex].input(0) == layer.weight
            return layer.quantization?.opType == "Gather" && !isTable ? "its weights are already a codebook" : "its weights are already quantized"
        }
        return nil
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        var pools: [WeightPool] = []
        var pooled: [ParameterValues: Int] = [:]
        for target in targets {
            if target.parameters.choice("scope") == "model", let known = pooled[target.parameters] {
                pools[known].layers.append(target.layer)
            } else {
                pooled[target.parameters] = pools.count
                pools.append(WeightPool(layers: [target.layer], parameters: target.parameters))
            }
        }
        let results = Mutex<[Int: Result<[SharedWeight], any Error>]>([:])
        let (source, all) = (model, pools)
        DispatchQueue.concurrentPerform(iterations: all.count) { index in
            guard !context.cancellation.isCancelled else { return }
            let result = Result { try all[index].share(source, context: context) }
            let done = results.withLock { results in
                results[index] = result
                return results.count
            }
            context.progress(Double(done) / Double(all.count), "clustering \(all[index].layers[0].id)")
        }
        try context.cancellation.check()
        var shared: [SharedWeight] = []
        for (_, result) in results.withLock({ $0 }).sorted(by: { $0.key < $1.key }) { shared += try result.get() }
        try SharedWeightStorage(shared, readers: OtherReaders(model)).apply(to: &model)
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        for (index, values) in targets {
            let parameters = values.resolved(by: descriptor)
            let state = states[index]
            let keepsZeros = parameters.flag("preserve-zeros") && state.density < 1
            let entries = 1 << parameters.integer("bits")
            let exact = parameters.choice("method") == "exact"
            // As many iterations as a key press allows: they matter most for few clusters and cost least there.
            let clusters = ScalarKMeans(
                summaries[index].signedDistribution(density: state.density, resolution: 4 * entries), count: max(entries - (keepsZeros ? 1 : 0), 1),
                initialization: exact ? .cubeRoot : ScalarKMeans.Initialization(rawValue: parameters.choice("initialization")) ?? .linear,
                iterations: min(exact ? 200 : parameters.integer("iterations"), max(1600 / entries, 6)), seed: 0)
            states[index].distinctValues = min(Double(clusters.centroids.count), state.nonZeroCount.rounded())
            states[index].valueEntropy = clusters.entropy
            if parameters.choice("storage") == "codebook" {
                states[index].weightBits = 8
                states[index].overheadBits += Double(entries) * 32 + 8 * Double(240 + 4 * summaries[index].layer.weight.utf8.count)
            }
        }
    }
}

extension LayerSummary {
    /// The distribution of the layer's non-zero weights as known from the summary, the largest `density` share of them:
    /// magnitudes from the quantiles, their signs in the proportion that the histogram has at that magnitude.
    /// - Parameter resolution: points of either sign wanted at least; quantiles are interpolated to get them.
    func signedDistribution(density: Double, resolution: Int) -> ValueDistribution {
        let cells = magnitudeQuantiles.count - 1
        guard cells > 0, maximumMagnitude > 0, histogram.count == 256 else { return ValueDistribution(ascending: [], exact: false) }
        let first = min(Int(((1 - density) * Double(cells)).rounded()), cells - 1)
        let scale = 127.999 / maximumMagnitude
        var negative: [(value: Float, count: Double, sum: Double)] = []
        var positive: [(value: Float, count: Double, sum: Double)] = []
        // A cell between two quantiles holds the same number of weights as any other.
        let parts = max(1, (resolution + cells - first - 1) / (cells - first))
        for part in (first * parts)..<(cells * parts) {
            let (low, high) = (magnitudeQuantiles[part / parts], magnitudeQuantiles[part / parts + 1])
            let middle = low + (high - low) * (Float(part % parts) + 0.5) / Float(parts)
            guard middle > 0 else { continue }
            let below = Double(histogram[Int(128 - middle * scale)])
            let above = Double(histogram[Int(128 + middle * scale)])
            let share = below + above > 0 ? below / (below + above) : 0.5
            if share > 0 { negative.append((-middle, share, -share * Double(middle))) }
            if share < 1 { positive.append((middle, 1 - share, (1 - share) * Double(middle))) }
        }
        return ValueDistribution(ascending: negative.reversed() + positive, exact: false)
    }
}
