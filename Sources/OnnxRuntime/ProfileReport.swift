import Foundation

/// What ONNX Runtime's profiler measured: each execution of each node of the graph as the runtime rewrote it, fusions and
/// all. Profiling itself costs time per node, so the shares are what to read, not the sums.
public struct ProfileReport: Sendable, Equatable {
    /// One execution of one node.
    public struct NodeRun: Sendable, Equatable {
        public var name: String
        /// Operator type, such as "Conv" or "FusedConv".
        public var operatorType: String
        /// Execution provider, such as "CPUExecutionProvider".
        public var provider: String
        /// Microseconds since profiling began, and taken, in whole microseconds: short nodes take 0.
        public var start: Double
        public var duration: Double
        /// The system's number of the thread that ran the kernel.
        public var thread: Int
        /// Which run of the model this was part of, from 0; runs on several threads at once cannot be told apart and
        /// count as the first that spans it.
        public var run: Int?
    }

    /// All executions of one node.
    public struct NodeSummary: Sendable, Equatable {
        public var name: String
        public var operatorType: String
        public var provider: String
        /// Executions: one per run, more inside a loop.
        public var count: Int
        /// Microseconds per execution.
        public var median: Double
        /// Microseconds over all executions.
        public var total: Double
    }

    /// In the order they began.
    public var nodeRuns: [NodeRun]
    /// Microseconds each run of the whole model took.
    public var modelRuns: [Double]

    /// Reads a file that `Session.endProfiling()` named.
    ///
    /// - Throws: `.unreadableProfile`.
    public init(contentsOf path: String) throws(OnnxRuntimeError) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw .unreadableProfile(path: path, reason: "cannot be read: \(error.localizedDescription)")
        }
        try self.init(data, path: path)
    }

    /// Reads a profile: a JSON array of trace events.
    init(_ data: Data, path: String) throws(OnnxRuntimeError) {
        let events: [Event]
        do {
            events = try JSONDecoder().decode([Event].self, from: data)
        } catch {
            throw .unreadableProfile(path: path, reason: "is not a profile of ONNX Runtime, or is cut short")
        }
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
                    name: String(event.name.dropLast(Self.kernelSuffix.count)),
                    operatorType: event.operatorType ?? "", provider: event.provider ?? "", start: event.start,
                    duration: event.duration, thread: event.thread, run: inside ? run : nil)
            }
    }

    /// Summarises each node, in the order nodes first ran.
    ///
    /// - Parameter skipping: The first runs of the model to leave out as warm-up.
    public func nodes(skipping: Int = 0) -> [NodeSummary] {
        var order: [String] = []
        var groups: [String: [NodeRun]] = [:]
        for nodeRun in nodeRuns where (nodeRun.run ?? Int.max) >= skipping {
            // Two unnamed nodes of a file may share a name; operator and provider keep most of those apart.
            let key = "\(nodeRun.name)\u{0}\(nodeRun.operatorType)\u{0}\(nodeRun.provider)"
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(nodeRun)
        }
        return order.compactMap { key in
            guard let group = groups[key], let first = group.first else { return nil }
            let durations = group.map(\.duration).sorted()
            let middle = durations.count / 2
            return NodeSummary(
                name: first.name, operatorType: first.operatorType, provider: first.provider, count: group.count,
                median: durations.count.isMultiple(of: 2)
                    ? (durations[middle - 1] + durations[middle]) / 2 : durations[middle],
                total: durations.reduce(0, +))
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
        var operatorType: String?
        var provider: String?

        private enum Keys: String, CodingKey { case cat, name, ts, dur, tid, args }
        private enum ArgumentKeys: String, CodingKey { case op_name, provider }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            category = try container.decodeIfPresent(String.self, forKey: .cat) ?? ""
            name = try container.decodeIfPresent(String.self, forKey: .name) ?? ""
            start = try container.decodeIfPresent(Double.self, forKey: .ts) ?? 0
            duration = try container.decodeIfPresent(Double.self, forKey: .dur) ?? 0
            thread = try container.decodeIfPresent(Int.self, forKey: .tid) ?? 0
            let arguments = try? container.nestedContainer(keyedBy: ArgumentKeys.self, forKey: .args)
            operatorType = try? arguments?.decodeIfPresent(String.self, forKey: .op_name)
            provider = try? arguments?.decodeIfPresent(String.self, forKey: .provider)
        }
    }
}
