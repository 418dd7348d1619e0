import EngineSupport

/// What targets are to metrics that want another kind: a label is a number, a number 0 or 1 a class.
extension SampleTarget {
    /// For errors.
    var summary: String {
        switch self {
        case .label(let label): "the label \(label)"
        case .numbers(_, let shape): "numbers of shape \(shape)"
        case .classes(_, let shape): "classes of shape \(shape)"
        case .text: "a text"
        case .boxes(let boxes): "\(boxes.count) boxes"
        }
    }

    func mismatch(_ kind: MetricKind, expected: String) -> EngineError { EngineError(.data, "metric \(kind.rawValue) compares with \(expected), not with \(summary)") }

    /// One class of the sample: a label, or one whole number.
    func label(_ kind: MetricKind) throws(EngineError) -> Int {
        switch self {
        case .label(let label): return label
        case .classes(let values, _): if values.count == 1 { return Int(values[0]) }
        case .numbers(let values, _): if values.count == 1, let label = Self.whole(values[0]) { return label }
        default: break
        }
        throw mismatch(kind, expected: "one class per sample")
    }

    /// One class of the sample, which has to be one of those that `count` scores tell; of one score what `single` makes of it.
    func label(_ kind: MetricKind, scores count: Int, _ single: SingleReading) throws(EngineError) -> Int {
        let label = try label(kind)
        try Self.check(label, kind, scores: count, single)
        return label
    }

    /// - Throws: `EngineError` where a label is beyond the classes that an output tells.
    static func check(_ label: Int, _ kind: MetricKind, scores count: Int, _ single: SingleReading, remedy: String = "") throws(EngineError) {
        let classes = count > 1 ? count : single == .classNumber ? .max : 2
        guard label >= classes else { return }
        let told = count > 1 ? "the output has \(count) scores" : "the output is one number"
        throw EngineError(.label, "metric \(kind.rawValue): label \(label), expected 0 to \(classes - 1) as \(told)\(remedy)")
    }

    /// Numbers row by row.
    func numbers(_ kind: MetricKind) throws(EngineError) -> (values: [Float], shape: [Int]) {
        switch self {
        case .label(let label): return ([Float(label)], [])
        case .numbers(let values, let shape): return (values, shape)
        case .classes(let values, let shape): return (values.map(Float.init), shape)
        case .text, .boxes: throw mismatch(kind, expected: "numbers")
        }
    }

    /// Classes row by row.
    func classes(_ kind: MetricKind) throws(EngineError) -> (values: [Int32], shape: [Int]) {
        switch self {
        case .label(let label): if let label = Int32(exactly: label) { return ([label], []) }
        case .classes(let values, let shape): return (values, shape)
        case .numbers(let values, let shape):
            var classes: [Int32] = []
            classes.reserveCapacity(values.count)
            for value in values {
                guard let whole = Self.whole(value), let narrow = Int32(exactly: whole) else {
                    throw EngineError(.data, "metric \(kind.rawValue) compares with classes, and the number \(value) is none")
                }
                classes.append(narrow)
            }
            return (classes, shape)
        default: break
        }
        throw mismatch(kind, expected: "classes")
    }

    /// Which of `count` labels the sample has.
    func labelSet(_ kind: MetricKind, of count: Int) throws(EngineError) -> [Bool] {
        var set = [Bool](repeating: false, count: count)
        switch self {
        case .label(let label):
            guard set.indices.contains(label) else {
                throw EngineError(.label, "metric \(kind.rawValue): label \(label), expected 0 to \(count - 1) as the output has \(count) scores")
            }
            set[label] = true
        case .numbers(let values, let shape):
            guard values.count == count else { throw EngineError(.data, "metric \(kind.rawValue): \(count) scores against labels of shape \(shape)") }
            for index in values.indices { set[index] = values[index] > 0.5 }
        case .classes(let values, let shape):
            guard values.count == count else { throw EngineError(.data, "metric \(kind.rawValue): \(count) scores against labels of shape \(shape)") }
            for index in values.indices { set[index] = values[index] > 0 }
        case .text, .boxes: throw mismatch(kind, expected: "a number of 0 or 1 for each label")
        }
        return set
    }

    private static func whole(_ value: Float) -> Int? { abs(value) < 1e9 && value == value.rounded() ? Int(value) : nil }
}

extension [OutputView] {
    /// The output that metrics of one output score.
    /// - Throws: `EngineError` where there is none, or its values are not as many as its shape says.
    func scored(_ kind: MetricKind) throws(EngineError) -> OutputView {
        guard let view = first else { throw EngineError(.data, "metric \(kind.rawValue): no output to score") }
        try view.check(kind)
        return view
    }
}

extension OutputView {
    func check(_ kind: MetricKind) throws(EngineError) {
        guard shape.allSatisfy({ $0 >= 0 }), shape.reduce(1, *) == values.count else {
            throw EngineError(.data, "metric \(kind.rawValue): output \(name) holds \(values.count) values, expected those of shape \(shape)")
        }
    }
}

extension [Double] {
    /// The number at a place of a contribution; not a number where a contribution is shorter than its metric makes them.
    func at(_ index: Int) -> Double { index >= 0 && index < count ? self[index] : .nan }

    /// The whole number at a place; `nil` where there is none.
    func whole(_ index: Int) -> Int? {
        let value = at(index)
        return abs(value) < 1e15 && value == value.rounded() ? Int(value) : nil
    }
}
