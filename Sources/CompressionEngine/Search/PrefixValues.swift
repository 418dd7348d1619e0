import Datasets
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import OnnxRuntime
import Synchronization

/// Intermediate values of the baseline over the first samples of the validation split, kept so that models which differ
/// only behind them need not run what comes before.
///
/// One at a time may fill it; readers hold what they were given.
final class PrefixValues: Sendable {
    private let session: EngineSession
    private let samples: SampleSet
    private let library: RuntimeLibrary
    private let shapes: ValueShapes
    /// Samples kept.
    let limit: Int
    /// Bytes kept at most.
    let budget: Int
    private let kept = SharedCache<String, Kept>()

    private struct Kept {
        var memory: SampleMemory
        var sampleShape: [Int]
        var sampleBytes: Int
    }

    /// `nil` without data or runtime, or where the model fixes its batch: then values of one sample cannot be told from
    /// another's.
    init?(_ session: EngineSession, limit: Int, budget: Int = 1 << 30, cancellation: Cancellation) throws {
        guard let samples = session.validation, !samples.isSequence, let library = session.runtime, samples.fixedBatch(of: session.model) == nil,
            let shapes = try session.shapes(of: session.model, cancellation: cancellation)
        else { return nil }
        self.session = session
        self.samples = samples
        self.library = library
        self.shapes = shapes
        // A batch that is not full is filled with neighbors, which may lie beyond the limit.
        self.limit = min(max(limit, AccuracyEvaluation.largestBatch), samples.count)
        self.budget = budget
    }

    /// Whether a value has one row for each sample, as far as shapes at batch 1 tell, and is not too large to keep.
    func canKeep(_ name: String) -> Bool {
        guard let value = shapes[name], value.elementType == .float32, value.dims.first == 1, value.dims.count > 1 else { return false }
        return value.byteCount * limit <= budget / 4
    }

    /// Makes sure that values are at hand, running the baseline if they are not.
    /// - Returns: false if one of them turns out not to have one row for each sample.
    func prepare(_ names: [String], cancellation: Cancellation) throws -> Bool {
        let missing = names.filter { kept.value(for: $0) == nil }
        guard !missing.isEmpty else { return true }
        let need = missing.reduce(0) { $0 + (shapes[$1]?.byteCount ?? 0) * limit }
        // Before the new ones take memory.
        kept.withLock { _ = $0.evict(toCost: budget - need, keeping: Set(names)) }
        var memories: [SampleMemory] = []
        for name in missing { memories.append(try SampleMemory(byteCount: (shapes[name]?.byteCount ?? 0) * limit, what: "values of '\(name)'")) }
        var exposed = session.model
        exposed.graph.outputs = missing.map { exposed.graph.valueInfos[$0] ?? ValueInfo(name: $0, elementType: .float32, shape: nil) }
        exposed.graph.removeDeadCode()
        let runner = try ModelRunner(exposed, library: library, label: "baseline")
        let batch = AccuracyEvaluation.batchSize(of: session.model, samples: samples)
        let batches = (limit + batch - 1) / batch
        let made = memories
        let fits = Mutex(true)
        let inputs = Set(exposed.graph.requiredInputs.map(\.name))
        _ = try Parallel.map(Array(0..<batches)) { index in
            let range = (index * batch)..<min((index + 1) * batch, self.limit)
            let feeds = try self.samples.values(range).filter { inputs.contains($0.0) }
            let results = try runner.run(feeds, outputs: missing, cancellation: cancellation)
            for (position, value) in results.enumerated() {
                let bytes = self.shapes[missing[position]]?.byteCount ?? 0
                guard value.shape?.first == range.count else {
                    fits.withLock { $0 = false }
                    continue
                }
                try value.withUnsafeBytes { source in
                    guard source.count == bytes * range.count else {
                        fits.withLock { $0 = false }
                        return
                    }
                    UnsafeMutableRawBufferPointer(rebasing: made[position].mutableBytes[(range.lowerBound * bytes)...]).copyMemory(from: source)
                }
            }
        }
        guard fits.withLock({ $0 }) else { return false }
        for (name, memory) in zip(missing, memories) {
            guard let value = shapes[name] else { continue }
            kept.insert(Kept(memory: memory, sampleShape: Array(value.dims.dropFirst()), sampleBytes: value.byteCount), for: name, cost: memory.byteCount)
        }
        return true
    }

    /// What a changed part reads, for a range of samples: a closure that holds the memory it points into.
    func feed(_ part: ChangedPart) -> (@Sendable (Range<Int>) throws -> [(String, Value)])? {
        let entries = part.reused.compactMap { name in kept.value(for: name).map { (name, $0) } }
        guard entries.count == part.reused.count else { return nil }
        let inputs = Set(part.inputs)
        let samples = samples
        return { range in
            var values = try samples.values(range).filter { inputs.contains($0.0) }
            for (name, entry) in entries {
                let bytes = UnsafeRawBufferPointer(
                    rebasing: entry.memory.bytes[(range.lowerBound * entry.sampleBytes)..<(range.upperBound * entry.sampleBytes)])
                values.append(
                    (
                        name, try RuntimeValues.view(bytes, type: .float32, shape: [range.count] + entry.sampleShape, owner: entry.memory)
                    ))
            }
            return values
        }
    }
}
