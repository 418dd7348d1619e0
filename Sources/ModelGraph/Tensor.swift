import Foundation

/// A constant tensor: element type, shape and shared immutable bytes in little-endian row-major order.
public struct Tensor: Sendable {
    public var name: String
    public let elementType: ElementType
    /// Dimensions, outermost first; empty for a scalar.
    public let dims: [Int]
    public let storage: TensorStorage
    /// Strings, for tensors of `ElementType.string` only; `storage` is then empty.
    public let strings: [Data]
    /// Document string, metadata and fields newer than this program, written back as they were read.
    var preserved = OnnxTensorProto()

    /// Number of elements.
    public var count: Int { dims.reduce(1, *) }

    /// - Throws: when `storage` does not hold exactly the elements that type and shape call for.
    public init(name: String, elementType: ElementType, dims: [Int], storage: TensorStorage) throws(ModelGraphError) {
        let expected = try Self.byteCount(name: name, elementType: elementType, dims: dims)
        guard storage.byteCount == expected else {
            throw ModelGraphError(
                .tensor, "tensor '\(name.shortened)': \(elementType) \(dims) needs \(expected) bytes, has \(storage.byteCount)")
        }
        self.name = name
        self.elementType = elementType
        self.dims = dims
        self.storage = storage
        strings = []
    }

    init(name: String, strings: [Data], dims: [Int]) throws(ModelGraphError) {
        let count = try Self.elementCount(name: name, dims: dims)
        guard count == strings.count else {
            throw ModelGraphError(.tensor, "tensor '\(name.shortened)': shape \(dims) needs \(count) strings, has \(strings.count)")
        }
        self.name = name
        elementType = .string
        self.dims = dims
        storage = TensorStorage(copying: [UInt8]())
        self.strings = strings
    }

    /// The same tensor under the same name with other contents; keeps what was preserved from the file.
    /// - Throws: when `storage` does not hold exactly the elements that type and shape call for.
    public func replacing(elementType: ElementType, dims: [Int], storage: TensorStorage) throws(ModelGraphError) -> Tensor {
        var tensor = try Tensor(name: name, elementType: elementType, dims: dims, storage: storage)
        tensor.preserved = preserved
        return tensor
    }

    /// Number of elements of a shape, with overflow and negative dimensions refused. Dimensions beside a zero may not overflow
    /// either: strides are their products.
    static func elementCount(name: String, dims: [Int]) throws(ModelGraphError) -> Int {
        guard let count = elementCount(dims.map { $0 == 0 ? 1 : $0 }) else {
            throw ModelGraphError(.tensor, "tensor '\(name.shortened)': impossible shape \(dims)")
        }
        return dims.contains(0) ? 0 : count
    }

    /// Product of dimensions that must be positive; `nil` if one is not, or on overflow.
    static func elementCount(_ dims: [Int]) -> Int? {
        var count = 1
        for extent in dims {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard extent > 0, !overflow else { return nil }
            count = product
        }
        return count
    }

    static func byteCount(name: String, elementType: ElementType, dims: [Int]) throws(ModelGraphError) -> Int {
        guard let bytes = elementType.byteCount(of: try elementCount(name: name, dims: dims)) else {
            throw ModelGraphError(.tensor, "tensor '\(name.shortened)': element type \(elementType) is not supported")
        }
        return bytes
    }
}

// MARK: - Making tensors from Swift values

extension Tensor {
    /// A float32 tensor. The count must match the shape: that is the caller's contract, checked.
    public init(name: String, floats: [Float], dims: [Int]) {
        self.init(trusted: name, .float32, dims, TensorStorage(copying: floats), floats.count)
    }

    public init(name: String, int64s: [Int64], dims: [Int]) {
        self.init(trusted: name, .int64, dims, TensorStorage(copying: int64s), int64s.count)
    }

    public init(name: String, int32s: [Int32], dims: [Int]) {
        self.init(trusted: name, .int32, dims, TensorStorage(copying: int32s), int32s.count)
    }

    public init(name: String, int8s: [Int8], dims: [Int]) {
        self.init(trusted: name, .int8, dims, TensorStorage(copying: int8s), int8s.count)
    }

    public init(name: String, uint8s: [UInt8], dims: [Int]) {
        self.init(trusted: name, .uint8, dims, TensorStorage(copying: uint8s), uint8s.count)
    }

    public init(name: String, float16s: [Float16], dims: [Int]) {
        self.init(trusted: name, .float16, dims, TensorStorage(copying: float16s), float16s.count)
    }

    /// A bfloat16 tensor of float values rounded to nearest, ties to even.
    public init(name: String, bfloat16s: [Float], dims: [Int]) {
        self.init(trusted: name, .bfloat16, dims, TensorStorage(copying: bfloat16s.map(bfloat16Bits)), bfloat16s.count)
    }

    private init(trusted name: String, _ elementType: ElementType, _ dims: [Int], _ storage: TensorStorage, _ count: Int) {
        precondition(dims.reduce(1, *) == count, "tensor '\(name)': \(count) elements do not fill \(dims)")
        self.name = name
        self.elementType = elementType
        self.dims = dims
        self.storage = storage
        strings = []
    }

    /// The same name, type and shape with other float values, rounded to this tensor's own floating-point type.
    public func withFloats(_ values: [Float], dims newDims: [Int]? = nil) -> Tensor {
        let dims = newDims ?? self.dims
        var result: Tensor
        switch elementType {
        case .float16:
            result = Tensor(name: name, float16s: values.map { Float16($0) }, dims: dims)
        case .float64:
            result = Tensor(trusted: name, .float64, dims, TensorStorage(copying: values.map(Double.init)), values.count)
        case .bfloat16:
            result = Tensor(trusted: name, .bfloat16, dims, TensorStorage(copying: values.map(bfloat16Bits)), values.count)
        default:
            result = Tensor(name: name, floats: values, dims: dims)
        }
        result.preserved = preserved
        return result
    }

    public func renamed(_ name: String) -> Tensor {
        var copy = self
        copy.name = name
        return copy
    }

    /// The same bytes under another shape of as many elements.
    public func reshaped(_ dims: [Int]) throws(ModelGraphError) -> Tensor {
        try replacing(elementType: elementType, dims: dims, storage: storage)
    }
}

/// Rounds to bfloat16, ties to even.
private func bfloat16Bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
}

// MARK: - Reading values

extension Tensor {
    /// The elements as float32, whatever numeric type they are stored in; `nil` for strings, complex and types this
    /// program cannot read.
    public func floats() -> [Float]? {
        let bytes = storage.bytes
        func convert<T: BitwiseCopyable>(_: T.Type, _ transform: (T) -> Float) -> [Float] {
            [Float](unsafeUninitializedCapacity: count) { out, initialized in
                let stride = MemoryLayout<T>.stride
                for index in 0..<count { out.initializeElement(at: index, to: transform(bytes.loadUnaligned(fromByteOffset: index * stride, as: T.self))) }
                initialized = count
            }
        }
        switch elementType {
        case .float32:
            return [Float](unsafeUninitializedCapacity: count) { out, initialized in
                UnsafeMutableRawBufferPointer(out).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[0..<(count * 4)]))
                initialized = count
            }
        case .float16: return convert(UInt16.self) { Float(Float16(bitPattern: $0)) }
        case .bfloat16: return convert(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
        case .float64: return convert(Double.self) { Float($0) }
        case .int8: return convert(Int8.self) { Float($0) }
        case .uint8, .bool: return convert(UInt8.self) { Float($0) }
        case .int16: return convert(Int16.self) { Float($0) }
        case .uint16: return convert(UInt16.self) { Float($0) }
        case .int32: return convert(Int32.self) { Float($0) }
        case .uint32: return convert(UInt32.self) { Float($0) }
        case .int64: return convert(Int64.self) { Float($0) }
        case .uint64: return convert(UInt64.self) { Float($0) }
        case .int4, .uint4:
            let signed = elementType == .int4
            return (0..<count).map { index in
                let nibble = (bytes[index / 2] >> (index % 2 == 0 ? 0 : 4)) & 0x0F
                return signed && nibble > 7 ? Float(nibble) - 16 : Float(nibble)
            }
        default: return nil
        }
    }

    /// The elements as integers (shapes, axes, indices); `nil` if they are not integers.
    public func integers() -> [Int]? {
        let bytes = storage.bytes
        switch elementType {
        case .int64: return (0..<count).map { Int(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
        case .int32: return (0..<count).map { Int(bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)) }
        case .int8: return (0..<count).map { Int(Int8(bitPattern: bytes[$0])) }
        case .uint8, .bool: return (0..<count).map { Int(bytes[$0]) }
        case .int16: return (0..<count).map { Int(bytes.loadUnaligned(fromByteOffset: $0 * 2, as: Int16.self)) }
        case .uint16: return (0..<count).map { Int(bytes.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)) }
        case .int4: return (0..<count).map { (Int(bytes[$0 / 2] >> (4 * UInt8($0 % 2)) & 15) ^ 8) - 8 }
        case .uint4: return (0..<count).map { Int(bytes[$0 / 2] >> (4 * UInt8($0 % 2)) & 15) }
        case .int2: return (0..<count).map { (Int(bytes[$0 / 4] >> (2 * UInt8($0 % 4)) & 3) ^ 2) - 2 }
        case .uint2: return (0..<count).map { Int(bytes[$0 / 4] >> (2 * UInt8($0 % 4)) & 3) }
        default: return nil
        }
    }

    /// Calls `body` with the float32 elements in place, without a copy where they are aligned float32.
    public func withFloats<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R? {
        if elementType == .float32, let base = storage.bytes.baseAddress, Int(bitPattern: base) % 4 == 0 {
            return try body(UnsafeBufferPointer(start: base.assumingMemoryBound(to: Float.self), count: count))
        }
        guard let copy = floats() else { return nil }
        return try copy.withUnsafeBufferPointer(body)
    }

    /// Calls `body` with the float32 elements in runs, in order, and lets go of the pages of each run behind it. Other types come
    /// in one run, converted.
    public func forEachFloatRun(_ body: (UnsafeBufferPointer<Float>) throws -> Void) rethrows {
        try withFloats { floats in
            let run = TensorStorage.passSlice / MemoryLayout<Float>.stride
            for start in stride(from: 0, to: floats.count, by: run) {
                let end = min(start + run, floats.count)
                try body(UnsafeBufferPointer(rebasing: floats[start..<end]))
                if elementType == .float32, end < floats.count { storage.releasePages(before: end * MemoryLayout<Float>.stride) }
            }
        }
    }

    /// Whether type, shape and values are the same.
    package func isEqual(to other: Tensor) -> Bool { elementType == other.elementType && dims == other.dims && contentHash == other.contentHash }

    /// Hash of type, shape and bytes (not of the name).
    public var contentHash: ContentHash {
        var hash = ContentHash()
        hash.combine(Int(elementType.rawValue))
        for extent in dims { hash.combine(extent) }
        if elementType == .string {
            for string in strings { string.withUnsafeBytes { hash.combine(bytes: $0) } }
        } else {
            hash.combine(storage.contentHash)
        }
        return hash
    }
}
