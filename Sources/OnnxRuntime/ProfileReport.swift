import Foundation

/// What the runtime's profiler wrote: times of operator nodes.
public struct ProfileReport: Sendable {
    public struct Operator: Sendable {
        public var node: String
        public var opType: String
        public var provider: String
        /// One entry per run, in microseconds.
        public var microseconds: [Double]

        public var medianMicroseconds: Double {
            let sorted = microseconds.sorted()
            return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
        }
    }

    /// In order of first appearance.
    public var operators: [Operator]

    private struct Event: Decodable {
        struct Arguments: Decodable {
            var op_name: String?
            var provider: String?
        }

        var cat: String?
        var name: String?
        var dur: Double?
        var args: Arguments?
    }

    /// Reads a profile; the first run of every node, a warm-up, is left out where there are more.
    public static func read(path: String) throws(OnnxRuntimeError) -> ProfileReport {
        guard let data = FileManager.default.contents(atPath: path) else { throw .unreadableProfile(path: path, reason: "cannot be read") }
        let events: [Event]
        do {
            events = try JSONDecoder().decode([Event].self, from: data)
        } catch {
            throw .unreadableProfile(path: path, reason: "not a profile")
        }
        var order: [String] = []
        var found: [String: Operator] = [:]
        for event in events where event.cat == "Node" {
            guard let name = event.name, name.hasSuffix("_kernel_time"), let duration = event.dur, let type = event.args?.op_name else { continue }
            let node = String(name.dropLast("_kernel_time".count))
            if found[node] == nil {
                order.append(node)
                found[node] = Operator(node: node, opType: type, provider: event.args?.provider ?? "", microseconds: [])
            }
            found[node]?.microseconds.append(duration)
        }
        var operators = order.compactMap { found[$0] }
        for index in operators.indices where operators[index].microseconds.count > 1 { operators[index].microseconds.removeFirst() }
        return ProfileReport(operators: operators)
    }
}
