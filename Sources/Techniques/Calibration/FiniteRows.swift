/// Rows of activations that hold NaN or an infinity, as padding that a model divides by its length of zero does: they say nothing of the
/// data, and one of them would make every sum NaN.
enum FiniteRows {
    /// Positions of the rows that hold such a number; empty almost always.
    static func others(_ block: UnsafePointer<Float>, rows: Int, columns: Int) -> [Int] {
        if areFinite(block, rows * columns) { return [] }
        return (0..<rows).filter { !areFinite(block + $0 * columns, columns) }
    }

    /// The block with rows made zero, so that they add nothing to any sum.
    static func clearing(_ others: [Int], of block: UnsafePointer<Float>, rows: Int, columns: Int) -> [Float] {
        var values = Array(UnsafeBufferPointer(start: block, count: rows * columns))
        for row in others { for index in (row * columns)..<((row + 1) * columns) { values[index] = 0 } }
        return values
    }

    private static func areFinite(_ values: UnsafePointer<Float>, _ count: Int) -> Bool {
        let exponent = SIMD8<UInt32>(repeating: 0x7F80_0000)
        let raw = UnsafeRawPointer(values)
        var index = 0
        var found = SIMDMask<SIMD8<Int32>>(repeating: false)
        while index + 8 <= count {
            found .|= raw.loadUnaligned(fromByteOffset: index * 4, as: SIMD8<UInt32>.self) & exponent .== exponent
            index += 8
        }
        if any(found) { return false }
        while index < count {
            if !values[index].isFinite { return false }
            index += 1
        }
        return true
    }
}
