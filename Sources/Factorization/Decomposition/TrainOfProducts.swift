import EngineSupport
import Foundation
import LinearAlgebra
import ModelGraph
import Techniques

/// A dense layer's weight as a train (TT-matrix): outputs M = m₁·…·m_d, inputs N = n₁·…·n_d, and the core of number i holds the
/// pairs (mᵢ, nᵢ). Novikov et al. 2015, section 3.1.
enum TrainOfProducts {
    struct Shape {
        var outputs: [Int]
        var inputs: [Int]

        init(outputs: Int, inputs: Int, cores: Int) {
            self.outputs = Self.split(outputs, into: cores)
            self.inputs = Self.split(inputs, into: cores)
        }

        /// Dimensions of the train.
        var dims: [Int] { zip(outputs, inputs).map(*) }

        /// m₁ × n₁ × m₂ × n₂ × … of the stored matrix, outputs × inputs or the other way round.
        func tensor(_ matrix: UnsafeBufferPointer<Float>, outputsFirst: Bool) -> [Float] {
            let cores = outputs.count
            let order = (0..<cores).flatMap { outputsFirst ? [$0, cores + $0] : [cores + $0, $0] }
            return WeightUnfolding.permuted(matrix, dims: outputsFirst ? outputs + inputs : inputs + outputs, to: order)
        }

        /// Factors as alike as the number's divisors allow, largest first.
        static func split(_ number: Int, into count: Int) -> [Int] {
            guard count > 1 else { return [number] }
            let aim = Foundation.pow(Double(number), 1 / Double(count))
            let divisors = (1...max(Int(Double(number).squareRoot()), 1)).filter { number % $0 == 0 }.flatMap { [$0, number / $0] }
            // Rounded, so that two divisors on either side of the aim are told apart by size, not by the last bit of a logarithm.
            func distance(_ divisor: Int) -> Double { (abs(log(Double(divisor) / aim)) * 1e9).rounded() }
            let best = divisors.min { (distance($0), $0) < (distance($1), $1) } ?? number
            return ([best] + split(number / best, into: count - 1)).sorted(by: >)
        }

        /// One product for each core, over `rows` rows of inputs, and the elements that are transposed around them.
        func links(_ ranks: [Int], rows: Double) -> (links: [LayerLink], moved: Double) {
            let all = [1] + ranks + [1]
            var links: [LayerLink] = []
            var moved = 0.0
            for core in dims.indices.reversed() {
                let positions = rows * inputs[..<core].reduce(1.0) { $0 * Double($1) } * outputs[(core + 1)...].reduce(1.0) { $0 * Double($1) }
                let link = LayerLink(inputs: Double(inputs[core] * all[core + 1]), outputs: Double(all[core] * outputs[core]), positions: positions)
                links.append(link)
                moved += positions * (link.inputs + link.outputs)
            }
            return (links, moved)
        }

        /// Multiplications for one row of inputs.
        func macs(_ ranks: [Int]) -> Double {
            let all = [1] + ranks + [1]
            var sum = 0.0
            for core in dims.indices.reversed() {
                let positions = inputs[..<core].reduce(1.0) { $0 * Double($1) } * outputs[(core + 1)...].reduce(1.0) { $0 * Double($1) }
                sum += positions * Double(inputs[core] * all[core + 1]) * Double(all[core] * outputs[core])
            }
            return sum
        }
    }

    static func refusal(for layer: Layer, in model: Model, shapes: [String: [Int]]) -> String? {
        if let reason = MatrixLinks.refusal(for: layer, in: model) { return reason }
        guard let node = model.graph[layer.path]?.nodes[layer.nodeIndex] else { return "its graph is gone" }
        guard node.input(1) == layer.weight else { return "the weight is the left operand" }
        if layer.kind == .gemm {
            if node.int("transA") ?? 0 != 0 { return "its input is transposed" }
            if node.input(2) != nil, node.float("beta") ?? 1 != 1 { return "its bias is scaled" }
        } else if inputRank(layer, node, in: model, shapes: shapes) == nil {
            return "how many dimensions its input has is not known"
        }
        if model.opset < 5 { return "needs opset 5, whose Reshape reads its shape" }
        let shape = Shape(outputs: layer.weightShape[layer.outputAxis], inputs: layer.weightShape[layer.inputAxis], cores: 2)
        return TensorTrain.count(dims: shape.dims, ranks: [1]) < layer.weightCount ? nil : "too small: no rank saves anything"
    }

    /// Dimensions of a layer's input, where the graph or the runtime tells.
    static func inputRank(_ layer: Layer, _ node: Node, in model: Model, shapes: [String: [Int]]) -> Int? {
        if layer.kind == .gemm { return 2 }
        guard let name = node.input(0) else { return nil }
        // What the data have is no promise where the model leaves a rank open.
        if layer.path.isMain, model.graph.requiredInputs.allSatisfy({ $0.shape != nil }), let known = shapes[name] { return known.count }
        guard let graph = model.graph[layer.path] else { return nil }
        return (graph.valueInfos[name] ?? graph.inputs.first { $0.name == name })?.shape?.count
    }

    /// m₁ × n₁ × m₂ × n₂ × …, and the train's dimensions.
    static func tensor(_ layer: Layer, _ tensor: Tensor, cores: Int) throws -> ([Float], [Int]) {
        guard let matrix = WeightMatrix(tensor, of: layer) else { throw EngineError(.technique, "its weights cannot be read") }
        let shape = Shape(outputs: matrix.rows, inputs: matrix.columns, cores: cores)
        return (matrix.values.withUnsafeBufferPointer { shape.tensor($0, outputsFirst: true) }, shape.dims)
    }

    /// From the last core to the first: what is still to be contracted stands in front, n and the rank behind it last; MatMul puts the rank
    /// before and m in their place, and m moves to the outputs made so far.
    static func links(_ layer: Layer, _ node: Node, _ train: TensorTrain, inputRank: Int?) throws -> [FactorLink] {
        guard let inputRank else { throw EngineError(.technique, "\(layer.id): how many dimensions its input has is not known") }
        let cores = train.dims.count
        let shape = Shape(outputs: layer.weightShape[layer.outputAxis], inputs: layer.weightShape[layer.inputAxis], cores: cores)
        let (m, n, ranks) = (shape.outputs, shape.inputs, [1] + train.ranks + [1])
        // Dimensions before the last stay as they are: 0 in a Reshape takes a size over.
        let lead = [Int](repeating: 0, count: max(inputRank - 1, 0))
        let alpha = layer.kind == .gemm ? node.float("alpha") ?? 1 : 1
        var links: [FactorLink] = []
        func reshape(_ suffix: String, _ extents: [Int]) {
            links.append(FactorLink(suffix: suffix, node: Node("Reshape", inputs: [], outputs: []), operand: .shape(lead + extents)))
        }
        func transpose(_ suffix: String, _ order: [Int]) {
            var node = Node("Transpose", inputs: [], outputs: [])
            node.set("perm", .integers(lead.indices + order.map { lead.count + $0 }))
            links.append(FactorLink(suffix: suffix, node: node, operand: .none))
        }
        var done = 1
        for core in (0..<cores).reversed() {
            let ahead = n[..<core].reduce(1, *)
            let (before, after) = (ranks[core], ranks[core + 1])
            reshape("tt_rows\(core)", [ahead * done, n[core] * after])
            // before × m × n × after, as (n, after) × (before, m).
            var values = train.cores[core].withUnsafeBufferPointer { WeightUnfolding.permuted($0, dims: [before, m[core], n[core], after], to: [2, 3, 0, 1]) }
            if core == 0, alpha != 1 { for index in values.indices { values[index] *= alpha } }
            links.append(
                FactorLink(
                    suffix: "tt_core\(core)", node: Node("MatMul", inputs: [], outputs: []), operand: .weight(values, dims: [n[core] * after, before * m[core]])))
            if core > 0 {
                // ahead′ × n′ × done × before × m to ahead′ × m × done × n′ × before.
                let next = n[core - 1]
                reshape("tt_split\(core)", [ahead / next, next, done, before, m[core]])
                transpose("tt_order\(core)", [0, 4, 2, 1, 3])
            } else {
                transpose("tt_order0", [1, 0])
            }
            done *= m[core]
        }
        reshape("tt_out", [done])
        if layer.kind == .gemm, let bias = node.input(2) {
            links.append(FactorLink(suffix: "tt_bias", node: Node("Add", inputs: [], outputs: []), operand: .named(bias)))
        }
        return links
    }
}
