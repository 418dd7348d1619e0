import EngineSupport
import Metrics

/// From what files say is right to targets, and what is refused of it.
extension DatasetAssembly {
    /// What the declaration says about labels.
    var rules: LabelRules {
        let texts: [MetricKind] = [.characterErrorRate, .wordErrorRate, .exactMatch]
        return LabelRules(
            wantsNumbers: declaration.metric?.isOfNumbers ?? false, wantsText: declaration.metric.map { texts.contains($0) } ?? false, classes: declaration.classes)
    }

    /// Index per class name: the declared order, or that of the first source, which later sources must then share.
    mutating func classIndices(_ names: [String], place: String) throws -> [String: Int] {
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

    mutating func targets(_ array: RawArray, count: Int, place: String, samples: String) throws -> Targets {
        guard array.isText else { return try ArrayTargets.targets(array, count: count, place: place, samples: samples, wantsNumbers: rules.wantsNumbers) }
        guard array.rowCount == count else { throw EngineError(.data, "\(place): \(array.rowCount) labels for \(count) samples in \(samples)") }
        return try named(TextTargets.targets(TextTargets.texts(array, place: place), rules: rules, place: place), count: count, place: place)
    }

    /// Labels of a file of their own: an `.npy`, or text with one a line.
    mutating func targets(file path: String, count: Int, samples: String) throws -> Targets {
        if path.lowercased().hasSuffix(".npy") { return try targets(NumPyFile(path: path).decode(""), count: count, place: path, samples: samples) }
        let lines = try TextTargets.lines(path: path)
        guard lines.count == count else { throw EngineError(.data, "\(path): \(lines.count) lines for \(count) samples in \(samples)") }
        return try named(TextTargets.targets(lines, rules: rules, place: path), count: count, place: path)
    }

    /// Texts that are class names rather than texts to be read: with a metric of classes, or without one where they repeat.
    mutating func named(_ targets: Targets, count: Int, place: String) throws -> Targets {
        guard targets.kind == .text, !rules.wantsText, declaration.classes.isEmpty, declaration.metric?.isOfClasses ?? true else { return targets }
        let texts = try (0..<count).map { row in if case .text(let text) = try targets.target(row) { text } else { "" } }
        let found = Set(texts)
        // Of a later split, which may lack some.
        if !classNames.isEmpty, found.isSubset(of: classNames) {
            let known = try classIndices(classNames, place: place)
            return Targets(labels: texts.compactMap { known[$0] }, areNames: true)
        }
        // What is written in pictures or spoken is another text in most samples.
        guard declaration.metric != nil || !found.contains("") && found.count * 2 <= count else { return targets }
        notes.append("\(place): \(found.count) different texts are taken for classes, in text order; 'classes' can say otherwise, 'metric: cer' compares them as texts")
        let known = try classIndices(Self.inTextOrder(found), place: place)
        return Targets(labels: texts.compactMap { known[$0] }, areNames: true)
    }

    /// A column of labels: names that `classes` lists, whole numbers that are classes, numbers, else names of classes.
    ///
    /// Without a metric, numbers with decimals or below zero are no classes. With one of classes, whole numbers may be written with a decimal point.
    /// - Parameter row: names a row in messages.
    mutating func columnTargets(_ texts: [String], place: String, row: (Int) -> String) throws -> Targets {
        let numbers = texts.map { Float($0) }
        if rules.wantsNumbers {
            if let odd = numbers.firstIndex(where: { $0 == nil }) { throw EngineError(.data, "\(row(odd)): label '\(texts[odd].prefix(40))' is not a number") }
            return Targets(numbers: numbers.compactMap { $0 }, width: 1)
        }
        if let labels = TextTargets.names(texts, declaration.classes) { return Targets(labels: labels, areNames: true) }
        let whole = texts.map { Int($0) ?? Double($0).flatMap { Int(exactly: $0) } }
        let isOfClasses = declaration.metric?.isOfClasses ?? false
        if !whole.contains(nil) {
            let labels = whole.compactMap { $0 }
            return isOfClasses || labels.allSatisfy { $0 >= 0 } ? Targets(labels: labels) : Targets(numbers: numbers.compactMap { $0 }, width: 1)
        }
        if !isOfClasses {
            if !numbers.contains(nil) { return Targets(numbers: numbers.compactMap { $0 }, width: 1) }
            let hasDecimals = zip(numbers, whole).contains { $0 != nil && $1 == nil }
            if hasDecimals, let empty = texts.firstIndex(of: "") { throw EngineError(.data, "\(row(empty)): no label, expected a number as in other rows") }
        }
        let known = try classIndices(Self.inTextOrder(Set(texts)), place: place)
        let labels = try texts.enumerated().map { index, text in
            guard let label = known[text] else { throw EngineError(.data, "\(row(index)): label '\(text.prefix(40))' is not among the classes") }
            return label
        }
        return Targets(labels: labels, areNames: true)
    }

    private static func inTextOrder(_ names: Set<String>) -> [String] { names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }

    // MARK: Checks

    /// Targets as the model counts: the first class is 0, every number a number.
    /// - Throws: `EngineError` if a class is not one of those that have names, or negative. What is no number is refused when it is read.
    func checked(_ targets: Targets?, place: String) throws -> Targets? {
        guard var targets else { return nil }
        if let offset = declaration.labelOffset { targets = try counted(targets, from: offset, place: place) }
        if targets.kind == .numbers, declaration.metric.map({ $0.needsLabels && $0 != .score && $0 != .error }) ?? true {
            return targets.mapped(how: nil) { row, target in
                if case .numbers(let values, _) = target, let odd = values.first(where: { !$0.isFinite }) {
                    throw EngineError(.data, "\(place): row \(row): label \(odd.isNaN ? "NaN" : odd > 0 ? "infinity" : "-infinity"), expected a number")
                }
                return target
            }
        }
        guard let labels = targets.labels else { return targets }
        if !classNames.isEmpty, let row = labels.firstIndex(where: { $0 >= classNames.count }) {
            throw EngineError(.data, "\(place): row \(row) has label \(labels[row]), but there are \(classNames.count) classes\(Self.firstClassHint(labels))")
        }
        if let row = labels.firstIndex(where: { $0 < 0 }) { throw EngineError(.data, "\(place): row \(row) has label \(labels[row]), expected 0 or more") }
        return targets
    }

    private static func firstClassHint(_ labels: [Int]) -> String {
        guard let least = labels.min(), least > 0 else { return "" }
        return "; no label is 0: 'label_offset: \(least)' makes label \(least) the first class"
    }

    /// Classes counted from `offset` on counted from 0. In class maps smaller ones and those that the metric ignores become −1, which never counts.
    private func counted(_ targets: Targets, from offset: Int, place: String) throws -> Targets {
        func fail(_ text: String) -> EngineError { EngineError(.data, "\(declaration.file): label_offset: \(text)") }
        switch targets.kind {
        case .label where targets.areNames: throw fail("\(place) has names of classes, which are numbered from 0")
        case .label:
            let labels = targets.labels ?? []
            if let row = labels.firstIndex(where: { $0 < offset }) {
                throw EngineError(.data, "\(place): row \(row) has label \(labels[row]), expected \(offset) or more with 'label_offset: \(offset)'")
            }
            return Targets(labels: labels.map { $0 - offset })
        case .classes:
            let (first, ignored) = (Int32(clamping: offset), declaration.metricOptions.ignore.flatMap { Int32(exactly: $0) })
            return targets.mapped(how: "from \(first) without \(ignored.map { "\($0)" } ?? "-")") { _, target in
                guard case .classes(let values, let shape) = target else { return target }
                return .classes(values.map { $0 < first || $0 == ignored ? -1 : $0 - first }, shape: shape)
            }
        case .numbers, .text, .boxes: throw fail("only of labels that are numbers of classes, which those of \(place) are not")
        }
    }
}
