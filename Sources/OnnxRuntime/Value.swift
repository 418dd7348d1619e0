import COnnxRuntime

/// A value that goes into or comes out of a session: nearly always a tensor, in row-major order.
///
/// `@unchecked Sendable`: type, shape and pointers never change after `init`. The bytes of a tensor are read and written
/// only under `access`, which admits many readers or one writer; a value without `access` is never written. The handle
/// itself may be used from any thread, and is released once, when the last reference goes.
public final class Value: @unchecked Sendable {
    /// What ONNX calls the type of a value.
    public enum Kind: Sendable, Hashable {
        case tensor, sequence, map, opaque, sparseTensor, optional
        /// An optional that holds nothing.
        case absent
        /// A kind this version of lathe does not know.
        case unknown

        init(_ type: ONNXType) {
            self =
                switch Int(type) {
                case Int(LATHE_ORT_TYPE_TENSOR): .tensor
                case Int(LATHE_ORT_TYPE_SEQUENCE): .sequence
                case Int(LATHE_ORT_TYPE_MAP): .map
                case Int(LATHE_ORT_TYPE_OPAQUE): .opaque
                case Int(LATHE_ORT_TYPE_SPARSE_TENSOR): .sparseTensor
                case Int(LATHE_ORT_TYPE_OPTIONAL): .optional
                default: .unknown
                }
        }
    }

    public let kind: Kind
    /// Nil for anything but tensors.
    public let elementType: ElementType?
    /// The size of each axis, outermost first; empty for a scalar, nil for anything but tensors.
    public let shape: [Int]?
    /// Bytes of the elements; 0 for strings and anything but tensors.
    public let byteCount: Int
    /// Whether the bytes may be written: false for memory lent as read-only, for slices, and for strings.
    public var isMutable: Bool { access != nil }

    public let library: RuntimeLibrary
    let handle: OpaquePointer
    /// Where the elements are; nil for strings and anything but tensors.
    private let memory: UnsafeMutableRawPointer?
    private let access: MemoryAccess?
    /// Whatever must live as long as the memory does.
    private let owner: (any Sendable)?

    /// Product of the shape; 1 for a scalar, 0 for anything but tensors.
    public var elementCount: Int { shape?.reduce(1, *) ?? 0 }

    /// Takes over `handle`, a tensor over `bytes`.
    init(
        tensor handle: OpaquePointer, elementType: ElementType, shape: [Int], bytes: UnsafeMutableRawBufferPointer,
        owner: (any Sendable)?, mutable: Bool, library: RuntimeLibrary
    ) {
        self.handle = handle
        self.library = library
        kind = .tensor
        self.elementType = elementType
        self.shape = shape
        byteCount = bytes.count
        memory = bytes.baseAddress
        access = mutable ? MemoryAccess() : nil
        self.owner = owner
    }

    /// Takes over `handle`, which the runtime made, whatever it is. It is released here if it cannot be described.
    init(adopting handle: OpaquePointer, library: RuntimeLibrary, doing: @autoclosure () -> String) throws(OnnxRuntimeError) {
        let described: Description
        do throws(OnnxRuntimeError) {
            described = try Description(of: handle, library: library, doing: doing())
        } catch {
            library.api.pointee.ReleaseValue(handle)
            throw error
        }
        self.handle = handle
        self.library = library
        kind = described.kind
        elementType = described.elementType
        shape = described.shape
        byteCount = described.byteCount
        memory = described.memory
        access = described.memory == nil ? nil : MemoryAccess()
        owner = nil
    }

    deinit { library.api.pointee.ReleaseValue(handle) }

    // MARK: Access

    static let readConflict = OnnxRuntimeError.valueInUse(reason: "a tensor was read while it was being written")
    static let writeConflict = OnnxRuntimeError.valueInUse(reason: "a tensor was to be written while it was in use")

    func beginReading() -> Bool { access?.beginReading() ?? true }
    func endReading() { access?.endReading() }
    func beginWriting() -> Bool { access?.beginWriting() ?? false }
    func endWriting() { access?.endWriting() }

    /// Calls `body` with the elements as they lie in memory, aligned to the element's size. The pointer must not
    /// outlive the call.
    ///
    /// - Throws: `.invalidValue` unless this is a tensor of something other than strings; `.valueInUse` while a run or
    ///   another thread writes it; what `body` throws.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        let bytes = try beginReadingBytes()
        defer { endReading() }
        return try body(bytes)
    }

    /// Calls `body` with the elements, to be changed in place.
    ///
    /// - Throws: `.invalidValue` unless this is a tensor whose memory may be written; `.valueInUse` while a run, a
    ///   slice, a session's initializers or another thread uses it; what `body` throws.
    public func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) throws -> R {
        try Self.withUnsafeMutableBytes(of: CollectionOfOne(self)) { try body($0[0]) }
    }

    /// Calls `body` with the elements of many tensors, in their order, to be changed in place.
    ///
    /// - Throws: as for one; a tensor that is there twice is in use.
    public static func withUnsafeMutableBytes<R>(of values: some Collection<Value>, _ body: ([UnsafeMutableRawBufferPointer]) throws -> R) throws -> R {
        var buffers: [UnsafeMutableRawBufferPointer] = []
        buffers.reserveCapacity(values.count)
        defer { for value in values.prefix(buffers.count) { value.endWriting() } }
        for value in values { buffers.append(try value.beginWritingBytes()) }
        return try withExtendedLifetime(values) { try body(buffers) }
    }

    /// The elements, to be given back with `endWriting`.
    private func beginWritingBytes() throws(OnnxRuntimeError) -> UnsafeMutableRawBufferPointer {
        let start = try bytesStart()
        guard isMutable else { throw .invalidValue(reason: "this tensor's memory is read-only") }
        guard beginWriting() else { throw Self.writeConflict }
        return UnsafeMutableRawBufferPointer(start: start, count: byteCount)
    }

    /// The elements, to be given back with `endReading`.
    func beginReadingBytes() throws(OnnxRuntimeError) -> UnsafeRawBufferPointer {
        let start = try bytesStart()
        guard beginReading() else { throw Self.readConflict }
        return UnsafeRawBufferPointer(start: start, count: byteCount)
    }

    private func bytesStart() throws(OnnxRuntimeError) -> UnsafeMutableRawPointer {
        guard let memory else { throw .invalidValue(reason: "\(typeDescription) has no plain bytes to read") }
        return memory
    }

    /// The type in ONNX's own words, such as `tensor(float)`.
    public var typeDescription: String {
        kind == .tensor ? "tensor(\(elementType.map { "\($0)" } ?? "unknown type"))" : "\(kind)"
    }
}

extension Value {
    /// What the runtime says about a value it made.
    private struct Description {
        var kind: Kind
        var elementType: ElementType?
        var shape: [Int]?
        var byteCount = 0
        var memory: UnsafeMutableRawPointer?

        init(of handle: OpaquePointer, library: RuntimeLibrary, doing: String) throws(OnnxRuntimeError) {
            let api = library.api
            var present: Int32 = 0
            try library.check(api.pointee.HasValue(handle, &present), doing: doing)
            guard present != 0 else {
                kind = .absent
                return
            }
            var type: ONNXType = 0
            try library.check(api.pointee.GetValueType(handle, &type), doing: doing)
            kind = Kind(type)
            guard kind == .tensor else { return }

            var information: OpaquePointer?
            try library.check(api.pointee.GetTensorTypeAndShape(handle, &information), doing: doing)
            guard let information else { return }
            defer { api.pointee.ReleaseTensorTypeAndShapeInfo(information) }
            var element: ONNXTensorElementDataType = 0
            try library.check(api.pointee.GetTensorElementType(information, &element), doing: doing)
            elementType = ElementType(rawValue: element)
            var rank = 0
            try library.check(api.pointee.GetDimensionsCount(information, &rank), doing: doing)
            var status: OpaquePointer?
            let extents = [Int](unsafeUninitializedCapacity: max(rank, 1)) { buffer, count in
                // Int and Int64 have one layout on every platform with 64-bit pointers, the only ones the runtime has.
                buffer.baseAddress?.withMemoryRebound(to: Int64.self, capacity: max(rank, 1)) { axes in
                    axes.initialize(repeating: 0, count: max(rank, 1))
                    status = api.pointee.GetDimensions(information, axes, rank)
                }
                count = rank
            }
            try library.check(status, doing: doing)
            shape = extents
            guard let elementType, elementType != .string,
                let elements = Value.elementCount(of: extents), let bytes = elementType.byteCount(elements: elements)
            else { return }
            var start: UnsafeMutableRawPointer?
            try library.check(api.pointee.GetTensorMutableData(handle, &start), doing: doing)
            // An empty tensor may have no address at all; it still has (no) bytes.
            memory = start ?? Value.noBytes
            byteCount = start == nil ? 0 : bytes
        }
    }

    /// Stands for the address of an empty tensor; never read or written.
    private nonisolated(unsafe) static let noBytes = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)

    /// Product of `shape`; nil when a size is negative or the product overflows.
    static func elementCount(of shape: [Int]) -> Int? {
        var count = 1
        for extent in shape {
            guard extent >= 0 else { return nil }
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow else { return nil }
            count = product
        }
        return count
    }
}
