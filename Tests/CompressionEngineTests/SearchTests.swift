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
    }

    @Test(
        "A goal that cannot be meant is one line that says what is expected",
        arguments: [
            ("", "is empty"), ("file", "expected a limit"), ("files <= 3", "no measure 'files'"), ("file >= 50%", "less is better"), ("accuracy <= 90", "more is better"),
            ("drop >= 1", "with <="), ("drop <= x", "percentage points"), ("file <= wide", "bytes"), ("file <= 1x, file <= 2x", "limited twice"), ("mae <= 3", "no measure 'mae'"),
            ("file <= -50%", "bytes"), ("drop <= -1", "percentage points"),
        ])
    func badGoals(text: String, part: String) {
        #expect { try SearchGoal(text, metric: .top1) } throws: { "\($0)".contains(part) && !"\($0)".contains("\n") }
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
                    if Search.isClearlyMissed(demand, tally.estimate(total: 10_000)) { return dropped.withLock { $0 += 1 } }
                }
            }
            let share = Double(dropped.withLock { $0 }) / Double(runs)
            #expect(share <= 0.01, "\(share) of recipes that lose \(loss)")
        }
    }
}

@Suite(.serialized) struct SearchTests {
    private func search(
        _ name: String, _ goal: String, best: String? = nil, seconds: Double, patience: Int = 15, techniques: Set<String>? = nil, store: TrialStore? = nil,
        cancellation: Cancellation = Cancellation()
    ) throws -> (
        SearchResult, EngineSession, [String]
    ) {
        let session = try Fixture.session(name)
        var options = Search.Options()
        (options.budget, options.patience, options.techniques) = (seconds, patience, techniques)
        var events: [String] = []
        let search = try Search(
            session, goal: try SearchGoal(goal, best: best, metric: try #require(session.info.metric)), options: options, store: store, cancellation: cancellation
        ) { event in
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
        #expect(result.tried > 3 && result.misses.isEmpty && events.contains("best " + best.recipe.canonical))
        // The front: ever less loss for ever more bytes, the best first.
        let losses = result.front.map { $0.findings.accuracy?.loss ?? .nan }
        let sizes = result.front.map { $0.findings.after.serializedBytes.value }
        #expect(sizes.first == bytes && zip(losses, losses.dropFirst()).allSatisfy { $0 > $1 } && zip(sizes, sizes.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(Set(events).count == events.count)
    }

    /// Nothing reaches a hundredth of the size at no loss: the nearest are named, each with the limit that it misses.
    @Test func whatCannotBeReachedIsMissedByAsLittleAsPossible() throws {
        let (result, _, _) = try search("lenet-5", "file <= 1%, drop <= 0", seconds: 25)
        #expect(result.best == nil && !result.misses.isEmpty)
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

    @Test func latencyIsMeasuredWhereItCounts() throws {
        let (result, _, _) = try search("resnet-8", "latency <= 0.95x, drop <= 2", seconds: 40)
        // On a busy machine nothing may be measured as faster; whatever is told was measured.
        let told = (result.best.map { [$0] } ?? []) + result.misses.map(\.trial)
        #expect(!told.isEmpty && told.allSatisfy { $0.findings.latency != nil || $0.recipe.steps.isEmpty })
        if let best = result.best { #expect(try #require(best.findings.latency).ratio <= 0.95 && (best.findings.accuracy?.loss ?? 1) <= 0.02) }
    }
}
