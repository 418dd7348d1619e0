import ModelGraph

/// The values of a set of weights in ascending order with running counts and sums, so that count and sum of any
/// interval are two look-ups: what one-dimensional k-means needs.
///
/// Up to `exactLimit` weights every distinct value is kept; beyond, weights are gathered into 2²⁰ equal bins, each standing for
/// its mean. Sums stay exact then and interval bounds are off by at most a bin.
struct ValueDistribution: Sendable {
    static let exactLimit = 1 << 22
    private static let binCount = 1 << 20

    /// Distinct values, or means of bins, ascending.
    private(set) var values: [Float] = []
    /// Weights before each value; one more entry than `values`.
    private(set) var countBefore: [Double] = [0]
    /// Sum of weights before each value; one more entry than `values`.
    private(set) var sumBefore: [Double] = [0]
    /// Whether `values` are the very values of the weights.
    private(set) var isExact = true

    var count: Double { countBefore[values.count] }
    var minimum: Float { values.first ?? 0 }
    var maximum: Float { values.last ?? 0 }

    /// Values ascending, each with the number and the sum of the weights it stands for.
    init(ascending points: some Sequence<(value: Float, count: Double, sum: Double)>, exact: Bool) {
        isExact = exact
        for point in points {
            values.append(point.value)
            countBefore.append(countBefore[countBefore.count - 1] + point.count)
            sumBefore.append(sumBefore[sumBefore.count - 1] + point.sum)
        }
    }

    /// The distribution of the weights in several buffers, all finite.
    /// - Parameter keepingZeros: whether zeros count as values.
    init(of buffers: [[Float]], keepingZeros: Bool) {
        let total = buffers.reduce(0) { $0 + $1.count }
        if total <= Self.exactLimit {
            self.init(sorted: Self.sorted(buffers, keepingZeros: keepingZeros))
        } else {
            self.init(binning: buffers, keepingZeros: keepingZeros)
        }
    }

    private init(sorted: [Float]) {
        var index = 0
        while index < sorted.count {
            let value = sorted[index]
            var end = index + 1
            while end < sorted.count, sorted[end] == value { end += 1 }
            let count = Double(end - index)
            values.append(value)
            countBefore.append(countBefore[countBefore.count - 1] + count)
            sumBefore.append(sumBefore[sumBefore.count - 1] + count * Double(value))
            index = end
        }
    }

    private init(binning buffers: [[Float]], keepingZeros: Bool) {
        isExact = false
        var low = Float.infinity
        var high = -Float.infinity
        for buffer in buffers { for value in buffer where keepingZeros || value != 0 { (low, high) = (min(low, value), max(high, value)) } }
        guard low <= high else { return }
        let scale = high > low ? Double(Self.binCount - 1) / (Double(high) - Double(low)) : 0
        var counts = [UInt32](repeating: 0, count: Self.binCount)
        var sums = [Double](repeating: 0, count: Self.binCount)
        for buffer in buffers {
            for value in buffer where keepingZeros || value != 0 {
                let bin = Int((Double(value) - Double(low)) * scale)
                counts[bin] += 1
                sums[bin] += Double(value)
            }
        }
        for bin in 0..<Self.binCount where counts[bin] > 0 {
            let count = Double(counts[bin])
            values.append(Float(sums[bin] / count))
            countBefore.append(countBefore[countBefore.count - 1] + count)
            sumBefore.append(sumBefore[sumBefore.count - 1] + sums[bin])
        }
    }

    /// Number of values that are at most `bound`, searched in `range` of positions.
    func position(after bound: Double, in range: Range<Int>) -> Int {
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if Double(values[middle]) <= bound { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The value at a share 0…1 of the weights.
    func quantile(_ share: Double) -> Float {
        guard !values.isEmpty else { return 0 }
        let target = share * count
        var low = 0
        var high = values.count - 1
        while low < high {
            let middle = (low + high) / 2
            if countBefore[middle + 1] > target { high = middle } else { low = middle + 1 }
        }
        return values[low]
    }

    /// Radix sort, three passes of eleven bits over patterns whose unsigned order is the floats' order.
    private static func sorted(_ buffers: [[Float]], keepingZeros: Bool) -> [Float] {
        var keys: [UInt32] = []
        keys.reserveCapacity(buffers.reduce(0) { $0 + $1.count })
        for buffer in buffers {
            for value in buffer where keepingZeros || value != 0 {
                // Adding zero turns −0 into +0.
                let bits = (value + 0).bitPattern
                keys.append(bits & 0x8000_0000 != 0 ? ~bits : bits | 0x8000_0000)
            }
        }
        var other = [UInt32](repeating: 0, count: keys.count)
        for shift: UInt32 in [0, 11, 22] {
            var starts = [Int](repeating: 0, count: 2049)
            for key in keys { starts[Int((key >> shift) & 2047) + 1] += 1 }
            for digit in 0..<2048 { starts[digit + 1] += starts[digit] }
            for key in keys {
                let digit = Int((key >> shift) & 2047)
                other[starts[digit]] = key
                starts[digit] += 1
            }
            swap(&keys, &other)
        }
        return keys.map { key in Float(bitPattern: key & 0x8000_0000 != 0 ? key & 0x7FFF_FFFF : ~key) }
    }
}

// MARK: - Remembering

extension ValueDistribution {
    /// As tensors, for `LayerMemo`.
    var tensors: [Tensor] {
        let flag = Tensor(name: "exact", int64s: [isExact ? 1 : 0], dims: [1])
        let values = Tensor(name: "values", floats: self.values, dims: [self.values.count])
        guard let counts = try? Tensor(name: "counts", elementType: .float64, dims: [countBefore.count], storage: TensorStorage(copying: countBefore)),
            let sums = try? Tensor(name: "sums", elementType: .float64, dims: [sumBefore.count], storage: TensorStorage(copying: sumBefore))
        else { return [] }
        return [flag, values, counts, sums]
    }

    init?(_ tensors: [Tensor]) {
        guard tensors.count == 4, let values = tensors[1].floats() else { return nil }
        func doubles(_ tensor: Tensor) -> [Double] { [Double](tensor.storage.bytes.assumingMemoryBound(to: Double.self)) }
        isExact = tensors[0].integers()?.first == 1
        self.values = values
        countBefore = doubles(tensors[2])
        sumBefore = doubles(tensors[3])
        guard countBefore.count == values.count + 1, sumBefore.count == values.count + 1 else { return nil }
    }
}
