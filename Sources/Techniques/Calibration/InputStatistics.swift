import CLapack
import Dispatch
import EngineSupport
import LinearAlgebra
import ModelGraph

/// What calibration data says about the inputs of one layer, in the columns of its `WeightMatrix`.
package struct LayerInputs {
    package var shape: WeightMatrix.Shape
    /// Rows (output positions) seen, of the group with the most.
    package var rows: Int
    /// Rows left out because they hold NaN or an infinity.
    package var leftOut: Int
    /// groups × columns each.
    package var mean: [Float]
    package var meanSquare: [Float]
    package var meanMagnitude: [Float]
    package var largestMagnitude: [Float]
    /// Mean of x·xᵀ, groups × columns × columns, symmetric; empty unless asked for.
    package var gram: [Float]

    package init(
        shape: WeightMatrix.Shape, rows: Int, leftOut: Int = 0, mean: [Float], meanSquare: [Float], meanMagnitude: [Float], largestMagnitude: [Float], gram: [Float]
    ) {
        self.shape = shape
        self.rows = rows
        self.leftOut = leftOut
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
        let source = try context.requiredCalibration()
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
            let slots = pass.map { Accumulator.parts($0, node: model.graph.nodes[$0.nodeIndex], gram: gram) }
            let parts = slots.flatMap(\.self)
            let names = Array(Set(parts.map(\.input))).sorted()
            let place = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
            var done = 0.0
            // What lies behind the last of the values need not run.
            let part = model.truncated(to: names)
            try source.forEachBatch(of: part, values: names, limit: limit, cancellation: context.cancellation) { values in
                // The buffers stay valid until this call returns.
                nonisolated(unsafe) let values = values
                DispatchQueue.concurrentPerform(iterations: parts.count) { index in
                    if let position = place[parts[index].input] { parts[index].add(values[position]) }
                }
                done += Double(values.lazy.compactMap(\.shape.first).first ?? 1)
                context.progress((Double(number) + min(done / total, 1)) / Double(passes.count), "measuring layers' inputs")
            }
            for (layer, slot) in zip(pass, slots) { if let inputs = Accumulator.result(slot) { result[layer.id] = inputs } }
        }
        return result
    }

    /// Sums over rows. Unchecked: `concurrentPerform` gives each to one iteration at a time and returns after all of them.
    private final class Accumulator: @unchecked Sendable {
        let input: String
        /// Which part of each batch is its own.
        private let part: Int
        private let parts: Int
        private let windows: InputWindows
        private let shape: WeightMatrix.Shape
        /// Rows summed, by group, and those left out.
        private var rows: [Int]
        private var leftOut = 0
        private var sums: ColumnSums
        /// Of symmetric matrices only one triangle is summed.
        private var gram: [Float]

        /// The sums of one layer, over parts of each batch.
        static func parts(_ layer: Layer, node: Node, gram: Bool) -> [Accumulator] {
            let windows = InputWindows(layer, node: node)
            let shape = WeightMatrix.shape(of: layer) ?? .init(groups: 1, rows: 1, columns: 1)
            let bytes = shape.groups * shape.columns * (gram ? shape.columns : 1) * MemoryLayout<Float>.size
            let parts = BatchParts.count(bytes: bytes, isSplittable: windows.isSplittable)
            return (0..<parts).map { Accumulator(windows, shape, input: node.inputs[0], part: $0, of: parts, gram: gram) }
        }

        private init(_ windows: InputWindows, _ shape: WeightMatrix.Shape, input: String, part: Int, of parts: Int, gram: Bool) {
            self.input = input
            self.part = part
            self.parts = parts
            self.windows = windows
            self.shape = shape
            rows = [Int](repeating: 0, count: shape.groups)
            sums = ColumnSums(count: shape.groups * shape.columns)
            self.gram = gram ? [Float](repeating: 0, count: shape.groups * shape.columns * shape.columns) : []
            Lapack.useOneThread()
        }

        func add(_ batch: CalibrationValue) {
            let value = BatchParts.part(part, of: parts, batch)
            let columns = shape.columns
            let samples = max(value.shape.first ?? 1, 1)
            let perSample = value.floats.count / samples
            let stride = max(perSample / max(columns, 1) / InputStatistics.rowsPerSample, 1)
            windows.forEachBlock(value.floats, shape: value.shape, stride: stride) { group, block, count in
                let others = FiniteRows.others(block, rows: count, columns: columns)
                rows[group] += count - others.count
                guard !others.isEmpty else { return sum(block, count, group) }
                leftOut += others.count
                FiniteRows.clearing(others, of: block, rows: count, columns: columns).withUnsafeBufferPointer { sum($0.baseAddress!, count, group) }
            }
        }

        private func sum(_ block: UnsafePointer<Float>, _ count: Int, _ group: Int) {
            let columns = shape.columns
            let base = group * columns
            sums.add(block, rows: count, columns: columns, at: base)
            guard !gram.isEmpty else { return }
            gram.withUnsafeMutableBufferPointer { gram in
                // Column-major, the block is columns × rows: the product with its transpose is the Gram matrix.
                var (n, k) = (Int32(columns), Int32(count))
                var one: Float = 1
                ssyrk_("U", "N", &n, &k, &one, block, &n, &one, gram.baseAddress! + base * columns, &n)
            }
        }

        /// What all parts have summed.
        static func result(_ parts: [Accumulator]) -> LayerInputs? {
            guard let all = parts.first else { return nil }
            for part in parts.dropFirst() { all.add(part) }
            return all.result()
        }

        private func add(_ other: Accumulator) {
            for group in rows.indices { rows[group] += other.rows[group] }
            leftOut += other.leftOut
            sums.add(other.sums)
            gram.withUnsafeMutableBufferPointer { gram in other.gram.withUnsafeBufferPointer { more in for index in gram.indices { gram[index] += more[index] } } }
        }

        private func result() -> LayerInputs? {
            guard let most = rows.max(), most > 0 else { return nil }
            let scales = rows.map { 1 / Double(max($0, 1)) }
            let columns = shape.columns
            if !gram.isEmpty {
                for group in 0..<shape.groups { SymmetricMatrix.complete(&gram, size: columns, at: group * columns * columns, scale: Float(scales[group])) }
            }
            func means(_ sums: [Double]) -> [Float] { sums.indices.map { Float(sums[$0] * scales[$0 / columns]) } }
            return LayerInputs(
                shape: shape, rows: most, leftOut: leftOut, mean: means(sums.sum), meanSquare: means(sums.squares),
                meanMagnitude: means(sums.magnitudes), largestMagnitude: sums.largest, gram: gram)
        }
    }
}
