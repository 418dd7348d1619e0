import EngineSupport
import Metrics

/// What a model's inputs take of lines of token ids: rows of one length, filled up.
struct TokenColumns {
    let file: TokenFile
    let inputs: [ModelInputDescription]
    let preprocessing: TokenPreprocessing
    /// Tokens of a row.
    let length: Int
    /// The key of the token ids.
    private let idsKey: String

    private static let idNames = ["input_ids", "ids", "tokens", "token_ids"]

    /// - Throws: `EngineError` if a line has no token ids.
    init(file: TokenFile, inputs: [ModelInputDescription], preprocessing: TokenPreprocessing) throws {
        self.file = file
        self.inputs = inputs
        self.preprocessing = preprocessing
        // By the input's own name; else by the names tokenizers give.
        let named = inputs.map(\.name).filter { file.has($0) && !Self.isMade($0) }
        guard let key = (Self.idNames.filter { named.contains($0) } + named + Self.idNames.filter { file.has($0) }).first else {
            throw EngineError(.data, "\(file.path):\(file.lines[0]): no 'input_ids', nor another input of the model (\(inputs.map(\.name.shortened).joined(separator: ", ")))")
        }
        idsKey = key
        var longest = 0
        for (index, row) in file.rows.enumerated() {
            guard case .integers(let ids)? = row[key] else { throw file.fail(index, "'\(key)': expected a list of token ids") }
            longest = max(longest, ids.count)
        }
        let input = inputs.first { $0.name == key } ?? inputs.first
        let fixed = input?.sampleShape.flatMap { $0.count == 1 ? $0[0] : nil }
        if let fixed, let wanted = preprocessing.length, wanted != fixed {
            throw EngineError(.data, "\(file.path): length \(wanted), but input '\(input?.name.shortened ?? "")' takes \(fixed) tokens")
        }
        length = preprocessing.length ?? fixed ?? max(1, longest)
    }

    /// Whether lines need not have it.
    private static func isMade(_ name: String) -> Bool { name == "attention_mask" || name == "token_type_ids" || name == "position_ids" }

    /// The rows of one input.
    /// - Throws: `EngineError` naming the line whose value is not what the others are.
    func array(for input: ModelInputDescription) throws -> RawArray {
        let name = input.name
        if !file.has(name) {
            switch name {
            case "attention_mask": return try integers(input) { row, out in fill(out, Array(repeating: 1, count: min(length, ids(row).count)), with: 0) }
            case "token_type_ids": return try integers(input) { _, out in fill(out, [], with: 0) }
            case "position_ids": return try integers(input) { _, out in fill(out, Array(0..<length), with: 0) }
            default:
                // The one input that is left takes the token ids, whatever it is called.
                guard inputs.filter({ !file.has($0.name) && !Self.isMade($0.name) }).count == 1, !inputs.contains(where: { $0.name == idsKey }) else {
                    throw file.fail(0, "no '\(name)', an input of the model")
                }
                return try integers(input) { row, out in fill(out, ids(row), with: preprocessing.pad) }
            }
        }
        switch file.rows[0][name] {
        case .integer, .number: return try scalars(name)
        case .numbers: return try floats(name)
        default:
            return try integers(input) { row, out in
                guard case .integers(let values)? = file.rows[row][name] else { throw file.fail(row, "'\(name)': expected a list of whole numbers, as in line \(file.lines[0])") }
                fill(out, values, with: Self.isMade(name) ? 0 : preprocessing.pad)
            }
        }
    }

    private func ids(_ row: Int) -> [Int] {
        if case .integers(let ids)? = file.rows[row][idsKey] { ids } else { [] }
    }

    private func fill(_ out: UnsafeMutableBufferPointer<Int64>, _ values: [Int], with pad: Int) {
        let kept = min(out.count, values.count)
        for index in 0..<kept { out[index] = Int64(values[index]) }
        for index in kept..<out.count { out[index] = Int64(pad) }
    }

    private func integers(_ input: ModelInputDescription, _ row: (Int, UnsafeMutableBufferPointer<Int64>) throws -> Void) throws -> RawArray {
        let shape = [file.rows.count, length]
        let memory = try SampleMemory(byteCount: DataLimits.byteCount(shape: shape, type: .int64, file: file.path), what: file.path)
        let all = memory.mutableBytes.bindMemory(to: Int64.self)
        for index in file.rows.indices { try row(index, UnsafeMutableBufferPointer(rebasing: all[index * length..<(index + 1) * length])) }
        guard input.type == .bool else { return RawArray(type: .int64, shape: shape, memory: memory) }
        let flags = try SampleMemory(byteCount: shape[0] * length, what: file.path)
        for index in all.indices { flags.mutableBytes[index] = all[index] == 0 ? 0 : 1 }
        return RawArray(type: .bool, shape: shape, memory: flags)
    }

    /// One number a line.
    private func scalars(_ name: String) throws -> RawArray {
        let values = try file.rows.indices.map { row in
            switch file.rows[row][name] {
            case .integer(let value)?: Double(value)
            case .number(let value)?: value
            default: throw file.fail(row, "'\(name)': expected a number, as in line \(file.lines[0])")
            }
        }
        let isWhole = values.allSatisfy { Int64(exactly: $0) != nil }
        let memory = try SampleMemory(byteCount: values.count * 8, what: file.path)
        if isWhole {
            let out = memory.mutableBytes.bindMemory(to: Int64.self)
            for (index, value) in values.enumerated() { out[index] = Int64(exactly: value) ?? 0 }
        } else {
            let out = memory.mutableBytes.bindMemory(to: Double.self)
            for (index, value) in values.enumerated() { out[index] = value }
        }
        return RawArray(type: isWhole ? .int64 : .float64, shape: [values.count, 1], memory: memory)
    }

    /// Lists of numbers, all of one length.
    private func floats(_ name: String) throws -> RawArray {
        let rows = try file.rows.indices.map { row in
            switch file.rows[row][name] {
            case .numbers(let values)?: values
            case .integers(let values)?: values.map { Double($0) }
            default: throw file.fail(row, "'\(name)': expected a list of numbers, as in line \(file.lines[0])")
            }
        }
        let width = rows[0].count
        if let row = rows.firstIndex(where: { $0.count != width }) {
            throw file.fail(row, "'\(name)': \(rows[row].count) numbers, line \(file.lines[0]) has \(width)")
        }
        let shape = [rows.count, width]
        let memory = try SampleMemory(byteCount: DataLimits.byteCount(shape: shape, type: .float32, file: file.path), what: file.path)
        let out = memory.mutableBytes.bindMemory(to: Float.self)
        for (row, values) in rows.enumerated() {
            for (index, value) in values.enumerated() { out[row * width + index] = Float(value) }
        }
        return RawArray(type: .float32, shape: shape, memory: memory)
    }

    // MARK: Labels

    /// - Parameters:
    ///   - isLanguageModel: whether tokens are to be predicted, so that they are the labels where lines have none.
    /// - Returns: `nil` if there are no labels.
    func targets(rules: LabelRules, isLanguageModel: Bool) throws -> Targets? {
        guard let key = ["labels", "label"].first(where: { file.has($0) }) else {
            return isLanguageModel ? try classes(file.rows.indices.map { ids($0) }, width: length) : nil
        }
        for (row, values) in file.rows.enumerated() where values[key] == nil { throw file.fail(row, "no '\(key)', which other lines have") }
        let values = file.rows.map { $0[key] ?? .other }
        switch values[0] {
        case .integer, .number:
            let texts = try values.enumerated().map { row, value in
                switch value {
                case .integer(let number): "\(number)"
                case .number(let number): "\(number)"
                default: throw file.fail(row, "'\(key)': expected a number, as in line \(file.lines[0])")
                }
            }
            return try TextTargets.targets(texts, rules: LabelRules(wantsNumbers: rules.wantsNumbers), place: file.path)
        case .text:
            let texts = try values.enumerated().map { row, value in
                guard case .text(let text) = value else { throw file.fail(row, "'\(key)': expected text, as in line \(file.lines[0])") }
                return text
            }
            return try TextTargets.targets(texts, rules: rules, place: file.path)
        case .integers, .numbers:
            let lists = values.map { value -> [Double]? in
                switch value {
                case .integers(let list): list.map { Double($0) }
                case .numbers(let list): list
                default: nil
                }
            }
            if let row = lists.firstIndex(where: { $0 == nil }) { throw file.fail(row, "'\(key)': expected a list, as in line \(file.lines[0])") }
            let rows = lists.compactMap { $0 }
            let isWhole = values.allSatisfy { if case .integers = $0 { true } else { false } }
            if rules.wantsNumbers || !isWhole {
                let width = rows[0].count
                if let row = rows.firstIndex(where: { $0.count != width }) { throw file.fail(row, "'\(key)': \(rows[row].count) numbers, line \(file.lines[0]) has \(width)") }
                return Targets(numbers: rows.flatMap { $0.map { Float($0) } }, width: width)
            }
            // One a token, cut and filled up as tokens are; else a sequence of its own.
            let isPerToken = rows.indices.allSatisfy { rows[$0].count == ids($0).count }
            return try classes(rows.map { $0.compactMap { Int(exactly: $0) } }, width: isPerToken ? length : rows.map(\.count).max() ?? 0)
        case .other: throw file.fail(0, "'\(key)': expected a number, text, or a list of numbers")
        }
    }

    /// What fills up labels.
    private static let padding: Int32 = -100

    private func classes(_ rows: [[Int]], width: Int) throws -> Targets {
        _ = try DataLimits.byteCount(shape: [rows.count, width], type: .int32, file: file.path)
        var flat = [Int32](repeating: Self.padding, count: rows.count * width)
        for (row, values) in rows.enumerated() {
            for (index, value) in values.prefix(width).enumerated() {
                guard let label = Int32(exactly: value) else { throw file.fail(row, "label \(value) does not fit 32 bits") }
                flat[row * width + index] = label
            }
        }
        return Targets(
            kind: .classes, shape: [width], read: { [flat] in .classes(Array(flat[$0 * width..<($0 + 1) * width]), shape: [width]) },
            mix: { [flat] rows, digest in for row in rows { flat[row * width..<(row + 1) * width].withUnsafeBytes { digest.combine(bytes: $0) } } })
    }
}
