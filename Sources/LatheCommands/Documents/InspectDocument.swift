import CompressionEngine
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques

/// What `lathe inspect --json` prints.
struct InspectDocument: JSONDocument {
    struct Value: Encodable {
        var name: String
        var type: String?
        /// Extents; a number, or the name of an open one.
        var shape: [Extent]?
    }

    enum Extent: Encodable {
        case fixed(Int)
        case open(String)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .fixed(let extent): try container.encode(extent)
            case .open(let name): try container.encode(name)
            }
        }
    }

    struct LayerEntry: Encodable {
        var id: String
        var kind: String
        var operatorType: String
        var weightShape: [Int]
        var weightType: String
        var weightBits: Double
        var parameters: Int?
        var nonZeros: Int?
        var sparsity: Double
        var macs: Int?
        var serializedBytes: Int?
        var packedBytes: Int?
        var outputElements: Int?
        var distribution: Distribution?
    }

    /// How a layer's weights are spread.
    struct Distribution: Encodable {
        var mean: Double
        var standardDeviation: Double
        var maximumMagnitude: Double
        /// Median, 90th and 99th percentile of the magnitudes.
        var magnitudeP50: Double?
        var magnitudeP90: Double?
        var magnitudeP99: Double?
        /// Counts over equal bins from −maximumMagnitude to maximumMagnitude.
        var histogram: [Int]
    }

    struct Caches: Encodable {
        var level2Bytes: Int?
        var level3Bytes: Int?
        /// Smallest cache of this machine that holds weights and peak activations: `L2`, `L3` or `DRAM`.
        var modelFitsIn: String?
    }

    struct ModelFacts: Encodable {
        var path: String
        var name: String
        var hash: String
        /// Size of the file on disk, without external data.
        var fileBytes: Int?
        var irVersion: Int
        var opsets: [String: Int]
        var producer: String
        var inputs: [Value]
        var outputs: [Value]
        /// How often each operator stands in the graph and its subgraphs.
        var operators: [String: Int]
    }

    let schema = "lathe.inspect/1"
    var model: ModelFacts
    var figures: FiguresDocument
    var caches: Caches
    var layers: [LayerEntry]
    /// What the model was made from and by which recipe, where it says.
    var record: ModelRecord?
    var runtime: String?
    /// Why there are no MACs and activations, where there are none.
    var runtimeProblem: String?
    var warnings: [String]
    /// Weights that the file stores without their zeros.
    var sparseWeights: Int

    init(session: EngineSession, figures: ModelFigures, summaries: [LayerSummary], warnings: [String]) {
        let source = session.model
        var operators: [String: Int] = [:]
        for path in source.graph.graphPaths() { for node in source.graph[path]?.nodes ?? [] { operators[node.opType, default: 0] += 1 } }
        let attributes = try? FileManager.default.attributesOfItem(atPath: session.info.modelPath)
        model = ModelFacts(
            path: session.info.modelPath, name: session.info.modelName, hash: session.info.modelHash,
            fileBytes: (attributes?[.size] as? NSNumber)?.intValue, irVersion: source.irVersion,
            opsets: Dictionary(source.opsets.map { ($0.key.isEmpty ? "ai.onnx" : $0.key, $0.value) }, uniquingKeysWith: { $1 }),
            producer: [source.producerName, source.producerVersion].filter { !$0.isEmpty }.joined(separator: " "),
            inputs: source.graph.requiredInputs.map(Self.value), outputs: source.graph.outputs.map(Self.value), operators: operators)
        self.figures = FiguresDocument(figures)
        let cache = CacheSizes.current
        caches = Caches(
            level2Bytes: cache.level2, level3Bytes: cache.level3,
            modelFitsIn: cache.home(of: figures.memoryBytes?.value ?? figures.serializedBytes.value))
        let spread = Dictionary(summaries.map { ($0.layer.id, $0) }, uniquingKeysWith: { first, _ in first })
        layers = figures.layers.map { layer in
            LayerEntry(
                id: layer.id, kind: layer.kind, operatorType: layer.opType, weightShape: layer.weightShape, weightType: layer.weightType,
                weightBits: layer.weightBits, parameters: layer.parameters.whole, nonZeros: layer.nonZeros.whole, sparsity: layer.sparsity,
                macs: layer.macs?.whole, serializedBytes: layer.serializedBytes.whole, packedBytes: layer.packedBytes?.whole,
                outputElements: layer.outputElements?.whole, distribution: spread[layer.id].map(Self.distribution))
        }
        record = ModelRecord(session.model)
        runtime = session.info.runtimeVersion
        runtimeProblem = session.info.runtimeProblem
        self.warnings = warnings
        sparseWeights = source.graph.graphPaths().reduce(0) { $0 + (source.graph[$1]?.sparseForms.count ?? 0) }
    }

    private static func value(_ info: ValueInfo) -> Value {
        let shape = info.shape?.map { dimension in dimension.fixedValue.map(Extent.fixed) ?? .open(dimension.description) }
        return Value(name: info.name, type: info.elementType?.description, shape: shape)
    }

    private static func distribution(_ summary: LayerSummary) -> Distribution {
        func quantile(_ fraction: Double) -> Double? {
            let ranks = summary.magnitudeQuantiles
            guard !ranks.isEmpty else { return nil }
            return Double(ranks[Int((Double(ranks.count - 1) * fraction).rounded())])
        }
        // 256 bins are for the screen; 64 are enough to read.
        let coarse = stride(from: 0, to: summary.histogram.count, by: 4).map { start in
            summary.histogram[start..<min(start + 4, summary.histogram.count)].reduce(0, +)
        }
        return Distribution(
            mean: Double(summary.mean), standardDeviation: Double(summary.standardDeviation),
            maximumMagnitude: Double(summary.maximumMagnitude), magnitudeP50: quantile(0.5), magnitudeP90: quantile(0.9),
            magnitudeP99: quantile(0.99), histogram: coarse)
    }
}
