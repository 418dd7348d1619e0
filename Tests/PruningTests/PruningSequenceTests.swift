import Foundation
import ModelGraph
import TestSupport
import Testing

@testable import Recipes
@testable import Techniques

/// Attention, recurrent layers and subgraphs.
@Suite struct PruningSequenceTests {
    private func check(_ model: Model, groups expected: [[String]], batch: Int = 3, shapes: Bool = false) throws -> Model {
        let known = shapes ? try Fixture.shapes(of: model, Fixture.inputs(for: model, batch: 1)) : [:]
        #expect(Fixture.groups(model, shapes: known) == expected)
        let (difference, removed, cut) = try Fixture.cutAgainstMask(model, inputs: Fixture.inputs(for: model, batch: batch), shapes: known, ratio: 0.5)
        #expect(difference < 2e-6)
        #expect((removed > 0) == !expected.isEmpty)
        return cut
    }

    /// Query, key and value lose the same heads; the projection behind them loses the heads' features.
    @Test func attentionLosesWholeHeads() throws {
        var b = GraphBuilder(input: [nil, 5, 6])
        func heads(_ b: inout GraphBuilder, _ name: String, _ order: [Int]) -> String {
            let projected = b.node("Add", [b.matMul("x", name, (6, 12)), b.constant(name + ".bias", [12])], name + ".sum")
            let split = b.node("Reshape", [projected, b.integers(name + ".target", [0, 0, 4, 3])], name + ".split")
            return b.node("Transpose", [split], name + ".heads", [("perm", .integers(order))])
        }
        let query = heads(&b, "query", [0, 2, 1, 3])
        let key = heads(&b, "key", [0, 2, 3, 1])
        let value = heads(&b, "value", [0, 2, 1, 3])
        let weights = b.node("Softmax", [b.node("MatMul", [query, key], "scores")], "weights", [("axis", .integer(-1))])
        let mixed = b.node("Transpose", [b.node("MatMul", [weights, value], "mixed")], "tokens", [("perm", .integers([0, 2, 1, 3]))])
        let merged = b.node("Reshape", [mixed, b.integers("merged.target", [0, 0, 12])], "merged")
        let cut = try check(b.model(b.matMul(merged, "out", (12, 6))), groups: [["query", "key", "value"]])
        #expect(cut.graph.initializers["query.weight"]?.dims == [6, 6])
        #expect(cut.graph.initializers["value.target"]?.integers() == [0, 0, 2, 3])
        #expect(cut.graph.initializers["merged.target"]?.integers() == [0, 0, 6])
    }

    @Test func feedForwardBetweenResiduals() throws {
        var b = GraphBuilder(input: [nil, 5, 6])
        let hidden = b.node("Add", [b.matMul("x", "up", (6, 16)), b.constant("up.bias", [16])], "hidden")
        let active = b.node("Mul", [hidden, b.node("Sigmoid", [hidden], "sigmoid")], "swish")
        let out = b.node("Add", ["x", b.matMul(active, "down", (16, 6))], "residual")
        let model = b.model(b.node("LayerNormalization", [out, b.constant("scale", [6])], "norm"))
        _ = try check(model, groups: [["up"]])
        let refusals = Fixture.structure(model).refusals
        #expect(refusals[1]?.contains("x") == true, "what is added to the model's input must keep its width: \(refusals[1] ?? "")")
    }

    @Test(arguments: ["LSTM", "GRU", "RNN"], [1, 2]) func recurrentHiddenUnits(type: String, directions: Int) throws {
        let gates = ["LSTM": 4, "GRU": 3, "RNN": 1][type] ?? 1
        var b = GraphBuilder(input: [7, nil, 5])
        func recurrent(_ b: inout GraphBuilder, _ x: String, _ name: String, _ inputs: Int) -> String {
            let w = b.constant(name + ".W", [directions, gates * 8, inputs])
            let r = b.constant(name + ".R", [directions, gates * 8, 8])
            let bias = b.constant(name + ".B", [directions, 2 * gates * 8])
            let direction = AttributeValue.text(directions == 2 ? "bidirectional" : "forward")
            return b.node(type, [x, w, r, bias], name, [("hidden_size", .integer(8)), ("direction", direction)])
        }
        // The first layer's outputs go into a second one: features of both directions side by side.
        let first = b.node("Transpose", [recurrent(&b, "x", "first", 5)], "ordered", [("perm", .integers([0, 2, 1, 3]))])
        let joined = b.node("Reshape", [first, b.integers("joined.target", [0, 0, -1])], "joined")
        let second = recurrent(&b, joined, "second", 8 * directions)
        let last = b.node("ReduceMean", [second], "mean", [("axes", .integers([0, 1])), ("keepdims", .integer(0))])
        let cut = try check(b.model(b.gemm(last, "out", (8, 3))), groups: [["first"], ["second"]])
        #expect(cut.graph.nodes[0].int("hidden_size") == 4)
        #expect(cut.graph.initializers["second.W"]?.dims == [directions, gates * 4, 4 * directions])
    }

    /// Initial states of computed shape follow; states given from outside do not.
    @Test func initialStates() throws {
        for (given, written) in [(false, false), (true, false), (false, true)] {
            var b = GraphBuilder(input: [7, nil, 5])
            var state = "state"
            if written {
                // As PyTorch's exporter writes zeros: more than are needed, of which some are taken.
                b.graph.initializers["zero"] = try Tensor(name: "zero", elementType: .float32, dims: [1, 1, 1], storage: TensorStorage(copying: [Float(0)]))
                let batch = b.node("Slice", [b.node("Shape", ["x"], "shape"), b.integers("1", [1]), b.integers("2", [2])], "batch")
                let dims = b.node("Concat", [b.integers("two", [2]), batch, b.integers("width", [8])], "dims", [("axis", .integer(0))])
                state = b.node("Slice", [b.node("Expand", ["zero", dims], "zeros"), b.integers("from", [0]), b.integers("to", [1]), b.integers("along", [0])], "state")
            } else if given {
                b.graph.inputs.append(ValueInfo(name: "state", elementType: .float32, shape: [.fixed(1), .symbolic("batch"), .fixed(8)]))
            } else {
                let batch = b.node("Slice", [b.node("Shape", ["x"], "shape"), b.integers("1", [1]), b.integers("2", [2])], "batch")
                state = b.node("ConstantOfShape", [b.node("Concat", [b.integers("one", [1]), batch, b.integers("width", [8])], "dims", [("axis", .integer(0))])], "state")
            }
            b.node("LSTM", ["x", b.constant("W", [1, 32, 5]), b.constant("R", [1, 32, 8]), "", "", state, state], "y", more: ["h"], [("hidden_size", .integer(8))])
            let last = b.node("Squeeze", ["h", b.integers("first", [0])], "last")
            _ = try check(b.model(b.gemm(last, "out", (8, 3))), groups: given ? [] : [["y"]])
        }
    }

    /// A body of If is cut inside; what it reads from outside stays.
    @Test func subgraphs() throws {
        func branch(_ name: String) -> Graph {
            var b = GraphBuilder(input: [1])
            let out = b.gemm(b.node("Relu", [b.gemm("outer", name + ".up", (6, 12))], name + ".relu"), name + ".out", (12, 4))
            var graph = b.model(out).graph
            graph.inputs = []
            return graph
        }
        var b = GraphBuilder(input: [nil, 5])
        b.node("Relu", [b.gemm("x", "first", (5, 6))], "outer")
        b.graph.initializers["condition"] = try Tensor(name: "condition", elementType: .bool, dims: [], storage: TensorStorage(copying: [UInt8(1)]))
        b.node("If", ["condition"], "out", [("then_branch", .graph(branch("then"))), ("else_branch", .graph(branch("else")))])
        let model = b.model("out")
        #expect(Fixture.groups(model) == [["then.up"], ["else.up"]])
        #expect(Fixture.structure(model).refusals[0]?.contains("If 'out'") == true)
        let applied = try Fixture.apply(Fixture.recipe("structured-pruning", ["ratio": .real(0.5)], layers: .names("then.up")), to: model)
        let body = try #require(applied.model.graph.nodes[2].subgraphs.first?.graph)
        #expect(body.initializers["then.up.weight"]?.dims == [6, 6])
        #expect(body.initializers["then.out.weight"]?.dims == [4, 6])
        let inputs = Fixture.inputs(for: model)
        #expect(try Fixture.run(applied.model, inputs).map(\.shape) == [[3, 4]])
    }
}
