import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import Measurement
import ModelGraph
import Recipes

/// `lathe sweep show`
struct SweepShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Say how far a sweep is: trials, workers, time left, the best so far.")

    @OptionGroup var place: SweepOptions

    @Flag(help: "Show it anew every two seconds, until all trials have a result.")
    var watch = false

    @Option(help: ArgumentHelp("The machine whose latencies count, where the goal limits latency; by default the one with most results.", valueName: "name"))
    var machine: String?

    @OptionGroup var printing: OutputOptions

    func run() throws {
        let cancellation = Interruption.watch()
        let sweep = try Sweep(path: place.folder)
        var reader = SweepResultReader(sweep)
        let isTerminal = isatty(STDOUT_FILENO) == 1
        while true {
            let document = SweepDocument(try SweepSummary(sweep, reader: &reader, machine: machine), sweep)
            let text = printing.json ? (watch ? try document.line() : try document.printed()) : SweepText.show(document)
            // From the top of the screen, and what was below goes.
            Console.print(watch && isTerminal && !printing.json ? "\u{1B}[H\u{1B}[2J\(text)" : text)
            guard watch, !document.summary.isComplete else { return }
            for _ in 0..<40 where !cancellation.isCancelled { Thread.sleep(forTimeInterval: 0.05) }
            if cancellation.isCancelled { return }
        }
    }
}

/// `lathe sweep collect`
struct SweepCollect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "collect", abstract: "Say what a sweep has found, and write it for other programs.",
        discussion: """
            May be called at any time. What was measured on all samples is stored where the explorer and 'search' find it. The journal that --optuna writes is opened by Optuna 5 \
            (JournalStorage over JournalFileBackend) and by optuna-dashboard. Latencies are compared within one machine. Status 1 where no recipe meets the goal.
            """)

    @OptionGroup var place: SweepOptions

    @Option(
        name: [.customShort("o"), .long],
        help: ArgumentHelp("Write best.onnx, its recipe and report, and the front's recipes into this folder.", valueName: "folder"), completion: .directory)
    var output: String?

    @Option(help: ArgumentHelp("Write a table with a row for each result.", valueName: "file"), completion: .file(extensions: ["csv"]))
    var csv: String?

    @Option(help: ArgumentHelp("Write results as lines of JSON.", valueName: "file"), completion: .file(extensions: ["jsonl"]))
    var jsonl: String?

    @Option(help: ArgumentHelp("Write a journal for Optuna.", valueName: "file"), completion: .file(extensions: ["log", "journal"]))
    var optuna: String?

    @Option(help: ArgumentHelp("The machine whose latencies count, where the goal limits latency; by default the one with most results.", valueName: "name"))
    var machine: String?

    @OptionGroup var other: SweepSourceOptions
    @OptionGroup var printing: OutputOptions

    func run() throws {
        let sweep = try Sweep(path: place.folder)
        let models = output.map { folder in [".onnx", ".recipe.yaml", ".report.md"].map { "\(folder)/best\($0)" } } ?? []
        try Outputs.check(models + [csv, jsonl, optuna]) {
            var files = other.request(sweep).filesRead
            files.add("\(place.folder)/sweep.json", "the sweep's description")
            return files
        }
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: printing.json)
        progress.show("reading results")
        var reader = SweepResultReader(sweep)
        let summary = try SweepSummary(sweep, reader: &reader, machine: machine)
        let results = reader.all()
        var document = SweepDocument(summary, sweep)
        try csv.map { try AtomicFile.write(SweepText.csv(results, sweep), to: $0) }
        try jsonl.map { try AtomicFile.write(try results.map { try $0.line() }.joined(), to: $0) }
        if let optuna {
            let name = (sweep.folder.path as NSString).lastPathComponent
            try AtomicFile.write(try OptunaJournal(sweep, name: name.isEmpty || name == "." ? "sweep" : name).text(results), to: optuna)
        }
        document.files = [csv, jsonl, optuna].compactMap(\.self)
        let store = TrialStore.open()
        if let warning = store.warning { Console.warn(warning) }
        document.stored = try sweep.store(results, in: store)
        if let remark = store.takeRemark() { Console.warn(remark) }
        if let output, let best = summary.result.best {
            let session = try other.open(sweep, cancellation, progress)
            document.files += try session.export(
                best.recipe, request: ExportRequest(folder: output, name: "best", includeArchive: summary.goal.needsSlowSizes, overwrite: true), cancellation: cancellation
            ) { progress.show($1, $0) }
            for (index, trial) in summary.result.front.dropFirst().enumerated() {
                var recipe = trial.recipe
                recipe.modelHash = session.info.modelHash
                let path = "\(output)/front-\(index + 2).recipe.yaml"
                try AtomicFile.write(recipe.yaml, to: path)
                document.files.append(path)
            }
        }
        progress.clear()
        Console.print(printing.json ? try document.printed() : SweepText.collected(document))
        if summary.result.best == nil { throw Failure.requirementNotMet }
    }
}
