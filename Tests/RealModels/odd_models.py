"""Models that are legal but rare, and models that lie. `odd_models.py make FOLDER` writes them with manifest.json;
`odd_models.py compare FOLDER` compares each file rewritten by lathe with its original in onnxruntime.

The manifest says what must come of a file: 'runs' (it is read, rewritten and computes the same), 'reads' (it is read, whatever
the runtime says to it), 'refused' (one line and status 2), 'any' (no crash).
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

rng = np.random.default_rng(7)
W1 = (0.2 * rng.standard_normal((16, 32))).astype(np.float32)
B1 = (0.1 * rng.standard_normal(32)).astype(np.float32)
W2 = (0.2 * rng.standard_normal((32, 10))).astype(np.float32)


def info(name, shape, type=T.FLOAT):
    return h.make_tensor_value_info(name, type, shape)


def model(nodes, initializers, inputs=None, outputs=None, opset=17, ir=8, **extra):
    graph = h.make_graph(nodes, "g", inputs or [info("x", ["n", 16])], outputs or [info("y", ["n", 10])], initializers,
                         sparse_initializer=extra.pop("sparse", None))
    imports = [h.make_opsetid("", opset)] + extra.pop("imports", [])
    made = h.make_model(graph, opset_imports=imports, functions=extra.pop("functions", []))
    made.ir_version = ir
    return made


def mlp(w1="w1", w2="w2", front=(), initializers=None, **extra):
    """The network of every case: x·W1 + B1, Relu, ·W2; `front` makes the weights where they are not initializers."""
    nodes = [*front, h.make_node("MatMul", ["x", w1], ["m"], name="first"), h.make_node("Add", ["m", "b1"], ["a"], name="bias"),
             h.make_node("Relu", ["a"], ["r"], name="relu"), h.make_node("MatMul", ["r", w2], ["y"], name="second")]
    if initializers is None:
        initializers = [nh.from_array(W1, "w1"), nh.from_array(B1, "b1"), nh.from_array(W2, "w2")]
    return model(nodes, initializers, **extra)


def plain(*names):
    every = {"w1": W1, "b1": B1, "w2": W2}
    return [nh.from_array(every[name], name) for name in names]


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


class Cases:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.manifest = []

    def add(self, name, content, expect="runs", **extra):
        data = content if isinstance(content, bytes) else content.SerializeToString()
        (self.folder / f"{name}.onnx").write_bytes(data)
        self.manifest.append({"name": name, "expect": expect, **extra})


def places_of_weights(cases):
    constant = lambda name, value: h.make_node("Constant", [], [name], value=nh.from_array(value))
    cases.add("constant", mlp(front=[constant("w1", W1)], initializers=plain("b1", "w2")), layers=2)
    cases.add("constant-floats", mlp(
        front=[h.make_node("Constant", [], ["f"], value_floats=W1.ravel().tolist()), h.make_node("Constant", [], ["s"], value_ints=[16, 32]),
               h.make_node("Reshape", ["f", "s"], ["w1"])], initializers=plain("b1", "w2")), layers=2)
    scalars = [h.make_node("Constant", [], ["cf"], value_float=1.0), h.make_node("Constant", [], ["ci"], value_int=1),
               h.make_node("Cast", ["ci"], ["cif"], to=1), h.make_node("Mul", ["x0", "cf"], ["x1"]), h.make_node("Mul", ["x1", "cif"], ["x"])]
    cases.add("constant-scalars", mlp(front=scalars, inputs=[info("x0", ["n", 16])]), layers=2)
    strings = [h.make_node("Constant", [], ["cs"], value_string="text"), h.make_node("Constant", [], ["css"], value_strings=["a", "b"])]
    cases.add("constant-strings", mlp(front=strings), layers=2)
    flat = np.flatnonzero(W1.ravel() > 0.3)
    sparse_value = h.make_sparse_tensor(nh.from_array(W1.ravel()[flat], "v"), nh.from_array(flat.astype(np.int64), "i"), [16 * 32])
    cases.add("constant-sparse", mlp(
        front=[h.make_node("Constant", [], ["f"], sparse_value=sparse_value), h.make_node("Reshape", ["f", "s"], ["w1"])],
        initializers=plain("b1", "w2") + [nh.from_array(np.array([16, 32], np.int64), "s")]), "reads")
    sparse = h.make_sparse_tensor(nh.from_array(W1.ravel()[flat], "w1"), nh.from_array(flat.astype(np.int64), "w1_i"), [16, 32])
    cases.add("sparse-initializer", mlp(initializers=plain("b1", "w2"), sparse=[sparse]))
    cases.add("identity", mlp(w1="w1i", front=[h.make_node("Identity", ["w1"], ["w1i"])]), layers=2)
    cases.add("identity-twice", mlp(w1="w1j", front=[h.make_node("Identity", ["w1"], ["w1i"]), h.make_node("Identity", ["w1i"], ["w1j"])]), layers=2)
    half = [nh.from_array(W1.astype(np.float16), "w1h")] + plain("b1", "w2")
    cases.add("cast", mlp(front=[h.make_node("Cast", ["w1h"], ["w1"], to=1)], initializers=half), layers=2)
    cases.add("transpose", mlp(w1="w1t", front=[h.make_node("Transpose", ["w1"], ["w1t"], perm=[1, 0])],
                               initializers=[nh.from_array(np.ascontiguousarray(W1.T), "w1")] + plain("b1", "w2")), layers=2)
    cases.add("reshape", mlp(w1="w1r", front=[h.make_node("Reshape", ["w1", "s"], ["w1r"])],
                             initializers=[nh.from_array(W1.ravel(), "w1"), nh.from_array(np.array([16, 32], np.int64), "s")] + plain("b1", "w2")), layers=2)
    # tf2onnx takes Einsum apart so: the shape is computed from the weight's own, and another copy is kept for its extents alone.
    wide = nh.from_array(W1.reshape(1, 16, 4, 8), "wide")
    einsum = [h.make_node("Shape", ["wide"], ["s4"]), h.make_node("Gather", ["s4", "last"], ["s2"]), h.make_node("ReduceProd", ["s2"], ["n"], axes=[0]),
              h.make_node("Concat", ["minus", "n"], ["s"], axis=0), h.make_node("Reshape", ["wide", "s"], ["w1"]),
              h.make_node("Shape", ["copy"], ["s5"]), h.make_node("Slice", ["s5", "zero", "one"], ["rows"]), h.make_node("Cast", ["rows"], ["rf"], to=1),
              h.make_node("Div", ["rf", "rf"], ["unit"]), h.make_node("Mul", ["x0", "unit"], ["x"])]
    cases.add("shape-of-weight", mlp(front=einsum, inputs=[info("x0", ["n", 16])], initializers=plain("b1", "w2") + [
        wide, nh.from_array(W1 + 1, "copy"), nh.from_array(np.array([2, 3], np.int64), "last"), nh.from_array(np.array([-1], np.int64), "minus"),
        nh.from_array(np.array([0], np.int64), "zero"), nh.from_array(np.array([1], np.int64), "one")]), layers=2)
    cases.add("inputs", mlp(ir=3, inputs=[info("x", ["n", 16]), info("w1", [16, 32]), info("b1", [32]), info("w2", [32, 10])]), layers=2)
    cases.add("weights-unset", mlp(initializers=plain("b1", "w2"), inputs=[info("x", ["n", 16]), info("w1", [16, 32])]), "reads")
    cases.add("output-is-initializer", mlp(outputs=[info("y", ["n", 10]), info("w2", [32, 10])]), layers=2)
    cases.add("output-is-input", mlp(outputs=[info("y", ["n", 10]), info("x", ["n", 16])]), layers=2)
    cases.add("tied", model([h.make_node("MatMul", ["x", "q"], ["m"]), h.make_node("MatMul", ["m", "q"], ["y"])],
                            [nh.from_array(W1[:, :16].copy(), "q")], outputs=[info("y", ["n", 16])]), layers=2)


def element_types(cases):
    def typed(type, values, field):
        tensor = T()
        tensor.name, tensor.data_type = "w1", type
        tensor.dims.extend([16, 32])
        getattr(tensor, field).extend(values)
        return tensor

    cases.add("float-data", mlp(initializers=[typed(T.FLOAT, W1.ravel().tolist(), "float_data")] + plain("b1", "w2")), layers=2)
    bits = W1.astype(np.float16).view(np.uint16).ravel().tolist()
    cases.add("int32-data", mlp(w1="w1f", front=[h.make_node("Cast", ["w1"], ["w1f"], to=1)],
                                initializers=[typed(T.FLOAT16, bits, "int32_data")] + plain("b1", "w2")))
    cases.add("int8-data", mlp(w1="w1f", front=[h.make_node("Cast", ["w1"], ["w1c"], to=1), h.make_node("Mul", ["w1c", "scale"], ["w1f"])],
                               initializers=[typed(T.INT8, (W1 * 100).astype(np.int8).ravel().tolist(), "int32_data"),
                                             nh.from_array(np.float32(0.01), "scale")] + plain("b1", "w2")))
    for name, type, numpy in [("float16", T.FLOAT16, np.float16), ("double", T.DOUBLE, np.float64)]:
        weights = [nh.from_array(v.astype(numpy), n) for n, v in (("w1", W1), ("b1", B1), ("w2", W2))]
        cases.add(name, mlp(initializers=weights, inputs=[info("x", ["n", 16], type)], outputs=[info("y", ["n", 10], type)]), layers=2)
    brain = []
    for name, value in (("w1", W1), ("b1", B1), ("w2", W2)):
        brain.append(h.make_tensor(name, T.BFLOAT16, value.shape, (value.view(np.uint32) >> 16).astype(np.uint16).tobytes(), raw=True))
    cases.add("bfloat16", mlp(initializers=brain, inputs=[info("x", ["n", 16], T.BFLOAT16)], outputs=[info("y", ["n", 10], T.BFLOAT16)]), "reads", layers=2)
    cases.add("double-data", mlp(w1="w1f", front=[h.make_node("Cast", ["w1"], ["w1f"], to=1)],
                                 initializers=[typed(T.DOUBLE, W1.ravel().tolist(), "double_data")] + plain("b1", "w2")))
    zero = nh.from_array(np.zeros((0, 10), np.float32), "empty")
    cases.add("zero-size", mlp(front=[h.make_node("Identity", ["empty"], ["e"])], initializers=plain("w1", "b1", "w2") + [zero],
                               outputs=[info("y", ["n", 10]), info("e", [0, 10])]), layers=2)
    cases.add("nothing-in-weight", model([h.make_node("MatMul", ["x", "w"], ["y"])], [nh.from_array(np.zeros((16, 0), np.float32), "w")],
                                         outputs=[info("y", ["n", 0])]), "reads")
    cases.add("scalar", mlp(front=[h.make_node("Mul", ["x0", "s"], ["x"])], inputs=[info("x0", ["n", 16])],
                            initializers=plain("w1", "b1", "w2") + [nh.from_array(np.float32(1.5), "s")]), layers=2)
    tiny = np.full((16, 32), 1e-41, np.float32)
    cases.add("subnormal", mlp(initializers=[nh.from_array(tiny, "w1")] + plain("b1", "w2")), "reads", layers=2)
    strange = W1.copy()
    strange[0, :4] = [np.inf, -np.inf, np.nan, 3e38]
    cases.add("not-finite", mlp(initializers=[nh.from_array(strange, "w1")] + plain("b1", "w2")), "reads", layers=2)


def weights_in_disguise(cases):
    """Weights that reach their layer through other nodes, as exporters and fine-tuning tools leave them."""
    square = (0.3 * rng.standard_normal((16, 16))).astype(np.float32)
    table = (0.3 * rng.standard_normal((40, 16))).astype(np.float32)
    tokens = info("tokens", ["n", "t"], T.INT64)
    cases.add("tied-embedding-transposed", model(
        [h.make_node("Gather", ["table", "tokens"], ["e"], name="embedding"), h.make_node("MatMul", ["e", "q"], ["m"], name="middle"), h.make_node("Relu", ["m"], ["r"]),
         h.make_node("Transpose", ["table"], ["tt"], perm=[1, 0]), h.make_node("MatMul", ["r", "tt"], ["y"], name="head")],
        [nh.from_array(table, "table"), nh.from_array(square, "q")], inputs=[tokens], outputs=[info("y", ["n", "t", 40])]))
    cases.add("transposed-twice", model(
        [h.make_node("Transpose", ["q"], ["qa"], perm=[1, 0]), h.make_node("MatMul", ["x", "qa"], ["m"], name="first"), h.make_node("Relu", ["m"], ["r"]),
         h.make_node("Transpose", ["q"], ["qb"]), h.make_node("MatMul", ["r", "qb"], ["y"], name="second")], [nh.from_array(square, "q")],
        outputs=[info("y", ["n", 16])]), layers=2)
    cases.add("tied-embedding-gemm", model(
        [h.make_node("Gather", ["table", "tokens"], ["e"], name="embedding"), h.make_node("Reshape", ["e", "flat"], ["f"]),
         h.make_node("Gemm", ["f", "table"], ["y"], name="head", transB=1)],
        [nh.from_array(table, "table"), nh.from_array(np.array([-1, 16], np.int64), "flat")], inputs=[tokens], outputs=[info("y", ["m", 40])]), layers=2)
    fused = np.concatenate([square, -square, 0.5 * square], axis=1)
    cases.add("weight-split-in-three", model(
        [h.make_node("Split", ["qkv"], ["q", "k", "v"], axis=1), *[h.make_node("MatMul", ["x", n], [f"m{n}"], name=f"to_{n}") for n in "qkv"],
         h.make_node("Sum", ["mq", "mk", "mv"], ["y"])], [nh.from_array(fused, "qkv")], outputs=[info("y", ["n", 16])], opset=12), layers=3)
    cases.add("weight-concatenated", model(
        [h.make_node("Concat", ["a", "b"], ["w"], axis=1), h.make_node("MatMul", ["x", "w"], ["y"], name="joined")],
        [nh.from_array(square, "a"), nh.from_array(-square, "b")], outputs=[info("y", ["n", 32])]), layers=1)
    cases.add("weight-scaled", mlp(w1="w1s", front=[h.make_node("Mul", ["w1", "g"], ["w1s"])],
                                   initializers=plain("w1", "b1", "w2") + [nh.from_array(np.linspace(0.5, 2, 32).astype(np.float32), "g")]), layers=2)
    cases.add("weight-normalized", mlp(  # torch.nn.utils.weight_norm: g · v / ‖v‖
        w1="w1n", front=[h.make_node("ReduceL2", ["w1"], ["norm"], axes=[0], keepdims=1), h.make_node("Div", ["w1", "norm"], ["unit"]), h.make_node("Mul", ["unit", "g"], ["w1n"])],
        initializers=plain("w1", "b1", "w2") + [nh.from_array(np.linspace(0.5, 2, 32).astype(np.float32), "g")], opset=13), layers=2)
    cases.add("lora-unmerged", model(
        [h.make_node("MatMul", ["x", "w1"], ["m"], name="frozen"), h.make_node("MatMul", ["x", "down"], ["d"], name="lora_a"), h.make_node("MatMul", ["d", "up"], ["u"], name="lora_b"),
         h.make_node("Mul", ["u", "alpha"], ["s"]), h.make_node("Add", ["m", "s"], ["a"]), h.make_node("MatMul", ["a", "w2"], ["y"], name="second")],
        plain("w1", "w2") + [nh.from_array(W1[:, :4].copy(), "down"), nh.from_array(W1[:4].copy(), "up"), nh.from_array(np.float32(2), "alpha")]), layers=4)
    pair = [nh.from_array(np.float32(0.01), "s"), nh.from_array(np.int8(0), "z")]
    fake = lambda source, target: [h.make_node("QuantizeLinear", [source, "s", "z"], [f"{target}_q"]), h.make_node("DequantizeLinear", [f"{target}_q", "s", "z"], [target])]
    cases.add("weight-fake-quantized", mlp(w1="w1d", front=fake("w1", "w1d"), initializers=plain("w1", "b1", "w2") + pair), layers=2)
    by_column = [nh.from_array(np.linspace(0.004, 0.02, 32).astype(np.float32), "s1"), nh.from_array(rng.integers(100, 140, 32).astype(np.uint8), "z1")]
    cases.add("weight-fake-quantized-by-column", mlp(
        w1="w1d", front=[h.make_node("QuantizeLinear", ["w1", "s1", "z1"], ["w1q"], axis=1), h.make_node("DequantizeLinear", ["w1q", "s1", "z1"], ["w1d"], axis=1)],
        initializers=plain("w1", "b1", "w2") + by_column), layers=2)
    codes = np.clip(np.round(W1 / 0.01), -128, 127).astype(np.int8)
    cases.add("qdq-around", model(
        [*fake("x", "xd"), h.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"]), h.make_node("MatMul", ["xd", "wd"], ["m"], name="first"), *fake("m", "md"),
         h.make_node("Relu", ["md"], ["r"]), h.make_node("MatMul", ["r", "w2"], ["y"], name="second")],
        [nh.from_array(codes, "w"), *plain("w2"), *pair]), layers=2)
    nibbles = h.make_tensor("w4", T.INT4, [16, 32], np.clip(np.round(W1 / 0.08), -8, 7).astype(np.int8).ravel().tolist())
    cases.add("dequantized-int4-blocks", mlp(
        w1="w1d", front=[h.make_node("DequantizeLinear", ["w4", "s4"], ["w1d"], axis=0, block_size=8)],
        initializers=plain("b1", "w2") + [nibbles, nh.from_array(np.full((2, 32), 0.08, np.float32), "s4")], opset=21, ir=10), layers=2)
    eighths = h.make_tensor("w8", T.FLOAT8E4M3FN, [16, 32], W1.ravel().tolist())
    cases.add("dequantized-float8", mlp(w1="w1d", front=[h.make_node("DequantizeLinear", ["w8", "s8"], ["w1d"])],
                                        initializers=plain("b1", "w2") + [eighths, nh.from_array(np.float32(1), "s8")], opset=19, ir=9), "reads")
    cases.add("left-operand", model([h.make_node("MatMul", ["w", "x"], ["y"], name="left")], [nh.from_array(W1.T.copy(), "w")],
                                    inputs=[info("x", [16, "n"])], outputs=[info("y", [32, "n"])]), layers=1)
    cases.add("batched-weight", model([h.make_node("MatMul", ["x", "w"], ["y"], name="experts")], [nh.from_array(np.stack([W1, -W1, 2 * W1]), "w")],
                                      inputs=[info("x", [3, "n", 16])], outputs=[info("y", [3, "n", 32])]), layers=1)
    cases.add("vector-weight", model([h.make_node("MatMul", ["x", "w"], ["y"], name="dot")], [nh.from_array(W1[:, 0].copy(), "w")], outputs=[info("y", ["n"])]))
    cases.add("einsum", model([h.make_node("Einsum", ["x", "w1"], ["m"], name="einsum", equation="ni,io->no"), h.make_node("MatMul", ["m", "w2"], ["y"], name="second")], plain("w1", "w2")), layers=2)
    keras = (0.3 * rng.standard_normal((3, 16, 2, 8))).astype(np.float32)
    cases.add("einsum-attention", model(  # as Keras' MultiHeadAttention
        [*[h.make_node("Einsum", ["x", n], [f"to_{n}"], name=n, equation="abc,cde->abde") for n in "qkv"], h.make_node("Einsum", ["to_q", "to_k"], ["scores"], equation="abde,acde->adbc"),
         h.make_node("Softmax", ["scores"], ["shares"], axis=-1), h.make_node("Einsum", ["shares", "to_v"], ["mixed"], equation="adbc,acde->abde"),
         h.make_node("Einsum", ["mixed", "o"], ["y"], name="o", equation="abcd,cde->abe")],
        [*[nh.from_array(keras[i], n) for i, n in enumerate("qkv")], nh.from_array(np.ascontiguousarray(keras[0].transpose(1, 2, 0)), "o")],
        inputs=[info("x", ["n", "t", 16])], outputs=[info("y", ["n", "t", 16])]), layers=4)
    cases.add("weight-half-transposed", mlp(w1="w1t", front=[h.make_node("Cast", ["w1"], ["w1c"], to=1), h.make_node("Transpose", ["w1c"], ["w1t"])],
                                            initializers=[nh.from_array(np.ascontiguousarray(W1.T).astype(np.float16), "w1"), *plain("b1", "w2")]), layers=2)
    cases.add("weight-dequantized-transposed", mlp(
        w1="w1t", front=[h.make_node("DequantizeLinear", ["w1", "s1"], ["w1d"], axis=0), h.make_node("Transpose", ["w1d"], ["w1t"])],
        initializers=[nh.from_array(np.clip(np.round(W1.T / 0.01), -128, 127).astype(np.int8), "w1"), nh.from_array(np.full(32, 0.01, np.float32), "s1"), *plain("b1", "w2")]), layers=2)
    stack = (0.3 * rng.standard_normal((3, 16, 16))).astype(np.float32)
    cases.add("weights-stacked", model(  # as JAX scans over layers
        [node for i in range(3) for node in (h.make_node("Gather", ["all", f"i{i}"], [f"w{i}"]), h.make_node("MatMul", [f"v{i}" if i else "x", f"w{i}"], [f"v{i + 1}" if i < 2 else "y"], name=f"layer{i}"))],
        [nh.from_array(stack, "all"), *[nh.from_array(np.int64(i), f"i{i}") for i in range(3)]], outputs=[info("y", ["n", 16])]), layers=3)
    attention = [h.make_node("Attention", ["x", "qkv", "b"], ["a"], domain="com.microsoft", name="attention", num_heads=2),
                 h.make_node("SkipLayerNormalization", ["a", "x", "g", "h"], ["y"], domain="com.microsoft")]
    cases.add("attention-fused", model(attention, [nh.from_array(fused, "qkv"), nh.from_array(np.concatenate([B1, B1[:16]]), "b"), nh.from_array(np.ones(16, np.float32), "g"),
                                                   nh.from_array(np.zeros(16, np.float32), "h")], inputs=[info("x", ["n", "t", 16])], outputs=[info("y", ["n", "t", 16])],
                                       imports=[h.make_opsetid("com.microsoft", 1)]), layers=1)
    codes = nh.from_array(rng.integers(-100, 100, (16, 48)).astype(np.int8), "w")
    cases.add("attention-quantized", model(
        [h.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), h.make_node("QAttention", ["q", "w", "b", "s", "ws", "", "z"], ["y"], domain="com.microsoft", num_heads=2)],
        [codes, nh.from_array(np.concatenate([B1, B1[:16]]), "b"), nh.from_array(np.float32(0.005), "ws")], inputs=[info("x", ["n", "t", 16])], outputs=[info("y", ["n", "t", 16])],
        imports=[h.make_opsetid("com.microsoft", 1)]), "reads", layers=1)
    cases.add("nf4", model([h.make_node("MatMulBnb4", ["x", "w", "s"], ["y"], domain="com.microsoft", K=16, N=32, quant_type=1, block_size=16)],
                           [nh.from_array(rng.integers(0, 255, 256).astype(np.uint8), "w"), nh.from_array(np.full(32, 0.2, np.float32), "s")], outputs=[info("y", ["n", 32])],
                           imports=[h.make_opsetid("com.microsoft", 1)]), "reads", layers=1)
    cases.add("gemm-turned", model([h.make_node("Gemm", ["x", "w", "c"], ["y"], name="gemm", transA=1, transB=1, alpha=0.5, beta=2.0)],
                                   [nh.from_array(W1.T.copy(), "w"), nh.from_array(B1, "c")], inputs=[info("x", [16, "n"])], outputs=[info("y", ["n", 32])]), layers=1)
    cases.add("weight-used-otherwise", model(  # a penalty on the weight itself: whoever changes its shape breaks the other reader
        [h.make_node("MatMul", ["x", "w1"], ["m"], name="first"), h.make_node("ReduceSumSquare", ["w1"], ["p"], axes=[0], keepdims=0), h.make_node("Add", ["m", "p"], ["a"]),
         h.make_node("MatMul", ["a", "w2"], ["y"], name="second")], plain("w1", "w2"), opset=13), layers=2)


def interfaces(cases):
    """Inputs and outputs of every kind: several, optional, strings, scalars, without shape, with names that are also something else."""
    cases.add("three-inputs-three-outputs", model(
        [h.make_node("MatMul", ["x", "w1"], ["m"], name="first"), h.make_node("Add", ["m", "bias"], ["a"]), h.make_node("Mul", ["a", "gate"], ["g"]),
         h.make_node("ArgMax", ["g"], ["best"], axis=1), h.make_node("Relu", ["g"], ["hidden"]), h.make_node("MatMul", ["hidden", "w2"], ["y"], name="second")],
        plain("w1", "w2"), inputs=[info("x", ["n", 16]), info("bias", [32]), info("gate", [])],
        outputs=[info("best", ["n", 1], T.INT64), info("hidden", ["n", 32]), info("y", ["n", 10])]), layers=2)
    text = [h.make_node("Concat", ["s", "s"], ["twice"], axis=0)]
    cases.add("string-input", mlp(front=text, inputs=[info("x", ["n", 16]), info("s", ["k"], T.STRING)], outputs=[info("y", ["n", 10]), info("twice", ["j"], T.STRING)]), layers=2)
    cases.add("no-shape", mlp(inputs=[info("x", None)], outputs=[info("y", None)]), layers=2)
    cases.add("extent-names-collide", mlp(inputs=[info("x", ["x", 16]), info("unused", ["x", "x"])], outputs=[info("y", ["w1", 10])]), layers=2)
    cases.add("extent-names-lie", model(  # one name for two extents that differ
        [h.make_node("MatMul", ["x", "w1"], ["m"], name="first"), h.make_node("MatMul", ["z", "w2"], ["y"], name="second"), h.make_node("ReduceSum", ["m"], ["t"], keepdims=0)],
        plain("w1", "w2"), inputs=[info("x", ["n", 16]), info("z", [5, 32])], outputs=[info("t", []), info("y", ["n", 10])]), layers=2)
    cases.add("extent-without-name", mlp(inputs=[info("x", [None, 16])], outputs=[info("y", [None, 10])]), layers=2)
    cases.add("extent-zero", mlp(inputs=[info("x", [0, 16])], outputs=[info("y", [0, 10])]), "reads", layers=2)
    cases.add("extent-minus-one", mlp(inputs=[info("x", [-1, 16])], outputs=[info("y", [-1, 10])]), "reads", layers=2)
    cases.add("inputs-left-out", model(
        [h.make_node("Clip", ["x", "", "six"], ["c"]), h.make_node("Unsqueeze", ["c", "axis"], ["u"]), h.make_node("LSTM", ["u", "lw", "lr", "", "", "h0"], ["", "h1"], name="lstm", hidden_size=8),
         h.make_node("Gemm", ["flat", "g", ""], ["y"], name="gemm"), h.make_node("Reshape", ["h1", "to"], ["flat"])],
        [nh.from_array(np.float32(6), "six"), nh.from_array(np.array([0], np.int64), "axis"), nh.from_array((0.3 * rng.standard_normal((1, 32, 16))).astype(np.float32), "lw"),
         nh.from_array((0.3 * rng.standard_normal((1, 32, 8))).astype(np.float32), "lr"), nh.from_array(np.zeros((1, 4, 8), np.float32), "h0"),
         nh.from_array(np.array([-1, 8], np.int64), "to"), nh.from_array((0.3 * rng.standard_normal((8, 10))).astype(np.float32), "g")],
        inputs=[info("x", [4, 16])], outputs=[info("y", [4, 10])]), layers=2)
    same = mlp()
    for node in same.graph.node:
        node.name = "/a//b/"
    cases.add("one-name-for-all", same, "reads", layers=2)
    cases.add("names-of-numbers", model([h.make_node("MatMul", ["0", "1"], ["2"], name="3"), h.make_node("Relu", ["2"], ["4"], name="1")], [nh.from_array(W1, "1")],
                                        inputs=[info("0", ["n", 16])], outputs=[info("4", ["n", 32])]), layers=1)
    spaces = "a b,c:d@e!f?*"
    cases.add("names-of-marks", model([h.make_node("MatMul", ["x y", spaces], ["m, n"], name=spaces), h.make_node("Relu", ["m, n"], ["y/"])], [nh.from_array(W1, spaces)],
                                      inputs=[info("x y", ["n", 16])], outputs=[info("y/", ["n", 32])]), layers=1)
    classes = h.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    linear = h.make_node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", classlabels_ints=[0, 1, 2], multi_class=1, post_transform="SOFTMAX",
                         coefficients=W1[:, :3].T.ravel().tolist(), intercepts=[0.0, 0.1, 0.2])
    maps = onnx.ValueInfoProto()
    maps.name = "maps"
    maps.type.sequence_type.elem_type.map_type.key_type = T.INT64
    maps.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = T.FLOAT
    cases.add("classical-with-zipmap", model([linear, classes], [], outputs=[info("label", ["n"], T.INT64), maps], imports=[h.make_opsetid("ai.onnx.ml", 1)]), "reads", layers=0)
    optional = h.make_node("OptionalGetElement", ["o"], ["x"])
    wrapped = onnx.ValueInfoProto()
    wrapped.name = "o"
    wrapped.type.optional_type.elem_type.tensor_type.elem_type = T.FLOAT
    cases.add("optional-input", mlp(front=[optional], inputs=[wrapped], opset=18), "reads", layers=2)
    shared = nh.from_array(np.float32(0.5) * W2, "outer")
    branch = lambda name, out: h.make_graph([h.make_node("MatMul", ["r", "outer"], [out], name=name)], name, [], [info(out, None)])
    cases.add("weight-shared-with-branches", model(
        [h.make_node("MatMul", ["x", "w1"], ["r"], name="first"), h.make_node("MatMul", ["r", "outer"], ["main"], name="second"),
         h.make_node("If", ["flag"], ["other"], then_branch=branch("then", "ty"), else_branch=branch("else", "ey")), h.make_node("Add", ["main", "other"], ["y"])],
        plain("w1") + [shared], inputs=[info("x", ["n", 16]), info("flag", [], T.BOOL)]))


def layer_kinds(cases):
    """Every kind of layer in forms that samples do not have."""
    def one(name, nodes, tensors, shape, layers, outputs=None, **extra):
        made = [nh.from_array((0.3 * rng.standard_normal(dims)).astype(np.float32), tensor) for tensor, dims in tensors.items()]
        cases.add(name, model(nodes, made + extra.pop("more", []), inputs=[info("x", shape)], outputs=outputs or [info("y", None)], **extra), layers=layers)

    conv = lambda source, weight, out, **attributes: h.make_node("Conv", [source, weight], [out], name=out, **attributes)
    for name, attributes in [("same-upper", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}), ("same-lower", {"auto_pad": "SAME_LOWER"}), ("valid", {"auto_pad": "VALID"}),
                             ("dilated", {"dilations": [2, 2], "pads": [2, 2, 2, 2]}), ("uneven-pads", {"pads": [0, 1, 2, 0]})]:
        one(f"conv-{name}", [conv("x", "a", "c", **attributes), h.make_node("Relu", ["c"], ["r"]), conv("r", "b", "y", pads=[1, 1, 1, 1])],
            {"a": [8, 3, 3, 3], "b": [4, 8, 3, 3]}, ["n", 3, 12, 12], 2)
    one("conv-grouped", [conv("x", "a", "c", group=2), h.make_node("Relu", ["c"], ["r"]), conv("r", "d", "e", group=8), conv("e", "b", "y")],
        {"a": [8, 2, 3, 3], "d": [16, 1, 3, 3], "b": [4, 16, 1, 1]}, ["n", 4, 12, 12], 3)
    one("conv-1d", [conv("x", "a", "c"), h.make_node("Relu", ["c"], ["r"]), conv("r", "b", "y")], {"a": [8, 3, 5], "b": [4, 8, 3]}, ["n", 3, 40], 2)
    one("conv-3d", [conv("x", "a", "c"), h.make_node("Relu", ["c"], ["r"]), conv("r", "b", "y")], {"a": [8, 2, 3, 3, 3], "b": [4, 8, 1, 3, 3]}, ["n", 2, 6, 8, 8], 2)
    one("conv-transposed-grouped", [conv("x", "a", "c"), h.make_node("ConvTranspose", ["c", "t"], ["u"], name="up", group=2, strides=[2, 2], output_padding=[1, 1]), conv("u", "b", "y")],
        {"a": [8, 3, 3, 3], "t": [8, 3, 2, 2], "b": [4, 6, 3, 3]}, ["n", 3, 8, 8], 3)
    one("squeeze-excite", [conv("x", "a", "c"), h.make_node("GlobalAveragePool", ["c"], ["g"]), conv("g", "d", "s"), h.make_node("Relu", ["s"], ["sr"]), conv("sr", "e", "t"),
                           h.make_node("Sigmoid", ["t"], ["gate"]), h.make_node("Mul", ["c", "gate"], ["m"]), conv("m", "b", "y")],
        {"a": [16, 3, 3, 3], "d": [4, 16, 1, 1], "e": [16, 4, 1, 1], "b": [8, 16, 1, 1]}, ["n", 3, 10, 10], 4)
    one("dense-block", [conv("x", "a", "c"), h.make_node("Concat", ["x", "c"], ["k"], axis=1), h.make_node("Relu", ["k"], ["r"]), conv("r", "b", "d"),
                        h.make_node("Concat", ["k", "d"], ["kk"], axis=1), conv("kk", "e", "y")],
        {"a": [4, 4, 1, 1], "b": [6, 8, 1, 1], "e": [3, 14, 1, 1]}, ["n", 4, 9, 9], 3)
    one("channels-shuffled", [conv("x", "a", "c", group=2), h.make_node("Reshape", ["c", "five"], ["v"]), h.make_node("Transpose", ["v"], ["w"], perm=[0, 2, 1, 3, 4]),
                              h.make_node("Reshape", ["w", "four"], ["s"]), conv("s", "b", "y", group=2)],
        {"a": [8, 4, 1, 1], "b": [8, 4, 1, 1]}, ["n", 8, 6, 6], 2,
        more=[nh.from_array(np.array([0, 2, 4, 6, 6], np.int64), "five"), nh.from_array(np.array([0, 8, 6, 6], np.int64), "four")])
    one("instance-norm-prelu", [conv("x", "a", "c"), h.make_node("InstanceNormalization", ["c", "g", "h"], ["i"]), h.make_node("PRelu", ["i", "p"], ["r"]), conv("r", "b", "y")],
        {"a": [8, 3, 3, 3], "g": [8], "h": [8], "p": [8, 1, 1], "b": [4, 8, 3, 3]}, ["n", 3, 12, 12], 2)
    for name, attributes, gates in [("both-ways", {"direction": "bidirectional"}, 2), ("backwards", {"direction": "reverse"}, 1), ("clipped", {"clip": 0.5}, 1),
                                    ("coupled", {"input_forget": 1}, 1)]:
        one(f"lstm-{name}", [h.make_node("LSTM", ["x", "w", "r"], ["y", "", ""], name="lstm", hidden_size=8, **attributes)],
            {"w": [gates, 32, 6], "r": [gates, 32, 8]}, ["t", "n", 6], 1)
    one("lstm-peepholes", [h.make_node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["", "", "y"], name="lstm", hidden_size=8)],
        {"w": [1, 32, 6], "r": [1, 32, 8], "b": [1, 64], "p": [1, 24]}, ["t", "n", 6], 1)
    for name, reset in (("before", 0), ("after", 1)):
        one(f"gru-reset-{name}", [h.make_node("GRU", ["x", "w", "r", "b"], ["y", ""], name="gru", hidden_size=8, linear_before_reset=reset)],
            {"w": [1, 24, 6], "r": [1, 24, 8], "b": [1, 48]}, ["t", "n", 6], 1)
    one("rnn-relu", [h.make_node("RNN", ["x", "w", "r"], ["y", ""], name="rnn", hidden_size=8, activations=["Relu"])], {"w": [1, 8, 6], "r": [1, 8, 8]}, ["t", "n", 6], 1)
    one("one-output-one-input", [h.make_node("MatMul", ["x", "a"], ["m"], name="to-one"), h.make_node("Tanh", ["m"], ["t"]), h.make_node("MatMul", ["t", "b"], ["y"], name="from-one")],
        {"a": [16, 1], "b": [1, 5]}, ["n", 16], 2)
    one("weights-all-equal", [h.make_node("MatMul", ["x", "a"], ["m"], name="zeros"), h.make_node("MatMul", ["x", "o"], ["k"], name="ones"), h.make_node("Add", ["m", "k"], ["y"])],
        {}, ["n", 16], 2, more=[nh.from_array(np.zeros((16, 8), np.float32), "a"), nh.from_array(np.ones((16, 8), np.float32), "o")])


def subgraphs(cases):
    flag = info("flag", [], T.BOOL)
    def body(name, weight, out):
        return h.make_graph([h.make_node("MatMul", ["r", "w"], [out], name="inner")], name, [], [info(out, None)], [nh.from_array(weight, "w")])

    cases.add("if", model([h.make_node("MatMul", ["x", "w1"], ["m"], name="first"), h.make_node("Relu", ["m"], ["r"]),
                           h.make_node("If", ["flag"], ["y"], then_branch=body("t", W2, "ty"), else_branch=body("e", 2 * W2, "ey"))],
                          plain("w1"), inputs=[info("x", ["n", 16]), flag]), layers=3)
    square = W1[:, :16].copy()
    loop = h.make_graph([h.make_node("MatMul", ["s", "w"], ["s2"], name="step"), h.make_node("Identity", ["c"], ["c2"])], "loop",
                        [info("i", [], T.INT64), info("c", [], T.BOOL), info("s", None)], [info("c2", [], T.BOOL), info("s2", None)],
                        [nh.from_array(square, "w")])
    cases.add("loop", model([h.make_node("Loop", ["count", "", "x"], ["l"], body=loop), h.make_node("MatMul", ["l", "v"], ["y"], name="last")],
                            [nh.from_array(np.int64(3), "count"), nh.from_array(W2[:16].copy(), "v")]), layers=2)
    scan = h.make_graph([h.make_node("MatMul", ["row", "w"], ["out"], name="step"), h.make_node("Add", ["state", "out"], ["state2"]),
                         h.make_node("Identity", ["state2"], ["all"])], "scan",
                        [info("state", [16]), info("row", [16])], [info("state2", [16]), info("all", [16])], [nh.from_array(square, "w")])
    cases.add("scan", model([h.make_node("Scan", ["start", "x"], ["end", "y"], body=scan, num_scan_inputs=1)],
                            [nh.from_array(np.zeros(16, np.float32), "start")], outputs=[info("y", ["n", 16])]), layers=1)
    # A recurrent cell as PaddlePaddle's exporter leaves it: the loop hands its weight round under the name it has outside, and transposes it each pass.
    def cell(name, weight, carried):
        nodes = [h.make_node("Transpose", [weight], ["wt"], perm=[1, 0]), h.make_node("MatMul", ["s", "wt"], ["s2"], name="step"), h.make_node("Tanh", ["s2"], ["s3"]),
                 h.make_node("Identity", ["c"], ["c2"])]
        extra = [info(weight, None)] if carried else []
        return h.make_graph(nodes, name, [info("i", [], T.INT64), info("c", [], T.BOOL), info("s", None)] + extra, [info("c2", [], T.BOOL), info("s3", None)] + extra)

    for carried in (False, True):
        feed = ["w"] if carried else []
        cases.add("loop-transposes-carried" if carried else "loop-transposes",
                  model([h.make_node("Loop", ["count", "", "x"] + feed, ["l"] + ["w9"] * carried, body=cell("cell", "w", carried)), h.make_node("MatMul", ["l", "v"], ["y"], name="last")],
                        [nh.from_array(np.int64(3), "count"), nh.from_array(W2[:16].copy(), "v"), nh.from_array(square, "w")]), layers=2)
    # A carried value that changes bears the name of the initializer it starts from: no weight.
    growing = h.make_graph([h.make_node("MatMul", ["s", "w"], ["s2"], name="step"), h.make_node("Add", ["w", "w"], ["w2"]), h.make_node("Identity", ["c"], ["c2"])], "growing",
                           [info("i", [], T.INT64), info("c", [], T.BOOL), info("s", None), info("w", None)], [info("c2", [], T.BOOL), info("s2", None), info("w2", None)])
    cases.add("loop-changes-carried", model([h.make_node("Loop", ["count", "", "x", "w"], ["l", "w9"], body=growing), h.make_node("MatMul", ["l", "v"], ["y"], name="last")],
                                            [nh.from_array(np.int64(3), "count"), nh.from_array(W2[:16].copy(), "v"), nh.from_array(0.3 * square, "w")]), layers=1)
    # The same names inside and outside, with other contents.
    shadow = h.make_graph([h.make_node("MatMul", ["m", "w1"], ["y"], name="first")], "t", [], [info("y", None)], [nh.from_array(W2, "w1")])
    other = h.make_graph([h.make_node("MatMul", ["m", "w1"], ["y"], name="first")], "e", [], [info("y", None)], [nh.from_array(-W2, "w1")])
    cases.add("equal-names", model([h.make_node("MatMul", ["x", "w1"], ["m"], name="first"),
                                    h.make_node("If", ["flag"], ["z"], then_branch=shadow, else_branch=other)],
                                   plain("w1"), inputs=[info("x", ["n", 16]), flag], outputs=[info("z", ["n", 10])]), "reads", layers=3)
    twice = h.make_function("local", "Dense", ["a", "b"], ["c"], [h.make_node("MatMul", ["a", "b"], ["d"]), h.make_node("Relu", ["d"], ["c"])],
                            [h.make_opsetid("", 17)])
    cases.add("function", model([h.make_node("Dense", ["x", "w1"], ["d"], domain="local"), h.make_node("MatMul", ["d", "w2"], ["y"], name="second")],
                                plain("w1", "w2"), functions=[twice], imports=[h.make_opsetid("local", 1)]), layers=2)
    thrice = h.make_function("local", "Block", ["a", "b"], ["c"], [h.make_node("Dense", ["a", "b"], ["d"], domain="local"), h.make_node("Dense", ["d", "b"], ["e"], domain="local"),
                                                                  h.make_node("Add", ["d", "e"], ["c"])], [h.make_opsetid("", 17), h.make_opsetid("local", 1)])
    cases.add("function-of-functions", model([h.make_node("Block", ["x", "w"], ["d"], domain="local", name="a"), h.make_node("Block", ["d", "w"], ["y"], domain="local", name="b")],
                                             [nh.from_array(W1[:, :16].copy(), "w")], outputs=[info("y", ["n", 16])], functions=[twice, thrice], imports=[h.make_opsetid("local", 1)]), layers=4)
    holder = h.make_function("local", "Fixed", ["a"], ["c"], [h.make_node("Constant", [], ["w"], value=nh.from_array(W1)),
                                                             h.make_node("MatMul", ["a", "w"], ["c"])], [h.make_opsetid("", 17)])
    cases.add("function-with-weights", model([h.make_node("Fixed", ["x"], ["d"], domain="local"), h.make_node("MatMul", ["d", "w2"], ["y"], name="second")],
                                             plain("w2"), functions=[holder], imports=[h.make_opsetid("local", 1)]), layers=2)


def files(cases):
    for version in range(3, 12):
        inputs = [info("x", ["n", 16]), info("w1", [16, 32]), info("b1", [32]), info("w2", [32, 10])] if version < 4 else None
        cases.add(f"ir-{version}", mlp(ir=version, inputs=inputs, opset=8 if version < 5 else 11 if version < 8 else 17), layers=2)
    one = mlp()
    onnx.save_model(one, str(cases.folder / "external-one.onnx"), save_as_external_data=True, all_tensors_to_one_file=True, location="external-one.bin", size_threshold=16)
    cases.manifest.append({"name": "external-one", "expect": "runs", "layers": 2})
    onnx.save_model(mlp(), str(cases.folder / "external-many.onnx"), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=16)
    cases.manifest.append({"name": "external-many", "expect": "runs", "layers": 2})

    def outside(location, **entries):
        made = mlp()
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        return made

    (cases.folder / "short.bin").write_bytes(b"\0" * 100)
    (cases.folder / "whole.bin").write_bytes(W1.tobytes() + W1.tobytes())
    (cases.folder / "folder").mkdir(exist_ok=True)
    (cases.folder / "folder" / "deep.bin").write_bytes(W1.tobytes())
    cases.add("external-offset", outside("whole.bin", offset=2048, length=2048))
    cases.add("external-no-length", outside("whole.bin", offset=0))
    cases.add("external-in-folder", outside("folder/deep.bin", length=2048))
    cases.add("external-missing", outside("nowhere.bin"), "refused")
    cases.add("external-escapes", outside("../whole.bin", length=2048), "refused")
    cases.add("external-escapes-deeper", outside("folder/../../whole.bin", length=2048), "refused")
    cases.add("external-absolute", outside("/etc/passwd", length=2048), "refused")
    cases.add("external-short", outside("short.bin", length=2048), "refused")
    cases.add("external-behind-end", outside("whole.bin", offset=1 << 62, length=2048), "refused")
    cases.add("external-negative", outside("whole.bin", offset=-5, length=2048), "refused")
    cases.add("external-nonsense", outside("whole.bin", offset="many", length=2048), "refused")
    cases.add("external-folder", outside("folder", length=2048), "refused")
    cases.add("external-device", outside("null", length=2048), "refused")
    (cases.folder / "link.bin").symlink_to("/etc/hostname")
    cases.add("external-link-short", outside("link.bin", length=2048), "refused")

    extra = mlp()
    h.set_model_props(extra, {"key": "value", "naïve": "ß" * 10})
    extra.doc_string, extra.domain, extra.model_version = "documented", "somewhere", 12
    training = extra.training_info.add()
    training.algorithm.name = "step"
    training.algorithm.node.extend([h.make_node("Identity", ["w1"], ["w1_new"])])
    cases.add("training-info", extra, layers=2)
    cases.add("unknown-fields", mlp().SerializeToString() + b"\xfa\x7f\x03new", layers=2)
    cases.add("opset-named-ai.onnx", mlp(imports=[]), layers=2)
    named = mlp()
    named.opset_import[0].domain = "ai.onnx"
    cases.add("opset-ai.onnx", named, layers=2)
    many = mlp()
    for domain in ("com.microsoft", "ai.onnx.ml", "ai.onnx.preview.training", "org.pytorch.aten", "nobody.knows"):
        many.opset_import.extend([h.make_opsetid(domain, 1)])
    cases.add("many-domains", many, layers=2)


def graphs(cases):
    cases.add("unicode", model([h.make_node("MatMul", ["x", "gewicht-ß"], ["出力"], name="слой №1"), h.make_node("Relu", ["出力"], ["y"])],
                               [nh.from_array(W1, "gewicht-ß")], outputs=[info("y", ["n", 32])]), layers=1)
    cases.add("control-names", model([h.make_node("MatMul", ["x", "w\n1"], ["m\t\x1b[31m"], name="line\nbreak\x1b[2J"), h.make_node("Relu", ["m\t\x1b[31m"], ["y"])],
                                     [nh.from_array(W1, "w\n1")], outputs=[info("y", ["n", 32])]), layers=1)
    long = "layer/" * 3000
    cases.add("long-names", model([h.make_node("MatMul", ["x", "w"], [long + "y"], name=long), h.make_node("Relu", [long + "y"], ["y"])],
                                  [nh.from_array(W1, "w")], outputs=[info("y", ["n", 32])]), layers=1)
    unsorted = mlp()
    nodes = list(unsorted.graph.node)
    del unsorted.graph.node[:]
    unsorted.graph.node.extend(reversed(nodes))
    cases.add("unsorted", unsorted, layers=2)
    cycle = model([h.make_node("Add", ["x", "b"], ["a"], name="one"), h.make_node("MatMul", ["a", "w"], ["b"], name="two"), h.make_node("Relu", ["b"], ["y"])],
                  [nh.from_array(W1[:, :16].copy(), "w")], outputs=[info("y", ["n", 16])])
    cases.add("cycle", cycle, "refused")
    cases.add("self-loop", model([h.make_node("Add", ["x", "a"], ["a"], name="one"), h.make_node("Relu", ["a"], ["y"])], [], outputs=[info("y", ["n", 16])]), "refused")
    duplicate = mlp()
    for node in duplicate.graph.node:
        node.name = "same"
    cases.add("equal-node-names", duplicate, "reads", layers=2)
    nameless = mlp()
    for node in nameless.graph.node:
        node.name = ""
    cases.add("no-node-names", nameless, layers=2)
    cases.add("two-producers", model([h.make_node("Relu", ["x"], ["y"]), h.make_node("Neg", ["x"], ["y"])], [], outputs=[info("y", ["n", 16])]), "any")
    twice = mlp()
    twice.graph.initializer.extend([nh.from_array(-W1, "w1")])
    cases.add("initializer-twice", twice, "any")
    cases.add("no-nodes", model([], [], outputs=[info("x", ["n", 16])]), "any")
    cases.add("no-outputs", model([h.make_node("Relu", ["x"], ["y"])], [], outputs=[]), "any")
    bare = onnx.ModelProto()
    bare.ir_version = 8
    cases.add("no-graph", bare, "refused")
    empty = onnx.ModelProto()
    empty.ir_version = 8
    empty.graph.name = ""
    cases.add("empty-graph", empty, "any")
    cases.add("missing-input", mlp(initializers=plain("w1", "w2")), "reads")
    cases.add("unknown-operator", model([h.make_node("Nonsense", ["x"], ["y"], domain="nobody.knows"), ], plain("w1"), outputs=[info("y", None)],
                                        imports=[h.make_opsetid("nobody.knows", 1)]), "reads")
    cases.add("deep-chain", model([h.make_node("Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(20000)], [], inputs=[info("v0", ["n", 4])],
                                  outputs=[info("v20000", ["n", 4])]), "any")
    deep = h.make_graph([h.make_node("Identity", ["x"], ["o"])], "deep", [], [info("o", None)])
    for level in range(12):
        deep = h.make_graph([h.make_node("If", ["flag"], [f"o{level}"], then_branch=deep, else_branch=deep)] if level < 8 else
                            [h.make_node("If", ["flag"], [f"o{level}"], then_branch=deep,
                                         else_branch=h.make_graph([h.make_node("Identity", ["x"], ["p"])], "p", [], [info("p", None)]))],
                            f"d{level}", [], [info(f"o{level}", None)])
    cases.add("nested-ifs", model([*deep.node], [], inputs=[info("x", ["n", 16]), info("flag", [], T.BOOL)], outputs=[info("o11", None)]), "any")
    sequence = model([h.make_node("SequenceConstruct", ["x", "x"], ["q"]), h.make_node("ConcatFromSequence", ["q"], ["c"], axis=1),
                      h.make_node("MatMul", ["c", "w"], ["y"])], [nh.from_array(np.concatenate([W1, W1]), "w")], outputs=[info("y", ["n", 32])])
    cases.add("sequence", sequence, layers=1)
    cases.add("output-sequence", model([h.make_node("SequenceConstruct", ["x", "x"], ["q"])], [], outputs=[
        h.make_tensor_sequence_value_info("q", T.FLOAT, ["n", 16])]), "any")


def lies(cases):
    """Small files that claim much, and attributes that no operator takes."""
    def claim(dims, type=T.FLOAT, **fields):
        tensor = T()
        tensor.name, tensor.data_type = "w1", type
        tensor.dims.extend(dims)
        for field, value in fields.items():
            setattr(tensor, field, value) if isinstance(value, bytes) else getattr(tensor, field).extend(value)
        return mlp(initializers=[tensor] + plain("b1", "w2"))

    cases.add("claims-2-gb", claim([1 << 14, 1 << 15]), "refused")
    cases.add("claims-2-gb-strings", claim([1 << 29], T.STRING), "refused")
    cases.add("claims-overflow", claim([1 << 31, 1 << 31, 1 << 31]), "refused")
    cases.add("claims-negative", claim([-1, 16]), "refused")
    cases.add("claims-two-negatives", claim([-16, -32], raw_data=W1.tobytes()), "refused")
    cases.add("claims-zero-times-much", claim([0, 1 << 62, 1 << 62]), "refused")
    cases.add("claims-unknown-type", claim([16, 32], 99, raw_data=W1.tobytes()), "refused")
    cases.add("claims-undefined-type", claim([16, 32], 0, raw_data=W1.tobytes()), "refused")
    cases.add("claims-too-little", claim([4, 4], raw_data=W1.tobytes()), "refused")
    cases.add("both-fields", claim([16, 32], raw_data=W1.tobytes(), float_data=[1.0]), "any")
    # raw_data of 2^31 bytes in a file of a hundred.
    tensor = b"\x08\x04\x10\x01" + b"\x42\x01w" + b"\x4a" + varint(1 << 31)
    cases.add("raw-length-lies", b"\x08\x08" + b"\x3a" + varint(len(tensor) + 8) + b"\x2a" + varint(len(tensor)) + tensor + b"\0" * 6, "refused")
    cases.add("graph-length-lies", b"\x08\x08\x3a" + varint(1 << 31) + b"\0" * 50, "refused")

    w = nh.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    image = [info("x", [1, 3, 8, 8])]
    for name, attributes in [("stride-0", {"strides": [0, 0]}), ("stride-negative", {"strides": [-1, -1]}), ("stride-huge", {"strides": [1 << 62, 1 << 62]}),
                             ("dilation-0", {"dilations": [0, 0]}), ("dilation-huge", {"dilations": [1 << 40, 1 << 40]}), ("group-0", {"group": 0}),
                             ("group-negative", {"group": -2}), ("group-huge", {"group": 1 << 62}), ("pads-negative", {"pads": [-9, -9, -9, -9]}),
                             ("pads-huge", {"pads": [1 << 40] * 4}), ("kernel-lies", {"kernel_shape": [1 << 40, 7]}), ("pads-few", {"pads": [1]}),
                             ("strides-many", {"strides": [1] * 9}), ("group-7", {"group": 7})]:
        cases.add(f"conv-{name}", model([h.make_node("Conv", ["x", "w"], ["y"], name="conv", **attributes), h.make_node("Relu", ["y"], ["z"])], [w],
                                        inputs=image, outputs=[info("z", None)]), "any")
    packed = nh.from_array(rng.integers(0, 255, (8, 1, 16)).astype(np.uint8), "p")
    scale = nh.from_array(np.ones(8, np.float32), "s")
    for name, attributes in [("0", {"bits": 0, "N": 0, "K": 0, "block_size": 0}), ("huge", {"bits": 4, "N": 1 << 40, "K": 1 << 40, "block_size": 32}),
                             ("negative", {"bits": -4, "N": -8, "K": -32, "block_size": -32}), ("bits-99", {"bits": 99, "N": 8, "K": 32, "block_size": 32})]:
        cases.add(f"nbits-{name}", model([h.make_node("MatMulNBits", ["x", "p", "s"], ["y"], domain="com.microsoft", **attributes)], [packed, scale],
                                         inputs=[info("x", ["n", 32])], outputs=[info("y", None)], imports=[h.make_opsetid("com.microsoft", 1)]), "any")
        table = nh.from_array(rng.integers(0, 255, (8, 16)).astype(np.uint8), "p")
        cases.add(f"gather-nbits-{name}", model(
            [h.make_node("GatherBlockQuantized", ["p", "i", "s"], ["y"], domain="com.microsoft", bits=attributes["bits"], block_size=attributes["block_size"])],
            [table, nh.from_array(np.ones((8, 1), np.float32), "s")], inputs=[info("i", ["n"], T.INT64)], outputs=[info("y", None)],
            imports=[h.make_opsetid("com.microsoft", 1)]), "any")
    for name, axis in [("huge", 1 << 62), ("negative", -(1 << 63))]:
        cases.add(f"axis-{name}", model([h.make_node("Concat", ["x", "x"], ["c"], axis=axis), h.make_node("Softmax", ["c"], ["d"], axis=axis),
                                         h.make_node("MatMul", ["d", "w1"], ["m"]), h.make_node("Gather", ["w1", "i"], ["y"], axis=axis)],
                                        plain("w1") + [nh.from_array(np.zeros(2, np.int64), "i")]), "any")
    quantized = [nh.from_array(rng.integers(-9, 9, (16, 32)).astype(np.int8), "q"), nh.from_array(np.ones(3, np.float32), "s")]
    for name, axis in [("far", 9), ("negative", -9), ("huge", 1 << 62)]:
        cases.add(f"dequantize-axis-{name}", model([h.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=axis), h.make_node("MatMul", ["x", "w"], ["y"])],
                                                   quantized, outputs=[info("y", None)]), "any")
    for name, attributes in [("hidden-lies", {"hidden_size": 1 << 40}), ("hidden-negative", {"hidden_size": -1}), ("no-hidden", {}), ("direction", {"hidden_size": 4, "direction": "sideways"})]:
        cases.add(f"lstm-{name}", model([h.make_node("LSTM", ["x", "w", "r"], ["y"], **attributes)],
                                        [nh.from_array(np.ones((1, 16, 8), np.float32), "w"), nh.from_array(np.ones((1, 16, 4), np.float32), "r")],
                                        inputs=[info("x", [5, 1, 8])], outputs=[info("y", None)]), "any")
    shifts = [nh.from_array(np.arange(64, dtype=np.uint8).reshape(4, 16), "p"), nh.from_array(np.array([1 << 62], np.int64), "shape")]
    cases.add("reshape-lies", model([h.make_node("Cast", ["p"], ["c"], to=1), h.make_node("Reshape", ["c", "shape"], ["w"]), h.make_node("MatMul", ["x", "w"], ["y"])],
                                    shifts, outputs=[info("y", None)]), "any")
    two = [shifts[0], nh.from_array(np.array([1 << 40, 1 << 40], np.int64), "shape")]
    cases.add("reshape-lies-more", model([h.make_node("Cast", ["p"], ["c"], to=1), h.make_node("Reshape", ["c", "shape"], ["w"]), h.make_node("MatMul", ["x", "w"], ["y"])],
                                         two, outputs=[info("y", None)]), "any")
    cases.add("extents-huge", mlp(inputs=[info("x", [1 << 40, 16])]), "any")
    cases.add("extents-overflow", mlp(inputs=[info("x", [1 << 40, 1 << 40])]), "any")
    cases.add("constant-of-shape-huge", model([h.make_node("ConstantOfShape", ["s"], ["c"]), h.make_node("ReduceSum", ["c"], ["d"], keepdims=0), h.make_node("Add", ["x", "d"], ["y"])],
                                              [nh.from_array(np.array([1 << 40, 1 << 20], np.int64), "s")], outputs=[info("y", None)]), "any")


def operator_sets(cases):
    """One network of a convolution, normalization, recurrence and arithmetic on shapes, as every operator set writes it."""
    for version in range(7, 24):
        initializers = [nh.from_array((0.3 * rng.standard_normal((6, 1, 3, 3))).astype(np.float32), "c"), nh.from_array(np.zeros(6, np.float32), "cb")]
        initializers += [nh.from_array(np.abs(rng.standard_normal(6)).astype(np.float32) + 0.5, name) for name in ("scale", "shift", "mean", "var")]
        initializers += [nh.from_array((0.3 * rng.standard_normal((1, 32, 36))).astype(np.float32), "lw"), nh.from_array((0.3 * rng.standard_normal((1, 32, 8))).astype(np.float32), "lr")]
        initializers += [nh.from_array((0.3 * rng.standard_normal((8, 4))).astype(np.float32), "g"), nh.from_array(np.zeros(4, np.float32), "gb")]

        def axes(operator, source, target, values, **attributes):
            as_input = 18 if operator == "ReduceMean" else 13
            if version < as_input:
                return h.make_node(operator, [source], [target], axes=values, **attributes)
            initializers.append(nh.from_array(np.array(values, np.int64), f"{target}_axes"))
            return h.make_node(operator, [source, f"{target}_axes"], [target], **attributes)

        def cut(source, target):
            if version < 10:
                return h.make_node("Slice", [source], [target], starts=[0, 0], ends=[1 << 31, 4], axes=[0, 1])
            for name, values in (("starts", [0, 0]), ("ends", [1 << 31, 4]), ("axes", [0, 1])):
                initializers.append(nh.from_array(np.array(values, np.int64), f"{target}_{name}"))
            return h.make_node("Slice", [source] + [f"{target}_{name}" for name in ("starts", "ends", "axes")], [target])

        nodes = [h.make_node("Conv", ["x", "c", "cb"], ["c1"], name="conv", pads=[1, 1, 1, 1]),
                 h.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["c2"], name="norm"),
                 h.make_node("Relu", ["c2"], ["c3"]), h.make_node("MaxPool", ["c3"], ["c4"], kernel_shape=[2, 2], strides=[2, 2]),
                 h.make_node("Transpose", ["c4"], ["c5"], perm=[2, 0, 1, 3]), h.make_node("Constant", [], ["to"], value=nh.from_array(np.array([6, -1, 36], np.int64))),
                 h.make_node("Reshape", ["c5", "to"], ["c6"]), h.make_node("LSTM", ["c6", "lw", "lr"], ["l1", "", ""], name="lstm", hidden_size=8),
                 axes("Squeeze", "l1", "l2", [1]), axes("ReduceMean", "l2", "l3", [0], keepdims=0),
                 h.make_node("Gemm", ["l3", "g", "gb"], ["o1"], name="gemm"), cut("o1", "o2"), h.make_node("Softmax", ["o2"], ["y"], axis=1)]
        inputs = [info("x", ["n", 1, 12, 12])]
        cases.add(f"opset-{version}", model(nodes, initializers, inputs=inputs, outputs=[info("y", ["n", 4])], opset=version,
                                            ir=4 if version < 10 else 6 if version < 12 else 8 if version < 19 else 10), layers=3)


def versions(cases, samples):
    """The sample models at other operator sets, where onnx's converter can bring them there."""
    for path in samples:
        original = onnx.load(path)
        for version in range(7, 24):
            try:
                converted = onnx.version_converter.convert_version(original, version)
            except Exception:
                continue
            cases.add(f"{pathlib.Path(path).stem}-opset-{version}", converted, like="sample")


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(running):
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_, "tensor(int64)": np.int64}
    made, random = {}, np.random.default_rng(1)
    for value in running.get_inputs():
        # Without a shape it is the one that every network here takes.
        shape = [extent if isinstance(extent, int) else 3 for extent in value.shape or ([3, 16] if value.name == "x" else [])]
        if "string" in value.type:
            made[value.name] = np.array(["word", "Wörter", ""], dtype=object)
            continue
        made[value.name] = np.asarray(random.standard_normal(shape) if "bool" not in value.type else np.ones(shape), types[value.type])
    return made


def distance(a, b):
    """Largest difference as a share of the largest value; the same places that are no numbers in both are no difference."""
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    share = float(np.abs(a - b).max() / (np.abs(a).max() + 1e-9))
    return share if np.isfinite(share) else 1e9


def compare(folder):
    """For each NAME.after.onnx: whether it computes what NAME.onnx computes, to the precision of weights in halves."""
    folder = pathlib.Path(folder)
    for after in sorted(folder.glob("*.after.onnx")):
        name = after.name.removesuffix(".after.onnx")
        result = {"name": name}
        try:
            original = session(folder / f"{name}.onnx")
        except Exception:
            result["original"] = "does not load"
            print(json.dumps(result))
            continue
        try:
            given = feeds(original)
            before, now = original.run(None, given), session(after).run(None, given)
            result["error"] = max(
                (distance(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(before, now) if a.size and a.dtype != object), default=0.0)
        except Exception as error:
            result["failed"] = " ".join(str(error).split())[:200]
        print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        made = Cases(sys.argv[2])
        for part in (places_of_weights, weights_in_disguise, element_types, interfaces, layer_kinds, subgraphs, files, graphs, lies, operator_sets):
            part(made)
        versions(made, sys.argv[3:])
        (made.folder / "manifest.json").write_text(json.dumps(made.manifest))
    else:
        compare(sys.argv[2])
