import EngineSupport
import Foundation
import Metrics
import Synchronization

/// A split's samples as the model takes them, in one contiguous buffer per input and in a fixed order. Samples
/// [a, b) are contiguous, so a runtime tensor of a batch can point straight into the buffer.
///
/// Buffers are filled in chunks when first used, by the thread that uses them; others meanwhile work on other chunks.
public final class PreparedSamples: Sendable {
    public let split: SplitName
    public let order: SampleOrder
    public let inputs: [SampleInput]
    /// Original row in the source files of the sample at each position.
    public let rows: [Int]
    /// Label of the sample at each position.
    public let labels: [Int]?
    private let source: any SampleSource
    private let buffers: [SampleMemory]
    private let chunks: [Chunk]
    private let chunkSize: Int

    /// Whether a run of samples is filled. The lock is held while filling: whoever takes it after sees what was written.
    private final class Chunk: Sendable {
        let isFilled = Mutex(false)
    }

    init(_ split: DatasetSplit, order: SampleOrder) throws {
        self.split = split.name
        self.order = order
        source = split.source
        inputs = split.inputs
        switch order {
        case .file:
            rows = split.rows
            labels = split.labels
        case .shuffled(let seed):
            let positions = split.evaluationOrder(seed: seed)
            rows = positions.map { split.rows[$0] }
            labels = split.labels.map { labels in positions.map { labels[$0] } }
        }
        let count = split.count
        let place = "\(split.source.place): the \(split.name.rawValue) split"
        var total = 0
        for input in inputs {
            let (bytes, overflow) = input.bytesPerSample.multipliedReportingOverflow(by: count)
            guard !overflow, bytes <= Int.max / 2 - total else { throw EngineError(.data, "\(place) is too large for any memory") }
            total += bytes
        }
        try DataLimits.checkMemory(total, what: place)
        let made = count
        buffers = try split.inputs.map { try SampleMemory(byteCount: $0.bytesPerSample * made, what: place) }
        // About a megabyte: small enough that the first batch is ready soon, large enough that locks do not count.
        let perSample = max(1, split.inputs.reduce(0) { $0 + $1.bytesPerSample })
        chunkSize = max(1, min(1024, (1 << 20) / perSample))
        chunks = (0..<(count + chunkSize - 1) / chunkSize).map { _ in Chunk() }
    }

    public var count: Int { rows.count }

    /// What is right for the samples; `nil` if the files do not say.
    public var targets: Targets? { source.targets }

    /// What is right for the sample at a position.
    /// - Throws: `EngineError` if a file is damaged, or where nothing is known to be right.
    public func target(_ position: Int) throws -> SampleTarget {
        guard let targets = source.targets else { throw EngineError(.data, "\(source.place): no labels") }
        return try targets.target(rows[position])
    }

    /// Where what is right for the sample at a position stands, for messages.
    public func targetPlace(_ position: Int) -> String { source.targets?.files?[rows[position]] ?? source.place(of: rows[position]) }

    /// Makes sure the samples at these positions are filled, filling them here if they are not.
    /// - Throws: `EngineError` naming the file if one is damaged.
    /// - Precondition: `range` lies within 0 ..< `count`.
    public func prepare(_ range: Range<Int>) throws {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "samples out of range")
        guard !range.isEmpty else { return }
        for index in range.lowerBound / chunkSize...(range.upperBound - 1) / chunkSize {
            try chunks[index].isFilled.withLock { isFilled in
                guard !isFilled else { return }
                let positions = index * chunkSize..<min(count, (index + 1) * chunkSize)
                for (input, buffer) in zip(inputs.indices, buffers) {
                    let bytes = inputs[input].bytesPerSample
                    let part = positions.lowerBound * bytes..<positions.upperBound * bytes
                    try source.prepare(rows[positions], input: input, into: UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[part]))
                }
                isFilled = true
            }
        }
    }

    /// Fills everything, on `threads` threads.
    public func prepareAll(threads: Int = 1, cancellation: Cancellation? = nil) throws {
        let next = Atomic(0)
        let failure = Mutex<(any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: max(1, threads)) { _ in
            do {
                while failure.withLock({ $0 == nil }) {
                    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                    guard index < chunks.count else { return }
                    try cancellation?.check()
                    try prepare(index * chunkSize..<min(count, (index + 1) * chunkSize))
                }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// The bytes of samples `range` of one input, filled. Valid as long as this object lives; never changes.
    /// - Precondition: `range` lies within 0 ..< `count`.
    public func samples(_ range: Range<Int>, input: Int = 0) throws -> UnsafeRawBufferPointer {
        try prepare(range)
        let bytes = inputs[input].bytesPerSample
        return UnsafeRawBufferPointer(rebasing: buffers[input].bytes[range.lowerBound * bytes..<range.upperBound * bytes])
    }

    public func withUnsafeBytes<R>(_ range: Range<Int>, input: Int = 0, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try withExtendedLifetime(self) { try body(samples(range, input: input)) }
    }
}
