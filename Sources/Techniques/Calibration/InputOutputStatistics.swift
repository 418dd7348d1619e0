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

    /// - Parameters:
    ///   - pairs: layers of `model` that passed `InputWindows.refusal`.
    ///   - kept: the other model's values, where they are in memory.
    /// - Returns: by layer id. Layers whose values never came in matching shapes are missing.
    package static func gather(of model: Model, like other: Model, pairs: [Pair], kept: KeptValues? = nil, limit: Int, context: RewriteContext) throws
        -> [String: LayerTransfer]
    {
        let source = try context.requiredCalibration()
        Lapack.useOneThread()
        let slots = pairs.map { Accumulator.parts($0, node: model.graph.nodes[$0.layer.nodeIndex]) }
        let parts = slots.flatMap(\.self)
        let inputs = Array(Set(parts.map(\.input))).sorted()
        let outputs = Array(Set(pairs.map(\.wanted))).sorted()
        let inputPlace = Dictionary(uniqueKeysWithValues: inputs.enumerated().map { ($1, $0) })
        let outputPlace = Dictionary(uniqueKeysWithValues: outputs.enumerated().map { ($1, $0) })
        func add(_ inputs: [CalibrationValue], _ outputs: [CalibrationValue]) {
            // The buffers stay valid until this call returns.
            nonisolated(unsafe) let (inputs, outputs) = (inputs, outputs)
            DispatchQueue.concurrentPerform(iterations: parts.count) { index in
                if let x = inputPlace[parts[index].input], let y = outputPlace[parts[index].pair.wanted] { parts[index].add(inputs[x], outputs[y]) }
            }
        }
        let part = model.truncated(to: inputs)
        if let kept {
            var start = 0
            try source.forEachBatch(of: part, values: inputs, limit: limit, cancellation: context.cancellation) { values in
                guard let rows = values.lazy.compactMap(\.shape.first).first, start + rows <= kept.count else { return }
                kept.withValues(outputs, from: start, rows: rows) { add(values, $0) }
                start += rows
            }
        } else {
            try source.forEachBatch(ofAll: [(part, inputs), (other.truncated(to: outputs), outputs)], limit: limit, cancellation: context.cancellation) {
                add($0[0], $0[1])
            }
        }
        return Dictionary(
            zip(pairs, slots).compactMap { pair, slot in Accumulator.result(slot).map { (pair.layer.id, $0) } }, uniquingKeysWith: { first, _ in first })
    }

    /// Sums over rows. Unchecked: `concurrentPerform` gives each to one iteration at a time and returns after all of them.
    private final class Accumulator: @unchecked Sendable {
        let pair: Pair
        let input: String
        /// Which part of each batch is its own.
        private let part: Int
        private let parts: Int
        private let windows: InputWindows
        private let shape: WeightMatrix.Shape
        /// Rows summed, by group.
        private var rows: [Int]
        private var gram: [Double]
        private var cross: [Double]
        private var inputs: ColumnSums
        private var outputs: ColumnSums

        /// The sums of one layer, over parts of each batch.
        static func parts(_ pair: Pair, node: Node) -> [Accumulator] {
            let windows = InputWindows(pair.layer, node: node)
            let shape = WeightMatrix.shape(of: pair.layer) ?? .init(groups: 1, rows: 1, columns: 1)
            let bytes = shape.groups * shape.columns * (shape.columns + shape.rows) * MemoryLayout<Double>.size
            let parts = BatchParts.count(bytes: bytes, isSplittable: windows.isSplittable)
            return (0..<parts).map { Accumulator(pair, windows, shape, input: node.inputs[0], part: $0, of: parts) }
        }

        private init(_ pair: Pair, _ windows: InputWindows, _ shape: WeightMatrix.Shape, input: String, part: Int, of parts: Int) {
            self.pair = pair
            self.input = input
            self.part = part
            self.parts = parts
            self.windows = windows
            self.shape = shape
            rows = [Int](repeating: 0, count: shape.groups)
            gram = [Double](repeating: 0, count: shape.groups * shape.columns * shape.columns)
            cross = [Double](repeating: 0, count: shape.groups * shape.rows * shape.columns)
            inputs = ColumnSums(count: shape.groups * shape.columns)
            outputs = ColumnSums(count: shape.groups * shape.rows)
        }

        func add(_ allInputs: CalibrationValue, _ allOutputs: CalibrationValue) {
            // Where the first axes differ, as of one row for all samples, one part does it all.
            let count = allInputs.shape.first == allOutputs.shape.first ? parts : 1
            guard part < count else { return }
            let (x, y) = (BatchParts.part(part, of: count, allInputs), BatchParts.part(part, of: count, allOutputs))
            let outputs = shape.groups * shape.rows
            let isConv = pair.layer.kind == .conv
            guard y.shape.count >= 2, let base = y.floats.baseAddress, y.shape.reduce(1, *) == y.floats.count else { return }
            let channels = isConv ? y.shape[1] : y.shape[y.shape.count - 1]
            guard pair.kept.map({ $0.count == outputs && $0.allSatisfy { $0 < channels } }) ?? (channels == outputs) else { return }
            // Output positions of a sample, or rows of all samples.
            let positions = isConv ? y.shape[2...].reduce(1, *) : 1
            let rowCount = y.floats.count / channels
            let samples = max(x.shape.first ?? 1, 1)
            let step = max(x.floats.count / samples / max(shape.columns, 1) / InputStatistics.rowsPerSample, 1)
            guard !isConv || y.shape[0] == samples else { return }
            // Where the outputs of the rows begin that `forEachBlock` gives, in its order: of each sample every step-th position, from its own offset.
            var starts: [Int] = []
            if isConv {
                for sample in 0..<samples {
                    for position in stride(from: sample % step, to: positions, by: step) { starts.append(sample * channels * positions + position) }
                }
            } else {
                starts = stride(from: 0, to: rowCount, by: step).map { $0 * channels }
            }
            var next = 0
            var group = 0
            windows.forEachBlock(x.floats, shape: x.shape, stride: step) { current, block, height in
                if current != group { (group, next) = (current, 0) }
                guard next + height <= starts.count else { return }
                var wanted = [Float](repeating: 0, count: height * shape.rows)
                let (width, first) = (shape.rows, next)
                wanted.withUnsafeMutableBufferPointer { wanted in
                    starts.withUnsafeBufferPointer { starts in
                        for output in 0..<width {
                            let own = group * width + output
                            let source = base + (pair.kept?[own] ?? own) * positions
                            for row in 0..<height { wanted[row * width + output] = source[starts[first + row]] }
                        }
                    }
                }
                next += height
                let others = Set(
                    FiniteRows.others(block, rows: height, columns: shape.columns)
                        + wanted.withUnsafeBufferPointer { FiniteRows.others($0.baseAddress!, rows: height, columns: width) }
                ).sorted()
                rows[group] += height - others.count
                guard !others.isEmpty else { return sum(block, wanted, height, group) }
                let clear = wanted.withUnsafeBufferPointer { FiniteRows.clearing(others, of: $0.baseAddress!, rows: height, columns: width) }
                FiniteRows.clearing(others, of: block, rows: height, columns: shape.columns)
                    .withUnsafeBufferPointer { sum($0.baseAddress!, clear, height, group) }
            }
        }

        private func sum(_ block: UnsafePointer<Float>, _ wanted: [Float], _ height: Int, _ group: Int) {
            let (columns, outputs) = (shape.columns, shape.rows)
            var x = [Float](repeating: 0, count: columns * columns)
            var c = [Float](repeating: 0, count: outputs * columns)
            var (n, k, m) = (Int32(columns), Int32(height), Int32(outputs))
            var (one, zero): (Float, Float) = (1, 0)
            // Column-major, blocks are columns × rows: one triangle of X·Xᵀ, and X·Yᵀ, whose rows in memory are outputs.
            ssyrk_("U", "N", &n, &k, &one, block, &n, &zero, &x, &n)
            sgemm_("N", "T", &n, &m, &k, &one, block, &n, wanted, &m, &zero, &c, &n)
            Self.add(x, to: &gram, at: group * columns * columns)
            Self.add(c, to: &cross, at: group * outputs * columns)
            inputs.add(block, rows: height, columns: columns, at: group * columns)
            self.outputs.add(wanted, rows: height, columns: outputs, at: group * outputs)
        }

        private static func add<Scalar: BinaryFloatingPoint>(_ values: [Scalar], to sums: inout [Double], at offset: Int) {
            sums.withUnsafeMutableBufferPointer { sums in
                for index in values.indices { sums[offset + index] += Double(values[index]) }
            }
        }

        /// What all parts have summed.
        static func result(_ parts: [Accumulator]) -> LayerTransfer? {
            guard let all = parts.first else { return nil }
            for part in parts.dropFirst() {
                for group in all.rows.indices { all.rows[group] += part.rows[group] }
                all.inputs.add(part.inputs)
                all.outputs.add(part.outputs)
                Self.add(part.gram, to: &all.gram, at: 0)
                Self.add(part.cross, to: &all.cross, at: 0)
            }
            return all.result()
        }

        private func result() -> LayerTransfer? {
            guard let most = rows.max(), most > 0 else { return nil }
            let scales = rows.map { 1 / Double(max($0, 1)) }
            let (columns, outputs) = (shape.columns, shape.rows)
            for group in 0..<shape.groups { SymmetricMatrix.complete(&gram, size: columns, at: group * columns * columns, scale: scales[group]) }
            func means(_ sums: [Double], of width: Int) -> [Double] { sums.indices.map { sums[$0] * scales[$0 / width] } }
            return LayerTransfer(
                shape: shape, rows: most, gram: gram, cross: means(cross, of: outputs * columns), meanInput: means(inputs.sum, of: columns),
                meanOutput: means(self.outputs.sum, of: outputs), meanSquareOutput: means(self.outputs.squares, of: outputs))
        }
    }
}
