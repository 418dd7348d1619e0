import EngineSupport
import ModelGraph
import Techniques

/// A model with the classifiers of its exits beside it, all in one graph without branches: what is trained.
struct TrainedHeads {
    private(set) var model: Model
    /// By exit: its scores, and its classifier's weight and bias, one after the other.
    private(set) var logits: [String] = []
    private(set) var weights: [String] = []

    init(_ model: Model, sites: ExitSites, exits: [FittedExit]) {
        self.model = model
        var builder = ExitGraph(model, outputType: sites.outputType, givesProbabilities: sites.givesProbabilities, isSingle: sites.isSingle)
        var supply = NameSupply(model.graph)
        for (number, exit) in exits.enumerated() {
            let prefix = "exit\(number + 1)"
            let features = builder.features(of: exit.site, shape: exit.shape, grid: exit.grid, largest: EarlyExits.largestWidth, prefix: prefix)
            let names = ["/weight", "/bias", "/logits"].map { supply.fresh(prefix + "/trained" + $0) }
            self.model.graph.nodes += features.nodes
            self.model.graph.initializers[names[0]] = Tensor(name: names[0], floats: exit.head.weights, dims: [exit.width, exit.head.bias.count])
            self.model.graph.initializers[names[1]] = Tensor(name: names[1], floats: exit.head.bias, dims: [exit.head.bias.count])
            self.model.graph.nodes.append(Node("Gemm", name: prefix + "/trained/Gemm", inputs: [features.value, names[0], names[1]], outputs: [names[2]]))
            weights += names.prefix(2)
            logits.append(names[2])
        }
    }

    /// A model that gives one of its values alone.
    static func answering(_ value: String, _ model: Model) -> Model {
        var result = model
        if model.graph.outputs.first?.name != value {
            let shape = model.graph.outputs.first?.shape
            result.graph.outputs = [ValueInfo(name: value, elementType: .float32, shape: shape)]
        }
        result.graph.removeDeadCode()
        return result
    }

    /// The exits with trained classifiers, each with the temperature that makes its largest probability a confidence on calibration samples.
    func calibrated(
        _ exits: [FittedExit], from trained: Model, limit: Int, _ source: any CalibrationSource, classes: Int, sites: ExitSites, cancellation: Cancellation
    ) throws -> [FittedExit] {
        var scores = [[Float]](repeating: [], count: exits.count)
        var answers: [Float] = []
        try source.forEachBatch(of: trained, values: logits + [sites.output], limit: min(limit, source.sampleCount), cancellation: cancellation) { batch in
            guard batch.count == logits.count + 1, let output = batch.last, output.shape.count == 2, output.shape[1] == classes else { return }
            for number in exits.indices { scores[number] += batch[number].floats }
            answers += output.floats
        }
        let count = answers.count / max(classes, 1)
        guard count > 2, scores.allSatisfy({ $0.count == count * classes }) else { throw EngineError(.technique, "too few calibration samples for an early exit") }
        let own = RidgeHead.confidences(answers, classes: classes).map(\.label)
        let labels = source.labels.flatMap { $0.count >= count ? Array($0.prefix(count)) : nil } ?? own
        var truth = [Float](repeating: 0, count: count * classes)
        for (row, label) in labels.enumerated() where (0..<classes).contains(label) { truth[row * classes + label] = 1 }
        return try exits.enumerated().map { number, exit in
            guard let weight = trained.graph.initializers[weights[2 * number]]?.floats(), let bias = trained.graph.initializers[weights[2 * number + 1]]?.floats() else {
                throw EngineError(.technique, "the classifier of exit \(number + 1) is missing")
            }
            let sharpness = Float(RidgeHead.sharpness(scores[number].map(Double.init), truth: truth, classes: classes))
            var result = exit
            result.head = RidgeHead(weights: weight.map { $0 * sharpness }, bias: bias.map { $0 * sharpness }, leftOut: scores[number].map { $0 * sharpness })
            result.agreement = Double(zip(RidgeHead.confidences(scores[number], classes: classes), own).count { $0.label == $1 }) / Double(count)
            return result
        }
    }
}
