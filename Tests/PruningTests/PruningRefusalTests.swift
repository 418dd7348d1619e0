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

/// Channels that must stay, and what users are told about it.
@Suite struct PruningRefusalTests {
    private func reason(_ layer: String, _ model: Model) -> String? {
        let layers = model.layers()
        let refusals = StructuredPruning().refusals(for: layers, in: model, shapes: [:])
        return layers.firstIndex { $0.id == layer }.flatMap { refusals[$0] }
    }

    @Test func outputsOfTheModelStay() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let relu = b.node("Relu", [b.conv("x", "a", (3, 8))], "relu")
        _ = b.conv(relu, "b", (8, 4))
        #expect(reason("a", b.model(relu, "b"))?.contains("model's output 'relu'") == true)
        #expect(reason("b", b.model(relu, "b"))?.contains("model's output 'b'") == true)
        #expect(reason("a", b.model("b")) == nil)
    }

    @Test func mixingOperatorsFreeze() throws {
        let operators: [(String, [(String, AttributeValue)])] = [
            ("Softmax", [("axis", .integer(1))]), ("ReduceMean", [("axes", .integers([1]))]), ("LRN", [("size", .integer(3))]),
            ("LpNormalization", [("axis", .integer(1))]), ("ArgMax", [("axis", .integer(1))]), ("CumulativeMystery", []),
        ]
        for (type, attributes) in operators {
            var b = GraphBuilder(input: [nil, 3, 8, 8])
            let mixed = b.node(type, [b.conv("x", "a", (3, 8))], "mixed", attributes)
            let model = b.model(b.conv(mixed, "out", (8, 2)))
            #expect(reason("a", model)?.contains("\(type) 'mixed'") == true, "\(type): \(reason("a", model) ?? "allowed")")
        }
    }

    @Test func couplingToTheInputFreezes() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 3))
        let model = b.model(b.conv(b.node("Add", ["x", a], "sum"), "out", (3, 2)))
        #expect(reason("a", model)?.contains("Add 'sum'") == true)
    }

    @Test func domainsThatAreNotKnownFreeze() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 8))
        b.graph.nodes.append(Node("Relu", name: "custom", domain: "my.domain", inputs: [a], outputs: ["y"]))
        #expect(reason("a", b.model(b.conv("y", "out", (8, 2))))?.contains("Relu 'custom'") == true)
    }

    @Test func numbersOfChannelsThatEnterComputations() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 8))
        let count = b.node("Cast", [b.node("Shape", [a], "shape", [("start", .integer(1)), ("end", .integer(2))])], "count", [("to", .integer(1))])
        let model = b.model(b.conv(b.node("Div", [a, count], "scaled"), "out", (8, 2)))
        #expect(reason("a", model)?.contains("Cast 'count' depends on the number of its outputs") == true, "\(reason("a", model) ?? "allowed")")
    }

    @Test func quantizedWeightsAreRefused() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        b.graph.initializers["q"] = Tensor(name: "q", int8s: [Int8](repeating: 3, count: 8 * 27), dims: [8, 3, 3, 3])
        b.graph.initializers["s"] = Tensor(name: "s", floats: [0.1], dims: [])
        let weight = b.node("DequantizeLinear", ["q", "s"], "w")
        let model = b.model(b.conv(b.node("Conv", ["x", weight], "a"), "out", (8, 2)))
        #expect(reason("a", model) == "its weights are quantized already")
        for technique in [MagnitudePruning(), NMPruning()] as [any Technique] {
            #expect(technique.refusal(for: model.layers()[0], in: model) != nil)
        }
    }

    /// A quantized layer beside float ones is cut along: its scales per channel as well.
    @Test func quantizedNeighborsAreFollowed() throws {
        var b = GraphBuilder(input: [nil, 3, 8, 8])
        let a = b.conv("x", "a", (3, 8))
        b.graph.initializers["q"] = Tensor(name: "q", int8s: (0..<(8 * 72)).map { Int8(truncatingIfNeeded: $0 * 37) }, dims: [8, 8, 3, 3])
        b.graph.initializers["s"] = Tensor(name: "s", floats: (1...8).map { Float($0) * 0.01 }, dims: [8])
        b.graph.initializers["z"] = Tensor(name: "z", int8s: [Int8](repeating: 0, count: 8), dims: [8])
        let weight = b.node("DequantizeLinear", ["q", "s", "z"], "w", [("axis", .integer(0))])
        let sum = b.node("Add", [a, b.node("Conv", [a, weight], "quantized", [("pads", .integers([1, 1, 1, 1]))])], "sum")
        let model = b.model(b.conv(sum, "out", (8, 2)))
        let applied = try Fixture.apply(Fixture.recipe("structured-pruning", ["ratio": .real(0.5)], layers: .names("a")), to: model)
        #expect(applied.model.graph.initializers["q"]?.dims == [4, 4, 3, 3])
        #expect(applied.model.graph.initializers["s"]?.dims == [4])
        #expect(try Fixture.run(applied.model, Fixture.inputs(for: model)).map(\.shape) == [[3, 2, 8, 8]])
        #expect(applied.reports[0].notes.contains { $0.contains("quantized cut too: coupled with a") })
    }

    @Test func layersWithoutBlocksAreRefusedForPatterns() throws {
        let model = try Fixture.sample("ds-cnn")
        let layers = model.layers()
        for layer in layers {
            let refusal = NMPruning().refusal(for: layer, in: model)
            #expect((refusal != nil) == (layer.isDepthwise || layer.id == "/stem/Conv"), "\(layer.id): \(refusal ?? "allowed")")
        }
    }

    @Test func attentionOfTheSampleGivesReasons() throws {
        let model = try Fixture.sample("transformer")
        #expect(reason("/layers/layers.0/attention/output/MatMul", model)?.contains("LayerNormalization") == true)
        #expect(reason("/classifier/Gemm", model)?.contains("'logits'") == true)
        #expect(reason("/layers/layers.0/ffn1/MatMul", model) == nil)
    }
}
