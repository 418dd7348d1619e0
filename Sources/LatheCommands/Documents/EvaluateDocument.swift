import Datasets
import Measurement
import Metrics

/// What `lathe evaluate --json` prints.
struct EvaluateDocument: JSONDocument {
    struct Data: Encodable {
        var name: String
        var split: String
    }

    struct Accuracy: Encodable {
        var metric: String
        /// The unit of the values, `1` for proportions and other plain numbers; the values that are possible; which end is better.
        var unit: String
        var range: Interval
        var better: String
        var samples: Int
        /// Samples of the split; `samples` is less with `--limit`.
        var total: Int
        /// Samples that are right, for metrics of right and wrong.
        var correct: Int?
        /// In the metric's unit, with its 95 % interval: Wilson's for proportions, Student's t for means.
        var value: Double
        var interval: Interval
        /// The baseline on the same samples.
        var baseline: Double?
        var baselineCorrect: Int?
        /// value − baseline, with its 95 % interval for paired samples: Newcombe's for proportions, Student's t for means; and McNemar's exact p for proportions.
        var difference: Double?
        var differenceInterval: Interval?
        var mcnemarP: Double?
        /// Samples only the baseline, and only the candidate, gets right.
        var onlyBaseline: Int?
        var onlyCandidate: Int?
        /// `better`, `worse`, `unclear`; `none` where there is nothing to compare or no difference.
        var verdict: String
        /// How much worse the model may be for all that was measured: the bad end of the difference's interval.
        var possibleLoss: Double?
    }

    /// How a class fares.
    struct ClassDocument: Encodable {
        var label: Int
        var name: String?
        var samples: Int
        var baselineCorrect: Int
        var correct: Int
        /// The wrong class that its samples are answered with most, and how often.
        var confusedWith: Int?
        var confused: Int

        init(_ change: ClassChange, names: [String]) {
            label = change.label
            name = names.indices.contains(change.label) ? names[change.label] : nil
            samples = change.count
            baselineCorrect = change.baselineRight
            correct = change.right
            confusedWith = change.confusedWith
            confused = change.confused
        }
    }

    /// Milliseconds of one call; the two models take turns.
    struct Latency: Encodable {
        var batch: Int
        var threads: Int
        var rounds: Int
        var baselineMedian: Double
        var baselineP90: Double
        var candidateMedian: Double
        var candidateP90: Double
        /// Candidate / baseline: median over paired rounds, its p90, a 95 % interval of the median.
        var ratio: Double
        var ratioP90: Double
        var ratioInterval: Interval
        var instructionSet: String
        var runtime: String
        var warning: String?
        /// Where times depend on the sample: means over `samples` different ones, of which `ratio` then is.
        var baselineMean: Double?
        var candidateMean: Double?
        var samples: Int?
        /// Time of the candidate's operators, milliseconds.
        var operators: [Operator]
    }

    struct Operator: Encodable {
        var node: String
        var type: String
        var milliseconds: Double
    }

    struct Figures: Encodable {
        var baseline: FiguresDocument
        var candidate: FiguresDocument
    }

    let schema = "lathe.evaluate/1"
    var model: ModelReference
    /// What the model is compared with: itself before the recipe, or the file given with `--baseline`.
    var baseline: ModelReference
    var recipe: RecipeDocument
    var data: Data
    var accuracy: Accuracy
    var figures: Figures
    var latency: Latency?
    /// Of each number of threads, where several were asked for; the first is `latency`.
    var latencies: [Latency]?
    var requirements: [Requirement]
    /// What a user should know: the recipe is slower, the file is no smaller, …
    var warnings: [String]
    /// Each class, those first that lose most; where they were asked for.
    var classes: [ClassDocument]?
}

extension EvaluateDocument.Accuracy {
    /// What was measured. Documents name it by its title.
    var measure: Measure { .metric(MetricKind(title: metric) ?? .top1) }

    /// - Parameter total: samples of the whole split.
    init(_ estimate: AccuracyEstimate, total: Int) {
        let measure = estimate.measure
        metric = estimate.metric.title
        unit = measure.unit
        range = Interval(low: measure.range.lowerBound, high: measure.range.upperBound)
        better = measure.direction.rawValue
        verdict = estimate.verdict.rawValue
        possibleLoss = estimate.possibleLoss
        samples = estimate.seen
        self.total = max(total, estimate.seen)
        value = estimate.value
        interval = estimate.interval
        baseline = estimate.baseline
        difference = estimate.difference
        differenceInterval = estimate.differenceInterval
        mcnemarP = estimate.mcnemarP
        onlyBaseline = estimate.onlyBaseline
        onlyCandidate = estimate.onlyCandidate
        // A value from right and wrong answers is a whole number of samples.
        if estimate.metric.isProportion {
            let seen = Double(estimate.seen)
            correct = (estimate.value * seen).whole
            baselineCorrect = estimate.baseline.flatMap { ($0 * seen).whole }
        }
    }
}

extension EvaluateDocument.Latency {
    init(_ figures: LatencyFigures, operators: [OperatorTime]) {
        batch = figures.batch
        threads = figures.threads
        rounds = figures.rounds
        baselineMedian = figures.baselineMedian
        baselineP90 = figures.baselineP90
        candidateMedian = figures.candidateMedian
        candidateP90 = figures.candidateP90
        ratio = figures.ratio
        ratioP90 = figures.ratioP90
        ratioInterval = figures.ratioInterval
        instructionSet = figures.instructionSet
        runtime = figures.runtimeVersion
        warning = figures.warning
        baselineMean = figures.means?.baseline
        candidateMean = figures.means?.candidate
        samples = figures.means?.samples
        self.operators = operators.map { EvaluateDocument.Operator(node: $0.node, type: $0.opType, milliseconds: $0.milliseconds) }
    }
}
