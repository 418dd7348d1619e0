import Foundation

/// The machine that times are measured on.
public enum Machine {
    /// Processor, instruction set and number of cores: times of another name say nothing about this one.
    public static let name: String = {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = text.split(separator: "\n").first { $0.hasPrefix("model name") || $0.hasPrefix("CPU part") }?
            .split(separator: ":").last?.trimmingCharacters(in: .whitespaces)
        return "\(model ?? "processor"), \(InstructionSet.current), \(ProcessInfo.processInfo.processorCount) cores"
    }()
}
