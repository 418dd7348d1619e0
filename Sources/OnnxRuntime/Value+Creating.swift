import COnnxRuntime

/// Every initializer takes the library that the sessions use which the value is for; without one, that is
/// `RuntimeLibrary.current()`.
extension Value {
    /// A tensor with a copy of `elements`.
    ///
    /// - Throws: `.invalidValue` when `shape` has another number of elements.
    public convenience init<Scalar: TensorScalar>(
        _ elements: [Scalar], shape: [Int], library: RuntimeLibrary? = nil
    ) throws(OnnxRuntimeError) {
        let memory = elements.withUnsafeBytes { OwnedMemory(copying: $0) }
        try self.init(owned: memory, elementType: Scalar.elementType, shape: shape, library: library)
    }

    /// A tensor of truth values.
    public convenience init(_ elements: [Bool], shape: [Int], library: RuntimeLibrary? = nil) throws(OnnxRuntimeError) {
        let memory = elements.map { $0 ? UInt8(1) : 0 }.withUnsafeBytes { OwnedMemory(copying: $0) }
        try self.init(owned: memory, elementType: .bool, shape: shape, library: library)
    }

    /// A tensor with a copy of `bytes`, in the machine's byte order (little endian wherever the runtime exists).
    ///
    /// - Throws: `.invalidValue` when `shape` needs another number of bytes, and for strings.
    public convenience init(
        bytes: UnsafeRawBufferPointer, elementType: ElementType, shape: [Int], library: RuntimeLibrary? = nil
    ) throws(OnnxRuntimeError) {
        try self.init(
            owned: OwnedMemory(copying: bytes), elementType: elementType, shape: shape, library: library)
    }

    /// A tensor with a copy of `bytes`.
    public convenience init(
        bytes: [UInt8], elementType: ElementType, shape: [Int], library: RuntimeLibrary? = nil
    ) throws(OnnxRuntimeError) {
        let memory = bytes.withUnsafeBytes { OwnedMemory(copying: $0) }
        try self.init(owned: memory, elementType: elementType, shape: shape, library: library)
    }

    /// A tensor of zeros, to be filled with `withUnsafeMutableBytes` or to receive a session's output.
    public convenience init(
        zeros elementType: ElementType, shape: [Int], library: RuntimeLibrary? = nil
    ) throws(OnnxRuntimeError) {
        let memory = OwnedMemory(count: try Self.byteCount(of: elementType, shape: shape))
        memory.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        try self.init(owned: memory, elementType: elementType, shape: shape, library: library)
    }

    /// A read-only tensor over memory that `owner` keeps alive, without a copy: a mapped file, a buffer shared by many
    /// models. Nobody may change the memory while the value lives.
    ///
    /// Memory that is not aligned to the element's size is copied after all, for kernels may assume that it is. In ONNX
    /// files that is common: nothing aligns `raw_data`. `sharesMemory(with:)` tells.
    public convenience init(
        borrowing memory: UnsafeRawBufferPointer, elementType: ElementType, shape: [Int], owner: any Sendable,
        library: RuntimeLibrary? = nil
    ) throws(OnnxRuntimeError) {
        // The runtime's interface has no constant pointer here; a value that is not mutable is never written to.
        try self.init(
            lent: UnsafeMutableRawBufferPointer(mutating: memory), owner: owner, mutable: false,
            elementType: elementType, shape: shape, library: library)
    }

    /// A tensor over memory that `owner` keeps alive and that the value may write, without a copy: a place for a session's
    /// output, or an input that is filled again for every run. While the value lives, the memory may be read or written
    /// by others only when no run and no access through the value is under way.
    ///
    /// - Throws: `.invalidValue` also for memory that is not aligned to the element's size.
    public convenience init(
        borrowingMutable memory: UnsafeMutableRawBufferPointer, elementType: ElementType, shape: [Int],
        owner: any Sendable, library: RuntimeLibrary? = nil
    ) throws(OnnxRuntimeError) {
        guard Self.isAligned(memory.baseAddress, for: elementType) else {
            throw .invalidValue(reason: "memory for \(elementType) is not aligned to \(elementType.byteWidth) bytes")
        }
        try self.init(
            lent: memory, owner: owner, mutable: true, elementType: elementType, shape: shape, library: library)
    }

    /// A tensor of strings. A string ends at its first zero byte: so does the runtime's interface.
    public convenience init(strings: [String], shape: [Int], library: RuntimeLibrary? = nil) throws(OnnxRuntimeError) {
        guard let count = Self.elementCount(of: shape), count == strings.count else {
            throw .invalidValue(reason: "\(strings.count) strings do not fill a tensor of shape \(shape)")
        }
        let doing = "making a tensor of strings"
        let library = try RuntimeLibrary.orCurrent(library)
        var handle: OpaquePointer?
        try library.check(
            library.api.pointee.CreateTensorAsOrtValue(
                library.allocator, shape.map(Int64.init), shape.count, ElementType.string.rawValue, &handle),
            doing: doing)
        guard let handle else { throw .invalidValue(reason: "\(doing): no tensor came back") }
        if count > 0 {
            // One block of zero-terminated strings, and a pointer to each.
            var block: [CChar] = []
            let starts = strings.map { string in
                defer { block += string.utf8CString }
                return block.count
            }
            let status = block.withUnsafeBufferPointer { block -> OpaquePointer? in
                guard let base = block.baseAddress else { return nil }
                return library.api.pointee.FillStringTensor(handle, starts.map { base + $0 }, count)
            }
            if let status {
                library.api.pointee.ReleaseValue(handle)
                throw RuntimeLibrary.error(status, library.api, doing: doing)
            }
        }
        try self.init(adopting: handle, library: library, doing: doing)
    }

    /// The rows `range` of the outermost axis, sharing this tensor's memory. This tensor stays alive, and cannot be
    /// written, as long as the slice lives.
    ///
    /// - Throws: `.invalidValue` for a scalar, a range out of bounds, strings, or rows that do not end on a whole byte.
    public func slice(rows range: Range<Int>) throws(OnnxRuntimeError) -> Value {
        guard let elementType, let shape, let rows = shape.first else {
            throw .invalidValue(reason: "\(typeDescription) has no rows")
        }
        guard range.lowerBound >= 0, range.upperBound <= rows else {
            throw .invalidValue(reason: "rows \(range) of a tensor with \(rows)")
        }
        let hold = try ReadHold(self)
        let bytes = try beginReadingBytes()
        defer { endReading() }
        let rowElements = elementCount / max(rows, 1)
        guard (rowElements * elementType.bitWidth).isMultiple(of: 8) || range == 0..<rows else {
            throw .invalidValue(reason: "rows of \(rowElements) \(elementType) do not end on whole bytes")
        }
        let part: UnsafeRawBufferPointer =
            if range == 0..<rows {
                bytes
            } else {
                UnsafeRawBufferPointer(
                    rebasing: bytes[
                        (range.lowerBound * rowElements * elementType.bitWidth / 8)..<(range.upperBound * rowElements
                            * elementType.bitWidth / 8)])
            }
        return try Value(
            borrowing: part, elementType: elementType, shape: [range.count] + shape.dropFirst(), owner: hold,
            library: library)
    }

    /// The same elements under another shape, sharing this tensor's memory as a slice does.
    public func reshaped(_ shape: [Int]) throws(OnnxRuntimeError) -> Value {
        guard let elementType else { throw .invalidValue(reason: "\(typeDescription) has no shape") }
        let hold = try ReadHold(self)
        let bytes = try beginReadingBytes()
        defer { endReading() }
        return try Value(borrowing: bytes, elementType: elementType, shape: shape, owner: hold, library: library)
    }

    /// Whether this tensor's elements lie within `memory`: false when they had to be copied.
    public func sharesMemory(with memory: UnsafeRawBufferPointer) throws(OnnxRuntimeError) -> Bool {
        let bytes = try beginReadingBytes()
        defer { endReading() }
        guard let start = bytes.baseAddress, let base = memory.baseAddress else { return false }
        return start >= base && start + bytes.count <= base + memory.count
    }

    // MARK: The ways to a handle

    private convenience init(
        owned memory: OwnedMemory, elementType: ElementType, shape: [Int], library: RuntimeLibrary?
    ) throws(OnnxRuntimeError) {
        try self.init(
            wrapping: memory.bytes, owner: memory, mutable: true, elementType: elementType, shape: shape,
            library: library)
    }

    private convenience init(
        lent memory: UnsafeMutableRawBufferPointer, owner: any Sendable, mutable: Bool, elementType: ElementType,
        shape: [Int], library: RuntimeLibrary?
    ) throws(OnnxRuntimeError) {
        if memory.baseAddress != nil, Self.isAligned(memory.baseAddress, for: elementType) {
            try self.init(
                wrapping: memory, owner: owner, mutable: mutable, elementType: elementType, shape: shape,
                library: library)
        } else {
            let copy = OwnedMemory(copying: UnsafeRawBufferPointer(memory))
            try self.init(
                wrapping: copy.bytes, owner: copy, mutable: mutable, elementType: elementType, shape: shape,
                library: library)
        }
    }

    private convenience init(
        wrapping memory: UnsafeMutableRawBufferPointer, owner: any Sendable, mutable: Bool, elementType: ElementType,
        shape: [Int], library: RuntimeLibrary?
    ) throws(OnnxRuntimeError) {
        let bytes = try Self.byteCount(of: elementType, shape: shape)
        guard bytes == memory.count else {
            throw .invalidValue(
                reason: "\(elementType) of shape \(shape) takes \(bytes) bytes, and there are \(memory.count)")
        }
        let library = try RuntimeLibrary.orCurrent(library)
        var handle: OpaquePointer?
        try library.check(
            library.api.pointee.CreateTensorWithDataAsOrtValue(
                library.processorMemory, memory.baseAddress, memory.count, shape.map(Int64.init), shape.count,
                elementType.rawValue, &handle),
            doing: "making a tensor of \(elementType), shape \(shape)")
        guard let handle else { throw .invalidValue(reason: "no tensor of \(elementType) came back") }
        self.init(
            tensor: handle, elementType: elementType, shape: shape, bytes: memory, owner: owner, mutable: mutable,
            library: library)
    }

    private static func byteCount(of elementType: ElementType, shape: [Int]) throws(OnnxRuntimeError) -> Int {
        guard let count = elementCount(of: shape), let bytes = elementType.byteCount(elements: count) else {
            throw .invalidValue(reason: "\(elementType) of shape \(shape) has no size in bytes")
        }
        return bytes
    }

    private static func isAligned(_ address: UnsafeMutableRawPointer?, for type: ElementType) -> Bool {
        // Complex numbers are two floats: aligned as one of them.
        let alignment = min(max(type.byteWidth, 1), 8)
        return UInt(bitPattern: address) % UInt(alignment) == 0
    }
}

extension OwnedMemory {
    convenience init(copying source: UnsafeRawBufferPointer) {
        self.init(count: source.count)
        bytes.copyMemory(from: source)
    }
}
