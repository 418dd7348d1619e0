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

/// Masks of attention.
@Suite struct AttentionMaskTests {
    /// One attention written as exporters do, over sequences of a fixed or an open length.
    private func attention(length: Int?, heads: Int = 2, width: Int = 8) -> Model {
        var b = GraphBuilder(input: [nil, length, width])
        b.graph.inputs[0].shape = [.symbolic("batch"), length.map { .fixed($0) } ?? .symbolic("length"), .fixed(width)]
        let split = b.integers("split.shape", [0, -1, Int64(heads), Int64(width / heads)])
        let joined = b.integers("joined.shape", [0, -1, Int64(width)])
        func head(_ name: String, _ order: [Int]) -> String {
            let value = b.node("Reshape", [b.matMul("x", name, (width, width)), split], name + ".split")
            return b.node("Transpose", [value], name + ".heads", [("perm", .integers(order))])
        }
        let scores = b.node("MatMul", [head("q", [0, 2, 1, 3]), head("k", [0, 2, 3, 1])], "scores")
        let weights = b.node("Softmax", [scores], "weights", [("axis", .integer(-1))])
        let mixed = b.node("MatMul", [weights, head("v", [0, 2, 1, 3])], "mixed")
        let back = b.node("Transpose", [mixed], "back", [("perm", .integers([0, 2, 1, 3]))])
        return b.model(b.matMul(b.node("Reshape", [back, joined], "together"), "out", (width, width)))
    }

    private func weights(_ model: Model, length: Int) throws -> Fixture.Output {
        var exposed = model
        exposed.graph.outputs = [ValueInfo(name: "weights", elementType: nil, shape: nil)]
        return try Fixture.run(exposed, [Fixture.normal("x", [2, length, 8], seed: 4)])[0]
    }

    /// Every pair is allowed or not as the pattern says, and what is left is the softmax over the allowed pairs alone.
    @Test(arguments: [
        (Int?(9), 9, "window", 2, 0), (nil, 9, "window", 1, 1), (nil, 13, "blocks", 3, 0), (Int?(12), 12, "blocks", 0, 2), (nil, 5, "window", 0, 0),
    ])
    func masksAreAsSaid(fixed: Int?, length: Int, pattern: String, window: Int, global: Int) throws {
        let model = attention(length: fixed)
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, length, 8], seed: 1)])
        let values: [String: ParameterValue] = [
            "pattern": .choice(pattern), "window": .integer(window), "global": .integer(global), "block-size": .integer(3),
        ]
        let masked = try Fixture.apply(Fixture.recipe("attention-mask", values), to: model, shapes: shapes).model
        let (before, after) = (try weights(model, length: length), try weights(masked, length: length))
        func allowed(_ query: Int, _ key: Int) -> Bool {
            if query < global || key < global { return true }
            return pattern == "window" ? abs(query - key) <= window : abs(query / 3 - key / 3) <= (window + 2) / 3
        }
        for row in 0..<(before.values.count / length) {
            let query = row % length
            let kept = (0..<length).filter { allowed(query, $0) }
            let total = kept.reduce(Float(0)) { $0 + before.values[row * length + $1] }
            for key in 0..<length {
                let expected = allowed(query, key) ? before.values[row * length + key] / total : 0
                #expect(abs(after.values[row * length + key] - expected) < 1e-5, "\(query) → \(key)")
            }
        }
    }

    @Test func aWideWindowChangesNothing() throws {
        let model = attention(length: 6)
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, 6, 8], seed: 1)])
        let masked = try Fixture.apply(Fixture.recipe("attention-mask", ["window": .integer(6)]), to: model, shapes: shapes).model
        let input = [Fixture.normal("x", [3, 6, 8], seed: 2)]
        #expect(try Fixture.difference(Fixture.run(model, input), Fixture.run(masked, input)) < 1e-6)
    }

    /// Scope local masks whole heads and leaves the others as they were.
    @Test func onlyLocalHeads() throws {
        let model = attention(length: 8)
        let shapes = try Fixture.shapes(of: model, [Fixture.normal("x", [1, 8, 8], seed: 1)])
        let data = TensorCalibration(model, count: 32)
        let masked = try Fixture.apply(
            [("attention-mask", ["window": .integer(1), "scope": .choice("local"), "share": .real(0.5)])], to: model, calibration: data, shapes: shapes
        ).model
        let (before, after) = (try weights(model, length: 8), try weights(masked, length: 8))
        let changed = (0..<2).map { (head: Int) -> Bool in
            before.values.indices.contains { (index: Int) -> Bool in index / 64 % 2 == head && abs(before.values[index] - after.values[index]) > 1e-5 }
        }
        #expect(changed.count { $0 } == 1)
    }

    @Test func modelsWithoutAttentionAreRefused() throws {
        let model = try Fixture.sample("lenet-5")
        #expect(AttentionMask().refusals(for: model.layers(), in: model, shapes: [:]).allSatisfy { $0 != nil })
    }
}
