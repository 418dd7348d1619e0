import EngineSupport

/// Scores of classes for each of a number of steps (frames, tokens): row by row.
struct StepScores {
    /// [steps, classes].
    let values: [Float]
    let steps: Int
    let classes: Int

    /// - Parameters:
    ///   - count: steps that are expected; decides between [steps, classes] and [classes, steps].
    /// - Throws: `EngineError` where the output has no axis of that many steps.
    init(_ view: OutputView, steps count: Int, kind: MetricKind) throws(EngineError) {
        var shape = view.shape
        // Axes of one before steps and classes.
        while shape.count > 2, shape[0] == 1 { shape.removeFirst() }
        if shape.count < 2 { shape = count == 1 && view.values.count > 1 ? [1, view.values.count] : [view.values.count, 1] }
        if shape.count == 3, shape[2] == 1 { shape.removeLast() }
        guard shape.count == 2, shape[0] == count || shape[1] == count else {
            throw EngineError(.data, "metric \(kind.rawValue): output \(view.name) of shape \(view.shape) against \(count) classes, expected [\(count), classes]")
        }
        if shape[0] == count {
            values = Array(view.values)
            (steps, classes) = (shape[0], shape[1])
        } else {
            (steps, classes) = (shape[1], shape[0])
            let (steps, classes, source) = (steps, classes, view.values)
            values = .init(unsafeUninitializedCapacity: source.count) { target, filled in
                for step in 0..<steps {
                    for index in 0..<classes { target[step * classes + index] = source[index * steps + step] }
                }
                filled = source.count
            }
        }
    }

    /// The class of each step; −1: none, as no score is a number. Of one number per step what `single` makes of it.
    func predictions(_ single: SingleReading) -> [Int32] {
        if classes == 1 { return values.map { Int32(single.predicted($0)) } }
        return values.withUnsafeBufferPointer { values in
            (0..<steps).map { Int32(ClassScores.largest(UnsafeBufferPointer(rebasing: values[($0 * classes)..<(($0 + 1) * classes)]))) }
        }
    }
}

/// Right, said and true ones of each class.
struct ClassCounts {
    private var counts: [Int32: (right: Double, said: Double, had: Double)] = [:]

    mutating func add(said: Int32, had: Int32) {
        counts[had, default: (0, 0, 0)].had += 1
        if said >= 0 { counts[said, default: (0, 0, 0)].said += 1 }
        if said == had { counts[had, default: (0, 0, 0)].right += 1 }
    }

    /// Class, right, said, true; again and again.
    var contribution: [Double] { counts.keys.sorted().flatMap { key in counts[key].map { [Double(key), $0.right, $0.said, $0.had] } ?? [] } }
}
