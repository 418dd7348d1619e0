/// The elements of a tensor that differ from its commonest one, with the distances between them.
struct SparseElements {
    let tensor: Tensor
    /// Bytes of an element: 1, 2, 4 or 8.
    let width: Int
    /// Bit pattern of the elements left out: zero, of 8-bit integers the commonest.
    let fill: UInt64
    /// Distance of each element that is left from the one before, the first from position 0; so 0 for the first alone, at most.
    let distances: [UInt32]
    /// Position of the last one; −1 if none is left.
    let last: Int

    /// Elements that are left.
    let count: Int

    static func isSupported(_ tensor: Tensor) -> Bool {
        let types: [ElementType] = [.float32, .float16, .float64, .bfloat16, .int8, .uint8, .int16, .uint16, .int32, .uint32, .int64, .uint64]
        return types.contains(tensor.elementType) && tensor.count > 0 && tensor.count < 1 << 31
    }

    /// - Parameter tensor: a supported one.
    init(_ tensor: Tensor) {
        self.tensor = tensor
        width = (tensor.elementType.bitWidth ?? 8) / 8
        let bytes = tensor.storage.bytes
        let total = tensor.count
        var fill: UInt64 = 0
        if width == 1 {
            var counts = [Int](repeating: 0, count: 256)
            for byte in bytes { counts[Int(byte)] += 1 }
            fill = UInt64(counts.indices.max { (counts[$0], $1) < (counts[$1], $0) } ?? 0)
        }
        var distances: [UInt32] = []
        var last = -1
        func scan<T: FixedWidthInteger & UnsignedInteger>(_: T.Type) {
            let skipped = T(truncatingIfNeeded: fill)
            let run = TensorStorage.passSlice / MemoryLayout<T>.stride
            for start in stride(from: 0, to: total, by: run) {
                for index in start..<min(start + run, total) where bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.stride, as: T.self) != skipped {
                    distances.append(UInt32(truncatingIfNeeded: index - max(last, 0)))
                    last = index
                }
                tensor.storage.releasePages(before: min(start + run, total) * MemoryLayout<T>.stride)
            }
        }
        switch width {
        case 1: scan(UInt8.self)
        case 2: scan(UInt16.self)
        case 4: scan(UInt32.self)
        default: scan(UInt64.self)
        }
        self.fill = fill
        self.distances = distances
        self.last = last
        self.count = distances.count
    }

    private init(without distances: SparseElements) {
        (tensor, width, fill, last, count) = (distances.tensor, distances.width, distances.fill, distances.last, distances.count)
        self.distances = []
    }

    /// The same without its distances, which take as much memory as the tensor: found again by `withDistances`.
    var withoutDistances: SparseElements { SparseElements(without: self) }

    var withDistances: SparseElements { distances.count == count ? self : SparseElements(tensor) }

    /// Bit pattern of the element at a position.
    @inline(__always)
    func pattern(_ position: Int) -> UInt64 {
        let bytes = tensor.storage.bytes
        switch width {
        case 1: return UInt64(bytes[position])
        case 2: return UInt64(bytes.loadUnaligned(fromByteOffset: position * 2, as: UInt16.self))
        case 4: return UInt64(bytes.loadUnaligned(fromByteOffset: position * 4, as: UInt32.self))
        default: return bytes.loadUnaligned(fromByteOffset: position * 8, as: UInt64.self)
        }
    }

    /// Calls `body` with the position of each element that is left.
    func forEachPosition(_ body: (Int) -> Void) {
        var position = 0
        for distance in distances {
            position += Int(distance)
            body(position)
        }
    }

    /// The patterns that elements take, ascending, the one left out among them; `nil` where there are more than 256.
    func codebook() -> [UInt64]? {
        var seen: Set<UInt64> = [fill]
        var position = 0
        for distance in distances {
            position += Int(distance)
            if seen.insert(pattern(position)).inserted, seen.count > 256 { return nil }
        }
        return seen.sorted()
    }

    /// Elements that must be put between two others because distances have a few bits only.
    static func fillers(_ distances: [UInt32], bits: Int) -> Int {
        let most = UInt32(1 << bits) - 1
        return distances.reduce(0) { $0 + ($1 > most ? Int(($1 - 1) / most) : 0) }
    }
}
