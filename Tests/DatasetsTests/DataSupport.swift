import Foundation

@testable import Datasets

/// An IDX file of bytes.
func idx(_ shape: [Int], _ bytes: [UInt8], type: UInt8 = 0x08) -> [UInt8] {
    [0, 0, type, UInt8(shape.count)] + shape.flatMap { dimension in (0..<4).map { UInt8(truncatingIfNeeded: dimension >> (24 - 8 * $0)) } } + bytes
}

extension PreparedSamples {
    func floats(_ input: Int = 0) throws -> [Float] { try withUnsafeBytes(0..<count, input: input) { Array($0.bindMemory(to: Float.self)) } }
}
