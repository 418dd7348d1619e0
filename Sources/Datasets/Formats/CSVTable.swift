import EngineSupport

/// A CSV file with a header line: one column of labels (numbers or class names), every other column a feature.
struct CSVTable: Sendable {
    let path: String
    /// Float32, rows × features.
    let features: RawArray
    let featureNames: [String]
    /// Text of the label column per row, if there is one.
    let labelTexts: [String]?

    /// Names a label column may have when none is declared, compared without case.
    static let labelNames = ["label", "labels", "class", "target"]

    /// - Parameters:
    ///   - label: the label column; `nil` looks for one of `labelNames` and does without if there is none.
    /// - Throws: `EngineError` in one line naming the line and the column.
    init(path: String, label: String?) throws {
        self.path = path
        let bytes = try InputFile.read(path, limit: DataLimits.fileBytes)
        var collector = Collector(path: path, label: label)
        try DelimitedText.forEachRow(bytes, path: path) { try collector.add($0) }
        let rows = collector.featureNames.isEmpty ? 0 : collector.values.count / collector.featureNames.count
        guard !collector.featureNames.isEmpty else { throw EngineError(.data, "\(path): no feature columns") }
        guard rows > 0 else { throw EngineError(.data, "\(path): no rows below the header") }
        let memory = try SampleMemory(byteCount: collector.values.count * 4, what: path)
        collector.values.withUnsafeBytes { memory.mutableBytes.copyMemory(from: $0) }
        features = RawArray(type: .float32, shape: [rows, collector.featureNames.count], memory: memory)
        featureNames = collector.featureNames
        labelTexts = collector.labelColumn == nil ? nil : collector.labels
    }

    /// Makes numbers of rows as they come.
    private struct Collector {
        let path: String
        let label: String?
        var featureNames: [String] = []
        var values: [Float] = []
        var labels: [String] = []
        var labelColumn: Int?
        var row = 0
        private var header: [String]?

        init(path: String, label: String?) {
            self.path = path
            self.label = label
        }

        mutating func add(_ fields: [String]) throws {
            row += 1
            guard let header else { return try begin(fields.map(DelimitedText.trimmed)) }
            if fields.count == 1, DelimitedText.trimmed(fields[0]).isEmpty { return }
            guard fields.count == header.count else {
                throw EngineError(.data, "\(path), row \(row): \(fields.count) fields, the header has \(header.count)")
            }
            for (column, field) in fields.enumerated() {
                let text = DelimitedText.trimmed(field)
                if column == labelColumn {
                    labels.append(text)
                } else if let value = Float(text) {
                    values.append(value)
                } else {
                    throw EngineError(.data, "\(path), row \(row), column '\(header[column])': '\(text.prefix(40))' is not a number")
                }
            }
        }

        private mutating func begin(_ header: [String]) throws {
            self.header = header
            if let label {
                guard let column = header.firstIndex(of: label) else {
                    throw EngineError(.data, "\(path): no column '\(label)', found \(DelimitedText.listed(header))")
                }
                labelColumn = column
            } else {
                labelColumn = header.firstIndex { CSVTable.labelNames.contains($0.lowercased()) }
            }
            let column = labelColumn
            featureNames = header == [""] ? [] : header.enumerated().filter { $0.offset != column }.map(\.element)
        }
    }
}
