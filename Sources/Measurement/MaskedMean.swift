import Datasets
import EngineSupport
import Metrics

/// Pools the vectors of tokens into one, without those that are padding: a model's own input marks what counts.
struct MaskedMean: Sendable {
    private let axis: Int
    private let mask: String
    /// Place of the mask among the samples' inputs.
    private let input: Int

    /// - Returns: `nil` where the metric asks for none.
    /// - Throws: `EngineError` if the samples have no such input.
    init?(_ samples: SampleSet) throws(EngineError) {
        guard case .maskedMean(let axis, let mask)? = samples.options.transforms.first else { return nil }
        guard let input = samples.inputs.firstIndex(where: { $0.name == mask && !$0.isShared }) else {
            throw EngineError(
                .data,
                "transform: the samples have no input '\(mask)' to mask with, they have \(samples.inputs.filter { !$0.isShared }.map { "'\($0.name)'" }.joined(separator: ", "))")
        }
        (self.axis, self.mask, self.input) = (axis, mask, input)
    }

    /// - Parameter range: the samples that the output is of.
    /// - Throws: `EngineError` if the mask has another shape than the output up to the axis.
    func pooled(_ output: BatchedOutput, _ range: Range<Int>, of samples: SampleSet) throws -> BatchedOutput {
        let place = axis < 0 ? axis + output.shape.count : axis
        let masked = samples.inputs[input]
        guard output.shape.indices.contains(place), output.shape[...place].reduce(1, *) == masked.elementCount else {
            throw EngineError(
                .data, "output '\(output.name)' of shape \(output.shape) and mask '\(mask)' of shape \(masked.shape): their extents differ up to axis \(axis)")
        }
        let (steps, inner) = (output.shape[place], output.shape[(place + 1)...].reduce(1, *))
        let outer = output.shape[..<place].reduce(1, *)
        var values: [Float] = []
        values.reserveCapacity(output.rows * outer * inner)
        for (row, sample) in range.enumerated() {
            let counts = try Self.numbers(samples.prepared.samples(sample..<sample + 1, input: input), masked.type)
            output.withRow(row) { numbers in
                for block in 0..<outer {
                    var (sums, found) = ([Double](repeating: 0, count: inner), 0.0)
                    for step in 0..<steps where counts[block * steps + step] {
                        found += 1
                        for index in 0..<inner { sums[index] += Double(numbers[(block * steps + step) * inner + index]) }
                    }
                    for sum in sums { values.append(found > 0 ? Float(sum / found) : .nan) }
                }
            }
        }
        return BatchedOutput(name: output.name, values: values, shape: Array(output.shape[..<place] + output.shape[(place + 1)...]), rows: output.rows)
    }

    /// Which elements are other than 0, of any type: that of floats is a pattern of bits without the sign.
    private static func numbers(_ bytes: UnsafeRawBufferPointer, _ type: SampleType) -> [Bool] {
        let width = type.byteWidth
        return stride(from: 0, to: bytes.count, by: width).map { start in
            (start..<start + width).contains { bytes[$0] & ($0 == start + width - 1 && type.isFloatingPoint ? 0x7F : 0xFF) != 0 }
        }
    }
}
