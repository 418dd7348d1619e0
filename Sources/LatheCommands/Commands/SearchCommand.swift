import ArgumentParser
import CompressionEngine
import EngineSupport
import Explorer
import Foundation
import Measurement
import ModelGraph
import Recipes
import Techniques

struct SearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Find the recipe that meets a goal.",
        discussion: """
            The goal is a list of limits: 'file <= 50%, drop <= 0.5, latency <= 0.8x'. Of the models that keep them, the one is sought whose first \
            limited size (or --best) is best. Sizes are known without running a model, so what is too large costs nothing; the others are run on a growing part of the \
            validation samples and dropped when it is clear that they lose too much (of those that hold the goal at most 1 in 100). What was tried is stored: the \
            same search goes on where an earlier one ended, and its trials stand in the explorer.

            'drop' is a loss of the data set's metric, in its unit (percentage points of accuracy); 'lathe measures' lists what else can be limited. Only \
            techniques without training are used. The test split is read once, for the report of the best: nothing is chosen by it, so it needs no correction; the validation \
            figure is that of the best of many and may flatter.

            Status 1 where no recipe meets the goal: the nearest are named.
            """)

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String

    @Option(help: ArgumentHelp("What to reach, for example 'file <= 50%, drop <= 0.5'.", valueName: "limits"))
    var goal: String

    @Option(help: ArgumentHelp("The measure to make best; by default the first that is limited, else the ONNX file.", valueName: "measure"))
    var best: String?

    @Option(help: ArgumentHelp("Time to spend: 90s, 10m, 2h.", valueName: "time"))
    var budget = TimeQuantity(600)

    @Option(help: ArgumentHelp("Only these techniques, for example gptq,static-int8.", valueName: "list"))
    var techniques: String?

    @Option(help: ArgumentHelp("Where random choices begin.", valueName: "number"))
    var seed: UInt64 = 0

    @Option(
        name: [.customShort("o"), .long],
        help: ArgumentHelp(
            "Write best.onnx, its recipe and report, and the front's recipes into this folder; best.recipe.yaml is there from the first one on.", valueName: "folder"),
        completion: .directory)
    var output: String?

    @Flag(help: "Print events as lines of JSON, the result last.")
    var json = false

    func run() throws {
        try Outputs.check(files) { request.filesRead }
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: json)
        let document = try Failure.about(source.model) { try searched(progress, cancellation) }
        progress.clear()
        Console.print(json ? try document.printedLine() : SearchText.text(document))
        if document.best == nil { throw Failure.requirementNotMet }
    }

    private var request: OpenRequest { OpenRequest(modelPath: source.model, dataPath: data, runtimePath: source.runtime) }

    private var files: [String?] { output.map { folder in [".onnx", ".recipe.yaml", ".report.md"].map { "\(folder)/best\($0)" } } ?? [] }

    private func searched(_ progress: ProgressLine, _ cancellation: Cancellation) throws -> SearchDocument {
        let session = try EngineSession.open(request, cancellation: cancellation, progress: { progress.show($0, $1) })
        let goal = try SearchGoal(goal, best: best, metric: session.info.metric ?? .top1)
        var options = Search.Options()
        (options.budget, options.seed) = (budget.seconds, seed)
        options.techniques = techniques.map { Set($0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }) }
        if let output {
            do {
                try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
            } catch {
                throw BadInput("\(output): cannot be made: \(error.localizedDescription)")
            }
        }
        let store = TrialStore.open()
        if let warning = store.warning { Console.warn(warning) }
        defer { if let remark = store.takeRemark() { Console.warn(remark) } }
        var (phase, count, best) = ("", 0, "")
        var problem: (any Error)?
        let began = Date()
        let search = try Search(session, goal: goal, options: options, store: store, cancellation: cancellation) { event in
            switch event {
            case .phase(let name): phase = name
            case .tried(let trial):
                count += 1
                if json { Console.print((try? SearchDocument.Event("tried", SearchDocument.Trial(trial, goal)).line) ?? "") }
            case .best(let trial):
                best = "; best: " + SearchText.short(trial, goal)
                if json { Console.print((try? SearchDocument.Event("best", SearchDocument.Trial(trial, goal)).line) ?? "") }
                // Whatever happens from here on, this is on disk.
                do {
                    try output.map { try AtomicFile.write(Self.named(trial.recipe, session).yaml, to: "\($0)/best.recipe.yaml") }
                } catch {
                    problem = error
                    cancellation.cancel()
                }
            }
            progress.show("\(phase): \(count) tried\(best)", min(1, Date().timeIntervalSince(began) / budget.seconds))
        }
        let result = try search.run()
        if let problem { throw problem }
        session.changedSources.forEach(SourceChanges.warn)
        var document = SearchDocument(result, session)
        guard let output, let best = result.best else { return document }
        // The search may have been interrupted; what it found is written all the same. A second signal ends the program.
        let writing = Cancellation()
        document.files = try session.export(
            best.recipe, request: ExportRequest(folder: output, name: "best", includeArchive: goal.needsSlowSizes, overwrite: true), cancellation: writing
        ) { progress.show($1, $0) }
        for (index, trial) in result.front.dropFirst().enumerated() {
            let path = "\(output)/front-\(index + 2).recipe.yaml"
            try AtomicFile.write(Self.named(trial.recipe, session).yaml, to: path)
            document.files.append(path)
        }
        return document
    }

    private static func named(_ recipe: Recipe, _ session: EngineSession) -> Recipe {
        var recipe = recipe
        recipe.modelHash = session.info.modelHash
        return recipe
    }
}

/// A span of time on the command line: `90`, `90s`, `10m`, `2h`.
struct TimeQuantity: ExpressibleByArgument, CustomStringConvertible {
    var seconds: Double

    init(_ seconds: Double) { self.seconds = seconds }

    init?(argument: String) {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
        let factor = argument.last.flatMap { units[$0] }
        guard let value = Double(factor == nil ? argument[...] : argument.dropLast()), value.isFinite, value > 0, value < 1e7 else { return nil }
        seconds = value * (factor ?? 1)
    }

    var description: String { seconds.truncatingRemainder(dividingBy: 60) == 0 ? "\(Int(seconds / 60))m" : "\(Int(seconds))s" }
    var defaultValueDescription: String { description }
}
