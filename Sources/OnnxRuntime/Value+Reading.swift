import COnnxRuntime

extension Value {
    /// The elements as they are.
    ///
    /// - Throws: `.invalidValue` when the tensor holds another type; nothing is converted.
    public func array<Scalar: TensorScalar>(of type: Scalar.Type = Scalar.self) throws(OnnxRuntimeError) -> [Scalar] {
        guard elementType == Scalar.elementType else {
            throw .invalidValue(reason: "\(typeDescription) was read as \(Scalar.elementType)")
        }
        let bytes = try beginReadingBytes()
        defer { endReading() }
        return [Scalar](bytes.assumingMemoryBound(to: Scalar.self))
    }

    /// The elements as `Float`, rounded to nearest where the type is wider. Truth values become 0 and 1.
    ///
    /// - Throws: `.invalidValue` for strings, complex numbers, float8, float4 and anything but tensors.
    public func floats() throws(OnnxRuntimeError) -> [Float] {
        if elementType == .float { return try array() }
        return try converted(FloatReader.self)
    }

    /// The elements as `Double`. Integers beyond 2^53 are rounded to nearest.
    public func doubles() throws(OnnxRuntimeError) -> [Double] {
        if elementType == .double { return try array() }
        return try converted(DoubleReader.self)
    }

    /// The elements of an integer or truth-value tensor.
    ///
    /// - Throws: `.invalidValue` for other types, and for unsigned numbers of 2^63 and above.
    public func integers() throws(OnnxRuntimeError) -> [Int64] {
        if elementType == .int64 { return try array() }
        if elementType == .uint64 {
            let wide: [UInt64] = try array()
            guard wide.allSatisfy({ $0 <= UInt64(Int64.max) }) else {
                throw .invalidValue(reason: "a uint64 above \(Int64.max) does not fit a signed integer")
            }
            return wide.map { Int64($0) }
        }
        return try converted(IntegerReader.self)
    }

    /// The elements of a tensor of strings; bytes that are not UTF-8 are repaired.
    public func strings() throws(OnnxRuntimeError) -> [String] {
        guard elementType == .string else { throw .invalidValue(reason: "\(typeDescription) holds no strings") }
        let count = elementCount
        guard count > 0 else { return [] }
        let doing = "reading a tensor of strings"
        var length = 0
        try library.check(library.api.pointee.GetStringTensorDataLength(handle, &length), doing: doing)
        var content = [UInt8](repeating: 0, count: max(length, 1))
        var offsets = [Int](repeating: 0, count: count)
        try library.check(
            library.api.pointee.GetStringTensorContent(handle, &content, length, &offsets, count), doing: doing)
        offsets.append(length)
        return zip(offsets, offsets.dropFirst()).map { start, end in
            String(decoding: content[start..<max(start, end)], as: UTF8.self)
        }
    }

    /// The elements of a sequence, or the keys and the values of a map as two tensors.
    ///
    /// - Throws: `.invalidValue` for other kinds.
    public func elements() throws(OnnxRuntimeError) -> [Value] {
        guard kind == .sequence || kind == .map else {
            throw .invalidValue(reason: "\(typeDescription) is neither a sequence nor a map")
        }
        let doing = "reading a \(kind)"
        var count = 0
        try library.check(library.api.pointee.GetValueCount(handle, &count), doing: doing)
        guard count <= Int32.max else { throw .invalidValue(reason: "\(doing): \(count) elements are too many") }
        var values: [Value] = []
        for index in 0..<count {
            var element: OpaquePointer?
            try library.check(
                library.api.pointee.GetValue(handle, Int32(index), library.allocator, &element), doing: doing)
            guard let element else { throw .invalidValue(reason: "\(doing): element \(index) is missing") }
            values.append(try Value(adopting: element, library: library, doing: doing))
        }
        return values
    }

    /// Reads every element through `Reader`, by type.
    private func converted<Reader: ElementReader>(_: Reader.Type) throws(OnnxRuntimeError) -> [Reader.Target] {
        let bytes = try beginReadingBytes()
        defer { endReading() }
        func each<Scalar: BitwiseCopyable>(_: Scalar.Type, _ convert: (Scalar) -> Reader.Target) -> [Reader.Target] {
            bytes.assumingMemoryBound(to: Scalar.self).map(convert)
        }
        /// Elements of `bits` bits, the first in the low bits of a byte.
        func packed(bits: Int, signed: Bool) -> [Reader.Target] {
            let perByte = 8 / bits
            return (0..<elementCount).map { index in
                let shifted = bytes[index / perByte] << (8 - bits * (index % perByte + 1))
                return signed
                    ? Reader.integer(Int8(bitPattern: shifted) >> (8 - bits)) : Reader.integer(shifted >> (8 - bits))
            }
        }
        switch elementType {
        case .bool: return each(UInt8.self) { Reader.integer($0 == 0 ? UInt8(0) : 1) }
        case .int8: return each(Int8.self, Reader.integer)
        case .uint8: return each(UInt8.self, Reader.integer)
        case .int16: return each(Int16.self, Reader.integer)
        case .uint16: return each(UInt16.self, Reader.integer)
        case .int32: return each(Int32.self, Reader.integer)
        case .uint32: return each(UInt32.self, Reader.integer)
        case .int64: return each(Int64.self, Reader.integer)
        case .uint64 where Reader.readsFractions: return each(UInt64.self, Reader.integer)
        case .int4: return packed(bits: 4, signed: true)
        case .uint4: return packed(bits: 4, signed: false)
        case .int2: return packed(bits: 2, signed: true)
        case .uint2: return packed(bits: 2, signed: false)
        case .float where Reader.readsFractions: return each(Float.self, Reader.fraction)
        case .double where Reader.readsFractions: return each(Double.self, Reader.fraction)
        #if !(os(macOS) && arch(x86_64))
        case .float16 where Reader.readsFractions: return each(Float16.self) { Reader.fraction(Float($0)) }
        #endif
        case .bfloat16 where Reader.readsFractions:
            return each(UInt16.self) { Reader.fraction(Float(bitPattern: UInt32($0) << 16)) }
        default:
            throw .invalidValue(reason: "\(typeDescription) cannot be read as \(Reader.Target.self)")
        }
    }
}

/// How elements of any type become one type.
private protocol ElementReader {
    associatedtype Target
    static var readsFractions: Bool { get }
    static func integer<I: BinaryInteger>(_ value: I) -> Target
    static func fraction<F: BinaryFloatingPoint>(_ value: F) -> Target
}

private enum FloatReader: ElementReader {
    static var readsFractions: Bool { true }
    @inline(__always) static func integer<I: BinaryInteger>(_ value: I) -> Float { Float(value) }
    @inline(__always) static func fraction<F: BinaryFloatingPoint>(_ value: F) -> Float { Float(value) }
}

private enum DoubleReader: ElementReader {
    static var readsFractions: Bool { true }
    @inline(__always) static func integer<I: BinaryInteger>(_ value: I) -> Double { Double(value) }
    @inline(__always) static func fraction<F: BinaryFloatingPoint>(_ value: F) -> Double { Double(value) }
}

private enum IntegerReader: ElementReader {
    static var readsFractions: Bool { false }
    @inline(__always) static func integer<I: BinaryInteger>(_ value: I) -> Int64 { Int64(truncatingIfNeeded: value) }
    /// Never reached: `readsFractions` is false.
    static func fraction<F: BinaryFloatingPoint>(_ value: F) -> Int64 { 0 }
}
