import EngineSupport
import ModelGraph

/// An output of a call over several samples, taken apart: one run of numbers per sample.
package struct BatchedOutput {
    let name: String
    /// Sample after sample.
    let values: [Float]
    /// Of one sample, without the batch dimension.
    let shape: [Int]
    let rows: Int

    private var width: Int { rows > 0 ? values.count / rows : 0 }

    /// - Parameters:
    ///   - shape: as the runtime gives it.
    ///   - axis: the batch's dimension as the model declares it; `nil` if it does not say.
    /// - Throws: `EngineError` if the numbers cannot be divided among the samples.
    init(name: String, values: [Float], shape: [Int], rows: Int, axis declared: Int?) throws(EngineError) {
        self.name = name
        self.rows = rows
        guard let axis = Self.axis(of: shape, rows: rows, declared: declared) else {
            guard rows == 1 else {
                throw EngineError(.data, "output '\(name)' has shape \(shape) for \(rows) samples: no dimension of it counts samples")
            }
            // All that a call over one sample gives is the sample's.
            self.values = values
            self.shape = shape
            return
        }
        self.shape = Array(shape[..<axis] + shape[(axis + 1)...])
        guard axis > 0, rows > 1 else {
            self.values = values
            return
        }
        let (outer, inner) = (shape[..<axis].reduce(1, *), shape[(axis + 1)...].reduce(1, *))
        var gathered: [Float] = []
        gathered.reserveCapacity(values.count)
        for row in 0..<rows {
            for block in 0..<outer {
                let start = (block * rows + row) * inner
                gathered.append(contentsOf: values[start..<start + inner])
            }
        }
        self.values = gathered
    }

    /// - Parameter values: `rows` × the elements of `shape`.
    init(name: String, values: [Float], shape: [Int], rows: Int) {
        self.name = name
        self.values = values
        self.shape = shape
        self.rows = rows
    }

    /// Where the batch is: as declared if the extent fits, else in front, else behind the first dimension (time first).
    private static func axis(of shape: [Int], rows: Int, declared: Int?) -> Int? {
        if let declared, shape.indices.contains(declared), shape[declared] == rows { return declared }
        if shape.first == rows { return 0 }
        return shape.count >= 3 && shape[1] == rows ? 1 : nil
    }

    /// The dimension of an output that has the name of the inputs' first dimension.
    package static func declaredAxis(of output: ValueInfo, in model: Model) -> Int? {
        let batches = Set(model.graph.requiredInputs.compactMap { $0.shape?.first.flatMap(Self.symbol) })
        return output.shape?.firstIndex { Self.symbol($0).map(batches.contains) ?? false }
    }

    private static func symbol(_ dimension: Dimension) -> String? {
        if case .symbolic(let name) = dimension, !name.isEmpty, name != "?" { return name }
        return nil
    }

    /// The samples `range` of these.
    func rows(_ range: Range<Int>) -> BatchedOutput {
        guard range != 0..<rows else { return self }
        return BatchedOutput(name: name, values: Array(values[range.lowerBound * width..<range.upperBound * width]), shape: shape, rows: range.count)
    }

    /// Steps of sequences put behind each other: [steps] becomes the first dimension of each sample.
    static func joined(_ steps: [BatchedOutput]) -> BatchedOutput? {
        guard let first = steps.first, steps.allSatisfy({ $0.shape == first.shape && $0.rows == first.rows }) else { return nil }
        let width = first.width
        var values: [Float] = []
        values.reserveCapacity(first.values.count * steps.count)
        for row in 0..<first.rows {
            for step in steps { values.append(contentsOf: step.values[row * width..<(row + 1) * width]) }
        }
        // One number a step is a list of numbers.
        let shape = first.shape.allSatisfy { $0 == 1 } ? [] : first.shape
        return BatchedOutput(name: first.name, values: values, shape: [steps.count] + shape, rows: first.rows)
    }

    func withRow<R>(_ row: Int, _ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        try values.withUnsafeBufferPointer { try body(UnsafeBufferPointer(rebasing: $0[row * width..<(row + 1) * width])) }
    }
}
