import Foundation
import ModelGraph
import PythonOracle
import TestSupport
import Testing

@testable import Datasets
@testable import EngineSupport
@testable import Factorization
@testable import Learning
@testable import Measurement
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Early exits.
@Suite struct EarlyExitTests {
    /// A network with a residual, normalization and two dense layers, and data of its own.
    private func network() throws -> (model: Model, data: TensorCalibration, shapes: [String: [Int]]) {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.node("Relu", [b.batchNormalization(b.conv("x", "a", (3, 12), bias: false), "a.bn", 12)], "a.relu")
        let c = b.node("Relu", [b.node("Add", [b.conv(a, "c", (12, 12)), a], "sum")], "c.relu")
        let flat = b.node("Flatten", [c], "flat")
        let d = b.node("Relu", [b.gemm(flat, "d", (12 * 64, 20))], "d.relu")
        let model = b.model(b.gemm(d, "out", (20, 5)))
        let data = TensorCalibration(model, count: 96)
        return (model, data, try Fixture.shapes(of: model, [row(data, 0..<1)]))
    }

    private func row(_ data: TensorCalibration, _ range: Range<Int>) -> Tensor {
        let all = data.samples.floats() ?? []
        let size = all.count / data.sampleCount
        return Tensor(name: data.samples.name, floats: Array(all[(range.lowerBound * size)..<(range.upperBound * size)]), dims: [range.count] + data.samples.dims.dropFirst())
    }

    private func applied(_ values: [String: ParameterValue], _ network: (model: Model, data: TensorCalibration, shapes: [String: [Int]])) throws -> Model {
        try Fixture.apply([("early-exits", values)], to: network.model, calibration: network.data, shapes: network.shapes).model
    }

    /// A threshold that nobody passes leaves the model's answers, one that everybody passes the first exit's.
    @Test func atTheEndsOfTheThreshold() throws {
        let network = try network()
        let model = try applied(["threshold": .real(1), "exits": .integer(2)], network)
        let input = row(network.data, 0..<7)
        #expect(try Fixture.difference(Fixture.run(network.model, [input]), Fixture.run(model, [input])) < 1e-5)
        let declaration = try #require(ExitDeclaration(model))
        #expect(declaration.exits.count == 2)
        let open = try Fixture.run(declaration.settingThresholds([-1, -1], in: model), [input])[0]
        let unrolled = try Fixture.run(declaration.unrolled(model), [input])
        let first = try #require(unrolled.first { $0.name == declaration.exits[0].answer })
        for (a, b) in zip(open.values, first.values) { #expect(abs(a - b) < 1e-5 * (1 + abs(b))) }
    }

    /// What a sample gets does not depend on the samples it comes with, whoever of them leaves where.
    @Test(arguments: [0.3, 0.5, 0.8]) func samplesDoNotDependOnTheirBatch(threshold: Double) throws {
        let network = try network()
        let model = try applied(["threshold": .real(threshold), "grid": .integer(4)], network)
        let together = try Fixture.run(model, [row(network.data, 0..<24)])[0]
        var alone: [Float] = []
        for sample in 0..<24 { alone += try Fixture.run(model, [row(network.data, sample..<(sample + 1))])[0].values }
        for (a, b) in zip(together.values, alone) { #expect(abs(a - b) < 1e-4 * (1 + abs(b))) }
        // Each has the answer of the exit that its confidence says.
        let declaration = try #require(ExitDeclaration(model))
        let parts = try Fixture.run(declaration.unrolled(model), [row(network.data, 0..<24)])
        let byName = Dictionary(parts.map { ($0.name, $0.values) }, uniquingKeysWith: { first, _ in first })
        for sample in 0..<24 {
            let exit = declaration.exits.first { byName[$0.confidence]![sample] > Float(threshold) }
            let answer = byName[exit?.answer ?? "out"]!
            for index in sample * 5..<(sample + 1) * 5 { #expect(abs(together.values[index] - answer[index]) < 1e-4 * (1 + abs(answer[index]))) }
        }
    }

    /// The network's own weights are all there, none twice, and the layers of the rest are still seen.
    @Test func weightsMoveIntoTheBranches() throws {
        let network = try network()
        let model = try applied(["exits": .integer(2)], network)
        let layers = model.layers()
        for layer in network.model.layers() { #expect(layers.count { $0.weight == layer.weight } == 1, "\(layer.id)") }
        var names: [String] = []
        model.forEachInitializer { _, tensor in names.append(tensor.name) }
        #expect(Set(names).count == names.count)
        let folder = try TemporaryFolder()
        try model.serialized().write(to: folder.file("model.onnx"))
        let again = try Model.read(path: folder.file("model.onnx"))
        #expect(ExitDeclaration(again) == ExitDeclaration(model))
        #expect(again.contentHash == (try applied(["exits": .integer(2)], network)).contentHash, "not the same model twice")
    }

    @Test func whereNoExitCanStand() throws {
        let network = try network()
        let technique = EarlyExits()
        let layers = network.model.layers()
        let free = technique.refusals(for: layers, in: network.model, shapes: network.shapes)
        #expect(free.contains { $0 == nil } && free.last! != nil, "behind the last layer there is nothing to save")
        var two = network.model
        two.graph.outputs.append(ValueInfo(name: "a.relu", elementType: .float32, shape: nil))
        #expect(technique.refusals(for: layers, in: two, shapes: network.shapes).allSatisfy { $0 == "the model has more than one output" })
        // A step behind the exits would change what they are fitted to.
        #expect(throws: EngineError.self) {
            try Fixture.apply([("early-exits", [:]), ("magnitude-pruning", [:])], to: network.model, calibration: network.data, shapes: network.shapes)
        }
    }

    /// Embeddings and labels that may hold together are not scores of which one is right; scores behind a Softmax are.
    @Test(arguments: [
        ("LpNormalization", "normalized"), ("BatchNormalization", "normalized"), ("ReduceL2", "its length"), ("sum of squares", "its length"), ("Sigmoid", "Sigmoid"),
        ("Softmax", nil),
    ])
    func whatTheEndSays(end: String, reason: String?) throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.node("Relu", [b.conv("x", "a", (3, 12))], "a.relu")
        let c = b.node("Relu", [b.conv(a, "c", (12, 12))], "c.relu")
        let scores = b.gemm(b.node("Flatten", [c], "flat"), "out", (12 * 64, 20))
        let output: String
        switch end {
        case "BatchNormalization": output = b.batchNormalization(scores, "bn", 20)
        case "ReduceL2": output = b.node("Div", [scores, b.node("ReduceL2", [scores], "norm", [("axes", .integers([1]))])], "unit")
        case "sum of squares":
            let length = b.node("Sqrt", [b.node("ReduceSumSquare", [scores], "squares", [("axes", .integers([1]))])], "length")
            output = b.node("Identity", [b.node("Div", [scores, length], "unit")], "answer")
        default: output = b.node(end, [scores], "answer")
        }
        let model = b.model(output)
        let shapes = try Fixture.shapes(of: model, [Tensor(name: "x", floats: [Float](repeating: 0.5, count: 192), dims: [1, 3, 8, 8])])
        let refusals = EarlyExits().refusals(for: model.layers(), in: model, shapes: shapes)
        if let reason {
            #expect(refusals.allSatisfy { $0?.contains(reason) == true }, "\(refusals)")
        } else {
            #expect(refusals.contains { $0 == nil }, "\(refusals)")
        }
    }

    /// The closed form against scikit-free NumPy: the same weights, and the same answers as when each sample is really left out.
    @Test func ridgeHeadEqualsNumPy() throws {
        let (count, width, classes) = (40, 9, 3)
        let features = Fixture.normal(count * width, seed: 3)
        var targets = [Float](repeating: 0, count: count * classes)
        for row in 0..<count { targets[row * classes + (features[row * width] > 0.3 ? 0 : features[row * width + 1] > 0 ? 1 : 2)] = 1 }
        let head = try RidgeHead(features: features, width: width, targets: targets, truth: targets, classes: classes, cancellation: Cancellation())
        let folder = try TemporaryFolder()
        for (name, values) in [("x", features), ("t", targets), ("w", head.weights), ("b", head.bias), ("o", head.leftOut)] {
            try Python.write(values.map(Double.init), to: folder.path + "/" + name)
        }
        let problems = try Python.run(
            """
            import sys, numpy as np
            from scipy.optimize import minimize_scalar
            x, t, w, b, o = [np.fromfile(sys.argv[1] + '/' + n) for n in 'xtwbo']
            x = x.reshape(40, 9); t = t.reshape(40, 3); w = w.reshape(9, 3); o = o.reshape(40, 3)
            def fit(x, t, ridge):
                m, c = x.mean(0), t.mean(0)
                g = np.linalg.solve((x - m).T @ (x - m) + np.diag(ridge), (x - m).T @ (t - c))
                return g, c - m @ g
            scale = x.var(0)
            best = None
            for r in [10 ** (k / 2) * 40 for k in range(-8, 5)]:
                loo = np.zeros_like(t)
                g, c = fit(x, t, r * scale)
                z = (x - x.mean(0)) / x.std(0)
                h = 1 / 40 + np.einsum('ij,jk,ik->i', z, np.linalg.inv(z.T @ z + r * np.eye(9)), z)
                loo = t - (t - x @ g - c) / (1 - h)[:, None]
                e = ((t - loo) ** 2).sum()
                if best is None or e < best[0]: best = (e, g, c, loo, r)
            e, g, c, loo, r = best
            for i in range(3):
                keep = np.arange(40) != i
                gi, ci = fit(x[keep], t[keep], r * scale)
                if abs(x[i] @ gi + ci - loo[i]).max() > 0.02: print('left out', i, x[i] @ gi + ci, loo[i])
            def loss(s):
                z = np.exp(s) * loo
                return (np.log(np.exp(z).sum(1)) - (t * z).sum(1)).mean()
            s = np.exp(minimize_scalar(loss, bounds=(-4, 6), method='bounded').x)
            if abs(w - s * g).max() > 0.01 * abs(s * g).max(): print('weights', w, s * g)
            if abs(b - s * c).max() > 0.01 * abs(s * c).max(): print('bias', b, s * c)
            if abs(o - s * loo).max() > 0.01 * abs(s * loo).max(): print('left out')
            """, folder.path)
        #expect(problems.isEmpty, "\(problems)")
    }

    /// What a profile predicts of a threshold is what counting does.
    @Test func profilesAnswerThresholds() throws {
        var profile = ExitProfile(metric: .top1, total: 4, exits: 2, macs: [10, 30, 100])
        profile.confidences = [[0.9, 0.2, 0.5, 0.1], [0.3, 0.8, 0.9, 0.4]]
        profile.scores = [[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]]
        profile.baseline = [1, 1, 1, 1]
        profile.times = ExitTimes(milliseconds: [1, 2, 4], baseline: 5)
        let half = try #require(profile.figures(at: 0.6))
        #expect(half.shares == [0.25, 0.5, 0.25] && half.accuracy.value == 1)
        #expect(half.macs == 0.25 * 10 + 0.5 * 30 + 0.25 * 100 && half.milliseconds == 0.25 * 1 + 0.5 * 2 + 0.25 * 4)
        let low = try #require(profile.figures(at: 0.15))
        #expect(low.shares == [0.75, 0.25, 0] && low.accuracy.value == 0.25 && low.accuracy.onlyBaseline == 3)
        #expect(try #require(profile.figures(at: 1)).shares == [0, 0, 1])
        #expect(!half.accuracy.isComplete, "what is predicted is drawn as an estimate")
    }
}
