import Foundation
import Measurement

/// A result that was stored.
public struct StoredTrial: Sendable, Hashable, Identifiable {
    public var key: TrialKey
    public var figures: TrialFigures
    /// Seconds since 1970.
    public var created: Double
    /// A name the user gave it; empty if none.
    public var label: String
    public var isPinned: Bool
    /// Address of the trial it was branched from.
    public var parent: String?

    public init(
        key: TrialKey, figures: TrialFigures, created: Double = Date().timeIntervalSince1970, label: String = "", isPinned: Bool = false,
        parent: String? = nil
    ) {
        self.key = key
        self.figures = figures
        self.created = created
        self.label = label
        self.isPinned = isPinned
        self.parent = parent
    }

    /// The content address.
    public var id: String { key.address }
}
