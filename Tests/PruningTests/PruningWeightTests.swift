import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Techniques that zero weights one by one, against numpy.
@Suite struct PruningWeightTests {
    /// Runs Python on the written model and the original; the script prints what is wrong, nothing if all is well.
    private func judge(_ script: String, original: Model, pruned: Model, _ arguments: String...) throws -> String {
        let folder = try TemporaryFolder()
        try original.serialized().write(to: folder.path + "/original.onnx")
        try pruned.serialized().write(to: folder.path + "/pruned.onnx")
        return try Python.run(script, arguments: [folder.path + "/original.onnx", folder.path + "/pruned.onnx"] + arguments)
    }

    /// Weights in graph order: input 1 of Conv, Gemm and MatMul, inputs 1 and 2 of recurrent layers.
    private static let prelude = """
        import sys, numpy as np, onnx
        from onnx import numpy_helper
        def load(path):
            graph = onnx.load(path).graph
            return graph, {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        graph, before = load(sys.argv[1])
        _, after = load(sys.argv[2])
        names = []
        for node in graph.node:
            inputs = {'Conv': [1], 'Gemm': [1], 'MatMul': [1], 'LSTM': [1, 2]}.get(node.op_type, [])
            names += [node.input[i] for i in inputs if node.input[i] in before]

        """

    @Test(arguments: Samples.models, ["global", "layer"]) func magnitudeEqualsNumpy(name: String, scope: String) throws {
        let model = try Fixture.sample(name)
        for sparsity in [0.0, 0.37, 0.9, 0.99] {
            let recipe = Fixture.recipe("magnitude-pruning", ["sparsity": .real(sparsity), "scope": .choice(scope)])
            let pruned = try Fixture.apply(recipe, to: model).model
            let problems = try judge(
                Self.prelude + """
                    sparsity, scope = float(sys.argv[3]), sys.argv[4]
                    layers = []
                    for node in graph.node:
                        own = [i for i in node.input if i in names]
                        if own: layers.append(own)
                    pools = [sum(layers, [])] if scope == 'global' else layers
                    expected = dict(before)
                    for pool in pools:
                        flat = np.concatenate([before[n].ravel() for n in pool])
                        count = int(np.floor(sparsity * flat.size + 0.5))
                        flat[np.argsort(np.abs(flat), kind='stable')[:count]] = 0
                        start = 0
                        for n in pool:
                            expected[n] = flat[start:start + before[n].size].reshape(before[n].shape)
                            start += before[n].size
                    for n in before:
                        if expected[n].tobytes() != after[n].tobytes(): print(n, np.sum(expected[n] != after[n]), 'differ')
                    """, original: model, pruned: pruned, "\(sparsity)", scope)
            #expect(problems.isEmpty, "\(sparsity): \(problems)")
        }
    }

    @Test(arguments: Samples.models, ["2:4", "1:16", "3:4"]) func patternsEqualNumpy(name: String, pattern: String) throws {
        let model = try Fixture.sample(name)
        let applied = try Fixture.apply(Fixture.recipe("n-m-pruning", ["pattern": .choice(pattern)]), to: model)
        let problems = try judge(
            Self.prelude + """
                n, m = map(int, sys.argv[3].split(':'))
                chosen = set(sys.argv[4].split(','))
                axes = {}
                for node in graph.node:
                    title = node.name or node.output[0]
                    if title not in chosen: continue
                    transposed = any(a.name == 'transB' and a.i == 1 for a in node.attribute)
                    for i, name in enumerate(node.input):
                        if name in names: axes[name] = {'Conv': 1, 'Gemm': 1 if transposed else 0, 'MatMul': 0, 'LSTM': 2}[node.op_type]
                for name in before:
                    expected = before[name].copy()
                    if name in axes:
                        rows = np.moveaxis(expected, axes[name], -1)
                        for start in range(0, rows.shape[-1], m):
                            block = rows[..., start:start + m]
                            # Descending by magnitude, the first of equals first.
                            order = np.argsort(-np.abs(block), axis=-1, kind='stable')
                            np.put_along_axis(block, order[..., n:], 0, axis=-1)
                    if expected.tobytes() != after[name].tobytes(): print(name, np.sum(expected != after[name]), 'differ')
                """, original: model, pruned: applied.model, pattern, applied.reports[0].layers.joined(separator: ","))
        #expect(problems.isEmpty, "\(problems)")
        #expect(!applied.reports[0].layers.isEmpty)
    }

    /// Equal magnitudes: exactly the count asked for goes, the first ones.
    @Test func tiesGoInOrder() throws {
        var b = GraphBuilder(input: [nil, 4])
        _ = b.gemm("x", "y", (4, 5))
        b.graph.initializers["y.weight"] = Tensor(name: "y.weight", floats: (0..<20).map { $0 % 2 == 0 ? 0.5 : -0.5 }, dims: [5, 4])
        let pruned = try Fixture.apply(Fixture.recipe("magnitude-pruning", ["sparsity": .real(0.35)]), to: b.model("y")).model
        let values = try #require(pruned.graph.initializers["y.weight"]?.floats())
        #expect(values.map { $0 == 0 } == (0..<20).map { $0 < 7 })
    }

    /// Other float types keep the bits of the weights that stay.
    @Test func otherFloatTypes() throws {
        let values = Fixture.normal(64, seed: 3).map(Double.init)
        var half = GraphBuilder(input: [nil, 8])
        _ = half.gemm("x", "y", (8, 8))
        half.graph.initializers["y.weight"] = Tensor(name: "y.weight", float16s: values.map { Float16($0) }, dims: [8, 8])
        var double = half
        double.graph.initializers["y.weight"] = try Tensor(name: "y.weight", elementType: .float64, dims: [8, 8], storage: TensorStorage(copying: values))
        for model in [half.model("y"), double.model("y")] {
            let before = try #require(model.graph.initializers["y.weight"])
            let pruned = try Fixture.apply(Fixture.recipe("magnitude-pruning", ["sparsity": .real(0.25)]), to: model).model
            let after = try #require(pruned.graph.initializers["y.weight"])
            #expect(after.elementType == before.elementType)
            let width = before.storage.byteCount / 64
            var zeros = 0
            for index in 0..<64 {
                let old = Array(before.storage.bytes[(index * width)..<((index + 1) * width)])
                let new = Array(after.storage.bytes[(index * width)..<((index + 1) * width)])
                if new.allSatisfy({ $0 == 0 }) { zeros += 1 } else { #expect(old == new) }
            }
            #expect(zeros == 16)
        }
    }

    /// A tensor that two layers read is pruned and counted once.
    @Test func tiedTensorsCountOnce() throws {
        var b = GraphBuilder(input: [nil, 6])
        let first = b.matMul("x", "a", (6, 6))
        b.node("MatMul", [first, "a.weight"], "b")
        let model = b.model(b.matMul("b", "c", (6, 4)))
        let pruned = try Fixture.apply(Fixture.recipe("magnitude-pruning", ["sparsity": .real(0.5)]), to: model).model
        let zeros = ["a.weight", "c.weight"].reduce(0) { $0 + (pruned.graph.initializers[$1]?.floats() ?? []).count { $0 == 0 } }
        #expect(zeros == 30)
    }

    /// Weights of a Loop's body are weights of the model.
    @Test func weightsInSubgraphs() throws {
        var inner = GraphBuilder(input: [nil])
        _ = inner.gemm("outer", "y", (6, 4))
        var body = inner.model("y").graph
        body.inputs = []
        var b = GraphBuilder(input: [nil, 6])
        b.node("Relu", ["x"], "outer")
        b.graph.initializers["condition"] = try Tensor(name: "condition", elementType: .bool, dims: [], storage: TensorStorage(copying: [UInt8(1)]))
        b.node("If", ["condition"], "out", [("then_branch", .graph(body)), ("else_branch", .graph(body))])
        let model = b.model("out")
        for technique in ["magnitude-pruning", "n-m-pruning"] {
            let pruned = try Fixture.apply(Fixture.recipe(technique), to: model).model
            for (_, body) in pruned.graph.nodes[1].subgraphs {
                #expect((body.initializers["y.weight"]?.floats() ?? []).count { $0 == 0 } == (technique == "n-m-pruning" ? 8 : 12))
            }
        }
    }

    /// Grouped transposed convolutions: the inputs of different groups never share a block.
    @Test func blocksStayInsideGroups() throws {
        var b = GraphBuilder(input: [nil, 8, 4, 4])
        b.node("ConvTranspose", ["x", b.constant("w", [8, 3, 2, 2])], "y", [("group", .integer(2))])
        let pruned = try Fixture.apply(Fixture.recipe("n-m-pruning", ["pattern": .choice("1:8")]), to: b.model("y")).model
        let values = try #require(pruned.graph.initializers["w"]?.floats())
        for group in 0..<2 {
            for column in 0..<12 { #expect((0..<4).count { values[(group * 4 + $0) * 12 + column] != 0 } == 1) }
        }
    }

    /// The threshold of the radix selection against sorting, with many equal values and special ones.
    @Test func thresholdEqualsSorting() throws {
        for seed in 0..<20 as Range<UInt64> {
            let scale: Float = seed % 3 == 0 ? 1e-38 : 1
            var values = Fixture.normal(5000, seed: seed).map { seed % 2 == 0 ? ($0 * 4).rounded() / 4 * scale : $0 * scale }
            if seed % 5 == 0 {
                values[17] = .infinity
                values[99] = .nan
                values[100] = -0.0
            }
            let keys = values.map(MagnitudeThreshold.key).sorted()
            for count in [0, 1, 2, 777, 2500, 4999, 5000] {
                let threshold = MagnitudeThreshold(removing: count) { body in
                    values.withUnsafeBufferPointer { all in
                        body(UnsafeBufferPointer(rebasing: all[..<1234]))
                        body(UnsafeBufferPointer(rebasing: all[1234...]))
                    }
                }
                #expect(keys.count { $0 < threshold.pattern } + threshold.ties == count)
                #expect(threshold.ties <= keys.count { $0 == threshold.pattern })
                if count > 0 { #expect(keys[count - 1] == threshold.pattern || threshold.ties == 0) }
            }
        }
    }
}
