/// Loops over raw elements, specialized per type so that they vectorize. Sources are aligned to their element.
enum ElementConversion {
    /// out[i] = (source[i · step] · scale − mean) / std in float32, for `count` elements.
    static func affine(
        _ source: UnsafeRawPointer, type: SampleType, count: Int, step: Int, scale: Float, mean: Float, std: Float,
        into out: UnsafeMutablePointer<Float>
    ) {
        func run<T>(_: T.Type, _ value: (T) -> Float) {
            let elements = source.assumingMemoryBound(to: T.self)
            if step == 1 {
                for index in 0..<count { out[index] = (value(elements[index]) * scale - mean) / std }
            } else {
                for index in 0..<count { out[index] = (value(elements[index * step]) * scale - mean) / std }
            }
        }
        switch type {
        case .uint8, .bool: run(UInt8.self) { Float($0) }
        case .int8: run(Int8.self) { Float($0) }
        case .uint16: run(UInt16.self) { Float($0) }
        case .int16: run(Int16.self) { Float($0) }
        case .uint32: run(UInt32.self) { Float($0) }
        case .int32: run(Int32.self) { Float($0) }
        case .uint64: run(UInt64.self) { Float($0) }
        case .int64: run(Int64.self) { Float($0) }
        case .float16: run(Float16.self) { Float($0) }
        case .float32: run(Float.self) { $0 }
        case .float64: run(Double.self) { Float($0) }
        }
    }

    /// Floats into a floating-point type, rounded to nearest; whole numbers from 0 to 255 into bytes.
    static func store(_ values: UnsafeBufferPointer<Float>, as type: SampleType, into out: UnsafeMutableRawPointer) {
        func run<T>(_: T.Type, _ convert: (Float) -> T) {
            let elements = out.assumingMemoryBound(to: T.self)
            for index in values.indices { elements[index] = convert(values[index]) }
        }
        switch type {
        case .float16: run(Float16.self) { Float16($0) }
        case .float64: run(Double.self) { Double($0) }
        case .uint8: run(UInt8.self) { UInt8(max(0, min(255, $0))) }
        default: run(Float.self) { $0 }
        }
    }

    /// Whole numbers from one type into another; every value must fit.
    /// - Returns: the index of the first value that does not, or `nil`.
    static func integers(
        _ source: UnsafeRawPointer, type: SampleType, count: Int, as outType: SampleType, into out: UnsafeMutableRawPointer
    ) -> Int? {
        func write<S: FixedWidthInteger, T: FixedWidthInteger>(_: S.Type, _: T.Type) -> Int? {
            let from = source.assumingMemoryBound(to: S.self)
            let to = out.assumingMemoryBound(to: T.self)
            for index in 0..<count {
                guard let value = T(exactly: from[index]) else { return index }
                to[index] = value
            }
            return nil
        }
        func read<S: FixedWidthInteger>(_: S.Type) -> Int? {
            switch outType {
            case .uint8: write(S.self, UInt8.self)
            case .int8: write(S.self, Int8.self)
            case .uint16: write(S.self, UInt16.self)
            case .int16: write(S.self, Int16.self)
            case .uint32: write(S.self, UInt32.self)
            case .int32: write(S.self, Int32.self)
            case .uint64: write(S.self, UInt64.self)
            case .int64: write(S.self, Int64.self)
            default: 0
            }
        }
        return switch type {
        case .uint8, .bool: read(UInt8.self)
        case .int8: read(Int8.self)
        case .uint16: read(UInt16.self)
        case .int16: read(Int16.self)
        case .uint32: read(UInt32.self)
        case .int32: read(Int32.self)
        case .uint64: read(UInt64.self)
        case .int64: read(Int64.self)
        default: 0
        }
    }

    /// An array of whole numbers (or of floats that are whole) as `Int`s; `nil` at the first that is not.
    static func wholeNumbers(_ array: RawArray) -> [Int]? {
        let count = array.shape.elementCount ?? 0
        func collect<T>(_: T.Type, _ convert: (T) -> Int?) -> [Int]? {
            let elements = array.memory.bytes.bindMemory(to: T.self)
            var result: [Int] = []
            result.reserveCapacity(count)
            for index in 0..<count {
                guard let value = convert(elements[index]) else { return nil }
                result.append(value)
            }
            return result
        }
        return switch array.type {
        case .uint8, .bool: collect(UInt8.self) { Int($0) }
        case .int8: collect(Int8.self) { Int($0) }
        case .uint16: collect(UInt16.self) { Int($0) }
        case .int16: collect(Int16.self) { Int($0) }
        case .uint32: collect(UInt32.self) { Int($0) }
        case .int32: collect(Int32.self) { Int($0) }
        case .uint64: collect(UInt64.self) { Int(exactly: $0) }
        case .int64: collect(Int64.self) { Int($0) }
        case .float16: collect(Float16.self) { Int(exactly: $0) }
        case .float32: collect(Float.self) { Int(exactly: $0) }
        case .float64: collect(Double.self) { Int(exactly: $0) }
        }
    }
}
