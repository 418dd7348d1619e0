import EngineSupport

/// The header of a NumPy array file: magic, version (1, 2 or 3), and a Python dictionary with the element type, the
/// order and the shape.
struct NPYHeader: Sendable, Equatable {
    var type: SampleType
    var order: ByteOrder
    var isFortranOrder: Bool
    /// Of text with one more dimension, of its characters (uint32) or bytes (uint8).
    var shape: [Int]
    /// Whether elements are texts of one length, filled up with zeros.
    var isText = false
    /// Bytes before the data.
    var headerBytes: Int

    var dataBytes: Int { shape.reduce(type.byteWidth, *) }

    /// NumPy pads headers to 64 bytes; even hundreds of dimensions would stay far below this.
    private static let longestHeader = 64 << 10

    /// - Parameters:
    ///   - read: fills the buffer from the next bytes of the file and returns how many there were.
    ///   - file: for messages.
    /// - Throws: `EngineError` in one line.
    static func read(file: String, _ read: (UnsafeMutableRawBufferPointer) throws -> Int) throws -> NPYHeader {
        func exactly(_ count: Int) throws -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            let got = try bytes.withUnsafeMutableBytes { try read($0) }
            guard got == count else { throw EngineError(.data, "\(file): ends within the NumPy header") }
            return bytes
        }
        let start = try exactly(8)
        guard start[0] == 0x93, start[1..<6].elementsEqual("NUMPY".utf8) else { throw EngineError(.data, "\(file): not a NumPy array") }
        guard (1...3).contains(start[6]) else { throw EngineError(.data, "\(file): NumPy format version \(start[6]), expected 1 to 3") }
        let lengthBytes = try exactly(start[6] == 1 ? 2 : 4)
        let length = lengthBytes.reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= longestHeader else { throw EngineError(.data, "\(file): a NumPy header of \(length) bytes") }
        let text = String(decoding: try exactly(length), as: UTF8.self)
        var header = try PythonLiteral.arrayHeader(text, file: file)
        header.headerBytes = 8 + lengthBytes.count + length
        guard !header.isText || header.shape.count == 2 || !header.isFortranOrder else {
            throw EngineError(.data, "\(file): texts in column-major order of \(header.shape.count - 1) dimensions, expected one dimension")
        }
        _ = try DataLimits.byteCount(shape: header.shape, type: header.type, file: file)
        return header
    }

    fileprivate struct ElementType {
        var type: SampleType
        var order: ByteOrder
        /// Characters or bytes of a text; `nil` for numbers.
        var textLength: Int?
    }

    /// NumPy's type string, for example `<f4`.
    fileprivate static func elementType(_ text: String, file: String) throws -> ElementType {
        let types: [String: SampleType] = [
            "f2": .float16, "f4": .float32, "f8": .float64, "i1": .int8, "i2": .int16, "i4": .int32, "i8": .int64,
            "u1": .uint8, "u2": .uint16, "u4": .uint32, "u8": .uint64, "b1": .bool,
        ]
        var code = Substring(text)
        var order = ByteOrder.native
        if let mark = code.first, "<>=|".contains(mark) {
            code.removeFirst()
            if mark == "<" { order = .little } else if mark == ">" { order = .big }
        }
        if let type = types[String(code)] { return ElementType(type: type, order: order) }
        if let kind = code.first, "USa".contains(kind), let length = Int(code.dropFirst()), length >= 0 {
            return ElementType(type: kind == "U" ? .uint32 : .uint8, order: order, textLength: length)
        }
        let what: String
        switch code.first {
        case "O":
            throw EngineError(
                .data,
                "\(file): array of Python objects ('\(text)'), which only Python reads; save texts with np.array(texts, dtype=str), lists of different lengths filled up to one length"
            )
        case "M", "m": what = "dates"
        case "c": what = "complex numbers"
        default: what = "an element type lathe does not read"
        }
        throw EngineError(.data, "\(file): array of \(what) ('\(text)'), expected numbers, booleans or text")
    }
}

/// As much of Python's literal syntax as NumPy headers use.
private struct PythonLiteral {
    private var rest: Substring
    private let file: String

    static func arrayHeader(_ text: String, file: String) throws -> NPYHeader {
        var parser = PythonLiteral(rest: Substring(text), file: file)
        return try parser.dictionary()
    }

    private mutating func dictionary() throws -> NPYHeader {
        var element: NPYHeader.ElementType?
        var isFortran: Bool?
        var shape: [Int]?
        try expect("{")
        while !take("}") {
            let key = try string()
            try expect(":")
            switch key {
            case "descr":
                skipSpace()
                guard rest.first != "[" else { throw EngineError(.data, "\(file): an array of records, expected plain numbers") }
                element = try NPYHeader.elementType(try string(), file: file)
            case "fortran_order": isFortran = try boolean()
            case "shape": shape = try tuple()
            default: throw malformed("key '\(key)'")
            }
            if !take(",") {
                try expect("}")
                break
            }
        }
        guard let element, let isFortran, let shape else { throw malformed("a key is missing") }
        return NPYHeader(
            type: element.type, order: element.order, isFortranOrder: isFortran, shape: shape + (element.textLength.map { [$0] } ?? []), isText: element.textLength != nil,
            headerBytes: 0)
    }

    private mutating func skipSpace() { rest = rest.drop { $0.isWhitespace } }

    private mutating func take(_ character: Character) -> Bool {
        skipSpace()
        guard rest.first == character else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func expect(_ character: Character) throws {
        guard take(character) else { throw malformed("expected '\(character)'") }
    }

    private mutating func string() throws -> String {
        skipSpace()
        guard let quote = rest.first, quote == "'" || quote == "\"" else { throw malformed("expected text") }
        rest.removeFirst()
        guard let end = rest.firstIndex(of: quote) else { throw malformed("text without end") }
        defer { rest = rest[rest.index(after: end)...] }
        return String(rest[..<end])
    }

    private mutating func boolean() throws -> Bool {
        skipSpace()
        for (word, value) in [("True", true), ("False", false)] where rest.hasPrefix(word) {
            rest.removeFirst(word.count)
            return value
        }
        throw malformed("expected True or False")
    }

    private mutating func tuple() throws -> [Int] {
        var numbers: [Int] = []
        try expect("(")
        while !take(")") {
            skipSpace()
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int(digits) else { throw malformed("a dimension") }
            rest.removeFirst(digits.count)
            // Python 2 wrote long integers with a suffix.
            if rest.first == "L" { rest.removeFirst() }
            numbers.append(number)
            guard numbers.count <= DataLimits.rank else { throw malformed("more than \(DataLimits.rank) dimensions") }
            if !take(",") {
                try expect(")")
                break
            }
        }
        return numbers
    }

    private func malformed(_ what: String) -> EngineError { EngineError(.data, "\(file): malformed NumPy header: \(what)") }
}
