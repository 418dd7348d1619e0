import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import Recipes

/// `lathe sweep`
struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep", abstract: "Try many recipes with many processes, on one machine or on several.",
        discussion: """
            A folder is the sweep. 'init' makes it, any number of 'work' processes on any hosts that see the folder work through it, 'show' says how far it is, \
            'collect' writes what was found. A worker may be killed at any time: its trial is done by another, and no trial counts twice. \
            There is no server and there are no locks; a network file system will do.
            """,
        subcommands: [SweepInit.self, SweepAdd.self, SweepWork.self, SweepShow.self, SweepCollect.self])
}

/// The folder of a sweep.
struct SweepOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The sweep's folder.", valueName: "folder"), completion: .directory)
    var folder: String
}

/// What a sweep tries.
struct SweepPlanOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "One step over several values; may be repeated.",
            discussion: """
                technique:key=values,…[@layer,…], values as 2..8, 0.1..0.9/0.1 or 4|6|8. Several grids are combined: each recipe has one step of each, in their order. \
                For example --grid 'sparsegpt:sparsity=0.5..0.8/0.1' --grid 'gptq:bits=3..6'.
                """,
            valueName: "spec"))
    var grid: [String] = []

    @Option(help: ArgumentHelp("Only these techniques, for example gptq,static-int8.", valueName: "list"))
    var techniques: String?

    @Option(help: ArgumentHelp("Where random choices begin.", valueName: "number"))
    var seed: UInt64 = 0

    /// All combinations of the grids; `nil` without a grid.
    func combinations() throws -> [Recipe]? {
        guard !grid.isEmpty else { return nil }
        guard techniques == nil else { throw BadInput("--techniques says nothing about --grid, which names its own") }
        return try SweepGrid.product(grid.map { try SweepGrid($0) })
    }

    var allowed: Set<String>? { techniques.map { Set($0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }) } }

    /// Where the trials come from, in words.
    var source: String? { grid.isEmpty ? nil : "grid " + grid.joined(separator: " × ") }
}

/// `lathe sweep init`
struct SweepInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make a sweep: a folder that says what is to be tried.",
        discussion: """
            Without --grid it tries what a search begins with: techniques alone and in combinations that go together, each over its range, and neighbors of \
            these: as many again, or up to --trials.
            """)

    @OptionGroup var place: SweepOptions
    @OptionGroup var source: ModelOptions

    @Option(help: ArgumentHelp("The data set: a YAML description, or an .npz with the model's inputs.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String

    @Option(help: ArgumentHelp("What to reach, for example 'file <= 50%, drop <= 0.5'.", valueName: "limits"))
    var goal: String

    @Option(help: ArgumentHelp("The measure to make best; by default the first that is limited, else the ONNX file.", valueName: "measure"))
    var best: String?

    @Option(help: ArgumentHelp("Trials at most; by default every rung and as many neighbors, or the whole grid.", valueName: "number"))
    var trials: PositiveCount?

    @OptionGroup var plan: SweepPlanOptions

    @Option(help: ArgumentHelp("Validation samples to run; by default all.", valueName: "number"))
    var samples: PositiveCount?

    @Flag(inversion: .prefixedNo, help: "Drop a model once it is clear, after 256, 2048, … samples, that it misses the goal.")
    var racing = true

    @Option(help: ArgumentHelp("Time after which a worker on another host that gives no sign counts as ended: 30s, 3m.", valueName: "time"))
    var lease = TimeQuantity(180)

    @Option(help: ArgumentHelp("Claims of a trial that may end with their worker (a crash, no memory, kill), before it counts as failed.", valueName: "number"))
    var attempts = PositiveCount(3)

    func run() throws {
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: false)
        let grid = try plan.combinations()
        // Before the model is read.
        if FileManager.default.fileExists(atPath: "\(place.folder)/sweep.json") { throw BadInput("\(place.folder): holds a sweep already; 'lathe sweep add' adds trials to it") }
        let line = try Failure.about(source.model) {
            let session = try EngineSession.open(
                OpenRequest(modelPath: source.model, dataPath: data, runtimePath: source.runtime), cancellation: cancellation, progress: { progress.show($0, $1) })
            progress.show("counting sizes")
            let description = try SweepDescription(
                session, dataPath: data, goal: goal, best: best, races: racing, samples: samples?.value, seed: plan.seed, lease: lease.seconds, attempts: attempts.value,
                version: Version.number, cancellation: cancellation)
            var maker = try SweepPlan(session, goal: description.searchGoal(), techniques: plan.allowed, seed: plan.seed)
            let recipes = grid.map { maker.sample($0, count: trials?.value) } ?? maker.recipes(count: trials?.value)
            guard !recipes.isEmpty else { throw BadInput("there is nothing to try: the techniques that are left need training, or calibration data that are missing") }
            try cancellation.check()
            progress.show("writing \(recipes.count) trials")
            let sweep = try Sweep(path: place.folder, description)
            let count = try sweep.add(recipes, source: plan.source ?? "ladders and neighbors")
            return "\(place.folder): \(count) trials; 'lathe sweep work \(place.folder)' works through them"
        }
        progress.clear()
        Console.print(line)
    }
}

/// `lathe sweep add`
struct SweepAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add trials to a sweep: another grid, or neighbors of the best so far.",
        discussion: "Workers that are at it take them up. Recipes that the sweep has already are left out.")

    @OptionGroup var place: SweepOptions

    @Option(help: ArgumentHelp("Trials at most; without --grid 100 by default.", valueName: "number"))
    var trials: PositiveCount?

    @OptionGroup var plan: SweepPlanOptions
    @OptionGroup var other: SweepSourceOptions

    func run() throws {
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: false)
        let grid = try plan.combinations()
        let sweep = try Sweep(path: place.folder)
        let session = try other.open(sweep, cancellation, progress)
        var maker = try SweepPlan(session, goal: sweep.description.searchGoal(), techniques: plan.allowed, seed: plan.seed)
        let recipes: [Recipe]
        if let grid {
            recipes = maker.sample(grid, count: trials?.value)
        } else {
            var reader = SweepResultReader(sweep)
            let summary = try SweepSummary(sweep, reader: &reader)
            let parents = summary.result.front + summary.result.misses.map(\.trial)
            guard !parents.isEmpty else { throw BadInput("\(place.folder): has no results yet, so there are no neighbors of the best: 'lathe sweep work' first, or --grid") }
            recipes = maker.neighbors(of: parents.map(\.recipe), count: trials?.value ?? 100, except: Set(try sweep.recipes()))
        }
        let count = try sweep.add(recipes, source: plan.source ?? "neighbors of the best")
        progress.clear()
        Console.print("\(place.folder): \(count) trials more, \(try sweep.recipes().count) in all")
    }
}

/// Where model and data are on this host, if elsewhere than where the sweep was made.
struct SweepSourceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where the model is, if not where it was when the sweep was made.", valueName: "file"), completion: .file(extensions: ["onnx"]))
    var model: String?

    @Option(help: ArgumentHelp("Where the data set is, if elsewhere.", valueName: "file"), completion: .file(extensions: ["yaml", "yml", "npz"]))
    var data: String?

    @Option(name: .customLong("onnxruntime"), help: ArgumentHelp("ONNX Runtime's shared library to use.", valueName: "library"), completion: .file())
    var runtime: String?

    func request(_ sweep: Sweep) -> OpenRequest {
        OpenRequest(modelPath: model ?? sweep.description.modelPath, dataPath: data ?? sweep.description.dataPath, runtimePath: runtime)
    }

    /// The sweep's model and data.
    /// - Throws: in one line where they are others.
    func open(_ sweep: Sweep, _ cancellation: Cancellation, _ progress: ProgressLine) throws -> EngineSession {
        let request = request(sweep)
        return try Failure.about(request.modelPath) {
            let session = try EngineSession.open(request, cancellation: cancellation, progress: { progress.show($0, $1) })
            try sweep.requireSame(session, version: Version.number)
            return session
        }
    }

    /// The same on a command line.
    var arguments: [String] {
        [("--model", model), ("--data", data), ("--onnxruntime", runtime)].flatMap { name, value in value.map { [name, $0] } ?? [] }
    }
}
