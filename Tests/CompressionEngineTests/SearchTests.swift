import Foundation
import Metrics
import ModelGraph
import PythonOracle
import Synchronization
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Measurement
@testable import Recipes
@testable import Techniques

@Suite struct SearchGoalTests {
    @Test func limitsAreRead() throws {
        let goal = try SearchGoal("file <= 50%, drop <= 0.5, latency<=0.8x", metric: .top1)
        #expect(goal.demands == [Demand(.file, .ratio, 0.5), Demand(.top1, .drop, 0.005), Demand(.latency, .ratio, 0.8)] && goal.objective == .file)
        #expect(goal.needsLatency && !goal.needsSlowSizes)
        let other = try SearchGoal("archive <= 60KB; accuracy >= 92.5, macs <= 20M", best: "macs", metric: .top1)
        #expect(other.demands == [Demand(.packed, 60_000), Demand(.top1, isAtLeast: true, 0.925), Demand(.macs, 20_000_000)] && other.objective == .macs && other.needsSlowSizes)
        let errors = try SearchGoal("drop <= 0.01, accuracy <= 0.2", metric: .mae)
        #expect(errors.demands == [Demand(.metric(.mae), .drop, 0.01), Demand(.metric(.mae), 0.2)] && errors.objective == .file)
        #expect(try SearchGoal("sqnr >= 20dB", metric: .sqnr).demands == [Demand(.sqnr, isAtLeast: true, 20)])
        #expect(try SearchGoal("", best: "latency", metric: .top1).objective == .latency)
        // What loses nothing by its limits is said.
        #expect(try SearchGoal("file <= 50%", metric: .top1).remark?.contains("drop <= 0.5") == true)
        for text in ["file <= 50%, drop <= 1", "file <= 50%, accuracy >= 90", "drop <= 1, minimize file drop"] {
            #expect(try SearchGoal(text, metric: .top1).remark == nil)
        }
        let front = try SearchGoal("latency <= 1x, minimize file drop", metric: .top1)
        #expect(front.objectives == [.file, .top1] && front.isFront && front.axes == [.file, .top1] && front.demands.count == 1)
        #expect(try SearchGoal("drop <= 1", best: "file, macs,latency", metric: .top1).objectives == [.file, .macs, .latency])
        #expect(try SearchGoal("file <= 50%", metric: .top1).axes == [.file, .top1])
    }

    @Test(
        "A goal that cannot be meant is one line that says what is expected",
        arguments: [
            ("", "is empty"), ("file", "expected a limit"), ("files <= 3", "no measure 'files'"), ("file >= 50%", "less is better"), ("accuracy <= 90", "more is better"),
            ("drop >= 1", "with <="), ("drop <= x", "percentage points"), ("file <= wide", "bytes"), ("file <= 1x, file <= 2x", "limited twice"),
            ("mae <= 3", "measures top-1 accuracy, not mean absolute error"),
            ("file <= -50%", "bytes"), ("drop <= -1", "percentage points"),
            ("minimize", "one to three"), ("minimize file macs latency drop", "one to three"), ("minimize accuracy", "'drop' is what it loses"), ("minimize file file", "twice"),
            ("minimize bytes", "no measure 'bytes'"),
        ])
    func badGoals(text: String, part: String) {
        #expect { try SearchGoal(text, metric: .top1) } throws: { "\($0)".contains(part) && !"\($0)".contains("\n") }
    }

    /// What the explorer's line says besides limits.
    @Test func requestsAreRead() throws {
        let request = try SearchRequest("file <= 50%, drop <= 0.5, for 2m, only gptq fp16, with training, portable", metric: .top1)
        #expect(request.goal.demands.count == 2 && request.budget == 120 && request.techniques == ["gptq", "fp16"] && request.mayTrain && request.form == .portable)
        for (text, part) in [("file <= 50%, for ever", "'for 10m'"), ("file <= 50%, only magic", "no technique 'magic'"), ("file <= 50%, only", "no technique is named")] {
            #expect { try SearchRequest(text, metric: .top1) } throws: { "\($0)".contains(part) && !"\($0)".contains("\n") }
        }
    }

    @Test func missesAreSharesOfTheLimit() throws {
        let (half, drop) = (Demand(.file, .ratio, 0.5), Demand(.top1, .drop, 0.005))
        #expect(half.excess(0.5) == 0 && abs(half.excess(0.6) - 0.2) < 1e-12)
        #expect(drop.excess(0.004) == 0 && abs(drop.excess(0.01) - 1) < 1e-9)
        #expect(Demand(.top1, isAtLeast: true, 0.9).excess(0.91) == 0 && Demand(.top1, isAtLeast: true, 0.9).excess(0.81) > 0.09)
    }

    /// Recipes that lose exactly as much as they may: at most 1 in 100 is cut short, as the documentation says. Samples are drawn again and again.
    @Test func racingDropsFewThatHoldTheGoal() {
        let runs = 2000
        for (loss, discord) in [(0.005, 0.02), (0.01, 0.1), (0.0, 0.05)] {
            let demand = Demand(.top1, .drop, loss)
            let dropped = Mutex(0)
            DispatchQueue.concurrentPerform(iterations: runs) { run in
                var generator = SeededGenerator(seed: UInt64(run) &+ 77)
                var tally = PairedTally(metric: .top1)
                var next = 256
                for seen in 1...10_000 {
                    let draw = Double(generator.below(1 << 30)) / Double(1 << 30)
                    // Lost by the candidate alone, won by it alone, right in both, wrong in both.
                    let (lost, won) = ((discord + loss) / 2, (discord - loss) / 2)
                    let (own, other): (Float, Float) = draw < lost ? (0, 1) : draw < lost + won ? (1, 0) : draw < 0.95 ? (1, 1) : (0, 0)
                    tally.add(own, baseline: other)
                    guard seen == next else { continue }
                    next *= 2
                    if SearchRunner.isClearlyMissed(demand, tally.estimate(total: 10_000)) { return dropped.withLock { $0 += 1 } }
                }
            }
            let share = Double(dropped.withLock { $0 }) / Double(runs)
            #expect(share <= 0.01, "\(share) of recipes that lose \(loss)")
        }
    }

    /// The same with pairs that were recorded: real recipes, whose samples come in many orders, and a limit that each holds exactly. LATHE_PAIRS=500 takes more.
    @Test func racingDropsFewOfRecordedPairs() throws {
        let session = try Fixture.session("lenet-300-100")
        let count = ProcessInfo.processInfo.environment["LATHE_PAIRS"].flatMap(Int.init) ?? 40
        let space = SearchSpace(allowed: nil, hasCalibration: true, countsEntropy: false)
        let baseline = try session.baselineScores()
        var (generator, pairs) = (SeededGenerator(seed: 11), [[Float]]())
        var recipes = space.ladders().flatMap(\.rungs)
        while pairs.count < count, !recipes.isEmpty {
            let recipe = recipes.remove(at: generator.below(recipes.count))
            if recipes.count < 4 * count, let neighbor = space.neighbor(of: recipe, layers: session.layers, &generator) { recipes.append(neighbor) }
            guard let model = try? session.apply(recipe).model, model.contentHash != session.model.contentHash else { continue }
            let scores = try session.scored(model, cancellation: Cancellation()).scores
            if scores.isComplete { pairs.append(scores.scores) }
        }
        try #require(pairs.count == count)
        let orders = 4000 / count
        let dropped = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: pairs.count) { [pairs] pair in
            var generator = SeededGenerator(seed: UInt64(pair) &+ 5)
            var order = Array(baseline.scores.indices)
            let loss = zip(baseline.scores, pairs[pair]).reduce(0.0) { $0 + Double($1.0 - $1.1) } / Double(order.count)
            let demand = Demand(.top1, .drop, max(loss, 0))
            for _ in 0..<orders {
                for last in order.indices.reversed() { order.swapAt(last, generator.below(last + 1)) }
                var tally = PairedTally(metric: .top1)
                var next = 256
                for (seen, sample) in order.enumerated() {
                    tally.add(pairs[pair][sample], baseline: baseline.scores[sample])
                    guard seen + 1 == next else { continue }
                    next *= 2
                    if SearchRunner.isClearlyMissed(demand, tally.estimate(total: order.count)) {
                        dropped.withLock { $0 += 1 }
                        break
                    }
                }
            }
        }
        let share = Double(dropped.withLock { $0 }) / Double(orders * count)
        if count > 40 { print("dropped \(share) of \(orders * count) orders of \(count) pairs") }
        #expect(share <= 0.01, "\(share) of \(orders * count)")
    }
}

/// Archives, fronts and what is chosen of them, on trials that are made up.
@Suite struct SearchArchiveTests {
    private func trial(_ size: Double, _ loss: Double, _ name: String = "", holds: Bool = true) -> SearchTrial {
        var estimate = AccuracyEstimate(metric: .top1, seen: 100, total: 100, value: 0.9 - loss, interval: Interval(low: 0, high: 1))
        (estimate.baseline, estimate.difference) = (0.9, -loss)
        let figures = ModelFigures(parameters: Figure(1, .measured), nonZeros: Figure(1, .measured), serializedBytes: Figure(size, .measured), layers: [])
        var trial = SearchTrial(
            recipe: Recipe(name: name, steps: [RecipeStep(technique: "fp16", layers: .names("\(size) \(loss)"))]),
            findings: Demand.Findings(accuracy: estimate, before: figures, after: figures), excess: [holds ? 0 : 1])
        trial.scores = [size, loss]
        return trial
    }

    @Test func aFrontIsWhatNothingDominates() throws {
        var archive = SearchArchive(try SearchGoal("", best: "file,drop", metric: .top1))
        // Three points; then dominated, the same place again, and one that does not hold; then one that dominates two.
        let tried = [
            trial(50, 0.02), trial(20, 0.05), trial(80, 0), trial(60, 0.03), trial(50, 0.02, "again"), trial(1, 0, holds: false), trial(20, 0.01),
        ]
        let isProgress = tried.map { archive.add($0) }
        #expect(isProgress == [true, true, true, false, false, false, true])
        #expect(archive.front.map(\.scores) == [[80, 0], [20, 0.01]])
        // Over the span of both axes this is a corner of the ideal.
        #expect(archive.best?.scores == [20, 0.01] || archive.best?.scores == [80, 0])
        _ = archive.add(trial(25, 0.002))
        #expect(archive.best?.scores == [25, 0.002])
        // What is larger than one that loses nothing has nothing to gain; what is smaller may.
        #expect(archive.beats([90, nil], slack: [1.03, 1]) && !archive.beats([81, nil], slack: [1.03, 1]) && !archive.beats([30, nil], slack: [1.03, 1]))
        #expect(archive.leastLoss(besides: [30, nil]) == 0.002 && archive.leastLoss(besides: [22, nil]) == 0.01 && archive.leastLoss(besides: [10, nil]) == nil)
    }

    @Test func ofOneObjectiveTheSmallestThatHoldsIsBest() throws {
        var archive = SearchArchive(try SearchGoal("file <= 50%", metric: .top1))
        // Nothing holds yet: a nearer miss is progress too.
        let first = archive.add(trial(40, 0.3, holds: false))
        #expect(!first && archive.best == nil)
        let isProgress = [trial(30, 0.02), trial(35, 0.01), trial(30, 0.01)].map { archive.add($0) }
        #expect(isProgress == [true, false, true])
        #expect(archive.best?.scores == [30, 0.01] && archive.beats([31, nil], slack: [1, 1]) && !archive.beats([30.5, nil], slack: [1.03, 1]))
        #expect(archive.front.map(\.scores) == [[30, 0.01]])
    }

    /// A hundred recipes that are all as good as the original but for chance: the best of them looks better than it is, and the correction says so. The
    /// truth is known, since outcomes are drawn.
    @Test func theBestOfManyIsCorrected() throws {
        let goal = try SearchGoal("file <= 100%, drop <= 0.2", metric: .top1)
        var (apparent, corrected, truth, runs) = (0.0, 0.0, 0.0, 0)
        for run in 0..<20 {
            var generator = SeededGenerator(seed: UInt64(run) + 5)
            func draw(_ share: Double) -> Bool { Double(generator.below(1 << 24)) / Double(1 << 24) < share }
            let count = 1000
            let baseline = (0..<count).map { _ -> Float in draw(0.9) ? 1 : 0 }
            // The smaller, the more is lost in truth; all differ from the original on 4 % of the samples.
            let trials = (0..<100).map { index -> (trial: SearchTrial, scores: SampleScores) in
                let loss = 0.012 * Double(100 - index) / 100
                let scores = baseline.map { value -> Float in value == 1 ? (draw((0.04 + loss) / 2 / 0.9) ? 0 : 1) : (draw((0.04 - loss) / 2 / 0.1) ? 1 : 0) }
                let seen = zip(baseline, scores).reduce(0.0) { $0 + Double($1.0 - $1.1) } / Double(count)
                var made = trial(Double(index + 1), seen)
                made.excess = [0, goal.demands[1].excess(seen)]
                return (made, SampleScores(scores: scores, metric: .top1))
            }
            guard let best = trials.first(where: { $0.trial.isFeasible }) else { continue }
            guard let found = ChoiceCorrection.correct(trials, baseline: SampleScores(scores: baseline, metric: .top1), goal: goal, seed: 1) else { continue }
            apparent += best.trial.scores[1] ?? 0
            corrected += found.value
            truth += 0.012 * (101 - (best.trial.score ?? 0)) / 100
            runs += 1
        }
        #expect(runs >= 15)
        // In points: chosen at most 0.2, in truth about 0.9.
        let (a, c, t) = (100 * apparent / Double(runs), 100 * corrected / Double(runs), 100 * truth / Double(runs))
        #expect(a <= 0.2 && t > a + 0.4 && abs(c - t) < 0.4 * (t - a), "apparent \(a), corrected \(c), truth \(t)")
    }
}

/// The model of the trials against scikit-learn's Gaussian process.
@Suite struct SurrogateTests {
    @Test func guessesAreThoseOfAGaussianProcess() throws {
        var generator = SeededGenerator(seed: 3)
        let points = (0..<30).map { _ in [Double(generator.below(1000)) / 500, Double(generator.below(1000)) / 500] }
        let values = points.map { sin(2 * $0[0]) + 0.3 * $0[1] }
        let surrogate = try #require(Surrogate(points.map { ["a": $0[0], "b": $0[1]] }, values))
        let asked = [[0.5, 0.5], [1.5, 0.1], [5, 5]]
        let guesses = asked.map { surrogate.guess(["a": $0[0], "b": $0[1]]) }
        let printed = try Python.run(
            """
            import numpy as np
            from sklearn.gaussian_process import GaussianProcessRegressor
            from sklearn.gaussian_process.kernels import RBF
            x, y, q = np.array(\(points)), np.array(\(values)), np.array(\(asked))
            z = (y - y.mean()) / y.std()
            best = max((GaussianProcessRegressor(RBF(s), alpha=0.02, optimizer=None).fit(x, z) for s in [0.3, 0.6, 1.2, 2.4]), key=lambda g: g.log_marginal_likelihood_value_)
            mean, deviation = best.predict(q, return_std=True)
            print(*(mean * y.std() + y.mean()), *(y.std() * np.sqrt(deviation ** 2 + 0.02)))
            """)
        let theirs = printed.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
        try #require(theirs.count == 6, "\(printed)")
        for index in asked.indices {
            #expect(abs(guesses[index].mean - theirs[index]) < 1e-6, "\(guesses[index].mean) \(theirs[index])")
            #expect(abs(guesses[index].deviation - theirs[index + 3]) < 1e-5, "\(guesses[index].deviation) \(theirs[index + 3])")
        }
        #expect(Surrogate([["a": 1]], [1]) == nil)
    }
}

@Suite(.serialized) struct SearchTests {
    private func search(
        _ name: String, _ goal: String, best: String? = nil, seconds: Double, patience: Int = 15, techniques: Set<String>? = nil, store: TrialStore? = nil,
        cancellation: Cancellation = Cancellation(), change: (inout SearchRequest) -> Void = { _ in }
    ) throws -> (
        SearchResult, EngineSession, [String]
    ) {
        let session = try Fixture.session(name)
        var request = SearchRequest(try SearchGoal(goal, best: best, metric: try #require(session.info.metric)))
        (request.budget, request.patience, request.techniques) = (seconds, patience, techniques)
        change(&request)
        var events: [String] = []
        let search = try Search(session, request, store: store, cancellation: cancellation) { event in
            switch event {
            case .phase: break
            case .tried(let trial): events.append(trial.recipe.canonical)
            case .best(let trial): events.append("best " + trial.recipe.canonical)
            }
        }
        return (try search.run(), session, events)
    }

    /// What is found holds the goal when it is made and measured again.
    @Test(arguments: [("lenet-5", "file <= 30%, drop <= 0.5", 0.3), ("lstm", "file <= 30%, drop <= 0.5", 0.3)])
    func whatIsFoundHoldsTheGoal(name: String, goal: String, share: Double) throws {
        let (result, session, events) = try search(name, goal, seconds: 60)
        let best = try #require(result.best)
        let again = try session.apply(best.recipe)
        let accuracy = try session.evaluate(again.model)
        let bytes = try session.figures(of: again.model, slowSizes: false).serializedBytes.value
        #expect(bytes <= share * Double(session.info.fileBytes) && bytes == best.findings.after.serializedBytes.value)
        #expect(try #require(accuracy.loss) <= 0.005 + 1e-12 && accuracy.value == best.findings.accuracy?.value)
        #expect(result.tried > 3 && result.misses.isEmpty && events.contains { $0.hasPrefix("best ") })
        // The front: ever less loss for ever more bytes, the best first.
        let losses = result.front.map { $0.findings.accuracy?.loss ?? .nan }
        let sizes = result.front.map { $0.findings.after.serializedBytes.value }
        #expect(sizes.first == bytes && zip(losses, losses.dropFirst()).allSatisfy { $0 > $1 } && zip(sizes, sizes.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(Set(events).count == events.count)
    }

    /// Nothing reaches a hundredth of the size at no loss: the nearest are named, each with the limit that it misses.
    @Test func whatCannotBeReachedIsMissedByAsLittleAsPossible() throws {
        let (result, _, _) = try search("lenet-5", "file <= 1%, drop <= 0", seconds: 25)
        #expect(result.best == nil && !result.misses.isEmpty && result.misses.allSatisfy { !$0.trial.recipe.steps.isEmpty })
        for miss in result.misses { #expect((miss.demand.value(miss.trial.findings).map { miss.demand.isMet($0) }) == false) }
    }

    /// A search that is ended by its budget or by hand gives what it has; the next asks nothing again that is stored.
    @Test func aSearchGoesOnWhereAnotherEnded() throws {
        let folder = try TemporaryFolder()
        let store = try TrialStore(path: folder.path + "/trials.sqlite")
        let (first, _, _) = try search("lenet-5", "file <= 30%, drop <= 0.5", seconds: 4, store: store)
        #expect(first.end == .budget || first.end == .settled)
        let (second, _, _) = try search("lenet-5", "file <= 30%, drop <= 0.5", seconds: 20, store: store)
        #expect(second.known >= min(3, first.tried - first.dropped - 1), "\(second.known) of \(first.tried)")
        let stopped = Cancellation()
        stopped.cancel()
        let (third, _, _) = try search("lenet-5", "file <= 30%, drop <= 0.5", seconds: 20, store: store, cancellation: stopped)
        #expect(third.end == .interrupted && third.best == nil)
    }

    /// The same seed tries the same recipes in the same order, where no clock has a say.
    @Test func theSameSeedTriesTheSame() throws {
        let techniques: Set = ["weight-quantization", "gptq", "magnitude-pruning", "weight-sharing"]
        let (first, _, one) = try search("lstm", "file <= 40%, drop <= 1", seconds: 200, patience: 5, techniques: techniques)
        let (second, _, other) = try search("lstm", "file <= 40%, drop <= 1", seconds: 200, patience: 5, techniques: techniques)
        #expect(one.count > 5 && one == other && first.end == .settled && second.tried == first.tried)
    }

    /// A front over two measures: no point dominates another, it reaches from nothing lost to a fraction of the bytes, and each point is what the model is.
    @Test func aFrontIsFound() throws {
        let (result, session, _) = try search("lenet-5", "", best: "file,drop", seconds: 25)
        #expect(result.front.count >= 5 && result.misses.isEmpty && result.best != nil)
        for (index, one) in result.front.enumerated() {
            #expect(!result.front.enumerated().contains { $0.offset != index && $0.element.dominates(one) })
        }
        let smallest = try #require(result.front.first)
        #expect((smallest.score ?? .infinity) < 0.2 * Double(session.info.fileBytes))
        let least = try #require(result.front.compactMap { $0.scores[1] }.min())
        #expect(least <= 0)
        let middle = result.front[result.front.count / 2]
        let again = try session.apply(middle.recipe)
        #expect(try session.evaluate(again.model).value == middle.findings.accuracy?.value)
    }

    /// What rounding alone does not reach, training does; the trained model is made again from the store, bit for bit.
    @Test func trainingReachesFurther() throws {
        let folder = try TemporaryFolder()
        let store = try TrialStore(path: folder.path + "/trials.sqlite")
        let (result, session, _) = try search(
            "lenet-300-100", "file <= 24%, drop <= 1", seconds: 60, techniques: ["quantization-aware-training", "fp16", "dynamic-int8"], store: store
        ) { $0.mayTrain = true }
        let best = try #require(result.best, "\(result.misses.map { $0.trial.recipe.canonical })")
        #expect(result.trainings > 0 && best.recipe.learns, "\(best.recipe.canonical)")
        let again = try session.apply(best.recipe)
        #expect(try session.evaluate(again.model).value == best.findings.accuracy?.value)
        #expect(result.test != nil)
    }

    /// Standard operators only, and integers only.
    @Test(arguments: [TargetForm.portable, .integers])
    func formsAreKept(form: TargetForm) throws {
        let (result, session, _) = try search("lenet-5", "file <= 60%, drop <= 3", seconds: 15) { $0.form = form }
        let best = try #require(result.best)
        let model = try session.apply(best.recipe).model
        #expect(form.holds(model) && model.graph.nodes.allSatisfy { $0.domain.isEmpty })
        #expect(!TargetForm.integers.holds(session.model) && TargetForm.portable.holds(session.model))
    }

    @Test func latencyIsMeasuredWhereItCounts() throws {
        let (result, _, _) = try search("resnet-8", "latency <= 0.95x, drop <= 2", seconds: 40)
        // On a busy machine nothing may be measured as faster; whatever is told was measured.
        let told = (result.best.map { [$0] } ?? []) + result.misses.map(\.trial)
        #expect(!told.isEmpty && told.allSatisfy { $0.findings.latency != nil || $0.recipe.steps.isEmpty })
        if let best = result.best { #expect(try #require(best.findings.latency).ratio <= 0.95 && (best.findings.accuracy?.loss ?? 1) <= 0.02) }
    }
}
