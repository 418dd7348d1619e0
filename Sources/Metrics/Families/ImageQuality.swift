import EngineSupport
import Foundation

/// Contribution: 10 · log10(range² / mean squared error) in decibels, at most 150, beyond which rounding of float32 is all that is left (equal
/// images would be infinite), and at least −150 (also where an output is not finite).
struct PeakSignalToNoise: MetricComputation {
    let range: Double
    static let ceiling = 150.0

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let (image, truth) = try NumberPairs.compared(outputs, target, .psnr)
        var sum = 0.0
        for index in image.indices {
            let error = Double(image[index]) - Double(truth[index])
            sum += error * error
        }
        let decibels = 10 * log10(range * range / (sum / Double(image.count)))
        return [decibels.isNaN ? -Self.ceiling : max(-Self.ceiling, min(Self.ceiling, decibels))]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SampleRatio(contributions, isMean: true) }
}

/// Structural similarity (Wang et al. 2004) with their Gaussian window of 11 pixels (σ 1.5) and covariances divided by n: scikit-image's with
/// `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`. Mean over channels.
///
/// Images are [H, W], [C, H, W] or [H, W, C], where an end of 1, 3 or 4 is the channels' (the first if both are). Contribution: the similarity, −1
/// where an output is not finite.
struct StructuralSimilarity: MetricComputation {
    let range: Double

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let (image, truth) = try NumberPairs.compared(outputs, target, .ssim)
        let shape = outputs[0].shape
        let lastIsChannels = shape.count == 3 && ![1, 3, 4].contains(shape[0]) && [1, 3, 4].contains(shape[2])
        // [1, …, C, H, W] as well.
        guard shape.count >= 2 else { throw EngineError(.data, "metric ssim: output of shape \(shape), expected an image") }
        let (height, width) = lastIsChannels ? (shape[0], shape[1]) : (shape[shape.count - 2], shape[shape.count - 1])
        guard height >= Self.window, width >= Self.window else {
            throw EngineError(.data, "metric ssim: images of \(height) × \(width) pixels, expected \(Self.window) × \(Self.window) or more")
        }
        let channels = image.count / (height * width)
        var sum = 0.0
        for channel in 0..<channels {
            let (start, step) = lastIsChannels ? (channel, channels) : (channel * height * width, 1)
            var (x, y) = ([Double](repeating: 0, count: height * width), [Double](repeating: 0, count: height * width))
            for index in x.indices {
                x[index] = Double(image[start + index * step])
                y[index] = Double(truth[start + index * step])
            }
            sum += similarity(x, y, height, width)
        }
        let mean = sum / Double(channels)
        return [mean.isNaN ? -1 : mean]
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic { SampleRatio(contributions, isMean: true) }

    private static let window = 11
    private static let weights: [Double] = {
        let values = (-5...5).map { exp(-0.5 * Double($0 * $0) / (1.5 * 1.5)) }
        let sum = values.reduce(0, +)
        return values.map { $0 / sum }
    }()

    private func similarity(_ x: [Double], _ y: [Double], _ height: Int, _ width: Int) -> Double {
        let product = { (left: [Double], right: [Double]) in left.indices.map { left[$0] * right[$0] } }
        let blur = { (values: [Double]) in Self.blurred(values, height, width) }
        let (ux, uy, uxx, uyy, uxy) = (blur(x), blur(y), blur(product(x, x)), blur(product(y, y)), blur(product(x, y)))
        let (c1, c2) = (0.01 * range * 0.01 * range, 0.03 * range * 0.03 * range)
        var sum = 0.0
        for index in ux.indices {
            let (mx, my) = (ux[index], uy[index])
            let (vx, vy, vxy) = (uxx[index] - mx * mx, uyy[index] - my * my, uxy[index] - mx * my)
            sum += (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
        }
        return sum / Double(ux.count)
    }

    /// Windows that lie within the image: (height − 10) × (width − 10).
    private static func blurred(_ values: [Double], _ height: Int, _ width: Int) -> [Double] {
        let (rows, columns) = (height - window + 1, width - window + 1)
        var down = [Double](repeating: 0, count: rows * width)
        var result = [Double](repeating: 0, count: rows * columns)
        values.withUnsafeBufferPointer { values in
            weights.withUnsafeBufferPointer { weights in
                down.withUnsafeMutableBufferPointer { down in
                    for row in 0..<rows {
                        for tap in 0..<window {
                            let (weight, source) = (weights[tap], (row + tap) * width)
                            for column in 0..<width { down[row * width + column] += weight * values[source + column] }
                        }
                    }
                    result.withUnsafeMutableBufferPointer { result in
                        for row in 0..<rows {
                            for tap in 0..<window {
                                let weight = weights[tap]
                                for column in 0..<columns { result[row * columns + column] += weight * down[row * width + column + tap] }
                            }
                        }
                    }
                }
            }
        }
        return result
    }
}
