import EngineSupport

/// Accuracy and F1 over frames.
///
/// Outputs are scores [T, C] (or [C, T]), or one number per frame, [T] or [T, 1], as `single` reads it. Contribution to the accuracy: right frames
/// and all; to F1: 1 where there are two classes and else 0, then of each class its number, right, said and true frames.
struct FrameClasses: MetricComputation {
    let kind: MetricKind
    private let ignore: Int32?
    private let positive: Int
    private let single: SingleReading

    init(kind: MetricKind, options: MetricOptions, single: SingleReading) {
        self.kind = kind
        self.single = single
        ignore = options.ignore.flatMap { Int32(exactly: $0) }
        positive = options.positiveClass ?? 1
    }

    func contribution(_ outputs: [OutputView], target: SampleTarget) throws(EngineError) -> [Double] {
        let view = try outputs.scored(kind)
        let (truth, _) = try target.classes(kind)
        let scores = try StepScores(view, steps: truth.count, kind: kind)
        for label in truth where label != ignore && label >= 0 {
            try SampleTarget.check(Int(label), kind, scores: scores.classes, single, remedy: "; 'ignore: \(label)' leaves it out")
        }
        let said = scores.predictions(single)
        if kind == .frameAccuracy {
            var (right, all) = (0, 0)
            for index in truth.indices where truth[index] != ignore && truth[index] >= 0 {
                all += 1
                if said[index] == truth[index] { right += 1 }
            }
            return [Double(right), Double(all)]
        }
        var counts = ClassCounts()
        for index in truth.indices where truth[index] != ignore && truth[index] >= 0 { counts.add(said: said[index], had: truth[index]) }
        let isBinary = scores.classes == 2 || (scores.classes == 1 && single != .classNumber)
        return [isBinary ? 1 : 0] + counts.contribution
    }

    func statistic(of contributions: [[Double]]) -> any PooledStatistic {
        if kind == .frameAccuracy { return SampleRatio(contributions) }
        let isBinary = contributions.first?.at(0) == 1
        return ClassCountStatistic(contributions, from: 1, form: isBinary ? .f1(of: positive) : .meanF1)
    }
}
