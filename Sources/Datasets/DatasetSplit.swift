import EngineSupport
import ModelGraph
import Synchronization

/// The parts of a data set. They never overlap.
public enum SplitName: String, Sendable, Codable, Hashable, CaseIterable {
    case train
    case calibration
    case validation
    case test
}

/// The order in which samples are prepared and evaluated.
public enum SampleOrder: Sendable, Hashable {
    /// As in the files.
    case file
    /// A fixed shuffle, so that the first samples are a random part of the split.
    case shuffled(seed: UInt64)

    /// What evaluation uses unless told otherwise.
    public static let evaluation = SampleOrder.shuffled(seed: 0)
}

/// One part of a data set: which rows of the files, their labels, and the prepared samples made on demand.
public final class DatasetSplit: Sendable {
    public let name: SplitName
    /// Row in the source files of every sample, in the split's own order.
    public let rows: [Int]
    /// One per sample, in the split's own order; `nil` without labels.
    public let labels: [Int]?
    /// What is right for the samples; `nil` if the files do not say.
    public var targets: Targets? { source.targets }
    let source: any SampleSource
    private let hash: Lazily<String>
    private let cache = Mutex<PreparedSamples?>(nil)

    init(name: SplitName, source: any SampleSource, rows: [Int]) {
        self.name = name
        self.rows = rows
        self.source = source
        labels = source.labels.map { labels in rows.map { labels[$0] } }
        let labels = labels
        hash = Lazily {
            var digest = ContentHash()
            for input in source.inputs { digest.combine("\(input.name) \(input.type) \(input.shape)\(input.isWhole ? " whole" : "")") }
            try source.combineContent(of: rows, into: &digest)
            digest.combine(labels == nil ? "unlabelled" : "labelled")
            if let labels {
                labels.withUnsafeBytes { digest.combine(bytes: $0) }
            } else if let targets = source.targets {
                digest.combine(targets.kind.rawValue)
                try targets.combineContent(of: rows, into: &digest)
            }
            return digest.description
        }
    }

    public var count: Int { rows.count }

    /// What one sample consists of, in the model's order of inputs.
    public var inputs: [SampleInput] { source.inputs }

    /// 32 hexadecimal digits that stand for everything a result depends on: raw samples, labels, preprocessing, types
    /// and shapes, and the order of rows in the split. Computed at first use.
    /// - Throws: `EngineError` if a file is damaged.
    public var contentHash: String { get throws { try hash.value } }

    /// Positions in the split in the order of evaluation: a fixed permutation for each seed and count.
    public func evaluationOrder(seed: UInt64 = 0) -> [Int] {
        var generator = SeededGenerator(seed: seed)
        return generator.permutation(count)
    }

    /// The samples in `order`, ready for the model. Memory is reserved now, filled when samples are first used, and
    /// shared by everyone who asks for the same order; one order is kept at a time.
    /// - Throws: `EngineError` if this machine has not the memory.
    public func prepared(_ order: SampleOrder = .evaluation) throws -> PreparedSamples {
        try cache.withLock { cache in
            if let cache, cache.order == order { return cache }
            let made = try PreparedSamples(self, order: order)
            cache = made
            return made
        }
    }
}
