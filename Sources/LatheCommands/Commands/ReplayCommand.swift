import ArgumentParser
import CompressionEngine
import EngineSupport
import Explorer
import Foundation
import Measurement
import ModelGraph
import Recipes

struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Repeat a session of the explorer from its log, without a terminal.",
        discussion: """
            Every recipe edit of the session is repeated. The recipe it ends with is evaluated and compared with what the session recorded. \
            Sessions are logged under $XDG_STATE_HOME/lathe/sessions (~/.local/state/lathe/sessions).
            """)

    @Argument(help: "The session's log.", completion: .file(extensions: ["jsonl"]))
    var log: String

    @Option(help: ArgumentHelp("The model, if it is elsewhere than it was.", valueName: "file"), completion: .file(extensions: ["onnx"]))
    var model: String?

    @Option(help: ArgumentHelp("The data set, if it is elsewhere than it was.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String?

    @Option(name: .customLong("onnxruntime"), help: ArgumentHelp("ONNX Runtime's shared library to use.", valueName: "library"), completion: .file())
    var runtime: String?

    @Option(help: ArgumentHelp("Write the recipe the session ends with.", valueName: "file"), completion: .file(extensions: ["yaml"]))
    var saveRecipe: String?

    @Flag(help: "Require the accuracy and file size that the session recorded: status 1 if they differ.")
    var check = false

    @OptionGroup var output: OutputOptions

    func run() throws {
        let document = try Failure.about(log) { try replayed() }
        Console.print(output.json ? try document.printed() : document.text)
        guard check else { return }
        switch document.matches {
        case .some(true): return
        case .some(false): Console.error("\(log): not met: the replay differs from what the session recorded")
        case .none: Console.error("\(log): not met: the log holds no finished evaluation to compare with")
        }
        throw Failure.requirementNotMet
    }

    private func replayed() throws -> ReplayDocument {
        let session = try SessionLog.read(path: log)
        guard let modelPath = model ?? session.header.model else { throw BadInput("the log does not name the model; give --model") }
        let request = OpenRequest(modelPath: modelPath, dataPath: data ?? session.header.data, runtimePath: runtime)
        try Outputs.check([saveRecipe]) {
            var files = request.filesRead
            files.add(log, "the session's log")
            return files
        }
        let outcome = try SessionReplay.run(session, engine: Workbench(), request: request)
        if let saveRecipe { try AtomicFile.write(outcome.recipe.yaml, to: saveRecipe) }
        return ReplayDocument(log: log, model: modelPath, data: request.dataPath, outcome: outcome)
    }
}

/// What `lathe replay --json` prints.
struct ReplayDocument: JSONDocument {
    /// What the session saw at its last finished evaluation.
    struct Recorded: Encodable {
        var accuracy: Double?
        var serializedBytes: Int?
    }

    let schema = "lathe.replay/1"
    var log: String
    var model: String
    var data: String?
    var recipe: RecipeDocument
    var figures: FiguresDocument?
    var accuracy: EvaluateDocument.Accuracy?
    var recorded: Recorded?
    /// Whether the replay gives what was recorded; absent where nothing was.
    var matches: Bool?

    init(log: String, model: String, data: String?, outcome: SessionReplay.Outcome) {
        self.log = log
        self.model = model
        self.data = data
        recipe = RecipeDocument(outcome.recipe, reports: nil)
        figures = outcome.figures.map(FiguresDocument.init)
        accuracy = outcome.accuracy.map { EvaluateDocument.Accuracy($0, total: $0.total) }
        guard outcome.recordedAccuracy != nil || outcome.recordedFileBytes != nil else { return }
        recorded = Recorded(accuracy: outcome.recordedAccuracy, serializedBytes: outcome.recordedFileBytes?.whole)
        let sameAccuracy = outcome.recordedAccuracy.map { recorded in outcome.accuracy.map { abs($0.value - recorded) < 1e-9 } ?? false } ?? true
        let sameSize = outcome.recordedFileBytes.map { $0.whole == figures?[.file]?.whole } ?? true
        matches = sameAccuracy && sameSize
    }

    var text: String {
        var lines = ["\(log): \(EvaluateText.steps(recipe))"]
        var table = TextTable([("", .left), ("replayed", .right), ("recorded", .right)])
        if let accuracy {
            let metric = accuracy.measure
            table.add(metric.name, Written.value(accuracy.value, metric), Written.value(recorded?.accuracy, metric))
        }
        if let bytes = figures?[.file]?.whole {
            table.add("\(Measure.file.name), bytes", Written.exact(bytes), recorded?.serializedBytes.map(Written.exact) ?? "–")
        }
        if !table.rows.isEmpty { lines.append(table.text) }
        if let matches { lines.append(matches ? "the same as recorded" : "not the same as recorded") }
        return lines.joined(separator: "\n")
    }
}
