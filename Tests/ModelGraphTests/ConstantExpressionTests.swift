import Testing

@testable import ModelGraph

/// Weights that arithmetic makes of initializers stand in their layers, and the model computes what it computed before.
@Suite struct ConstantExpressionTests {
    private static func mlp(_ front: String, _ weights: String) -> String {
        "save([\(front), h.make_node('MatMul', ['x', 'w'], ['y'])], {\(weights)}, [info('y', T.FLOAT, None)])"
    }

    /// torch.nn.utils.weight_norm, weight standardization, a mask, a merged adapter, equalized learning rates, spectral normalization,
    /// parts side by side or on top of each other, rows chosen, a double.
    private static let expressions = [
        mlp("h.make_node('ReduceL2', ['v'], ['n'], axes=[0]), h.make_node('Div', ['v', 'n'], ['u']), h.make_node('Mul', ['u', 'g'], ['w'])", "'v': f(6, 5), 'g': f(1, 5)"),
        mlp(
            "h.make_node('Abs', ['v'], ['a']), h.make_node('Pow', ['a', 'two'], ['p']), h.make_node('ReduceSum', ['p', 'first'], ['s']), h.make_node('Pow', ['s', 'half'], ['n']), h.make_node('Div', ['g', 'n'], ['c']), h.make_node('Mul', ['v', 'c'], ['w'])",
            "'v': f(6, 5), 'g': f(1, 5), 'two': np.float32(2), 'half': np.float32(0.5), 'first': np.array([0])"),
        mlp(
            "h.make_node('ReduceMean', ['v'], ['m'], axes=[0]), h.make_node('Sub', ['v', 'm'], ['d']), h.make_node('ReduceSumSquare', ['d'], ['q'], axes=[0]), h.make_node('Add', ['q', 'e'], ['r']), h.make_node('Sqrt', ['r'], ['s']), h.make_node('Div', ['d', 's'], ['w'])",
            "'v': f(6, 5), 'e': np.float32(1e-5)"),
        mlp("h.make_node('Mul', ['v', 'mask'], ['w'])", "'v': f(6, 5), 'mask': (f(6, 5) > 0).astype(np.float32)"),
        mlp(
            "h.make_node('MatMul', ['a', 'b'], ['ab']), h.make_node('Mul', ['ab', 's'], ['abs']), h.make_node('Add', ['v', 'abs'], ['w'])",
            "'v': f(6, 5), 'a': f(6, 2), 'b': f(2, 5), 's': np.float32(0.25)"),
        mlp("h.make_node('Mul', ['v', 's'], ['w'])", "'v': f(6, 5), 's': np.float32(0.7)"),
        mlp("h.make_node('MatMul', ['v', 'u'], ['vu']), h.make_node('ReduceL2', ['vu'], ['n'], keepdims=0), h.make_node('Div', ['v', 'n'], ['w'])", "'v': f(6, 5), 'u': f(5)"),
        mlp("h.make_node('Concat', ['a', 'b'], ['w'], axis=-1)", "'a': f(6, 2), 'b': f(6, 3)"),
        mlp("h.make_node('Gather', ['v', 'i'], ['w'])", "'v': f(7, 5), 'i': np.array([3, 1, -1, 0, 5, 2])"),
        mlp("h.make_node('Cast', ['v'], ['w'], to=1)", "'v': f(6, 5).astype(np.float64)"),
    ]

    @Test(arguments: expressions.indices) func weightsOfArithmetic(_ number: Int) throws {
        let (model, difference) = try NormalFormTests.difference(Self.expressions[number]) { _ in }
        // Sums may be taken in another order.
        #expect(difference < 1e-5)
        #expect(model.graph.nodes.count == 1 && model.graph.initializers.count == 1, "\(model.graph.nodes.map(\.opType))")
        #expect(model.layers().count == 1)
    }

    /// Projections that share one tensor, cut apart by Split or taken by number.
    @Test(arguments: [
        "save([h.make_node('Split', ['qkv', 'sizes'], ['q', 'k', 'v'], axis=1), *[h.make_node('MatMul', ['x', n], ['to_' + n]) for n in 'qkv'], h.make_node('Mul', ['to_q', 'to_k'], ['m']), h.make_node('Add', ['m', 'to_v'], ['y'])], {'qkv': f(6, 15), 'sizes': np.array([5, 5, 5])}, [info('y', T.FLOAT, None)])",
        "save([*[h.make_node('Gather', ['all', n], ['w' + n]) for n in 'abc'], h.make_node('MatMul', ['x', 'wa'], ['p']), h.make_node('MatMul', ['p', 'wb'], ['q']), h.make_node('MatMul', ['q', 'wc'], ['y'])], {'all': f(3, 6, 6), 'a': np.array(0), 'b': np.array(1), 'c': np.array(2)}, [info('y', T.FLOAT, None)])",
    ])
    func weightsCutApart(_ maker: String) throws {
        let (model, difference) = try NormalFormTests.difference(maker) { _ in }
        #expect(difference == 0)
        let layers = model.layers()
        #expect(layers.count { $0.isFloat } == 3 && model.graph.initializers.count == 3)
    }

    /// What is stored in fewer numbers than it has, or read otherwise too, stays as the file has it.
    @Test(arguments: [
        mlp("h.make_node('Expand', ['v', 's'], ['w'])", "'v': f(6, 1), 's': np.array([6, 5])"),
        mlp("h.make_node('MatMul', ['a', 'b'], ['w'])", "'a': f(6, 1), 'b': f(1, 5)"),
        mlp("h.make_node('Concat', ['v', 'v'], ['w'], axis=1)", "'v': f(6, 5)"),
        "save([h.make_node('Mul', ['v', 's'], ['w']), h.make_node('MatMul', ['x', 'w'], ['m']), h.make_node('Relu', ['v'], ['r']), h.make_node('ReduceSum', ['r'], ['p'], keepdims=0), h.make_node('Add', ['m', 'p'], ['y'])], {'v': f(6, 5), 's': np.float32(0.7)}, [info('y', T.FLOAT, None)])",
        "save([h.make_node('Neg', ['v'], ['w']), h.make_node('MatMul', ['x', 'w'], ['y'])], {'v': f(6, 5)}, [info('y', T.FLOAT, None), info('w', T.FLOAT, None)])",
    ])
    func otherExpressionsStay(_ maker: String) throws {
        let (model, difference) = try NormalFormTests.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.graph.nodes.count > 1)
    }

    /// Half-precision weights in another layout stay in half precision.
    @Test(arguments: [
        "h.make_node('Transpose', ['v'], ['t'], perm=[1, 0]), h.make_node('Cast', ['t'], ['w'], to=1)",
        "h.make_node('Cast', ['v'], ['c'], to=1), h.make_node('Transpose', ['c'], ['w'], perm=[1, 0])",
    ])
    func halvesStayHalves(_ front: String) throws {
        let (model, difference) = try NormalFormTests.difference(Self.mlp(front, "'v': f(5, 6).astype(np.float16)")) { _ in }
        #expect(difference == 0)
        #expect(model.graph.nodes.map(\.opType) == ["Cast", "MatMul"])
        #expect(model.graph.initializers.values.map(\.elementType) == [.float16] && model.graph.initializers.values.first?.dims == [6, 5])
        #expect(model.layers().count == 1)
    }

    /// Integers behind a layout stay integers, with their scales along the axis they then lie on.
    @Test(arguments: ["'s': np.float32(0.01), 'z': np.int8(3)", "'s': np.linspace(0.01, 0.02, 5).astype(np.float32), 'z': np.arange(5).astype(np.int8)"])
    func integersStayIntegers(_ scales: String) throws {
        let front = "h.make_node('DequantizeLinear', ['v', 's', 'z'], ['d'], axis=0), h.make_node('Transpose', ['d'], ['w'], perm=[1, 0])"
        let (model, difference) = try NormalFormTests.difference(Self.mlp(front, "'v': (100 * f(5, 6)).astype(np.int8), \(scales)")) { _ in }
        #expect(difference < 1e-6)
        #expect(model.graph.nodes.map(\.opType) == ["DequantizeLinear", "MatMul"])
        let layer = try #require(model.layers().first)
        #expect(layer.weightShape == [6, 5] && layer.quantization?.bits == 8)
    }

    /// Einsum with a constant matrix, as Keras writes dense layers and projections of attention.
    @Test(arguments: [
        ("ab,bc->ac", "f(6, 5)", 1), ("ab,cb->ac", "f(5, 6)", 1), ("ab,bcd->acd", "f(6, 2, 5)", 2), ("ab,bcd->cad", "f(6, 2, 5)", 3), ("ab,cbd -> adc", "f(2, 6, 5)", 2),
        ("bc,ab->ac", "f(6, 5)", 1), ("...b,bc->...c", "f(6, 5)", 1),
    ])
    func einsums(_ equation: String, _ weight: String, _ nodes: Int) throws {
        let operands = equation.hasPrefix("bc,") ? "'w', 'x'" : "'x', 'w'"
        let (model, difference) = try NormalFormTests.difference(
            "save([h.make_node('Einsum', [\(operands)], ['y'], name='dense', equation='\(equation)')], {'w': \(weight)}, [info('y', T.FLOAT, None)])"
        ) { _ in }
        #expect(difference < 1e-5)
        #expect(model.graph.nodes.count == nodes && model.layers().map(\.id) == ["dense"])
    }

    @Test(arguments: [("abc,bcd->ad", "f(2, 3, 4)"), ("abc,cdb->ad", "f(3, 4, 2)"), ("abc,bd->acd", "f(2, 4)"), ("abc,cde->abde", "f(3, 2, 4)"), ("abc,cd->adb", "f(3, 4)")])
    func einsumsOfMoreAxes(_ equation: String, _ weight: String) throws {
        let (model, difference) = try NormalFormTests.difference(
            "save([h.make_node('Reshape', ['x', 's'], ['r']), h.make_node('Einsum', ['r', 'w'], ['y'], name='dense', equation='\(equation)')], {'w': \(weight), 's': np.array([-1, 2, 3])}, [info('y', T.FLOAT, None)])"
        ) { _ in }
        #expect(difference < 1e-5)
        #expect(model.layers().map(\.id) == ["dense"])
    }

    /// Anything else that Einsum can say stays: sums of one operand alone, diagonals, products with common axes, no sum at all.
    @Test(arguments: [("ab,bc->c", "f(6, 5)"), ("ab,bc->ab", "f(6, 5)"), ("ab,ab->ab", "f(1, 6)"), ("ab,c->abc", "f(5)"), ("ab,bcc->ac", "f(6, 4, 4)"), ("ab,b->a", "f(6)")])
    func otherEinsumsStay(_ equation: String, _ weight: String) throws {
        let (model, difference) = try NormalFormTests.difference(
            "save([h.make_node('Einsum', ['x', 'w'], ['y'], equation='\(equation)')], {'w': \(weight)}, [info('y', T.FLOAT, None)])"
        ) { _ in }
        #expect(difference == 0)
        #expect(model.graph.nodes.map(\.opType) == ["Einsum"])
    }

    /// Before IR version 4 every initializer is an input: a folded constant goes back to a Constant node.
    @Test func oldVersionsKeepConstantNodes() throws {
        let maker = """
            save([h.make_node('Constant', [], ['c'], value=nh.from_array(f(5, 6))), h.make_node('Transpose', ['c'], ['t']), h.make_node('Neg', ['t'], ['w']), h.make_node('MatMul', ['x', 'w'], ['y'])], {}, [info('y', T.FLOAT, ['n', 5])])
            m = onnx.load(sys.argv[1]); m.ir_version = 3; m.opset_import[0].version = 8; onnx.save(m, sys.argv[1])
            """
        let (model, difference) = try NormalFormTests.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.layers().count == 1 && model.graph.nodes.count == 1)
    }

    /// The inputs that IR version 3 asks for are no reason to leave a weight behind its Reshape, as CNTK writes them; those of later versions are,
    /// since callers may replace such a weight.
    @Test(arguments: [(3, 1), (8, 0)]) func listedWeightsAreConstantsBeforeVersionFour(version: Int, layers: Int) throws {
        let maker = """
            save([h.make_node('Reshape', ['w', 's'], ['r']), h.make_node('MatMul', ['x', 'r'], ['m']), h.make_node('Add', ['m', 'b'], ['y'])],
                {'w': f(2, 3, 5), 's': np.array([6, 5]), 'b': f(5)}, [info('y', T.FLOAT, ['n', 5])])
            m = onnx.load(sys.argv[1]); m.ir_version = \(version); m.opset_import[0].version = 8
            for t in m.graph.initializer: m.graph.input.append(info(t.name, t.data_type, list(t.dims)))
            onnx.save(m, sys.argv[1])
            """
        let (model, difference) = try NormalFormTests.difference(maker) { _ in }
        #expect(difference == 0)
        #expect(model.layers().count == layers)
        #expect(model.graph.inputs.map(\.name) == (version == 3 ? ["x", "b"] : ["x", "w", "s", "b"]))
    }
}
