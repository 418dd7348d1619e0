import Dispatch
import ModelGraph

/// Counts the figures of an actual model.
public enum FigureCounting {
    private struct TensorPlace: Hashable {
        var path: GraphPath
        var name: String
    }

    /// Names of initializers that are not parameters: scales and zero points of quantization and codebooks of shared
    /// weights, by reading the graph.
    static func quantizationConstants(of graph: Graph) -> Set<String> {
        var names = Set(graph.codebookWeights.map(\.codebook))
        let rangeScales = Set(graph.nodes.lazy.filter { $0.opType == "DynamicQuantizeLinear" }.compactMap { $0.outputs.dropFirst().first })
        for node in graph.nodes {
            // Scales of weights are multiplied by the scale that dynamic quantization found.
            if node.isStandard("Mul"), node.inputs.contains(where: rangeScales.contains) { names.formUnion(node.inputs) }
            let positions: [Int] =
                switch node.opType {
                case "QuantizeLinear", "DequantizeLinear": [1, 2]
                case "QLinearConv", "QLinearMatMul": [1, 2, 4, 5, 6, 7]
                case "QAttention": [3, 4, 6, 7]
                case "QGemm": [1, 2, 4, 5, 7, 8]
                case "ConvInteger", "MatMulInteger": [2, 3]
                case "MatMulNBits": [2, 3]
                case "DynamicQuantizeMatMul": [2, 3]
                case "MatMulIntegerToFloat": [2, 3, 4, 5]
                case "DynamicQuantizeLSTM": [8, 9, 10, 11]
                default: []
                }
            for position in positions { if let name = node.input(position) { names.insert(name) } }
        }
        return names
    }

    /// Figures of `model`; `shapes` at batch 1, if known. O(weights): counts non-zeros.
    ///
    /// Parameters are the elements of every floating-point or quantized initializer of at least one dimension (weights,
    /// biases, normalization constants), without scales and zero points of quantization.
    ///
    /// Of a model with early exits MACs and energy are those expected of a sample.
    /// - Parameter exitShares: shares of samples that leave at each exit, as measured; those of the calibration data otherwise.
    public static func figures(of model: Model, shapes: ValueShapes?, exitShares: [Double]? = nil) throws -> ModelFigures {
        let layers = model.layers()
        let stored = model.graph.graphPaths().reduce(into: [TensorPlace: Int]()) { result, path in
            for (name, bytes) in model.graph[path]?.sparseByteCounts(opset: model.opset) ?? [:] { result[TensorPlace(path: path, name: name)] = bytes }
        }
        let exits = ExitDeclaration(model)
        let running = exits?.paths(in: model) ?? [.main]
        let reach = ExitDeclaration.reach(exitShares ?? exits?.exits.map(\.share) ?? [])
        let share = Dictionary(zip(running, reach), uniquingKeysWith: { first, _ in first })
        var parameters = 0
        var nonZeros = 0
        var tensorNonZeros: [TensorPlace: Int] = [:]
        // Weights whose elements do not tell their number: packed codes, with further planes of the same weight.
        var codes: [TensorPlace: (count: QuantizedCounting.Count, companions: [String])] = [:]
        var weightBytes = 0.0
        var readBytes = 0.0
        NonZeroCount.count(model)
        for path in model.graph.graphPaths() {
            guard let graph = model.graph[path] else { continue }
            let quantized = QuantizedCounting(graph)
            let excluded = quantizationConstants(of: graph).union(quantized.constants)
            let codebooks = Dictionary(
                graph.codebookWeights.compactMap { weight in graph.initializers[weight.codebook].map { (weight.indices, $0) } },
                uniquingKeysWith: { first, _ in first })
            let resident = Double(graph.residentWeightBytes(shapes))
            weightBytes += resident
            readBytes += resident * (share[path] ?? 1)
            for tensor in graph.initializers.values {
                let counted = tensor.elementType.isFloatingPoint || tensor.elementType.isQuantized || quantized.biases.contains(tensor.name)
                guard counted, !excluded.contains(tensor.name), !tensor.dims.isEmpty else { continue }
                if let known = quantized.counts[tensor.name] {
                    codes[TensorPlace(path: path, name: tensor.name)] = (known, quantized.companions[tensor.name] ?? [])
                    tensorNonZeros[TensorPlace(path: path, name: tensor.name)] = known.nonZeros
                    parameters += known.parameters
                    nonZeros += known.nonZeros
                    continue
                }
                let count = codebooks[tensor.name].map { NonZeroCount.nonZeros(indices: tensor, codebook: $0) } ?? NonZeroCount.nonZeros(tensor)
                tensorNonZeros[TensorPlace(path: path, name: tensor.name)] = count
                parameters += tensor.count
                nonZeros += count
            }
        }
        var figures = ModelFigures(
            parameters: Figure(Double(parameters), .measured), nonZeros: Figure(Double(nonZeros), .measured),
            serializedBytes: Figure(Double(try model.serialized().byteCount), .measured))
        let graphs = Dictionary(running.map { ($0, graph(at: $0, in: model)) }, uniquingKeysWith: { first, _ in first })
        let macs = shapes.map { shapes in graphs.mapValues { Compute.macs(of: $0, shapes: shapes) } }
        var macsByBits: [(count: Double, bits: Double)] = []
        var layerNodes: [GraphPath: Set<Int>] = [:]
        let indices = graphs.mapValues { GraphIndex($0) }
        for layer in layers {
            var entry = layerFigures(of: layer, in: model, nonZeros: tensorNonZeros, codes: codes, stored: stored)
            if let graph = graphs[layer.path], let index = indices[layer.path] {
                entry.macs = macs?[layer.path]?[layer.nodeIndex].map { $0 * (share[layer.path] ?? 1) }
                entry.outputElements = graph.nodes[layer.nodeIndex].outputs.first.flatMap { shapes?[$0] }.map { Double($0.count) }
                layerNodes[layer.path, default: []].insert(layer.nodeIndex)
                // Weight-only quantization computes in float; only operators on integers compute in integers.
                if let count = entry.macs { macsByBits.append((count, computeBits(of: layer, in: graph, index: index))) }
            }
            figures.layers.append(entry)
        }
        if let macs, let shapes {
            var total = 0.0
            for path in running {
                for (node, count) in macs[path] ?? [:] {
                    total += count * (share[path] ?? 1)
                    if layerNodes[path]?.contains(node) != true { macsByBits.append((count * (share[path] ?? 1), 32)) }
                }
            }
            // Layers in other subgraphs cannot be counted; none counted at all is not zero.
            if macs.values.contains(where: { !$0.isEmpty }) || layers.isEmpty { figures.macs = Figure(total, exits == nil || exitShares != nil ? .measured : .estimated) }
            // The most a sample can need.
            if let peak = ActivationMemory.peakBytes(of: exits?.unrolled(model).graph ?? model.graph, shapes: shapes) {
                figures.peakActivationBytes = Figure(Double(peak), .measured)
                figures.memoryBytes = Figure(Double(peak) + weightBytes, .measured)
            }
            let activationBits = running.reduce(0.0) { sum, path in
                guard let graph = graphs[path] else { return sum }
                let constants = graph.constantNames()
                let produced = graph.nodes.flatMap(\.outputs).filter { !constants.contains($0) }.compactMap { shapes[$0] }
                return sum + produced.reduce(0.0) { $0 + Double($1.byteCount) * 8 } * (share[path] ?? 1)
            }
            figures.energyPicojoules = Figure(
                EnergyModel.picojoules(macs: macsByBits, weightBits: readBytes * 8, activationBits: activationBits), .modeled)
        }
        return figures
    }

    /// The graph at a path with the constants that it sees from outside.
    private static func graph(at path: GraphPath, in model: Model) -> Graph {
        guard var graph = model.graph[path], !path.isMain else { return model.graph }
        var outer = path
        while !outer.isMain {
            outer.steps.removeLast()
            for (name, tensor) in model.graph[outer]?.initializers ?? [:] where graph.initializers[name] == nil { graph.initializers[name] = tensor }
        }
        return graph
    }

    /// MACs of the part before the first exit, of that between the first and the second, and so on, each in full.
    package static func partMACs(of model: Model, _ exits: ExitDeclaration, shapes: ValueShapes) -> [Double] {
        exits.paths(in: model).map { Compute.macs(of: graph(at: $0, in: model), shapes: shapes).values.reduce(0, +) }
    }

    /// Width of the operands a layer multiplies: 8 where integer weights meet quantized activations, else float.
    static func computeBits(of layer: Layer, in graph: Graph, index: GraphIndex) -> Double {
        if let quantization = layer.quantization {
            let integer = ["MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "DynamicQuantizeLSTM"]
            if integer.contains(quantization.opType) { return 8 }
            guard quantization.opType == "DequantizeLinear" else { return 32 }
            let activation = graph.nodes[layer.nodeIndex].input(0).flatMap { index.producer[$0] }.map { graph.nodes[$0].opType }
            return activation == "DequantizeLinear" ? 8 : 32
        }
        return layer.weightType == .float16 || layer.weightType == .bfloat16 ? 16 : 32
    }

    private static func layerFigures(
        of layer: Layer, in model: Model, nonZeros: [TensorPlace: Int],
        codes: [TensorPlace: (count: QuantizedCounting.Count, companions: [String])], stored: [TensorPlace: Int]
    ) -> LayerFigures {
        let names = [layer.weight] + layer.otherWeights + (layer.bias.map { [$0] } ?? [])
        var parameters = 0
        var kept = 0
        var bytes = 0
        for name in names {
            guard let (tensor, owner) = model.initializer(name, from: layer.path) else { continue }
            let packed = codes[TensorPlace(path: owner, name: name)]
            parameters += packed?.count.parameters ?? tensor.count
            kept += nonZeros[TensorPlace(path: owner, name: name)] ?? tensor.count
            bytes += stored[TensorPlace(path: owner, name: name)] ?? tensor.storage.byteCount
            for plane in packed?.companions ?? [] { bytes += model.initializer(plane, from: owner)?.tensor.storage.byteCount ?? 0 }
        }
        for name in [layer.quantization?.scale, layer.quantization?.zeroPoint] {
            if let name, let found = model.initializer(name, from: layer.path) { bytes += found.tensor.storage.byteCount }
        }
        return LayerFigures(
            id: layer.id, kind: layer.kind.rawValue, opType: layer.opType, weightShape: layer.weightShape,
            weightType: layer.storedType, parameters: Double(parameters), nonZeros: Double(kept),
            serializedBytes: Double(bytes), weightBits: Double(layer.quantization?.bits ?? layer.weightType.bitWidth ?? 32))
    }
}

/// Counts elements that are not zero.
public enum NonZeroCount {
    /// Weights that are not zero where each is an 8-bit index into a codebook.
    static func nonZeros(indices: Tensor, codebook: Tensor) -> Int {
        guard let values = codebook.floats() else { return indices.count }
        var counts = [Int](repeating: 0, count: 256)
        for index in indices.storage.bytes { counts[Int(index)] += 1 }
        return zip(values, counts).reduce(0) { $0 + ($1.0 != 0 ? $1.1 : 0) }
    }

    /// Non-zero elements of a tensor, counted once for each storage; for packed nibbles, non-zero nibbles. Types without a zero count as all non-zero.
    public static func nonZeros(_ tensor: Tensor) -> Int { counts(tensor).nonZeros }

    /// Elements of a tensor that are NaN or infinite.
    package static func notFinite(_ tensor: Tensor) -> Int { tensor.elementType.isFloatingPoint ? counts(tensor).notFinite : 0 }

    private static func counts(_ tensor: Tensor) -> TensorStorage.ElementCounts { tensor.storage.elementCounts(of: tensor.count, tensor.elementType) { counted(tensor) } }

    /// Counts the larger tensors of a model on all cores; the counts stay with them.
    package static func count(_ model: Model) {
        let large = model.graph.graphPaths().compactMap { model.graph[$0] }.flatMap { $0.initializers.values.filter { $0.storage.byteCount > 1 << 18 } }
        guard large.count > 1 else { return }
        DispatchQueue.concurrentPerform(iterations: large.count) { _ = counts(large[$0]) }
    }

    private static func counted(_ tensor: Tensor) -> TensorStorage.ElementCounts {
        let bytes = tensor.storage.bytes
        defer { tensor.storage.releasePages() }
        // All bits of the exponent are set in NaN and infinities; 0 for whole numbers.
        func count<T: FixedWidthInteger>(_: T.Type, mask: T, exponent: T = 0) -> TensorStorage.ElementCounts {
            var result = TensorStorage.ElementCounts(nonZeros: 0)
            let stride = MemoryLayout<T>.stride
            let elements = bytes.count / stride
            let run = TensorStorage.passSlice / stride
            for start in Swift.stride(from: 0, to: elements, by: run) {
                let end = min(start + run, elements)
                var (nonZeros, notFinite) = (0, 0)
                for index in start..<end {
                    let bits = bytes.loadUnaligned(fromByteOffset: index * stride, as: T.self)
                    nonZeros += bits & mask != 0 ? 1 : 0
                    notFinite += bits & exponent == exponent ? 1 : 0
                }
                result.nonZeros += nonZeros
                result.notFinite += exponent == 0 ? 0 : notFinite
                tensor.storage.releasePages(before: end * stride)
            }
            return result
        }
        switch tensor.elementType {
        case .float32: return count(UInt32.self, mask: 0x7FFF_FFFF, exponent: 0x7F80_0000)
        case .float16: return count(UInt16.self, mask: 0x7FFF, exponent: 0x7C00)
        case .bfloat16: return count(UInt16.self, mask: 0x7FFF, exponent: 0x7F80)
        case .float64: return count(UInt64.self, mask: 0x7FFF_FFFF_FFFF_FFFF, exponent: 0x7FF0_0000_0000_0000)
        case .int8, .uint8: return count(UInt8.self, mask: 0xFF)
        case .int16, .uint16: return count(UInt16.self, mask: 0xFFFF)
        case .int4, .uint4:
            return .init(nonZeros: (0..<tensor.count).count { (bytes[$0 / 2] >> ($0 % 2 == 0 ? 0 : 4)) & 0x0F != 0 })
        default: return .init(nonZeros: tensor.count)
        }
    }
}
