import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Factorization
@testable import Learning
@testable import Pruning
@testable import Quantization
@testable import Recipes
@testable import Techniques
@testable import Training

/// Heads and whole branches.
@Suite struct RemovalTests {
    private func shapes(_ model: Model) throws -> [String: [Int]] { try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1)) }

    private func zeroed(_ model: Model, _ names: [String]) -> Model {
        var result = model
        for name in names {
            guard let tensor = model.graph.initializers[name] else { continue }
            result.graph.initializers[name] = tensor.withFloats([Float](repeating: 0, count: tensor.count))
        }
        return result
    }

    /// Without heads the model computes what it computes when the output projection reads nothing of them.
    @Test func headsGoWhole() throws {
        let model = try Fixture.sample("transformer")
        let shapes = try shapes(model)
        let applied = try Fixture.apply([("head-pruning", ["ratio": .real(0.5)])], to: model, calibration: nil, shapes: shapes)
        let cut = applied.model
        for block in 0..<2 {
            let base = "layers.\(block).attention"
            let kept = try #require(cut.keptChannels["/layers/layers.\(block)/attention/value/MatMul_output_0"]?[-1])
            #expect(kept.count == 32, "half of the heads' channels")
            #expect(cut.graph.initializers["\(base).output.weight"]?.dims == [32, 64])
            for name in ["query", "key", "value"] { #expect(cut.graph.initializers["\(base).\(name).weight"]?.dims == [64, 32]) }
        }
        #expect(cut.graph.initializers["layers.0.ffn1.weight"]?.dims == [64, 128], "nothing else is cut")
        var masked = model
        for block in 0..<2 {
            let name = "layers.\(block).attention.output.weight"
            let kept = Set(try #require(cut.keptChannels["/layers/layers.\(block)/attention/value/MatMul_output_0"]?[-1]))
            var values = try #require(model.graph.initializers[name]?.floats())
            for row in 0..<64 where !kept.contains(row) { for column in 0..<64 { values[row * 64 + column] = 0 } }
            masked.graph.initializers[name] = Tensor(name: name, floats: values, dims: [64, 64])
        }
        let inputs = Fixture.inputs(for: model)
        #expect(try Fixture.difference(Fixture.run(masked, inputs), Fixture.run(cut, inputs)) < 1e-5)
    }

    @Test func onlyAttentionHasHeads() throws {
        let model = try Fixture.sample("transformer")
        let layers = model.layers()
        let reasons = HeadPruning().refusals(for: layers, in: model, shapes: try shapes(model))
        let accepted = zip(layers, reasons).filter { $1 == nil }.map(\.0.id)
        #expect(accepted.count == 6 && accepted.allSatisfy { $0.contains("/attention/") && !$0.contains("/output/") })
        // A gated unit takes two outputs of a layer at a time, and has no heads.
        var b = GraphBuilder(input: [nil, 6])
        b.node("Split", [b.matMul("x", "a", (6, 12))], "p", more: ["q"], [("axis", .integer(-1))])
        let gated = b.model(b.matMul(b.node("Mul", ["p", b.node("Sigmoid", ["q"], "s")], "g"), "out", (6, 2)))
        #expect(HeadPruning().refusals(for: gated.layers(), in: gated, shapes: [:]).allSatisfy { $0 != nil })
        for name in ["resnet-8", "lstm"] {
            let other = try Fixture.sample(name)
            #expect(HeadPruning().refusals(for: other.layers(), in: other, shapes: [:]).allSatisfy { $0 != nil })
        }
    }

    /// Taking a branch out is the same as its result being zero.
    @Test func residualBlockOfAConvolutionalNetwork() throws {
        let model = try Fixture.sample("resnet-8")
        let shapes = try shapes(model)
        #expect(ResidualBranch.all(in: model, layers: model.layers(), shapes: shapes).count == 1, "the other blocks have projections")
        let cut = try Fixture.apply([("layer-removal", [:])], to: model, calibration: TensorCalibration(model), shapes: shapes).model
        #expect(cut.layers().count == model.layers().count - 2)
        let expected = zeroed(model, ["stage1.bn2.weight", "stage1.bn2.bias"])
        let inputs = Fixture.inputs(for: model)
        #expect(try Fixture.difference(Fixture.run(expected, inputs), Fixture.run(cut, inputs)) < 1e-5)
        #expect(try cut.serialized().byteCount < model.serialized().byteCount - 4 * 4500)
    }

    @Test(arguments: [1, 2, 4]) func branchesOfATransformer(count: Int) throws {
        let model = try Fixture.sample("transformer")
        let shapes = try shapes(model)
        let data = TensorCalibration(model)
        let branches = ResidualBranch.all(in: model, layers: model.layers(), shapes: shapes)
        #expect(branches.map(\.layers.count) == [4, 2, 4, 2])
        let applied = try Fixture.apply([("layer-removal", ["count": .integer(count)])], to: model, calibration: data, shapes: shapes)
        let left = Set(applied.model.graph.nodes.map(\.name))
        var names: [String] = []
        for block in 0..<2 {
            for (part, title) in [("attention.output", "attention/output"), ("ffn2", "ffn2")] where !left.contains("/layers/layers.\(block)/\(title)/MatMul") {
                names += ["layers.\(block).\(part).weight", "layers.\(block).\(part).bias"]
            }
        }
        #expect(names.count == 2 * count)
        let inputs = Fixture.inputs(for: model)
        #expect(try Fixture.difference(Fixture.run(zeroed(model, names), inputs), Fixture.run(applied.model, inputs)) < 1e-5)
    }

    /// Cosines from numpy and onnxruntime give the same order.
    @Test func theStreamTurnsLeastWhereNumPySays() throws {
        let model = try Fixture.sample("transformer")
        let shapes = try shapes(model)
        let data = TensorCalibration(model, count: 24)
        let branches = ResidualBranch.all(in: model, layers: model.layers(), shapes: shapes)
        var turns: [Double] = []
        for branch in branches {
            let values = try TensorCalibration.values(of: model, [branch.stream, branch.result], data.samples)
            var sum = 0.0
            for token in 0..<(24 * 28) {
                let (a, b) = (values[0].values[(token * 64)..<(token * 64 + 64)], values[1].values[(token * 64)..<(token * 64 + 64)])
                let dot = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                let norms = a.reduce(0.0) { $0 + Double($1) * Double($1) } * b.reduce(0.0) { $0 + Double($1) * Double($1) }
                sum += dot / norms.squareRoot()
            }
            turns.append(1 - sum / Double(24 * 28))
        }
        let least = try #require(turns.indices.min { turns[$0] < turns[$1] })
        let cut = try Fixture.apply([("layer-removal", ["samples": .integer(32)])], to: model, calibration: data, shapes: shapes).model
        let left = Set(cut.graph.nodes.flatMap(\.outputs))
        for (number, branch) in branches.enumerated() { #expect(left.contains(branch.result) == (number != least)) }
    }

    /// A branch at the very end: the output keeps its name.
    @Test func outputsKeepTheirNames() throws {
        var b = GraphBuilder(input: [nil, 6])
        let first = b.node("Relu", [b.matMul("x", "a", (6, 6))], "r")
        let model = b.model(b.node("Add", [first, b.matMul(first, "branch", (6, 6))], "sum"))
        let inputs = Fixture.inputs(for: model)
        let shapes = try Fixture.shapes(of: model, inputs)
        let cut = try Fixture.apply([("layer-removal", ["criterion": .choice("norm")])], to: model, calibration: nil, shapes: shapes).model
        #expect(cut.graph.outputs.map(\.name) == ["sum"])
        #expect(try Fixture.difference(Fixture.run(zeroed(model, ["branch.weight"]), inputs), Fixture.run(cut, inputs)) == 0)
        #expect(cut.graph.initializers["branch.weight"] == nil)
    }
}
