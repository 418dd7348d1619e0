import ModelGraph

/// Folds BatchNormalization into the convolution before it: the same function with one operator less. Where asked, multiplications by and additions of
/// constants, one for each channel, too.
///
/// With s = γ / √(σ² + ε) per channel: W′ = s·W and b′ = β + s·(b − μ), computed in double precision and rounded once. Done where
/// the normalization is the only reader of the convolution, is in inference form, and all its parameters are constants.
/// Folding before or after magnitude pruning gives different networks, so the order of steps matters.
public enum BatchNormFolding {
    /// What folding did.
    public struct Result: Sendable {
        /// Names of the convolutions that took a normalization in.
        public var folded: [String] = []
        /// Names of those that took a multiplication or an addition in.
        public var merged: [String] = []
        /// Where each node that is left now stands, by its index before.
        public var positions: [Int: Int] = [:]
    }

    /// Folds what can be folded in the main graph.
    /// - Parameters:
    ///   - arithmetic: whether Mul, Div, Add and Sub with constants are folded as well.
    ///   - select: whether the convolution at a node index may change.
    @discardableResult
    public static func fold(_ model: inout Model, arithmetic: Bool = false, where select: (Int) -> Bool = { _ in true }) -> Result {
        var graph = model.graph
        let index = GraphIndex(graph)
        var names = NameSupply(graph)
        let listed = Set(graph.inputs.map(\.name))
        var replacements: [String: String] = [:]
        var removed = Set<Int>()
        var folded: [String] = []
        var result = Result()
        // Weights and biases that only one convolution reads since they were folded.
        var made = Set<String>()
        let standard = Set(["BatchNormalization"]).union(arithmetic ? Affine.operators : [])
        for (position, node) in graph.nodes.enumerated() where standard.contains(node.opType) && node.isStandard(node.opType) {
            // What was folded already goes by its convolution's output.
            guard let input = node.inputs.first(where: { index.producer[replacements[$0] ?? $0].map { graph.nodes[$0].opType.hasPrefix("Conv") } ?? false }),
                let producer = index.producer[replacements[input] ?? input], select(producer), index.useCount(input) == 1,
                let fold = Fold(convolution: graph.nodes[producer], node, of: input, graph: graph, index: index)
            else { continue }
            // A weight of its own may change in place; a shared or overridable one is left to its other readers.
            func store(_ tensor: Tensor, _ name: String) -> String {
                let own = made.contains(name) || (index.useCount(name) == 1 && !listed.contains(name))
                let target = own ? name : names.fresh("\(name)_folded")
                made.insert(target)
                graph.initializers[target] = tensor.renamed(target)
                return target
            }
            let weightName = graph.nodes[producer].inputs[1]
            graph.nodes[producer].inputs[1] = store(fold.weight, weightName)
            if let biasName = graph.nodes[producer].input(2) {
                graph.nodes[producer].inputs[2] = store(fold.bias, biasName)
            } else {
                let name = names.fresh("\(weightName)_bias")
                graph.initializers[name] = fold.bias.renamed(name)
                made.insert(name)
                graph.nodes[producer].inputs = Array(graph.nodes[producer].inputs.prefix(2)) + [name]
            }
            let output = node.outputs[0]
            if index.outputs.contains(output) {
                graph.nodes[producer].outputs[0] = output
            } else {
                replacements[output] = replacements[input] ?? input
            }
            removed.insert(position)
            let name = graph.nodes[producer].name.isEmpty ? input : graph.nodes[producer].name
            if node.opType == "BatchNormalization" { folded.append(name) } else if !result.merged.contains(name) { result.merged.append(name) }
        }
        let kept = graph.nodes.indices.filter { !removed.contains($0) }
        let positions = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
        (result.folded, result.positions) = (folded, positions)
        guard !removed.isEmpty else { return result }
        graph.replaceReads(replacements)
        graph.nodes = kept.map { graph.nodes[$0] }
        graph.removeUnreadInitializers(listed: listed)
        model.graph = graph
        return result
    }

    /// What an operator does to each channel: factor · x + addend.
    private struct Affine {
        var factors: [Double]
        var addends: [Double]

        static let operators: Set<String> = ["Mul", "Div", "Add", "Sub"]

        /// - Parameters:
        ///   - input: the operand that is not constant.
        ///   - rank: of that operand.
        init?(_ node: Node, of input: String, channels: Int, rank: Int, graph: Graph, index: GraphIndex) {
            if node.opType == "BatchNormalization" {
                // Outputs beyond the first exist only while training; operator sets before 9 could normalize per element.
                guard node.input(0) == input, node.outputs.dropFirst().allSatisfy(\.isEmpty), node.int("training_mode") ?? 0 == 0, node.int("spatial") ?? 1 == 1
                else { return nil }
                func constants(_ position: Int) -> [Float]? {
                    node.input(position).flatMap { graph.initializers[$0] }.flatMap { $0.elementType == .float32 && $0.count == channels ? $0.floats() : nil }
                }
                guard let gamma = constants(1), let beta = constants(2), let mean = constants(3), let variance = constants(4) else { return nil }
                let epsilon = Double(node.float("epsilon") ?? 1e-5)
                factors = (0..<channels).map { Double(gamma[$0]) / (Double(variance[$0]) + epsilon).squareRoot() }
                addends = (0..<channels).map { [factors] in Double(beta[$0]) - factors[$0] * Double(mean[$0]) }
            } else {
                guard node.inputs.count == 2, node.inputs.filter({ $0 == input }).count == 1, let other = node.inputs.first(where: { $0 != input }),
                    let values = Self.perChannel(other, channels: channels, rank: rank, graph: graph, index: index)
                else { return nil }
                (factors, addends) = ([Double](repeating: 1, count: channels), [Double](repeating: 0, count: channels))
                let isFirst = node.inputs[0] == input
                switch node.opType {
                case "Mul": factors = values
                case "Div" where isFirst: factors = values.map { 1 / $0 }
                case "Add": addends = values
                case "Sub" where isFirst: addends = values.map { -$0 }
                case "Sub": (factors, addends) = (factors.map { -$0 }, values)
                default: return nil
                }
            }
            guard factors.allSatisfy(\.isFinite), addends.allSatisfy(\.isFinite) else { return nil }
        }

        /// A constant that has one number, or one for each channel and an extent of 1 along all other axes.
        private static func perChannel(_ name: String, channels: Int, rank: Int, graph: Graph, index: GraphIndex) -> [Double]? {
            var dims: [Int]?
            var name = name
            if graph.initializers[name] == nil, let producer = index.producer[name] {
                // A constant that is put into shape while loading.
                let node = graph.nodes[producer]
                guard node.isStandard("Reshape"), let data = node.input(0), let shape = node.input(1).flatMap({ graph.initializers[$0]?.integers() }) else { return nil }
                let count = graph.initializers[data]?.count ?? 0
                let known = shape.filter { $0 > 0 }.reduce(1, *)
                guard !shape.contains(0), known > 0 else { return nil }
                (dims, name) = (shape.map { $0 == -1 ? count / known : $0 }, data)
            }
            guard let tensor = graph.initializers[name], tensor.elementType == .float32, let values = tensor.floats() else { return nil }
            let extents = dims ?? tensor.dims
            guard extents.reduce(1, *) == values.count, extents.count <= rank else { return nil }
            if values.count == 1 { return [Double](repeating: Double(values[0]), count: channels) }
            let padded = [Int](repeating: 1, count: rank - extents.count) + extents
            guard values.count == channels, rank > 1, padded[1] == channels else { return nil }
            return values.map(Double.init)
        }
    }

    /// The weights of one convolution with what follows it taken in.
    private struct Fold {
        var weight: Tensor
        var bias: Tensor

        init?(convolution: Node, _ node: Node, of input: String, graph: Graph, index: GraphIndex) {
            let outputAxis: Int
            if convolution.isStandard("Conv") {
                outputAxis = 0
            } else if convolution.isStandard("ConvTranspose"), convolution.int("group") ?? 1 == 1 {
                outputAxis = 1
            } else {
                return nil
            }
            guard let weightName = convolution.input(1), let stored = graph.initializers[weightName], stored.elementType == .float32,
                stored.dims.count > max(outputAxis, 1)
            else { return nil }
            let channels = stored.dims[outputAxis]
            var old = [Float](repeating: 0, count: channels)
            if let biasName = convolution.input(2) {
                guard let tensor = graph.initializers[biasName], tensor.elementType == .float32, tensor.count == channels, let values = tensor.floats() else { return nil }
                old = values
            }
            guard let affine = Affine(node, of: input, channels: channels, rank: stored.dims.count, graph: graph, index: index) else { return nil }
            let factors = affine.factors
            let shifted = (0..<channels).map { Float(affine.addends[$0] + factors[$0] * Double(old[$0])) }
            bias = Tensor(name: "", floats: shifted, dims: [channels])
            let layout = ScaleLayout(.axis(outputAxis), dims: stored.dims)
            let scaled = stored.withFloats { values in
                TensorStorage(byteCount: values.count * 4) { memory in
                    let out = memory.bindMemory(to: Float.self)
                    layout.forEachRun { run in
                        for element in 0..<run.count {
                            let factor = factors[run.scalePerElement ? run.scale + element : run.scale]
                            out[run.offset + element] = Float(Double(values[run.offset + element]) * factor)
                        }
                    }
                }
            }
            guard let scaled, let weight = try? stored.replacing(elementType: .float32, dims: stored.dims, storage: scaled) else { return nil }
            self.weight = weight
        }
    }
}

extension Graph {
    /// Removes initializers that no node, subgraph or output reads, but for those listed as inputs.
    fileprivate mutating func removeUnreadInitializers(listed: Set<String>) {
        var read = Set(outputs.map(\.name))
        for node in nodes {
            read.formUnion(node.inputs)
            for (_, body) in node.subgraphs { read.formUnion(body.capturedNames()) }
        }
        initializers.removeAll { !read.contains($0.key) && !listed.contains($0.key) }
    }
}
