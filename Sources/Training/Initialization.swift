import EngineSupport
import Foundation
import ModelGraph

/// Random weights to start a training from, drawn as PyTorch's layers draw theirs.
public enum Initialization {
    /// The model with fresh weights: matrices and kernels uniform in ±1/√fan-in, and their biases (He et al. 2015 with a = √5), recurrent
    /// ones in ±1/√hidden, embeddings and positions normal with deviation 0.02, normalizations at 1 and 0.
    /// - Throws: `EngineError` if the model has nothing that can be trained.
    public static func random(_ model: Model, seed: UInt64) throws -> Model {
        var result = model
        var generator = SeededGenerator(seed: seed &+ 0x1234_5678)
        let layers = model.layers().filter(\.path.isMain)
        var reach: [String: Float] = [:]
        var embeddings = Set<String>()
        for layer in layers where layer.isFloat {
            let inputs: Int
            switch layer.kind {
            case .conv: inputs = layer.weightShape.dropFirst().reduce(1, *)
            case .convTranspose: inputs = layer.weightShape[0] * layer.weightShape.dropFirst(2).reduce(1, *) / max(layer.group, 1)
            case .gemm, .matMul: inputs = layer.weightShape[layer.inputAxis]
            case .lstm, .gru, .rnn: inputs = layer.otherWeights.first.flatMap { model.graph.initializers[$0]?.dims.last } ?? 1
            case .embedding:
                embeddings.insert(layer.weight)
                continue
            }
            let bound = 1 / Float(max(inputs, 1)).squareRoot()
            for name in [layer.weight] + layer.otherWeights + (layer.bias.map { [$0] } ?? []) { reach[name] = bound }
        }
        // Biases that stand in an Add behind a MatMul, in graph order like all else.
        var plan = TrainingPlan()
        plan.keepsStructure = false
        let trainable = try TrainableModel(model, plan: plan)
        let norms = Dictionary(
            model.graph.nodes.filter { $0.opType.hasSuffix("Normalization") }.flatMap { node in
                node.inputs.enumerated().dropFirst().map { ($1, [1, 4].contains($0) ? Float(1) : 0) }
            }, uniquingKeysWith: { first, _ in first })
        func fill(_ tensor: Tensor, _ draw: () -> Float) { result.graph.initializers[tensor.name] = tensor.withFloats((0..<tensor.count).map { _ in draw() }) }
        for name in trainable.parameters.map(\.target) + norms.keys.sorted() {
            guard let tensor = model.graph.initializers[name], tensor.elementType.isFloatingPoint else { continue }
            if let level = norms[name] {
                fill(tensor) { level }
            } else if let bound = reach[name] {
                fill(tensor) { (2 * generator.unit() - 1) * bound }
            } else if embeddings.contains(name) || tensor.dims.count > 1 {
                fill(tensor) { 0.02 * generator.normal() }
            } else {
                let scales = model.graph.nodes.contains { $0.opType == "Mul" && $0.inputs.contains(name) }
                fill(tensor) { scales ? 1 : 0 }
            }
        }
        return result
    }
}

extension SeededGenerator {
    /// Uniform in 0 ..< 1.
    package mutating func unit() -> Float { Float(next() >> 40) / Float(1 << 24) }

    /// Standard normal (Box and Muller).
    package mutating func normal() -> Float {
        let (first, second) = (max(unit(), 1e-7), unit())
        return (-2 * log(first)).squareRoot() * cos(2 * .pi * second)
    }
}
