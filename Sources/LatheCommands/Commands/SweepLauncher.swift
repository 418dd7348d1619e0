import CompressionEngine
import EngineSupport
import Foundation
import ModelGraph

/// Starts workers by programs that people have: writes what they need and hands it to them.
struct SweepLauncher {
    enum Means: Equatable {
        case local(Int)
        case slurm(Int)
        case parallel([String])
        case hyperqueue(Int)
        case kubernetes(Int)
    }

    /// What the workers are to do.
    struct Job {
        var sweep: Sweep
        /// `nil` for what a node gives.
        var threads: Int?
        /// For `lathe sweep work`, beside folder and threads.
        var arguments: [String]

        var folder: String { URL(fileURLWithPath: sweep.folder.path).standardizedFileURL.path }
        /// Where what is submitted and what is printed stands.
        var launchFolder: String { folder + "/launch" }

        /// The command as a shell reads it.
        /// - Parameter threads: a number, or a variable in double quotes.
        func command(threads: String?) -> String {
            var words = [SweepLauncher.quoted(SweepLauncher.program), "sweep", "work", SweepLauncher.quoted(folder)]
            if let threads { words += ["--threads", threads] }
            return (words + arguments.map { SweepLauncher.quoted($0) }).joined(separator: " ")
        }
    }

    let means: Means
    private let seconds: Double?

    /// - Throws: in one line that says what there is.
    init(_ text: String, hosts: String?, time: TimeQuantity?) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let expected = BadInput("--launch \(text): expected local:N, slurm:N, parallel, hyperqueue:N or kubernetes:N, N from 1 to 10000")
        var count: Int {
            get throws {
                guard parts.count == 2, let number = Int(parts[1]), (1...10_000).contains(number) else { throw expected }
                return number
            }
        }
        switch parts[0] {
        case "local": means = .local(try count)
        case "slurm": means = .slurm(try count)
        case "hyperqueue": means = .hyperqueue(try count)
        case "kubernetes": means = .kubernetes(try count)
        case "parallel":
            guard parts.count == 1 else { throw expected }
            let names = (hosts ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            guard !names.isEmpty else { throw BadInput("--launch parallel: needs --hosts, for example --hosts one,two or : for this host") }
            means = .parallel(names)
        default: throw expected
        }
        if hosts != nil, parts[0] != "parallel" { throw BadInput("--hosts belongs to --launch parallel, found --launch \(text)") }
        if time != nil, ["local", "parallel"].contains(parts[0]) { throw BadInput("--time is a limit that a queue keeps; with --launch \(text) use --until") }
        seconds = time?.seconds
    }

    /// Writes what is needed and submits it.
    func start(_ job: Job, isWriteOnly: Bool) throws {
        do {
            try FileManager.default.createDirectory(atPath: job.launchFolder, withIntermediateDirectories: true)
        } catch {
            throw BadInput("\(job.launchFolder): cannot be made: \(error.localizedDescription)")
        }
        switch means {
        case .local: return
        case .slurm(let count): try submit(slurm(job, count), "slurm.sh", ["sbatch"], job, isWriteOnly, hint: "sbatch")
        case .hyperqueue(let count): try submit(hyperqueue(job, count), "hyperqueue.sh", ["bash"], job, isWriteOnly, needs: "hq", hint: "bash")
        case .parallel(let hosts): try submit(parallel(job, hosts), "parallel.sh", ["bash"], job, isWriteOnly, needs: "parallel", hint: "bash")
        case .kubernetes(let count):
            // Images, volumes and name spaces are other everywhere: a person has to look at it.
            let path = job.launchFolder + "/kubernetes.yaml"
            try AtomicFile.write(kubernetes(job, count), to: path)
            Console.print("\(path): written; untested: set image and volume, then 'kubectl apply -f \(path)'")
        }
    }

    private func submit(_ script: String, _ name: String, _ command: [String], _ job: Job, _ isWriteOnly: Bool, needs: String? = nil, hint: String) throws {
        let path = "\(job.launchFolder)/\(name)"
        try AtomicFile.write(script, to: path)
        if isWriteOnly { return Console.print("\(path): written; '\(hint) \(path)' starts it") }
        let program = needs ?? command[0]
        guard Self.isInstalled(program) else {
            throw BadInput("\(program) is not on PATH: install it, or take \(path), which is written, to where it is")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command + [path]
        process.standardInput = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            throw BadInput("\(command[0]): cannot be started: \(error.localizedDescription)")
        }
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            throw BadInput("\(path): \(program) ended with status \(process.terminationStatus)")
        }
        Console.print("\(path): started by \(program)")
    }

    // MARK: - Scripts

    /// An array of workers. Two minutes before the limit Slurm ends it, the trial at hand is given back; what is not done yet is queued again.
    private func slurm(_ job: Job, _ count: Int) -> String {
        let limit = seconds.map { "#SBATCH --time=\(Self.clock($0))\n" } ?? ""
        let threads = job.threads.map { "#SBATCH --cpus-per-task=\($0)\n" } ?? ""
        return """
            #!/bin/bash
            #SBATCH --job-name=lathe-sweep
            #SBATCH --array=0-\(count - 1)
            #SBATCH --ntasks=1
            \(threads)\(limit)#SBATCH --requeue
            #SBATCH --open-mode=append
            #SBATCH --signal=B:TERM@120
            #SBATCH --output=\(job.launchFolder)/slurm-%A_%a.log
            # Written by 'lathe sweep work --launch slurm:\(count)'. A worker may end at any time: what it was at is given back, or taken over.
            export OPENBLAS_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}" OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
            ended=
            # Slurm sends SIGTERM to this script alone ahead of the time limit, and to all processes of the job in a requeue: the worker hears of it once, as SIGHUP. A second
            # signal would end it with the trial in its hands.
            (trap '' TERM; exec \(job.command(threads: "\"${SLURM_CPUS_PER_TASK:-1}\""))) &
            worker=$!
            trap 'ended=1; kill -HUP "$worker" 2>/dev/null' TERM
            while :; do
                wait "$worker"
                status=$?
                kill -0 "$worker" 2>/dev/null || break
            done
            # The time is nearly up: the rest goes on in a later run of the same job. One that is canceled or requeued is not running any more.
            task="${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
            if [ -n "$ended" ] && [ "$status" -eq 0 ] && [ "$(squeue -h -j "$task" -o %T)" = RUNNING ]; then
                scontrol requeue "$task"
            fi
            exit "$status"

            """
    }

    private func hyperqueue(_ job: Job, _ count: Int) -> String {
        let limit = seconds.map { " --time-limit=\(Int($0))s --time-request=\(Int($0))s" } ?? ""
        let threads = job.threads ?? 1
        return """
            #!/bin/bash
            # Written by 'lathe sweep work --launch hyperqueue:\(count)'.
            exec hq submit --name lathe-sweep --array 1-\(count) --cpus=\(threads)\(limit) --crash-limit=20 \\
                --stdout '\(job.launchFolder)/hq-%{JOB_ID}-%{TASK_ID}.out' --stderr '\(job.launchFolder)/hq-%{JOB_ID}-%{TASK_ID}.err' \\
                -- \(job.command(threads: "\(threads)"))

            """
    }

    /// One worker on each host. Output comes line by line, with the host in front.
    private func parallel(_ job: Job, _ hosts: [String]) -> String {
        let logins = hosts.map { "--sshlogin \(Self.quoted($0))" }.joined(separator: " ")
        return """
            #!/bin/bash
            # Written by 'lathe sweep work --launch parallel'. A host that goes away is tried again twice; its trial is taken over by another.
            exec parallel --will-cite \(logins) --jobs 1 --nonall --tagstring '{sshlogin}' --line-buffer --termseq TERM,5000,KILL,100 \\
                \(Self.quoted(job.command(threads: job.threads.map(String.init))))

            """
    }

    private func kubernetes(_ job: Job, _ count: Int) -> String {
        let words = ["lathe", "sweep", "work", "/sweep"] + (job.threads.map { ["--threads", "\($0)"] } ?? []) + job.arguments
        let list = words.map { "\"\($0.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\""))\"" }.joined(separator: ", ")
        let limit = seconds.map { "  activeDeadlineSeconds: \(Int($0))\n" } ?? ""
        return """
            # Written by 'lathe sweep work --launch kubernetes:\(count)'. UNTESTED: set the image, which holds lathe and ONNX Runtime, and the claim of a volume that
            # all pods may write, with this sweep's folder at its root and model and data where sweep.json says, or named by --model and --data.
            apiVersion: batch/v1
            kind: Job
            metadata:
              name: lathe-sweep
            spec:
              completionMode: Indexed
              completions: \(count)
              parallelism: \(count)
              backoffLimit: \(count * 20)
            \(limit)  template:
                spec:
                  restartPolicy: OnFailure
                  terminationGracePeriodSeconds: 120
                  containers:
                    - name: lathe
                      image: REGISTRY/lathe:\(Version.number)
                      command: [\(list)]
                      resources:
                        requests: {cpu: "\(job.threads ?? 1)"}
                      volumeMounts:
                        - {name: sweep, mountPath: /sweep}
                  volumes:
                    - name: sweep
                      persistentVolumeClaim:
                        claimName: lathe-sweep

            """
    }

    // MARK: - Parts

    /// This program's file, for other processes and hosts.
    static let program: String = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "lathe"

    static func isInstalled(_ program: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
    }

    static func quoted(_ text: String) -> String {
        !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:=@%+,".contains($0)) }
            ? text : "'\(text.replacingOccurrences(of: "'", with: "'\\''"))'"
    }

    /// As Slurm writes a time.
    private static func clock(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
    }
}
