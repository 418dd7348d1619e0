import EngineSupport
import Metrics
import ModelGraph

/// Labels from an array: the form that its type and shape suggest.
///
/// One whole number per row, or one-hot rows: classes. Other whole numbers: a class for each step, token or pixel. Other numbers: numbers to
/// come near to. Metrics of numbers take whole numbers as numbers.
enum ArrayTargets {
    /// - Parameters:
    ///   - count: rows there must be.
    ///   - samples: what the rows belong to, for messages.
    ///   - wantsNumbers: whether what is measured compares numbers, so that 3 is a quantity and no class.
    static func targets(_ array: RawArray, count: Int, place: String, samples: String, wantsNumbers: Bool) throws -> Targets {
        guard array.rowCount == count else {
            throw EngineError(.data, "\(place): \(array.rowCount) labels for \(count) samples in \(samples)")
        }
        let width = array.rowElements
        // A column is one number per row.
        let shape = array.rowShape.allSatisfy { $0 == 1 } ? [] : array.rowShape
        guard !wantsNumbers, let numbers = ElementConversion.wholeNumbers(array) else { return values(array, shape: shape) }
        if shape.isEmpty {
            // Whole numbers below zero in floating point are no classes: something else is measured.
            if array.type.isFloatingPoint, numbers.contains(where: { $0 < 0 }) { return values(array, shape: shape) }
            return Targets(labels: numbers)
        }
        if array.shape.count == 2, let labels = oneHot(numbers, width: width) { return Targets(labels: labels) }
        if array.type.isFloatingPoint, !numbers.allSatisfy({ $0 == 0 || $0 == 1 }) { return values(array, shape: shape) }
        guard numbers.allSatisfy({ Int32(exactly: $0) != nil }) else { throw EngineError(.data, "\(place): labels must fit 32 bits") }
        let classes = numbers.map { Int32(truncatingIfNeeded: $0) }
        return Targets(
            kind: .classes, shape: shape, read: { .classes(Array(classes[$0 * width..<($0 + 1) * width]), shape: shape) },
            mix: { rows, digest in for row in rows { classes[row * width..<(row + 1) * width].withUnsafeBytes { digest.combine(bytes: $0) } } })
    }

    private static func values(_ array: RawArray, shape: [Int]) -> Targets {
        let width = array.rowElements
        return Targets(
            kind: .numbers, shape: shape,
            read: { row in
                let floats = [Float](unsafeUninitializedCapacity: width) { memory, written in
                    if let base = memory.baseAddress, let source = array.row(row).baseAddress {
                        ElementConversion.affine(source, type: array.type, count: width, step: 1, scale: 1, mean: 0, std: 1, into: base)
                    }
                    written = width
                }
                return .numbers(floats, shape: shape)
            },
            mix: { rows, digest in
                digest.combine("\(array.type)")
                for row in rows { digest.combine(bytes: array.row(row)) }
            })
    }

    /// The class of each row where every row is one-hot.
    private static func oneHot(_ numbers: [Int], width: Int) -> [Int]? {
        var labels: [Int] = []
        for start in stride(from: 0, to: numbers.count, by: width) {
            let part = numbers[start..<start + width]
            guard part.allSatisfy({ $0 == 0 || $0 == 1 }), part.reduce(0, +) == 1, let one = part.firstIndex(of: 1) else { return nil }
            labels.append(one - start)
        }
        return labels
    }
}
