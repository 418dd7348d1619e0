import EngineSupport

/// A table of sample files and what is right for them: class, text or numbers. With a header line or without.
struct FileTable: Sendable {
    let path: String
    /// Paths of the files.
    let files: [String]
    let content: Content
    /// What was assumed, for the user; `nil` if nothing.
    let note: String?

    enum Content: Sendable {
        case none
        /// Class names or numbers.
        case labels([String])
        case texts([String])
        /// What a column without a name holds.
        case unknown([String])
        /// Rows one after the other.
        case numbers([Float], width: Int)
    }

    private static let fileNames: Set<String> = [
        "file", "files", "path", "image", "images", "filename", "file_name", "filepath", "file_path", "image_path", "image_name", "img", "audio", "audio_path", "wav", "sound",
        "id",
        "image_id",
    ]
    private static let labelNames: Set<String> = ["label", "labels", "class", "target", "category", "class_id", "class_name"]
    private static let textNames: Set<String> = ["text", "transcript", "transcription", "sentence", "word", "words", "caption", "gt", "ground_truth"]

    /// - Parameters:
    ///   - columns: names of the columns, instead of those of a header line.
    ///   - folder: what paths are relative to; `nil`: the table's own folder.
    /// - Throws: `EngineError` in one line naming the row and what was expected.
    init(path: String, columns: [String], folder: String?, kind: SampleFileKind, wantsText: Bool) throws {
        self.path = path
        var rows: [[String]] = []
        var bytes = try InputFile.read(path)
        let header = bytes.prefix { $0 != UInt8(ascii: "\n") }
        // Transcripts have commas, names of files no tabs.
        let delimiter = header.contains(UInt8(ascii: "\t")) ? UInt8(ascii: "\t") : DelimitedText.delimiter(bytes)
        let isListed = !header.contains(delimiter)
        // Lists as 'name, "text"' are common; a space before a quotation mark is not CSV.
        if delimiter == UInt8(ascii: ",") { bytes = Self.withoutSpacesBeforeQuotes(bytes) }
        try DelimitedText.forEachRow(bytes, path: path, delimiter: delimiter, quotesTabbed: false) { fields in
            var fields = fields.map(DelimitedText.trimmed)
            // 'name label' with a space between them.
            if isListed, let line = fields.first, let space = line.firstIndex(of: " "), fields.count == 1 {
                fields = [String(line[..<space]), DelimitedText.trimmed(String(line[line.index(after: space)...]))]
            }
            guard fields.contains(where: { !$0.isEmpty }) else { return rows.append([]) }
            rows.append(fields)
        }
        guard let first = rows.first(where: { !$0.isEmpty }) else { throw EngineError(.data, "\(path): no rows") }

        let firstLower = first.map { $0.lowercased() }
        let fileLike = first.firstIndex { kind.contains($0) }
        var names: [String]
        var isHeaderSkipped = fileLike == nil
        var fileColumn: Int
        if !columns.isEmpty {
            guard columns.count == first.count else {
                throw EngineError(.data, "\(path): \(first.count) columns, 'columns' names \(columns.count)")
            }
            names = columns
            guard let column = columns.firstIndex(where: { Self.fileNames.contains($0.lowercased()) }) else {
                throw EngineError(.data, "\(path): 'columns' names none of them 'file'")
            }
            fileColumn = column
            // Names without an extension are told from a header by there being such a file.
            if !kind.contains(first[column]), Self.located(first[column], folder: folder ?? Self.parent(path), kind: kind) != nil { isHeaderSkipped = false }
        } else if let fileLike {
            (names, fileColumn) = (Array(repeating: "", count: first.count), fileLike)
        } else {
            names = first
            guard let column = firstLower.firstIndex(where: { Self.fileNames.contains($0) }) else {
                throw EngineError(
                    .data, "\(path): no column of files: expected a header with 'file' (or path, image, filename), or names of \(kind.name); found \(DelimitedText.listed(first))")
            }
            fileColumn = column
        }
        if isHeaderSkipped, let header = rows.firstIndex(where: { !$0.isEmpty }) { rows[header] = [] }

        let base = folder ?? Self.parent(path)
        var files: [String] = []
        var kept: [(line: Int, fields: [String])] = []
        for (index, fields) in rows.enumerated() where !fields.isEmpty {
            guard fields.count == first.count else {
                throw EngineError(.data, "\(path), row \(index + 1): \(fields.count) fields, the first row has \(first.count)")
            }
            guard let file = Self.located(fields[fileColumn], folder: base, kind: kind) else {
                throw EngineError(.data, "\(path), row \(index + 1): \(Self.joined(base, fields[fileColumn])): no such file")
            }
            files.append(file)
            kept.append((index + 1, fields))
        }
        guard !files.isEmpty else { throw EngineError(.data, "\(path): no rows below the header") }
        self.files = files
        (content, note) = try Self.content(kept, names: names, fileColumn: fileColumn, wantsText: wantsText, path: path)
    }

    private static func content(
        _ rows: [(line: Int, fields: [String])], names: [String], fileColumn: Int, wantsText: Bool, path: String
    ) throws -> (Content, String?) {
        func column(_ index: Int) -> [String] { rows.map { $0.fields[index] } }
        let lower = names.map { $0.lowercased() }
        let others = names.indices.filter { $0 != fileColumn }
        let text = others.first { textNames.contains(lower[$0]) }
        let label = others.first { labelNames.contains(lower[$0]) }
        if let text, wantsText || label == nil { return (.texts(column(text)), nil) }
        if let label { return (.labels(column(label)), nil) }
        guard let only = others.first else { return (.none, "\(path) has no column beside the files: no labels") }
        if others.count == 1, names[only].isEmpty { return (.unknown(column(only)), nil) }
        if others.count == 1, rows.contains(where: { Float($0.fields[only]) == nil }) {
            return (.texts(column(only)), "\(path): column '\(names[only])' is taken for text; under the name 'label' it would be classes")
        }
        var numbers: [Float] = []
        numbers.reserveCapacity(rows.count * others.count)
        for (line, fields) in rows {
            for index in others {
                guard let number = Float(fields[index]), number.isFinite else {
                    let name = names[index].isEmpty ? "\(index + 1)" : "'\(names[index])'"
                    throw EngineError(
                        .data,
                        "\(path), row \(line), column \(name): '\(fields[index].prefix(40))' is not a number; name the column that counts 'label' or 'text' (split key 'columns')")
                }
                numbers.append(number)
            }
        }
        return (.numbers(numbers, width: others.count), nil)
    }

    // MARK: Files

    private static func parent(_ path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }

    private static func joined(_ folder: String, _ name: String) -> String { name.hasPrefix("/") ? name : folder + "/" + name }

    /// The file of a name, which may lack its extension.
    private static func located(_ name: String, folder: String, kind: SampleFileKind) -> String? {
        guard !name.isEmpty, !name.utf8.contains(0) else { return nil }
        let path = joined(folder, name)
        if InputFile.exists(path), !InputFile.isDirectory(path) { return path }
        guard !kind.contains(name) else { return nil }
        return kind.extensions.sorted().map { path + "." + $0 }.first { InputFile.exists($0) }
    }

    private static func withoutSpacesBeforeQuotes(_ bytes: [UInt8]) -> [UInt8] {
        let (comma, space, quote) = (UInt8(ascii: ","), UInt8(ascii: " "), UInt8(ascii: "\""))
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var isQuoted = false
        for (index, byte) in bytes.enumerated() {
            if byte == quote { isQuoted.toggle() }
            if !isQuoted, byte == space, result.last == comma, index + 1 < bytes.count, bytes[index + 1] == quote { continue }
            result.append(byte)
        }
        return result
    }
}
