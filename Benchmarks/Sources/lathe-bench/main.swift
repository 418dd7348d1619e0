import Foundation
import StandardTechniques

// lathe-bench [key-press | first-estimate | full-evaluation | decoding | exit-threshold | latency]…
//
// Prints p50, p90 and p99 of what the explorer promises. Each figure is a ratio or a time of this machine in this run.

let wanted = Set(CommandLine.arguments.dropFirst())
func runs(_ name: String) -> Bool { wanted.isEmpty || wanted.contains(name) }

StandardTechniques.register()
do {
    if runs("full-evaluation") { try FullEvaluation.run() }
    if runs("first-estimate") { try FirstEstimate.run() }
    if runs("key-press") { try KeyPress.run() }
    if runs("decoding") { try Decoding.run() }
    if runs("exit-threshold") { try ExitThreshold.run() }
    if runs("latency") { try LatencyStudy.run() }
} catch {
    FileHandle.standardError.write(Data("lathe-bench: \(error)\n".utf8))
    exit(2)
}
