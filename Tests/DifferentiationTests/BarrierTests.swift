import ModelGraph
import Testing

@testable import Differentiation

/// What cannot be differentiated says so, and the part above it trains.
@Suite struct BarrierTests {
    private func barriers(_ sketch: Sketch, shapes: [String: [Int]], loss: String) throws -> (found: [String: String], barriers: [Differentiator.Barrier]) {
        var b = GradientBuilder(sketch.model, shapes: shapes)
        let total = try b.sum(loss, axes: Array(try b.shape(loss).indices), keep: false)
        var differentiator = Differentiator()
        let found = try differentiator.gradients(of: total, for: sketch.differentiated, in: &b)
        return (found, differentiator.barriers)
    }

    @Test func theGradientEndsAtAnUnknownOperator() throws {
        var s = Sketch(opset: 17)
        let below = s.input(2, 3)
        let y = s.nodes("Det", [below], outputs: 1)[0]
        let above = s.input(2, 3)
        let sum = s.node("Add", y, above)
        let (found, barriers) = try barriers(s, shapes: [y: [2, 3], sum: [2, 3]], loss: sum)
        #expect(Set(found.keys) == [above])
        #expect(barriers.map(\.opType) == ["Det"])
        #expect(barriers.first?.reason == "has no gradient rule")
    }

    @Test func foreignOperatorsAreNotMistakenForStandardOnes() throws {
        var s = Sketch(opset: 17)
        let x = s.input(2, 3)
        let y = s.nodes("Relu", [x], outputs: 1, domain: "somebody.else")[0]
        #expect(try barriers(s, shapes: [y: [2, 3]], loss: y).barriers.map(\.opType) == ["Relu"])
    }

    /// A branch in front of what is trained reads the model's input from outside.
    @Test func inputsThatOnlyBranchesReadAreKept() throws {
        func info(_ name: String, _ dims: [Int]?, _ type: ElementType = .float32) -> ValueInfo { ValueInfo(name: name, elementType: type, shape: dims?.map { .fixed($0) }) }
        func branch(_ type: String) -> AttributeValue { .graph(Graph(name: type, nodes: [Node(type, inputs: ["x"], outputs: [type])], outputs: [info(type, nil)])) }
        let condition = Node("If", inputs: ["flag"], outputs: ["h"], attributes: [Attribute("then_branch", branch("Neg")), Attribute("else_branch", branch("Exp"))])
        let weight = Tensor(name: "w", floats: [1, 2, 3, 4, 5, 6], dims: [3, 2])
        let forward = Model(
            graph: Graph(
                name: "g", nodes: [condition, Node("MatMul", inputs: ["h", "w"], outputs: ["y"])], inputs: [info("x", [2, 3]), info("flag", [], .bool)],
                outputs: [info("y", [2, 2])],
                initializers: [weight]), opset: 17)
        let made = try GradientGraph(
            forward: forward, shapes: ["h": [2, 3], "y": [2, 2]], integers: [:], trained: ["w"], loss: [LossTerm(.meanSquare, value: "y", target: "t")],
            targets: [info("t", [2, 2])],
            batch: 2, shard: 2)
        #expect(Set(made.model.graph.inputs.map(\.name)) == ["x", "flag", "t", "w"])
    }

    private func refusal(
        of type: String, rows: Int, with settings: KeyValuePairs<String, Setting> = [:], activations: [String]? = nil, lengths: Bool = false, peepholes: Bool = false
    ) throws -> String? {
        var s = Sketch(opset: 17)
        var inputs = [s.input(4, 2, 3), s.input(1, rows, 3), s.input(1, rows, 4)]
        if lengths || peepholes { inputs += ["", lengths ? s.integers([4, 3]) : ""] }
        if peepholes { inputs += ["", "", s.input(1, 12)] }
        let y = s.nodes(type, inputs, with: settings, outputs: 1)[0]
        if let activations { s.set("activations", .texts(activations), ofMaker: y) }
        return try barriers(s, shapes: [y: [4, 1, 2, 4]], loss: y).barriers.first?.reason
    }

    @Test func longSequencesAreNotUnrolled() throws {
        var s = Sketch(opset: 17)
        let y = s.nodes("RNN", [s.input(1001, 1, 2), s.input(1, 3, 2), s.input(1, 3, 3)], outputs: 1)[0]
        let reason = try barriers(s, shapes: [y: [1001, 1, 1, 3]], loss: y).barriers.first?.reason
        #expect(reason == "takes 1001 steps, too many to unroll for training (1000 at most)")
    }

    @Test func recurrentLayersRefuseWhatTheyDoNotCover() throws {
        #expect(try refusal(of: "LSTM", rows: 16) == nil)
        #expect(try refusal(of: "LSTM", rows: 16, activations: ["Sigmoid", "Tanh", "Tanh"]) == nil)
        #expect(try refusal(of: "LSTM", rows: 16, activations: ["HardSigmoid", "Tanh", "Tanh"]) == "has activations other than sigmoid, tanh, tanh")
        #expect(try refusal(of: "RNN", rows: 4, activations: ["Relu"]) == "has activations other than tanh")
        #expect(try refusal(of: "LSTM", rows: 16, peepholes: true) == "has peepholes")
        #expect(try refusal(of: "GRU", rows: 12, lengths: true) == "has sequences of their own lengths")
        #expect(try refusal(of: "LSTM", rows: 16, with: ["input_forget": 1]) == "couples input and forget gate")
        #expect(try refusal(of: "GRU", rows: 12, with: ["clip": 3.0]) == "clips its gates")
        #expect(try refusal(of: "GRU", rows: 12, with: ["layout": 1]) == "has the batch as its first axis")
    }
}
