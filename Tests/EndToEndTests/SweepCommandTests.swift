import Foundation
import PythonOracle
import Testing

/// `lathe sweep`: several processes, some of them killed, and one result for each trial.
@Suite(.serialized) struct SweepCommandTests {
    private let folder: TemporaryFolder
    private let state: [String: String]
    private var place: String { folder.path + "/sweep" }

    init() throws {
        folder = try TemporaryFolder()
        state = ["XDG_STATE_HOME": folder.path + "/state"]
    }

    private func start(_ more: String..., trials: Int = 60) throws {
        let result = try Program.run(
            ["sweep", "init", place, Samples.path("lenet-300-100"), "--data", Samples.data, "--goal", "file <= 50%, drop <= 2", "--samples", "300", "--trials", "\(trials)"] + more,
            environment: state)
        #expect(result.status == 0 && result.output.contains("\(trials) trials"), "\(result.errors)")
    }

    private func names(_ part: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: "\(place)/\(part)") }

    /// Two workers, of which one is killed again and again.
    @Test func killedWorkersLoseNothing() throws {
        try start("--attempts", "20", trials: 40)
        let output = open(folder.path + "/output", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        let process = try ChildProcess.start(Program.path, ["sweep", "work", place, "--jobs", "2"], environment: state, output: output, errors: output)
        close(output)
        var kills = 0
        let deadline = Date().addingTimeInterval(100)
        while try names("done").count < 35, Date() < deadline {
            usleep(150_000)
            // A worker's file is named by its process.
            guard let worker = try names("claimed").randomElement()?.split(separator: ".")[2], let number = worker.split(separator: "-").dropLast().last.flatMap({ pid_t($0) }),
                kills < 3
            else { continue }
            kill(number, SIGKILL)
            kills += 1
        }
        let end = ChildProcess.wait(process)
        let text = try String(contentsOfFile: folder.path + "/output", encoding: .utf8)
        #expect(end.status == 0 && end.signal == nil && kills > 0, "\(text)")
        #expect(text.contains("40 of 40 trials have a result"), "\(text)")
        for part in ["open", "claimed", "workers", "staging"] { #expect(try names(part).isEmpty, "\(part)") }
        let collected = try Program.run(
            [
                "sweep", "collect", place, "--json", "--output", folder.path + "/out", "--csv", folder.path + "/table.csv", "--jsonl", folder.path + "/lines.jsonl", "--optuna",
                folder.path + "/journal.log",
            ],
            environment: state)
        #expect(collected.status == 0, "\(collected.errors)")
        let document = try JSON(parsing: collected.output)
        #expect(document["done"]?.int == 40 && document["open"]?.int == 0 && document["schema"]?.string == "lathe.sweep-report/1")
        let rows = try String(contentsOfFile: folder.path + "/lines.jsonl", encoding: .utf8).split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(rows.compactMap { $0["id"]?.int } == Array(0..<40))
        #expect(try String(contentsOfFile: folder.path + "/table.csv", encoding: .utf8).hasPrefix("trial,state,reason,recipe,"))
        #expect(try String(contentsOfFile: folder.path + "/journal.log", encoding: .utf8).split(separator: "\n").count(where: { $0.contains("\"op_code\":4") }) == 40)
        for name in ["best.onnx", "best.recipe.yaml", "best.report.md"] { #expect(FileManager.default.fileExists(atPath: "\(folder.path)/out/\(name)")) }
        // The file is as large as it was said.
        let bytes = try contents(folder.path + "/out/best.onnx").count
        #expect(Double(bytes) == document["best.trial.values.file"]?.double)
        let shown = try Program.run(["sweep", "show", place], environment: state)
        #expect(shown.status == 0 && shown.output.contains("40 trials: 40 done") && shown.output.contains("best so far"), "\(shown.output)")
    }

    /// SIGTERM: the trial at hand is given back, and the status is 0.
    @Test func aWorkerThatIsTerminatedGivesItsTrialBack() throws {
        try start()
        let output = open(folder.path + "/output", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        let process = try ChildProcess.start(Program.path, ["sweep", "work", place], environment: state, output: output, errors: output)
        close(output)
        let deadline = Date().addingTimeInterval(100)
        while try names("done").count < 2, Date() < deadline { usleep(20_000) }
        kill(process, SIGTERM)
        let end = ChildProcess.wait(process)
        let text = try String(contentsOfFile: folder.path + "/output", encoding: .utf8)
        #expect(end.status == 0 && end.signal == nil && text.contains("goes on"), "\(text)")
        #expect(try names("claimed").isEmpty && names("workers").isEmpty && names("staging").isEmpty)
        #expect(try names("open").count + names("done").count == 60 && names("open").allSatisfy { $0.hasSuffix(".0.json") })
        let added = try Program.run(["sweep", "add", place, "--grid", "gptq:bits=3..4,granularity=tensor"], environment: state)
        #expect(added.status == 0 && added.output.contains("62 in all"), "\(added.output) \(added.errors)")
    }

    @Test func whatIsWrittenForLaunchers() throws {
        try start(trials: 4)
        for (means, name, part) in [
            ("slurm:3", "slurm.sh", "#SBATCH --array=0-2"), ("hyperqueue:3", "hyperqueue.sh", "--array 1-3"), ("kubernetes:3", "kubernetes.yaml", "completions: 3"),
        ] {
            let result = try Program.run(["sweep", "work", place, "--launch", means, "--time", "90m", "--write-only"], environment: state)
            #expect(result.status == 0 && result.output.contains(name), "\(result.errors)")
            let text = try String(contentsOfFile: "\(place)/launch/\(name)", encoding: .utf8)
            #expect(text.contains(part) && text.contains(means.hasPrefix("slurm") ? "--time=1:30:00" : "5400"))
            if name.hasSuffix(".sh") { #expect(try ChildProcess.run("/bin/bash", ["-n", "\(place)/launch/\(name)"]).status == 0) }
        }
        let missing = try Program.run(["sweep", "work", place, "--launch", "hyperqueue:2"], environment: state.merging(["PATH": "/nowhere"]) { $1 })
        #expect(missing.status == 2 && missing.errorLines.count == 1 && missing.errors.contains("hq is not on PATH"), "\(missing.errors)")
    }

    @Test func badInputIsOneLine() throws {
        try start(trials: 4)
        let model = [Samples.path("lenet-300-100"), "--data", Samples.data]
        let goal = ["--goal", "file <= 50%"]
        for (arguments, part) in [
            (["init", place] + model + goal, "holds a sweep already"), (["init", folder.path + "/b"] + model + ["--goal", "files <= 3"], "there is no measure 'files'"),
            (["init", folder.path + "/b"] + model + goal + ["--grid", "gptq:bits=9..8"], "expected values of bits"),
            (["init", folder.path + "/b"] + model + goal + ["--grid", "gptq:bits=4", "--techniques", "fp16"], "--techniques says nothing"),
            (["init", folder.path + "/b"] + model + goal + ["--samples", "1000000"], "the validation split has"), (["work", folder.path], "holds no sweep"),
            (["work", place, "--model", Samples.path("lenet-5")], "is not the sweep's model"), (["work", place, "--launch", "pbs"], "expected local:N"),
            (["work", place, "--launch", "parallel"], "needs --hosts"), (["add", place], "has no results yet"), (["show", "/nowhere"], "holds no sweep"),
            (["collect", place, "--csv", place + "/sweep.json"], "would overwrite"),
        ] {
            let result = try Program.run(["sweep"] + arguments, environment: state)
            #expect(result.status == 2 && result.errorLines.count == 1 && result.errors.contains(part), "\(arguments): \(result.status) \(result.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/b/sweep.json"))
        let early = try Program.run(["sweep", "collect", place], environment: state)
        #expect(early.status == 1 && early.output.contains("No recipe meets the goal"), "\(early.output) \(early.errors)")
    }
}
