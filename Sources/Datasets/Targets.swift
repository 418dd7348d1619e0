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
    /// Whether labels are the places of names in a list, and were no numbers before.
    let areNames: Bool
    /// Where the target of each row stands; `nil` where all stand in one file.
    let files: [String]?
    private let reading: @Sendable (Int) throws -> SampleTarget
    private let mixing: @Sendable ([Int], inout ContentHash) throws -> Void

    init(labels: [Int], areNames: Bool = false) {
        kind = .label
        shape = []
        self.labels = labels
        self.areNames = areNames
        files = nil
        reading = { .label(labels[$0]) }
        mixing = { rows, digest in
            rows.map { labels[$0] }.withUnsafeBytes { digest.combine(bytes: $0) }
        }
    }

    /// - Parameters:
    ///   - read: the target of a row; safe from several threads at once.
    ///   - mix: mixes in what decides the targets of rows.
    ///   - files: of the rows, where each has its own.
    init(
        kind: Kind, shape: [Int]?, files: [String]? = nil, read: @escaping @Sendable (Int) throws -> SampleTarget,
        mix: @escaping @Sendable ([Int], inout ContentHash) throws -> Void
    ) {
        self.kind = kind
        self.shape = shape
        self.files = files
        labels = nil
        areNames = false
        reading = read
        mixing = mix
    }

    /// The same with each row's target changed. `how` says so in the digest; `nil` where nothing changes but what is refused.
    func mapped(how: String?, _ change: @escaping @Sendable (Int, SampleTarget) throws -> SampleTarget) -> Targets {
        let (reading, mixing) = (reading, mixing)
        return Targets(
            kind: kind, shape: shape, files: files, read: { try change($0, reading($0)) },
            mix: { rows, digest in
                if let how { digest.combine(how) }
                try mixing(rows, &digest)
            })
    }

    /// - Throws: `EngineError` if a file is damaged.
    public func target(_ row: Int) throws -> SampleTarget { try reading(row) }

    /// Mixes in everything that decides the targets of `rows`.
    func combineContent(of rows: [Int], into digest: inout ContentHash) throws { try mixing(rows, &digest) }
}
