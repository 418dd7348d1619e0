import Foundation
import ModelGraph
import OnnxRuntime
import Testing

@testable import Differentiation

/// Folding changes how samples lie, not what is computed: outputs are those of the graph as it was.
@Suite struct BatchFoldingTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var title: String
        var sketch: Sketch
        /// Operators that must (not) be left in the folded graph.
        var gone: [String] = []
        var there: [String] = []
        var testDescription: String { title }

        init(_ title: String, gone: [String] = [], there: [String] = [], opset: Int = 17, _ make: (inout Sketch) -> String) {
            self.title = title
            (self.gone, self.there) = (gone, there)
            var sketch = Sketch(opset: opset)
            let output = make(&sketch)
            sketch.finish([output])
            self.sketch = sketch
        }
    }

    private static func conv(_ s: inout Sketch, _ x: String, _ w: [Int], with settings: KeyValuePairs<String, Setting> = ["pads": [1, 1, 1, 1]]) -> String {
        s.nodes("Conv", [x, s.input(shape: w), s.input(w[0])], with: settings, outputs: 1)[0]
    }

    static let examples: [Example] = [
        Example("convolution, stride 1") { s in conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3]) },
        Example("uneven pads and dilations") { s in conv(&s, s.input(9, 3, 6, 7), [4, 3, 3, 2], with: ["pads": [0, 2, 1, 1], "dilations": [1, 2]]) },
        Example("padded by the runtime") { s in conv(&s, s.input(8, 2, 6, 7), [4, 2, 3, 3], with: ["auto_pad": "SAME_UPPER", "strides": [2, 2]]) },
        Example("strides") { s in conv(&s, s.input(8, 3, 7, 8), [4, 3, 3, 3], with: ["pads": [1, 1, 1, 1], "strides": [2, 2]]) },
        Example("strides of one axis, groups") { s in conv(&s, s.input(8, 4, 7, 8), [6, 2, 3, 3], with: ["strides": [1, 2], "group": 2]) },
        Example("depthwise") { s in conv(&s, s.input(8, 4, 7, 8), [4, 1, 3, 3], with: ["pads": [1, 1, 1, 1], "group": 4]) },
        Example("a residual block", gone: []) { s in
            let x = conv(&s, s.input(8, 3, 5, 5), [4, 3, 3, 3])
            let y = conv(&s, s.node("Relu", x), [4, 4, 3, 3])
            return s.node("Relu", s.node("Add", x, y))
        },
        Example("tiled pooling", there: ["MaxPool.folded", "AveragePool.folded"]) { s in
            let x = s.node("MaxPool", conv(&s, s.input(8, 3, 9, 8), [4, 3, 3, 3]), with: ["kernel_shape": [2, 2], "strides": [2, 2]])
            return s.node("AveragePool", x, with: ["kernel_shape": [2, 2], "strides": [2, 2]])
        },
        Example("overlapping pooling stays", there: ["MaxPool"]) { s in
            let x = s.node("MaxPool", conv(&s, s.input(8, 3, 8, 8), [4, 3, 3, 3]), with: ["kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]])
            return conv(&s, x, [2, 4, 3, 3])
        },
        Example("the mean of planes, then a product with whole planes", gone: ["GlobalAveragePool"]) { s in
            let x = conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3])
            let gate = s.node("Sigmoid", conv(&s, s.node("GlobalAveragePool", x), [4, 4, 1, 1], with: [:]))
            return s.node("Mul", x, gate)
        },
        Example("means by axes", gone: [], opset: 18) { s in
            s.node("ReduceMean", conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3]), s.integers([2, 3]), with: ["keepdims": 1])
        },
        Example("constants of channels, of rows, of columns") { s in
            let x = conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3])
            let channels = s.node("Mul", x, s.input(4, 1, 1))
            return s.node("Add", s.node("Sub", channels, s.input(5, 1)), s.input(1, 1, 1, 6))
        },
        Example("two lengths put together") { s in
            let x = conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3])
            let (a, c) = (s.node("Relu", x), conv(&s, x, [2, 4, 1, 1], with: [:]))
            return s.nodes("Concat", [a, c], with: ["axis": 1], outputs: 1)[0]
        },
        Example("normalized by running statistics") { s in
            let x = conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3])
            return s.node("BatchNormalization", x, s.input(4), s.input(4), s.floats([0.1, 0.2, -0.3, 0]), s.floats([1, 2, 0.5, 0.7]))
        },
        Example("read as it was by an operator of places", there: ["Softmax"]) { s in
            let x = conv(&s, s.input(8, 3, 5, 6), [4, 3, 3, 3])
            return s.node("Softmax", s.node("Relu", x), with: ["axis": 3])
        },
        Example("flattened") { s in
            let x = s.node("Relu", conv(&s, s.input(8, 3, 4, 4), [4, 3, 3, 3]))
            return s.node("Gemm", s.node("Flatten", x), s.input(64, 3))
        },
    ]

    @Test(arguments: examples)
    func computesTheSame(_ example: Example) throws {
        let library = try GradientCheck.runtime.get()
        var model = example.sketch.model
        // The runtime wants names of nodes to differ, or none.
        for index in model.graph.nodes.indices { model.graph.nodes[index].name = "" }
        var open = model
        open.graph.outputs = model.graph.nodes.flatMap(\.outputs).map { ValueInfo(name: $0, elementType: nil, shape: nil) }
        let feeds = try GradientCheck.feeds(open, example.sketch.values, library)
        let plain = try GradientCheck.session(open, library, optimized: false).run(inputs: feeds)
        var shapes: [String: [Int]] = [:]
        for (output, value) in zip(open.graph.outputs, plain) { shapes[output.name] = value.shape }
        let wanted = try #require(model.graph.outputs.first?.name)

        let folded = BatchFolding.fold(model.graph, opset: model.opset, shapes: shapes, keep: [wanted])
        #expect(folded.graph.nodes.count { $0.isStandard("Transpose") } >= 2)
        let types = Set(folded.graph.nodes.map(\.opType))
        #expect(types.isDisjoint(with: example.gone))
        #expect(types.isSuperset(of: example.there))
        var made = model
        made.graph = folded.graph
        var builder = GradientBuilder(made, shapes: folded.shapes)
        try Macro.lower(&builder)
        made.graph = Graph(
            name: "folded", nodes: builder.nodes, inputs: folded.graph.inputs, outputs: [ValueInfo(name: wanted, elementType: nil, shape: nil)],
            initializers: Array(builder.constants.values))
        let again = try GradientCheck.session(made, library).run(inputs: feeds)
        let (before, after) = (try #require(plain.last).floats(), try again[0].floats())
        #expect(again[0].shape == plain.last?.shape)
        let size = before.map(abs).max() ?? 1
        for (a, b) in zip(before, after) { #expect(abs(a - b) <= 1e-5 * max(size, 1)) }
    }

    /// A batch of a few samples, and a graph that convolves nothing, stay as they are.
    @Test func leavesAloneWhatWinsNothing() {
        var few = Sketch(opset: 17)
        let y = Self.conv(&few, few.input(4, 3, 5, 6), [4, 3, 3, 3])
        let folded = BatchFolding.fold(few.model.graph, opset: 17, shapes: [y: [4, 4, 5, 6]], keep: [y])
        #expect(folded.graph.nodes.map(\.opType) == ["Conv"])
    }
}
