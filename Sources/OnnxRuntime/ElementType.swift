extension Value {
    /// The element types of ONNX tensors. Raw values are those of ONNX Runtime's C interface, which from 24 on differ
    /// from the numbers in ONNX files: convert those with `init(onnxDataType:)`.
    public enum ElementType: Int32, Sendable, Hashable, CaseIterable {
        case float = 1
        case uint8, int8, uint16, int16, int32, int64
        case string, bool
        case float16, double
        case uint32, uint64
        case complex64, complex128
        case bfloat16
        case float8e4m3fn, float8e4m3fnuz, float8e5m2, float8e5m2fnuz
        case uint4, int4
        case float4e2m1
        case uint2, int2
        case float8e8m0

        /// The type that `TensorProto.DataType` numbers so in an ONNX file; nil for 0 (undefined) and unknown numbers.
        public init?(onnxDataType: Int) {
            switch onnxDataType {
            case 1...23: self.init(rawValue: Int32(onnxDataType))
            case 24: self = .float8e8m0
            case 25: self = .uint2
            case 26: self = .int2
            default: return nil
            }
        }

        /// The number of this type in `TensorProto.DataType`.
        public var onnxDataType: Int {
            switch self {
            case .float8e8m0: 24
            case .uint2: 25
            case .int2: 26
            default: Int(rawValue)
            }
        }

        /// Bits per element in memory; 0 for strings, which have no fixed size. Types narrower than a byte are packed,
        /// first element in the low bits.
        public var bitWidth: Int {
            switch self {
            case .string: 0
            case .uint2, .int2: 2
            case .uint4, .int4, .float4e2m1: 4
            case .uint8, .int8, .bool, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0: 8
            case .uint16, .int16, .float16, .bfloat16: 16
            case .float, .int32, .uint32: 32
            case .double, .int64, .uint64, .complex64: 64
            case .complex128: 128
            }
        }

        /// Bytes of one element, at least 1; 0 for strings. Memory handed to the runtime is aligned to this.
        public var byteWidth: Int { (bitWidth + 7) / 8 }

        /// Bytes of `count` elements, packed; nil when that overflows, when `count` is negative, and for strings.
        public func byteCount(elements count: Int) -> Int? {
            guard self != .string, count >= 0 else { return nil }
            if bitWidth < 8 {
                let perByte = 8 / bitWidth
                return count / perByte + (count % perByte == 0 ? 0 : 1)
            }
            let (bytes, overflow) = count.multipliedReportingOverflow(by: byteWidth)
            return overflow ? nil : bytes
        }
    }
}

/// A Swift type that lies in memory exactly as elements of an ONNX tensor do.
public protocol TensorScalar: BitwiseCopyable, Sendable {
    static var elementType: Value.ElementType { get }
}

extension Float: TensorScalar { public static var elementType: Value.ElementType { .float } }
extension Double: TensorScalar { public static var elementType: Value.ElementType { .double } }
extension Int8: TensorScalar { public static var elementType: Value.ElementType { .int8 } }
extension Int16: TensorScalar { public static var elementType: Value.ElementType { .int16 } }
extension Int32: TensorScalar { public static var elementType: Value.ElementType { .int32 } }
extension Int64: TensorScalar { public static var elementType: Value.ElementType { .int64 } }
extension UInt8: TensorScalar { public static var elementType: Value.ElementType { .uint8 } }
extension UInt16: TensorScalar { public static var elementType: Value.ElementType { .uint16 } }
extension UInt32: TensorScalar { public static var elementType: Value.ElementType { .uint32 } }
extension UInt64: TensorScalar { public static var elementType: Value.ElementType { .uint64 } }
#if !(os(macOS) && arch(x86_64))
extension Float16: TensorScalar { public static var elementType: Value.ElementType { .float16 } }
#endif
