import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import CompressionEngine
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// How sparsity is spread over layers, against numpy.
@Suite struct AllocationTests {
    private static let reference = """
        import sys, numpy as np, onnx
        from onnx import numpy_helper
        sparsity, scope = float(sys.argv[2]), sys.argv[3]
        graph = onnx.load(sys.argv[1]).graph
        tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        layers = []
        for node in graph.node:
            inputs = {'Conv': [1], 'Gemm': [1], 'MatMul': [1], 'LSTM': [1, 2]}.get(node.op_type, [])
            own = [tensors[node.input[i]] for i in inputs if node.input[i] in tensors]
            if own: layers.append(own)
        flat = [np.concatenate([t.ravel() for t in own]).astype(np.float64) for own in layers]
        total = sum(f.size for f in flat)
        if scope == 'lamp':
            scores = []
            for f in flat:
                square = np.sort(f ** 2)
                scores.append((square / np.cumsum(square[::-1])[::-1]).astype(np.float32))
            count = int(np.floor(sparsity * total + 0.5))
            threshold = np.sort(np.concatenate(scores))[count - 1] if count else -1
            print(*[int(np.sum(s <= threshold)) for s in scores])
        else:
            # The sparsity function of the paper's published code, Erdős–Rényi kernel.
            raw = [sum(sum(t.shape) for t in own) / f.size for own, f in zip(layers, flat)]
            dense = set()
            while True:
                rest = (1 - sparsity) * total - sum(flat[i].size for i in dense)
                divisor = sum(raw[i] * flat[i].size for i in range(len(raw)) if i not in dense)
                scale = rest / divisor
                top = max(raw[i] for i in range(len(raw)) if i not in dense)
                if top * scale <= 1: break
                dense |= {i for i in range(len(raw)) if raw[i] == top}
            print(*[int(np.floor((0 if i in dense else 1 - scale * raw[i]) * flat[i].size + 0.5)) for i in range(len(raw))])
        """

    @Test(arguments: Samples.models, ["lamp", "erdos-renyi-kernel"]) func countsEqualNumPy(name: String, scope: String) throws {
        let model = try Fixture.sample(name)
        let path = Samples.path(name)
        for sparsity in [0.3, 0.8, 0.95] {
            let expected = try Python.run(Self.reference, path, "\(sparsity)", scope).split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
            let pruned = try Fixture.apply(Fixture.recipe("magnitude-pruning", ["sparsity": .real(sparsity), "scope": .choice(scope)]), to: model).model
            let counts = model.layers().map { layer in layer.weightNames.reduce(0) { $0 + Fixture.zeros(pruned, $1) } }
            #expect(counts.count == expected.count)
            for (count, other) in zip(counts, expected) { #expect(abs(count - other) <= 1, "\(scope) \(sparsity): \(counts) against \(expected)") }
        }
    }

    /// In each layer the smallest go, whatever the scope.
    @Test(arguments: SparsityScope.allCases.map(\.rawValue)) func theSmallestGo(scope: String) throws {
        let model = try Fixture.sample("resnet-8")
        let pruned = try Fixture.apply(Fixture.recipe("magnitude-pruning", ["sparsity": .real(0.8), "scope": .choice(scope)]), to: model).model
        var (zeros, total) = (0, 0)
        for layer in model.layers() {
            let (before, after) = try (#require(model.graph.initializers[layer.weight]?.floats()), #require(pruned.graph.initializers[layer.weight]?.floats()))
            let gone = zip(before, after).filter { $1 == 0 }.map { abs($0.0) }.max() ?? 0
            let kept = zip(before, after).filter { $1 != 0 }.map { abs($0.0) }.min() ?? .infinity
            #expect(gone <= kept, "\(layer.id)")
            zeros += after.count { $0 == 0 }
            total += after.count
        }
        #expect(abs(Double(zeros) - 0.8 * Double(total)) <= 5)
    }

    private static let techniques = ["magnitude-pruning", "random-pruning", "block-pruning", "wanda", "sparsegpt", "head-pruning", "layer-removal"]

    /// What is predicted against what is counted, for every technique that zeroes weights one by one or in blocks.
    @Test(arguments: Samples.models) func predictions(name: String) throws {
        let session = try Fixture.session(name)
        let shapes = try session.shapes(of: session.model, cancellation: Cancellation())
        let summaries = try LayerPreparation.summaries(of: session.model, layers: session.layers, shapes: shapes, cancellation: Cancellation())
        let predictor = Predictor(
            baseline: try session.figures(of: session.model, slowSizes: false), layers: session.layers, summaries: summaries,
            refusals: session.refusals(shapes: shapes))
        for id in Self.techniques { try predictions(id, session, predictor) }
    }

    private func predictions(_ id: String, _ session: EngineSession, _ predictor: Predictor) throws {
        let technique = try #require(TechniqueRegistry.technique(id))
        let scopes =
            technique.descriptor.parameter("scope").map { parameter -> [String] in
                if case .choice(let choices) = parameter.domain { return choices.map(\.name) }
                return []
            } ?? [""]
        for scope in scopes {
            var parameters: [String: ParameterValue] = scope.isEmpty ? [:] : ["scope": .choice(scope)]
            if technique.descriptor.parameter("sparsity") != nil { parameters["sparsity"] = .real(0.7) }
            if technique.descriptor.parameter("samples") != nil { parameters["samples"] = .integer(32) }
            if id == "head-pruning" { parameters["ratio"] = .real(0.5) }
            let recipe = Fixture.recipe(id, parameters)
            guard let applied = try? session.apply(recipe) else {
                #expect(throws: EngineError.self) { try predictor.figures(for: recipe) }
                continue
            }
            let (predicted, counted) = (try predictor.figures(for: recipe), try session.figures(of: applied.model, slowSizes: false))
            let tolerance = 0.01 * (session.layers.reduce(0) { $0 + Double($1.weightCount) }) + 10
            #expect(abs(predicted.nonZeros.value - counted.nonZeros.value) <= tolerance, "\(id) \(scope): \(predicted.nonZeros.value), counted \(counted.nonZeros.value)")
            #expect(abs(predicted.parameters.value - counted.parameters.value) <= tolerance, "\(id) \(scope): \(predicted.parameters.value), counted \(counted.parameters.value)")
            guard id != "layer-removal", let macs = counted.macs?.value else { continue }
            #expect(abs((predicted.macs?.value ?? 0) - macs) <= 0.1 * macs, "\(id) \(scope)")
            for (a, b) in zip(predicted.layers, counted.layers) {
                #expect(abs(a.nonZeros - b.nonZeros) <= 0.02 * a.parameters + 20, "\(id) \(scope) \(a.id): \(a.nonZeros), counted \(b.nonZeros)")
            }
        }
    }
}
