/// Sums over the rows of a matrix, for each of its columns.
///
/// Runs of rows are summed in single precision, eight columns at once, and the sums of runs in double precision.
struct ColumnSums {
    private(set) var sum: [Double]
    private(set) var squares: [Double]
    private(set) var magnitudes: [Double]
    /// Largest magnitude.
    private(set) var largest: [Float]

    /// Rows of a run: few enough that single precision loses nothing that counts.
    private static let run = 64

    init(count: Int) {
        sum = [Double](repeating: 0, count: count)
        squares = sum
        magnitudes = sum
        largest = [Float](repeating: 0, count: count)
    }

    /// Adds what others have summed over other rows.
    mutating func add(_ other: ColumnSums) {
        for index in sum.indices {
            sum[index] += other.sum[index]
            squares[index] += other.squares[index]
            magnitudes[index] += other.magnitudes[index]
            largest[index] = max(largest[index], other.largest[index])
        }
    }

    /// Adds rows × columns values, row-major, to the columns from `offset` on.
    mutating func add(_ block: UnsafePointer<Float>, rows: Int, columns: Int, at offset: Int) {
        sum.withUnsafeMutableBufferPointer { sum in
            squares.withUnsafeMutableBufferPointer { squares in
                magnitudes.withUnsafeMutableBufferPointer { magnitudes in
                    largest.withUnsafeMutableBufferPointer { largest in
                        for start in stride(from: 0, to: rows, by: Self.run) {
                            let end = min(start + Self.run, rows)
                            var column = 0
                            while column + 8 <= columns {
                                Self.addEight(
                                    block + start * columns + column, rows: end - start, columns: columns, at: offset + column, sum, squares, magnitudes, largest)
                                column += 8
                            }
                            while column < columns {
                                for row in start..<end {
                                    let value = block[row * columns + column]
                                    let place = offset + column
                                    sum[place] += Double(value)
                                    squares[place] += Double(value) * Double(value)
                                    magnitudes[place] += Double(abs(value))
                                    if abs(value) > largest[place] { largest[place] = abs(value) }
                                }
                                column += 1
                            }
                        }
                    }
                }
            }
        }
    }

    @inline(__always)
    private static func addEight(
        _ first: UnsafePointer<Float>, rows: Int, columns: Int, at place: Int, _ sum: UnsafeMutableBufferPointer<Double>,
        _ squares: UnsafeMutableBufferPointer<Double>, _ magnitudes: UnsafeMutableBufferPointer<Double>, _ largest: UnsafeMutableBufferPointer<Float>
    ) {
        var (sums, squared, sizes, most) = (SIMD8<Float>.zero, SIMD8<Float>.zero, SIMD8<Float>.zero, SIMD8<Float>.zero)
        for row in 0..<rows {
            let values = UnsafeRawPointer(first + row * columns).loadUnaligned(as: SIMD8<Float>.self)
            let size = unsafeBitCast(unsafeBitCast(values, to: SIMD8<UInt32>.self) & 0x7FFF_FFFF, to: SIMD8<Float>.self)
            sums += values
            squared += values * values
            sizes += size
            most.replace(with: size, where: size .> most)
        }
        for lane in 0..<8 {
            sum[place + lane] += Double(sums[lane])
            squares[place + lane] += Double(squared[lane])
            magnitudes[place + lane] += Double(sizes[lane])
            largest[place + lane] = max(largest[place + lane], most[lane])
        }
    }
}
