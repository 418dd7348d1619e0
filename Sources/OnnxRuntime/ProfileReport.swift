import Foundation

/// What ONNX Runtime's profiler measured: each execution of each node of the graph as the runtime rewrote it, fusions and
/// all. Profiling itself costs time per node, so the shares are what to read, not the sums.
public struct ProfileReport: Sendable, Equatable {
    /// One execution of one node.
    public struct NodeRun: Sendable, Equatable {
        public var node: String
        /// Operator type, such as "Conv" or "FusedConv".
        public var opType: String
        /// Execution provider, such as "CPUExecutionProvider".
        public var provider: String
        /// When it began, in microseconds since profiling did.
        public var start: Double
        /// Whole microseconds taken, so 0 for a short one.
        public var duration: Double
        /// The system's number of the thread that ran the kernel.
        public var thread: Int
        /// Which run of the model this was part of, from 0. Of runs on several threads at once, the first that spans it.
        public var run: Int?
    }

    /// All executions of one node.
    public struct Operator: Sendable, Equatable {
        public var node: String
        public var opType: String
        public var provider: String
        /// One entry per execution: one per run, more inside a loop.
        public var microseconds: [Double]

        public var medianMicroseconds: Double {
            let sorted = microseconds.sorted()
            let middle = sorted.count / 2
            if sorted.isEmpty { return 0 }
            return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
        }
    }

    /// In the order they began.
    public var nodeRuns: [NodeRun]
    /// Microseconds each run of the whole model took.
    public var modelRuns: [Double]

    /// Each node in the order nodes first ran, without the first run of the model, a warm-up, where there are more.
    public var operators: [Operator] { operators(skippingRuns: modelRuns.count > 1 ? 1 : 0) }

    /// Each node in the order nodes first ran, without the first `count` runs of the model.
    public func operators(skippingRuns count: Int) -> [Operator] {
        struct Key: Hashable {
            // Two unnamed nodes of a file may share a name; operator and provider keep most of those apart.
            var node, opType, provider: String
        }
        var positions: [Key: Int] = [:]
        var operators: [Operator] = []
        for nodeRun in nodeRuns where (nodeRun.run ?? Int.max) >= count {
            let key = Key(node: nodeRun.node, opType: nodeRun.opType, provider: nodeRun.provider)
            if let position = positions[key] {
                operators[position].microseconds.append(nodeRun.duration)
            } else {
                positions[key] = operators.count
                operators.append(
                    Operator(
                        node: key.node, opType: key.opType, provider: key.provider, microseconds: [nodeRun.duration]))
            }
        }
        return operators
    }

    /// Reads a file that `Session.endProfiling()` named.
    ///
    /// - Throws: `.unreadableProfile`.
    public static func read(path: String) throws(OnnxRuntimeError) -> ProfileReport {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw .unreadableProfile(path: path, reason: "cannot be read")
        }
        do {
            return ProfileReport(try JSONDecoder().decode([Event].self, from: data))
        } catch {
            throw .unreadableProfile(path: path, reason: "is not a profile of ONNX Runtime, or is cut short")
        }
    }

    private init(_ events: [Event]) {
        let runs =
            events
            .filter { $0.category == "Session" && $0.name == "model_run" }
            .map { (start: $0.start, end: $0.start + $0.duration) }
            .sorted { $0.start < $1.start }
        modelRuns = runs.map { $0.end - $0.start }
        var run = 0
        nodeRuns =
            events
            .filter { $0.category == "Node" && $0.name.hasSuffix(Self.kernelSuffix) }
            .sorted { $0.start < $1.start }
            .map { event in
                while run < runs.count, runs[run].end < event.start { run += 1 }
                let inside = run < runs.count && runs[run].start <= event.start
                return NodeRun(
                    node: String(event.name.dropLast(Self.kernelSuffix.count)), opType: event.opType ?? "",
                    provider: event.provider ?? "", start: event.start, duration: event.duration,
                    thread: event.thread, run: inside ? run : nil)
            }
    }

    private static let kernelSuffix = "_kernel_time"

    /// One event of the trace, as much of it as is used. Releases differ in the other fields.
    private struct Event: Decodable {
        var category: String
        var name: String
        var start: Double
        var duration: Double
        var thread: Int
        var opType: String?
        var provider: String?

        private enum Keys: String, CodingKey { case cat, name, ts, dur, tid, args }
        private enum ArgumentKeys: String, CodingKey {
            case opName = "op_name"
            case provider
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            category = try container.decodeIfPresent(String.self, forKey: .cat) ?? ""
            name = try container.decodeIfPresent(String.self, forKey: .name) ?? ""
            start = try container.decodeIfPresent(Double.self, forKey: .ts) ?? 0
            duration = try container.decodeIfPresent(Double.self, forKey: .dur) ?? 0
            thread = try container.decodeIfPresent(Int.self, forKey: .tid) ?? 0
            let arguments = try? container.nestedContainer(keyedBy: ArgumentKeys.self, forKey: .args)
            opType = try? arguments?.decodeIfPresent(String.self, forKey: .opName)
            provider = try? arguments?.decodeIfPresent(String.self, forKey: .provider)
        }
    }
}
