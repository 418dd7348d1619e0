import Testing

@testable import ModelGraph

/// Functions of the file are replaced by what they do, as ONNX Runtime does it.
@Suite struct FunctionInliningTests {
    /// A model of nodes, weights and functions.
    private static func maker(_ functions: String, _ nodes: String, _ weights: String, opset: Int = 17) -> String {
        """
        import onnx
        o = [h.make_opsetid('', 17), h.make_opsetid('local', 1)]
        \(functions)
        g = h.make_graph([\(nodes)], 'g', [info('x', T.FLOAT, ['n', 6])], [info('y', T.FLOAT, None)], [nh.from_array(np.asarray(v), k) for k, v in {\(weights)}.items()])
        m = h.make_model(g, opset_imports=[h.make_opsetid('', \(opset)), h.make_opsetid('local', 1)], functions=made); m.ir_version = 9
        onnx.save(m, sys.argv[1])
        """
    }

    @Test func layersInsideAreLayers() throws {
        let (model, difference) = try NormalFormTests.difference(
            Self.maker(
                """
                dense = h.make_function('local', 'Dense', ['a', 'w', 'b'], ['y'], [h.make_node('Gemm', ['a', 'w', 'b'], ['g'], name='gemm'), h.make_node('Relu', ['g'], ['y'])], o)
                block = h.make_function('local', 'Block', ['a', 'w'], ['out', 'unused'], [h.make_node('Dense', ['a', 'w'], ['d'], domain='local', name='inner'), h.make_node('Add', ['a', 'd'], ['out']), h.make_node('Neg', ['d'], ['unused'])], o)
                lonely = h.make_function('local', 'Lonely', ['a'], ['y'], [h.make_node('Relu', ['a'], ['y'])], o)
                made = [dense, block, lonely]
                """,
                "h.make_node('Block', ['x', 'w1'], ['p', ''], domain='local', name='one'), h.make_node('Block', ['p', 'w2'], ['q', 'r'], domain='local'), h.make_node('Dense', ['r', 'w3', 'b'], ['y'], domain='local', name='last')",
                "'w1': f(6, 6), 'w2': f(6, 6), 'w3': f(6, 4), 'b': f(4)")
        ) { _ in }
        #expect(difference == 0)
        #expect(model.layers().map(\.id) == ["one/inner/gemm", "q/inner/gemm", "last/gemm"])
        #expect(model.layers().last?.bias == "b")
        // One that nobody calls stays.
        #expect(model.functions.map(\.name) == ["Lonely"])
    }

    /// Attributes given, left to their defaults and left out; a branch that reads what the function does.
    @Test func attributesAndBranches() throws {
        let (model, difference) = try NormalFormTests.difference(
            Self.maker(
                """
                act = h.make_function('local', 'Act', ['a', 'w'], ['y', 'same'], [h.make_node('MatMul', ['a', 'w'], ['m']), h.make_node('LeakyRelu', ['m'], ['l']), h.make_node('Elu', ['l'], ['y'])], o, ['slope'], [h.make_attribute('scale', 0.75)])
                for node, inner, outer in ((act.node[1], 'alpha', 'slope'), (act.node[2], 'alpha', 'scale')):
                    r = node.attribute.add(); r.name, r.ref_attr_name, r.type = inner, outer, 1
                act.node.append(h.make_node('Identity', ['w'], ['same']))
                branch = lambda name, factor: h.make_graph([h.make_node('Constant', [], ['k'], value_float=factor), h.make_node('Mul', ['m', 'k'], ['o'])], name, [], [info('o', T.FLOAT, None)])
                gate = h.make_function('local', 'Gate', ['a', 'w'], ['y'], [h.make_node('MatMul', ['a', 'w'], ['m']), h.make_node('ReduceSum', ['m'], ['s'], keepdims=0), h.make_node('Greater', ['s', 'zero'], ['c']), h.make_node('If', ['c'], ['y'], then_branch=branch('t', 2.0), else_branch=branch('e', -3.0))], o)
                gate.node.insert(0, h.make_node('Constant', [], ['zero'], value_float=0.0))
                made = [act, gate]
                """,
                "h.make_node('Act', ['x', 'w1'], ['p', 'w1same'], domain='local', slope=0.3), h.make_node('Act', ['p', 'w2'], ['q', 'w2same'], domain='local', scale=0.2), h.make_node('Gate', ['q', 'w2same'], ['r'], domain='local'), h.make_node('Gate', ['r', 'w2'], ['y'], domain='local')",
                "'w1': f(6, 6), 'w2': f(6, 6)")
        ) { _ in }
        #expect(difference == 0)
        #expect(model.functions.isEmpty && model.layers().count == 4)
    }

    /// Weights inside a function that is called twice are stored once.
    @Test func constantsOfFunctionsAreShared() throws {
        let (model, difference) = try NormalFormTests.difference(
            Self.maker(
                "made = [h.make_function('local', 'Step', ['a'], ['y'], [h.make_node('Constant', [], ['w'], value=nh.from_array(f(6, 6))), h.make_node('MatMul', ['a', 'w'], ['m']), h.make_node('Tanh', ['m'], ['y'])], o)]",
                "h.make_node('Step', ['x'], ['p'], domain='local'), h.make_node('Step', ['p'], ['y'], domain='local')", "")
        ) { _ in }
        #expect(difference == 0)
        #expect(Set(model.layers().map(\.weight)).count == 1 && model.layers().count == 2)
        #expect(model.graph.initializers.count == 1)
    }

    /// Functions written for another operator set stay, and so do those that would unfold without end.
    @Test func othersStay() throws {
        let (other, difference) = try NormalFormTests.difference(
            Self.maker(
                "made = [h.make_function('local', 'Old', ['a', 'w'], ['y'], [h.make_node('MatMul', ['a', 'w'], ['y'])], [h.make_opsetid('', 13)])]",
                "h.make_node('Old', ['x', 'w'], ['y'], domain='local')", "'w': f(6, 4)")
        ) { _ in }
        #expect(difference == 0)
        #expect(other.functions.count == 1 && other.layers().isEmpty)

        var calls: [Function] = []
        for level in 0..<40 {
            var function = Function(
                nodes: (0..<2).map { Node(level == 0 ? "Neg" : "F\(level - 1)", domain: level == 0 ? "" : "local", inputs: [$0 == 0 ? "a" : "b"], outputs: [$0 == 0 ? "b" : "c"]) })
            function.preserved.name = "F\(level)"
            function.preserved.domain = "local"
            function.preserved.input = ["a"]
            function.preserved.output = ["c"]
            calls.append(function)
        }
        var model = Model(
            graph: Graph(
                name: "g", nodes: [Node("F39", domain: "local", inputs: ["x"], outputs: ["y"])], inputs: [ValueInfo(name: "x", elementType: .float32, shape: nil)],
                outputs: [ValueInfo(name: "y", elementType: .float32, shape: nil)]))
        model.functions = calls
        model.inlineFunctions()
        #expect(model.graph.nodes.count == 1 && model.functions.count == 40)
    }
}
