/// COCO's mean average precision from matched detections: precision at 101 recalls, mean over them, over overlaps, and over categories that have
/// objects. Detections are sorted once; a value takes one pass over them for each overlap.
struct PrecisionStatistic: PooledStatistic {
    let samples: Int
    /// Bits of the overlaps that count.
    private let levels: [Int]
    private let categories: [Category]
    private let size: Int

    /// Detections of one category from the strongest, and its objects.
    private struct Category: Sendable {
        var images: [Int32]
        var bits: [UInt32]
        var objectImages: [Int32]
        var objects: [Int32]
    }

    /// - Parameters:
    ///   - contributions: of `DetectionMatching`, in the images' order, which decides between equal scores.
    ///   - levels: places among the ten overlaps.
    init(_ contributions: [[Double]], levels: [Int]) {
        samples = contributions.count
        self.levels = levels
        struct Found {
            var score: Float
            var place: Int32
            var image: Int32
            var bits: UInt32
        }
        var found: [[Found]] = []
        var categories: [Category] = []
        var places: [Int: Int] = [:]
        func place(_ category: Int) -> Int {
            if let known = places[category] { return known }
            places[category] = categories.count
            categories.append(Category(images: [], bits: [], objectImages: [], objects: []))
            found.append([])
            return categories.count - 1
        }
        for (image, contribution) in contributions.enumerated() {
            let present = max(0, contribution.whole(0) ?? 0)
            var index = 1
            for _ in 0..<min(present, contribution.count / 2) {
                if let category = contribution.whole(index), let count = contribution.whole(index + 1), count > 0, count < 1 << 30 {
                    let place = place(category)
                    categories[place].objectImages.append(Int32(image))
                    categories[place].objects.append(Int32(count))
                }
                index += 2
            }
            while index + 2 < contribution.count {
                if let category = contribution.whole(index), let bits = contribution.whole(index + 2), bits >= 0, bits < 1 << 20 {
                    let place = place(category)
                    found[place].append(Found(score: Float(contribution[index + 1]), place: Int32(found[place].count), image: Int32(image), bits: UInt32(bits)))
                }
                index += 3
            }
        }
        for index in categories.indices where !categories[index].objects.isEmpty {
            found[index].sort { ($1.score, $0.place) < ($0.score, $1.place) }
            categories[index].images = found[index].map(\.image)
            categories[index].bits = found[index].map(\.bits)
        }
        self.categories = categories.filter { !$0.objects.isEmpty }
        size = self.categories.reduce(0) { $0 + $1.images.count }
    }

    var work: Int { 2 * size * levels.count + 200 * levels.count * categories.count + samples }

    func value(counts: [Int32]?) -> Double {
        if let counts, counts.count < samples { return .nan }
        let weights = counts ?? [Int32](repeating: 1, count: samples)
        let longest = categories.map(\.images.count).max() ?? 0
        var (sum, found) = (0.0, 0)
        // Found ones and precision at each detection that finds an object, of one category and overlap.
        var hits = [Int32](repeating: 0, count: longest)
        var precisions = [Double](repeating: 0, count: longest)
        weights.withUnsafeBufferPointer { weights in
            hits.withUnsafeMutableBufferPointer { hits in
                precisions.withUnsafeMutableBufferPointer { precisions in
                    for category in categories {
                        var objects = 0
                        for index in category.objects.indices { objects += Int(category.objects[index]) * Int(weights[Int(category.objectImages[index])]) }
                        if objects == 0 { continue }
                        found += 1
                        category.images.withUnsafeBufferPointer { images in
                            category.bits.withUnsafeBufferPointer { bits in
                                for level in levels { sum += Self.precision(images, bits, weights, objects, level, hits, precisions) }
                            }
                        }
                    }
                }
            }
        }
        return found > 0 ? sum / Double(found * levels.count) : .nan
    }

    private static func precision(
        _ images: UnsafeBufferPointer<Int32>, _ bits: UnsafeBufferPointer<UInt32>, _ weights: UnsafeBufferPointer<Int32>, _ objects: Int, _ level: Int,
        _ hits: UnsafeMutableBufferPointer<Int32>, _ precisions: UnsafeMutableBufferPointer<Double>
    ) -> Double {
        var (right, all, steps) = (Int32(0), Int32(0), 0)
        for index in images.indices {
            let weight = weights[Int(images[index])]
            let code = bits[index] >> UInt32(level)
            // Those that do not count are neither right nor wrong.
            if weight == 0 || code & 1 << 10 != 0 { continue }
            all += weight
            if code & 1 != 0 {
                right += weight
                hits[steps] = right
                precisions[steps] = Double(right) / Double(all)
                steps += 1
            }
        }
        // From the last: the best precision at this recall or a higher one.
        var best = 0.0
        for step in stride(from: steps - 1, through: 0, by: -1) {
            best = max(best, precisions[step])
            precisions[step] = best
        }
        var (sum, step) = (0.0, 0)
        for point in recalls {
            while step < steps, Double(hits[step]) / Double(objects) < point { step += 1 }
            if step == steps { break }
            sum += precisions[step]
        }
        return sum / Double(recalls.count)
    }

    /// As NumPy's linspace computes them.
    private static let recalls: [Double] = (0...100).map { $0 == 100 ? 1 : Double($0) * 0.01 }
}
