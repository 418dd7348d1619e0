import ModelGraph

/// Folds BatchNormalization into the convolution before it: the same function with one operator less.
///
/// With s = γ / √(σ² + ε) per channel: W′ = s·W and b′ = β + s·(b − μ), computed in double precision and rounded once. Done where
/// the normalization is the only reader of the convolution, is in inference form, and all its parameters are constants.
/// Folding before or after magnitude pruning gives different networks, so the order of steps matters.
public enum BatchNormFolding {
    /// What folding did.
    public struct Result: Sendable {
        /// Names of the convolutions that took a normalization in.
        public var folded: [String] = []
        /// Where each node that is left now stands, by its index before.
        public var positions: [Int: Int] = [:]
    }

    /// Folds what can be folded in the main graph.
    /// - Parameter select: whether the convolution at a node index may change.
    @discardableResult
    public static func fold(_ model: inout Model, where select: (Int) -> Bool = { _ in true }) -> Result {
        var graph = model.graph
        let index = GraphIndex(graph)
        var names = NameSupply(graph)
        let listed = Set(graph.inputs.map(\.name))
        var replacements: [String: String] = [:]
        var removed = Set<Int>()
        var folded: [String] = []
        for (position, normalization) in graph.nodes.enumerated() where normalization.isStandard("BatchNormalization") {
            guard let input = normalization.input(0), let producer = index.producer[input], select(producer), index.useCount(input) == 1,
                let fold = Fold(convolution: graph.nodes[producer], normalization: normalization, graph: graph)
            else { continue }
            // A weight of its own may change in place; a shared or overridable one is left to its other readers.
            func store(_ tensor: Tensor, _ name: String) -> String {
                let own = index.useCount(name) == 1 && !listed.contains(name)
                let target = own ? name : names.fresh("\(name)_folded")
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
                graph.nodes[producer].inputs = Array(graph.nodes[producer].inputs.prefix(2)) + [name]
            }
            let output = normalization.outputs[0]
            if index.outputs.contains(output) {
                graph.nodes[producer].outputs[0] = output
            } else {
                replacements[output] = input
            }
            removed.insert(position)
            folded.append(graph.nodes[producer].name.isEmpty ? input : graph.nodes[producer].name)
        }
        let kept = graph.nodes.indices.filter { !removed.contains($0) }
        let positions = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
        guard !removed.isEmpty else { return Result(folded: [], positions: positions) }
        graph.replaceReads(replacements)
        graph.nodes = kept.map { graph.nodes[$0] }
        graph.removeUnreadInitializers(listed: listed)
        model.graph = graph
        return Result(folded: folded, positions: positions)
    }

    /// The weights of one convolution with its normalization taken in.
    private struct Fold {
        var weight: Tensor
        var bias: Tensor

        init?(convolution: Node, normalization: Node, graph: Graph) {
            let outputAxis: Int
            if convolution.isStandard("Conv") {
                outputAxis = 0
            } else if convolution.isStandard("ConvTranspose"), convolution.int("group") ?? 1 == 1 {
                outputAxis = 1
            } else {
                return nil
            }
            // Outputs beyond the first exist only while training; operator sets before 9 could normalize per element.
            guard normalization.outputs.dropFirst().allSatisfy(\.isEmpty), normalization.int("training_mode") ?? 0 == 0,
                normalization.int("spatial") ?? 1 == 1, let weightName = convolution.input(1), let stored = graph.initializers[weightName],
                stored.elementType == .float32, stored.dims.count > outputAxis
            else { return nil }
            let channels = stored.dims[outputAxis]
            func constants(_ name: String?) -> [Float]? {
                guard let name, let tensor = graph.initializers[name], tensor.elementType == .float32, tensor.count == channels else { return nil }
                return tensor.floats()
            }
            guard let gamma = constants(normalization.input(1)), let beta = constants(normalization.input(2)),
                let mean = constants(normalization.input(3)), let variance = constants(normalization.input(4))
            else { return nil }
            var old = [Float](repeating: 0, count: channels)
            if let biasName = convolution.input(2) {
                guard let values = constants(biasName) else { return nil }
                old = values
            }
            let epsilon = Double(normalization.float("epsilon") ?? 1e-5)
            let factors = (0..<channels).map { Double(gamma[$0]) / (Double(variance[$0]) + epsilon).squareRoot() }
            guard factors.allSatisfy(\.isFinite) else { return nil }
            let shifted = (0..<channels).map { channel -> Float in
                let centered = Double(old[channel]) - Double(mean[channel])
                return Float(Double(beta[channel]) + factors[channel] * centered)
            }
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
