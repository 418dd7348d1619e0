/// What is right for one sample.
public enum SampleTarget: Sendable, Hashable {
    /// The class, from 0.
    case label(Int)
    /// Numbers to come near to, an image, or one number of 0 or 1 for each of several labels; row by row.
    case numbers([Float], shape: [Int])
    /// A class for each step, token or pixel; row by row. Those that equal the metric's `ignore` do not count.
    case classes([Int32], shape: [Int])
    /// What is written or said.
    case text(String)
    case boxes([TrueBox])
}

/// An object in an image.
public struct TrueBox: Sendable, Hashable {
    /// From 0.
    public var category: Int
    /// Corners in the coordinates of the model's input, in pixels: left, top, right, bottom.
    public var left, top, right, bottom: Float
    /// Of the object, not of its box; decides COCO's sizes. In pixels of the model's input.
    public var area: Float
    /// A crowd: detections inside it neither count nor harm.
    public var isCrowd: Bool

    public init(category: Int, left: Float, top: Float, right: Float, bottom: Float, area: Float? = nil, isCrowd: Bool = false) {
        self.category = category
        self.left = left
        self.top = top
        self.right = right
        self.bottom = bottom
        self.area = area ?? max(0, right - left) * max(0, bottom - top)
        self.isCrowd = isCrowd
    }
}

/// One sample's part of an output of the model: the view lives as long as the call it is handed to.
public struct OutputView {
    public let name: String
    public let values: UnsafeBufferPointer<Float>
    /// Without the batch dimension.
    public let shape: [Int]

    public init(name: String, values: UnsafeBufferPointer<Float>, shape: [Int]) {
        self.name = name
        self.values = values
        self.shape = shape
    }
}
