import CompressionEngine
import Datasets
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques

/// LeNet-5 in its Caffe form (20-50-500-10), as a graph without meaning in its weights, and figures of it.
enum FakeModel {
    static let layers: [Layer] = {
        func tensor(_ name: String, _ dims: [Int]) -> Tensor {
            Tensor(name: name, floats: [Float](repeating: 0, count: dims.reduce(1, *)), dims: dims)
        }
        let graph = Graph(
            name: "lenet5",
            nodes: [
                Node("Conv", name: "conv1", inputs: ["x", "w1", "b1"], outputs: ["c1"]), Node("Conv", name: "conv2", inputs: ["c1", "w2", "b2"], outputs: ["c2"]),
                Node("Gemm", name: "ip1", inputs: ["c2", "w3", "b3"], outputs: ["g1"]), Node("Gemm", name: "ip2", inputs: ["g1", "w4", "b4"], outputs: ["y"]),
            ],
            initializers: [
                tensor("w1", [20, 1, 5, 5]), tensor("b1", [20]), tensor("w2", [50, 20, 5, 5]), tensor("b2", [50]), tensor("w3", [800, 500]), tensor("b3", [500]),
                tensor("w4", [500, 10]), tensor("b4", [10]),
            ])
        return Model(graph: graph).layers()
    }()

    static let macs: [Double] = [288_000, 1_600_000, 400_000, 5_000]
    static let biases: [Double] = [20, 50, 500, 10]

    static var info: SessionInfo {
        var info = SessionInfo(modelPath: "models/lenet-5.onnx", modelName: "lenet-5.onnx", modelHash: "5f3a", opset: 17, producer: "pytorch", layers: layers)
        info.dataName = "fashion-mnist"
        info.metric = .top1
        (info.validationCount, info.calibrationCount, info.testCount) = (5000, 512, 5000)
        info.runtimeVersion = "1.31.1"
        return info
    }

    /// What a technique refuses: factorization of convolutions.
    static let refusals: [String: [Int: String]] = ["svd": [0: "is a convolution", 1: "is a convolution"]]

    static func figures(density: [Double], bits: Double, provenance: Provenance) -> ModelFigures {
        var rows: [LayerFigures] = []
        var packed = 400.0
        var file = 2_200.0
        for (index, layer) in layers.enumerated() {
            let weights = Double(layer.weightCount)
            var row = LayerFigures(
                id: layer.id, kind: layer.kind.rawValue, opType: layer.opType, weightShape: layer.weightShape, weightType: "float32", parameters: weights + biases[index],
                nonZeros: (weights * density[index]).rounded() + biases[index], serializedBytes: weights * bits / 8 + biases[index] * 4, weightBits: bits)
            row.macs = macs[index]
            row.packedBytes = (weights * density[index] * (bits + 5) / 8 + biases[index] * 4).rounded()
            row.outputElements = 1000
            packed += row.packedBytes ?? 0
            file += row.serializedBytes
            rows.append(row)
        }
        let parameters = rows.reduce(0) { $0 + $1.parameters }
        var figures = ModelFigures(
            parameters: Figure(parameters, provenance), nonZeros: Figure(rows.reduce(0) { $0 + $1.nonZeros }, provenance), serializedBytes: Figure(file, provenance), layers: rows)
        figures.macs = Figure(macs.reduce(0, +), .measured)
        figures.theoreticalBytes = Figure(packed - 400, provenance)
        figures.transferBytes = Figure((file * (0.12 + 0.8 * density[2])).rounded(), provenance)
        figures.packedBytes = Figure(packed, provenance)
        figures.peakActivationBytes = Figure(57_600, .measured)
        figures.memoryBytes = Figure(file + 57_600, provenance)
        figures.energyPicojoules = Figure(file / 4 * 640 + 2_293_000 * 4.6 * bits / 32, .modeled)
        return figures
    }

    static let baseline = figures(density: [1, 1, 1, 1], bits: 32, provenance: .measured)

    /// Figures of a recipe: the sparsity of magnitude pruning, overrides and excluded layers included; bits of the quantizers.
    static func figures(of recipe: Recipe, provenance: Provenance) -> ModelFigures {
        var density = [1.0, 1, 1, 1]
        var bits = 32.0
        for step in recipe.activeSteps {
            switch step.technique {
            case "magnitude-pruning":
                for (position, layer) in layers.enumerated() where step.layers.matches(layer, position: position) {
                    let own = step.overrides.last { $0.layers.matches(layer, position: position) }?.parameters["sparsity"]
                    if case .real(let sparsity) = own ?? step.parameters["sparsity"] ?? .real(0.5) { density[position] = 1 - sparsity }
                }
            case "static-int8": bits = 8
            case "float16": bits = 16
            case "weight-only": if case .integer(let value) = step.parameters["bits"] ?? .integer(4) { bits = Double(value) }
            default: break
            }
        }
        return figures(density: density, bits: bits, provenance: provenance)
    }

    /// A plausible accuracy: falls off steeply beyond 90 % sparsity.
    static func accuracy(of recipe: Recipe, seen: Int, metric: MetricKind = .top1) -> AccuracyEstimate {
        var value = 0.9058
        for step in recipe.activeSteps {
            if step.technique == "magnitude-pruning", case .real(let sparsity) = step.parameters["sparsity"] ?? .real(0.5) {
                value -= 0.9 * pow8(sparsity) * 0.4
            }
            if step.technique == "static-int8" { value -= 0.002 }
            if step.technique == "weight-only", case .integer(let bits) = step.parameters["bits"] ?? .integer(4) { value -= 0.2 / Double(1 << bits) }
        }
        if !metric.isProportion { return likeness(metric, lost: 0.9058 - value, seen: seen, isBaseline: recipe.activeSteps.isEmpty) }
        let half = 1.96 * (value * (1 - value) / Double(seen)).squareRoot()
        var estimate = AccuracyEstimate(metric: metric, seen: seen, total: 5000, value: value, interval: Interval(low: value - half, high: value + half))
        if !recipe.activeSteps.isEmpty {
            estimate.baseline = 0.9058
            let difference = value - 0.9058
            estimate.difference = difference
            let reach = half * 0.5
            estimate.differenceInterval = Interval(low: difference - reach, high: difference + reach)
            estimate.mcnemarP = abs(difference) > reach ? 0.0004 : 0.31
        }
        return estimate
    }

    /// Cosine or SQNR of outputs that agree the less, the more accuracy is lost.
    private static func likeness(_ metric: MetricKind, lost: Double, seen: Int, isBaseline: Bool) -> AccuracyEstimate {
        let equal = metric == .sqnr ? 150.0 : 1.0
        let value = isBaseline ? equal : metric == .sqnr ? 38.5 - 60 * lost : 0.9991 - lost
        let half = (isBaseline ? 0 : metric == .sqnr ? 12 : 0.02) / Double(seen).squareRoot()
        var estimate = AccuracyEstimate(metric: metric, seen: seen, total: 5000, value: value, interval: Interval(low: value - half, high: min(value + half, equal)))
        if !isBaseline {
            (estimate.baseline, estimate.difference) = (equal, value - equal)
            estimate.differenceInterval = Interval(low: value - equal - half, high: min(value + half, equal) - equal)
        }
        return estimate
    }

    private static func pow8(_ x: Double) -> Double {
        let square = x * x
        return square * square * square * square
    }
}
