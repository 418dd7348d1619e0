/// Under which conditions latency is measured.
public struct LatencyConditions: Sendable, Hashable, Codable {
    /// Samples of one call. Of a model that fixes its batch, the model's.
    public var batch: Int
    /// Threads of one call.
    public var threads: Int

    public init(batch: Int = 1, threads: Int = 1) {
        self.batch = batch
        self.threads = threads
    }

    /// Batch sizes that menus offer.
    public static let batches = [1, 2, 4, 8, 16, 32, 64]

    /// Numbers of threads that menus offer: powers of two up to the machine's cores, and these.
    public static func threadCounts(cores: Int) -> [Int] {
        var counts = [1, 2, 4, 8, 16, 32, 64, 128].filter { $0 <= cores }
        if cores > 1, counts.last != cores { counts.append(cores) }
        return counts
    }
}
