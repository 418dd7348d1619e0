import CompressionEngine
import Measurement

/// Stored results, and how they are looked at.
public struct TrialBoard: Sendable {
    public var trials: [TrialRecord] = []
    public var axes = TrialAxes()
    /// The user chose an axis: nothing else does any more.
    public var areAxesChosen = false
    /// The trial under the cursor.
    public var cursor: String?
    public var sort = TrialSort()

    public init() {}
}

/// What the two axes of the trade-off show.
public struct TrialAxes: Sendable, Hashable {
    public var x = Measure.file
    /// The data set's metric at first.
    public var y = Measure.top1
}
