import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Techniques

/// An exit as it was fitted.
struct FittedExit: Sendable {
    var site: ExitSite
    var head: RidgeHead
    var width: Int
    /// Shape of the cut's value at batch 1.
    var shape: [Int]
    /// Cells along each spatial axis that were asked for.
    var grid: Int
    /// Share of calibration samples for which the exit, fitted without the sample, answers as the model does.
    var agreement: Double?
}

/// Gathers features over calibration data and fits the exits' classifiers.
struct ExitFitting {
    let model: Model
    let sites: ExitSites
    let parameters: ParameterValues
    let context: RewriteContext

    /// Numbers of features kept in memory at most.
    private static let budget = 1 << 28

    var classes: Int { sites.classes }

    /// What one run over the data gathers.
    private struct Gathered {
        /// By site, samples × features; empty for sites that have none.
        var features: [[Float]]
        var widths: [Int]
        /// samples × classes, as the model gives them.
        var outputs: [Float] = []
        var count = 0
    }

    /// - Returns: exits in order; sites whose value has no row of its own for each sample are left out.
    func fit(_ places: [ExitSite], _ source: any CalibrationSource) throws -> [FittedExit] {
        let found = try shapes(of: places, source)
        let places = places.filter { found[$0.cut] != nil }
        guard !places.isEmpty else { return [] }
        let grid = hasFixedExtents ? parameters.integer("grid") : 1
        let shapes = places.map { found[$0.cut] ?? [] }
        let limit = min(parameters.integer("samples"), source.sampleCount)
        let wanted = parameters.choice("targets")
        let labels = source.labels
        let base = "early-exits \(model.contentHash) \(source.contentHash) \(grid) \(wanted) \(limit)"
        let keys = places.map { "\(base) \($0.cut)" }
        let known = keys.map { context.memo.known($0) }
        var gathered: Gathered?
        if known.contains(where: { $0 == nil }) { gathered = try gather(places, shapes, grid: grid, limit: limit, source) }
        var fitted: [FittedExit] = []
        for (number, site) in places.enumerated() {
            try context.cancellation.check()
            context.progress(0.5 + 0.5 * Double(number) / Double(places.count), "fitting exit \(number + 1)")
            let tensors = try context.memo.tensors(keys[number]) {
                guard let gathered, gathered.count > 2, !gathered.features[number].isEmpty else { return [] }
                let soft = probabilities(gathered.outputs)
                let truth = labels.map { oneHot($0, count: gathered.count) } ?? soft
                let targets = wanted == "outputs" ? soft : wanted == "both" ? zip(soft, truth).map { ($0 + $1) / 2 } : truth
                let head = try RidgeHead(
                    features: gathered.features[number], width: gathered.widths[number], targets: targets, truth: truth, classes: classes,
                    cancellation: context.cancellation)
                let own = RidgeHead.confidences(soft, classes: classes)
                let agreeing = zip(RidgeHead.confidences(head.leftOut, classes: classes), own).count { $0.label == $1.label }
                return [
                    Tensor(name: "weights", floats: head.weights, dims: [gathered.widths[number], classes]), Tensor(name: "bias", floats: head.bias, dims: [classes]),
                    Tensor(name: "left out", floats: head.leftOut, dims: [gathered.count, classes]),
                    Tensor(name: "agreement", floats: [Float(agreeing) / Float(gathered.count)], dims: [1]),
                ]
            }
            guard tensors.count == 4, let weights = tensors[0].floats(), let bias = tensors[1].floats(), let leftOut = tensors[2].floats() else { continue }
            fitted.append(
                FittedExit(
                    site: site, head: RidgeHead(weights: weights, bias: bias, leftOut: leftOut), width: tensors[0].dims[0], shape: shapes[number], grid: grid,
                    agreement: tensors[3].floats()?.first.map(Double.init)))
        }
        return fitted
    }

    /// Shapes of the cuts' values for one sample: earlier steps may have made values of their own, and cut channels of others.
    private func shapes(of places: [ExitSite], _ source: any CalibrationSource) throws -> [String: [Int]] {
        let names = places.map(\.cut)
        guard !names.isEmpty else { return [:] }
        var shapes: [String: [Int]] = [:]
        try source.forEachBatch(of: model.truncated(to: names), values: names, limit: 1, cancellation: context.cancellation) { batch in
            for value in batch where value.shape.count >= 2 && value.shape[0] == 1 && shapes[value.name] == nil { shapes[value.name] = value.shape }
        }
        return shapes
    }

    /// Whether all dimensions but the batch are fixed, so that a grid of cells is the same for every sample.
    private var hasFixedExtents: Bool {
        model.graph.requiredInputs.allSatisfy { $0.shape?.dropFirst().allSatisfy { $0.fixedValue != nil } ?? false }
    }

    private func gather(_ places: [ExitSite], _ shapes: [[Int]], grid: Int, limit: Int, _ source: any CalibrationSource) throws -> Gathered {
        var exposed = model
        var builder = ExitGraph(model, outputType: sites.outputType, givesProbabilities: sites.givesProbabilities, isSingle: sites.isSingle)
        var values: [String] = []
        for (number, site) in places.enumerated() {
            let features = builder.features(of: site, shape: shapes[number], grid: grid, largest: EarlyExits.largestWidth, prefix: "exit\(number + 1)")
            exposed.graph.nodes += features.nodes
            values.append(features.value)
        }
        var gathered = Gathered(features: places.map { _ in [] }, widths: places.map { _ in 0 })
        var dropped = Set<Int>()
        try source.forEachBatch(of: exposed, values: values + [sites.output], limit: limit, cancellation: context.cancellation) { batch in
            guard let output = batch.last, output.shape.count == 2, output.shape[1] == classes, output.floats.count == output.shape[0] * classes else { return }
            let rows = output.shape[0]
            gathered.outputs += output.floats
            gathered.count += rows
            for (number, value) in batch.dropLast().enumerated() where !dropped.contains(number) {
                // A value whose first dimension is not the batch has no row for each sample.
                let width = value.shape.count == 2 && value.shape[0] == rows ? value.shape[1] : 0
                let known = gathered.widths[number]
                guard width > 0, known == 0 || known == width, value.floats.count == rows * width, (gathered.features[number].count + rows * width) < Self.budget else {
                    dropped.insert(number)
                    gathered.features[number] = []
                    continue
                }
                gathered.widths[number] = width
                gathered.features[number] += value.floats
            }
            context.progress(0.5 * min(Double(gathered.count) / Double(max(limit, 1)), 1), "collecting features")
        }
        return gathered
    }

    /// The model's outputs as probabilities.
    private func probabilities(_ outputs: [Float]) -> [Float] {
        guard !sites.givesProbabilities else { return outputs }
        var result = outputs
        for start in stride(from: 0, to: outputs.count, by: classes) {
            let top = outputs[start..<(start + classes)].max() ?? 0
            let total = outputs[start..<(start + classes)].reduce(Float(0)) { $0 + exp($1 - top) }
            for index in start..<(start + classes) { result[index] = exp(outputs[index] - top) / total }
        }
        return result
    }

    private func oneHot(_ labels: [Int], count: Int) -> [Float] {
        var result = [Float](repeating: 0, count: count * classes)
        for (row, label) in labels.prefix(count).enumerated() where (0..<classes).contains(label) { result[row * classes + label] = 1 }
        return result
    }
}
