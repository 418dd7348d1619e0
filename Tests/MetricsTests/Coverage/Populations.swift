import EngineSupport
import Foundation

@testable import Metrics

/// Samples of which there are so many that the value over all of them is the true one, with what a candidate and a baseline contribute: much the same,
/// as a compressed model and its original do.
struct Population {
    static let size = 40_000

    var kind: MetricKind
    var title: String
    /// Samples that are drawn from it.
    var drawn: Int
    var computation: any MetricComputation
    var candidate: [[Double]] = []
    var baseline: [[Double]] = []

    init(
        _ kind: MetricKind, _ title: String? = nil, drawn: Int = 400, seed: UInt64 = 1, _ change: (inout MetricOptions) -> Void = { _ in },
        sample: (inout SeededGenerator, any MetricComputation) throws -> (candidate: [Double], baseline: [Double])
    ) throws {
        self.kind = kind
        self.title = title ?? kind.title
        self.drawn = drawn
        var options = MetricOptions()
        change(&options)
        computation = try MetricComputations.make(kind, options: options)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<Self.size {
            let (own, other) = try sample(&generator, computation)
            candidate.append(own)
            baseline.append(other)
        }
    }

    /// All metrics, with samples as they may look.
    static func all() throws -> [Population] {
        try classes() + labels() + numbers() + images() + detections() + sequences() + keywords()
    }

    /// Scores that both models share for the most part.
    private static func scores(_ count: Int, label: Int, signal: Double, _ generator: inout SeededGenerator) -> (candidate: [Float], baseline: [Float]) {
        var (own, other) = ([Float](), [Float]())
        for index in 0..<count {
            let shared = generator.normal() * 1.2 + (index == label ? signal : 0)
            other.append(Float(shared + 0.3 * generator.normal()))
            own.append(Float(shared + 0.5 * generator.normal() - (index == label ? 0.15 : 0)))
        }
        return (own, other)
    }

    private static func classes() throws -> [Population] {
        // Frequent and rare ones.
        let priors = [0.35, 0.25, 0.2, 0.12, 0.08]
        func label(_ generator: inout SeededGenerator) -> Int {
            var rest = generator.uniform()
            for (index, prior) in priors.enumerated() {
                rest -= prior
                if rest < 0 { return index }
            }
            return 0
        }
        let many = try [MetricKind.top1, .topK, .balancedAccuracy, .f1Macro, .f1Weighted, .rocAUC, .averagePrecision, .logLoss, .calibrationError].map { kind in
            try Population(kind, "\(kind.title), 5 classes") {
                $0.k = 2
            } sample: { generator, computation in
                let label = label(&generator)
                let (own, other) = scores(5, label: label, signal: 2, &generator)
                return (try computation.contribution(of: [Output(own)], .label(label)), try computation.contribution(of: [Output(other)], .label(label)))
            }
        }
        let two = try [MetricKind.recall, .rocAUC, .averagePrecision, .balancedAccuracy].map { kind in
            try Population(kind, "\(kind.title), 15 % positive") { _ in
            } sample: { generator, computation in
                let label = generator.uniform() < 0.15 ? 1 : 0
                let (own, other) = scores(2, label: label, signal: 2, &generator)
                return (try computation.contribution(of: [Output(own)], .label(label)), try computation.contribution(of: [Output(other)], .label(label)))
            }
        }
        return many + two
    }

    private static func labels() throws -> [Population] {
        try [MetricKind.multilabelAP, .multilabelF1].map { kind in
            try Population(kind) {
                $0.threshold = 1.2
            } sample: { generator, computation in
                let truth = (0..<5).map { generator.uniform() < 0.1 + 0.06 * Double($0) ? Float(1) : 0 }
                var (own, other) = ([Float](), [Float]())
                for value in truth {
                    let shared = generator.normal() + 2 * Double(value)
                    other.append(Float(shared + 0.3 * generator.normal()))
                    own.append(Float(shared + 0.5 * generator.normal()))
                }
                let target = SampleTarget.numbers(truth, shape: [5])
                return (try computation.contribution(of: [Output(own)], target), try computation.contribution(of: [Output(other)], target))
            }
        }
    }

    private static func numbers() throws -> [Population] {
        try [MetricKind.mae, .rmse, .r2, .pearson, .spearman].map { kind in
            try Population(kind) { generator, computation in
                // Some errors are large.
                let truth = generator.normal() * 2
                let shared = generator.normal() * (generator.uniform() < 0.1 ? 1.5 : 0.6)
                let target = SampleTarget.numbers([Float(truth)], shape: [])
                let own = Output([Float(truth + shared + 0.25 * generator.normal())])
                let other = Output([Float(truth + shared + 0.15 * generator.normal())])
                return (try computation.contribution(of: [own], target), try computation.contribution(of: [other], target))
            }
        } + [
            try Population(.similarity) { generator, _ in
                let score = Double(generator.below(6))
                let shared = score / 6 + 0.15 * generator.normal()
                return ([tanh(shared + 0.08 * generator.normal()), score], [tanh(shared + 0.05 * generator.normal()), score])
            }
        ]
    }

    private static func images() throws -> [Population] {
        let quality = try [MetricKind.psnr, .ssim].map { kind in
            try Population(kind) { generator, _ in
                let shared = generator.normal()
                let scale = kind == .psnr ? { 31 + 4 * $0 } : { (x: Double) in 1 / (1 + exp(-1.5 - x)) }
                return ([scale(shared + 0.2 * generator.normal() - 0.1)], [scale(shared + 0.1 * generator.normal())])
            }
        }
        let maps = try [MetricKind.meanIoU, .pixelAccuracy].map { kind in
            try Population(kind) { generator, _ in
                // Five classes, of which an image has some; how well it is read is the image's own.
                let ease = generator.normal()
                var (own, other) = ([[Double]](), [[Double]]())
                for _ in 0..<2 {
                    own = []
                    other = []
                }
                for index in 0..<5 where index == 0 || generator.uniform() < 0.3 {
                    let pixels = (index == 0 ? 3000 : 200 + 800 * generator.uniform()).rounded()
                    let shared = 1.2 + ease + 0.5 * generator.normal()
                    let share = { (x: Double) in 1 / (1 + exp(-x)) }
                    own.append([
                        Double(index), (pixels * share(shared + 0.2 * generator.normal() - 0.05)).rounded(), (pixels * (0.8 + 0.4 * generator.uniform())).rounded(), pixels,
                    ])
                    other.append([Double(index), (pixels * share(shared + 0.1 * generator.normal())).rounded(), own[own.count - 1][2], pixels])
                }
                func contribution(_ rows: [[Double]]) -> [Double] {
                    // What is right is said.
                    if kind == .meanIoU { return rows.flatMap { [$0[0], $0[1], max($0[1], $0[2]), $0[3]] } }
                    return [rows.reduce(0) { $0 + $1[1] }, rows.reduce(0) { $0 + $1[3] }]
                }
                return (contribution(own), contribution(other))
            }
        }
        return quality + maps
    }

    private static func detections() throws -> [Population] {
        try [MetricKind.detectionMAP, .detectionMAP50].map { kind in
            try Population(kind, drawn: 200) { generator, _ in
                var objects = [Int: Int]()
                var (own, other) = ([Double](), [Double]())
                let ease = 0.5 * generator.normal()
                func add(_ category: Int, _ overlap: Double, _ score: Double) -> [Double] {
                    let bits = DetectionMatching.overlaps.enumerated().reduce(0) { $1.element <= overlap ? $0 | 1 << $1.offset : $0 }
                    return [Double(category), Double(Float(1 / (1 + exp(-score)))), Double(bits)]
                }
                for _ in 0..<generator.below(8) {
                    let category = min(generator.below(6), generator.below(6))
                    objects[category, default: 0] += 1
                    let (quality, score) = (1.3 + ease + 0.8 * generator.normal(), ease + 1.2 * generator.normal() + 0.8)
                    let overlap = { (x: Double) in 1 / (1 + exp(-x)) }
                    if score > -1.5 { other += add(category, overlap(quality + 0.1 * generator.normal()), score) }
                    let lower = score + 0.3 * generator.normal() - 0.1
                    if lower > -1.5 { own += add(category, overlap(quality + 0.2 * generator.normal() - 0.05), lower) }
                }
                for _ in 0..<generator.below(6) {
                    let (category, score) = (generator.below(6), generator.normal() - 1)
                    other += add(category, 0, score)
                    own += add(category, 0, score + 0.3 * generator.normal())
                }
                let truth = [Double(objects.count)] + objects.keys.sorted().flatMap { [Double($0), Double(objects[$0] ?? 0)] }
                return (truth + own, truth + other)
            }
        }
    }

    private static func sequences() throws -> [Population] {
        // Of a sequence: its length, and how many of its parts are right or how much they cost.
        func parts(_ length: Int, _ ease: Double, _ generator: inout SeededGenerator) -> (own: [Bool], other: [Bool]) {
            var (own, other) = ([Bool](), [Bool]())
            for _ in 0..<length {
                let shared = generator.normal() + ease
                own.append(shared + 0.3 * generator.normal() > 0.05)
                other.append(shared + 0.2 * generator.normal() > 0)
            }
            return (own, other)
        }
        let exact = try Population(.exactMatch) { generator, _ in
            let (own, other) = parts(4, 1.5 + 0.5 * generator.normal(), &generator)
            return ([own.allSatisfy { $0 } ? 1 : 0], [other.allSatisfy { $0 } ? 1 : 0])
        }
        let ratios = try [MetricKind.characterErrorRate, .wordErrorRate, .frameAccuracy, .tokenAccuracy].map { kind in
            try Population(kind) { generator, _ in
                let length = kind == .wordErrorRate ? 1 + generator.below(12) : 5 + generator.below(60)
                let (own, other) = parts(length, 1.4 + 0.7 * generator.normal(), &generator)
                let wanted = kind == .frameAccuracy || kind == .tokenAccuracy
                return ([Double(own.count { $0 == wanted }), Double(length)], [Double(other.count { $0 == wanted }), Double(length)])
            }
        }
        let losses = try [MetricKind.crossEntropy, .perplexity].map { kind in
            try Population(kind) { generator, _ in
                let length = 5 + generator.below(60)
                let ease = 0.4 * generator.normal()
                var (own, other) = (0.0, 0.0)
                for _ in 0..<length {
                    let shared = generator.normal() + ease
                    own += log(1 + exp(shared + 0.3 * generator.normal() + 0.6))
                    other += log(1 + exp(shared + 0.2 * generator.normal() + 0.5))
                }
                return ([own, Double(length)], [other, Double(length)])
            }
        }
        let frames = try Population(.frameF1) { generator, _ in
            var counts = (ClassCounts(), ClassCounts())
            let share = 0.2 + 0.3 * generator.uniform()
            let ease = 1.2 + 0.4 * generator.normal()
            for _ in 0..<30 {
                let isSpeech = generator.uniform() < share
                let shared = generator.normal() + (isSpeech ? ease : -ease)
                counts.0.add(said: shared + 0.3 * generator.normal() > 0 ? 1 : 0, had: isSpeech ? 1 : 0)
                counts.1.add(said: shared + 0.2 * generator.normal() > 0 ? 1 : 0, had: isSpeech ? 1 : 0)
            }
            return ([1] + counts.0.contribution, [1] + counts.1.contribution)
        }
        return [exact] + ratios + losses + [frames]
    }

    private static func keywords() throws -> [Population] {
        [
            try Population(.falseAccepts, drawn: 2000) {
                $0.seconds = 1
            } sample: { generator, _ in
                let isKeyword = generator.uniform() < 0.3
                let shared = generator.normal() + (isKeyword ? 2.6 : 0)
                return ([isKeyword ? 1 : 0, shared + 0.3 * generator.normal()], [isKeyword ? 1 : 0, shared + 0.2 * generator.normal()])
            }
        ]
    }
}
