import ModelGraph

/// How important filters and neurons are taken to be.
public enum ChannelCriterion: String, Sendable, CaseIterable {
    case l1, l2
    case geometricMedian = "geometric-median"
    case batchNormScale = "batchnorm-scale"
    case apoz
    case weightedNorm = "weighted-norm"
    case taylor
    case random

    /// How scores of the several outputs of one layer that are one unit come together: as squares, or as they are.
    package var isQuadratic: Bool { self == .l2 || self == .weightedNorm }
}

/// L1 and L2 norms of a layer's outputs.
public struct OutputNorms: Sendable {
    public var l1: [Float]
    public var l2: [Float]

    public init(l1: [Float], l2: [Float]) {
        self.l1 = l1
        self.l2 = l2
    }

    /// Norms of the slices of tensors along an axis, summed over the tensors that are as long as the first along it
    /// (input and recurrent weights of an LSTM). Empty if the first tensor cannot be read.
    public init(of tensors: [Tensor], axis: Int) {
        (l1, l2) = ([], [])
        guard let first = tensors.first, first.dims.indices.contains(axis) else { return }
        let count = first.dims[axis]
        var sums = [Double](repeating: 0, count: count)
        var squares = sums
        for tensor in tensors where tensor.dims.indices.contains(axis) && tensor.dims[axis] == count {
            tensor.withFloats { Self.add($0, tensor, axis, &sums, &squares) }
        }
        l1 = sums.map(Float.init)
        l2 = squares.map { Float($0.squareRoot()) }
    }

    private static func add(_ values: UnsafeBufferPointer<Float>, _ tensor: Tensor, _ axis: Int, _ sums: inout [Double], _ squares: inout [Double]) {
        let dims = tensor.dims
        // Lets go of pages behind the pass.
        var next = TensorStorage.passSlice
        func passed(_ elements: Int) {
            guard tensor.elementType == .float32, elements * 4 >= next else { return }
            tensor.storage.releasePages(before: elements * 4)
            next = elements * 4 + TensorStorage.passSlice
        }
        let outer = dims[..<axis].reduce(1, *)
        let count = dims[axis]
        let inner = dims[(axis + 1)...].reduce(1, *)
        if inner == 1 {
            // Outputs side by side, as in MatMul: go along them.
            for block in 0..<outer {
                for unit in 0..<count {
                    let value = Double(values[block * count + unit])
                    sums[unit] += abs(value)
                    squares[unit] += value * value
                }
                passed((block + 1) * count)
            }
            return
        }
        for block in 0..<outer {
            for unit in 0..<count {
                var (sum, square) = (0.0, 0.0)
                let start = (block * count + unit) * inner
                for index in start..<(start + inner) {
                    let value = Double(values[index])
                    sum += abs(value)
                    square += value * value
                }
                sums[unit] += sum
                squares[unit] += square
                passed(start + inner)
            }
        }
    }
}

/// Units from least to most important.
public struct ChannelRanking: Sendable {
    /// Score of each unit: the mean, over the layers that make it, of its filters' mean norm divided by the mean norm of that
    /// layer's units. 1 is average in every layer, so that layers of any scale compare.
    public let scores: [Float]
    /// Units by ascending score; equal scores in order of number.
    public let order: [Int32]

    /// - Parameter norms: norms of each layer's outputs, by layer position.
    public init(_ structure: ChannelStructure, norms: [OutputNorms], by criterion: ChannelCriterion) {
        self.init(structure, scores: norms.map { criterion == .l1 ? $0.l1 : $0.l2 }, isQuadratic: criterion == .l2)
    }

    /// - Parameters:
    ///   - scores: by layer position the importance of each output, not negative; empty where a layer has no say.
    ///   - isQuadratic: whether the outputs of a unit in one layer count by their squares' mean.
    public init(_ structure: ChannelStructure, scores: [[Float]], isQuadratic: Bool) {
        var total = [Double](repeating: 0, count: structure.unitCount)
        var members = [Double](repeating: 0, count: structure.unitCount)
        // Kept over layers and cleared by the units touched: layers are many, units more.
        var sum = total
        var rows = total
        for (layer, output) in structure.outputUnits.enumerated() {
            let values = scores[layer]
            guard values.count == output.count else { continue }
            var touched: [Int] = []
            for (index, unit) in output.enumerated() where unit >= 0 {
                let unit = Int(unit)
                if rows[unit] == 0 { touched.append(unit) }
                let value = Double(values[index])
                sum[unit] += isQuadratic ? value * value : value
                rows[unit] += 1
            }
            func score(_ unit: Int) -> Double {
                let mean = sum[unit] / rows[unit]
                return isQuadratic ? mean.squareRoot() : mean
            }
            let mean = touched.reduce(0) { $0 + score($1) } / Double(max(touched.count, 1))
            for unit in touched {
                // NaN weights rank as most important: they are not for pruning to hide.
                let relative = mean > 0 ? score(unit) / mean : 0
                total[unit] += relative.isFinite ? relative : 1e30
                members[unit] += 1
            }
            for unit in touched { (sum[unit], rows[unit]) = (0, 0) }
        }
        let scores = zip(total, members).map { Float($1 > 0 ? $0 / $1 : 0) }
        self.scores = scores
        order = (0..<Int32(structure.unitCount)).sorted { (scores[Int($0)], $0) < (scores[Int($1)], $1) }
    }
}

/// A model's channels prepared once, so that any pruning ratio is answered in O(units).
public final class ChannelForecast: Sendable {
    public let structure: ChannelStructure
    private let l1: ChannelRanking
    private let l2: ChannelRanking

    public init(_ structure: ChannelStructure, norms: [OutputNorms]) {
        self.structure = structure
        l1 = ChannelRanking(structure, norms: norms, by: .l1)
        l2 = ChannelRanking(structure, norms: norms, by: .l2)
    }

    /// The ranking by a norm; for criteria that look at more than norms the one by L1 stands in: with a ratio taken from every group
    /// the sizes are the same.
    public func ranking(by criterion: ChannelCriterion) -> ChannelRanking { criterion == .l2 ? l2 : l1 }
}
