import EngineSupport
import ModelGraph
import Techniques

/// Zeroes weights and changes the others so that each layer's outputs stay as they were on calibration data.
public struct SparseGPT: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "sparsegpt",
        title: "SparseGPT",
        family: .pruning,
        summary: "Second-order pruning: zeroes weights and adjusts the others to make up for it, on calibration data",
        details: """
            For each layer the Gram matrix of its inputs over calibration data is the Hessian of the squared error of its outputs. The weight matrix \
            is processed column by column (a column is an input, or a channel at a kernel position). In each column the weights that raise the error \
            least become zero, and the weights of later columns change to make up for it: the update of the optimal brain surgeon, from one Cholesky \
            factor of the inverse Hessian for all rows. Layers are processed in graph order, by default each with the inputs that the already pruned \
            layers before it give.

            It keeps accuracy at sparsities where magnitude pruning has lost it, without training and without labels. MACs and run time stay the same, as with \
            any zeros; the ONNX file shrinks with the step sparse-storage behind it, the gzip size and lathe's packed archive in any case. Convolutions, Gemm and MatMul with the weight \
            as right operand are pruned; recurrent layers, embedding tables and layers with more than 8,192 inputs to an output are not.
            """,
        source: "Frantar and Alistarh, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot, ICML 2023, algorithm 1",
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5),
                help: "Fraction of weights that become zero"),
            InputPattern.parameter,
            SparsityScope.parameter(SparsityScope.allCases, default: .lamp),
            ParameterDescriptor(
                "inputs", title: "Inputs",
                domain: .choice([
                    .init("pruned", "what the already pruned layers before it give: the data is run again for each layer"),
                    .init("original", "those of the model before this step: the data is run once"),
                ]), default: .choice("pruned"), help: "Inputs for which a layer's outputs are preserved"),
            ParameterDescriptor(
                "damping", title: "Damping", domain: .real(0.001...1, step: 0.001), default: .real(0.01),
                help: "Added to the Hessian's diagonal, as a fraction of its mean; more keeps weights closer to their old values"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples to use"),
        ],
        needsCalibration: true, produces: [.sparseWeights, .refittedWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? { CalibratedWeights.refusal(for: layer, in: model, gram: true) }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        CalibratedWeights.refusals(for: layers, in: model, gram: true)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let original = model
        let weights = PrunableWeights(targets, in: model)
        let allocation = try SparsityAllocation(
            weights.entries.filter { InputPattern(targets[$0.target].parameters) == nil }, requests: { .init(targets[$0].parameters) },
            context: context)
        let entries = Dictionary(weights.entries.map { ($0.layer.id, $0) }, uniquingKeysWith: { first, _ in first })
        let samples = targets.map { $0.parameters.integer("samples") }.max() ?? 0
        let sequential = targets.contains { $0.parameters.choice("inputs") == "pruned" }
        let layers = weights.entries.map(\.layer)
        let stages = sequential ? LayerStages.byDepth(layers, in: model) : LayerStages.byMemory(layers)
        for (number, stage) in stages.enumerated() {
            try context.cancellation.check()
            let part = context.part(number, of: stages.count)
            let inputs = try InputStatistics.remembered(of: sequential ? model : original, layers: stage, gram: true, limit: samples, context: part)
            var jobs: [Job] = []
            for layer in stage {
                guard let entry = entries[layer.id] else { continue }
                guard let seen = inputs[layer.id] else {
                    context.notes.add("\(layer.id) left as it is: its inputs are not numeric")
                    continue
                }
                jobs.append(
                    Job(
                        layer: layer, tensor: entry.tensor, inputs: seen, pattern: InputPattern(targets[entry.target].parameters),
                        fraction: allocation.fraction(entry.target), damping: targets[entry.target].parameters.real("damping")))
            }
            // Wide layers take gigabytes: one at a time.
            let isWide = jobs.contains { $0.inputs.shape.columns > 2048 }
            let done = isWide ? try jobs.map { try $0.pruned(context.cancellation) } : try Parallel.map(jobs) { try $0.pruned(context.cancellation) }
            PrunableWeights.store(
                Dictionary(zip(jobs, done).compactMap { job, tensor in entries[job.layer.id].map { ($0.key, tensor) } }, uniquingKeysWith: { $1 }), in: &model)
        }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        InputPattern.predict(&states, targets: targets, summaries: summaries)
    }

    private struct Job: Sendable {
        var layer: Layer
        var tensor: Tensor
        var inputs: LayerInputs
        var pattern: InputPattern?
        var fraction: Double
        var damping: Double

        func pruned(_ cancellation: Cancellation) throws -> Tensor {
            guard var matrix = WeightMatrix(tensor, of: layer) else { return tensor }
            let (rows, columns) = (matrix.rows, matrix.columns)
            let order = pattern == nil ? Array(0..<columns) : InputPattern.order(layer, columns: columns)
            let selection: OptimalBrainSurgeon.Selection = pattern.map { .pattern(n: $0.n, blocks: $0.blocks(layer, columns: columns)) } ?? .fraction(fraction)
            var budget = OptimalBrainSurgeon.Budget()
            for group in 0..<matrix.groups {
                guard
                    let surgeon = OptimalBrainSurgeon(
                        gram: inputs.gram, offset: group * columns * columns, columns: columns, order: order, damping: damping)
                else { throw EngineError(.technique, "\(layer.id): its inputs on calibration data are not finite") }
                var values = [Double](repeating: 0, count: rows * columns)
                for row in 0..<rows {
                    let base = matrix.offset(group, row)
                    for (place, column) in order.enumerated() { values[row * columns + place] = Double(matrix.values[base + column]) }
                }
                guard values.allSatisfy(\.isFinite) else { throw EngineError(.technique, "\(layer.id): weights are not finite") }
                try surgeon.prune(&values, rows: rows, selection, budget: &budget, cancellation: cancellation)
                for row in 0..<rows {
                    let base = matrix.offset(group, row)
                    for (place, column) in order.enumerated() { matrix.values[base + column] = Float(values[row * columns + place]) }
                }
            }
            return matrix.tensor(like: tensor)
        }
    }
}

extension InputPattern {
    /// Densities after pruning to a pattern, or to a sparsity under a scope.
    static func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        SparsityForecast.apply(to: &states, targets: targets.filter { InputPattern($0.value) == nil }, summaries: summaries)
        for (index, parameters) in targets {
            guard let pattern = InputPattern(parameters) else { continue }
            states[index].density = min(states[index].density, pattern.density(summaries[index].layer, inputsKept: states[index].inputsKept))
        }
    }
}
