import CLapack
import Dispatch
import EngineSupport
import LinearAlgebra
import ModelGraph

/// What calibration data says about the inputs of one layer, in the columns of its `WeightMatrix`.
package struct LayerInputs {
    package var shape: WeightMatrix.Shape
    /// Rows (output positions) seen, for each group the same.
    package var rows: Int
    /// groups × columns each.
    package var mean: [Float]
    package var meanSquare: [Float]
    package var meanMagnitude: [Float]
    package var largestMagnitude: [Float]
    /// Mean of x·xᵀ, groups × columns × columns, symmetric; empty unless asked for.
    package var gram: [Float]

    package init(
        shape: WeightMatrix.Shape, rows: Int, mean: [Float], meanSquare: [Float], meanMagnitude: [Float], largestMagnitude: [Float], gram: [Float]
    ) {
        self.shape = shape
        self.rows = rows
        self.mean = mean
        self.meanSquare = meanSquare
        self.meanMagnitude = meanMagnitude
        self.largestMagnitude = largestMagnitude
        self.gram = gram
    }

    /// Root mean square of a column.
    package func rootMeanSquare(_ column: Int) -> Float { max(meanSquare[column], 0).squareRoot() }
}

/// Streams calibration data through a model and gathers statistics of layers' inputs. No activation is kept.
package enum InputStatistics {
    /// Bytes of Gram matrices gathered in one pass over the data; more layers take more passes.
    static let gramBudget = 1 << 30
    /// Rows that one calibration sample adds at most; of larger feature maps every n-th position is taken.
    static let rowsPerSample = 256

    /// - Parameters:
    ///   - layers: layers of `model` that passed `InputWindows.refusal`.
    ///   - gram: whether to gather x·xᵀ.
    ///   - limit: samples at most.
    /// - Returns: by layer id. Layers whose input never came as floats are missing.
    package static func gather(
        of model: Model, layers: [Layer], gram: Bool, limit: Int, context: RewriteContext
    ) throws -> [String: LayerInputs] {
        guard let source = context.calibration else {
            throw EngineError(.technique, "needs calibration data (--data) and ONNX Runtime")
        }
        var passes: [[Layer]] = []
        var bytes = 0
        for layer in layers {
            guard let shape = WeightMatrix.shape(of: layer) else { continue }
            let need = gram ? shape.groups * shape.columns * shape.columns * 4 : shape.groups * shape.columns * 16
            if passes.isEmpty || bytes + need > gramBudget {
                passes.append([])
                bytes = 0
            }
            passes[passes.count - 1].append(layer)
            bytes += need
        }
        var result: [String: LayerInputs] = [:]
        let total = Double(max(min(limit, source.sampleCount), 1))
        for (number, pass) in passes.enumerated() {
            let slots = pass.map { Accumulator($0, node: model.graph.nodes[$0.nodeIndex], gram: gram) }
            let names = Array(Set(slots.map(\.input))).sorted()
            let place = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
            var done = 0.0
            // What lies behind the last of the values need not run.
            let part = model.truncated(to: names)
            try source.forEachBatch(of: part, values: names, limit: limit, cancellation: context.cancellation) { values in
                // The buffers stay valid until this call returns.
                nonisolated(unsafe) let values = values
                DispatchQueue.concurrentPerform(iterations: slots.count) { index in
                    if let position = place[slots[index].input] { slots[index].add(values[position]) }
                }
                done += Double(values.lazy.compactMap(\.shape.first).first ?? 1)
                context.progress((Double(number) + min(done / total, 1)) / Double(passes.count), "measuring layers' inputs")
            }
            for (layer, slot) in zip(pass, slots) { if let inputs = slot.result() { result[layer.id] = inputs } }
        }
        return result
    }

    /// Sums over the rows of one column.
    private struct Column {
        var sum = 0.0
        var squares = 0.0
        var magnitudes = 0.0
        var largest: Float = 0

        @inline(__always) mutating func add(_ value: Float) {
            sum += Double(value)
            squares += Double(value) * Double(value)
            magnitudes += Double(abs(value))
            if abs(value) > largest { largest = abs(value) }
        }
    }

    /// Sums over rows. Unchecked: `concurrentPerform` gives each to one iteration at a time and returns after all of them.
    private final class Accumulator: @unchecked Sendable {
        let input: String
        private let windows: InputWindows
        private let shape: WeightMatrix.Shape
        private var rows = 0
        private var columns: [Column]
        private var gram: [Float]

        init(_ layer: Layer, node: Node, gram: Bool) {
            input = node.inputs[0]
            windows = InputWindows(layer, node: node)
            let shape = WeightMatrix.shape(of: layer) ?? .init(groups: 1, rows: 1, columns: 1)
            self.shape = shape
            columns = [Column](repeating: Column(), count: shape.groups * shape.columns)
            self.gram = gram ? [Float](repeating: 0, count: columns.count * shape.columns) : []
            Lapack.useOneThread()
        }

        func add(_ value: CalibrationValue) {
            let columns = shape.columns
            let samples = max(value.shape.first ?? 1, 1)
            let perSample = value.floats.count / samples
            let stride = max(perSample / max(columns, 1) / InputStatistics.rowsPerSample, 1)
            windows.forEachBlock(value.floats, shape: value.shape, stride: stride) { group, block, count in
                if group == 0 { rows += count }
                let base = group * columns
                self.columns.withUnsafeMutableBufferPointer { sums in
                    for row in 0..<count {
                        let x = block + row * columns
                        for column in 0..<columns { sums[base + column].add(x[column]) }
                    }
                }
                guard !gram.isEmpty else { return }
                gram.withUnsafeMutableBufferPointer { gram in
                    // Column-major, the block is columns × rows: the product with its transpose is the Gram matrix.
                    var (n, k) = (Int32(columns), Int32(count))
                    var one: Float = 1
                    sgemm_("N", "T", &n, &n, &k, &one, block, &n, block, &n, &one, gram.baseAddress! + base * columns, &n)
                }
            }
        }

        func result() -> LayerInputs? {
            guard rows > 0 else { return nil }
            let scale = 1 / Double(rows)
            return LayerInputs(
                shape: shape, rows: rows, mean: columns.map { Float($0.sum * scale) }, meanSquare: columns.map { Float($0.squares * scale) },
                meanMagnitude: columns.map { Float($0.magnitudes * scale) }, largestMagnitude: columns.map(\.largest), gram: gram.map { $0 * Float(scale) })
        }
    }
}
