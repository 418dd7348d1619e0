import CLapack
import EngineSupport
import Foundation
import LinearAlgebra

/// k-means of vectors in which the distance of a vector v to a centroid c is (v − c)ᵀ·H·(v − c), with a matrix H of its own for each of a few
/// classes of vectors: the identity, or the second moments of the inputs that the vector is multiplied with, which makes the
/// distance the error of the output (Stock et al., "And the Bit Goes Down", ICLR 2020, section 3, inputs of different vectors taken as
/// independent).
struct VectorKMeans {
    let dimension: Int
    /// One matrix for each class, dimension × dimension, positive definite; empty if all distances are Euclidean.
    let metrics: [[Float]]
    /// Centroids, one after the other.
    private(set) var centroids: [Float] = []
    private(set) var count: Int

    /// Vectors that the centroids are fitted to, at most, for each centroid (as faiss does).
    private static let samplesPerCentroid = 128

    /// - Parameters:
    ///   - vectors: one after the other, at least one.
    ///   - classOf: the class of a vector.
    init(
        _ vectors: [Float], dimension: Int, count wanted: Int, metrics: [[Float]], classOf: (Int) -> Int, iterations: Int, seed: UInt64,
        cancellation: Cancellation
    ) throws {
        self.dimension = dimension
        self.metrics = metrics
        count = 0
        Lapack.useOneThread()
        var generator = SeededGenerator(seed: seed)
        let total = vectors.count / dimension
        let limit = Self.samplesPerCentroid * wanted
        // Vectors of a class stand together, so that each is compared with centroids in its own metric.
        let chosen = (total > limit ? Array(generator.permutation(total).prefix(limit)) : Array(0..<total)).map { (classOf($0), $0) }.sorted { $0 < $1 }
        var sample: [Float] = []
        sample.reserveCapacity(chosen.count * dimension)
        for (_, index) in chosen { sample += vectors[(index * dimension)..<((index + 1) * dimension)] }
        let classes = metrics.isEmpty ? [Int](repeating: 0, count: chosen.count) : chosen.map(\.0)
        centroids = Self.start(sample, dimension, wanted, &generator)
        count = centroids.count / dimension
        var codes: [UInt16] = []
        for _ in 0..<iterations {
            try cancellation.check()
            let (next, errors) = assign(sample, classes: classes)
            guard next != codes else { break }
            codes = next
            update(sample, classes, codes, errors)
        }
    }

    /// The centroid nearest to each vector, and the distance but for what no centroid changes.
    /// - Parameter classes: of each vector, equal ones together for speed.
    func assign(_ vectors: [Float], classes: [Int]) -> (codes: [UInt16], errors: [Float]) {
        let total = classes.count
        var codes = [UInt16](repeating: 0, count: total)
        var errors = [Float](repeating: 0, count: total)
        let chunk = 512
        var products = [Float](repeating: 0, count: chunk * count)
        var start = 0
        var (known, scaled, halves) = (-1, [Float](), [Float]())
        while start < total {
            let current = classes[start]
            if current != known { (known, scaled, halves) = (current, transformed(current), []) }
            if halves.isEmpty {
                halves = (0..<count).map { index in
                    (0..<dimension).reduce(Float(0)) { $0 + scaled[index * dimension + $1] * centroids[index * dimension + $1] } / 2
                }
            }
            var end = start + 1
            while end < total, end - start < chunk, classes[end] == current { end += 1 }
            var (m, n, k) = (Int32(count), Int32(end - start), Int32(dimension))
            var (one, zero): (Float, Float) = (1, 0)
            vectors.withUnsafeBufferPointer { vectors in
                // Column-major: (centroids × vectors) products, a column for each vector.
                sgemm_("T", "N", &m, &n, &k, &one, scaled, &k, vectors.baseAddress! + start * dimension, &k, &zero, &products, &m)
            }
            products.withUnsafeBufferPointer { products in
                halves.withUnsafeBufferPointer { halves in
                    for vector in start..<end {
                        let row = (vector - start) * count
                        var (best, nearest) = (Float.infinity, 0)
                        for index in 0..<count {
                            let distance = halves[index] - products[row + index]
                            if distance < best { (best, nearest) = (distance, index) }
                        }
                        codes[vector] = UInt16(truncatingIfNeeded: nearest)
                        errors[vector] = 2 * best
                    }
                }
            }
            start = end
        }
        return (codes, errors)
    }

    /// H·c of every centroid.
    private func transformed(_ number: Int) -> [Float] {
        guard metrics.indices.contains(number) else { return centroids }
        var result = [Float](repeating: 0, count: centroids.count)
        for index in 0..<count { multiply(metrics[number], centroids, index * dimension, into: &result, index * dimension) }
        return result
    }

    private func multiply(_ matrix: [Float], _ vector: [Float], _ from: Int, into out: inout [Float], _ to: Int) {
        for row in 0..<dimension {
            var sum: Float = 0
            for column in 0..<dimension { sum += matrix[row * dimension + column] * vector[from + column] }
            out[to + row] += sum
        }
    }

    /// Moves centroids to where their vectors' distances are least: (Σ H)⁻¹ Σ H·v. A centroid without vectors takes the one that is
    /// farthest from its own.
    private mutating func update(_ vectors: [Float], _ classes: [Int], _ codes: [UInt16], _ errors: [Float]) {
        let d = dimension
        var sums = [Float](repeating: 0, count: count * d)
        var members = [Int](repeating: 0, count: count)
        var moments = [Float](repeating: 0, count: metrics.isEmpty ? 0 : count * d * d)
        var start = 0
        while start < classes.count {
            // Sums over a class first: its matrix multiplies each centroid's sum once.
            var end = start
            var own = [Float](repeating: 0, count: count * d)
            var inClass = [Int](repeating: 0, count: count)
            while end < classes.count, classes[end] == classes[start] {
                let code = Int(codes[end])
                inClass[code] += 1
                for axis in 0..<d { own[code * d + axis] += vectors[end * d + axis] }
                end += 1
            }
            for code in 0..<count where inClass[code] > 0 {
                members[code] += inClass[code]
                if metrics.isEmpty {
                    for axis in 0..<d { sums[code * d + axis] += own[code * d + axis] }
                } else {
                    let metric = metrics[classes[start]]
                    multiply(metric, own, code * d, into: &sums, code * d)
                    for element in 0..<(d * d) { moments[code * d * d + element] += Float(inClass[code]) * metric[element] }
                }
            }
            start = end
        }
        var far = errors.indices.sorted { (errors[$1], $0) < (errors[$0], $1) }[...]
        for code in 0..<count {
            if members[code] == 0 {
                guard let vector = far.popFirst() else { continue }
                centroids.replaceSubrange((code * d)..<((code + 1) * d), with: vectors[(vector * d)..<((vector + 1) * d)])
            } else if metrics.isEmpty {
                for axis in 0..<d { centroids[code * d + axis] = sums[code * d + axis] / Float(members[code]) }
            } else if let solved = Self.solve(Array(moments[(code * d * d)..<((code + 1) * d * d)]), Array(sums[(code * d)..<((code + 1) * d)])) {
                centroids.replaceSubrange((code * d)..<((code + 1) * d), with: solved)
            }
        }
    }

    /// x with A·x = b for a symmetric positive definite A, in double precision; `nil` if it is not.
    private static func solve(_ matrix: [Float], _ right: [Float]) -> [Float]? {
        var a = matrix.map(Double.init)
        var b = right.map(Double.init)
        var (n, one, info): (Int32, Int32, Int32) = (Int32(right.count), 1, 0)
        dpotrf_("L", &n, &a, &n, &info)
        guard info == 0 else { return nil }
        dpotrs_("L", &n, &one, a, &n, &b, &n, &info)
        return info == 0 ? b.map { Float($0) } : nil
    }

    /// k-means++ (Arthur and Vassilvitskii 2007): each next centroid is a vector drawn with the square of its distance to those before.
    private static func start(_ vectors: [Float], _ d: Int, _ wanted: Int, _ generator: inout SeededGenerator) -> [Float] {
        let total = vectors.count / d
        guard total > 0 else { return [] }
        var centroids: [Float] = []
        var distances = [Float](repeating: .infinity, count: total)
        var next = generator.below(total)
        while centroids.count < wanted * d {
            let center = Array(vectors[(next * d)..<((next + 1) * d)])
            centroids += center
            var sum = 0.0
            vectors.withUnsafeBufferPointer { vectors in
                for vector in 0..<total {
                    var square: Float = 0
                    for axis in 0..<d {
                        let difference = vectors[vector * d + axis] - center[axis]
                        square += difference * difference
                    }
                    if square < distances[vector] { distances[vector] = square }
                    sum += Double(distances[vector])
                }
            }
            guard sum > 0 else { break }
            var target = Double(generator.next() >> 11) * 0x1p-53 * sum
            next = total - 1
            for vector in 0..<total where distances[vector] > 0 {
                target -= Double(distances[vector])
                if target < 0 {
                    next = vector
                    break
                }
            }
        }
        return centroids
    }
}
