import EngineSupport
import Metrics

/// Where an image comes to lie in the model's input: resized first, then cut or set at an offset. Masks and boxes go the same way.
struct ImagePlacement: Equatable {
    /// Of the file's image.
    let rawHeight, rawWidth: Int
    /// Of the resized image.
    let resizedHeight, resizedWidth: Int
    /// Where the resized image begins in the result; below zero where it is cut.
    let top, left: Int
    /// Of the result.
    let height, width: Int
    let fill: UInt8

    /// - Throws: `EngineError` if what comes out has not the wanted size.
    init(height rawHeight: Int, width rawWidth: Int, _ preprocessing: Preprocessing, outHeight: Int, outWidth: Int, place: String) throws(EngineError) {
        self.rawHeight = rawHeight
        self.rawWidth = rawWidth
        var (height, width) = (rawHeight, rawWidth)
        var (top, left) = (0, 0)
        var fill: UInt8 = 0
        var (boxHeight, boxWidth): (Int?, Int?) = (nil, nil)
        switch preprocessing.resize {
        case .exact(let newHeight, let newWidth): (height, width) = (newHeight, newWidth)
        case .shorterSide(let side):
            let shorter = min(rawHeight, rawWidth)
            let longer = max(rawHeight, rawWidth) * side / max(1, shorter)
            (height, width) = rawHeight == shorter ? (side, longer) : (longer, side)
        case .letterbox(let newHeight, let newWidth, let color, let anchor):
            (height, width) = Self.fitted(height: rawHeight, width: rawWidth, into: newHeight, newWidth, anchor: anchor)
            if anchor == .center {
                // Of an odd margin the smaller half is above and left.
                top = (newHeight - height) / 2
                left = (newWidth - width) / 2
            }
            fill = color
            (boxHeight, boxWidth) = (newHeight, newWidth)
        case nil: if preprocessing.crop == nil { (height, width) = (outHeight, outWidth) }
        }
        guard height.multipliedReportingOverflow(by: width).overflow == false, height * width <= DataLimits.imagePixels else {
            throw EngineError(.data, "\(place): \(height) × \(width) pixels after resize, at most \(DataLimits.imagePixels >> 20) Mi")
        }
        (resizedHeight, resizedWidth) = (height, width)
        (height, width) = (boxHeight ?? height, boxWidth ?? width)
        if let crop = preprocessing.crop {
            guard crop[0] <= height, crop[1] <= width else {
                throw EngineError(.data, "\(place): \(height) × \(width) pixels, too few for a crop of \(crop[0]) × \(crop[1])")
            }
            // torchvision's rounding of odd margins.
            top -= Int((Double(height - crop[0]) / 2).rounded(.toNearestOrEven))
            left -= Int((Double(width - crop[1]) / 2).rounded(.toNearestOrEven))
            (height, width) = (crop[0], crop[1])
        }
        guard height == outHeight, width == outWidth else {
            throw EngineError(.data, "\(place): \(height) × \(width) pixels after resize and crop, the shape has \(outHeight) × \(outWidth)")
        }
        (self.top, self.left, self.fill) = (top, left, fill)
        (self.height, self.width) = (height, width)
    }

    /// The largest size of the same proportions: rounded as YOLOv5 to v11 do for the middle, rounded down as YOLOX does for the corner.
    private static func fitted(height: Int, width: Int, into newHeight: Int, _ newWidth: Int, anchor: Preprocessing.Anchor) -> (Int, Int) {
        let ratio = min(Double(newHeight) / Double(max(1, height)), Double(newWidth) / Double(max(1, width)))
        let rounding: FloatingPointRoundingRule = anchor == .center ? .toNearestOrEven : .down
        // A ratio of floating point may fall short of the side it is of.
        func side(_ length: Int, _ limit: Int) -> Int { min(limit, max(1, Int((Double(length) * ratio + 1e-9).rounded(rounding)))) }
        return (side(height, newHeight), side(width, newWidth))
    }

    /// Bilinear.
    func apply(_ image: PixelImage) -> PixelImage {
        image.resized(height: resizedHeight, width: resizedWidth).placed(top: top, left: left, height: height, width: width, fill: fill)
    }

    /// The nearest value of a map of whole numbers over the raw image, as Pillow takes it; `outside` where the image does not reach.
    func apply(_ classes: [Int32], outside: Int32) -> [Int32] {
        var result = [Int32](repeating: outside, count: height * width)
        func sources(_ count: Int, _ offset: Int, _ resized: Int, _ raw: Int) -> [Int?] {
            let scale = Double(raw) / Double(resized)
            return (0..<count).map { position in
                let at = position - offset
                return (0..<resized).contains(at) ? min(raw - 1, Int((Double(at) + 0.5) * scale)) : nil
            }
        }
        let rows = sources(height, top, resizedHeight, rawHeight)
        let columns = sources(width, left, resizedWidth, rawWidth)
        for (row, fromRow) in rows.enumerated() {
            guard let fromRow else { continue }
            for (column, fromColumn) in columns.enumerated() {
                if let fromColumn { result[row * width + column] = classes[fromRow * rawWidth + fromColumn] }
            }
        }
        return result
    }

    /// A box of the raw image, in its pixels, in the result: clipped to it; `nil` if nothing is left of it.
    /// - Parameter area: of the object, in raw pixels.
    func apply(category: Int, left x0: Double, top y0: Double, right x1: Double, bottom y1: Double, area: Double?, isCrowd: Bool) -> TrueBox? {
        let (horizontal, vertical) = (Double(resizedWidth) / Double(rawWidth), Double(resizedHeight) / Double(rawHeight))
        func clipped(_ value: Double, _ limit: Int) -> Float { Float(min(max(value, 0), Double(limit))) }
        let left = clipped(x0 * horizontal + Double(self.left), width)
        let right = clipped(x1 * horizontal + Double(self.left), width)
        let top = clipped(y0 * vertical + Double(self.top), height)
        let bottom = clipped(y1 * vertical + Double(self.top), height)
        guard right > left, bottom > top else { return nil }
        return TrueBox(
            category: category, left: left, top: top, right: right, bottom: bottom, area: area.map { Float($0 * horizontal * vertical) }, isCrowd: isCrowd)
    }
}
