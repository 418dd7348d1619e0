"""Small models to start from, each with arrays that it can be fed."""

import functools
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
SAMPLES = 12


class Builder:
    """Nodes and weights of one model; the last node's output is what the next one reads."""

    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.rng = np.random.default_rng(len(name))
        self.nodes, self.weights, self.inputs, self.outputs, self.imports = [], [], [], [], []
        self.count = 0

    def input(self, name, shape, type=T.FLOAT):
        self.inputs.append(h.make_tensor_value_info(name, type, shape))
        return name

    def weight(self, *shape, name=None, values=None, type=np.float32, scale=0.4):
        self.count += 1
        name = name or f"w{self.count}"
        array = np.asarray(values, type) if values is not None else (self.rng.standard_normal(shape) * scale).astype(type)
        self.weights.append(nh.from_array(array, name))
        return name

    def ints(self, *values):
        return self.weight(values=values, type=np.int64)

    def node(self, kind, *inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = [f"v{self.count}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(h.make_node(kind, list(inputs), names, name=f"{kind}_{self.count}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def output(self, value, shape=None, type=T.FLOAT):
        self.outputs.append(h.make_tensor_value_info(value, type, shape))

    def model(self):
        graph = h.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        made = h.make_model(graph, opset_imports=[h.make_opsetid("", self.opset), *self.imports])
        made.ir_version = 8
        return made


def convolutions():
    b = Builder("convolutions")
    x = b.input("x", ["n", 3, 8, 8])
    x = b.node("Conv", x, b.weight(8, 3, 3, 3), b.weight(8), pads=[1] * 4)
    x = b.node("BatchNormalization", x, b.weight(values=np.ones(8)), b.weight(8), b.weight(8), b.weight(values=np.ones(8)))
    x = b.node("Relu", x)
    skip = x
    x = b.node("Conv", x, b.weight(8, 1, 3, 3), group=8, pads=[1] * 4)
    x = b.node("Conv", x, b.weight(8, 8, 1, 1), b.weight(8))
    x = b.node("Add", x, skip)
    x = b.node("Clip", x, b.weight(values=0.0), b.weight(values=6.0))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Conv", x, b.weight(16, 8, 3, 3), b.weight(16), strides=[2, 2], pads=[1] * 4)
    x = b.node("Relu", x)
    x = b.node("GlobalAveragePool", x)
    x = b.node("Flatten", x)
    x = b.node("Gemm", x, b.weight(4, 16), b.weight(4), transB=1)
    b.output(x, ["n", 4])
    return b.model()


def upsampling():
    b = Builder("upsampling")
    x = b.input("x", [1, 1, 6, 6])
    x = b.node("Pad", x, b.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    x = b.node("Conv", x, b.weight(6, 1, 3, 3), b.weight(6))
    x = b.node("PRelu", x, b.weight(6, 1, 1))
    x = b.node("ConvTranspose", x, b.weight(6, 4, 2, 2), b.weight(4), strides=[2, 2])
    x = b.node("Resize", x, "", b.weight(values=[1, 1, 2, 2]), mode="nearest")
    x = b.node("Conv", x, b.weight(4, 4, 1, 1))
    x = b.node("DepthToSpace", x, blocksize=2)
    b.output(x, [1, 1, 48, 48])
    return b.model()


def dense():
    b = Builder("dense")
    x = b.input("x", ["n", 16])
    x = b.node("Gemm", x, b.weight(16, 24), b.weight(24), alpha=0.5)
    x = b.node("Tanh", x)
    x = b.node("MatMul", x, b.weight(24, 24))
    x = b.node("Add", x, b.weight(24))
    x = b.node("Relu", x)
    x = b.node("Gemm", x, b.weight(4, 24), b.weight(4), transB=1)
    x = b.node("Softmax", x)
    b.output(x, ["n", 4])
    return b.model()


def attention():
    b = Builder("attention")
    tokens = b.input("x", ["n", 6], T.INT64)
    x = b.node("Gather", b.weight(12, 16, name="table"), tokens)
    x = b.node("Add", x, b.weight(1, 6, 16))
    for _ in range(2):
        n = b.node("LayerNormalization", x, b.weight(values=np.ones(16)), b.weight(16), axis=-1)
        heads = []
        for place in range(3):
            v = b.node("Add", b.node("MatMul", n, b.weight(16, 16)), b.weight(16))
            v = b.node("Reshape", v, b.ints(0, 0, 4, 4))
            heads.append(b.node("Transpose", v, perm=[0, 2, 3, 1] if place == 1 else [0, 2, 1, 3]))
        s = b.node("Mul", b.node("MatMul", heads[0], heads[1]), b.weight(values=0.5))
        a = b.node("MatMul", b.node("Softmax", s, axis=-1), heads[2])
        a = b.node("Reshape", b.node("Transpose", a, perm=[0, 2, 1, 3]), b.ints(0, 0, 16))
        x = b.node("Add", x, b.node("Add", b.node("MatMul", a, b.weight(16, 16)), b.weight(16)))
        f = b.node("MatMul", x, b.weight(16, 32))
        f = b.node("Mul", f, b.node("Sigmoid", f))
        x = b.node("Add", x, b.node("MatMul", f, b.weight(32, 16)))
    x = b.node("ReduceMean", x, axes=[1], keepdims=0)
    b.output(b.node("Gemm", x, b.weight(16, 4), b.weight(4)), ["n", 4])
    return b.model()


def recurrent():
    b = Builder("recurrent")
    x = b.input("x", ["n", 5, 6])
    x = b.node("Transpose", x, perm=[1, 0, 2])
    y, h_, c = b.node("LSTM", x, b.weight(1, 32, 6), b.weight(1, 32, 8), b.weight(1, 64), outputs=3, hidden_size=8)
    y = b.node("Squeeze", y, b.ints(1))
    z, _ = b.node("GRU", y, b.weight(2, 18, 8), b.weight(2, 18, 6), b.weight(2, 36), outputs=2, hidden_size=6, direction="bidirectional",
                  linear_before_reset=1)
    z = b.node("Reshape", b.node("Transpose", z, perm=[0, 2, 1, 3]), b.ints(0, 0, -1))
    r, last = b.node("RNN", z, b.weight(1, 7, 12), b.weight(1, 7, 7), outputs=2, hidden_size=7)
    x = b.node("Squeeze", last, b.ints(0))
    b.output(b.node("Gemm", x, b.weight(7, 4), b.weight(4)), ["n", 4])
    return b.model()


def shapes():
    b = Builder("shapes")
    x = b.input("x", ["n", 4, 6])
    first, second = b.node("Split", x, b.ints(2, 2), outputs=2, axis=1)
    x = b.node("Concat", second, first, axis=1)
    x = b.node("Slice", x, b.ints(0), b.ints(5), b.ints(1), b.ints(2))
    x = b.node("Einsum", x, b.weight(6, 5), equation="bij,jk->bik")
    shape = b.node("Shape", x)
    x = b.node("Reshape", x, b.node("Concat", b.node("Gather", shape, b.ints(0)), b.ints(-1), axis=0))
    x = b.node("Unsqueeze", x, b.ints(1))
    x = b.node("Conv", x, b.weight(3, 1, 3), b.weight(3))
    x = b.node("Flatten", b.node("Expand", x, b.ints(1, 3, 8)))
    x = b.node("MatMul", x, b.node("Transpose", b.weight(4, 24), perm=[1, 0]))
    b.output(x, ["n", 4])
    return b.model()


def quantize_linear():
    b = Builder("quantize-linear")
    def pair(x, scale=0.05):
        s, z = b.weight(values=np.float32(scale)), b.weight(values=np.uint8(128), type=np.uint8)
        return b.node("DequantizeLinear", b.node("QuantizeLinear", x, s, z), s, z)
    def weights(*shape):
        q = b.weight(values=b.rng.integers(-127, 127, shape), type=np.int8)
        return b.node("DequantizeLinear", q, b.weight(values=np.full(shape[0], 0.01)), b.weight(values=np.zeros(shape[0]), type=np.int8), axis=0)
    x = pair(b.input("x", ["n", 2, 6, 6]))
    x = b.node("Relu", b.node("Conv", x, weights(4, 2, 3, 3), b.weight(4)))
    x = b.node("Flatten", pair(x))
    b.output(b.node("Gemm", x, weights(4, 64), b.weight(4), transB=1), ["n", 4])
    return b.model()


def quantized_operators():
    b = Builder("quantized-operators")
    def scale(value=0.05): return b.weight(values=np.float32(value))
    def zero(type=np.uint8): return b.weight(values=type(0), type=type)
    x = b.input("x", ["n", 2, 6, 6])
    s, z = scale(), zero()
    x = b.node("QuantizeLinear", x, s, z)
    w = b.weight(values=b.rng.integers(-127, 127, (4, 2, 3, 3)), type=np.int8)
    t, y = scale(), zero()
    x = b.node("QLinearConv", x, s, z, w, scale(0.01), zero(np.int8), t, y, b.weight(values=[1, 2, 3, 4], type=np.int32))
    x = b.node("Flatten", b.node("DequantizeLinear", x, t, y))
    q, qs, qz = b.node("DynamicQuantizeLinear", x, outputs=3)
    m = b.weight(values=b.rng.integers(-127, 127, (64, 8)), type=np.int8)
    x = b.node("Mul", b.node("Cast", b.node("MatMulInteger", q, m, qz, zero(np.int8)), to=T.FLOAT), b.node("Mul", qs, scale(0.01)))
    s, z = scale(), zero()
    x = b.node("QuantizeLinear", x, s, z)
    m = b.weight(values=b.rng.integers(-127, 127, (8, 4)), type=np.int8)
    x = b.node("QLinearMatMul", x, s, z, m, scale(0.01), zero(np.int8), s, z)
    b.output(b.node("DequantizeLinear", x, s, z), ["n", 4])
    return b.model()


def packed_bits():
    b = Builder("packed-bits")
    b.imports.append(h.make_opsetid("com.microsoft", 1))
    x = b.input("x", ["n", 32])
    q = b.weight(values=b.rng.integers(0, 255, (8, 2, 8)), type=np.uint8)
    x = b.node("MatMulNBits", x, q, b.weight(16, scale=0.02), b.weight(values=[0x88] * 8, type=np.uint8),
               domain="com.microsoft", K=32, N=8, bits=4, block_size=16)
    x = b.node("Gelu", x, domain="com.microsoft")
    table = b.weight(values=b.rng.standard_normal(16), type=np.float32)
    codes = b.weight(values=b.rng.integers(0, 16, (8, 4)), type=np.int64)
    b.output(b.node("MatMul", x, b.node("Gather", table, codes)), ["n", 4])
    return b.model()


def several():
    b = Builder("several")
    x, mask = b.input("x", ["n", 8]), b.input("mask", ["n", 8])
    ids = b.input("ids", ["n"], T.INT64)
    shared = b.weight(8, 8, name="shared")
    x = b.node("MatMul", b.node("Mul", x, mask), shared)
    y = b.node("MatMul", b.node("Relu", x), b.node("Transpose", shared, perm=[1, 0]))
    e = b.node("Gather", b.weight(5, 8, name="table"), ids)
    x = b.node("Concat", x, y, e, axis=1)
    b.output(b.node("Gemm", x, b.weight(24, 4), b.weight(4)), ["n", 4])
    b.output(y, ["n", 8])
    b.output(b.node("ReduceSum", e, b.ints(1), keepdims=0), ["n"])
    return b.model()


def branches():
    """If, Loop and Scan with weights inside, and a weight of the outer graph that a branch reads."""
    b = Builder("branches")
    x = b.input("x", [1, 6])
    outer = b.weight(6, 6, name="outer")
    def branch(name, weights):
        inner = nh.from_array(np.ones((6, 6), np.float32), f"{name}_w")
        out = h.make_tensor_value_info(f"{name}_y", T.FLOAT, None)
        return h.make_graph([h.make_node("MatMul", [x, weights or f"{name}_w"], [f"{name}_y"], name=f"{name}/MatMul")], name, [], [out], [inner])
    flag = b.node("Greater", b.node("ReduceSum", x, keepdims=0), b.weight(values=np.float32(0)))
    y = b.node("If", flag, then_branch=branch("then", outer), else_branch=branch("else", None))
    info = h.make_tensor_value_info
    body = h.make_graph(
        [h.make_node("Identity", ["c"], ["c2"]), h.make_node("MatMul", ["s", "outer"], ["m"], name="body/MatMul"),
         h.make_node("Tanh", ["m"], ["s2"])], "body",
        [info("i", T.INT64, []), info("c", T.BOOL, []), info("s", T.FLOAT, [1, 6])], [info("c2", T.BOOL, []), info("s2", T.FLOAT, [1, 6])])
    y = b.node("Loop", b.weight(values=np.int64(3), type=np.int64), b.weight(values=True, type=np.bool_), y, body=body)
    step = h.make_graph(
        [h.make_node("Gemm", ["r", "k"], ["o"], name="scan/Gemm"), h.make_node("Add", ["a", "o"], ["a2"])], "step",
        [info("a", T.FLOAT, [1, 6]), info("r", T.FLOAT, [1, 6])], [info("a2", T.FLOAT, [1, 6]), info("o", T.FLOAT, [1, 6])],
        [nh.from_array(np.eye(6, dtype=np.float32), "k")])
    last, _ = b.node("Scan", y, b.node("Unsqueeze", y, b.ints(0)), outputs=2, body=step, num_scan_inputs=1)
    b.output(b.node("Gemm", last, b.weight(6, 4)), [1, 4])
    return b.model()


def functions():
    b = Builder("functions")
    b.imports.append(h.make_opsetid("local", 1))
    x = b.input("x", ["n", 8])
    x = b.node("Block", x, b.weight(8, 8), b.weight(8), domain="local", alpha=0.1)
    x = b.node("Block", x, b.weight(8, 4), b.weight(4), domain="local")
    b.output(x, ["n", 4])
    made = b.model()
    leak = h.make_node("LeakyRelu", ["z"], ["y"])
    leak.attribute.append(h.make_attribute_ref("alpha", onnx.AttributeProto.FLOAT))
    nodes = [h.make_node("MatMul", ["x", "w"], ["m"]), h.make_node("Add", ["m", "c"], ["z"]), leak]
    function = h.make_function("local", "Block", ["x", "w", "c"], ["y"], nodes, [h.make_opsetid("", 17)],
                               attribute_protos=[h.make_attribute("alpha", 0.3)])
    made.functions.append(function)
    return made


def half():
    b = Builder("half")
    x = b.input("x", ["n", 8], T.FLOAT16)
    x = b.node("MatMul", x, b.weight(8, 8, type=np.float16))
    x = b.node("Cast", x, to=T.DOUBLE)
    x = b.node("Gemm", x, b.weight(8, 4, type=np.float64), b.weight(4, type=np.float64))
    b.output(b.node("Cast", x, to=T.FLOAT), ["n", 4])
    return b.model()


BUILDERS = [convolutions, upsampling, dense, attention, recurrent, shapes, quantize_linear, quantized_operators, packed_bits, several, branches,
            functions, half]
FILES = ["SampleModels/ds-cnn.onnx", "SampleModels/resnet-8.onnx", "SampleModels/lstm.onnx", "SampleModels/transformer.onnx",
         ".deps/real-models/eltwise_chanlast.onnx", ".deps/real-models/sdp_attention.onnx", ".deps/real-models/mnist8_cntk.onnx"]


@functools.cache
def models():
    """Serialized models by name."""
    made = {build.__name__: build().SerializeToString() for build in BUILDERS}
    for name in FILES:
        path = REPOSITORY / name
        if path.exists():
            made[path.stem] = path.read_bytes()
    return made


def arrays(model, rng, samples=SAMPLES):
    """Random arrays for the inputs of a model, samples in front."""
    weights = {tensor.name for tensor in model.graph.initializer}
    made = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if value.name in weights or not value.name or not tensor.HasField("shape"):
            continue
        sizes = [d.dim_value if 0 < d.dim_value < 300 else 2 for d in tensor.shape.dim][1:]
        if np.prod(sizes, dtype=float) > 1e5:
            continue
        shape = [samples, *sizes]
        if tensor.elem_type in (T.INT64, T.INT32):
            made[value.name] = rng.integers(0, 4, shape).astype(np.int64 if tensor.elem_type == T.INT64 else np.int32)
        elif tensor.elem_type == T.BOOL:
            made[value.name] = rng.integers(0, 2, shape).astype(bool)
        else:
            made[value.name] = rng.standard_normal(shape).astype({T.FLOAT16: np.float16, T.DOUBLE: np.float64}.get(tensor.elem_type, np.float32))
    return made


def parse(data):
    """A model of its bytes; None if they are no protobuf."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:
        return None
    return model
