import EngineSupport

/// How raw values become what a model takes: value = (raw · scale − mean) / std per channel, in float32 and in this
/// order of operations, so that NumPy's float32 expression gives the same bits.
public struct Preprocessing: Sendable, Hashable {
    public enum Layout: String, Sendable, CaseIterable {
        /// Channel first: `shape` reads [C, H, W].
        case nchw
        /// Channel last: `shape` reads [H, W, C].
        case nhwc
    }

    public enum Channels: String, Sendable, CaseIterable {
        case rgb, bgr, gray
    }

    public enum Resize: Sendable, Hashable {
        /// To this height and width, whatever the proportions.
        case exact(height: Int, width: Int)
        /// The shorter side to this length, proportions kept (the longer side rounded down, as torchvision does).
        case shorterSide(Int)
        /// Into this height and width with the proportions kept; what is left over is filled (YOLO's way).
        case letterbox(height: Int, width: Int, fill: UInt8, anchor: Anchor)
    }

    /// Where a letterbox has the image.
    public enum Anchor: String, Sendable, CaseIterable {
        /// Half of the fill on either side.
        case center
        /// At the top and left.
        case corner
    }

    /// Multiplies raw values.
    public var scale: Double
    /// Subtracted after scaling; none, one for all, or one per channel.
    public var mean: [Double]
    /// Divides last; none, one for all, or one per channel. Never zero.
    public var std: [Double]
    /// Shape of one sample, without the batch dimension.
    public var shape: [Int]?
    public var layout: Layout
    /// Before `crop`. `nil`: images that are not of the shape's height and width are resized to them.
    public var resize: Resize?
    /// Height and width cut out of the middle.
    public var crop: [Int]?
    public var channels: Channels?
    /// Red, green, blue of each class, where masks are colored.
    public var colors: [[UInt8]] = []
    /// Class of the colors that `colors` does not have; `nil`: such a color is an error.
    public var unknownColor: Int32?
    public var sound = SoundPreprocessing()
    public var tokens = TokenPreprocessing()

    public init(
        scale: Double = 1, mean: [Double] = [], std: [Double] = [], shape: [Int]? = nil, layout: Layout = .nchw, resize: Resize? = nil,
        crop: [Int]? = nil, channels: Channels? = nil
    ) {
        self.scale = scale
        self.mean = mean
        self.std = std
        self.shape = shape
        self.layout = layout
        self.resize = resize
        self.crop = crop
        self.channels = channels
    }

    /// Whether values stay as they are in the file.
    public var keepsValues: Bool { scale == 1 && mean.allSatisfy { $0 == 0 } && std.allSatisfy { $0 == 1 } }

    /// Whether samples must be treated as images rather than as numbers.
    var changesPixels: Bool { resize != nil || crop != nil || channels != nil }

    /// The same preprocessing always gives the same text; part of content addresses.
    var canonicalText: String {
        let plain =
            "scale \(scale) mean \(mean) std \(std) layout \(layout) resize \(resize.map { "\($0)" } ?? "-") crop \(crop.map { "\($0)" } ?? "-") channels \(channels?.rawValue ?? "-")"
        return plain + (sound == SoundPreprocessing() ? "" : " \(sound)")
    }

    /// - Throws: `EngineError` if `mean` or `std` do not fit a sample of this shape; `where` begins the message.
    func checkChannels(of shape: [Int], where place: String) throws(EngineError) {
        let channels = Self.channelCount(of: shape, layout: layout)
        for (name, values) in [("mean", mean), ("std", std)] where values.count > 1 && values.count != channels {
            throw EngineError(.data, "\(place): \(values.count) values of \(name) for \(channels) channels of a sample \(shape.shapeText)")
        }
    }

    /// Axis 0 (nchw) or the last axis (nhwc); a vector's elements are its channels.
    static func channelCount(of shape: [Int], layout: Layout) -> Int { (layout == .nchw ? shape.first : shape.last) ?? 1 }
}

/// What a model wants of one input; as much as is known.
public struct ModelInputDescription: Sendable, Hashable {
    public var name: String
    /// `nil`: samples keep their own type.
    public var type: SampleType?
    /// With the batch dimension first; `nil` for dimensions that are free. `nil` altogether if unknown.
    public var shape: [Int?]?

    /// The same input with one more dimension in front, which counts samples.
    var stacked: ModelInputDescription { ModelInputDescription(name: name, type: type, shape: shape.map { [nil] + $0 }) }

    public init(name: String, type: SampleType? = nil, shape: [Int?]? = nil) {
        self.name = name
        self.type = type
        self.shape = shape
    }

    /// Shape of one sample if every dimension but the batch is fixed.
    var sampleShape: [Int]? {
        guard let shape, !shape.isEmpty else { return nil }
        let fixed = shape.dropFirst().compactMap { $0 }
        return fixed.count == shape.count - 1 ? fixed : nil
    }
}

/// One input of a model as a data set delivers it.
public struct SampleInput: Sendable, Hashable {
    public var name: String
    public var type: SampleType
    /// Without the batch dimension; of a whole input with every dimension.
    public var shape: [Int]
    /// Whether a sample is all that one call takes for this input, because the input has no batch dimension in front
    /// (a scalar, or the state of a recurrent network as [layers, batch, size]).
    public var isWhole = false
    /// Whether it is the same for all samples, so that several may share a call although it has no batch dimension.
    public var isShared = false

    public init(name: String, type: SampleType, shape: [Int], isWhole: Bool = false, isShared: Bool = false) {
        self.name = name
        self.type = type
        self.shape = shape
        self.isWhole = isWhole
        self.isShared = isShared
    }

    /// Shape of a value over `rows` samples. Of whole inputs a call takes one.
    public func valueShape(rows: Int) -> [Int] { isWhole ? shape : [rows] + shape }

    public var elementCount: Int { shape.reduce(1, *) }
    public var bytesPerSample: Int { elementCount * type.byteWidth }
}
