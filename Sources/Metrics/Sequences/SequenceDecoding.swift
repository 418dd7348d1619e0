import EngineSupport

/// From scores of classes per step to a sequence of classes, and from classes to text.
struct SequenceDecoding: Sendable {
    let kind: MetricKind
    let decoding: MetricOptions.Decoding
    let blank: Int
    let alphabet: [String]?

    init(kind: MetricKind, options: MetricOptions) {
        self.kind = kind
        // A blank is named only where there is one.
        decoding = options.decoding ?? (options.blank == nil ? .argmax : .ctc)
        blank = options.blank ?? 0
        alphabet = options.alphabet
    }

    /// - Parameter view: scores [T, C], or classes [T].
    /// - Returns: classes (−1 where no score is a number), and how many there are; `nil` for those of an output of classes.
    func classes(_ view: OutputView) throws(EngineError) -> (sequence: [Int32], classes: Int?) {
        var shape = view.shape
        while shape.count > 2, shape[0] == 1 { shape.removeFirst() }
        let steps: [Int32]
        var count: Int?
        if shape.count <= 1 {
            steps = view.values.map { abs($0) < 1e9 ? Int32($0.rounded()) : -1 }
        } else {
            guard shape.count == 2, shape[1] > 0 else {
                throw EngineError(.data, "metric \(kind.rawValue): output \(view.name) of shape \(view.shape), expected scores [steps, classes] or classes [steps]")
            }
            count = shape[1]
            let width = shape[1]
            steps = (0..<shape[0]).map { Int32(ClassScores.largest(UnsafeBufferPointer(rebasing: view.values[($0 * width)..<(($0 + 1) * width)]))) }
        }
        guard decoding == .ctc else { return (steps, count) }
        var result: [Int32] = []
        var last: Int32?
        for step in steps {
            if step != last, Int(step) != blank { result.append(step) }
            last = step
        }
        return (result, count)
    }

    /// The text that classes stand for; `nil` without an alphabet.
    /// - Parameter classes: how many the output tells apart. The blank has no character: an alphabet with one entry for each of the others
    ///   skips it.
    func text(_ sequence: [Int32], classes: Int?) -> String? {
        guard let alphabet else { return nil }
        let skipsBlank = classes.map { alphabet.count < $0 } ?? (decoding == .ctc)
        var text = ""
        for element in sequence {
            var index = Int(element)
            if skipsBlank, decoding == .ctc {
                if index == blank { continue }
                if index > blank { index -= 1 }
            }
            // What stands for no character is wrong, not nothing.
            text += alphabet.indices.contains(index) ? alphabet[index] : "\u{FFFD}"
        }
        return text
    }
}
