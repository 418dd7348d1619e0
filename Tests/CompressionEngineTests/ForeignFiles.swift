/// Python that writes files as other tools make them: `args = [form, path]`; prints what is true of the file, counted by NumPy.
enum ForeignFiles {
    static let script = """
        import onnx
        from onnx import helper, numpy_helper, TensorProto as T
        form, path = args
        rng = np.random.default_rng(0)
        def f(*shape): return rng.standard_normal(shape).astype(np.float32)
        def save(nodes, weights, x, y, opset=17, domains=(), inputs=T.FLOAT):
            graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info(x[0], inputs, x[1])], [helper.make_tensor_value_info('y', T.FLOAT, y)],
                [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()])
            sets = [helper.make_opsetid('', opset)] + [helper.make_opsetid(d, 1) for d in domains]
            onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=11 if opset > 20 else 8), path)
        N = helper.make_node
        s, z = np.float32(0.05), np.uint8(128)
        if form in ('attention', 'multihead'):
            nodes = [N('MatMul', ['x', k + 'w'], [k], name=k) for k in 'qkv']
            kind = dict(q_num_heads=4, kv_num_heads=4) if form == 'attention' else dict(num_heads=4, domain='com.microsoft')
            nodes += [N('Attention' if form == 'attention' else 'MultiHeadAttention', ['q', 'k', 'v'], ['a'], **kind), N('MatMul', ['a', 'ow'], ['y'], name='o')]
            save(nodes, {k + 'w': f(64, 64) for k in 'qkvo'}, ('x', [1, 10, 64]), [1, 10, 64], 23 if form == 'attention' else 17, ['com.microsoft'])
            # Four projections, and twice 10 queries times 10 keys of 64 numbers.
            print(4 * 10 * 64 * 64 + 2 * 10 * 10 * 64)
        elif form in ('lstm', 'gru'):
            gates = 4 if form == 'lstm' else 3
            states = ['state'] * (2 if form == 'lstm' else 1)
            nodes = [N('Expand', ['zero', 'shape'], ['zeros']), N('Slice', ['zeros', 'start', 'end', 'axis'], ['state']), N('Transpose', ['x'], ['t'], perm=[1, 0, 2]),
                N(form.upper(), ['t', 'w', 'r', 'b', ''] + states, ['o', 'h'] + ['c'] * (gates - 3), hidden_size=8, name='recurrent'),
                N('Squeeze', ['h', 'axis'], ['flat']), N('Gemm', ['flat', 'v'], ['y'], name='fc')]
            one = lambda value: np.array([value])
            save(nodes, {'zero': np.float32(0), 'shape': np.array([2, 2, 8]), 'start': one(0), 'end': one(1), 'axis': one(0), 'w': f(1, gates * 8, 12), 'r': f(1, gates * 8, 8),
                'b': f(1, gates * 16), 'v': f(8, 5)}, ('x', [2, 7, 12]), [2, 5], 18)
        elif form == 'qlinearconv':
            w = rng.integers(0, 256, (8, 3, 3, 3)).astype(np.uint8); w[rng.random(w.shape) < 0.3] = 128
            save([N('QuantizeLinear', ['x', 's', 'z'], ['q']), N('QLinearConv', ['q', 's', 'z', 'w', 's', 'z', 's', 'z', 'b'], ['c'], name='conv'), N('DequantizeLinear', ['c', 's', 'z'], ['y'])],
                {'w': w, 's': s, 'z': z, 'b': rng.integers(1, 9, 8).astype(np.int32)}, ('x', [1, 3, 8, 8]), [1, 8, 6, 6])
            print(w.size + 8, (w != 128).sum() + 8)
        elif form in ('qgemm', 'qlinearmatmul'):
            w = rng.integers(0, 256, (12, 8)).astype(np.uint8)
            zeros = rng.integers(100, 150, 8).astype(np.uint8) if form == 'qlinearmatmul' else np.uint8(128)
            w[rng.random(w.shape) < 0.3] = 0; w = np.where(w == 0, zeros, w).astype(np.uint8)
            kind = dict(domain='com.microsoft') if form == 'qgemm' else {}
            scales = np.full(8, s) if form == 'qlinearmatmul' else s
            inputs = ['q', 's', 'z', 'w', 'ws', 'wz'] + (['b', 's', 'z'] if form == 'qgemm' else ['s', 'z'])
            save([N('QuantizeLinear', ['x', 's', 'z'], ['q']), N('QGemm' if kind else 'QLinearMatMul', inputs, ['c'], name='product', **kind), N('DequantizeLinear', ['c', 's', 'z'], ['y'])],
                {'w': w, 's': s, 'z': z, 'ws': scales, 'wz': zeros, 'b': rng.integers(1, 9, 8).astype(np.int32)} if kind else {'w': w, 's': s, 'z': z, 'ws': scales, 'wz': zeros},
                ('x', [3, 12]), [3, 8], domains=['com.microsoft'])
            print(w.size + (8 if kind else 0), (w != zeros).sum() + (8 if kind else 0))
        elif form == 'matmulnbits':
            codes = rng.integers(0, 16, (16, 64)).astype(np.uint8)
            save([N('MatMulNBits', ['x', 'w', 'scales'], ['y'], name='product', domain='com.microsoft', K=64, N=16, bits=4, block_size=32)],
                {'w': (codes[:, 0::2] | codes[:, 1::2] << 4).reshape(16, 2, 16), 'scales': (rng.random(32) + 0.1).astype(np.float32)}, ('x', [1, 64]), [1, 16], domains=['com.microsoft'])
            values = codes.astype(np.float64) - 8
            print(values.std(), np.abs(values).max(), values.mean())
        elif form == 'quark':
            w = f(12, 8)
            save([N('ExtendedQuantizeLinear', ['w', 's', 'zero'], ['q'], domain='com.amd.quark'), N('ExtendedDequantizeLinear', ['q', 's', 'zero'], ['d'], domain='com.amd.quark'),
                N('MatMul', ['x', 'd'], ['h'], name='product'), N('BFPQuantizeDequantize', ['v'], ['vd'], domain='com.amd.quark', bit_width=16), N('MatMul', ['h', 'vd'], ['y'], name='second')],
                {'w': w, 's': s, 'zero': np.int8(0), 'v': f(8, 4)}, ('x', [1, 12]), [1, 4], domains=['com.amd.quark'])
        elif form in ('tied', 'transposed'):
            table = f(200, 16)
            last = N('MatMul', ['h', 'head'], ['y'], name='head') if form == 'transposed' else N('Gemm', ['h', 'head'], ['y'], name='head', transB=1)
            save([N('Gather', ['table', 'x'], ['h'], name='embed'), last], {'table': table, 'head': np.ascontiguousarray(table.T) if form == 'transposed' else table},
                ('x', [5]), [5, 200], inputs=T.INT64)
        elif form == 'stacked':
            save([N('MatMul', ['x', 'w'], ['y'], name='product')], {'w': f(4, 16, 24)}, ('x', [4, 3, 16]), [4, 3, 24])
        elif form == 'bitshift':
            # As this program unpacked 4-bit codes until November 2026.
            codes = rng.integers(0, 16, 12 * 8).astype(np.uint8)
            shift = lambda a, by, to, way: N('BitShift', [a, by], [to], direction=way)
            save([shift('p', 'four', 'a', 'LEFT'), shift('a', 'four', 'low', 'RIGHT'), shift('p', 'four', 'high', 'RIGHT'), N('Concat', ['low', 'high'], ['c'], axis=0), N('Cast', ['c'], ['f'], to=1),
                N('Reshape', ['f', 'shape'], ['m']), N('Sub', ['m', 'eight'], ['u']), N('Mul', ['u', 'scale'], ['w']), N('MatMul', ['x', 'w'], ['y'], name='product')],
                {'p': codes[:48] | codes[48:] << 4, 'four': np.uint8(4), 'shape': np.array([12, 8]), 'eight': np.float32(8), 'scale': np.full((1, 8), s)}, ('x', [1, 12]), [1, 8])
            print(96, (codes != 8).sum())
        else: raise SystemExit('no form ' + form)
        """
}
