/// An object that a model found.
struct Detection {
    /// From 0.
    var category: Int
    var score: Float
    /// Corners in pixels of the model's input.
    var left, top, right, bottom: Float

    /// Whether everything about it is a number.
    var isFinite: Bool { score.isFinite && left.isFinite && top.isFinite && right.isFinite && bottom.isFinite }
}
