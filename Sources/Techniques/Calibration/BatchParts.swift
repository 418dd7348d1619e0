import Dispatch

/// Divides the rows of a batch among several sums, so that one layer's statistics keep more than one core busy.
///
/// The division does not depend on the machine, so that neither do the sums.
enum BatchParts {
    /// Bytes of one layer's sums up to which they are kept several times.
    private static let smallSums = 8 << 20
    private static let parts = 4

    /// How many sums a layer gets.
    /// - Parameter bytes: of one of them.
    static func count(bytes: Int, isSplittable: Bool) -> Int { isSplittable && bytes <= smallSums ? parts : 1 }

    /// One of the parts along the first axis; empty where the batch has fewer rows than parts.
    static func part(_ number: Int, of count: Int, _ value: CalibrationValue) -> CalibrationValue {
        guard count > 1, let rows = value.shape.first, rows > 0, value.floats.count % rows == 0 else {
            return number == 0 ? value : CalibrationValue(name: value.name, shape: [], floats: UnsafeBufferPointer(start: nil, count: 0))
        }
        let (start, end) = (rows * number / count, rows * (number + 1) / count)
        let width = value.floats.count / rows
        return CalibrationValue(
            name: value.name, shape: [end - start] + value.shape.dropFirst(), floats: UnsafeBufferPointer(rebasing: value.floats[(start * width)..<(end * width)]))
    }
}
