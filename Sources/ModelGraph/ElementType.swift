/// The element type of a tensor, numbered as in ONNX's `TensorProto.DataType`.
public struct ElementType: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let undefined = ElementType(rawValue: 0)
    public static let float32 = ElementType(rawValue: 1)
    public static let uint8 = ElementType(rawValue: 2)
    public static let int8 = ElementType(rawValue: 3)
    public static let uint16 = ElementType(rawValue: 4)
    public static let int16 = ElementType(rawValue: 5)
    public static let int32 = ElementType(rawValue: 6)
    public static let int64 = ElementType(rawValue: 7)
    public static let string = ElementType(rawValue: 8)
    public static let bool = ElementType(rawValue: 9)
    public static let float16 = ElementType(rawValue: 10)
    public static let float64 = ElementType(rawValue: 11)
    public static let uint32 = ElementType(rawValue: 12)
    public static let uint64 = ElementType(rawValue: 13)
    public static let complex64 = ElementType(rawValue: 14)
    public static let complex128 = ElementType(rawValue: 15)
    public static let bfloat16 = ElementType(rawValue: 16)
    public static let float8E4M3FN = ElementType(rawValue: 17)
    public static let float8E4M3FNUZ = ElementType(rawValue: 18)
    public static let float8E5M2 = ElementType(rawValue: 19)
    public static let float8E5M2FNUZ = ElementType(rawValue: 20)
    public static let uint4 = ElementType(rawValue: 21)
    public static let int4 = ElementType(rawValue: 22)
    public static let float4E2M1 = ElementType(rawValue: 23)
    public static let float8E8M0 = ElementType(rawValue: 24)
    public static let uint2 = ElementType(rawValue: 25)
    public static let int2 = ElementType(rawValue: 26)

    /// Bits one element occupies; `nil` where elements have no fixed width (strings) or the type is unknown.
    public var bitWidth: Int? {
        switch rawValue {
        case 2, 3, 9, 17, 18, 19, 20, 24: 8
        case 4, 5, 10, 16: 16
        case 1, 6, 12: 32
        case 7, 11, 13, 14: 64
        case 15: 128
        case 21, 22, 23: 4
        case 25, 26: 2
        default: nil
        }
    }

    /// Bytes that `count` elements occupy; sub-byte elements are packed. `nil` for strings and on overflow.
    public func byteCount(of count: Int) -> Int? {
        guard let bitWidth, count >= 0 else { return nil }
        let (bits, overflow) = count.multipliedReportingOverflow(by: bitWidth)
        guard !overflow, bits <= Int.max - 7 else { return nil }
        return (bits + 7) / 8
    }

    /// A floating-point type of at least 16 bits, in which networks compute.
    public var isFloatingPoint: Bool { [.float32, .float16, .float64, .bfloat16].contains(self) }

    /// An integer type that quantized weights use.
    public var isQuantized: Bool {
        [.uint8, .int8, .uint4, .int4, .uint2, .int2, .uint16, .int16].contains(self)
            || (17...20).contains(rawValue) || rawValue == 23
    }

    public var description: String {
        let names = [
            "undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64",
            "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
            "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
        ]
        return names.indices.contains(Int(rawValue)) ? names[Int(rawValue)] : "type \(rawValue)"
    }
}
