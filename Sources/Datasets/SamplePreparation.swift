import EngineSupport
import Foundation
import ModelGraph

/// The way of one raw array's rows to one model input: shape, type and preprocessing settled once, checked once.
struct ArrayPreparation: Sendable {
    let input: SampleInput
    private let rawType: SampleType
    private let rawShape: [Int]
    private let preprocessing: Preprocessing
    private let place: String
    private let route: Route

    private enum Route {
        /// Bytes as they are.
        case copy
        /// Whole numbers into a wider or narrower type.
        case integers
        /// Scaled floats. `transposed`: the file has channels last and the model first (1), or the reverse (-1).
        case floats(transposed: Int)
        /// Pixels: channels, resize, crop, then scaled floats.
        case pixels(channelsFirst: Bool)
    }

    /// - Parameters:
    ///   - isWhole: a row is all that a call takes for the input, and `wanted` has one dimension more than the model's input.
    ///   - place: file (and array) for messages.
    /// - Throws: `EngineError` if no sample of the wanted shape or type can come out of this array.
    init(
        type rawType: SampleType, rowShape rawShape: [Int], input wanted: ModelInputDescription, isWhole: Bool = false, preprocessing: Preprocessing,
        place: String
    ) throws(EngineError) {
        self.rawType = rawType
        self.rawShape = rawShape
        self.preprocessing = preprocessing
        self.place = place
        let target: [Int]
        if preprocessing.changesPixels {
            guard rawType == .uint8, let channelsFirst = Self.imageLayout(rawShape) else {
                throw EngineError(.data, "\(place): resize, crop and channels need 8-bit images, found \(rawType) \(rawShape.shapeText)")
            }
            let raw = PixelPipeline.split(rawShape, layout: channelsFirst ? .nchw : .nhwc)
            target = try PixelPipeline.sampleShape(preprocessing, wanted: wanted, raw: raw, place: place)
            route = .pixels(channelsFirst: channelsFirst)
        } else {
            target = preprocessing.shape ?? wanted.sampleShape ?? Self.completed(rawShape, by: wanted.shape)
            guard target.elementCount == rawShape.elementCount else {
                throw EngineError(
                    .data, "\(place): samples have shape \(rawShape.shapeText), expected \(target.shapeText) for input '\(wanted.name.shortened)'")
            }
            let transposed = Self.transposition(from: rawShape, to: target, layout: preprocessing.layout)
            if transposed != 0 || !preprocessing.keepsValues {
                route = .floats(transposed: transposed)
            } else if wanted.type.map({ $0 == rawType }) ?? (rawType != .float64 && rawType != .float16) {
                route = .copy
            } else if let type = wanted.type, !type.isFloatingPoint {
                guard !rawType.isFloatingPoint, type != .bool else {
                    throw EngineError(.data, "\(place): holds \(rawType), input '\(wanted.name.shortened)' takes \(type)")
                }
                route = .integers
            } else {
                route = .floats(transposed: 0)
            }
        }
        let type: SampleType
        switch route {
        case .copy: type = rawType
        case .integers: type = wanted.type ?? rawType
        case .floats, .pixels:
            type = wanted.type ?? .float32
            guard type.isFloatingPoint else {
                throw EngineError(.data, "\(place): preprocessing gives real numbers, input '\(wanted.name.shortened)' takes \(type)")
            }
        }
        input = SampleInput(name: wanted.name, type: type, shape: target, isWhole: isWhole)
        _ = try DataLimits.byteCount(shape: target, type: type, file: place)
        try preprocessing.checkChannels(of: target, where: place)
    }

    /// Writes the prepared samples of `rows` one after the other.
    func prepare(_ rows: ArraySlice<Int>, of array: RawArray, into out: UnsafeMutableRawBufferPointer) throws {
        let bytes = input.bytesPerSample
        var pipeline: PixelPipeline?
        for (index, row) in rows.enumerated() {
            let source = array.row(row)
            guard let from = source.baseAddress, let to = out.baseAddress.map({ $0 + index * bytes }) else { continue }
            switch route {
            case .copy:
                to.copyMemory(from: from, byteCount: bytes)
            case .integers:
                if let at = ElementConversion.integers(from, type: rawType, count: input.elementCount, as: input.type, into: to) {
                    throw EngineError(.data, "\(place): row \(row), element \(at): does not fit \(input.type)")
                }
            case .floats(let transposed):
                storeFloats(into: to) { floats in
                    FloatLayout(preprocessing, shape: input.shape).apply(from, type: rawType, transposed: transposed, into: floats)
                }
            case .pixels(let channelsFirst):
                if pipeline == nil { pipeline = PixelPipeline(preprocessing, shape: input.shape) }
                let image = Self.image(source, shape: rawShape, channelsFirst: channelsFirst)
                try storeFloats(into: to) { try pipeline?.apply(image, into: $0, place: "\(place): row \(row)") }
            }
        }
    }

    private func storeFloats(into out: UnsafeMutableRawPointer, _ body: (UnsafeMutablePointer<Float>) throws -> Void) rethrows {
        if input.type == .float32 {
            try body(out.assumingMemoryBound(to: Float.self))
        } else {
            try withUnsafeTemporaryAllocation(of: Float.self, capacity: input.elementCount) { floats in
                guard let base = floats.baseAddress else { return }
                try body(base)
                ElementConversion.store(UnsafeBufferPointer(floats), as: input.type, into: out)
            }
        }
    }

    /// Raw shape with the dimension of size 1 that the model has and the file has not ([28, 28] for [N, 1, ?, ?]).
    private static func completed(_ raw: [Int], by model: [Int?]?) -> [Int] {
        guard let sample = model.map({ Array($0.dropFirst()) }), sample.count == raw.count + 1,
            let axis = sample.firstIndex(where: { $0 == 1 })
        else { return raw }
        var completed = raw
        completed.insert(1, at: axis)
        return completed
    }

    /// 1 if the file's [H, W, C] must become [C, H, W], -1 for the reverse, 0 if the order of elements stays.
    private static func transposition(from raw: [Int], to target: [Int], layout: Preprocessing.Layout) -> Int {
        guard raw.count == 3, target.count == 3, raw != target else { return 0 }
        if layout == .nchw, raw == [target[1], target[2], target[0]] { return 1 }
        if layout == .nhwc, raw == [target[2], target[0], target[1]] { return -1 }
        return 0
    }

    /// Whether channels come first, for shapes that can be an image: [H, W], [H, W, 1 or 3], [1 or 3, H, W].
    private static func imageLayout(_ shape: [Int]) -> Bool? {
        if shape.count == 2 { return false }
        guard shape.count == 3 else { return nil }
        if shape[2] == 1 || shape[2] == 3 { return false }
        return shape[0] == 1 || shape[0] == 3 ? true : nil
    }

    private static func image(_ source: UnsafeRawBufferPointer, shape: [Int], channelsFirst: Bool) -> PixelImage {
        guard channelsFirst else {
            return PixelImage(height: shape[0], width: shape[1], channels: shape.count == 3 ? shape[2] : 1, pixels: Array(source))
        }
        let (channels, area) = (shape[0], shape[1] * shape[2])
        var pixels = [UInt8](repeating: 0, count: source.count)
        for channel in 0..<channels {
            for index in 0..<area { pixels[index * channels + channel] = source[channel * area + index] }
        }
        return PixelImage(height: shape[1], width: shape[2], channels: channels, pixels: pixels)
    }
}

/// Scale, mean and std spread over a sample's channels.
struct FloatLayout {
    private let scale: Float
    private let mean: [Float]
    private let std: [Float]
    private let layout: Preprocessing.Layout
    private let channels: Int
    private let area: Int

    init(_ preprocessing: Preprocessing, shape: [Int]) {
        scale = Float(preprocessing.scale)
        layout = preprocessing.layout
        channels = max(1, Preprocessing.channelCount(of: shape, layout: layout))
        area = shape.reduce(1, *) / channels
        mean = preprocessing.mean.isEmpty ? [0] : preprocessing.mean.map { Float($0) }
        std = preprocessing.std.isEmpty ? [1] : preprocessing.std.map { Float($0) }
    }

    /// - Parameter transposed: 1: `source` has channels last and `out` first; -1: the reverse; 0: the same order.
    func apply(_ source: UnsafeRawPointer, type: SampleType, transposed: Int, into out: UnsafeMutablePointer<Float>) {
        if transposed == 0, mean.count == 1, std.count == 1 {
            ElementConversion.affine(source, type: type, count: channels * area, step: 1, scale: scale, mean: mean[0], std: std[0], into: out)
            return
        }
        let width = type.byteWidth
        let outputLast = layout == .nhwc
        let sourceLast = transposed == 0 ? outputLast : transposed == 1
        withUnsafeTemporaryAllocation(of: Float.self, capacity: area) { plane in
            guard let base = plane.baseAddress else { return }
            for channel in 0..<channels {
                let from = source + (sourceLast ? channel : channel * area) * width
                let target = outputLast ? base : out + channel * area
                ElementConversion.affine(
                    from, type: type, count: area, step: sourceLast ? channels : 1, scale: scale, mean: mean[mean.count == 1 ? 0 : channel],
                    std: std[std.count == 1 ? 0 : channel], into: target)
                if outputLast {
                    for index in 0..<area { out[index * channels + channel] = base[index] }
                }
            }
        }
    }
}

/// Channels, resize, crop, then floats.
struct PixelPipeline {
    private let preprocessing: Preprocessing
    private let height: Int
    private let width: Int
    private let channels: Preprocessing.Channels
    private let channelsFirst: Bool
    private let floats: FloatLayout

    init(_ preprocessing: Preprocessing, shape: [Int]) {
        self.preprocessing = preprocessing
        channelsFirst = preprocessing.layout == .nchw
        let (channelCount, height, width) = Self.split(shape, layout: preprocessing.layout)
        self.height = height
        self.width = width
        channels = preprocessing.channels ?? (channelCount == 1 ? .gray : .rgb)
        floats = FloatLayout(preprocessing, shape: shape)
    }

    /// Channels, height, width of a sample's shape; two dimensions are a gray image.
    static func split(_ shape: [Int], layout: Preprocessing.Layout) -> (channels: Int, height: Int, width: Int) {
        switch (shape.count, layout) {
        case (3, .nchw): (shape[0], shape[1], shape[2])
        case (3, .nhwc): (shape[2], shape[0], shape[1])
        case (2, _): (1, shape[0], shape[1])
        default: (0, 0, 0)
        }
    }

    /// Shape of one sample: declared, or the model's, or what resize, crop and channels make of `raw`.
    /// - Throws: `EngineError` if that is not an image's shape, or certainly not what comes out.
    static func sampleShape(
        _ preprocessing: Preprocessing, wanted: ModelInputDescription, raw: (channels: Int, height: Int, width: Int), place: String
    ) throws(EngineError) -> [Int] {
        var (channels, height, width) = raw
        if let target = preprocessing.channels { channels = target == .gray ? 1 : 3 }
        var fixedSize: (height: Int, width: Int)?
        switch preprocessing.resize {
        case .exact(let height, let width), .letterbox(let height, let width, _, _): fixedSize = (height, width)
        case .shorterSide, nil: break
        }
        if let crop = preprocessing.crop { fixedSize = (crop[0], crop[1]) }
        if let fixedSize { (height, width) = fixedSize }
        let natural = preprocessing.layout == .nchw ? [channels, height, width] : [height, width, channels]
        guard let shape = preprocessing.shape ?? wanted.sampleShape else { return natural }
        let parts = split(shape, layout: preprocessing.layout)
        guard parts.channels == 1 || parts.channels == 3, parts.height > 0, parts.width > 0 else {
            let order = preprocessing.layout == .nchw ? "[1 or 3, height, width]" : "[height, width, 1 or 3]"
            throw EngineError(.data, "\(place): shape \(shape.shapeText) is not that of an image, expected \(order)")
        }
        if let fixedSize, (parts.height, parts.width) != fixedSize {
            throw EngineError(
                .data, "\(place): resize and crop give \(fixedSize.height) × \(fixedSize.width) pixels, the shape is \(shape.shapeText)")
        }
        if preprocessing.channels != nil, parts.channels != channels {
            throw EngineError(.data, "\(place): channels gives \(channels), the shape is \(shape.shapeText)")
        }
        return shape
    }

    /// - Throws: `EngineError` if what comes out has not the sample's shape.
    func apply(_ raw: PixelImage, into out: UnsafeMutablePointer<Float>, place: String) throws {
        let placement = try ImagePlacement(height: raw.height, width: raw.width, preprocessing, outHeight: height, outWidth: width, place: place)
        let image = placement.apply(raw.converted(to: channels))
        image.pixels.withUnsafeBytes { pixels in
            guard let base = pixels.baseAddress else { return }
            floats.apply(base, type: .uint8, transposed: channelsFirst && image.channels > 1 ? 1 : 0, into: out)
        }
    }
}
