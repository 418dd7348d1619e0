import ModelGraph

/// What training makes small: a weighted sum of terms on outputs of the graph.
public struct LossTerm: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Cross-entropy of class scores, [N, K] or [N, …, K], with integer labels; `smoothing` in 0…1 is spread over all classes
        /// (Szegedy et al. 2016). With K = 1, and for [N], the number is the logit of class 1, and the loss binary cross-entropy.
        case crossEntropy(smoothing: Float)
        /// Kullback–Leibler divergence of the softmax at a temperature from a teacher's, times the temperature squared
        /// (Hinton, Vinyals and Dean 2015). One number is a logit of two classes.
        case distillation(temperature: Float)
        /// Binary cross-entropy of logits, each a decision of its own, with integer labels 0 and 1 of the same shape.
        case binaryCrossEntropy
        /// Mean squared difference from a target of the same shape.
        case meanSquare
        /// Mean absolute difference from a target of the same shape.
        case meanAbsolute
        /// Half the squared difference from a target of the same shape up to 1, the difference less a half beyond (Huber 1964).
        case huber
        /// Negative logarithm of the probability of a sequence of classes, summed over all ways to say it in more steps with blanks between (Graves et
        /// al. 2006). For scores [N, steps, K]; targets are those of `SequenceTargets`, int64 [N, 3, states].
        case sequence
        /// Mean squared difference of attention maps: means of squares over channels, normalized per sample (Zagoruyko and
        /// Komodakis 2017). For values of shape [N, C, …].
        case attentionTransfer
        /// Linear in the value: its product with random signs, float32 of the shape `signShape`, weighted by second derivatives; no loss to be made small.
        case probe(LossCurvature)
    }

    public var kind: Kind
    /// Value of the graph the term looks at.
    public var value: String
    /// Graph input that holds labels (int64), the teacher's scores, or the target.
    public var target: String
    public var weight: Float

    public init(_ kind: Kind, value: String, target: String, weight: Float = 1) {
        self.kind = kind
        self.value = value
        self.target = target
        self.weight = weight
    }
}

public enum Losses {
    /// Appends the loss of one shard: the sum of terms over its samples, divided by the samples of the whole batch.
    ///
    /// - Parameter batch: samples of the whole batch, of which the graph sees a part.
    /// - Returns: the scalar loss.
    /// - Throws: `DifferentiationError` for shapes a term cannot work on.
    public static func append(_ terms: [LossTerm], batch: Int, shard: Int, to b: inout GradientBuilder) throws -> String {
        var parts: [String] = []
        for term in terms { parts.append(try b.multiply(try value(of: term, batch: batch, shard: shard, &b), by: term.weight)) }
        return try b.total(parts)
    }

    private static func value(of term: LossTerm, batch: Int, shard: Int, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(term.value)
        // Scores of several places per sample (sequences) count as so many decisions of the sample.
        let perSample = Float((dims.count == 1 ? dims[...] : dims.dropLast()).reduce(1, *)) / Float(max(shard, 1))
        switch term.kind {
        case .crossEntropy(let smoothing):
            let (scores, rows, classes) = try classScores(term.value, term, &b)
            let logarithms = try logSoftmax(scores, &b)
            let labels = try b.reshape(term.target, [rows])
            let off = smoothing / Float(classes)
            let hot = b.emit(
                "OneHot", [labels, b.constant([classes]), b.constant([off, 1 - smoothing + off], [2])], [Attribute("axis", .integer(-1))],
                shape: [rows, classes])
            let total = try b.sum(try b.multiply(hot, logarithms), axes: [0, 1], keep: false)
            return try b.multiply(total, by: -1 / (Float(batch) * perSample))
        case .distillation(let temperature):
            let own = try logSoftmax(try b.multiply(try classScores(term.value, term, &b).scores, by: 1 / temperature), &b)
            let teacher = try logSoftmax(try b.multiply(try classScores(term.target, term, &b).scores, by: 1 / temperature), &b)
            let likely = try b.map("Exp", teacher)
            let total = try b.sum(try b.multiply(likely, try b.subtract(teacher, own)), axes: [0, 1], keep: false)
            return try b.multiply(total, by: temperature * temperature / (Float(batch) * perSample))
        case .binaryCrossEntropy:
            // Each logit beside 0 for class 0.
            let count = dims.reduce(1, *)
            let scores = try b.concat([b.constant([Float](repeating: 0, count: count), [count, 1]), try b.reshape(term.value, [count, 1])], axis: 1)
            let hot = b.emit(
                "OneHot", [try b.reshape(term.target, [count]), b.constant([2]), b.constant([0, 1], [2])], [Attribute("axis", .integer(-1))], shape: [count, 2])
            let total = try b.sum(try b.multiply(hot, try logSoftmax(scores, &b)), axes: [0, 1], keep: false)
            return try b.multiply(total, by: -1 / (Float(batch) * Float(count) / Float(max(shard, 1))))
        case .meanAbsolute:
            let total = try b.sum(try b.map("Abs", try b.subtract(term.value, term.target)), axes: Array(dims.indices), keep: false)
            return try b.multiply(total, by: 1 / (Float(batch) * Float(max(dims.dropFirst().reduce(1, *), 1))))
        case .huber:
            let size = try b.map("Abs", try b.subtract(term.value, term.target))
            let bounded = b.emit("Min", [size, b.scalar(1)], shape: dims)
            let total = try b.sum(try b.multiply(bounded, try b.subtract(size, try b.multiply(bounded, by: 0.5))), axes: Array(dims.indices), keep: false)
            return try b.multiply(total, by: 1 / (Float(batch) * Float(max(dims.dropFirst().reduce(1, *), 1))))
        case .sequence: return try SequenceLoss.append(term, batch: batch, &b)
        case .meanSquare:
            let difference = try b.subtract(term.value, term.target)
            let total = try b.sum(try b.multiply(difference, difference), axes: Array(dims.indices), keep: false)
            let each = dims.dropFirst().reduce(1, *)
            return try b.multiply(total, by: 1 / (Float(batch) * Float(max(each, 1))))
        case .probe(let curvature):
            guard case .softmax = curvature else {
                return try curvature.append(term.value, signs: term.target, places: Float(dims.dropFirst().reduce(1, *)), batch: batch, &b)
            }
            return try curvature.append(try classScores(term.value, term, &b).scores, signs: term.target, places: perSample, batch: batch, &b)
        case .attentionTransfer:
            guard dims.count >= 3 else { throw DifferentiationError("'\(term.value)' of shape \(dims) has no positions to attend to") }
            let difference = try b.subtract(try attention(term.value, &b), try attention(term.target, &b))
            let total = try b.sum(try b.multiply(difference, difference), axes: [0, 1], keep: false)
            return try b.multiply(total, by: 1 / Float(batch))
        }
    }

    /// Rows of one score per class; a single number becomes the score of class 1 beside 0 for class 0.
    private static func classScores(_ value: String, _ term: LossTerm, _ b: inout GradientBuilder) throws -> (scores: String, rows: Int, classes: Int) {
        let dims = try b.shape(term.value)
        guard let last = dims.last else { throw DifferentiationError("'\(term.value)' is a single number and holds no class scores") }
        let classes = dims.count == 1 ? 1 : last
        let rows = dims.reduce(1, *) / max(classes, 1)
        let scores = try b.reshape(value, [rows, classes])
        guard classes == 1 else { return (scores, rows, classes) }
        return (try b.concat([b.constant([Float](repeating: 0, count: rows), [rows, 1]), scores], axis: 1), rows, 2)
    }

    private static func logSoftmax(_ value: String, _ b: inout GradientBuilder) throws -> String {
        try b.map("LogSoftmax", value, [Attribute("axis", .integer(1))])
    }

    /// Mean of squares over channels, of unit length per sample, [N, places].
    private static func attention(_ value: String, _ b: inout GradientBuilder) throws -> String {
        let dims = try b.shape(value)
        let places = dims.dropFirst(2).reduce(1, *)
        let energy = try b.reshape(try b.mean(try b.multiply(value, value), axes: [1], keep: false), [dims[0], places])
        let square = try b.sum(try b.multiply(energy, energy), axes: [1], keep: true)
        return try b.divide(energy, try b.map("Sqrt", try b.add(square, b.scalar(1e-12))))
    }
}
