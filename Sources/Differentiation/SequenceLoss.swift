import ModelGraph

/// What a sequence of classes looks like to `LossTerm.Kind.sequence`: its classes with a blank before, between and after, as states one of which
/// each step is in.
public struct SequenceTargets: Sendable {
    /// Rows of `states` numbers each: the class of a state; 1 where a step may come from two states before; 1 where the sequence may end.
    public let rows: [Int64]
    /// Steps that it takes at least: one for each class, and a blank between two of the same.
    public let steps: Int

    /// - Parameters:
    ///   - classes: of the sequence, without blanks.
    ///   - states: at least 2 · classes + 1; what is left over is reached by nothing.
    public init(_ classes: [Int], blank: Int, states: Int) {
        let used = 2 * classes.count + 1
        let said = (0..<states).map { $0 < used && $0 % 2 == 1 ? classes[$0 / 2] : blank }
        let skips = (0..<states).map { $0 < used && $0 % 2 == 1 && $0 > 1 && said[$0] != said[$0 - 2] }
        let ends = (0..<states).map { $0 < used && $0 >= used - 2 }
        rows = said.map(Int64.init) + skips.map { $0 ? 1 : 0 } + ends.map { $0 ? 1 : 0 }
        steps = classes.count + zip(classes, classes.dropFirst()).count { $0 == $1 }
    }
}

/// Connectionist temporal classification (Graves et al. 2006): the forward pass over states, step by step, in logarithms.
enum SequenceLoss {
    /// Logarithm of nothing; far enough from what happens, and no infinity, of which differences are not numbers.
    private static let never: Float = -1e30

    static func append(_ term: LossTerm, batch: Int, _ b: inout GradientBuilder) throws -> String {
        let (dims, wanted) = (try b.shape(term.value), try b.shape(term.target))
        guard dims.count == 3, wanted.count == 3, wanted[0] == dims[0], wanted[1] == 3, dims[1] > 0 else {
            throw DifferentiationError("'\(term.value)' of shape \(dims) holds no scores [samples, steps, classes]")
        }
        let (samples, steps, classes, states) = (dims[0], dims[1], dims[2], wanted[2])
        func row(_ index: Int) throws -> String {
            try b.reshape(try b.slice(term.target, axes: [1], starts: [index], ends: [index + 1]), [samples, states])
        }
        /// 0 where a flag is 1, else the logarithm of nothing.
        func gate(_ index: Int) throws -> String {
            try b.multiply(try b.subtract(b.scalar(1), try b.toFloat(try row(index))), by: never)
        }
        let logarithms = try b.map("LogSoftmax", try b.reshape(term.value, [samples * steps, classes]), [Attribute("axis", .integer(1))])
        // Which class a state says, as a product: [samples, steps, classes] · [samples, classes, states].
        let hot = b.emit(
            "OneHot", [try row(0), b.constant([classes]), b.constant([0, 1], [2])], [Attribute("axis", .integer(1))], shape: [samples, classes, states])
        let said = try b.matmul(try b.reshape(logarithms, [samples, steps, classes]), hot)
        let (skip, end) = (try gate(1), try gate(2))
        func at(_ step: Int) throws -> String { try b.reshape(try b.slice(said, axes: [1], starts: [step], ends: [step + 1]), [samples, states]) }
        func shifted(_ value: String, by places: Int) throws -> String {
            guard states > places else { return b.constant([Float](repeating: never, count: samples * states), [samples, states]) }
            let before = b.constant([Float](repeating: never, count: samples * places), [samples, places])
            return try b.concat([before, try b.slice(value, axes: [1], starts: [0], ends: [states - places])], axis: 1)
        }
        // It begins with the first blank or the first class.
        let start = b.constant((0..<states).map { $0 < 2 ? 0 : never }, [1, states])
        var reached = try b.add(try at(0), start)
        for step in 1..<max(steps, 1) {
            let ways = [reached, try shifted(reached, by: 1), try b.add(try shifted(reached, by: 2), skip)]
            // The largest is only there to keep numbers small: no gradient goes through it.
            let largest = b.detached(b.emit("Max", ways, shape: [samples, states]))
            var total: [String] = []
            for way in ways { total.append(try b.map("Exp", try b.subtract(way, largest))) }
            reached = try b.add(try b.add(try b.map("Log", try b.total(total)), largest), try at(step))
        }
        let ends = try b.add(reached, end)
        let largest = b.detached(try b.maximum(ends, axes: [1], keep: true))
        let likely = try b.sum(try b.map("Exp", try b.subtract(ends, largest)), axes: [1], keep: true)
        let total = try b.sum(try b.add(try b.map("Log", likely), largest), axes: [0, 1], keep: false)
        return try b.multiply(total, by: -1 / Float(batch))
    }
}
