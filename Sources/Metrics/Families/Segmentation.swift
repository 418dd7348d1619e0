import EngineSupport

/// Mean intersection over union and pixel accuracy of class maps.
///
/// Outputs are scores [C, H, W] or [H, W, C], classes [H, W] (whole numbers), or one score of class 1 per pixel ([H, W], [1, H, W], [H, W, 1]:
/// numbers that are not whole), cut at the threshold; without one at one half, or at 0 where a score lies outside 0 ... 1. An output whose height and
/// width are whole fractions of the mask's is scaled up: each of its pixels speaks for a block of the mask's.
/// Contribution to the accuracy: right pixels and all; to the mean: of each class its number, right, said and true pixels.
struct PixelClasses: MetricComputation {
    let kind: MetricKind
    let ignore: Int?
    let threshold: Double?

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let view = try outputs.scored(kind)
        let (mask, fullShape) = try target.classes(kind)
        var maskShape = fullShape
        while maskShape.count > 2, maskShape[0] == 1 { maskShape.removeFirst() }
        while maskShape.count > 2, maskShape.last == 1 { maskShape.removeLast() }
        guard maskShape.count == 2, maskShape.allSatisfy({ $0 > 0 }), maskShape[0] * maskShape[1] == mask.count else { throw target.mismatch(kind, expected: "a class map [H, W]") }
        let (height, width) = (maskShape[0], maskShape[1])
        let said = try predictions(view, height, width)
        let (down, across) = (height / said.height, width / said.width)
        // Far fewer classes than pixels: counted in a flat table where numbers are small.
        let ignored = ignore.flatMap { Int32(exactly: $0) }
        try check(mask, ignored, said.count)
        let largest = max(0, Int(mask.max() ?? 0), Int(said.classes.max() ?? 0))
        guard largest < 1 << 20 else { throw EngineError(.data, "metric \(kind.rawValue): class \(largest), expected fewer than \(1 << 20)") }
        var sums = [Int](repeating: 0, count: 3 * (largest + 1))
        var (right, all) = (0, 0)
        for row in 0..<height {
            for column in 0..<width {
                let had = mask[row * width + column]
                if had == ignored || had < 0 { continue }
                let guess = said.classes[row / down * said.width + column / across]
                all += 1
                sums[3 * Int(had) + 2] += 1
                if guess >= 0 { sums[3 * Int(guess) + 1] += 1 }
                if guess == had {
                    sums[3 * Int(had)] += 1
                    right += 1
                }
            }
        }
        if kind == .pixelAccuracy { return [Double(right), Double(all)] }
        var result: [Double] = []
        for index in 0...largest where sums[3 * index + 1] + sums[3 * index + 2] > 0 {
            result.append(Double(index))
            for place in 0..<3 { result.append(Double(sums[3 * index + place])) }
        }
        return result
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        kind == .pixelAccuracy ? SampleRatio(contributions) : ClassCountStatistic(contributions, from: 0, form: .meanIoU)
    }

    /// - Parameter count: classes that the output tells; `nil` where its numbers are the classes themselves.
    private func check(_ mask: [Int32], _ ignored: Int32?, _ count: Int?) throws(EngineError) {
        // Where the output tells no number of classes, what marks pixels without a class as a rule is still no class unless 'ignore' is given.
        let limit = count.map { Int32(clamping: $0) } ?? .max
        let void: Int32? = count == nil && ignore == nil ? 255 : nil
        guard let beyond = mask.first(where: { $0 != ignored && ($0 >= limit || $0 == void) }) else { return }
        let isBlackAndWhite = mask.allSatisfy { $0 == 0 || $0 == 255 }
        let remedy =
            isBlackAndWhite && (count ?? 2) == 2
            ? "'colors: [[0, 0, 0], [255, 255, 255]]' under 'preprocessing' makes white class 1, 'ignore: 255' leaves it out"
            : "'ignore: \(beyond)' leaves such pixels out" + (Int(beyond) == count ? ", 'label_offset: 1' is for classes that count from 1" : "")
        throw EngineError(
            .label,
            "metric \(kind.rawValue): the mask has class \(beyond), " + (count.map { "expected 0 to \($0 - 1) as the output tells \($0) classes" } ?? "no class as a rule")
                + "; \(remedy)" + (count == nil ? ", 'ignore: -1' counts it" : ""))
    }

    private func predictions(_ view: OutputView, _ height: Int, _ width: Int) throws(EngineError) -> (classes: [Int32], height: Int, width: Int, count: Int?) {
        var shape = view.shape
        while shape.count > 3, shape[0] == 1 { shape.removeFirst() }
        func fits(_ rows: Int, _ columns: Int) -> Bool { rows > 0 && columns > 0 && height % rows == 0 && width % columns == 0 }
        let values = view.values
        if shape.count == 3, shape[0] == 1, fits(shape[1], shape[2]) { shape.removeFirst() }
        if shape.count == 3, shape[2] == 1, fits(shape[0], shape[1]) { shape.removeLast() }
        if shape.count == 2, fits(shape[0], shape[1]) {
            let isClass = isClassNumbers(values)
            return (single(values, isClass), shape[0], shape[1], isClass ? nil : 2)
        }
        if shape.count == 3 {
            // Where both fit, the one without scaling, and of these channels first.
            let first = fits(shape[1], shape[2])
            let last = fits(shape[0], shape[1])
            let lastIsExact = shape[0] == height && shape[1] == width
            let firstIsExact = shape[1] == height && shape[2] == width
            if first, firstIsExact || !(last && lastIsExact) {
                return (Self.largest(values, classes: shape[0], step: shape[1] * shape[2], pixels: shape[1] * shape[2], stride: 1), shape[1], shape[2], shape[0])
            }
            if last { return (Self.largest(values, classes: shape[2], step: 1, pixels: shape[0] * shape[1], stride: shape[2]), shape[0], shape[1], shape[2]) }
        }
        throw EngineError(
            .data,
            "metric \(kind.rawValue): output \(view.name) of shape \(view.shape) against a mask of shape [\(height), \(width)], which has to be as large or whole times larger")
    }

    private func isClassNumbers(_ values: UnsafeBufferPointer<Float>) -> Bool {
        threshold == nil && values.allSatisfy { $0.isNaN || ($0 == $0.rounded() && abs($0) < 1e6) }
    }

    private func single(_ values: UnsafeBufferPointer<Float>, _ isClass: Bool) -> [Int32] {
        if isClass { return values.map { $0.isNaN ? -1 : Int32(max(-1, $0)) } }
        let limit = threshold ?? (values.contains { $0 < 0 || $0 > 1 } ? 0 : 0.5)
        return values.map { $0.isNaN ? -1 : Double($0) > limit ? 1 : 0 }
    }

    /// The first largest score of each pixel; −1 where none is a number.
    private static func largest(_ values: UnsafeBufferPointer<Float>, classes: Int, step: Int, pixels: Int, stride: Int) -> [Int32] {
        var best = [Int32](repeating: -1, count: pixels)
        var scores = [Float](repeating: -.infinity, count: pixels)
        best.withUnsafeMutableBufferPointer { best in
            scores.withUnsafeMutableBufferPointer { scores in
                for index in 0..<classes {
                    for pixel in 0..<pixels {
                        let value = values[index * step + pixel * stride]
                        if value > scores[pixel] || (best[pixel] < 0 && !value.isNaN) {
                            scores[pixel] = value
                            best[pixel] = Int32(index)
                        }
                    }
                }
            }
        }
        return best
    }
}
