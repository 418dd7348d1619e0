import ArgumentParser
import CompressionEngine
import EngineSupport
import Foundation
import Synchronization

/// `lathe sweep work`
struct SweepWork: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "work", abstract: "Work through a sweep's trials until all have a result.",
        discussion: """
            Any number of these may run, on any hosts that see the folder. Each job is a process of its own; one that crashes is started anew, and the trial that was \
            in it counts as failed after three such ends. On SIGTERM or SIGINT the trial at hand is given back, and the status is 0: the sweep goes on whenever \
            'work' is called again. --launch starts workers by other means.
            """)

    @OptionGroup var place: SweepOptions

    @Option(help: ArgumentHelp("Processes to run; the cores are divided among them.", valueName: "number"))
    var jobs = PositiveCount(1)

    @Option(help: ArgumentHelp("Threads that run the model in each process; by default its share of the cores.", valueName: "number"))
    var threads: PositiveCount?

    @Option(help: ArgumentHelp("Stop after this time: 90s, 10m, 2h.", valueName: "time"))
    var until: TimeQuantity?

    @Option(
        help: ArgumentHelp(
            "Start workers by other means: local:N, slurm:N, parallel, hyperqueue:N or kubernetes:N.",
            discussion: """
                local:N is --jobs N. slurm:N writes and submits an array of N tasks, hyperqueue:N the same for HyperQueue; parallel runs one worker on each of --hosts by GNU \
                parallel over ssh; kubernetes:N writes an indexed Job, which nobody has tested.
                """,
            valueName: "means"))
    var launch: String?

    @Option(help: ArgumentHelp("Hosts for --launch parallel, as for its --sshlogin: one,two,4/three; : is this host.", valueName: "list"))
    var hosts: String?

    @Option(help: ArgumentHelp("The time limit that --launch asks for.", valueName: "time"))
    var time: TimeQuantity?

    @Flag(help: "Write what --launch would submit, and do not submit it.")
    var writeOnly = false

    @OptionGroup var other: SweepSourceOptions

    /// Which of a supervisor's processes this is; its standard input ends when the supervisor does, or wants it to.
    @Option(help: .hidden) var worker: Int?

    func validate() throws {
        if launch == nil, hosts != nil || time != nil || writeOnly { throw ValidationError("--hosts, --time and --write-only belong to --launch") }
    }

    func run() throws {
        if let worker { return try work(worker) }
        let sweep = try Sweep(path: place.folder)
        if let launch {
            let launcher = try SweepLauncher(launch, hosts: hosts, time: time)
            guard case .local(let count) = launcher.means else {
                let job = SweepLauncher.Job(sweep: sweep, threads: threads?.value, arguments: other.arguments + (until.map { ["--until", "\(Int($0.seconds))s"] } ?? []))
                return try launcher.start(job, isWriteOnly: writeOnly)
            }
            guard !writeOnly else { throw BadInput("--launch \(launch): starts processes here and writes nothing, so --write-only makes no sense") }
            return try supervise(sweep, count)
        }
        try supervise(sweep, jobs.value)
    }

    // MARK: - Processes

    private func supervise(_ sweep: Sweep, _ count: Int) throws {
        let cancellation = Interruption.watch()
        let progress = ProgressLine(quiet: false)
        let share = threads?.value ?? max(1, ProcessInfo.processInfo.activeProcessorCount / count)
        var arguments = ["sweep", "work", place.folder, "--threads", "\(share)"] + other.arguments
        if let until { arguments += ["--until", "\(until.seconds)s"] }
        let began = Date()
        let supervisor = SweepSupervisor(
            sweep, arguments: arguments, count: count, environment: ["OPENBLAS_NUM_THREADS": "\(share)", "OMP_NUM_THREADS": "\(share)"], cancellation: cancellation)
        let status = try supervisor.run { done, total in progress.show("\(done) of \(total) trials have a result", Double(done) / Double(max(total, 1))) }
        progress.clear()
        let (done, total) = try supervisor.counts()
        let seconds = Int(Date().timeIntervalSince(began).rounded())
        let rest = done < total ? "; 'lathe sweep work \(place.folder)' goes on" : "; 'lathe sweep collect \(place.folder)' says what was found"
        Console.print("\(place.folder): \(done) of \(total) trials have a result; \(seconds) s\(rest)")
        if status != 0 { throw ExitCode(status) }
    }

    /// One process of several.
    private func work(_ number: Int) throws {
        let outer = Interruption.watch()
        // Apart from the signals': one of those behind the other would end this at once, with the trial in its hands.
        let cancellation = Cancellation()
        let reader = Thread {
            var byte: UInt8 = 0
            while read(STDIN_FILENO, &byte, 1) > 0 || errno == EINTR {}
            cancellation.cancel()
        }
        reader.start()
        do {
            try outer.withHook({ cancellation.cancel() }) {
                let sweep = try Sweep(path: place.folder)
                let session = try other.open(sweep, cancellation, ProgressLine(quiet: true))
                var options = SweepWorker.Options(version: Version.number)
                if let threads { options.threads = threads.value }
                options.seconds = until?.seconds
                let worker = try SweepWorker(sweep, session, options: options, cancellation: cancellation) { event in
                    if number == 0, case .remark(let line) = event { Console.warn(line) }
                }
                _ = try worker.run()
            }
        } catch let error as EngineError where error.kind == .cancelled {
            // Before its first trial.
        }
    }
}
