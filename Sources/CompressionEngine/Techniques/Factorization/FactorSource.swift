import Foundation
import ModelGraph
import Synchronization

/// A weight matrix W (rows × columns) as left · right, the square roots of the singular values in both.
struct Factors: Sendable {
    var rows: Int
    var columns: Int
    var rank: Int
    /// rows × rank, row-major.
    var left: [Float]
    /// rank × columns, row-major.
    var right: [Float]
    /// Share of the sum of squared singular values kept.
    var energy: Double

    /// rank × rows, row-major.
    var leftTransposed: [Float] { Self.transpose(left, rows, rank) }
    /// columns × rank, row-major.
    var rightTransposed: [Float] { Self.transpose(right, rank, columns) }

    /// Keeps `rank` singular values of a decomposition.
    init(_ svd: (u: [Float], s: [Float], vt: [Float]), rows: Int, columns: Int, rank: Int) {
        self.rows = rows
        self.columns = columns
        self.rank = rank
        let k = svd.s.count
        let roots = svd.s.prefix(rank).map { max($0, 0).squareRoot() }
        left = [Float](repeating: 0, count: rows * rank)
        right = [Float](repeating: 0, count: rank * columns)
        for row in 0..<rows { for index in 0..<rank { left[row * rank + index] = svd.u[row * k + index] * roots[index] } }
        for index in 0..<rank { for column in 0..<columns { right[index * columns + column] = svd.vt[index * columns + column] * roots[index] } }
        let squares = svd.s.map { Double($0) * Double($0) }
        let total = squares.reduce(0, +)
        energy = total > 0 ? squares.prefix(rank).reduce(0, +) / total : 1
    }

    private static func transpose(_ matrix: [Float], _ rows: Int, _ columns: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { out, initialized in
            for row in 0..<rows { for column in 0..<columns { out.initializeElement(at: column * rows + row, to: matrix[row * columns + column]) } }
            initialized = rows * columns
        }
    }
}

/// Decomposes the weights of targets, each content once, on all cores; decompositions are remembered, so that moving
/// the rank only scales and copies.
struct FactorSource {
    private struct Job: Hashable {
        var place: WeightReaders.Place
        var choice: RankChoice
    }

    private let model: Model
    private let context: RewriteContext
    private var made: [Job: Factors] = [:]

    init(model: Model, context: RewriteContext) {
        self.model = model
        self.context = context
    }

    /// Decomposes what the targets need. Layers that would not shrink, or whose weights other nodes read as well, get
    /// no factors and a note.
    mutating func prepare(_ targets: [LayerTarget]) throws {
        let readers = WeightReaders(model)
        let nodes = Set(targets.map(\.layer.reader))
        var jobs: [(job: Job, layer: Layer)] = []
        var known = Set<Job>()
        for target in targets {
            guard let job = job(of: target) else { continue }
            guard readers.areAll(of: job.place, among: nodes) else {
                context.notes.add("\(target.layer.id): its weights are read elsewhere too, so factors would add to the file; left as it is")
                continue
            }
            if known.insert(job).inserted { jobs.append((job, target.layer)) }
        }
        let results = Mutex<[Int: Result<Factors?, any Error>]>([:])
        let done = Mutex(0)
        let (model, context, all) = (model, context, jobs)
        DispatchQueue.concurrentPerform(iterations: all.count) { index in
            guard !context.cancellation.isCancelled else { return }
            let result = Result { try Self.factors(all[index].layer, all[index].job.choice, in: model, context: context) }
            results.withLock { $0[index] = result }
            let count = done.withLock { done in
                done += 1
                return done
            }
            context.progress(Double(count) / Double(all.count), "decomposing \(all[index].layer.id)")
        }
        try context.cancellation.check()
        for (index, result) in results.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            if let factors = try result.get() { made[jobs[index].job] = factors }
        }
    }

    func factors(of target: LayerTarget) throws -> Factors? { job(of: target).flatMap { made[$0] } }

    private func job(of target: LayerTarget) -> Job? {
        model.place(of: target.layer.weight, readBy: target.layer).map { Job(place: $0, choice: RankChoice(target.parameters)) }
    }

    private static func factors(_ layer: Layer, _ choice: RankChoice, in model: Model, context: RewriteContext) throws -> Factors? {
        guard let tensor = model.initializer(layer.weight, from: layer.path)?.tensor, let (rows, columns) = SingularValues.matrixShape(of: layer)
        else { return nil }
        // Without the spectrum, rank and ratio already tell whether to decompose at all.
        if choice.mode != .energy {
            let rank = choice.rank(rows: rows, columns: columns, singularValues: [])
            guard RankChoice.saves(rank, rows: rows, columns: columns) else { return leaveAlone(layer, rank, rows, columns, context) }
        }
        let parts: [Tensor]
        do {
            parts = try context.memo.tensors("svd \(tensor.contentHash) \(rows)x\(columns)") { try decompose(tensor, rows, columns) }
        } catch let error as EngineError where error.kind == .technique {
            context.notes.add("\(layer.id): \(error.message); left as it is")
            return nil
        }
        guard parts.count == 3, let u = parts[0].floats(), let s = parts[1].floats(), let vt = parts[2].floats() else { return nil }
        let rank = choice.rank(rows: rows, columns: columns, singularValues: s)
        guard RankChoice.saves(rank, rows: rows, columns: columns) else { return leaveAlone(layer, rank, rows, columns, context) }
        return Factors((u, s, vt), rows: rows, columns: columns, rank: rank)
    }

    private static func decompose(_ tensor: Tensor, _ rows: Int, _ columns: Int) throws -> [Tensor] {
        let svd = try tensor.withFloats { try Lapack.svd($0, rows: rows, columns: columns) }
        guard let svd else { throw EngineError(.technique, "its weights cannot be read") }
        return [
            Tensor(name: "u", floats: svd.u, dims: [rows, svd.s.count]), Tensor(name: "s", floats: svd.s, dims: [svd.s.count]),
            Tensor(name: "vt", floats: svd.vt, dims: [svd.s.count, columns]),
        ]
    }

    private static func leaveAlone(_ layer: Layer, _ rank: Int, _ rows: Int, _ columns: Int, _ context: RewriteContext) -> Factors? {
        let limit = (rows * columns - 1) / (rows + columns)
        context.notes.add("\(layer.id): rank \(rank) saves nothing on \(rows) × \(columns) (the largest that does is \(limit)); left as it is")
        return nil
    }
}
