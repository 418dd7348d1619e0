import EngineSupport
import Foundation
import Metrics
import ModelGraph

/// From a declaration to splits: opens files, checks that everything fits together and that splits are disjoint.
struct DatasetAssembly {
    private let declaration: DatasetDeclaration
    private let path: String
    /// Inputs that samples fill.
    private let inputs: [ModelInputDescription]
    private let allInputs: [ModelInputDescription]
    private var notes: [String]
    /// By files, so that splits of one file share what is decoded of it.
    private var sources: [DatasetDeclaration.Files: any SampleSource] = [:]
    private var classNames: [String]

    init(_ declaration: DatasetDeclaration, path: String, inputs: [ModelInputDescription], notes: [String]) {
        self.declaration = declaration
        self.path = path
        allInputs = inputs
        // Of the others samples say nothing. What is carried on from step to step leaves sequences: one more dimension, of steps, behind the batch.
        let given = Set(declaration.constants.keys).union(declaration.carry.values)
        self.inputs = inputs.filter { !given.contains($0.name) }.map { input in
            guard !declaration.carry.isEmpty, let shape = input.shape, let batch = shape.first else { return input }
            var sequence = input
            sequence.shape = [batch, nil] + shape.dropFirst()
            return sequence
        }
        self.notes = notes
        classNames = declaration.classes
    }

    func dataset() throws -> Dataset {
        var assembly = self
        var splits: [SplitName: DatasetSplit] = [:]
        if let source = declaration.source {
            splits = try assembly.divided(source)
        } else if declaration.splits.count == 1, let only = declaration.splits[.validation] {
            assembly.notes.append("only validation data is declared: it is divided into validation, calibration and test")
            splits = try assembly.divided(only)
        } else {
            var places: [(name: SplitName, source: any SampleSource, location: SampleLocation)] = []
            for name in SplitName.allCases {
                guard let split = declaration.splits[name] else { continue }
                if split.isOptional, let missing = split.files.paths.first(where: { !InputFile.exists($0) }) {
                    assembly.notes.append("no \(name.rawValue) split: \(missing) is not there")
                    continue
                }
                let source = try assembly.source(split)
                let rows = try assembly.rows(split, of: source)
                places.append((name, source, source.location(of: rows)))
                splits[name] = DatasetSplit(name: name, source: source, rows: Array(rows))
            }
            try assembly.checkDisjoint(places)
        }
        return try assembly.finished(splits)
    }

    // MARK: Splits

    private func place(_ split: DatasetDeclaration.Split) -> String {
        declaration.file.isEmpty ? "" : "\(declaration.file):\(split.line): "
    }

    private func rows(_ split: DatasetDeclaration.Split, of source: any SampleSource) throws -> Range<Int> {
        guard source.rowCount > 0 else { throw EngineError(.data, "\(source.place): holds no samples") }
        guard let range = split.range else { return 0..<source.rowCount }
        guard range.upperBound <= source.rowCount else {
            throw EngineError(
                .data, "\(place(split))range [\(range.lowerBound), \(range.upperBound)], but \(source.place) has \(source.rowCount) samples")
        }
        return range
    }

    /// One source cut into splits by a shuffle that depends only on the seed and the number of rows.
    private mutating func divided(_ split: DatasetDeclaration.Split) throws -> [SplitName: DatasetSplit] {
        let source = try source(split)
        let range = try rows(split, of: source)
        var generator = SeededGenerator(seed: declaration.seed)
        let order = generator.permutation(range.count).map { $0 + range.lowerBound }
        let fractions = declaration.fractions
        var taken = 0
        var splits: [SplitName: DatasetSplit] = [:]
        // Validation comes last and takes what rounding leaves.
        for (name, fraction) in [(SplitName.train, fractions.train), (.calibration, fractions.calibration), (.test, fractions.test)] {
            let size = min(order.count - taken - 1, Int((Double(order.count) * fraction).rounded()))
            guard size > 0 else { continue }
            splits[name] = DatasetSplit(name: name, source: source, rows: order[taken..<taken + size].sorted())
            taken += size
        }
        let share = fractions.train + fractions.calibration + fractions.test + fractions.validation
        let wanted = share < 1 - 1e-9 ? max(1, Int((Double(order.count) * fractions.validation).rounded())) : order.count
        let size = min(order.count - taken, wanted)
        splits[.validation] = DatasetSplit(name: .validation, source: source, rows: order[taken..<taken + size].sorted())
        return splits
    }

    private func checkDisjoint(_ places: [(name: SplitName, source: any SampleSource, location: SampleLocation)]) throws {
        for (index, first) in places.enumerated() {
            for second in places[(index + 1)...] where first.location.overlaps(second.location) {
                let line = declaration.splits[second.name].map(place) ?? ""
                throw EngineError(.data, "\(line)splits \(first.name.rawValue) and \(second.name.rawValue) overlap in \(second.source.place)")
            }
        }
    }

    private mutating func finished(_ splits: [SplitName: DatasetSplit]) throws -> Dataset {
        guard let validation = splits[.validation] else { throw EngineError(.data, "\(path): no validation split") }
        let wanted = declaration.metric
        var metric = wanted ?? Self.likelyMetric(validation.targets?.kind)
        if metric.needsLabels, validation.targets == nil {
            notes.append("no labels for validation: agreement with the original model is measured instead of \(metric.title)")
            metric = .agreement
        }
        let first = validation.inputs
        for name in SplitName.allCases {
            guard let split = splits[name], split.inputs != first else { continue }
            throw EngineError(.data, "\(split.source.place): samples of \(name.rawValue) differ in shape or type from those of validation")
        }
        return Dataset(
            name: declaration.name, path: path, metric: metric, metricOptions: declaration.metricOptions, isMetricAssumed: wanted == nil || wanted != metric,
            constants: declaration.constants, carry: declaration.carry, classes: classNames, notes: notes, validation: validation,
            calibration: splits[.calibration], test: splits[.test], train: splits[.train])
    }

    /// What labels of a kind are for, as long as the model's outputs are not known.
    private static func likelyMetric(_ kind: Targets.Kind?) -> MetricKind {
        switch kind {
        case .label: .top1
        case .numbers: .rmse
        case .classes: .frameAccuracy
        case .text: .exactMatch
        case .boxes: .detectionMAP
        case nil: .agreement
        }
    }

    // MARK: Sources

    private mutating func source(_ split: DatasetDeclaration.Split) throws -> any SampleSource {
        if let known = sources[split.files] { return known }
        let source: any SampleSource =
            switch split.files {
            case .idx(let images, let labels): try idx(images: images, labels: labels)
            case .npz(let file, let array, let labels): try npz(file: file, array: array, labelName: labels)
            case .csv(let file, let label): try csv(file: file, label: label)
            case .images(let folder): try images(folder: folder)
            }
        let complete = try declaration.constants.isEmpty ? source : ConstantInputs(source, declaration.constants, inputs: allInputs, place: declaration.file)
        sources[split.files] = complete
        return complete
    }

    /// The input that single-array formats fill.
    private func onlyInput(_ file: String) throws -> ModelInputDescription {
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

    private mutating func idx(images: String, labels: String?) throws -> any SampleSource {
        let file = try IDXFile(path: images)
        var input = try onlyInput(images)
        if input.type == nil { input.type = .float32 }
        let preparation = try ArrayPreparation(
            type: file.type, rowShape: Array(file.shape.dropFirst()), input: input, preprocessing: declaration.preprocessing, place: images)
        let targets = try labels.map { labels in
            let labelFile = try IDXFile(path: labels)
            return try self.targets(labelFile.decode(), count: file.shape[0], place: labels, samples: images)
        }
        let column = ArraySource.Column(preparation: preparation, array: Lazily { try file.decode() }, file: try InputFile.identity(of: images))
        return try arrays([column], rowCount: file.shape[0], targets: targets, place: images)
    }

    private mutating func npz(file path: String, array: String?, labelName: String?) throws -> any SampleSource {
        let file = try NumPyFile(path: path)
        let names = file.arrays.map(\.name)
        let listed = names.filter { !$0.isEmpty }.joined(separator: ", ")
        let labelArray = labelName ?? names.first { ["labels", "label"].contains($0) }
        if let labelArray, file.header(labelArray) == nil { throw EngineError(.data, "\(path): no array '\(labelArray)', found \(listed)") }

        // Which array fills which input: by name; or the one array there is, for a model of one input.
        var pairs: [(array: String, input: ModelInputDescription)] = []
        if let array {
            guard file.header(array) != nil else { throw EngineError(.data, "\(path): no array '\(array)', found \(listed)") }
            pairs = [(array, try onlyInput(path))]
        } else {
            for input in inputs where names.contains(input.name) { pairs.append((input.name, input)) }
            let candidates = names.filter { $0 != labelArray }
            if pairs.isEmpty, inputs.count == 1, candidates.count == 1 { pairs = [(candidates[0], inputs[0])] }
            guard pairs.count == inputs.count else {
                let missing = inputs.filter { input in !pairs.contains { $0.input == input } }.map { "'\($0.name)'" }
                throw EngineError(
                    .data, "\(path): no array for input \(missing.joined(separator: ", ")) of the model, found \(listed.isEmpty ? "one without a name" : listed)")
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
        let targets = try labelArray.map { try self.targets(file.decode($0), count: rowCount ?? 0, place: "\(path): array '\($0)'", samples: path) }
        return try arrays(columns, rowCount: rowCount ?? 0, targets: targets, place: path)
    }

    private mutating func csv(file path: String, label: String?) throws -> any SampleSource {
        let table = try CSVTable(path: path, label: label)
        let preparation = try ArrayPreparation(
            type: .float32, rowShape: table.features.rowShape, input: try onlyInput(path), preprocessing: declaration.preprocessing, place: path)
        var numbers: [Int]?
        if let texts = table.labelTexts {
            let parsed = texts.map { Int($0) }
            if !parsed.contains(nil) {
                numbers = parsed.compactMap { $0 }
            } else {
                let known = try classIndices(Array(Set(texts)).sorted(), place: path)
                numbers = try texts.enumerated().map { row, text in
                    guard let index = known[text] else { throw EngineError(.data, "\(path), row \(row + 2): label '\(text)' is not among the classes") }
                    return index
                }
            }
        } else {
            notes.append("\(path) has no label column (one of \(CSVTable.labelNames.joined(separator: ", "))): every column is a feature")
        }
        let features = table.features
        let column = ArraySource.Column(preparation: preparation, array: Lazily { features }, file: try InputFile.identity(of: path))
        return try arrays([column], rowCount: features.rowCount, targets: numbers.map(Targets.init(labels:)), place: path)
    }

    private mutating func images(folder path: String) throws -> any SampleSource {
        let folder = try ImageFolder(path: path)
        var numbers: [Int]?
        if !folder.classNames.isEmpty {
            let known = try classIndices(folder.classNames, place: path)
            let indices = try folder.classNames.map { name in
                guard let index = known[name] else { throw EngineError(.data, "\(path)/\(name): not among the classes") }
                return index
            }
            numbers = folder.classOfFile.map { indices[$0] }
        }
        return try ImageSource(folder: folder, targets: numbers.map(Targets.init(labels:)), input: try onlyInput(path), preprocessing: declaration.preprocessing)
    }

    // MARK: Labels

    /// Index per class name: the declared order, or that of the first source, which later sources must then share.
    private mutating func classIndices(_ names: [String], place: String) throws -> [String: Int] {
        if classNames.isEmpty {
            classNames = names
            let numbers = names.compactMap { Int($0) }
            if numbers.count == names.count, numbers != numbers.sorted() {
                notes.append("classes are numbered in text order, as torchvision does: '10' comes before '2'; 'classes' can say otherwise")
            }
        } else if declaration.classes.isEmpty, names != classNames {
            throw EngineError(.data, "\(place): other classes than in the first split; list 'classes' in a declaration")
        }
        return Dictionary(uniqueKeysWithValues: classNames.enumerated().map { ($1, $0) })
    }

    private func targets(_ array: RawArray, count: Int, place: String, samples: String) throws -> Targets {
        try ArrayTargets.targets(array, count: count, place: place, samples: samples, wantsNumbers: declaration.metric?.isOfNumbers ?? false)
    }

    private func arrays(_ columns: [ArraySource.Column], rowCount: Int, targets: Targets?, place: String) throws -> ArraySource {
        let labels = targets?.labels
        if let labels, !classNames.isEmpty, let row = labels.firstIndex(where: { $0 >= classNames.count }) {
            throw EngineError(.data, "\(place): row \(row) has label \(labels[row]), but there are \(classNames.count) classes")
        }
        if let labels, let row = labels.firstIndex(where: { $0 < 0 }) {
            throw EngineError(.data, "\(place): row \(row) has label \(labels[row]), expected 0 or more")
        }
        return ArraySource(columns: columns, rowCount: rowCount, targets: targets, place: place, preprocessing: declaration.preprocessing)
    }
}

extension InputFile {
    fileprivate static func identity(of path: String) throws -> FileIdentity {
        guard let identity = FileIdentity(path: path) else { throw EngineError(.data, "\(path): no such file") }
        return identity
    }
}
