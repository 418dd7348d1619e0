import EngineSupport
import Foundation

/// Applies what is to happen to an output before it is scored.
public enum OutputTransforms {
    /// - Parameter view: one sample's part of an output.
    /// - Returns: values row by row, and their shape.
    /// - Throws: `EngineError` that names the shape and the axis that does not fit it.
    public static func apply(_ transforms: [OutputTransform], to view: OutputView) throws(EngineError) -> (values: [Float], shape: [Int]) {
        try apply(transforms, values: Array(view.values), shape: view.shape, name: view.name)
    }

    /// - Parameters:
    ///   - values: row by row; as many as `shape` says.
    ///   - name: of the output, for errors.
    public static func apply(
        _ transforms: [OutputTransform], values: [Float], shape: [Int], name: String = "output"
    ) throws(EngineError) -> (values: [Float], shape: [Int]) {
        guard shape.allSatisfy({ $0 >= 0 }), shape.reduce(1, *) == values.count else {
            throw EngineError(.data, "\(name) holds \(values.count) values, expected those of shape \(shape)")
        }
        var (values, shape) = (values, shape)
        for transform in transforms {
            switch transform {
            case .sigmoid:
                for index in values.indices { values[index] = Float(1 / (1 + exp(-Double(values[index])))) }
            case .threshold(let limit):
                for index in values.indices { values[index] = Double(values[index]) > limit ? 1 : 0 }
            case .softmax(let axis):
                softmax(&values, try Axis(axis, of: shape, transform: "softmax", name))
            case .argmax(let axis):
                let place = try Axis(axis, of: shape, transform: "argmax", name)
                guard place.length > 0 else { throw EngineError(.data, "\(name): argmax along axis \(axis) of shape \(shape), which is empty") }
                values = argmax(values, place)
                shape.remove(at: place.index)
            case .mean(let axis):
                let place = try Axis(axis, of: shape, transform: "mean", name)
                guard place.length > 0 else { throw EngineError(.data, "\(name): mean along axis \(axis) of shape \(shape), which is empty") }
                values = mean(values, place)
                shape.remove(at: place.index)
            case .maskedMean(_, let mask): throw EngineError(.data, "\(name): the mean that '\(mask)' masks has to come before all other transforms")
            case .select(let axis, let entry):
                let place = try Axis(axis, of: shape, transform: "select", name)
                let index = entry < 0 ? entry + place.length : entry
                guard index >= 0, index < place.length else {
                    throw EngineError(.data, "\(name): select of entry \(entry) along axis \(axis) of shape \(shape), expected 0 to \(place.length - 1)")
                }
                values = select(values, place, index)
                shape.remove(at: place.index)
            case .transpose(let order):
                guard order.map({ $0 < 0 ? $0 + shape.count : $0 }).sorted() == Array(shape.indices) else {
                    throw EngineError(.data, "\(name): transpose to axes \(order) of shape \(shape), expected each axis once")
                }
                (values, shape) = transpose(values, shape, order.map { $0 < 0 ? $0 + shape.count : $0 })
            }
        }
        return (values, shape)
    }

    /// An axis of a shape, with the numbers of places before and behind it.
    private struct Axis {
        let index: Int
        let outer, length, inner: Int

        init(_ axis: Int, of shape: [Int], transform: String, _ name: String) throws(EngineError) {
            index = axis < 0 ? axis + shape.count : axis
            guard shape.indices.contains(index) else {
                throw EngineError(.data, "\(name): \(transform) along axis \(axis) of shape \(shape), which has \(shape.count) axes without the batch")
            }
            outer = shape[..<index].reduce(1, *)
            length = shape[index]
            inner = shape[(index + 1)...].reduce(1, *)
        }
    }

    private static func softmax(_ values: inout [Float], _ axis: Axis) {
        values.withUnsafeMutableBufferPointer { values in
            for outer in 0..<axis.outer {
                for inner in 0..<axis.inner {
                    let start = outer * axis.length * axis.inner + inner
                    var largest = -Float.infinity
                    for step in 0..<axis.length { largest = max(largest, values[start + step * axis.inner]) }
                    var sum = 0.0
                    for step in 0..<axis.length { sum += exp(Double(values[start + step * axis.inner] - largest)) }
                    for step in 0..<axis.length {
                        let place = start + step * axis.inner
                        values[place] = Float(exp(Double(values[place] - largest)) / sum)
                    }
                }
            }
        }
    }

    /// The first largest; values that are not numbers are never the largest where there is another.
    private static func argmax(_ values: [Float], _ axis: Axis) -> [Float] {
        var result = [Float](repeating: 0, count: axis.outer * axis.inner)
        for outer in 0..<axis.outer {
            for inner in 0..<axis.inner {
                let start = outer * axis.length * axis.inner + inner
                // Where there is no number the answer is none, which is no class.
                var best = Float.nan
                var largest = -Float.infinity
                for step in 0..<axis.length {
                    let value = values[start + step * axis.inner]
                    if value > largest || (best.isNaN && !value.isNaN) { (best, largest) = (Float(step), value) }
                }
                result[outer * axis.inner + inner] = best
            }
        }
        return result
    }

    private static func mean(_ values: [Float], _ place: Axis) -> [Float] {
        var sums = [Double](repeating: 0, count: values.count / place.length)
        for entry in 0..<place.length {
            for (index, value) in select(values, place, entry).enumerated() { sums[index] += Double(value) }
        }
        return sums.map { Float($0 / Double(place.length)) }
    }

    private static func select(_ values: [Float], _ axis: Axis, _ entry: Int) -> [Float] {
        var result: [Float] = []
        result.reserveCapacity(axis.outer * axis.inner)
        for outer in 0..<axis.outer {
            let start = (outer * axis.length + entry) * axis.inner
            result += values[start..<(start + axis.inner)]
        }
        return result
    }

    private static func transpose(_ values: [Float], _ shape: [Int], _ order: [Int]) -> ([Float], [Int]) {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
        let (newShape, steps) = (order.map { shape[$0] }, order.map { strides[$0] })
        var place = [Int](repeating: 0, count: shape.count)
        var source = 0
        var result: [Float] = []
        result.reserveCapacity(values.count)
        for _ in values.indices {
            result.append(values[source])
            var axis = place.count - 1
            while axis >= 0 {
                place[axis] += 1
                source += steps[axis]
                if place[axis] < newShape[axis] { break }
                source -= steps[axis] * newShape[axis]
                place[axis] = 0
                axis -= 1
            }
        }
        return (result, newShape)
    }
}
