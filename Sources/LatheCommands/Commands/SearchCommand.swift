import ArgumentParser
import CompressionEngine
import EngineSupport
import Explorer
import Foundation
import Measurement
import Metrics
import ModelGraph
import Recipes
import Techniques

struct SearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Find the recipe that meets a goal.",
        discussion: """
            The goal is a list of limits: 'file <= 50%, drop <= 0.5, latency <= 0.8x'. Of the models that keep them, the one is sought whose first \
            limited size is least; --minimize names another measure, or two or three whose front is wanted: --minimize file,drop. Sizes are known without \
            running a model, so what is too large costs nothing; the others are run on a growing part of the validation samples and dropped when it is clear \
            that they lose too much (of those that hold the goal at most 1 in 100). What was tried is stored: the same search goes on where an earlier one \
            ended, and its trials stand in the explorer.

            'drop' is a loss of the data set's metric, in its unit (percentage points of accuracy); 'lathe measures' lists what else can be limited. The validation \
            figure of the best of many flatters: it is told how much, and the test split, by which nothing is chosen, is read once in the end.

            Status 1 where no recipe meets the goal: the nearest are named.
            """)

    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String

    @Option(help: ArgumentHelp("What to reach, for example 'file <= 50%, drop <= 0.5'.", valueName: "limits"))
    var goal: String?

    @Option(
        help: ArgumentHelp(
            "The measure to make least, or two or three for a front: file,drop. By default the first that is limited, else the ONNX file.", valueName: "measures"))
    var minimize: String?

    @Option(help: ArgumentHelp("Time to spend: 90s, 10m, 2h.", valueName: "time"))
    var budget = TimeQuantity(600)

    @Option(help: ArgumentHelp("Only these techniques, for example gptq,static-int8.", valueName: "list"))
    var techniques: String?

    @Flag(help: "Train too: fine-tuning and quantization-aware training on the train split.")
    var training = false

    @Option(
        help: ArgumentHelp(
            "Search the architecture alone, widths and depth of the model itself: \(ArchitectureStrategy.allCases.map { "\($0.rawValue) (\($0.help))" }.joined(separator: ", ")).",
            valueName: "strategy"))
    var architecture: ArchitectureStrategy?

    @Option(help: ArgumentHelp("What the model may be made of: \(TargetForm.allCases.map { "\($0.rawValue) (\($0.help))" }.joined(separator: ", ")).", valueName: "form"))
    var form = TargetForm.any

    @Option(help: ArgumentHelp("Where random choices begin.", valueName: "number"))
    var seed: UInt64 = 0

    @Option(
        name: [.customShort("o"), .long],
        help: ArgumentHelp(
            "Write best.onnx, its recipe and report, and the front's recipes into this folder; best.recipe.yaml is there from the first one on.", valueName: "folder"),
        completion: .directory)
    var output: String?

    @Flag(help: "Go on with the search that wrote into --output, with its goal and its techniques unless they are given anew.")
    var resume = false

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
        let asked = try asked(session.info.metric ?? .top1)
        let goal = asked.goal
        if let remark = goal.remark { Console.warn(remark) }
        if let output {
            do {
                try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
            } catch {
                throw BadInput("\(output): cannot be made: \(error.localizedDescription)")
            }
            try AtomicFile.write(try Begun(self).text, to: Begun.path(output))
        }
        let store = TrialStore.open()
        if let warning = store.warning { Console.warn(warning) }
        defer { if let remark = store.takeRemark() { Console.warn(remark) } }
        var (phase, count, best) = ("", 0, "")
        var problem: (any Error)?
        let began = Date()
        let search = try Search(session, asked, store: store, cancellation: cancellation) { event in
            switch event {
            case .phase(let name):
                phase = name
                if json { Console.print((try? SearchDocument.Phase(phase: name).line) ?? "") }
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
        try session.baselineRemarks().forEach(Console.warn)
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
        guard let seconds = TypedTime.seconds(argument) else { return nil }
        self.seconds = seconds
    }

    var description: String { seconds.truncatingRemainder(dividingBy: 60) == 0 ? "\(Int(seconds / 60))m" : "\(Int(seconds))s" }
    var defaultValueDescription: String { description }
}

/// What a search was asked, beside what it wrote: for `--resume`.
private struct Begun: Codable {
    var goal: String?
    var minimize: String?
    var techniques: String?
    var training: Bool
    var architecture: String?
    var form: String
    var seed: UInt64

    static func path(_ folder: String) -> String { "\(folder)/search.json" }

    init(_ command: SearchCommand) throws {
        (goal, minimize, techniques) = (command.goal, command.minimize, command.techniques)
        (training, form, seed) = (command.training, command.form.rawValue, command.seed)
        architecture = command.architecture?.rawValue
        guard command.resume, let output = command.output else { return }
        let before = try Self.read(output)
        (goal, minimize) = command.goal == nil && command.minimize == nil ? (before.goal, before.minimize) : (goal, minimize)
        techniques = techniques ?? before.techniques
        training = training || before.training
        architecture = architecture ?? before.architecture
        form = command.form == .any ? before.form : form
        seed = command.seed == 0 ? before.seed : seed
    }

    private static func read(_ folder: String) throws -> Begun {
        guard let data = FileManager.default.contents(atPath: path(folder)) else {
            throw BadInput("\(folder): no search has written here (there is no search.json), so none can be resumed")
        }
        guard let begun = try? JSONDecoder().decode(Begun.self, from: data) else { throw BadInput("\(path(folder)): expected what 'lathe search --output' writes") }
        return begun
    }

    var text: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
        }
    }
}

extension SearchCommand {
    /// What the options come to, with what an earlier search was asked.
    fileprivate func asked(_ metric: MetricKind) throws -> SearchRequest {
        if resume, output == nil { throw BadInput("--resume: give the folder of the search with --output") }
        let begun = try Begun(self)
        guard begun.goal != nil || begun.minimize != nil else { throw BadInput("a search needs a goal: --goal 'file <= 50%, drop <= 0.5', or --minimize file,drop") }
        var request = SearchRequest(try SearchGoal(begun.goal ?? "", best: begun.minimize, metric: metric))
        request.architecture = begun.architecture.flatMap(ArchitectureStrategy.init)
        if request.architecture != nil, begun.minimize == nil { request.goal = request.goal.forArchitecture }
        (request.budget, request.seed, request.mayTrain) = (budget.seconds, begun.seed, begun.training)
        request.form = TargetForm(rawValue: begun.form) ?? .any
        request.techniques = begun.techniques.map { Set($0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }) }
        return request
    }
}
