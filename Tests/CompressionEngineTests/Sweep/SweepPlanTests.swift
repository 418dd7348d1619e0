import Foundation
import Measurement
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Recipes
@testable import Techniques

@Suite struct SweepGridTests {
    private func lines(_ text: String) throws -> [String] { try SweepGrid(text).steps.map(\.line) }

    @Test func valuesAreRead() throws {
        #expect(try lines("gptq:bits=2..4") == ["gptq:bits=2", "gptq:bits=3", "gptq:bits=4"])
        #expect(try lines("gptq:bits=2..8/3") == ["gptq:bits=2", "gptq:bits=5", "gptq:bits=8"])
        #expect(try lines("sparsegpt:sparsity=0.1..0.4/0.1").map { $0.split(separator: "=").last } == ["0.1", "0.2", "0.3", "0.4"])
        #expect(try lines("weight-quantization:bits=8|4,granularity=channel|group").count == 4)
        #expect(try lines("fp16") == ["fp16"])
        // Positions of layers are no values.
        #expect(try lines("gptq:bits=3|5@0..2") == ["gptq:bits=3@0..2", "gptq:bits=5@0..2"])
        let recipes = try SweepGrid.product([SweepGrid("sparsegpt:sparsity=0.5..0.8/0.1"), SweepGrid("gptq:bits=3..6")])
        #expect(recipes.count == 16 && Set(recipes.map(\.canonical)).count == 16 && recipes.allSatisfy { $0.steps.map(\.technique) == ["sparsegpt", "gptq"] })
    }

    @Test(
        "What cannot be meant is one line that says what is expected",
        arguments: [
            ("gtpq:bits=2..4", "no technique 'gtpq'"), ("gptq:bit=2..4", "no parameter 'bit'"), ("gptq:bits=8..2", "expected values of bits"),
            ("gptq:bits=2..x", "expected values of bits"), ("sparsegpt:sparsity=0.1..0.9", "needs a step"), ("gptq:granularity=a..b", "has no range"),
            ("gptq:granularity=row", "row"), ("gptq:bits=2..99", "99"), ("gptq:bits", "key=values"), ("gptq:bits=4|", "empty value"), ("gptq:bits=2..8/0", "expected values"),
            ("sparsegpt:sparsity=0..0.9/0.0000001", "more than"), ("", "no technique"),
        ])
    func badGrids(text: String, part: String) {
        #expect { try SweepGrid(text) } throws: { "\($0)".contains(part) && "\($0)".contains("--grid") && !"\($0)".contains("\n") }
    }
}

@Suite(.serialized) struct SweepTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func sweep(
        _ name: String = "sweep", grid: [String] = ["weight-quantization:bits=2..8"], goal: String = "file <= 60%, drop <= 2", samples: Int = 600, racing: Bool = true,
        attempts: Int = 3
    ) throws -> (Sweep, EngineSession) {
        let session = try Fixture.session("lenet-300-100")
        let description = try SweepDescription(
            session, dataPath: Samples.data, goal: goal, best: nil, races: racing, samples: samples, seed: 0, lease: 60, attempts: attempts, version: "1",
            cancellation: Cancellation())
        let sweep = try Sweep(path: folder.file(name), description)
        _ = try sweep.add(SweepGrid.product(grid.map { try SweepGrid($0) }), source: "grid")
        return (sweep, session)
    }

    private func work(_ sweep: Sweep, _ session: EngineSession, _ cancellation: Cancellation = Cancellation(), update: @escaping (SweepEvent) -> Void = { _ in }) throws
        -> SweepWorker.End
    {
        try SweepWorker(sweep, session, options: SweepWorker.Options(version: "1"), cancellation: cancellation, update: update).run()
    }

    /// A sweep says of each recipe what evaluating it says, and its best is the best of them.
    @Test func resultsAreThoseOfEachRecipe() throws {
        let (sweep, session) = try sweep(racing: false)
        #expect(try work(sweep, session) == .complete)
        let results = sweep.results()
        #expect(results.map(\.id) == Array(0..<7) && results.allSatisfy { [.complete, .rejected].contains($0.state) })
        for result in results where result.state == .complete {
            let applied = try session.apply(result.appliedRecipe())
            #expect(result.figures?.accuracy == (try session.evaluate(applied.model, limit: 600).value))
            #expect(result.figures?[.file] == (try session.figures(of: applied.model, slowSizes: false).serializedBytes.value))
        }
        var reader = SweepResultReader(sweep)
        let summary = try SweepSummary(sweep, reader: &reader)
        let best = try #require(summary.result.best)
        let feasible = results.filter { $0.state == .complete && ($0.difference ?? -1) >= -0.02 }
        #expect(best.findings.after.serializedBytes.value == feasible.compactMap { $0.figures?[.file] }.min())
        #expect(summary.isComplete && summary.open == 0 && summary.claimed == 0)
        // What is left behind: nothing but results.
        for part in [SweepFolder.Part.open, .claimed, .workers, .staging] { #expect(sweep.folder.names(part).isEmpty, "\(part)") }
        #expect(throws: EngineError.self) { try Sweep(path: sweep.folder.path, sweep.description) }
    }

    /// What is dropped hangs on the trial alone: racing leaves the front as it is.
    @Test func racingLeavesTheFront() throws {
        let (plain, session) = try sweep("plain", samples: 1000, racing: false)
        let (raced, _) = try sweep("raced", samples: 1000)
        #expect(try work(plain, session) == .complete && work(raced, session) == .complete)
        var readers = (SweepResultReader(plain), SweepResultReader(raced))
        let fronts = (try SweepSummary(plain, reader: &readers.0).result.front, try SweepSummary(raced, reader: &readers.1).result.front)
        #expect(!fronts.0.isEmpty && fronts.0.map(\.recipe.canonical) == fronts.1.map(\.recipe.canonical))
        #expect(raced.results().contains { $0.state == .dropped && ($0.figures?.seen ?? 0) == 256 })
    }

    /// Interrupted in the middle: the trial at hand is open again, without a strike, and another worker ends the sweep.
    @Test func anInterruptedWorkerGivesItsTrialBack() throws {
        let (sweep, session) = try sweep()
        let cancellation = Cancellation()
        let end = try work(sweep, session, cancellation) { event in
            if case .phase(let name) = event, name.hasPrefix("weight-quantization") { cancellation.cancel() }
        }
        #expect(end == .interrupted)
        #expect(SweepClaims(sweep.folder, worker: "").openTokens().map(\.strikes) == Array(repeating: 0, count: 7) && sweep.results().isEmpty)
        for part in [SweepFolder.Part.claimed, .workers, .staging] { #expect(sweep.folder.names(part).isEmpty, "\(part)") }
        #expect(try work(sweep, session) == .complete && sweep.results().count == 7)
    }

    /// Trials of workers that have ended, at every point of their work, and trials that were never opened.
    @Test func whatOthersLeftBehindIsDone() throws {
        let (sweep, session) = try sweep()
        var gone = WorkerIdentity.current()
        (gone.name, gone.started) = ("gone-1-a", "1")
        let folder = SweepFolder(sweep.folder.path, owner: gone.name)
        let claims = SweepClaims(folder, worker: gone.name)
        let record = WorkerRecord(identity: gone, machine: "m", threads: 1, version: "1", runtime: "1", began: 0)
        folder.replace(try SweepJSON.data(record), .workers, "gone-1-a.json")
        // 0 claimed; 1 claimed and half written; 2 with a result and a claim; 3 missing; 4 claimed for the third time.
        for id in 0..<3 { _ = try claims.claim(SweepToken(id: id)) }
        try Data("{".utf8).write(to: URL(fileURLWithPath: folder.path(.staging, "000001.json.gone-1-a")))
        let known = SweepResult(
            id: 2, recipe: "seed=0", state: .failed, reason: "known", worker: "gone-1-a", host: "h", machine: "m", threads: 1, version: "1", runtime: "1", began: 0)
        #expect(try folder.add(SweepJSON.data(known), .done, "000002.json"))
        folder.remove(.open, SweepToken(id: 3).name)
        #expect(try folder.move(.open, SweepToken(id: 4).name, to: .claimed, SweepToken(id: 4, strikes: 2, worker: "gone-1-a").name))
        #expect(try work(sweep, session) == .complete)
        let results = sweep.results()
        #expect(results.map(\.id) == Array(0..<7) && results[2].reason == "known" && results[0].strikes == 1 && results[1].strikes == 1)
        #expect(results[3].state != .failed && results[4].state == .failed && results[4].reason?.contains("3 workers ended") == true)
        for part in [SweepFolder.Part.open, .claimed, .workers, .staging] { #expect(sweep.folder.names(part).isEmpty, "\(part)") }
    }

    @Test func othersModelsDataAndVersionsAreRefused() throws {
        let (sweep, session) = try sweep()
        #expect { try SweepWorker(sweep, session, options: SweepWorker.Options(version: "2"), cancellation: Cancellation()) } throws: {
            "\($0)".contains("made by lathe 1, this is 2")
        }
        let other = try Fixture.session("lenet-5")
        #expect { try SweepWorker(sweep, other, options: SweepWorker.Options(version: "1"), cancellation: Cancellation()) } throws: { "\($0)".contains("is not the sweep's model") }
        #expect { try Sweep(path: folder.path) } throws: { "\($0)".contains("holds no sweep") && !"\($0)".contains("\n") }
    }

    /// The same seed makes the same trials; there are as many neighbors as rungs, all different.
    @Test func plansAreRepeatable() throws {
        let session = try Fixture.session("lenet-300-100")
        let goal = try SearchGoal("file <= 25%, drop <= 1", metric: .top1)
        func plan(_ seed: UInt64, _ count: Int?) throws -> [String] {
            var plan = try SweepPlan(session, goal: goal, techniques: nil, seed: seed)
            return plan.recipes(count: count).map(\.canonical)
        }
        let (one, again, other) = (try plan(1, nil), try plan(1, nil), try plan(2, nil))
        #expect(one == again && one != other && Set(one).count == one.count && one.count > 100)
        #expect(try plan(1, 300).count == 300 && plan(1, 10).count == 10)
        #expect(throws: EngineError.self) { try SweepPlan(session, goal: goal, techniques: ["unknown"], seed: 0) }
    }

    /// The journal's lines are as Optuna 5.0 writes them: one study, a trial for each result with all of its fields.
    @Test func journalsHaveOptunasShape() throws {
        let (sweep, session) = try sweep(grid: ["sparsegpt:sparsity=0.3|0.9", "weight-quantization:bits=2|8,granularity=channel|tensor"])
        #expect(try work(sweep, session) == .complete)
        let text = try OptunaJournal(sweep, name: "study").text(sweep.results())
        let lines = try text.split(separator: "\n").map { try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]) }
        #expect(lines[0]["op_code"] as? Int == 0 && lines[0]["directions"] as? [Int] == [1, 1] && lines[0]["study_name"] as? String == "study")
        let trials = lines.filter { $0["op_code"] as? Int == 4 }
        #expect(trials.count == 8)
        for (trial, result) in zip(trials, sweep.results()) {
            let parameters = try #require(trial["params"] as? [String: Double])
            let distributions = try #require(trial["distributions"] as? [String: String])
            #expect(parameters.keys.sorted() == distributions.keys.sorted() && parameters["1.sparsegpt.sparsity"] != nil && parameters["2.weight-quantization.bits"] != nil)
            let isComplete = result.state == .complete
            #expect(trial["state"] as? Int == (isComplete ? 1 : [.dropped, .rejected].contains(result.state) ? 2 : 3))
            #expect((trial["values"] as? [Double])?.count == (isComplete ? 2 : nil) && trial["value"] is NSNull)
            let constraints = (trial["system_attrs"] as? [String: Any])?["constraints"] as? [Double]
            if isComplete {
                let found = result.trial(try sweep.description.searchGoal(), baseline: sweep.description.baseline)
                #expect(constraints?.count == 2 && constraints?.allSatisfy { $0 <= 0 } == found?.isFeasible)
            }
        }
    }
}
