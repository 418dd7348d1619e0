import EngineSupport
import Foundation
import Metrics
import ModelGraph

/// The sources of arrays and tables, and what they have in common with those of files.
extension DatasetAssembly {
    // MARK: Sources

    mutating func source(_ split: DatasetDeclaration.Split) throws -> any SampleSource {
        if let known = sources[split.files] { return known }
        let source: any SampleSource =
            switch split.files {
            case .idx(let images, let labels, let labelsFile): try idx(images: images, labels: labels, labelsFile: labelsFile)
            case .npz(let file, let array, let labels, let labelsFile): try npz(file: file, array: array, labelName: labels, labelsFile: labelsFile)
            case .csv(let file, let label): try csv(file: file, label: label)
            case .images(let folder?, nil, _, nil): try images(folder: folder)
            case .images(let folder?, nil, _, let masks?): try images(folder: folder, masks: masks)
            case .images(let folder, let table, let columns, _): try images(table: table ?? "", columns: columns, folder: folder)
            case .coco(let annotations, let folder): try coco(annotations: annotations, folder: folder)
            case .yolo(let labels, let folder): try yolo(labels: labels, folder: folder)
            case .audio(let folder, nil, _): try audio(folder: folder ?? "")
            case .audio(let folder, let table?, let columns): try audio(table: table, columns: columns, folder: folder)
            case .tokens(let file): try tokens(file: file)
            }
        let complete = try declaration.constants.isEmpty ? source : ConstantInputs(source, declaration.constants, inputs: allInputs, place: declaration.file)
        sources[split.files] = complete
        return complete
    }

    /// The input that single-array formats fill.
    func onlyInput(_ file: String) throws -> ModelInputDescription {
        if let name = declaration.input {
            guard let input = inputs.first(where: { $0.name == name }) else {
                throw EngineError(
                    .data, "\(declaration.file): input '\(name)': the model has \(inputs.map { "'\($0.name.shortened)'" }.joined(separator: ", "))")
            }
            return input
        }
        guard inputs.count == 1 else {
            throw EngineError(
                .data, "\(file): the model has \(inputs.count) inputs (\(inputs.map(\.name.shortened).joined(separator: ", "))); an .npz can hold them all")
        }
        return inputs[0]
    }

    mutating func idx(images: String, labels: String?, labelsFile: String?) throws -> any SampleSource {
        let file = try IDXFile(path: images)
        var input = try onlyInput(images)
        if input.type == nil { input.type = .float32 }
        let preparation = try ArrayPreparation(
            type: file.type, rowShape: Array(file.shape.dropFirst()), input: input, preprocessing: declaration.preprocessing, place: images)
        var targets = try labels.map { labels in
            let labelFile = try IDXFile(path: labels)
            return try self.targets(labelFile.decode(), count: file.shape[0], place: labels, samples: images)
        }
        if let labelsFile { targets = try self.targets(file: labelsFile, count: file.shape[0], samples: images) }
        let column = ArraySource.Column(preparation: preparation, array: Lazily { try file.decode() }, file: try InputFile.identity(of: images))
        return try arrays([column], rowCount: file.shape[0], targets: targets, place: images)
    }

    mutating func npz(file path: String, array: String?, labelName: String?, labelsFile: String?) throws -> any SampleSource {
        let file = try NumPyFile(path: path)
        let names = file.arrays.map(\.name)
        let listed = names.filter { !$0.isEmpty }.joined(separator: ", ")
        let labelArray = labelsFile == nil ? labelName ?? names.first { ["labels", "label"].contains($0) } : nil
        if let labelArray, file.header(labelArray) == nil { throw EngineError(.data, "\(path): no array '\(labelArray)', found \(listed)") }

        // Which array fills which input: by name; or the one array there is, for a model of one input.
        var pairs: [(array: String, input: ModelInputDescription)] = []
        if let array {
            guard file.header(array) != nil else { throw EngineError(.data, "\(path): no array '\(array)', found \(listed)") }
            pairs = [(array, try onlyInput(path))]
        } else {
            for input in inputs where names.contains(input.name) { pairs.append((input.name, input)) }
            let candidates = file.arrays.filter { $0.name != labelArray && ($0.name.isEmpty || !$0.header.isText) }.map(\.name)
            if pairs.isEmpty, inputs.count == 1, candidates.count == 1 { pairs = [(candidates[0], inputs[0])] }
            guard pairs.count == inputs.count else {
                let missing = inputs.filter { input in !pairs.contains { $0.input == input } }.map { "'\($0.name)'" }
                throw EngineError(
                    .data,
                    "\(path): no array for input \(missing.joined(separator: ", ")) of the model, found \(listed.isEmpty ? "one without a name" : listed); "
                        + "'constants: {input: number}' gives inputs that are always the same, 'carry: {output: input}' a state")
            }
        }
        let identity = try InputFile.identity(of: path)
        let shapes = pairs.map { (input: $0.input, shape: file.header($0.array)?.shape ?? []) }
        let isOneCall = ArrayLayout.isOneCall(shapes)
        if isOneCall { notes.append("\(path): its arrays are what the model takes in one call, which is one sample") }
        var columns: [ArraySource.Column] = []
        var rowCount: Int?
        for pair in pairs {
            guard let header = file.header(pair.array) else { continue }
            let place = pair.array.isEmpty ? path : "\(path): array '\(pair.array)'"
            guard !header.isText else { throw EngineError(.data, "\(place): array of text, expected numbers or booleans for input '\(pair.input.name.shortened)'") }
            let shape = isOneCall ? [1] + header.shape : header.shape
            guard let rows = shape.first else { throw EngineError(.data, "\(place): a single number, expected rows of samples") }
            if let rowCount, rowCount != rows { throw EngineError(.data, "\(place): \(rows) rows, other inputs have \(rowCount)") }
            rowCount = rows
            let isWhole = ArrayLayout.isStacked(shape, for: pair.input)
            let preparation = try ArrayPreparation(
                type: header.type, rowShape: Array(shape.dropFirst()), input: isWhole ? pair.input.stacked : pair.input, isWhole: isWhole,
                // In a model of several inputs, `input` says which one is preprocessed.
                preprocessing: declaration.input.map { $0 == pair.input.name } ?? true ? declaration.preprocessing : Preprocessing(), place: place)
            let array = Lazily {
                var array = try file.decode(pair.array)
                array.shape = shape
                return array
            }
            columns.append(ArraySource.Column(preparation: preparation, array: array, file: identity))
        }
        var targets = try labelArray.map { try self.targets(file.decode($0), count: rowCount ?? 0, place: "\(path): array '\($0)'", samples: path) }
        if let labelsFile { targets = try self.targets(file: labelsFile, count: rowCount ?? 0, samples: path) }
        return try arrays(columns, rowCount: rowCount ?? 0, targets: targets, place: path)
    }

    mutating func csv(file path: String, label: String?) throws -> any SampleSource {
        let table = try CSVTable(path: path, label: label)
        let preparation = try ArrayPreparation(
            type: .float32, rowShape: table.features.rowShape, input: try onlyInput(path), preprocessing: declaration.preprocessing, place: path)
        let targets = try table.labelTexts.map { texts in try columnTargets(texts, place: path) { "\(path), row \($0 + 2)" } }
        if targets == nil { notes.append("\(path) has no label column (one of \(CSVTable.labelNames.joined(separator: ", "))): every column is a feature") }
        let features = table.features
        let column = ArraySource.Column(preparation: preparation, array: Lazily { features }, file: try InputFile.identity(of: path))
        return try arrays([column], rowCount: features.rowCount, targets: targets, place: path)
    }

    func arrays(_ columns: [ArraySource.Column], rowCount: Int, targets: Targets?, place: String) throws -> ArraySource {
        ArraySource(columns: columns, rowCount: rowCount, targets: try checked(targets, place: place), place: place, preprocessing: declaration.preprocessing)
    }
}

extension InputFile {
    static func identity(of path: String) throws -> FileIdentity {
        guard let identity = FileIdentity(path: path) else { throw EngineError(.data, "\(path): no such file") }
        return identity
    }
}
