import EngineSupport
import ModelGraph
import Techniques

/// Zeroes the weights whose magnitude times the norm of their input is smallest.
public struct Wanda: Technique {
    public init() {}

    public let descriptor = TechniqueDescriptor(
        id: "wanda",
        title: "Wanda",
        family: .pruning,
        summary: "Zeroes the weights with the smallest product of magnitude and input norm on calibration data",
        details: """
            A small weight on a large input matters more than a large weight on an input that is nearly always zero. A weight's score is its magnitude \
            times the root mean square of its input (of a channel at a kernel position, for convolutions) over calibration data. By default the \
            weights of one output are compared with each other, so that every output loses the same fraction. The weights that stay do not change.

            It needs one run over a few samples and a sort: nearly as cheap as magnitude pruning, and close to SparseGPT where inputs differ much in \
            scale. MACs and run time stay the same; the ONNX file shrinks with the step sparse-storage behind it, the gzip size and lathe's packed \
            archive in any case.
            """,
        source: "Sun, Liu, Bair and Kolter, A Simple and Effective Pruning Approach for Large Language Models, ICLR 2024, section 3",
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5),
                help: "Fraction of weights that become zero"),
            InputPattern.parameter,
            SparsityScope.parameter(SparsityScope.allCases, default: .lamp),
            ParameterDescriptor(
                "compare", title: "Compare within",
                domain: .choice([
                    .init("output", "the weights of one output: each filter or neuron loses the same fraction"),
                    .init("layer", "all weights of a layer"),
                ]), default: .choice("output"), help: "Which weights are compared with each other"),
            ParameterDescriptor(
                "samples", title: "Samples", domain: .integer(16...4096, step: 16), default: .integer(256), unit: "samples",
                help: "Calibration samples to use"),
        ],
        needsCalibration: true, produces: [.sparseWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? { CalibratedWeights.refusal(for: layer, in: model, gram: false) }

    public func refusals(for layers: [Layer], in model: Model, shapes: [String: [Int]]) -> [String?] {
        CalibratedWeights.refusals(for: layers, in: model, gram: false)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let weights = PrunableWeights(targets, in: model)
        let allocation = try SparsityAllocation(
            weights.entries.filter { InputPattern(targets[$0.target].parameters) == nil }, requests: { .init(targets[$0].parameters) },
            context: context)
        let samples = targets.map { $0.parameters.integer("samples") }.max() ?? 0
        let inputs = try InputStatistics.remembered(of: model, layers: weights.entries.map(\.layer), gram: false, limit: samples, context: context)
        var done: [TensorKey: Tensor] = [:]
        for entry in weights.entries {
            try context.cancellation.check()
            let parameters = targets[entry.target].parameters
            guard let seen = inputs[entry.layer.id], let matrix = WeightMatrix(entry.tensor, of: entry.layer) else {
                context.notes.add("\(entry.layer.id) left as it is: its inputs are not numeric")
                continue
            }
            let scores = Self.scores(matrix, seen)
            var marks = [Bool](repeating: false, count: scores.count)
            let rows = matrix.groups * matrix.rows
            if let pattern = InputPattern(parameters) {
                let order = InputPattern.order(entry.layer, columns: matrix.columns)
                let blocks = pattern.blocks(entry.layer, columns: matrix.columns)
                for row in 0..<rows {
                    for block in blocks { Self.mark(block.map { row * matrix.columns + order[$0] }, block.count - pattern.n, scores, &marks) }
                }
            } else if parameters.choice("compare") == "layer" {
                Self.mark(Array(scores.indices), allocation.removed[entry.target] ?? 0, scores, &marks)
            } else {
                // Rounded so that the counts of all rows add up.
                var before = 0
                for row in 0..<rows {
                    let until = Int((allocation.fraction(entry.target) * Double((row + 1) * matrix.columns)).rounded())
                    Self.mark(Array(matrix.offset(0, row)..<matrix.offset(0, row + 1)), until - before, scores, &marks)
                    before = until
                }
            }
            let ordered = matrix.inTensorOrder(marks)
            done[entry.key] = try entry.tensor.clearing { flags in for index in ordered.indices { flags[index] = ordered[index] } }
        }
        PrunableWeights.store(done, in: &model)
    }

    /// |w|·‖x‖ in the matrix's order; the norm is the root of the mean square.
    static func scores(_ matrix: WeightMatrix, _ inputs: LayerInputs) -> [Float] {
        var scores = [Float](repeating: 0, count: matrix.values.count)
        for group in 0..<matrix.groups {
            for row in 0..<matrix.rows {
                let base = matrix.offset(group, row)
                for column in 0..<matrix.columns {
                    scores[base + column] = abs(matrix.values[base + column]) * inputs.rootMeanSquare(group * matrix.columns + column)
                }
            }
        }
        return scores
    }

    /// Marks the `count` places of smallest score, zeros and then the first of equals first.
    private static func mark(_ places: [Int], _ count: Int, _ scores: [Float], _ marks: inout [Bool]) {
        guard count > 0 else { return }
        let sorted = places.sorted { (MagnitudeThreshold.key(scores[$0]), $0) < (MagnitudeThreshold.key(scores[$1]), $1) }
        for place in sorted.prefix(count) { marks[place] = true }
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        InputPattern.predict(&states, targets: targets, summaries: summaries)
    }
}
