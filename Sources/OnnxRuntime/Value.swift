import COnnxRuntime
import Foundation

/// A value of the runtime: a tensor over memory of its own, or over memory that somebody else keeps.
///
/// `@unchecked Sendable`: the handle is immutable after `init`, the runtime reads inputs only, and outputs are handed
/// out once, complete. Borrowed memory is kept alive and unchanged by `owner`.
public final class Value: @unchecked Sendable {
    let handle: OpaquePointer
    let library: RuntimeLibrary?
    private let table: UnsafePointer<OrtApi>
    private let owner: AnyObject?

    /// `nil` for values that are not tensors (sequences, maps, absent optionals).
    public let elementType: ElementType?
    /// Extents; `nil` for values that are not tensors.
    public let shape: [Int]?

    /// A tensor that views memory without copying it. The runtime never writes to inputs.
    /// - Throws: `.invalidValue` where bytes and shape disagree.
    public init(borrowing bytes: UnsafeRawBufferPointer, elementType: ElementType, shape: [Int], owner: AnyObject & Sendable) throws(OnnxRuntimeError) {
        let library = try RuntimeLibrary.load()
        let count = shape.reduce(1, *)
        guard let expected = elementType.byteCount(elements: count), expected == bytes.count else {
            throw .invalidValue(reason: "\(elementType) \(shape) does not fill \(bytes.count) bytes")
        }
        var handle: OpaquePointer?
        let extents = shape.map(Int64.init)
        let data = UnsafeMutableRawPointer(mutating: bytes.baseAddress) ?? UnsafeMutableRawPointer(bitPattern: 64)
        try library.check(
            library.api.CreateTensorWithDataAsOrtValue(
                library.processorMemory, data, bytes.count, extents, extents.count,
                elementType.rawValue, &handle), doing: "making a tensor")
        guard let handle else { throw .invalidValue(reason: "no tensor came back") }
        self.handle = handle
        self.library = library
        self.owner = owner
        table = library.table
        self.elementType = elementType
        self.shape = shape
    }

    /// Takes over a value the runtime made.
    init(taking handle: OpaquePointer, library: RuntimeLibrary) {
        self.handle = handle
        self.library = library
        table = library.table
        owner = nil
        (elementType, shape) = Self.describe(handle, library)
    }

    deinit { table.pointee.ReleaseValue(handle) }

    private static func describe(_ handle: OpaquePointer, _ library: RuntimeLibrary) -> (ElementType?, [Int]?) {
        let api = library.api
        var kind = ONNXType(0)
        if let status = api.GetValueType(handle, &kind) {
            api.ReleaseStatus(status)
            return (nil, nil)
        }
        // ONNX_TYPE_TENSOR
        guard kind == ONNXType(1) else { return (nil, nil) }
        var info: OpaquePointer?
        if let status = api.GetTensorTypeAndShape(handle, &info) {
            api.ReleaseStatus(status)
            return (nil, nil)
        }
        defer { api.ReleaseTensorTypeAndShapeInfo(info) }
        guard let info else { return (nil, nil) }
        var type = ONNXTensorElementDataType(0)
        var rank = 0
        if let status = api.GetTensorElementType(info, &type) { api.ReleaseStatus(status) }
        if let status = api.GetDimensionsCount(info, &rank) { api.ReleaseStatus(status) }
        var dims = [Int64](repeating: 0, count: rank)
        if let status = api.GetDimensions(info, &dims, rank) { api.ReleaseStatus(status) }
        return (ElementType(rawValue: Int32(type)), dims.map(Int.init))
    }

    /// The tensor's bytes, valid during the call.
    /// - Throws: `.invalidValue` for strings and values that are not tensors.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        guard let elementType, let shape, elementType != .string, let count = elementType.byteCount(elements: shape.reduce(1, *)) else {
            throw OnnxRuntimeError.invalidValue(reason: "the value is not a numeric tensor")
        }
        var data: UnsafeMutableRawPointer?
        if let status = table.pointee.GetTensorMutableData(handle, &data) {
            throw RuntimeLibrary.error(status, table, doing: "reading a tensor")
        }
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(start: data, count: count))
    }

    /// The elements as float32, whatever numeric type they have.
    public func floats() throws -> [Float] {
        try withUnsafeBytes { bytes in
            func convert<T: BitwiseCopyable>(_: T.Type, _ transform: (T) -> Float) -> [Float] { bytes.bindMemory(to: T.self).map(transform) }
            switch elementType {
            case .float?: return Array(bytes.bindMemory(to: Float.self))
            case .double?: return convert(Double.self) { Float($0) }
            case .float16?: return convert(UInt16.self) { Float(Float16(bitPattern: $0)) }
            case .bfloat16?: return convert(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
            case .int8?: return convert(Int8.self) { Float($0) }
            case .uint8?, .bool?: return convert(UInt8.self) { Float($0) }
            case .int16?: return convert(Int16.self) { Float($0) }
            case .uint16?: return convert(UInt16.self) { Float($0) }
            case .int32?: return convert(Int32.self) { Float($0) }
            case .uint32?: return convert(UInt32.self) { Float($0) }
            case .int64?: return convert(Int64.self) { Float($0) }
            case .uint64?: return convert(UInt64.self) { Float($0) }
            default: throw OnnxRuntimeError.invalidValue(reason: "a tensor of this type has no float values")
            }
        }
    }
}
