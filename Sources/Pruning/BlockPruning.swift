import EngineSupport
import ModelGraph
import Techniques

/// Zeroes whole blocks of weight matrices.
public struct BlockPruning: Technique {
    public init() {}

    /// Outputs × inputs of a block; 0 for all of that side.
    private static let shapes: [(name: String, rows: Int, columns: Int, help: String)] = [
        ("4x1", 4, 1, "four outputs of one input"), ("1x4", 1, 4, "four inputs of one output"),
        ("8x1", 8, 1, "eight outputs of one input"), ("1x8", 1, 8, "eight inputs of one output"),
        ("4x4", 4, 4, "four outputs by four inputs"), ("8x8", 8, 8, "eight outputs by eight inputs"),
        ("16x16", 16, 16, "sixteen outputs by sixteen inputs"), ("32x32", 32, 32, "thirty-two outputs by thirty-two inputs"),
        ("row", 1, 0, "all inputs of one output: a filter or neuron"), ("column", 0, 1, "all outputs of one input: of a convolution, of one channel at one kernel position"),
    ]

    public let descriptor = TechniqueDescriptor(
        id: "block-pruning",
        title: "Block pruning",
        family: .pruning,
        summary: "Zeroes the blocks of weights of smallest norm, for kernels that skip blocks",
        details: """
            Each weight is read as a matrix of outputs × inputs (of a convolution: filters × channels and kernel positions, one matrix per group) and \
            cut into blocks. The blocks of smallest root mean square become zero until the layer has lost its fraction, to the nearest block. Blocks \
            at the edges are smaller and are compared by the same mean. Weights of the other blocks do not change.

            Sparse kernels for CPUs (4x1, 8x1) and block-sparse ones for GPUs (16x16, 32x32) skip blocks of zeros; ONNX Runtime's dense kernels do \
            not. The ONNX file shrinks with the step sparse-storage behind it. In the packed archive blocks of zeros are cheaper than scattered ones. To remove whole filters, so that the model gets faster \
            everywhere, use structured pruning. At the same sparsity accuracy is lower than with scattered zeros, the more so the larger the blocks.
            """,
        source:
            "Narang, Undersander and Diamos, Block-Sparse Recurrent Neural Networks, 2017 (arXiv:1711.02782); Gray, Radford and Kingma, GPU Kernels for Block-Sparse Weights, 2017",
        parameters: [
            ParameterDescriptor(
                "sparsity", title: "Sparsity", domain: .real(0...0.99, step: 0.01), default: .real(0.5),
                help: "Fraction of weights that become zero"),
            ParameterDescriptor(
                "block", title: "Block", domain: .choice(shapes.map { .init($0.name, $0.help) }), default: .choice("4x1"),
                help: "Outputs by inputs of a block"),
            SparsityScope.parameter(SparsityScope.allCases, default: .layer),
        ],
        produces: [.sparseWeights])

    public func refusal(for layer: Layer, in model: Model) -> String? {
        if let reason = PrunableWeights.refusal(for: layer) { return reason }
        return WeightMatrix.refusal(of: layer)
    }

    private static func extent(_ parameters: ParameterValues, _ shape: WeightMatrix.Shape) -> (rows: Int, columns: Int) {
        let name = parameters.choice("block")
        let found = shapes.first { $0.name == name } ?? shapes[0]
        return (found.rows == 0 ? shape.rows : found.rows, found.columns == 0 ? shape.columns : found.columns)
    }

    public func rewrite(_ model: inout Model, targets: [LayerTarget], context: RewriteContext) throws {
        let weights = PrunableWeights(targets, in: model)
        let allocation = try SparsityAllocation(weights.entries, requests: { .init(targets[$0].parameters) }, context: context)
        var done: [TensorKey: Tensor] = [:]
        for entry in weights.entries {
            try context.cancellation.check()
            guard let matrix = WeightMatrix(entry.tensor, of: entry.layer), let shape = WeightMatrix.shape(of: entry.layer) else { continue }
            let extent = Self.extent(targets[entry.target].parameters, shape)
            let marks = matrix.inTensorOrder(Self.marks(matrix, extent, removing: allocation.removed[entry.target] ?? 0))
            done[entry.key] = try entry.tensor.clearing { flags in for index in marks.indices { flags[index] = marks[index] } }
            context.progress(Double(done.count) / Double(weights.entries.count), entry.layer.id)
        }
        PrunableWeights.store(done, in: &model)
    }

    /// Marks, in the matrix's order, the blocks of smallest root mean square that come nearest to `count` weights.
    static func marks(_ matrix: WeightMatrix, _ extent: (rows: Int, columns: Int), removing count: Int) -> [Bool] {
        struct Block {
            var group: Int
            var rows: Range<Int>
            var columns: Range<Int>
            var size: Int { rows.count * columns.count }
        }
        var blocks: [(score: Double, block: Block)] = []
        for group in 0..<matrix.groups {
            for row in stride(from: 0, to: matrix.rows, by: extent.rows) {
                for column in stride(from: 0, to: matrix.columns, by: extent.columns) {
                    let block = Block(
                        group: group, rows: row..<min(row + extent.rows, matrix.rows), columns: column..<min(column + extent.columns, matrix.columns))
                    var sum = 0.0
                    for row in block.rows {
                        let base = matrix.offset(group, row)
                        for column in block.columns { sum += Double(matrix.values[base + column]) * Double(matrix.values[base + column]) }
                    }
                    // What is not a number ranks above everything and so goes last.
                    blocks.append((sum.isNaN ? .infinity : sum / Double(block.size), block))
                }
            }
        }
        var marks = [Bool](repeating: false, count: matrix.values.count)
        var removed = 0
        for index in blocks.indices.sorted(by: { (blocks[$0].score, $0) < (blocks[$1].score, $1) }) {
            let block = blocks[index].block
            guard 2 * (count - removed) >= block.size else { break }
            for row in block.rows { for column in block.columns { marks[matrix.offset(block.group, row) + column] = true } }
            removed += block.size
        }
        return marks
    }

    public func predict(_ states: inout [LayerState], targets: [Int: ParameterValues], summaries: [LayerSummary]) {
        var before = states
        SparsityForecast.apply(to: &before, targets: targets, summaries: summaries)
        for (index, parameters) in targets {
            guard let shape = WeightMatrix.shape(of: summaries[index].layer), states[index].weightCount > 0 else { continue }
            let extent = Self.extent(parameters, shape)
            // Whole blocks only: to the nearest, of the size they mostly have.
            let size = Double(min(extent.rows, shape.rows) * min(extent.columns, shape.columns))
            let removed = ((1 - before[index].density) * states[index].weightCount / size).rounded() * size
            states[index].density = min(states[index].density, max(1 - removed / states[index].weightCount, 0))
        }
    }
}
