import Measurement
import ModelGraph
import OrderedCollections

/// Puts fitted exits into a graph: the network in parts, each in the branch of the exit before it.
struct ExitAssembly {
    let sites: ExitSites
    let classes: Int
    let threshold: Double

    /// Shares of calibration samples that leave at each exit, each judged by the exit fitted without it.
    static func shares(_ fitted: [FittedExit], classes: Int, threshold: Double) -> [Double] {
        guard let count = fitted.first.map({ $0.head.leftOut.count / max(classes, 1) }), count > 0 else { return fitted.map { _ in 0 } }
        let confidences = fitted.map { RidgeHead.confidences($0.head.leftOut, classes: classes).map(\.confidence) }
        var left = [Int](repeating: 0, count: fitted.count)
        for sample in 0..<count {
            if let exit = confidences.firstIndex(where: { sample < $0.count && $0[sample] > threshold }) { left[exit] += 1 }
        }
        return left.map { Double($0) / Double(count) }
    }

    func build(_ model: inout Model, _ fitted: [FittedExit]) throws {
        let graph = model.graph
        let shares = Self.shares(fitted, classes: classes, threshold: threshold)
        var builder = ExitGraph(model, outputType: sites.outputType, givesProbabilities: sites.givesProbabilities, isSingle: sites.isSingle)
        let parts = GraphCuts.parts(of: graph, cutAt: fitted.map(\.site.cut))
        var levels = [[Node]](repeating: [], count: fitted.count + 1)
        for (index, node) in graph.nodes.enumerated() { levels[parts[index]].append(node) }
        var placed: [ExitGraph.Placed] = []
        for (number, exit) in fitted.enumerated() {
            let prefix = "exit\(number + 1)"
            let features = builder.features(of: exit.site, shape: exit.shape, grid: exit.grid, largest: EarlyExits.largestWidth, prefix: prefix)
            let made = builder.exit(
                exit.head, features: features, site: exit.site, classes: classes, threshold: threshold, share: shares[number], prefix: prefix)
            placed.append(made)
            levels[number] += made.nodes
        }
        // Behind a cut only the rows that stay are read.
        for level in 1...fitted.count {
            let exit = placed[level - 1].exit
            for index in levels[level].indices { levels[level][index].replaceReads([exit.cut: exit.gathered]) }
        }
        // An exit reads the cut itself, which for its own level is made there.
        if let last = placed.last { for index in levels[fitted.count].indices { levels[fitted.count][index].rename(sites.output, to: last.exit.rest) } }
        let owner = owners(graph, levels)
        var constants = [OrderedDictionary<String, Tensor>](repeating: [:], count: fitted.count + 1)
        for (name, tensor) in graph.initializers { constants[owner[name] ?? 0][name] = tensor }
        for (number, exit) in placed.enumerated() { for tensor in exit.initializers { constants[number][tensor.name] = tensor } }
        // From the inside out.
        for number in fitted.indices.reversed() {
            let output = number == 0 ? sites.output : placed[number - 1].exit.rest
            let branch = builder.branch(
                placed[number], rest: levels[number + 1], initializers: Array(constants[number + 1].values), output: output, prefix: "exit\(number + 1)")
            levels[number].append(branch)
        }
        let inner = Set(levels.dropFirst().joined().flatMap(\.outputs)).subtracting([sites.output])
        model.graph.nodes = levels[0]
        model.graph.initializers = constants[0]
        model.graph.valueInfos.removeAll { inner.contains($0.key) }
        model.keptChannels = model.keptChannels.filter { !inner.contains($0.key) }
        try ExitDeclaration(exits: placed.map(\.exit)).write(to: &model)
    }

    /// The outermost level that reads each constant. Those listed as inputs stay where callers find them.
    private func owners(_ graph: Graph, _ levels: [[Node]]) -> [String: Int] {
        var owner: [String: Int] = [:]
        for (level, nodes) in levels.enumerated() {
            for node in nodes { for name in node.reads where graph.initializers[name] != nil { owner[name] = min(owner[name] ?? .max, level) } }
        }
        for info in graph.inputs + graph.outputs where graph.initializers[info.name] != nil { owner[info.name] = 0 }
        return owner
    }
}

extension Node {
    /// Gives a value that the node makes another name.
    fileprivate mutating func rename(_ output: String, to name: String) { outputs = outputs.map { $0 == output ? name : $0 } }
}
