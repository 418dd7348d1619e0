import EngineSupport
import ModelGraph

/// A tensor that training changes, and how it becomes weights of the model again.
struct TrainedParameter: Sendable {
    enum Form: Sendable {
        /// The weight itself.
        case plain
        /// Few values, each standing at many places: the trained tensor holds the values.
        case shared(indices: [Int32], dims: [Int])
        /// Stands before a quantizer in the training graph; the model holds integers.
        case quantized(Quantizer)
        /// The model holds a narrower floating-point type.
        case narrow
    }

    struct Quantizer: Sendable {
        /// Scale and zero point per element of the weight's flattened places: index of the scale that rules an element.
        var scales: [Float]
        var zeros: [Int]
        var scaleIndex: ScaleIndex
        var low: Int
        var high: Int
        /// Names in the model.
        var scaleName: String
        /// Name of the trained scale; `nil` if it stays.
        var trainedScale: String?
    }

    /// Which scale an element has: by position along one axis, in blocks.
    struct ScaleIndex: Sendable {
        /// Elements below the axis.
        var inner: Int
        var extent: Int
        var block: Int
        /// Scales along the axis; 1 for one scale for all.
        var count: Int
        /// Whether scales also vary with the axes outside and inside (blocked scales).
        var isBlocked: Bool

        func callAsFunction(_ element: Int) -> Int {
            guard count > 1 || isBlocked else { return 0 }
            let along = (element / inner) % extent
            guard isBlocked else { return along }
            let outer = element / (inner * extent)
            return (outer * count + along / block) * inner + element % inner
        }
    }

    /// Name in the training graph.
    var name: String
    /// Initializer of the model that it becomes.
    var target: String
    var form: Form
    var dims: [Int]
    var start: [Float]
    var mask: [Float]?
    /// Whether the plan's schedule changes the mask.
    var isPruned = false
    var decays: Bool
    var rate: Float = 1
    /// Share of the steps before which it stays as it is.
    var freedAfter: Float = 0
    var l1: Float = 0
    var groupLasso: Float = 0
    var gradientFactor: Float = 1
    var minimum: Float?
    /// Whether it is a peer student's, of no use once training is over.
    var isPeer = false

    /// The initializer with trained values.
    func tensor(_ values: [Float], replacing old: Tensor) throws -> Tensor {
        switch form {
        case .plain, .narrow: return old.withFloats(values)
        case .shared(let indices, _): return old.withFloats(indices.map { values[Int($0)] })
        case .quantized(let quantizer):
            var codes = [Int](repeating: 0, count: values.count)
            for index in values.indices {
                let scale = quantizer.scaleIndex(index)
                let zero = quantizer.zeros.isEmpty ? 0 : quantizer.zeros[scale]
                let code = (values[index] / quantizer.scales[scale]).rounded(.toNearestOrEven) + Float(zero)
                codes[index] = Int(min(max(code, Float(quantizer.low)), Float(quantizer.high)))
            }
            return try old.withIntegers(codes)
        }
    }
}

extension Tensor {
    /// The same name, type and shape with other integers, packed as the type calls for.
    /// - Throws: `EngineError` for types that hold no integers of at most 32 bits.
    func withIntegers(_ values: [Int]) throws -> Tensor {
        guard let width = elementType.bitWidth, elementType.isQuantized || [.int32, .int16, .uint16].contains(elementType) else {
            throw EngineError(.technique, "\(name): values of type \(elementType) cannot be trained")
        }
        let storage = TensorStorage(byteCount: elementType.byteCount(of: count) ?? 0) { bytes in
            if width < 8 {
                // The first of two or four stands in the lowest bits.
                let each = 8 / width
                let mask = (1 << width) - 1
                for index in bytes.indices { bytes[index] = 0 }
                for (index, value) in values.enumerated() { bytes[index / each] |= UInt8((value & mask) << (width * (index % each))) }
                return
            }
            for (index, value) in values.enumerated() {
                for byte in 0..<width / 8 { bytes[index * width / 8 + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
            }
        }
        return try replacing(elementType: elementType, dims: dims, storage: storage)
    }
}
