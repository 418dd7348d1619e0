import EngineSupport
import ModelGraph
import Techniques

/// Which nodes of a region are worth computing in integers on this machine.
///
/// Every node's time is known in both forms from profiles of the model in float and in integers; a value that goes from one form to the other costs a
/// conversion. The division of least sum is a minimum cut. Since a layer's time also hangs on its neighbors, the division is profiled and cut again, and
/// in the end whole models are timed in turns.
struct IntegerChoice {
    private let whole: IntegerRegion
    private let shapes: [String: [Int]]
    private let clock: any OperatorClock
    private let cancellation: Cancellation
    /// The model with every node named after its place.
    private let marked: Model
    /// The model with a part of the region in integers.
    private let make: (Model, IntegerRegion) throws -> Model
    private let index: GraphIndex
    /// The node of the region that each node's time is counted with.
    private let owners: [Int?]
    /// The node of the region that makes a value as it is quantized.
    private let makers: [String: Int]

    private static let mark = "lathe-node"
    /// How often a division is profiled and cut again.
    private static let rounds = 3
    /// How much faster a division must be to be taken instead of computing everything in integers.
    private static let worthwhile = 0.985
    /// Steps of the search around the best division at most, and how much faster one must be.
    private static let steps = 4
    private static let better = 0.98
    /// Seconds for each model in a race, about.
    private static let seconds = 0.06, finalSeconds = 0.15
    /// Seconds after which no further division is tried: large graphs take long to load.
    private static let budget = 2.0
    private let start = ContinuousClock.now
    private var hasTime: Bool { ContinuousClock.now - start < .seconds(Self.budget) }

    init(
        _ model: Model, whole: IntegerRegion, shapes: [String: [Int]], clock: any OperatorClock, cancellation: Cancellation,
        make: @escaping (Model, IntegerRegion) throws -> Model
    ) {
        self.whole = whole
        self.shapes = shapes
        self.clock = clock
        self.cancellation = cancellation
        self.make = make
        var marked = model
        // Weights that are listed as inputs too, as IR version 3 has them, are no constants to the runtime, which then computes in slower ways; in the file that is
        // written they are constants in either form.
        marked.graph.inputs = marked.graph.requiredInputs
        for position in marked.graph.nodes.indices { marked.graph.nodes[position].name = "\(Self.mark)\(position)." }
        self.marked = marked
        index = GraphIndex(model.graph)
        makers = Dictionary(whole.nodes.map { (whole.quantizationPoint($0), $0) }, uniquingKeysWith: { first, _ in first })
        owners = Self.owners(model.graph, index, whole.nodes)
    }

    /// Operators that the runtime may compute together with the one before them.
    private static let attached: Set<String> = [
        "Relu", "LeakyRelu", "Clip", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Elu", "Selu", "PRelu", "Softplus", "Erf", "Gelu", "Add", "Sub", "Mul", "Div",
        "BatchNormalization",
    ]

    private static func owners(_ graph: Graph, _ index: GraphIndex, _ nodes: Set<Int>) -> [Int?] {
        var owners = [Int?](repeating: nil, count: graph.nodes.count)
        for (position, node) in graph.nodes.enumerated() {
            if nodes.contains(position) {
                owners[position] = position
            } else if attached.contains(node.opType) {
                // The nearest of those before it.
                owners[position] = node.inputs.compactMap { index.producer[$0] }.filter { $0 < position }.compactMap { owners[$0] }.max()
            }
        }
        return owners
    }

    // MARK: - Times

    /// Milliseconds of each node of the region with what is counted with it, and of everything between.
    private struct Times {
        var nodes: [Int: Double] = [:]
        var conversions = 0.0
    }

    private func times(_ model: Model) throws -> Times {
        var times = Times()
        for (name, time) in try clock.operators(of: model, cancellation: cancellation) {
            guard let place = Self.place(name) else {
                times.conversions += time
                continue
            }
            if let owner = owners.indices.contains(place) ? owners[place] : nil { times.nodes[owner, default: 0] += time }
        }
        return times
    }

    /// The place of the node that a name in the runtime's graph leads to.
    private static func place(_ name: String) -> Int? {
        guard let word = name.firstRange(of: mark), let dot = name[word.upperBound...].firstIndex(of: ".") else { return nil }
        return Int(name[word.upperBound..<dot])
    }

    private func elements(_ value: String) -> Double { Double(shapes[value]?.reduce(1, *) ?? 4096) }

    /// Values that are converted where these nodes compute in integers.
    private func crossings(_ nodes: Set<Int>) -> [String] {
        values().filter { value in
            let maker = makers[value].map(nodes.contains) ?? false
            let readers = readers(value)
            return maker ? readers.isFloatOnly || readers.nodes.contains { !nodes.contains($0) } : readers.nodes.contains(where: nodes.contains)
        }
    }

    private func values() -> [String] { whole.quantizable }

    /// Nodes of the region that read a value, and whether others do.
    private func readers(_ value: String) -> (nodes: [Int], isFloatOnly: Bool) {
        let all = index.consumers[value] ?? []
        let own = all.filter { whole.nodes.contains($0) && whole.operands($0).contains(value) }
        return (own, own.count < all.count || index.outputs.contains(value))
    }

    // MARK: - Choosing

    /// The nodes that compute in integers.
    /// - Throws: `EngineError` if the runtime refuses the model.
    func best() throws -> Set<Int> {
        let all = whole.nodes
        let integers = try times(try make(marked, whole))
        var (asFloat, asIntegers) = (try times(marked).nodes, integers.nodes)
        // As if a hundred thousand elements had been converted at a usual speed.
        var converted = (time: 0.05, elements: 1e5)
        var candidates: [Set<Int>] = [all, []]
        var last = (nodes: all, times: integers)
        for round in 0..<Self.rounds where round == 0 || hasTime {
            let crossing = crossings(last.nodes)
            converted.time += last.times.conversions
            converted.elements += crossing.reduce(0) { $0 + elements($1) }
            let nodes = cut(asFloat, asIntegers, perElement: converted.time / converted.elements)
            if candidates.contains(nodes) { break }
            candidates.append(nodes)
            let now = try times(try make(marked, IntegerRegion(whole, nodes: nodes)))
            for node in all {
                let time = now.nodes[node] ?? 0
                if nodes.contains(node) { asIntegers[node] = time } else { asFloat[node] = time }
            }
            last = (nodes, now)
        }
        let race = try self.race(candidates, seconds: Self.seconds)
        guard let winner = race.indices.min(by: { race[$0] < race[$1] }) else { return all }
        let found = try improved(candidates[winner])
        // All in integers unless something else is clearly faster; and nothing that is slower than float.
        var finalists: [Set<Int>] = [all, []]
        if !finalists.contains(found) { finalists.append(found) }
        let final = try self.race(finalists, seconds: Self.finalSeconds)
        let fastest = final.indices.min { final[$0] < final[$1] } ?? 0
        return final[0] <= final[fastest] / Self.worthwhile ? all : finalists[fastest]
    }

    private func race(_ candidates: [Set<Int>], seconds: Double) throws -> [Double] {
        let models = try candidates.map { try make(marked, IntegerRegion(whole, nodes: $0)) }
        return try clock.race(models, seconds: seconds * Double(models.count), cancellation: cancellation)
    }

    /// A better division near one: connected parts of one form change to the other.
    private func improved(_ nodes: Set<Int>) throws -> Set<Int> {
        guard hasTime else { return nodes }
        var best = nodes
        var model = try make(marked, IntegerRegion(whole, nodes: best))
        for part in (parts(of: best) + parts(of: whole.nodes.subtracting(best))).sorted(by: { $0.count > $1.count }).prefix(Self.steps) where hasTime {
            let changed = best.symmetricDifference(part)
            let other = try make(marked, IntegerRegion(whole, nodes: changed))
            let times = try clock.race([model, other], seconds: 2 * Self.seconds, cancellation: cancellation)
            if times[1] < times[0] * Self.better { (best, model) = (changed, other) }
        }
        return best
    }

    /// Nodes that hang together through values.
    private func parts(of nodes: Set<Int>) -> [Set<Int>] {
        var left = nodes
        var parts: [Set<Int>] = []
        for start in nodes.sorted() where left.contains(start) {
            var part = Set<Int>()
            var waiting = [start]
            left.remove(start)
            while let node = waiting.popLast() {
                part.insert(node)
                let before = whole.operands(node).compactMap { makers[$0] }
                for neighbor in before + readers(whole.quantizationPoint(node)).nodes where left.remove(neighbor) != nil { waiting.append(neighbor) }
            }
            parts.append(part)
        }
        return parts
    }

    /// The division of least time.
    private func cut(_ asFloat: [Int: Double], _ asIntegers: [Int: Double], perElement: Double) -> Set<Int> {
        // The first side computes in integers.
        var cut = MinimumCut()
        let order = whole.nodes.sorted()
        let vertices = Dictionary(uniqueKeysWithValues: order.map { ($0, cut.add()) })
        for node in order {
            guard let vertex = vertices[node] else { continue }
            cut.charge(MinimumCut.first, vertex, asFloat[node] ?? 0)
            cut.charge(vertex, MinimumCut.second, asIntegers[node] ?? 0)
        }
        for value in values() {
            let cost = elements(value) * perElement + Self.perConversion
            let (nodes, isFloatOnly) = readers(value)
            let maker = makers[value].flatMap { vertices[$0] } ?? MinimumCut.second
            // Made in integers and read as floats by anyone.
            if maker != MinimumCut.second, !givesFloats(value) {
                let copy = cut.add()
                cut.charge(maker, copy, cost)
                for node in nodes { cut.charge(copy, vertices[node] ?? MinimumCut.second, .infinity) }
                if isFloatOnly { cut.charge(copy, MinimumCut.second, .infinity) }
            }
            // Made as floats and read in integers by anyone.
            let copy = cut.add()
            cut.charge(copy, maker, cost)
            for node in nodes { cut.charge(vertices[node] ?? MinimumCut.second, copy, .infinity) }
        }
        let sides = cut.solve()
        return Set(order.filter { vertices[$0].map { sides[$0] } ?? false })
    }

    /// Milliseconds of a conversion beside what goes with its elements.
    private static let perConversion = 0.0015

    /// Integer matrix products give floats as readily as integers.
    private func givesFloats(_ value: String) -> Bool {
        makers[value].map { ["MatMul", "Gemm"].contains(marked.graph.nodes[$0].opType) } ?? false
    }
}
