import EngineSupport
import ModelGraph

/// Rounding of float32 to float16, vectorized and counted.
package enum HalfConversion {
    package struct Result {
        package var tensor: Tensor
        /// Finite values beyond ±65504, clamped to it.
        package var clamped: Int
        /// Non-zero values too small for a half, now zero.
        package var vanished: Int
    }

    /// A float32 tensor as float16 under the same name, rounded to nearest, ties to even. Infinities and NaN stay.
    package static func half(_ tensor: Tensor) throws -> Result {
        var clamped = 0
        var vanished = 0
        let storage = tensor.withFloats { values in
            TensorStorage(byteCount: values.count * 2) { memory in
                guard let base = values.baseAddress else { return }
                convert(base, memory.bindMemory(to: UInt16.self).baseAddress!, values.count, &clamped, &vanished)
            }
        }
        guard let storage else { throw EngineError(.technique, "tensor '\(tensor.name)': \(tensor.elementType) cannot become float16") }
        tensor.storage.releasePages()
        return Result(
            tensor: try Tensor(name: tensor.name, elementType: .float16, dims: tensor.dims, storage: storage), clamped: clamped, vanished: vanished)
    }

    /// Largest finite half, as a float's bits.
    private static let largest = Float(65504).bitPattern
    /// Smallest normal half.
    private static let smallestNormal = Float(sign: .plus, exponent: -14, significand: 1).bitPattern

    private static func convert(
        _ source: UnsafePointer<Float>, _ out: UnsafeMutablePointer<UInt16>, _ count: Int, _ clamped: inout Int, _ vanished: inout Int
    ) {
        let infinity = Float.infinity.bitPattern
        var over: UInt32 = 0
        var under: UInt32 = 0
        for index in 0..<count {
            let bits = source[index].bitPattern
            let sign = bits & 0x8000_0000
            let magnitude = bits ^ sign
            let finite = magnitude < infinity
            let limited = finite ? min(magnitude, largest) : magnitude
            over &+= finite && magnitude > largest ? 1 : 0
            // Normal: exponent moved from bias 127 to 15, the 13 bits that go rounded to even.
            let normal = (limited &- 0x3800_0000 &+ 0x0FFF &+ ((limited >> 13) & 1)) >> 13
            // Subnormal: adding ½ leaves the multiple of 2⁻²⁴ in the low bits, rounded by the addition.
            let subnormal = (Float(bitPattern: min(limited, smallestNormal)) + 0.5).bitPattern &- Float(0.5).bitPattern
            var half = limited >= smallestNormal ? normal : subnormal
            half = finite ? half : magnitude == infinity ? 0x7C00 : 0x7E00
            under &+= half == 0 && magnitude != 0 ? 1 : 0
            out[index] = UInt16(truncatingIfNeeded: half | sign >> 16)
        }
        clamped += Int(over)
        vanished += Int(under)
    }
}
