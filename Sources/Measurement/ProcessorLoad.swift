import Foundation

/// How busy the machine is, and how much of that is this process: a reading to compare with a later one.
package struct ProcessorLoad {
    /// Seconds of processor time since boot, all processes and cores.
    var busy: Double
    /// Seconds of processor time of this process.
    var own: Double
    /// Seconds by the clock.
    var wall: Double

    /// `nil` where the system does not say.
    static func now() -> ProcessorLoad? {
        guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .utf8), let line = text.split(separator: "\n").first else { return nil }
        let fields = line.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard fields.count >= 5 else { return nil }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        return ProcessorLoad(
            busy: (fields[0] + fields[1] + fields[2]) / ticks, own: ownSeconds(), wall: Double(DispatchTime.now().uptimeNanoseconds) / 1e9)
    }

    private static func ownSeconds() -> Double {
        var usage = rusage()
        getrusage(0, &usage)  // RUSAGE_SELF, which Glibc's importer types differently
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Cores that other processes kept busy between two readings; `nil` if no time has passed.
    static func foreignCores(from before: ProcessorLoad, to after: ProcessorLoad) -> Double? {
        guard after.wall > before.wall else { return nil }
        return max((after.busy - before.busy - (after.own - before.own)) / (after.wall - before.wall), 0)
    }

    /// Cores that other processes keep busy, looked at for a tenth of a second.
    package static func foreignCoresNow() -> Double? {
        guard let before = now() else { return nil }
        Thread.sleep(forTimeInterval: 0.1)
        return now().flatMap { foreignCores(from: before, to: $0) }
    }

    /// Cores kept busy by others from which on timings are not trusted.
    package static let mostForeignCores = 0.2

    /// What to say of a measurement between two readings; `nil` if the machine was quiet enough.
    static func warning(from before: ProcessorLoad, to after: ProcessorLoad) -> String? {
        guard let load = foreignCores(from: before, to: after), load > mostForeignCores else { return nil }
        return "other processes used \(Int((load * 100).rounded())) % of a core meanwhile; timings may be off"
    }
}
