/// Finds which of many weights are smallest in magnitude, exactly and without sorting them.
///
/// Magnitudes of floats order like their bit patterns without the sign. Two counting passes, over the upper and
/// the lower half of the pattern, give the pattern of the k-th smallest; ties at it are taken in order of position.
struct MagnitudeThreshold {
    /// Weights with a smaller pattern all go.
    let pattern: UInt32
    /// How many weights with this very pattern go, the first ones.
    let ties: Int

    /// Bits of the pattern counted in the first pass.
    private static let upperBits: UInt32 = 16
    private static let lowerBits: UInt32 = 15

    /// Sign removed; NaN ranks above everything and so goes last.
    @inline(__always)
    static func key(_ weight: Float) -> UInt32 { weight.bitPattern & 0x7FFF_FFFF }

    /// The threshold below which `count` weights lie.
    /// - Parameters:
    ///   - count: in 0…(number of weights).
    ///   - forEachRun: calls its argument with every run of weights, in the same order each time. Called twice.
    init(removing count: Int, forEachRun: ((UnsafeBufferPointer<Float>) -> Void) throws -> Void) rethrows {
        var upper = [Int](repeating: 0, count: 1 << Int(Self.upperBits))
        try forEachRun { weights in
            upper.withUnsafeMutableBufferPointer { upper in
                for weight in weights { upper[Int(Self.key(weight) >> Self.lowerBits)] &+= 1 }
            }
        }
        var before = 0
        var bin = 0
        while bin < upper.count - 1, before + upper[bin] < count {
            before += upper[bin]
            bin += 1
        }
        var lower = [Int](repeating: 0, count: 1 << Int(Self.lowerBits))
        let mask: UInt32 = (1 << Self.lowerBits) - 1
        try forEachRun { weights in
            lower.withUnsafeMutableBufferPointer { lower in
                for weight in weights {
                    let key = Self.key(weight)
                    if Int(key >> Self.lowerBits) == bin { lower[Int(key & mask)] &+= 1 }
                }
            }
        }
        var part = 0
        while part < lower.count - 1, before + lower[part] < count {
            before += lower[part]
            part += 1
        }
        pattern = UInt32(bin) << Self.lowerBits | UInt32(part)
        ties = count - before
    }

    /// Flags the weights of one run that go.
    /// - Parameter ties: how many weights at the threshold may still go; counted down.
    func mark(_ weights: UnsafeBufferPointer<Float>, _ ties: inout Int, _ flags: UnsafeMutableBufferPointer<Bool>) {
        for (index, weight) in weights.enumerated() {
            let key = Self.key(weight)
            if key < pattern {
                flags[index] = true
            } else if key == pattern, ties > 0 {
                flags[index] = true
                ties -= 1
            }
        }
    }
}
