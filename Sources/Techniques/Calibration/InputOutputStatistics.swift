import CLapack
import Dispatch
import EngineSupport
import LinearAlgebra
import ModelGraph

/// What calibration data says about the inputs of a layer of one model together with the outputs the layer has in another.
package struct LayerTransfer: Sendable {
    var shape: WeightMatrix.Shape
    /// Output positions seen.
    var rows: Int
    /// Mean of x·xᵀ: groups × columns × columns.
    package var gram: [Double]
    /// Mean of y·xᵀ: groups × rows × columns, in the layout of `WeightMatrix`.
    package var cross: [Double]
    /// Mean input, groups × columns, and mean output, groups × rows.
    package var meanInput: [Double]
    package var meanOutput: [Double]
    /// Mean square of each output.
    var meanSquareOutput: [Double]
}

/// Runs two models side by side over calibration data: the inputs of layers from one, the outputs wanted from the other.
package enum InputOutputStatistics {
    /// A layer with the value of the other model that its output shall be like.
    package struct Pair {
        package var layer: Layer
        /// Value of the other model.
        package var wanted: String
        /// Channels of that value that the layer still has, in order; `nil` for all.
        package var kept: [Int]?

        package init(layer: Layer, wanted: String, kept: [Int]? = nil) {
            self.layer = layer
            self.wanted = wanted
            self.kept = kept
        }
    }

    /// - Parameter pairs: layers of `model` that passed `InputWindows.refusal`.
    /// - Returns: by layer id. Layers whose values never came in matching shapes are missing.
    package static func gather(of model: Model, like other: Model, pairs: [Pair], limit: Int, context: RewriteContext) throws -> [String: LayerTransfer] {
        guard let source = context.calibration else { throw EngineError(.technique, "needs calibration data (--data) and ONNX Runtime") }
        Lapack.useOneThread()
        let slots = pairs.map { Accumulator($0, node: model.graph.nodes[$0.layer.nodeIndex]) }
        let inputs = Array(Set(slots.map(\.input))).sorted()
        let outputs = Array(Set(pairs.map(\.wanted))).sorted()
        let inputPlace = Dictionary(uniqueKeysWithValues: inputs.enumerated().map { ($1, $0) })
        let outputPlace = Dictionary(uniqueKeysWithValues: outputs.enumerated().map { ($1, $0) })
        try source.forEachBatch(
            ofAll: [(model.truncated(to: inputs), inputs), (other.truncated(to: outputs), outputs)], limit: limit, cancellation: context.cancellation
        ) { values in
            // The buffers stay valid until this call returns.
            nonisolated(unsafe) let values = values
            DispatchQueue.concurrentPerform(iterations: slots.count) { index in
                if let x = inputPlace[slots[index].input], let y = outputPlace[slots[index].pair.wanted] { slots[index].add(values[0][x], values[1][y]) }
            }
        }
        return Dictionary(slots.compactMap { slot in slot.result().map { (slot.pair.layer.id, $0) } }, uniquingKeysWith: { first, _ in first })
    }

    /// Sums over rows. Unchecked: `concurrentPerform` gives each to one iteration at a time and returns after all of them.
    private final class Accumulator: @unchecked Sendable {
        let pair: Pair
        let input: String
        private let windows: InputWindows
        private let shape: WeightMatrix.Shape
        private var rows = 0
        private var gram: [Double]
        private var cross: [Double]
        private var inputs: [Double]
        private var outputs: [Double]
        private var squares: [Double]

        init(_ pair: Pair, node: Node) {
            self.pair = pair
            input = node.inputs[0]
            windows = InputWindows(pair.layer, node: node)
            shape = WeightMatrix.shape(of: pair.layer) ?? .init(groups: 1, rows: 1, columns: 1)
            gram = [Double](repeating: 0, count: shape.groups * shape.columns * shape.columns)
            cross = [Double](repeating: 0, count: shape.groups * shape.rows * shape.columns)
            inputs = [Double](repeating: 0, count: shape.groups * shape.columns)
            outputs = [Double](repeating: 0, count: shape.groups * shape.rows)
            squares = outputs
        }

        func add(_ x: CalibrationValue, _ y: CalibrationValue) {
            let outputs = shape.groups * shape.rows
            let isConv = pair.layer.kind == .conv
            guard y.shape.count >= 2, let base = y.floats.baseAddress, y.shape.reduce(1, *) == y.floats.count else { return }
            let channels = isConv ? y.shape[1] : y.shape[y.shape.count - 1]
            guard pair.kept.map({ $0.count == outputs && $0.allSatisfy { $0 < channels } }) ?? (channels == outputs) else { return }
            // Output positions of a sample, or rows of all samples.
            let positions = isConv ? y.shape[2...].reduce(1, *) : 1
            let count = y.floats.count / channels
            let samples = max(x.shape.first ?? 1, 1)
            let step = max(x.floats.count / samples / max(shape.columns, 1) / InputStatistics.rowsPerSample, 1)
            guard !isConv || y.shape[0] == samples else { return }
            // The rows that `forEachBlock` gives, in its order: of each sample every step-th position, from its own offset.
            var order: [Int] = []
            if isConv {
                for sample in 0..<samples { for position in stride(from: sample % step, to: positions, by: step) { order.append(sample * positions + position) } }
            } else {
                order = Array(stride(from: 0, to: count, by: step))
            }
            var next = 0
            var group = 0
            windows.forEachBlock(x.floats, shape: x.shape, stride: step) { current, block, height in
                if current != group { (group, next) = (current, 0) }
                guard next + height <= order.count else { return }
                var wanted = [Float](repeating: 0, count: height * shape.rows)
                wanted.withUnsafeMutableBufferPointer { wanted in
                    for output in 0..<shape.rows {
                        let own = group * shape.rows + output
                        let channel = pair.kept?[own] ?? own
                        for row in 0..<height {
                            let place = order[next + row]
                            wanted[row * shape.rows + output] =
                                isConv
                                ? base[(place / positions * channels + channel) * positions + place % positions] : base[place * channels + channel]
                        }
                    }
                }
                next += height
                if group == 0 { rows += height }
                sum(block, wanted, height, group)
            }
        }

        private func sum(_ block: UnsafePointer<Float>, _ wanted: [Float], _ height: Int, _ group: Int) {
            let (columns, outputs) = (shape.columns, shape.rows)
            var x = [Float](repeating: 0, count: columns * columns)
            var c = [Float](repeating: 0, count: outputs * columns)
            var (n, k, m) = (Int32(columns), Int32(height), Int32(outputs))
            var (one, zero): (Float, Float) = (1, 0)
            // Column-major, blocks are columns × rows: X·Xᵀ, and X·Yᵀ, whose rows in memory are outputs.
            sgemm_("N", "T", &n, &n, &k, &one, block, &n, block, &n, &zero, &x, &n)
            sgemm_("N", "T", &n, &m, &k, &one, block, &n, wanted, &m, &zero, &c, &n)
            Self.add(x, to: &gram, at: group * columns * columns)
            Self.add(c, to: &cross, at: group * outputs * columns)
            inputs.withUnsafeMutableBufferPointer { sums in
                for row in 0..<height {
                    for column in 0..<columns { sums[group * columns + column] += Double(block[row * columns + column]) }
                }
            }
            self.outputs.withUnsafeMutableBufferPointer { sums in
                squares.withUnsafeMutableBufferPointer { squares in
                    for row in 0..<height {
                        for output in 0..<outputs {
                            let value = Double(wanted[row * outputs + output])
                            sums[group * outputs + output] += value
                            squares[group * outputs + output] += value * value
                        }
                    }
                }
            }
        }

        private static func add(_ values: [Float], to sums: inout [Double], at offset: Int) {
            sums.withUnsafeMutableBufferPointer { sums in
                for index in values.indices { sums[offset + index] += Double(values[index]) }
            }
        }

        func result() -> LayerTransfer? {
            guard rows > 0 else { return nil }
            let scale = 1 / Double(rows)
            return LayerTransfer(
                shape: shape, rows: rows, gram: gram.map { $0 * scale }, cross: cross.map { $0 * scale }, meanInput: inputs.map { $0 * scale },
                meanOutput: outputs.map { $0 * scale }, meanSquareOutput: squares.map { $0 * scale })
        }
    }
}
