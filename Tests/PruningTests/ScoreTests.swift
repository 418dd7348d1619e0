import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import EngineSupport
@testable import Recipes
@testable import Techniques

/// Wanda, blocks, random weights and the criteria for channels, against numpy.
@Suite struct ScoreTests {
    /// Scores from onnxruntime's own activations and numpy's windows.
    private static let wanda = """
        import sys, numpy as np, onnx, onnxruntime
        from onnx import numpy_helper
        before, after, data, compare, sparsity = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5])
        model = onnx.load(before)
        tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        pruned = {t.name: numpy_helper.to_array(t) for t in onnx.load(after).graph.initializer}
        x = np.fromfile(data, '<f8').astype(np.float32).reshape(-1, 3, 8, 8)
        del model.graph.output[:]
        for node in model.graph.node: model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
        values = dict(zip([o.name for o in session.get_outputs()], session.run(None, {'x': x})), x=x)
        for node in model.graph.node:
            if node.op_type not in ('Conv', 'Gemm'): continue
            v, w = values[node.input[0]].astype(np.float64), tensors[node.input[1]]
            if node.op_type == 'Conv':
                v = np.pad(v, ((0, 0), (0, 0), (1, 1), (1, 1)))
                v = np.lib.stride_tricks.sliding_window_view(v, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(-1, w[0].size)
            scores = np.abs(w.reshape(len(w), -1)) * np.sqrt(np.mean(v ** 2, axis=0))
            rows = [scores.ravel()] if compare == 'layer' else list(scores)
            total, done, mask = 0, 0, []
            # The layer's own count is rounded first, then spread over its rows.
            share = np.floor(sparsity * w.size + 0.5) / w.size
            for row in rows:
                total += row.size
                count = int(np.floor(share * total + 0.5)) - done
                done += count
                gone = np.zeros(row.size, bool); gone[np.argsort(row, kind='stable')[:count]] = True
                mask.append(gone)
            expected = np.where(np.concatenate(mask).reshape(w.shape), 0, w)
            differ = np.sum(expected != pruned[node.input[1]])
            # Sums in another order may swap neighbors in rank.
            if differ > 2: print(node.output[0], differ)
        """

    @Test(arguments: ["output", "layer"]) func wandaEqualsNumPy(compare: String) throws {
        let model = Fixture.network()
        let data = TensorCalibration(model, count: 48)
        let pruned = try Fixture.apply(
            [("wanda", ["sparsity": .real(0.55), "compare": .choice(compare), "scope": .choice("layer")])], to: model, calibration: data
        ).model
        let folder = try TemporaryFolder()
        try model.serialized().write(to: folder.path + "/before.onnx")
        try pruned.serialized().write(to: folder.path + "/after.onnx")
        try Python.write((data.samples.floats() ?? []).map(Double.init), to: folder.path + "/data")
        let problems = try Python.run(Self.wanda, folder.path + "/before.onnx", folder.path + "/after.onnx", folder.path + "/data", compare, "0.55")
        #expect(problems.isEmpty, "\(problems)")
    }

    private static let blocks = """
        import sys, numpy as np, onnx
        from onnx import numpy_helper
        r, c, sparsity = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
        graph = onnx.load(sys.argv[1]).graph
        tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        pruned = {t.name: numpy_helper.to_array(t) for t in onnx.load(sys.argv[2]).graph.initializer}
        for node in graph.node:
            if node.op_type not in ('Conv', 'Gemm', 'MatMul') or node.input[1] not in tensors: continue
            groups = next((a.i for a in node.attribute if a.name == 'group'), 1)
            turned = node.op_type == 'MatMul' or node.op_type == 'Gemm' and not any(a.name == 'transB' and a.i for a in node.attribute)
            w = tensors[node.input[1]]
            matrix = (w.T if turned else w.reshape(len(w), -1)).astype(np.float64)
            height = len(matrix) // groups
            places, means = [], []
            for g in range(groups):
                for i in range(0, height, r or height):
                    for j in range(0, matrix.shape[1], c or matrix.shape[1]):
                        place = (slice(g * height + i, g * height + min(i + (r or height), height)), slice(j, j + (c or matrix.shape[1])))
                        places.append(place); means.append(np.mean(matrix[place] ** 2))
            wanted, done, expected = int(np.floor(sparsity * matrix.size + 0.5)), 0, matrix.copy()
            for k in np.argsort(means, kind='stable'):
                size = matrix[places[k]].size
                if 2 * (wanted - done) < size: break
                expected[places[k]] = 0
                done += size
            got = pruned[node.input[1]]
            got = got.T if turned else got.reshape(matrix.shape)
            if not np.array_equal(expected.astype(np.float32), got): print(node.name, np.sum(expected.astype(np.float32) != got))
        """

    @Test(arguments: ["resnet-8", "ds-cnn", "transformer"], [("4x1", 4, 1), ("16x16", 16, 16), ("row", 1, 0), ("column", 0, 1)])
    func blocksEqualNumPy(name: String, block: (name: String, rows: Int, columns: Int)) throws {
        let model = try Fixture.sample(name)
        let pruned = try Fixture.apply(Fixture.recipe("block-pruning", ["sparsity": .real(0.4), "block": .choice(block.name)]), to: model).model
        let folder = try TemporaryFolder()
        try model.serialized().write(to: folder.path + "/before.onnx")
        try pruned.serialized().write(to: folder.path + "/after.onnx")
        let problems = try Python.run(Self.blocks, folder.path + "/before.onnx", folder.path + "/after.onnx", "\(block.rows)", "\(block.columns)", "0.4")
        #expect(problems.isEmpty, "\(problems)")
    }

    @Test func randomWeights() throws {
        let model = try Fixture.sample("lenet-5")
        func masks(_ seed: UInt64) throws -> [[Bool]] {
            var recipe = Fixture.recipe("random-pruning", ["sparsity": .real(0.3)])
            recipe.seed = seed
            let pruned = try Fixture.apply(recipe, to: model).model
            return try model.layers().map { layer in
                let (before, after) = try (#require(model.graph.initializers[layer.weight]?.floats()), #require(pruned.graph.initializers[layer.weight]?.floats()))
                #expect(zip(before, after).allSatisfy { $1 == 0 || $0 == $1 })
                return after.map { $0 == 0 }
            }
        }
        let (first, again, other) = (try masks(1), try masks(1), try masks(2))
        #expect(first == again)
        for (a, b) in zip(first, other) {
            #expect(a.count { $0 } == Int((0.3 * Double(a.count)).rounded()))
            // Independent draws meet in 9 % of the places.
            let met = Double(zip(a, b).count { $0 && $1 }) / Double(a.count)
            let deviation = (0.09 * 0.91 / Double(a.count)).squareRoot()
            #expect(abs(met - 0.09) < 4 * deviation + 0.01)
        }
    }

    @Test func geometricMedianEqualsNumPy() throws {
        let rows = (0..<20).map { Fixture.normal(17, seed: UInt64($0)).map(Double.init) }
        let folder = try TemporaryFolder()
        try Python.write(rows.flatMap { $0 }, to: folder.path + "/w")
        let script = "import sys, numpy as np; w = np.fromfile(sys.argv[1], '<f8').reshape(20, 17); print(*np.linalg.norm(w[:, None] - w[None], axis=2).sum(1))"
        let expected = try Python.run(script, folder.path + "/w").split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
        for (a, b) in zip(ChannelImportance.distances(rows), expected) { #expect(abs(Double(a) - b) < 1e-4 * b) }
        #expect(expected.count == 20)
    }

    /// A network of one convolution whose channels' importance is known by construction.
    private func removed(_ criterion: String, _ change: (inout Model) -> Void) throws -> [Int] {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.node("Relu", [b.batchNormalization(b.conv("x", "a", (3, 8), bias: false), "bn", 8)], "relu")
        var model = b.model(b.conv(a, "out", (8, 2)))
        change(&model)
        let cut = try Fixture.apply(
            [("structured-pruning", ["ratio": .real(0.25), "criterion": .choice(criterion)])], to: model, calibration: TensorCalibration(model)
        ).model
        let kept = try #require(cut.keptChannels["a"]?[-3])
        #expect(cut.graph.initializers["a.weight"]?.dims == [6, 3, 3, 3])
        return (0..<8).filter { !kept.contains($0) }
    }

    private func channels(_ values: [Float]) -> (inout Model, String) -> Void {
        { model, name in model.graph.initializers[name] = Tensor(name: name, floats: values, dims: [8]) }
    }

    @Test func criteriaForChannels() throws {
        let scale: [Float] = [1, -2, 0.1, 3, 1.5, -0.2, 2, 4]
        #expect(try removed("batchnorm-scale") { channels(scale)(&$0, "bn.scale") } == [2, 5])
        // Shifts far below zero keep a channel from ever being positive.
        #expect(try removed("apoz") { channels([0, 0, -100, 0, 0, 0, 0, -90])(&$0, "bn.shift") } == [2, 7])
        // Two filters in the middle of the others are the ones that others stand in for.
        let middle = try removed("geometric-median") { model in
            var weight = model.graph.initializers["a.weight"]?.floats() ?? []
            for index in 0..<27 { (weight[27 * 3 + index], weight[27 * 6 + index]) = (0.01, -0.01) }
            model.graph.initializers["a.weight"] = Tensor(name: "a.weight", floats: weight, dims: [8, 3, 3, 3])
        }
        #expect(middle == [3, 6])
        let small = try removed("weighted-norm") { model in
            var weight = model.graph.initializers["a.weight"]?.floats() ?? []
            for index in 0..<27 { (weight[27 + index], weight[27 * 4 + index]) = (weight[27 + index] * 0.1, weight[27 * 4 + index] * 0.1) }
            model.graph.initializers["a.weight"] = Tensor(name: "a.weight", floats: weight, dims: [8, 3, 3, 3])
        }
        #expect(small == [1, 4])
    }

    @Test func criteriaThatNeedDataSaySo() throws {
        let model = Fixture.network()
        let message = #expect(throws: EngineError.self) {
            try Fixture.apply([("structured-pruning", ["criterion": .choice("apoz")])], to: model, calibration: nil)
        }
        #expect(message?.message.contains("criterion apoz needs calibration data") == true)
        _ = try Fixture.apply([("structured-pruning", ["criterion": .choice("geometric-median")])], to: model, calibration: nil)
    }
}
