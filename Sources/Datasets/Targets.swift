import EngineSupport
import Metrics
import ModelGraph

/// What is right for each row of a source: classes, numbers, class maps, texts or boxes.
public struct Targets: Sendable {
    public enum Kind: String, Sendable {
        case label, numbers, classes, text, boxes
    }

    public let kind: Kind
    /// Shape of one sample's target, where all have the same; empty for one number.
    public let shape: [Int]?
    /// Class of each row; `nil` for other kinds.
    public let labels: [Int]?
    private let reading: @Sendable (Int) throws -> SampleTarget
    private let mixing: @Sendable ([Int], inout ContentHash) throws -> Void

    init(labels: [Int]) {
        kind = .label
        shape = []
        self.labels = labels
        reading = { .label(labels[$0]) }
        mixing = { rows, digest in
            rows.map { labels[$0] }.withUnsafeBytes { digest.combine(bytes: $0) }
        }
    }

    /// - Parameters:
    ///   - read: the target of a row; safe from several threads at once.
    ///   - mix: mixes in what decides the targets of rows.
    init(
        kind: Kind, shape: [Int]?, read: @escaping @Sendable (Int) throws -> SampleTarget, mix: @escaping @Sendable ([Int], inout ContentHash) throws -> Void
    ) {
        self.kind = kind
        self.shape = shape
        labels = nil
        reading = read
        mixing = mix
    }

    /// - Throws: `EngineError` if a file is damaged.
    public func target(_ row: Int) throws -> SampleTarget { try reading(row) }

    /// Mixes in everything that decides the targets of `rows`.
    func combineContent(of rows: [Int], into digest: inout ContentHash) throws { try mixing(rows, &digest) }
}
