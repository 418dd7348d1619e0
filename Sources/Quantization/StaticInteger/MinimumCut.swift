/// The cheapest way to divide nodes in two where every node and every pair has its price: a minimum cut, by augmenting shortest paths
/// (Edmonds and Karp, 1972).
struct MinimumCut {
    private struct Edge {
        var to: Int
        var capacity: Double
    }

    /// Nodes 0 and 1 are the two sides; edges come in pairs, each followed by its reverse.
    private var edges: [Edge] = []
    private var leaving: [[Int]] = [[], []]
    static let first = 0, second = 1
    /// Below this nothing flows: sums of doubles never come out at zero.
    private static let least = 1e-12

    /// A new node.
    mutating func add() -> Int {
        leaving.append([])
        return leaving.count - 1
    }

    /// What it costs if `from` is on the first side and `to` on the second.
    mutating func charge(_ from: Int, _ to: Int, _ cost: Double) {
        guard from != to, cost > 0 else { return }
        leaving[from].append(edges.count)
        edges.append(Edge(to: to, capacity: cost))
        leaving[to].append(edges.count)
        edges.append(Edge(to: from, capacity: 0))
    }

    /// Whether each node is on the first side.
    mutating func solve() -> [Bool] {
        while true {
            var arrival = [Int?](repeating: nil, count: leaving.count)
            var seen = [Bool](repeating: false, count: leaving.count)
            seen[Self.first] = true
            var waiting = [Self.first]
            var next = 0
            while next < waiting.count, !seen[Self.second] {
                let node = waiting[next]
                next += 1
                for edge in leaving[node] where edges[edge].capacity > Self.least && !seen[edges[edge].to] {
                    seen[edges[edge].to] = true
                    arrival[edges[edge].to] = edge
                    waiting.append(edges[edge].to)
                }
            }
            guard seen[Self.second] else { return seen }
            var flow = Double.infinity
            var node = Self.second
            while let edge = arrival[node] {
                flow = min(flow, edges[edge].capacity)
                node = edges[edge ^ 1].to
            }
            node = Self.second
            while let edge = arrival[node] {
                edges[edge].capacity -= flow
                edges[edge ^ 1].capacity += flow
                node = edges[edge ^ 1].to
            }
        }
    }
}
