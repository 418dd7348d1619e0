import Foundation

extension PixelImage {
    /// Bilinear resampling as Pillow and torchvision do it for 8-bit images: half-pixel centers, a triangle filter that
    /// widens when shrinking (so nothing is skipped), first along rows, then along columns, each rounded to 8 bits.
    func resized(height newHeight: Int, width newWidth: Int) -> PixelImage {
        var image = self
        if newWidth != width { image = image.resampledRows(to: newWidth) }
        if newHeight != height { image = image.resampledColumns(to: newHeight) }
        return image
    }

    /// The image at an offset in another of `newHeight` × `newWidth`: what reaches beyond it is cut, the rest of it is filled.
    func placed(top: Int, left: Int, height newHeight: Int, width newWidth: Int, fill: UInt8) -> PixelImage {
        guard newHeight != height || newWidth != width || top != 0 || left != 0 else { return self }
        var result = [UInt8](repeating: fill, count: newHeight * newWidth * channels)
        let rows = max(0, top)..<max(max(0, top), min(newHeight, top + height))
        let columns = max(0, left)..<max(max(0, left), min(newWidth, left + width))
        for row in rows {
            let from = ((row - top) * width + columns.lowerBound - left) * channels
            let to = (row * newWidth + columns.lowerBound) * channels
            result.replaceSubrange(to..<to + columns.count * channels, with: pixels[from..<from + columns.count * channels])
        }
        return PixelImage(height: newHeight, width: newWidth, channels: channels, pixels: result)
    }

    /// Red, green, blue; blue, green, red; or luma (ITU-R BT.601 with Pillow's fixed-point weights).
    func converted(to target: Preprocessing.Channels) -> PixelImage {
        switch (target, channels) {
        case (.gray, 1): return self
        case (.gray, _):
            var gray = [UInt8](repeating: 0, count: height * width)
            for index in gray.indices {
                let at = index * channels
                let red = UInt32(pixels[at]) * 19595
                let green = UInt32(pixels[at + 1]) * 38470
                let blue = UInt32(pixels[at + 2]) * 7471
                gray[index] = UInt8((red + green + blue + 0x8000) >> 16)
            }
            return PixelImage(height: height, width: width, channels: 1, pixels: gray)
        case (.rgb, 3): return self
        case (_, 1):
            return PixelImage(height: height, width: width, channels: 3, pixels: pixels.flatMap { [$0, $0, $0] })
        default:
            var colors = [UInt8](repeating: 0, count: height * width * 3)
            for index in 0..<height * width {
                for channel in 0..<3 {
                    colors[index * 3 + channel] = pixels[index * channels + (target == .bgr ? 2 - channel : channel)]
                }
            }
            return PixelImage(height: height, width: width, channels: 3, pixels: colors)
        }
    }

    private func resampledRows(to newWidth: Int) -> PixelImage {
        let taps = FilterTaps(from: width, to: newWidth)
        let result = [UInt8](unsafeUninitializedCapacity: height * newWidth * channels) { out, initialized in
            pixels.withUnsafeBufferPointer { source in
                for row in 0..<height {
                    for column in 0..<newWidth {
                        let weights = taps.weights[column]
                        for channel in 0..<channels {
                            var sum = FilterTaps.half
                            var at = (row * width + taps.first[column]) * channels + channel
                            for weight in weights {
                                sum += Int32(source[at]) * weight
                                at += channels
                            }
                            out[(row * newWidth + column) * channels + channel] = FilterTaps.clamped(sum)
                        }
                    }
                }
            }
            initialized = out.count
        }
        return PixelImage(height: height, width: newWidth, channels: channels, pixels: result)
    }

    private func resampledColumns(to newHeight: Int) -> PixelImage {
        let taps = FilterTaps(from: height, to: newHeight)
        let stride = width * channels
        let result = [UInt8](unsafeUninitializedCapacity: newHeight * stride) { out, initialized in
            pixels.withUnsafeBufferPointer { source in
                var sums = [Int32](repeating: 0, count: stride)
                for row in 0..<newHeight {
                    for index in 0..<stride { sums[index] = FilterTaps.half }
                    for (tap, weight) in taps.weights[row].enumerated() {
                        let at = (taps.first[row] + tap) * stride
                        for index in 0..<stride { sums[index] += Int32(source[at + index]) * weight }
                    }
                    for index in 0..<stride { out[row * stride + index] = FilterTaps.clamped(sums[index]) }
                }
            }
            initialized = out.count
        }
        return PixelImage(height: newHeight, width: width, channels: channels, pixels: result)
    }
}

/// Fixed-point weights of a triangle filter for every output position along one axis.
private struct FilterTaps {
    /// First input position and the weights from there.
    var first: [Int] = []
    var weights: [[Int32]] = []

    /// Weights have 22 fractional bits: 8 bits of pixel and the sum of weights stay within 32.
    static let bits: Int32 = 22
    static let half: Int32 = 1 << (bits - 1)

    static func clamped(_ sum: Int32) -> UInt8 { UInt8(max(0, min(255, sum >> bits))) }

    init(from size: Int, to newSize: Int) {
        let scale = Double(size) / Double(newSize)
        let support = max(1, scale)
        for position in 0..<newSize {
            let center = (Double(position) + 0.5) * scale
            let start = max(0, Int(center - support + 0.5))
            let end = min(size, Int(center + support + 0.5))
            let raw = (start..<end).map { (place: Int) -> Double in max(0, 1 - abs((Double(place) + 0.5 - center) / support)) }
            let total = raw.reduce(0, +)
            first.append(start)
            weights.append(raw.map { Int32(($0 / total * Double(1 << Self.bits) + 0.5).rounded(.down)) })
        }
    }
}
