import CompressionEngine
import Foundation
import Measurement
import Recipes
import Techniques
import TerminalCells
import Testing

@testable import Explorer

/// What a newcomer meets: where to begin, what is wanted, what happens when something fails.
@Suite struct FirstMinutesTests {
    private func registered(_ size: Size = Size(width: 120, height: 40)) -> Driver { Driver(FakeEngine(), size: size, catalog: .registered) }

    // MARK: - Techniques

    @Test func recipesStandFirstAndTechniquesByWhatTheyNeed() throws {
        let driver = registered()
        let groups = driver.model.techniqueRows.compactMap { if case .group(let group, let count, _) = $0 { (group, count) } else { nil } }
        #expect(groups.map(\.0) == [.presets, .withoutData, .withCalibration, .trains])
        #expect(groups[0].1 == RecipePreset.all.count && groups.dropFirst().map(\.1).reduce(0, +) == TechniqueRegistry.all.count)
        // The cursor begins on a technique, with the recipes above it in view.
        #expect(driver.model.focusedTechnique != nil && driver.screen.contains("Ready-made recipes") && driver.screen.contains("Without data"))
        // Folded groups list only what the recipe has.
        #expect(!driver.model.techniqueRows.contains { if case .technique(let entry) = $0 { entry.step.technique == "fine-tuning" } else { false } })
        driver.model.focusTechnique(StepAddress("fine-tuning"))
        #expect(driver.model.focusedTechnique?.step.technique == "fine-tuning")
    }

    @Test func aTitleFoldsItsGroupAndKeepsTheCursor() throws {
        let driver = registered()
        driver.press("g down down down down down down down")
        #expect(driver.model.focusedGroup == .withoutData, "\(driver.screen)")
        let before = driver.model.techniqueRows.count
        driver.press("space")
        #expect(driver.model.focusedGroup == .withoutData && driver.model.techniqueRows.count < before - 20)
        driver.press("space")
        #expect(driver.model.focusedGroup == .withoutData && driver.model.techniqueRows.count == before)
    }

    @Test func aPresetIsTakenAndUndone() throws {
        let driver = registered()
        driver.press("g down")
        let preset = try #require(driver.model.focusedPreset)
        #expect(driver.screen.contains(preset.title) && driver.screen.contains("Space takes"))
        driver.press("space")
        #expect(driver.model.recipe.steps == (try preset.recipe()).steps)
        driver.press("u")
        #expect(driver.model.recipe.steps.isEmpty)
    }

    @Test func techniquesAreFoundByWhatTheyAreFor() {
        for ids in TechniqueSearch.purposes.values { for id in ids { #expect(TechniqueRegistry.technique(id) != nil, "\(id)") } }
        func found(_ query: String) -> [String] { TechniqueRegistry.all.map(\.descriptor).filter { TechniqueSearch.finds(query, $0) }.map(\.id) }
        #expect(found("int4").contains("gptq") && !found("int4").contains("fp16"))
        #expect(found("faster").contains("structured-pruning") && found("half").contains("fp16"))
        #expect(found("small").contains("weight-quantization") && found("zzz").isEmpty)
        // In folded groups, too.
        let driver = registered()
        driver.press("/")
        driver.type("faster")
        driver.press("enter")
        #expect(driver.model.techniqueRows.contains { if case .technique(let entry) = $0 { entry.step.technique == "static-int8" } else { false } })
    }

    /// The cursor stays on the item, not on its number.
    @Test func aFilterThatIsTakenBackLeavesTheCursorOnItsItem() {
        let driver = registered()
        driver.press("/")
        driver.type("pruning")
        driver.press("enter j")
        let chosen = driver.model.focusedTechnique?.step
        driver.press("esc")
        #expect(driver.model.ui.filters[.techniques] == nil)
        #expect(chosen?.technique == "n-m-pruning" && driver.model.focusedTechnique?.step == chosen)
        let other = Driver()
        other.press("2 /")
        other.type("ip2")
        other.press("enter")
        let layer = other.model.selectedLayer?.layer.id
        other.press("esc")
        #expect(layer?.contains("ip2") == true && other.model.selectedLayer?.layer.id == layer)
    }

    // MARK: - A goal

    @Test func goalsAreChosenWithTheArrows() throws {
        let driver = registered()
        driver.press("F")
        #expect(driver.screen.contains("half the size") && driver.screen.contains("goal: file <= 50%, drop <= 0.5"))
        driver.press("down")
        #expect(driver.screen.contains("goal: minimize latency, drop <= 1"))
        driver.press("enter")
        let goals = driver.effects.compactMap { if case .search(let request, _, _) = $0 { request.goal } else { nil } }
        #expect(goals.count == 1 && goals[0].objectives == [.latency] && goals[0].demands == [Demand(.top1, .drop, 0.01)])
        for choice in driver.model.goalChoices { #expect(throws: Never.self) { try SearchRequest(choice.text, metric: .top1) } }
    }

    @Test func aTargetStaysOnScreenWithMarks() throws {
        let driver = Driver(FakeEngine(), size: Size(width: 120, height: 40))
        driver.press("o")
        driver.press("ctrl-u")
        driver.type("packed <= 99%, drop <= 90, macs <= 1%")
        driver.press("enter")
        #expect(driver.screen.contains("Target") && driver.screen.contains("MACs ≤ 1.0 %"), "\(driver.screen)")
        driver.press("space")
        let marks = driver.model.targetMarks
        #expect(marks.map(\.isMet) == [true, true, false])
        let packed = try #require(driver.model.figuresNow?.packedBytes?.value)
        let whole = try #require(driver.model.facts.baseline?.packedBytes?.value)
        #expect(marks[0].value == packed / whole)
        // An unmet limit is not told by color alone.
        #expect(driver.screen.split(separator: "\n").contains { $0.contains("Target") && $0.contains("✓") && $0.contains("✗") }, "\(driver.screen)")
        driver.press("o ctrl-u enter")
        #expect(driver.model.tasks.target == nil && !driver.screen.contains("Target"))
    }

    // MARK: - What goes wrong

    @Test func aRecipeThatFailsShowsNoNumbers() {
        let engine = FakeEngine(answersAtOnce: false)
        let driver = Driver(engine, size: Size(width: 120, height: 40))
        driver.press("space")
        driver.send(.engine(.failed(generation: driver.model.answers.evaluation.generation, job: nil, message: "step 1 (magnitude-pruning): no")))
        driver.wait()
        #expect(driver.model.accuracyNow == nil && driver.model.figuresNow == nil && driver.model.latencyNow == nil)
        #expect(driver.screen.contains("step 1 (magnitude-pruning): no") && driver.screen.contains("undoes the last change"), "\(driver.screen)")
        #expect(!driver.screen.contains("from the previous recipe"))
    }

    @Test func quittingAsksWhereWorkWouldBeLost() {
        let driver = Driver(FakeEngine(), size: Size(width: 120, height: 40))
        driver.press("F enter")
        driver.press("q")
        #expect(!driver.hasQuit && driver.screen.contains("Quit while work is running?"))
        driver.press("esc")
        #expect(!driver.hasQuit)
        driver.press("q y")
        #expect(driver.hasQuit)
        let idle = Driver()
        idle.press("q")
        #expect(idle.hasQuit)
    }

    /// Ctrl-C ends what runs, the baseline's evaluation too, and quits only then.
    @Test func theBaselineIsCanceledBeforeQuitting() {
        let driver = Driver(FakeEngine(answersAtOnce: false), size: Size(width: 120, height: 40))
        driver.model.facts.baselineRun = (0, nil)
        driver.press("ctrl-c")
        #expect(!driver.hasQuit && driver.effects.contains { if case .cancelBaseline = $0 { true } else { false } })
        #expect(driver.screen.contains("no accuracy: canceled; E tries again"), "\(driver.screen)")
        driver.press("ctrl-c")
        #expect(driver.hasQuit)
        // Undoing to the baseline leaves its evaluation alone.
        let other = Driver(FakeEngine(answersAtOnce: false))
        other.model.facts.baselineRun = (0, nil)
        other.press("space u")
        #expect(!other.effects.contains { if case .cancelBaseline = $0 { true } else { false } })
    }

    @Test func theFirstEntryOfThePaletteDoesNotQuit() {
        let driver = Driver()
        driver.press(": enter")
        #expect(!driver.hasQuit)
    }

    @Test func theHistoryBeginsAtThePresentState() {
        let driver = Driver()
        driver.press("space tab l l l 4")
        let present = driver.model.session.history.currentID
        #expect(driver.model.selectedState == present)
        driver.press("k")
        #expect(driver.model.selectedState == present - 1)
    }

    // MARK: - Names

    @Test func layersAreNamedByWhatDiffers() {
        let names = LayerNames(["/model.0/conv/Conv", "/model.2/cv1/conv/Conv", "/model.10/m.0/conv/Conv"])
        #expect(names("/model.0/conv/Conv") == "…0")
        #expect(names("/model.2/cv1/conv/Conv") == "…2/cv1")
        let longer = LayerNames(["/net/block.0/conv/Conv", "/net/block.1/conv/Conv", "/net/head/fc/Gemm"])
        #expect(longer("/net/head/fc/Gemm") == "…head/fc/Gemm" && longer("/net/head/fc/Gemm", isASCII: true) == "..head/fc/Gemm")
        #expect(LayerNames(["a", "b", "c"])("a") == "a" && LayerNames([])("x") == "x")
        // Nothing is cut where two would become one.
        #expect(LayerNames(["/a/b", "/a/b", "/a/c"])("/a/b") == "/a/b")
    }
}

/// What is shown when no model is named.
@Suite struct StartScreenTests {
    private func folder(_ files: [String: String]) throws -> String {
        let path = NSTemporaryDirectory() + "lathe-start-\(UUID().uuidString)"
        for (name, text) in files {
            let url = URL(fileURLWithPath: path + "/" + name)
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
        return path
    }

    @Test func modelsAndDataAreFound() throws {
        let path = try folder([
            "a.onnx": "x", "nets/b.onnx": "x", "nets/data.yaml": "name: D\nsplits:\n  validation: x\n", "recipe.yaml": "lathe: 1\nsteps: []\n", ".hidden/c.onnx": "x", "v.npz": "x",
        ])
        defer { try? FileManager.default.removeItem(atPath: path) }
        let files = StartFiles(folder: path, logs: nil)
        #expect(files.models.map(\.path) == ["a.onnx", "nets/b.onnx"] && files.data == ["v.npz", "nets/data.yaml"])
        #expect(files.data(near: "nets/b.onnx").first == "nets/data.yaml")
    }

    @Test func aModelIsChosenAndThenItsData() throws {
        var files = StartFiles()
        files.models = [("a.onnx", 10), ("nets/b.onnx", 20)]
        files.data = ["nets/data.yaml"]
        files.recent = [StartFiles.Recent(model: "/home/x/old.onnx", data: "/home/x/d.yaml")]
        func screen() -> StartScreen { StartScreen(files, folder: "/home/x", size: Size(width: 80, height: 24)) }
        var first = screen()
        #expect(first.frame(Theme()).text.contains("old.onnx") && first.frame(Theme()).text.contains("nets/b.onnx"))
        #expect(first.handle(Key(.enter)) == .open(model: "/home/x/old.onnx", data: "/home/x/d.yaml"))
        var second = screen()
        for character in "b.on" { _ = second.handle(Key(.character(character))) }
        #expect(second.handle(Key(.enter)) == nil && second.frame(Theme()).text.contains("nets/data.yaml"))
        #expect(second.handle(Key(.enter)) == .open(model: "nets/b.onnx", data: "nets/data.yaml"))
        var third = screen()
        _ = third.handle(Key(.down))
        _ = third.handle(Key(.enter))
        _ = third.handle(Key(.down))
        #expect(third.handle(Key(.enter)) == .open(model: "a.onnx", data: nil))
        var fourth = screen()
        #expect(fourth.handle(Key(.character("q"))) == .quit)
        let empty = StartScreen(StartFiles(), folder: "/x", size: Size(width: 80, height: 24)).frame(Theme()).text
        #expect(empty.contains("lathe MODEL.onnx --data DATA.yaml"))
    }
}

/// A session that was cut off goes on where it was.
@Suite struct EarlierSessionTests {
    private func log(_ driver: Driver) throws -> SessionLog {
        var header = SessionLine(t: 0, action: "start")
        (header.lathe, header.model) = (SessionLog.version, "/models/lenet-5.onnx")
        return try SessionLog(text: ([header] + driver.log).map(\.json).joined(separator: "\n") + "\n", file: "log")
    }

    private func reopened(_ earlier: EarlierSession) -> Driver {
        let driver = Driver(opens: false)
        driver.model.earlier = earlier
        let (model, engine) = (driver.model.request, driver.engine)
        let events = Driver.Inbox()
        engine.open(model, send: { events.put($0) })
        for event in events.drain() { driver.send(.engine(event)) }
        return driver
    }

    @Test func aSessionThatWasCutGoesOn() throws {
        let driver = Driver()
        driver.press("space tab l l p u l l l")
        let earlier = EarlierSession(try log(driver))
        #expect(earlier.wasCut)
        let again = reopened(earlier)
        #expect(again.model.recipe == driver.model.recipe && again.model.session.history.nodes.count == driver.model.session.history.nodes.count)
        #expect(again.model.session.history.nodes.map(\.isPinned) == driver.model.session.history.nodes.map(\.isPinned))
        // What happened stays on screen for one who looks elsewhere, until a key is pressed.
        again.wait(600)
        #expect(again.screen.contains("goes on here"))
        again.press("tab")
        #expect(!again.screen.contains("goes on here"))
        // Undo goes back through it, and a second cut loses nothing either.
        #expect(EarlierSession(try log(again)).wasCut)
        let third = reopened(EarlierSession(try log(again)))
        #expect(third.model.recipe == driver.model.recipe)
        for _ in 0..<third.model.session.history.depth { third.press("u") }
        #expect(third.model.recipe.steps.isEmpty)
    }

    @Test func aSessionThatWasQuitIsOffered() throws {
        let driver = Driver()
        driver.press("space tab l q")
        let earlier = EarlierSession(try log(driver))
        #expect(!earlier.wasCut)
        let again = reopened(earlier)
        #expect(again.model.recipe.steps.isEmpty)
        again.press(":")
        again.type("take up the last session")
        again.press("enter")
        #expect(again.model.recipe == driver.model.recipe)
    }

    @Test func ofAnotherModelNothingIsTaken() throws {
        let driver = Driver()
        driver.press("space")
        var earlier = EarlierSession(try log(driver))
        earlier.modelHash = "other"
        #expect(reopened(earlier).model.recipe.steps.isEmpty)
    }

    @Test func theNewestThatDidSomethingIsFound() throws {
        let folder = NSTemporaryDirectory() + "lathe-sessions-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let driver = Driver()
        driver.press("space")
        func write(_ name: String, _ lines: [SessionLine]) throws {
            var header = SessionLine(t: 0, action: "start")
            (header.lathe, header.model) = (SessionLog.version, "/models/lenet-5.onnx")
            try Data(([header] + lines).map(\.json).joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
        }
        try write("20260101-000000-lenet-5-999999999.jsonl", driver.log)
        try write("20260102-000000-lenet-5-999999998.jsonl", [])
        // One that runs.
        try write("20260103-000000-lenet-5-\(getpid()).jsonl", driver.log)
        let found = try #require(EarlierSession.newest(in: folder, of: "/models/lenet-5.onnx"))
        #expect(found.lines.count == driver.log.count)
        #expect(EarlierSession.newest(in: folder, of: "/models/other.onnx") == nil)
    }
}
