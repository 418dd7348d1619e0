import EngineSupport
import LinearAlgebra
import ModelGraph
import Techniques

/// Rounds a layer's weights so that its outputs change least: minimizes tr((W − Q)·H·(W − Q)ᵀ) over codes, where H = E[x·xᵀ] is the
/// Gram matrix of the layer's inputs over calibration data.
///
/// Rows (outputs) do not depend on each other. Grids are fixed beforehand, so that the order in which columns are rounded leaves
/// no trace in the file.
struct Reconstruction: Sendable {
    enum Method: Hashable, Sendable {
        /// Column by column, each column's error made up for by those not yet rounded (Frantar et al., GPTQ, arXiv:2210.17323).
        /// - byActivation: columns with the largest inputs first.
        /// - sweeps: afterwards, rounds of exact minimization over one code after the other, at most.
        case errorFeedback(byActivation: Bool, sweeps: Int)
        /// Each weight up or down from where it is: coordinate descent on the objective of Nagel et al., "Up or Down?", arXiv:2004.10568.
        case upOrDown(sweeps: Int)
    }

    let inputs: LayerInputs
    let method: Method
    /// Added to H's diagonal, as a share of its mean: inputs that hardly occurred in the calibration data do not get
    /// weights that make up for everything else.
    let damping: Double
    let cancellation: Cancellation
    let key: String

    /// - Parameter content: identifies `inputs`.
    init(inputs: LayerInputs, content: ContentHash, method: Method, damping: Double, cancellation: Cancellation) {
        self.inputs = inputs
        self.method = method
        self.damping = damping
        self.cancellation = cancellation
        key = "\(content) \(method) \(damping)"
    }

    /// Rows that are worked on together; fixed, so that results do not depend on the number of cores.
    private static let chunk = 64

    /// Writes a code for every element of a weight.
    /// - Throws: `EngineError` if the inputs do not belong to the weight, or their Gram matrix is not finite.
    func encode(
        _ base: UnsafePointer<Float>, layout: ScaleLayout, order: MatrixOrder, codes: ClosedRange<Int>, scales: [Float], zeroPoints: [Int32],
        into out: UnsafeMutablePointer<UInt8>
    ) throws {
        let shape = inputs.shape
        guard order.columns == shape.columns, order.rows == shape.groups * shape.rows,
            inputs.gram.count == shape.groups * shape.columns * shape.columns
        else { throw EngineError(.technique, "calibration did not reach the inputs of a weight of shape \(layout.dims)") }
        // Filling gets the code of zero.
        if order.paddedColumns > order.columns {
            for row in 0..<order.rows {
                for column in order.columns..<order.paddedColumns {
                    let offset = order.offset(row, column)
                    out[offset] = UInt8(truncatingIfNeeded: zeroPoints[layout.scaleIndex(of: offset)])
                }
            }
        }
        let objectives = try Parallel.map(Array(0..<shape.groups)) { group -> Objective in
            try cancellation.check()
            return try Objective(inputs, group: group, damping: damping, method: method)
        }
        let perGroup = (shape.rows + Self.chunk - 1) / Self.chunk
        // Chunks read and write rows of their own.
        nonisolated(unsafe) let base = base
        nonisolated(unsafe) let out = out
        _ = try Parallel.map(Array(0..<(shape.groups * perGroup))) { number -> Void in
            try cancellation.check()
            let group = number / perGroup
            let first = number % perGroup * Self.chunk
            let rows = (group * shape.rows + first)..<(group * shape.rows + min(first + Self.chunk, shape.rows))
            var problem = RowProblem(
                base, rows: rows, layout: layout, order: order, columnOrder: objectives[group].columnOrder, codes: codes, scales: scales,
                zeroPoints: zeroPoints)
            switch method {
            case .errorFeedback(_, let sweeps):
                problem.roundWithFeedback(objectives[group])
                if sweeps > 0 { problem.descend(objectives[group], sweeps: sweeps, upOrDownOnly: false) }
            case .upOrDown(let sweeps):
                problem.roundToNearest()
                problem.descend(objectives[group], sweeps: sweeps, upOrDownOnly: true)
            }
            problem.write(rows: rows, order: order, into: out)
        }
    }
}

/// H of one group of a layer, its columns in the order in which they are rounded.
struct Objective: Sendable {
    let columns: Int
    /// Column of the weight at each position.
    let columnOrder: [Int]
    /// columns × columns, damped.
    let gram: [Float]
    /// Upper triangular R with H⁻¹ = Rᵀ·R, row-major; empty unless the method needs it.
    let inverseFactor: [Float]

    init(_ inputs: LayerInputs, group: Int, damping: Double, method: Reconstruction.Method) throws {
        let n = inputs.shape.columns
        columns = n
        let start = group * n * n
        let diagonal = (0..<n).map { Double(inputs.gram[start + $0 * n + $0]) }
        let mean = diagonal.reduce(0, +) / Double(n)
        guard mean.isFinite else { throw EngineError(.technique, "the layer's inputs over calibration data are not finite") }
        // A group whose inputs are all zero: any rounding does.
        let added = mean > 0 ? mean * damping : 1
        var order = Array(0..<n)
        if case .errorFeedback(true, _) = method { order.sort { (diagonal[$1], $0) < (diagonal[$0], $1) } }
        columnOrder = order
        var gram = [Float](unsafeUninitializedCapacity: n * n) { out, initialized in
            for (row, from) in order.enumerated() {
                let source = start + from * n
                for (column, other) in order.enumerated() { out.initializeElement(at: row * n + column, to: inputs.gram[source + other]) }
            }
            initialized = n * n
        }
        for index in 0..<n { gram[index * n + index] += Float(added) }
        self.gram = gram
        guard case .errorFeedback = method else {
            inverseFactor = []
            return
        }
        inverseFactor = try Lapack.inverseFactor(gram, count: n, raising: added)
    }
}
