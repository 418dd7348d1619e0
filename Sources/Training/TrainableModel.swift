import Differentiation
import EngineSupport
import Foundation
import ModelGraph
import Techniques

/// A model made ready for training: which tensors change, what stands in the training graph for them, and the way back.
///
/// The structure that earlier steps of a recipe made stays: zeros of pruned weights are masked, shared values move together,
/// integers stay integers of the same scale with a quantizer in front of them while training (straight-through estimator).
package struct TrainableModel {
    /// The model as it is.
    let original: Model
    /// The model with trained tensors in place, quantizers before those that are stored as integers.
    var forward: Model
    var parameters: [TrainedParameter] = []
    /// BatchNormalization nodes whose statistics follow the batches: names of running mean and variance.
    private(set) var batchNorms: [BatchNorm] = []
    /// What is not trained and why, one line each.
    private(set) var notes: [String] = []

    struct BatchNorm: Sendable {
        /// What the node gives.
        var output: String
        var mean: String
        var variance: String
        /// Values of the training graph that hold a shard's statistics.
        var batchMean: String
        var batchVariance: String
        var batchInverse: String
        var channels: Int
    }

    /// - Parameter preparation: what `model` was before nodes for training were put in, and what these have to train.
    /// - Throws: `EngineError` if nothing can be trained.
    init(_ model: Model, plan: TrainingPlan, preparation: TrainingPreparation? = nil) throws {
        original = model
        forward = SinglePrecisionGraph.lowered(model)
        let structure = preparation?.structure ?? model
        let layers = structure.layers()
        let wanted = Self.candidates(structure, layers, scope: plan.scope)
        let chosen = Self.scope(plan, wanted, layers, structure)
        let deepest = wanted.filter { chosen.contains($0.tensor) }.map(\.depth).max() ?? 0
        let masked = Set(layers.flatMap { [$0.weight] + $0.otherWeights })
        let (unstructured, pruned) = (Set(plan.unstructured), Set(plan.pruning?.weights ?? []))
        for candidate in wanted where chosen.contains(candidate.tensor) {
            guard let tensor = model.graph.initializers[candidate.tensor], tensor.count > 0 else { continue }
            let keepsStructure = plan.keepsStructure && masked.contains(candidate.tensor) && !unstructured.contains(candidate.tensor)
            let isPruned = pruned.contains(candidate.tensor)
            var parameter = try Self.parameter(for: candidate, tensor, keepsStructure: keepsStructure && !isPruned, in: &forward)
            if isPruned {
                parameter.isPruned = true
                parameter.mask = parameter.start.map { keepsStructure && $0 == 0 ? 0 : 1 }
            }
            parameter.decays = tensor.dims.count >= 2 && candidate.role == .weight
            if parameter.decays {
                parameter.l1 = plan.l1
                if candidate.isFilter { parameter.groupLasso = plan.groupLasso }
            } else if candidate.role == .normScale {
                parameter.l1 = plan.scalePenalty
            }
            parameter.rate = pow(plan.rateDecay, Float(candidate.depth))
            parameter.freedAfter = plan.unfreezing * Float(candidate.depth) / Float(max(deepest, 1))
            parameters.append(parameter)
        }
        for scale in preparation?.scales ?? [] {
            guard let tensor = model.graph.initializers[scale.name], let start = tensor.floats() else { continue }
            var parameter = TrainedParameter(name: scale.name, target: scale.name, form: .plain, dims: tensor.dims, start: start, decays: false)
            parameter.rate = scale.rate
            parameter.gradientFactor = scale.gradientFactor
            parameter.minimum = scale.minimum
            parameters.append(parameter)
        }
        guard !parameters.isEmpty else { throw EngineError(.technique, "the model has no weights that can be trained") }
        let held = layers.filter { !$0.path.isMain }
        if !held.isEmpty { notes.append("\(held.count) layers in subgraphs (If, Loop, Scan) are not trained") }
    }

    // MARK: What is trained

    enum Role { case weight, bias, normScale, normBias, other }

    struct Candidate {
        var tensor: String
        var role: Role
        /// Integers behind a DequantizeLinear.
        var isInteger = false
        var layer: Int?
        var isFilter = false
        /// Layers between it and the output.
        var depth = 0
    }

    private static func candidates(_ model: Model, _ layers: [Layer], scope: TrainedScope) -> [Candidate] {
        let graph = model.graph
        var found: [String: Candidate] = [:]
        var order: [String] = []
        let main = layers.enumerated().filter { $0.element.path.isMain }
        let last = main.last?.offset ?? 0
        /// Layers behind the one at or before a node.
        func depth(_ node: Int) -> Int { last - (main.last { $0.element.nodeIndex <= node }?.offset ?? main.first?.offset ?? last) }
        func add(_ name: String?, _ role: Role, layer: Int? = nil, node: Int? = nil, isInteger: Bool = false, isFilter: Bool = false) {
            guard let name, found[name] == nil, graph.initializers[name] != nil else { return }
            found[name] = Candidate(tensor: name, role: role, isInteger: isInteger, layer: layer, isFilter: isFilter, depth: layer.map { last - $0 } ?? node.map(depth) ?? 0)
            order.append(name)
        }
        let index = GraphIndex(graph)
        func isFloat(_ name: String) -> Bool { graph.initializers[name]?.elementType.isFloatingPoint ?? false }
        /// Follows what computes a weight from constants back to the tensors that can be trained.
        func expression(_ value: String, layer: Int, depth: Int = 0) {
            guard depth < 24 else { return }
            if isFloat(value) { return add(value, depth == 0 ? .weight : .other, layer: layer) }
            guard let producer = index.producer[value] else { return }
            let node = graph.nodes[producer]
            if node.isStandard("DequantizeLinear"), let stored = node.input(0), let tensor = graph.initializers[stored] {
                if tensor.elementType == .int32 || tensor.elementType.isQuantized, tensor.integers() != nil {
                    return add(stored, .weight, layer: layer, isInteger: true)
                }
                return add(node.input(1), .other, layer: layer)
            }
            for input in node.inputs where !input.isEmpty { expression(input, layer: layer, depth: depth + 1) }
        }
        for (position, layer) in main {
            let node = graph.nodes[layer.nodeIndex]
            switch layer.kind {
            case .conv, .convTranspose, .gemm, .matMul:
                for input in node.inputs where !input.isEmpty {
                    if input == layer.bias {
                        if isFloat(input) { add(input, .bias, layer: position) } else { expression(input, layer: position) }
                    } else if isFloat(input) {
                        add(input, .weight, layer: position, isFilter: layer.kind == .conv)
                    } else if index.producer[input].map({ graph.nodes[$0].inputs.allSatisfy { graph.initializers[$0] != nil || $0.isEmpty } }) ?? false || layer.quantization != nil
                    {
                        expression(input, layer: position)
                    }
                }
            case .lstm, .gru, .rnn:
                for (place, input) in node.inputs.enumerated() where (1...3).contains(place) && isFloat(input) {
                    add(input, place == 3 ? .bias : .weight, layer: position)
                }
            case .embedding: expression(node.inputs[0], layer: position)
            }
            add(layer.bias.flatMap { isFloat($0) ? $0 : nil }, .bias, layer: position)
        }
        for (position, node) in graph.nodes.enumerated() {
            switch node.opType {
            case "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization":
                if let scale = node.input(1), isFloat(scale) { add(scale, .normScale, node: position) }
                if let bias = node.input(2), isFloat(bias) { add(bias, .normBias, node: position) }
            case "PRelu": if let slope = node.input(1), isFloat(slope) { add(slope, .other, node: position) }
            case "Add", "Mul", "Sub":
                for input in node.inputs where isFloat(input) {
                    guard let tensor = graph.initializers[input], tensor.count > 1, !graph.isFromConstantNode(input) else { continue }
                    // Masks of large negative numbers are no weights.
                    let largest = tensor.withFloats { $0.reduce(Float(0)) { max($0, abs($1)) } } ?? .infinity
                    if largest < 1e4 { add(input, node.opType == "Mul" ? .normScale : .normBias, node: position) }
                }
            default: break
            }
        }
        // What is asked for by name is trained whatever it looks like: a bias of one element, say.
        if case .named(let names) = scope { for name in names.sorted() where isFloat(name) { add(name, .other) } }
        return order.compactMap { found[$0] }
    }

    /// Names of the weights that a scope takes in; none where it finds nothing to train.
    package static func names(of scope: TrainedScope, in model: Model) -> Set<String> {
        var plan = TrainingPlan()
        plan.scope = scope
        return Set((try? TrainableModel(model, plan: plan))?.parameters.map(\.target) ?? [])
    }

    private static func scope(_ plan: TrainingPlan, _ candidates: [Candidate], _ layers: [Layer], _ model: Model) -> Set<String> {
        switch plan.scope {
        case .all: return Set(candidates.map(\.tensor))
        case .named(let names): return names
        case .biasesAndNorms: return Set(candidates.filter { [.bias, .normScale, .normBias].contains($0.role) }.map(\.tensor))
        case .head, .last:
            let used = Set(candidates.compactMap(\.layer)).sorted()
            var count = 1
            if case .last(let share) = plan.scope { count = max(1, Int((share * Float(used.count)).rounded())) }
            let top = Set(used.suffix(count))
            return Set(candidates.filter { $0.layer.map(top.contains) ?? false }.map(\.tensor))
        }
    }

    // MARK: Forms

    private static func parameter(
        for candidate: Candidate, _ tensor: Tensor, keepsStructure: Bool, in forward: inout Model
    ) throws -> TrainedParameter {
        if candidate.isInteger { return try quantized(tensor, in: &forward) }
        guard let values = tensor.floats() else { throw EngineError(.technique, "'\(tensor.name)' cannot be read as numbers") }
        // What the model computes in double or half precision is trained in single throughout.
        let form: TrainedParameter.Form = forward.graph.initializers[tensor.name]?.elementType == .float32 ? .plain : .narrow
        var parameter = TrainedParameter(name: tensor.name, target: tensor.name, form: form, dims: tensor.dims, start: values, decays: false)
        if keepsStructure {
            let zeros = values.count { $0 == 0 }
            if let (book, indices) = sharing(values) {
                // Zeros of a shared and pruned weight are one of its values, which must stay.
                let codebook = tensor.name + ".values"
                parameter.name = codebook
                parameter.form = .shared(indices: indices, dims: tensor.dims)
                parameter.dims = [book.count]
                parameter.start = book
                if zeros > 0 { parameter.mask = book.map { $0 == 0 ? 0 : 1 } }
                forward.graph.initializers[tensor.name] = nil
                forward.graph.initializers[codebook] = Tensor(name: codebook, floats: book, dims: [book.count])
                let places = tensor.name + ".places"
                forward.graph.initializers[places] = Tensor(name: places, int32s: indices, dims: tensor.dims)
                forward.graph.nodes.insert(Node("Gather", inputs: [codebook, places], outputs: [tensor.name]), at: 0)
                return parameter
            }
            if zeros * 20 >= values.count { parameter.mask = values.map { $0 == 0 ? 0 : 1 } }
        }
        if case .narrow = parameter.form {
            // Trained in float32, rounded for the computation as the model stores it.
            let wide = tensor.name + ".float32"
            parameter.name = wide
            forward.graph.initializers[tensor.name] = nil
            forward.graph.initializers[wide] = Tensor(name: wide, floats: values, dims: tensor.dims)
            forward.graph.nodes.insert(
                Node("Cast", inputs: [wide], outputs: [tensor.name], attributes: [Attribute("to", .int(Int64(tensor.elementType.rawValue)))]), at: 0)
        }
        return parameter
    }

    /// Values and indices of a weight whose elements take few values; `nil` for others.
    private static func sharing(_ values: [Float]) -> (values: [Float], indices: [Int32])? {
        var book: [UInt32: Int32] = [:]
        var indices: [Int32] = []
        indices.reserveCapacity(values.count)
        for value in values {
            // One zero, whatever its sign.
            let bits = value == 0 ? 0 : value.bitPattern
            if let known = book[bits] {
                indices.append(known)
            } else {
                guard book.count < 1024 else { return nil }
                indices.append(Int32(book.count))
                book[bits] = Int32(book.count)
            }
        }
        guard book.count > 1, book.count * 4 <= values.count else { return nil }
        var list = [Float](repeating: 0, count: book.count)
        for (bits, index) in book { list[Int(index)] = Float(bitPattern: bits) }
        return (list, indices)
    }

    /// A weight stored as integers: trained as a float before a quantizer with the model's own scales.
    private static func quantized(_ tensor: Tensor, in forward: inout Model) throws -> TrainedParameter {
        guard let position = forward.graph.nodes.firstIndex(where: { $0.isStandard("DequantizeLinear") && $0.input(0) == tensor.name }),
            let codes = tensor.integers()
        else { throw EngineError(.technique, "'\(tensor.name)' cannot be read as integers") }
        let node = forward.graph.nodes[position]
        guard let scale = node.input(1).flatMap({ forward.graph.initializers[$0] }), let scales = scale.floats() else {
            throw EngineError(.technique, "'\(tensor.name)' has no constant scale")
        }
        let zeros = node.input(2).flatMap { forward.graph.initializers[$0]?.integers() } ?? []
        let axis = node.int("axis").map { $0 < 0 ? $0 + tensor.dims.count : $0 } ?? 1
        let block = node.int("block_size") ?? 0
        let inner = axis < tensor.dims.count ? tensor.dims[(axis + 1)...].reduce(1, *) : 1
        let isBlocked = block > 0 && scale.dims.count == tensor.dims.count
        let index = TrainedParameter.ScaleIndex(
            inner: inner, extent: scales.count > 1 ? tensor.dims[axis] : 1, block: max(block, 1), count: isBlocked ? scale.dims[axis] : scales.count, isBlocked: isBlocked)
        let range: (Int, Int) =
            switch tensor.elementType {
            case .uint8: (0, 255)
            case .int8: (-128, 127)
            case .int4: (-8, 7)
            case .uint4: (0, 15)
            case .int2: (-2, 1)
            case .uint2: (0, 3)
            case .int16: (-32_768, 32_767)
            case .uint16: (0, 65_535)
            case .int32: (Int(Int32.min), Int(Int32.max))
            default: throw EngineError(.technique, "'\(tensor.name)': integers of type \(tensor.elementType) cannot be trained")
            }
        let quantizer = TrainedParameter.Quantizer(
            scales: scales, zeros: zeros, scaleIndex: index, low: range.0, high: range.1, scaleName: scale.name, trainedScale: nil)
        let values = codes.enumerated().map { element, code in
            let at = index(element)
            return Float(code - (zeros.isEmpty ? 0 : zeros[at])) * scales[at]
        }
        let name = tensor.name + ".float32"
        forward.graph.initializers[name] = Tensor(name: name, floats: values, dims: tensor.dims)
        if tensor.elementType == .int32 {
            // The runtime quantizes to no int32; biases of that precision are as good as floats.
            forward.graph.nodes[position] = Node("Identity", inputs: [name], outputs: node.outputs)
        } else {
            forward.graph.initializers[tensor.name] = nil
            var attributes = node.attributes.filter { ["axis", "block_size"].contains($0.name) }
            var inputs = [name] + node.inputs.dropFirst()
            if node.input(2) == nil, forward.opset >= 21 {
                attributes.append(Attribute("output_dtype", .int(Int64(tensor.elementType.rawValue))))
            } else if node.input(2) == nil {
                // Before, the zero point alone says which integers come out.
                let zero = tensor.name + ".zero"
                forward.graph.initializers[zero] = try Tensor(
                    name: zero, elementType: tensor.elementType, dims: scale.dims,
                    storage: TensorStorage(byteCount: tensor.elementType.byteCount(of: scale.count) ?? 0) { bytes in for index in bytes.indices { bytes[index] = 0 } })
                inputs = [name, scale.name, zero]
            }
            forward.graph.nodes.insert(Node("QuantizeLinear", inputs: inputs, outputs: [tensor.name], attributes: attributes), at: 0)
        }
        return TrainedParameter(name: name, target: tensor.name, form: .quantized(quantizer), dims: tensor.dims, start: values, decays: false)
    }

    // MARK: Batch statistics

    /// Has BatchNormalization use the statistics of its batch, in the training graph only.
    mutating func useBatchStatistics() {
        for index in forward.graph.nodes.indices {
            let node = forward.graph.nodes[index]
            guard node.isStandard("BatchNormalization"), node.inputs.count == 5, let channels = forward.graph.initializers[node.inputs[3]]?.count,
                forward.graph.initializers[node.inputs[4]] != nil
            else { continue }
            let base = node.outputs[0]
            let norm = BatchNorm(
                output: base, mean: node.inputs[3], variance: node.inputs[4], batchMean: base + ".mean", batchVariance: base + ".variance", batchInverse: base + ".inverse",
                channels: channels)
            var macro = Node(
                Macro.batchNormalization, name: node.name, domain: Macro.domain, inputs: Array(node.inputs.prefix(3)),
                outputs: [base, norm.batchMean, norm.batchVariance, norm.batchInverse])
            macro.set("epsilon", .float(node.float("epsilon") ?? 1e-5))
            forward.graph.nodes[index] = macro
            batchNorms.append(norm)
        }
    }

    /// The model with trained values in it.
    /// - Parameter statistics: running means and variances by name.
    func model(with values: [[Float]], statistics: [String: [Float]]) throws -> Model {
        var result = original
        for (parameter, value) in zip(parameters, values) {
            guard let old = result.graph.initializers[parameter.target] else { continue }
            result.graph.initializers[parameter.target] = try parameter.tensor(value, replacing: old)
        }
        for (name, value) in statistics {
            if let old = result.graph.initializers[name] { result.graph.initializers[name] = old.withFloats(value) }
        }
        // Scales of activations are trained too.
        result.alignIntegerBiases(with: original)
        return result
    }
}
