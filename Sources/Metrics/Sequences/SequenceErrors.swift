import EngineSupport

/// Exact match, and character and word error rate as jiwer has them: characters are Unicode scalars, white space at both ends is no error, and
/// words are what white space separates. A match is exact with white space.
///
/// Outputs are scores [T, C], which `options.decoding` reads, or classes [T]. Targets are texts, for which `options.alphabet` is needed, or classes, of
/// which those below 0, those that equal `ignore` and of CTC the blank do not count; without alphabet characters and words are classes.
/// Contribution to exact match: 1 or 0; to error rates: edits, and length of the truth.
struct SequenceErrors: MetricComputation {
    let kind: MetricKind
    private let decoding: SequenceDecoding
    private let ignore: Int?

    init(kind: MetricKind, options: MetricOptions) {
        self.kind = kind
        decoding = SequenceDecoding(kind: kind, options: options)
        ignore = options.ignore
    }

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        var (said, classes) = try decoding.classes(outputs.scored(kind))
        if let alphabet = decoding.alphabet, let classes, alphabet.count != classes, alphabet.count != classes - 1 {
            throw EngineError(
                .data,
                "metric \(kind.rawValue): the alphabet has \(alphabet.count) characters and output \(outputs.first?.name ?? "") \(classes) classes: expected \(classes - 1) without the blank, or \(classes)"
            )
        }
        if let ignore { said.removeAll { Int($0) == ignore } }
        if case .text(let truth) = target {
            guard let text = decoding.text(said, classes: classes) else {
                throw EngineError(.data, "metric \(kind.rawValue): labels are texts, which needs alphabet, the characters of the classes; names of classes are listed as 'classes'")
            }
            return compare(text, truth)
        }
        let truth = try target.classes(kind).values.filter { $0 >= 0 && Int($0) != ignore && !(decoding.decoding == .ctc && Int($0) == decoding.blank) }
        if let text = decoding.text(said, classes: classes), let right = decoding.text(truth, classes: classes) { return compare(text, right) }
        return kind == .exactMatch ? [said == truth ? 1 : 0] : [Double(EditDistance.between(truth, said)), Double(truth.count)]
    }

    private func compare(_ said: String, _ truth: String) -> [Double] {
        if kind == .exactMatch { return [said.unicodeScalars.elementsEqual(truth.unicodeScalars) ? 1 : 0] }
        let (said, truth) = (Self.stripped(said), Self.stripped(truth))
        switch kind {
        case .wordErrorRate:
            let (words, right) = (Self.words(said), Self.words(truth))
            return [Double(EditDistance.between(right, words)), Double(right.count)]
        default: return [Double(EditDistance.between(truth, said)), Double(truth.count)]
        }
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        kind == .exactMatch ? SampleRatio(contributions, isMean: true, isProportion: true) : SampleRatio(contributions)
    }

    // Scalars, not Swift's characters: those join what jiwer and others count apart, and a letter with an accent equals two scalars.
    private static func stripped(_ text: String) -> [Unicode.Scalar] {
        let scalars = Array(text.unicodeScalars)
        guard let first = scalars.firstIndex(where: { !isSpace($0) }), let last = scalars.lastIndex(where: { !isSpace($0) }) else { return [] }
        return Array(scalars[first...last])
    }

    private static func words(_ scalars: [Unicode.Scalar]) -> [[Unicode.Scalar]] { scalars.split(whereSeparator: isSpace).map(Array.init) }

    /// What Python's `str.strip` and `str.split` take for white space.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value) }
}
