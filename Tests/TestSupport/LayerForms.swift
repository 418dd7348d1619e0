/// Small models made with the onnx package, one for each form in which a layer may be written. The weight is `w`.
package enum LayerForms {
    /// Python: `args = [form, path]`.
    package static let script = """
        import onnx
        from onnx import helper, numpy_helper, TensorProto as T
        form, path = args
        rng = np.random.default_rng(1)
        opset, ir, kind = 17, 8, np.float32
        weights, nodes, outputs = {}, [], ['y']
        def weight(name, *shape): weights[name] = rng.standard_normal(shape).astype(kind)
        def node(op, inputs, output='y', **attributes): nodes.append(helper.make_node(op, inputs, [output], name=output + '_node', **attributes))
        x = [None, 20]
        if form == 'gemm': weight('w', 20, 24); weight('b', 24); node('Gemm', ['x', 'w', 'b'])
        elif form == 'gemm_transB': weight('w', 24, 20); weight('b', 24); node('Gemm', ['x', 'w', 'b'], transB=1)
        elif form == 'gemm_transA': x = [20, 5]; weight('w', 20, 24); weight('b', 24); node('Gemm', ['x', 'w', 'b'], transA=1)
        elif form == 'gemm_left': x = [20, 5]; weight('w', 24, 20); weight('b', 24, 1); node('Gemm', ['w', 'x', 'b'])
        elif form == 'gemm_left_transA': x = [5, 20]; weight('w', 20, 24); weight('b', 24, 1); node('Gemm', ['w', 'x', 'b'], transA=1, transB=1)
        elif form == 'gemm_scaled': weight('w', 20, 24); weight('b', 24); node('Gemm', ['x', 'w', 'b'], alpha=0.5, beta=2.0)
        elif form == 'gemm_opset9': opset, ir = 9, 4; weight('w', 20, 24); weight('b', 24); node('Gemm', ['x', 'w', 'b'])
        elif form == 'gemm_opset9_transB': opset, ir = 9, 4; weight('w', 24, 20); weight('b', 24); node('Gemm', ['x', 'w', 'b'], transB=1)
        elif form in ('matmul', 'constant_node'): weight('w', 20, 24); node('MatMul', ['x', 'w'])
        elif form == 'matmul_left': x = [20, 5]; weight('w', 24, 20); node('MatMul', ['w', 'x'])
        elif form == 'matmul_batched_input': x = [2, 7, 20]; weight('w', 20, 24); node('MatMul', ['x', 'w'])
        elif form in ('conv', 'ir3'):
            if form == 'ir3': opset, ir = 8, 3
            x = [None, 8, 9, 9]; weight('w', 16, 8, 3, 3); weight('b', 16); node('Conv', ['x', 'w', 'b'], pads=[1, 1, 1, 1])
        elif form == 'conv_strided': x = [1, 8, 11, 9]; weight('w', 16, 8, 3, 5); node('Conv', ['x', 'w'], strides=[2, 1], dilations=[1, 2], pads=[0, 1, 2, 3], kernel_shape=[3, 5])
        elif form == 'conv_1d': x = [1, 8, 30]; weight('w', 16, 8, 4); weight('b', 16); node('Conv', ['x', 'w', 'b'], strides=[3])
        elif form == 'conv_3d': x = [1, 4, 6, 6, 6]; weight('w', 16, 4, 3, 3, 3); node('Conv', ['x', 'w'])
        elif form == 'conv_same': x = [1, 8, 9, 9]; weight('w', 16, 8, 3, 3); node('Conv', ['x', 'w'], auto_pad='SAME_UPPER', strides=[2, 2])
        elif form == 'conv_same_lower': x = [1, 8, 10, 9]; weight('w', 16, 8, 3, 4); node('Conv', ['x', 'w'], auto_pad='SAME_LOWER', strides=[2, 1], dilations=[1, 1])
        elif form == 'conv_tall': x = [1, 8, 11, 9]; weight('w', 16, 8, 5, 1); weight('b', 16); node('Conv', ['x', 'w', 'b'], strides=[1, 2], pads=[2, 1, 2, 0])
        elif form == 'depthwise_wide': x = [1, 16, 9, 9]; weight('w', 32, 1, 5, 5); weight('b', 32); node('Conv', ['x', 'w', 'b'], group=16, pads=[2, 2, 2, 2], strides=[2, 1])
        elif form == 'tied_conv':
            x = [1, 12, 9, 9]; weight('w', 12, 12, 3, 3); node('Conv', ['x', 'w'], 'h', pads=[1, 1, 1, 1]); node('Relu', ['h'], 'r'); node('Conv', ['r', 'w'], strides=[2, 2])
        elif form == 'conv_float16': kind = np.float16; x = [1, 8, 9, 9]; weight('w', 16, 8, 3, 3); weight('b', 16); node('Conv', ['x', 'w', 'b'])
        elif form == 'subgraph_conv':
            x = [1, 8, 9, 9]
            def arm(name, scale):
                t = numpy_helper.from_array(rng.standard_normal((16, 8, 3, 3)).astype(np.float32) * scale, name + '_w')
                return helper.make_graph([helper.make_node('Conv', ['x', name + '_w'], [name], name=name + '_node')], name, [], [helper.make_tensor_value_info(name, T.FLOAT, None)], [t])
            nodes.append(helper.make_node('If', ['flag'], ['y'], name='choice', then_branch=arm('yes', 1), else_branch=arm('no', 2)))
        elif form == 'conv_1x1': x = [1, 24, 5, 5]; weight('w', 16, 24, 1, 1); weight('b', 16); node('Conv', ['x', 'w', 'b'])
        elif form == 'conv_transpose': x = [1, 16, 5, 5]; weight('w', 16, 8, 3, 3); weight('b', 8); node('ConvTranspose', ['x', 'w', 'b'])
        elif form == 'conv_transpose_strided': x = [1, 16, 5, 5]; weight('w', 16, 8, 3, 3); node('ConvTranspose', ['x', 'w'], strides=[2, 2], output_padding=[1, 1], pads=[1, 1, 1, 1])
        elif form in ('embedding', 'embedding_scalar'): x = [2, 6] if form == 'embedding' else []; weight('w', 50, 12); node('Gather', ['w', 'x'])
        elif form == 'tied':
            x = [None, 20]; weight('w', 20, 20); node('MatMul', ['x', 'w'], 'h'); node('Relu', ['h'], 'r'); node('MatMul', ['r', 'w'])
        elif form == 'subgraph':
            weight('w', 20, 24)
            inner = numpy_helper.from_array(rng.standard_normal((24, 18)).astype(np.float32), 'inner_w')
            def branch(name, scale):
                t = numpy_helper.from_array(rng.standard_normal((24, 18)).astype(np.float32) * scale, name + '_w')
                return helper.make_graph([helper.make_node('MatMul', ['h', name + '_w'], [name], name=name + '_node')], name, [], [helper.make_tensor_value_info(name, T.FLOAT, None)], [t])
            node('MatMul', ['x', 'w'], 'h')
            nodes.append(helper.make_node('If', ['flag'], ['y'], name='choice', then_branch=branch('yes', 1), else_branch=branch('no', 2)))
        elif form == 'float16': kind = np.float16; weight('w', 20, 24); weight('b', 24); node('Gemm', ['x', 'w', 'b'])
        elif form == 'grouped': x = [1, 16, 6, 6]; weight('w', 16, 4, 3, 3); node('Conv', ['x', 'w'], group=4)
        elif form == 'depthwise': x = [1, 16, 6, 6]; weight('w', 16, 1, 3, 3); node('Conv', ['x', 'w'], group=16)
        elif form == 'lstm':
            x = [7, 2, 10]; weight('w', 1, 64, 10); weight('r', 1, 64, 16); nodes.append(helper.make_node('LSTM', ['x', 'w', 'r'], ['y'], hidden_size=16, name='y_node'))
        elif form == 'gru':
            x = [7, 2, 10]; weight('w', 2, 48, 10); weight('r', 2, 48, 16); nodes.append(helper.make_node('GRU', ['x', 'w', 'r'], ['y'], hidden_size=16, direction='bidirectional', name='y_node'))
        elif form == 'rnn':
            x = [7, 2, 10]; weight('w', 1, 16, 10); weight('r', 1, 16, 16); nodes.append(helper.make_node('RNN', ['x', 'w', 'r'], ['y'], hidden_size=16, name='y_node'))
        elif form == 'batched_constant': x = [4, 3, 20]; weight('w', 4, 20, 24); node('MatMul', ['x', 'w'])
        elif form == 'too_small': weight('w', 20, 1); node('MatMul', ['x', 'w'])
        elif form == 'read_elsewhere': weight('w', 20, 24); node('MatMul', ['x', 'w']); node('ReduceSum', ['w'], 'z'); outputs.append('z')
        else: raise SystemExit('no form ' + form)
        kinds = {np.float32: T.FLOAT, np.float16: T.FLOAT16}
        shape = [d if d is not None else 'n' for d in x]
        inputs = [helper.make_tensor_value_info('x', T.INT64 if form.startswith('embedding') else kinds[kind], shape)]
        if form.startswith('subgraph'): inputs.append(helper.make_tensor_value_info('flag', T.BOOL, []))
        initializers = [numpy_helper.from_array(v, k) for k, v in weights.items()]
        if form == 'constant_node':
            nodes.insert(0, helper.make_node('Constant', [], ['w'], value=initializers.pop(), name='w_node'))
        if ir < 4: inputs += [helper.make_tensor_value_info(k, kinds[kind], v.shape) for k, v in weights.items()]
        graph = helper.make_graph(nodes, 'g', inputs, [helper.make_tensor_value_info(o, kinds[kind], None) for o in outputs], initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=ir)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        """
}
