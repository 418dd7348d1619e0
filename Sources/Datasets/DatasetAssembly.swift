import EngineSupport
import Foundation
import Metrics
import ModelGraph

/// From a declaration to splits: opens files, checks that everything fits together and that splits are disjoint.
struct DatasetAssembly {
    let declaration: DatasetDeclaration
    private let path: String
    /// Inputs that samples fill.
    let inputs: [ModelInputDescription]
    let allInputs: [ModelInputDescription]
    var notes: [String]
    /// By files, so that splits of one file share what is decoded of it.
    var sources: [DatasetDeclaration.Files: any SampleSource] = [:]
    var classNames: [String]

    init(_ declaration: DatasetDeclaration, path: String, inputs: [ModelInputDescription], notes: [String]) {
        self.declaration = declaration
        self.path = path
        allInputs = inputs
        // Of the others samples say nothing. What is carried on from step to step leaves sequences: one more dimension, of steps, behind the batch.
        let given = Set(declaration.constants.keys).union(declaration.carry.values)
        self.inputs = inputs.filter { !given.contains($0.name) }.map { input in
            guard !declaration.carry.isEmpty || declaration.metric == .similarity, let shape = input.shape, let batch = shape.first else { return input }
            var sequence = input
            sequence.shape = [batch, nil] + shape.dropFirst()
            return sequence
        }
        self.notes = notes
        classNames = declaration.classes
    }

    func dataset() throws -> Dataset {
        for (key, names) in [("constants", Array(declaration.constants.keys)), ("carry", Array(declaration.carry.values))] {
            if let wrong = names.sorted().first(where: { name in !allInputs.contains { $0.name == name } }) {
                let known = allInputs.map { "'\($0.name.shortened)'" }.joined(separator: ", ")
                let hint = key == "carry" ? " (carry is {output: input})" : ""
                throw EngineError(.data, "\(declaration.file): \(key): the model has no input '\(wrong.shortened)', it has \(known)\(hint)")
            }
        }
        var assembly = self
        var splits: [SplitName: DatasetSplit] = [:]
        if let source = declaration.source {
            splits = try assembly.divided(source)
        } else if declaration.splits.count == 1, let only = declaration.splits[.validation] {
            splits = try assembly.divided(only)
            let names = [SplitName.validation, .calibration, .test, .train].filter { splits[$0] != nil }.map(\.rawValue)
            if names.count > 1, let last = names.last {
                assembly.notes.append("only validation data is declared: it is divided into \(names.dropLast().joined(separator: ", ")) and \(last)")
            }
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
        // Said now, not in the middle of an evaluation. Large ones, such as pictures, are seen when they are read.
        if let targets = validation.targets, targets.kind == .numbers, (targets.shape ?? []).reduce(1, *) <= 64 {
            for row in validation.rows { _ = try targets.target(row) }
        }
        var options = declaration.metricOptions
        if let name = declaration.positiveClassName { options.positiveClass = try positiveClass(name) }
        // Those are -1 by now, and another class may have that number.
        if declaration.labelOffset != nil { options.ignore = nil }
        let first = validation.inputs
        for name in SplitName.allCases {
            guard let split = splits[name], split.inputs != first else { continue }
            throw EngineError(.data, "\(split.source.place): samples of \(name.rawValue) differ in shape or type from those of validation")
        }
        return Dataset(
            name: declaration.name, path: path, metric: metric, metricOptions: options, isMetricAssumed: wanted == nil || wanted != metric,
            constants: declaration.constants, carry: declaration.carry, classes: classNames, notes: notes, validation: validation,
            calibration: splits[.calibration], test: splits[.test], train: splits[.train])
    }

    private func positiveClass(_ name: String) throws -> Int {
        if let index = classNames.firstIndex(of: name) { return index }
        let expected = classNames.isEmpty ? "a number, as labels have no names" : "a number or one of \(DelimitedText.listed(classNames))"
        throw EngineError(.data, "\(declaration.file): metric: class: expected \(expected), found '\(name.shortened)'")
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
}
