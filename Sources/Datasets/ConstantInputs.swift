import EngineSupport
import Metrics
import ModelGraph

/// A source to which inputs are added that are the same for every sample.
struct ConstantInputs: SampleSource {
    private let base: any SampleSource
    private let constants: [(input: SampleInput, bytes: [UInt8])]

    /// - Parameters:
    ///   - declared: numbers by the name of the model's input: one for all elements, or each.
    ///   - inputs: all inputs of the model.
    ///   - steps: samples are sequences, whose steps all get the same.
    /// - Throws: `EngineError` for an input that the model has not, or numbers that do not fit it.
    init(_ base: any SampleSource, _ declared: [String: [Double]], inputs: [ModelInputDescription], place: String) throws(EngineError) {
        self.base = base
        var constants: [(SampleInput, [UInt8])] = []
        for (name, numbers) in declared.sorted(by: { $0.key < $1.key }) {
            guard let input = inputs.first(where: { $0.name == name }) else {
                throw EngineError(
                    .data, "\(place): constants: the model has no input '\(name.shortened)', it has \(inputs.map { "'\($0.name.shortened)'" }.joined(separator: ", "))")
            }
            guard let type = input.type else { throw EngineError(.data, "\(place): constants: the type of input '\(name.shortened)' is not known") }
            // A first extent that is open counts samples; everything else belongs to each of them.
            let isWhole = input.shape.map { $0.isEmpty || $0[0] != nil } ?? true
            let extents = input.shape.map { isWhole ? $0[...] : $0.dropFirst() } ?? []
            let open = extents.count { $0 == nil }
            let known = extents.reduce(1) { $0 * ($1 ?? 1) }
            guard open <= 1, numbers.count == 1 || open == 1 && known > 0 && numbers.count % known == 0 || open == 0 && numbers.count == known else {
                throw EngineError(.data, "\(place): constants: \(numbers.count) numbers for input '\(name.shortened)', expected 1\(open == 0 && known > 1 ? " or \(known)" : "")")
            }
            let shape = extents.map { $0 ?? max(numbers.count / max(known, 1), 1) }
            guard let count = shape.elementCount, count <= 1 << 24 else { throw EngineError(.data, "\(place): constants: input '\(name.shortened)' is too large to be filled") }
            var bytes: [UInt8] = []
            for index in 0..<count {
                guard let encoded = Self.encoded(numbers[numbers.count == 1 ? 0 : index], as: type) else {
                    throw EngineError(.data, "\(place): constants: \(numbers[numbers.count == 1 ? 0 : index]) does not fit \(type) of input '\(name.shortened)'")
                }
                bytes += encoded
            }
            constants.append((SampleInput(name: name, type: type, shape: shape, isWhole: isWhole, isShared: isWhole), bytes))
        }
        self.constants = constants
    }

    private static func encoded(_ value: Double, as type: SampleType) -> [UInt8]? {
        func bytes<T>(_ value: T?) -> [UInt8]? { value.map { withUnsafeBytes(of: $0) { Array($0) } } }
        return switch type {
        case .float32: bytes(Float(value))
        case .float16: bytes(Float16(value))
        case .float64: bytes(value)
        case .uint8: bytes(UInt8(exactly: value))
        case .bool: value == 0 || value == 1 ? bytes(UInt8(value)) : nil
        case .int8: bytes(Int8(exactly: value))
        case .uint16: bytes(UInt16(exactly: value))
        case .int16: bytes(Int16(exactly: value))
        case .uint32: bytes(UInt32(exactly: value))
        case .int32: bytes(Int32(exactly: value))
        case .uint64: bytes(UInt64(exactly: value))
        case .int64: bytes(Int64(exactly: value))
        }
    }

    var inputs: [SampleInput] { base.inputs + constants.map(\.input) }
    var rowCount: Int { base.rowCount }
    var targets: Targets? { base.targets }
    var place: String { base.place }

    func prepare(_ rows: ArraySlice<Int>, input: Int, into out: UnsafeMutableRawBufferPointer) throws {
        guard input >= base.inputs.count else { return try base.prepare(rows, input: input, into: out) }
        let bytes = constants[input - base.inputs.count].bytes
        for index in 0..<rows.count where !bytes.isEmpty {
            UnsafeMutableRawBufferPointer(rebasing: out[index * bytes.count..<(index + 1) * bytes.count]).copyBytes(from: bytes)
        }
    }

    func combineContent(of rows: [Int], into digest: inout ContentHash) throws {
        try base.combineContent(of: rows, into: &digest)
        for (input, bytes) in constants {
            digest.combine("\(input.name) is")
            bytes.withUnsafeBytes { digest.combine(bytes: $0) }
        }
    }

    func place(of row: Int) -> String { base.place(of: row) }

    func location(of rows: Range<Int>) -> SampleLocation { base.location(of: rows) }
}
