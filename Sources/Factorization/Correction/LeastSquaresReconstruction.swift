import EngineSupport
import Measurement
import ModelGraph
import Techniques

/// Refits the weights that are left so that layers compute again what they computed before the recipe.
public struct LeastSquaresReconstruction: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "least-squares-reconstruction",
        title: "Least-squares reconstruction",
        family: .correction,
        summary: "Refits the remaining weights to each layer's outputs before the recipe, on calibration data",
        details: """
            Zero weights stay zero and removed channels stay removed. All other weights of a layer are fitted by ridge regression: with the inputs \
            that the current model gives the layer, its outputs should match those of the model before the recipe on the same samples. Layers are \
            fitted in graph order, so that each also makes up for the remaining errors of those before it. Biases are fitted too. The ridge pulls \
            weights toward their current values.

            It needs no labels and no training. It corrects magnitude, block and N:M pruning as well as removed channels, and still helps after \
            SparseGPT, which fits layers one column at a time. Sizes, MACs and run time stay the same. Convolutions, Gemm and MatMul with float \
            weights as right operand are refitted.
            """,
        source:
            "He, Zhang and Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, section 3.1 (reconstruction); Kwon et al., A Fast Post-Training Pruning Framework for Transformers, NeurIPS 2022, section 3.4 (mask tuning)",
        parameters: [
            ParameterDescriptor(
                "ridge", title: "Ridge", domain: .real(0.0001...1, step: 0.0001), default: .real(0.01),
                help: "Pull to the present weights, as a fraction of the inputs' mean square: more for fewer samples"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(512), unit: "samples",
                help: "Calibration samples to use"),
        ],
        needsCalibration: true, produces: [.correction, .refittedWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? { refusals(for: [layer], in: model, shapes: [:])[0] }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        zip(layers, CalibratedWeights.refusals(for: layers, in: model, gram: true)).map { layer, reason in
            if let reason { return reason }
            let node = model.graph.nodes[layer.nodeIndex]
            guard layer.kind == .gemm else { return nil }
            return (node.float("alpha") ?? 1) == 1 && (node.float("beta") ?? 1) == 1 ? nil : "a Gemm that scales its product or its bias"
        }
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        guard var baseline = context.baseline, let parameters = targets.first?.parameters else {
            throw EngineError(.technique, "least-squares-reconstruction: there is no model to compare with")
        }
        let counterparts = BaselineValues(baseline: baseline, present: model)
        let index = GraphIndex(model.graph)
        let constants = model.graph.constantNames()
        var sites: [String: BiasSite] = [:]
        var products = BaselineProducts(baseline)
        var pairs: [String: InputOutputStatistics.Pair] = [:]
        for target in targets {
            let layer = target.layer
            guard let output = model.graph.nodes[layer.nodeIndex].outputs.first else { continue }
            let dimension = layer.kind == .conv ? -(layer.weightShape.count - 1) : -1
            guard let wanted = counterparts.counterpart(of: output, dimension: dimension) else {
                context.notes.add("\(layer.id) left as it is: the model before the recipe has no such layer")
                continue
            }
            var value: String? = wanted.name
            let site = try? BiasSite.find(layer, in: model, index: index, constants: constants).get()
            switch site?.place {
            // A bias of its own only where the layer has one: none is added.
            case .own(nil): break
            case .own, .add, .codes: sites[layer.id] = site
            // What is added is no bias that could be fitted: the product alone is.
            case nil: if model.graph.nodes[layer.nodeIndex].input(2) != nil { value = products.product(of: wanted.name) }
            }
            if let value {
                pairs[layer.id] = InputOutputStatistics.Pair(layer: layer, wanted: value, kept: wanted.kept)
            } else {
                context.notes.add("\(layer.id) left as it is: what it adds to its product is no bias, and was not added so before the recipe")
            }
        }
        baseline = products.baseline
        guard !pairs.isEmpty else { throw EngineError(.technique, "least-squares-reconstruction: none of the layers was in the model before the recipe") }
        var names = NameSupply(model.graph)
        let stages = LayerStages.byDepth(targets.map(\.layer).filter { pairs[$0.id] != nil }, in: model)
        // The model before the recipe is run once for all stages, where its values fit into memory.
        let limit = parameters.integer("samples")
        let kept = try context.calibration.flatMap {
            try KeptValues(
                of: baseline, values: Array(Set(pairs.values.map(\.wanted))).sorted(), limit: limit, source: $0, cancellation: context.cancellation)
        }
        for (number, stage) in stages.enumerated() {
            try context.cancellation.check()
            context.progress(Double(number) / Double(stages.count), stage.first?.id ?? "")
            let seen = try InputOutputStatistics.gather(
                of: model, like: baseline, pairs: stage.compactMap { pairs[$0.id] }, kept: kept, limit: limit, context: context)
            var jobs: [Job] = []
            for layer in stage {
                guard let transfer = seen[layer.id], let tensor = model.initializer(layer.weight, from: .main)?.tensor else {
                    context.notes.add("\(layer.id) left as it is: it has other channels than before the recipe")
                    continue
                }
                jobs.append(Job(layer: layer, tensor: tensor, transfer: transfer, ridge: parameters.real("ridge"), isCentered: sites[layer.id] != nil))
            }
            let fits = try Parallel.map(jobs) { try $0.fit(context.cancellation) }
            for (job, fit) in zip(jobs, fits) {
                guard let fit else {
                    context.notes.add("\(job.layer.id) left as it is: no better weights were found")
                    continue
                }
                model.graph.initializers[job.layer.weight] = fit.weight
                guard let site = sites[job.layer.id] else { continue }
                var bias = fit.intercept
                // The output of a MatMul is without the constant that is added behind.
                if case .add = site.place { bias = zip(site.values(in: model), fit.intercept).map(+) }
                site.store(bias, of: job.layer, type: job.tensor.elementType, in: &model, index: index, names: &names)
            }
        }
    }

    private struct Job: Sendable {
        var layer: Layer
        var tensor: Tensor
        var transfer: LayerTransfer
        var ridge: Double
        var isCentered: Bool

        struct Fit: Sendable {
            var weight: Tensor
            /// Mean output minus what the weights make of the mean input, by channel.
            var intercept: [Float]
        }

        /// `nil` if the statistics are not finite.
        func fit(_ cancellation: Cancellation) throws -> Fit? {
            guard var matrix = WeightMatrix(tensor, of: layer) else { return nil }
            let (rows, columns) = (matrix.rows, matrix.columns)
            var intercept: [Float] = []
            for group in 0..<matrix.groups {
                var gram = Array(transfer.gram[(group * columns * columns)..<((group + 1) * columns * columns)])
                var cross = Array(transfer.cross[(group * rows * columns)..<((group + 1) * rows * columns)])
                let meanInput = transfer.meanInput[(group * columns)..<((group + 1) * columns)].map { $0 }
                let meanOutput = transfer.meanOutput[(group * rows)..<((group + 1) * rows)].map { $0 }
                if isCentered {
                    for row in 0..<columns { for column in 0..<columns { gram[row * columns + column] -= meanInput[row] * meanInput[column] } }
                    for row in 0..<rows { for column in 0..<columns { cross[row * columns + column] -= meanOutput[row] * meanInput[column] } }
                }
                let mean = (0..<columns).reduce(0) { $0 + gram[$1 * columns + $1] } / Double(columns)
                guard mean.isFinite, cross.allSatisfy(\.isFinite) else { return nil }
                let start = matrix.values[matrix.offset(group, 0)..<matrix.offset(group, rows)].map(Double.init)
                guard start.allSatisfy(\.isFinite) else { return nil }
                let solver = RidgeRegression(columns: columns, gram: gram, ridge: max(ridge * mean, 1e-12))
                let found = try solver.solve(start, cross: cross, rows: rows, cancellation: cancellation)
                guard found.allSatisfy(\.isFinite) else { return nil }
                for row in 0..<rows {
                    var made = 0.0
                    for column in 0..<columns {
                        let value = Float(found[row * columns + column])
                        matrix.values[matrix.offset(group, row) + column] = value
                        made += Double(value) * meanInput[column]
                    }
                    intercept.append(Float(meanOutput[row] - made))
                }
            }
            return Fit(weight: matrix.tensor(like: tensor), intercept: intercept)
        }
    }

    /// Sizes and compute stay.
    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {}
}
