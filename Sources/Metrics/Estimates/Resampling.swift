import Dispatch
import EngineSupport
import Foundation
import Synchronization

/// Values over samples drawn again with replacement, the same draws for candidate and baseline (Efron 1979). The same seed gives the same
/// values on every machine.
struct Resampling {
    let count: Int
    let samples: Int
    /// Of each resample; not a number where the value does not exist for it.
    let candidates: [Double]
    let differences: [Double]

    /// Steps that resamples may take together; their number follows from it and not from a clock, so that it is the same everywhere.
    private static let steps = (partial: 20_000_000, full: 1_000_000_000)

    /// How often samples are drawn again: 2000 times where that is cheap, down to 200; of part of the samples 100 to 25 times.
    static func count(work: Int, isPartial: Bool) -> Int {
        isPartial ? max(25, min(100, steps.partial / max(1, work))) : max(200, min(2000, steps.full / max(1, work)))
    }

    /// - Parameter resamples: how many, where the work does not decide.
    init(_ statistic: any PooledStatistic, _ baseline: (any PooledStatistic)?, isPartial: Bool, resamples: Int? = nil, seed: UInt64 = 0) {
        samples = statistic.samples
        let count = resamples ?? Self.count(work: samples + statistic.work + (baseline?.work ?? 0), isPartial: isPartial)
        let size = samples
        let found = Self.map(samples: size, count: count, seed: seed) { counts -> (Double, Double) in
            let value = statistic.value(counts: counts)
            return (value, baseline.map { value - $0.value(counts: counts) } ?? .nan)
        }
        self.count = count
        candidates = found.map(\.0)
        differences = found.map(\.1)
    }

    /// Mean value over random halves of the samples; both halves of each cut count.
    func halves(of statistic: any PooledStatistic) -> Double {
        let size = samples
        let cuts = max(5, min(25, count / 20))
        let values = (0..<cuts).flatMap { cut -> [Double] in
            var generator = SeededGenerator(seed: UInt64(cut))
            var counts = [Int32](repeating: 0, count: size)
            for place in generator.permutation(size).prefix(size / 2) { counts[place] = 1 }
            return [statistic.value(counts: counts), statistic.value(counts: counts.map { 1 - $0 })]
        }.filter(\.isFinite)
        return values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
    }

    /// What becomes of each resample, in order.
    /// - Parameter body: is given how often each sample was drawn; called from several threads.
    static func map<Result: Sendable>(samples: Int, count: Int, seed: UInt64 = 0, _ body: @Sendable ([Int32]) -> Result) -> [Result] {
        // Blocks with a generator each: the same numbers on any number of cores.
        let block = 25
        let results = Mutex([Result?](repeating: nil, count: count))
        DispatchQueue.concurrentPerform(iterations: (count + block - 1) / block) { part in
            var generator = SeededGenerator(seed: seed &+ UInt64(part) &* 0x9E37_79B9)
            var counts = [Int32](repeating: 0, count: samples)
            for index in (part * block)..<min(count, (part + 1) * block) {
                draw(&counts, &generator)
                let result = body(counts)
                results.withLock { $0[index] = result }
            }
        }
        return results.withLock { $0 }.compactMap { $0 }
    }

    private static func draw(_ counts: inout [Int32], _ generator: inout SeededGenerator) {
        let size = counts.count
        counts.withUnsafeMutableBufferPointer { counts in
            for index in counts.indices { counts[index] = 0 }
            // Two places from each number: the high half of 32 bits times the size is as even as draws need to be below a million samples.
            if size < 1 << 20 {
                let bound = UInt64(size)
                for _ in 0..<(size / 2) {
                    let bits = generator.next()
                    counts[Int(((bits & 0xFFFF_FFFF) * bound) >> 32)] += 1
                    counts[Int(((bits >> 32) * bound) >> 32)] += 1
                }
                if size % 2 == 1 { counts[generator.below(size)] += 1 }
            } else {
                for _ in 0..<size { counts[generator.below(size)] += 1 }
            }
        }
    }
}
