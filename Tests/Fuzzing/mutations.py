"""Ways to make an ONNX model odd while it stays a valid message, and, less often, to damage its bytes.

A mutation takes a Mutant and changes it; what it needs and does not find makes it do nothing.
"""

import dataclasses
import json
import random

import numpy as np
import onnx
from google.protobuf.message import Error as ProtobufError
from onnx import AttributeProto as A
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import odd
import seeds

DIMENSIONS = [0, -1, 1, 2, 3, 7, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63), (1 << 32) + 1, 65536]
INTEGERS = [0, 1, -1, 2, 3, 4, 7, 100, -2, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63), 1 << 40, 255]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"), 1e-20, 0.5]
OPERATORS = """Abs Add And ArgMax AveragePool BatchNormalization Cast Ceil Clip Compress Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose
CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten GRU Gather GatherElements GatherND
Gelu Gemm GlobalAveragePool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization LRN LSTM LayerNormalization LeakyRelu
LogSoftmax Loop LpNormalization MatMul MatMulInteger Max MaxPool MaxUnpool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv
QLinearMatMul QuantizeLinear RNN Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceSum Relu Reshape Resize Scan ScatterND Shape Sigmoid Sign
SimplifiedLayerNormalization Size Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
MatMulNBits FusedConv Attention MultiHeadAttention SkipLayerNormalization NoSuchOperator""".split()
MICROSOFT = {"MatMulNBits", "FusedConv", "Attention", "MultiHeadAttention", "SkipLayerNormalization"}


@dataclasses.dataclass
class Mutant:
    model: onnx.ModelProto
    rng: random.Random
    # External data by file name.
    files: dict = dataclasses.field(default_factory=dict)

    def graphs(self):
        """The main graph and those inside nodes."""
        found = [self.model.graph]
        for graph in found:
            for node in graph.node:
                for attribute in node.attribute:
                    if attribute.HasField("g"):
                        found.append(attribute.g)
                    found.extend(attribute.graphs)
            if len(found) > 200:
                break
        return found

    def graph(self):
        return self.rng.choice(self.graphs()) if self.rng.random() < 0.4 else self.model.graph

    def node(self):
        nodes = [node for graph in self.graphs() for node in graph.node]
        nodes += [node for function in self.model.functions for node in function.node]
        return self.rng.choice(nodes) if nodes else None

    def tensor(self):
        tensors = [tensor for graph in self.graphs() for tensor in graph.initializer]
        tensors += [a.t for graph in self.graphs() for node in graph.node for a in node.attribute if a.HasField("t")]
        return self.rng.choice(tensors) if tensors else None

    def names(self):
        names = [value.name for value in self.model.graph.input]
        for graph in self.graphs():
            names += [name for node in graph.node for name in node.output] + [tensor.name for tensor in graph.initializer]
        return names or ["x"]

    def name(self):
        return self.rng.choice(self.names())

    def fresh(self):
        return f"fresh_{self.rng.randrange(1 << 30)}"


def remove_node(m):
    graph = m.graph()
    if graph.node:
        del graph.node[m.rng.randrange(len(graph.node))]


def duplicate_node(m):
    graph = m.graph()
    if graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(m.rng.choice(graph.node))
        if m.rng.random() < 0.7:
            for index in range(len(copy.output)):
                copy.output[index] = m.fresh()
        if m.rng.random() < 0.5:
            copy.name = m.fresh()
        graph.node.insert(m.rng.randrange(len(graph.node) + 1), copy)


def rewire_input(m):
    node = m.node()
    if node and node.input:
        node.input[m.rng.randrange(len(node.input))] = m.name()


def make_cycle(m):
    node = m.node()
    if node and node.input and node.output:
        node.input[m.rng.randrange(len(node.input))] = m.rng.choice(node.output)


def swap_inputs(m):
    node = m.node()
    if node and len(node.input) > 1:
        i, j = m.rng.sample(range(len(node.input)), 2)
        node.input[i], node.input[j] = node.input[j], node.input[i]


def drop_or_add_input(m):
    node = m.node()
    if not node:
        return
    choice = m.rng.randrange(4)
    if choice == 0 and node.input:
        del node.input[m.rng.randrange(len(node.input))]
    elif choice == 1 and node.input:
        node.input[m.rng.randrange(len(node.input))] = ""
    elif choice == 2:
        node.input.extend([m.name()] * m.rng.choice([1, 1, 2, 300]))
    else:
        del node.input[:]


def drop_or_add_output(m):
    node = m.node()
    if not node:
        return
    choice = m.rng.randrange(4)
    if choice == 0 and node.output:
        del node.output[m.rng.randrange(len(node.output))]
    elif choice == 1 and node.output:
        node.output[m.rng.randrange(len(node.output))] = ""
    elif choice == 2:
        node.output.append(m.fresh())
    elif node.output:
        node.output.append(node.output[0])


def change_graph_values(m):
    graph = m.graph()
    values = graph.output if m.rng.random() < 0.6 else graph.input
    choice = m.rng.randrange(5)
    if choice == 0 and values:
        del values[m.rng.randrange(len(values))]
    elif choice == 1 and values:
        values.add().CopyFrom(m.rng.choice(values))
    elif choice == 2 and values:
        m.rng.choice(values).name = m.rng.choice([m.name(), "", m.fresh()])
    elif choice == 3:
        values.append(h.make_tensor_value_info(m.name(), m.rng.choice([T.FLOAT, T.INT64, T.UINT8, T.FLOAT16]), m.rng.choice([None, [], ["n"], [2, 3]])))
    else:
        values.append(onnx.ValueInfoProto(name=m.name()))


def change_operator(m):
    node = m.node()
    if node:
        node.op_type = m.rng.choice(OPERATORS + ["", "Conv", "Gemm", "MatMul", "Gather"])
        node.domain = "com.microsoft" if node.op_type in MICROSOFT else m.rng.choice([node.domain] * 6 + ["", "ai.onnx", "com.microsoft", "odd"])
        if m.rng.random() < 0.5:
            del node.attribute[:]


def odd_value(m, attribute):
    """Gives an attribute a value of its kind that is odd."""
    kind, rng = attribute.type, m.rng
    if kind == A.INT:
        attribute.i = rng.choice(INTEGERS)
    elif kind == A.FLOAT:
        attribute.f = rng.choice(FLOATS)
    elif kind == A.STRING:
        attribute.s = odd.text(rng).encode("utf-8", "surrogateescape") if rng.random() < 0.8 else bytes(rng.randrange(256) for _ in range(8))
    elif kind in (A.INTS, A.FLOATS):
        values = attribute.ints if kind == A.INTS else attribute.floats
        pool = INTEGERS if kind == A.INTS else FLOATS
        choice = rng.randrange(4)
        if choice == 0 and values:
            values[rng.randrange(len(values))] = rng.choice(pool)
        elif choice == 1 and values:
            del values[rng.randrange(len(values)):]
        elif choice == 2:
            values.extend([rng.choice(pool)] * rng.choice([1, 1, 3, 1000]))
        else:
            del values[:]
    elif kind == A.TENSOR:
        damage_tensor(m, attribute.t)


def change_attribute(m):
    node = m.node()
    if not node:
        return
    choice = m.rng.randrange(9)
    if not node.attribute or choice == 0:
        name = m.rng.choice("axis perm group pads strides dilations kernel_shape auto_pad hidden_size direction to transA transB alpha bits block_size "
                            "value axes keepdims epsilon equation layout K N clip activations input_forget linear_before_reset odd".split())
        value = m.rng.choice([m.rng.choice(INTEGERS), m.rng.choice(FLOATS), [m.rng.choice(INTEGERS)] * m.rng.choice([1, 2, 4]), "odd", ["a", "b"]])
        node.attribute.append(h.make_attribute(name, value))
        return
    attribute = m.rng.choice(node.attribute)
    if choice < 5:
        odd_value(m, attribute)
    elif choice == 5:
        node.attribute.remove(attribute)
    elif choice == 6:
        node.attribute.add().CopyFrom(attribute)
        odd_value(m, node.attribute[-1])
    elif choice == 7:
        attribute.type = m.rng.choice([*range(15), 99])
    else:
        attribute.name = m.rng.choice(["", m.fresh(), "axis", "value"])
        if m.rng.random() < 0.5:
            attribute.ref_attr_name = m.rng.choice(["", "alpha", "odd"])


def damage_tensor(m, tensor=None):
    tensor = tensor if tensor is not None else m.tensor()
    if tensor is None:
        return
    rng, choice = m.rng, m.rng.randrange(9)
    if choice == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(DIMENSIONS)
    elif choice == 1:
        tensor.dims.extend([rng.choice([1, 1, 1, *DIMENSIONS])] * rng.choice([1, 1, 2, 100]))
    elif choice == 2:
        del tensor.dims[:]
    elif choice == 3:
        tensor.data_type = rng.choice([*range(0, 28), 99, -1])
    elif choice == 4 and tensor.raw_data:
        tensor.raw_data = tensor.raw_data[:rng.randrange(len(tensor.raw_data))]
    elif choice == 5:
        tensor.raw_data = tensor.raw_data + bytes(rng.choice([1, 4, 1000]))
    elif choice == 6:
        tensor.ClearField("raw_data")
    elif choice == 7:
        getattr(tensor, rng.choice(["float_data", "int32_data", "int64_data", "double_data", "uint64_data"])).extend([1] * rng.choice([1, 4, 1000]))
    else:
        tensor.string_data.append(b"odd")


def reshape_weight(m):
    """Another shape of the same number of elements, or a part of them: sound, and not what its node expects."""
    tensor = m.tensor()
    array = array_of(tensor)
    if array is None or array.size > 1 << 16:
        return
    choice = m.rng.randrange(6)
    if choice == 0:
        array = array.reshape(-1)
    elif choice == 1:
        array = array.T
    elif choice == 2 and array.ndim:
        array = np.take(array, range(m.rng.randrange(array.shape[0] + 1)), axis=0)
    elif choice == 3 and array.ndim:
        array = np.concatenate([array, array], axis=m.rng.randrange(array.ndim))
    elif choice == 4:
        array = array.reshape((1,) * m.rng.choice([1, 2, 7]) + array.shape)
    elif choice == 5 and array.size:
        array = array.reshape(-1)[:1].reshape(m.rng.choice([(), (1,), (1, 1)]))
    tensor.CopyFrom(nh.from_array(np.ascontiguousarray(array), tensor.name))


def array_of(tensor):
    try:
        return nh.to_array(tensor) if tensor is not None else None
    except Exception:
        return None


def change_weight_values(m):
    tensor = m.tensor()
    array = array_of(tensor)
    if array is None or not array.size or array.size > 1 << 17 or array.dtype.kind not in "fiu":
        return
    flat = array.copy().reshape(-1)
    choice = m.rng.randrange(6)
    if array.dtype.kind == "f":
        value = np.float64(m.rng.choice(FLOATS))
    else:
        limits = np.iinfo(array.dtype)
        value = m.rng.choice([v for v in [*INTEGERS, limits.min, limits.max] if limits.min <= v <= limits.max])
    with np.errstate(over="ignore"):
        if choice == 0:
            flat[m.rng.randrange(flat.size)] = value
        elif choice == 1:
            flat[:] = value
        elif choice == 2:
            flat[:: m.rng.choice([2, 3, 5])] = value
        elif choice == 3 and array.dtype.kind == "f":
            flat = (flat.astype(np.float64) * m.rng.choice([1e30, 1e-30, 1e-40, 0, -1])).astype(array.dtype)
        elif choice == 4:
            flat = np.sign(flat).astype(array.dtype)
        else:
            flat[:] = flat[0]
    tensor.CopyFrom(nh.from_array(flat.reshape(array.shape), tensor.name))


def change_weight_type(m):
    """The same values in another type, or in another field of the message."""
    tensor = m.tensor()
    array = array_of(tensor)
    if array is None or array.size > 1 << 16 or array.dtype.kind not in "fiu":
        return
    if m.rng.random() < 0.6:
        with np.errstate(all="ignore"):
            tensor.CopyFrom(nh.from_array(array.astype(m.rng.choice([np.float16, np.float64, np.float32, np.int32, np.int64, np.uint8, np.int8])), tensor.name))
    elif array.dtype in (np.float32, np.int64, np.int32):
        name = tensor.name
        tensor.CopyFrom(h.make_tensor(name, tensor.data_type, array.shape, array.reshape(-1).tolist()))


def rename(m):
    """A name everywhere it stands, or only in one place; or two things of one name."""
    new = m.rng.choice([odd.name(m.rng), m.name(), "", "x" * 5000])
    choice = m.rng.randrange(4)
    if choice == 0:
        old = m.name()
        for graph in m.graphs():
            for node in graph.node:
                node.input[:] = [new if name == old else name for name in node.input]
                node.output[:] = [new if name == old else name for name in node.output]
            for thing in [*graph.initializer, *graph.input, *graph.output, *graph.value_info]:
                if thing.name == old:
                    thing.name = new
    elif choice == 1:
        node = m.node()
        if node:
            node.name = new
    elif choice == 2:
        for graph in m.graphs():
            for node in graph.node:
                node.name = new
    else:
        tensor = m.tensor()
        if tensor is not None:
            tensor.name = new


def wrap_in_branch(m):
    """A node goes into both branches of an If, several deep."""
    graph = m.graph()
    if not graph.node:
        return
    index = m.rng.randrange(len(graph.node))
    node = onnx.NodeProto()
    node.CopyFrom(graph.node[index])
    if not node.output:
        return
    flag = m.fresh()
    graph.initializer.append(nh.from_array(np.array(m.rng.random() < 0.5), flag))
    results = list(node.output)
    for depth in range(m.rng.choice([1, 1, 2, 3, 28])):
        branches = {}
        for side in ("then", "else"):
            inner = onnx.NodeProto()
            inner.CopyFrom(node)
            names = [f"{name}_{side}_{depth}" for name in results]
            inner.output[:] = names
            branches[side] = h.make_graph([inner], side, [], [h.make_empty_tensor_value_info(name) for name in names])
            # Both sides whole would double at each depth.
            if depth > 3 and side == "else":
                branches[side].node[0].CopyFrom(h.make_node("Identity", [m.name()], names))
        node = h.make_node("If", [flag], results, name=m.fresh(), then_branch=branches["then"], else_branch=branches["else"])
    graph.node[index].CopyFrom(node)


def wrap_in_loop(m):
    graph = m.graph()
    nodes = [n for n in graph.node if n.input and len(n.output) == 1]
    if not nodes:
        return
    node = m.rng.choice(nodes)
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    state, out, flag, count = (m.fresh() for _ in range(4))
    inner.input[0], inner.output[0] = state, out
    info = h.make_empty_tensor_value_info
    body = h.make_graph(
        [inner, h.make_node("Identity", [f"{flag}_in"], [f"{flag}_out"])], "body",
        [info(f"{flag}_i"), info(f"{flag}_in"), info(state)], [info(f"{flag}_out"), info(out)])
    graph.initializer.append(nh.from_array(np.array(m.rng.choice([0, 1, 1, 2, -1, 1000]), np.int64), count))
    graph.initializer.append(nh.from_array(np.array(m.rng.random() < 0.8), flag))
    loop = h.make_node("Loop", [count, flag, node.input[0]], [node.output[0]], name=m.fresh(), body=body)
    node.CopyFrom(loop)


def move_to_function(m):
    graph = m.graph()
    if not graph.node:
        return
    node = m.rng.choice(graph.node)
    inputs, outputs = [n for n in node.input if n], [n for n in node.output if n]
    name, domain = m.rng.choice(["F", "Relu", m.fresh()]), m.rng.choice(["local", "", "com.microsoft"])
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    function = h.make_function(domain, name, inputs, outputs, [inner], [h.make_opsetid("", m.rng.choice([17, 17, 1, 13]))])
    choice = m.rng.randrange(5)
    if choice == 0:
        function.node.append(h.make_node(name, inputs, [m.fresh() for _ in outputs], domain=domain))
    elif choice == 1 and function.input:
        del function.input[-1]
    elif choice == 2:
        function.output.append(m.fresh())
    m.model.functions.append(function)
    if not any(item.domain == domain for item in m.model.opset_import):
        m.model.opset_import.append(h.make_opsetid(domain, 1))
    node.CopyFrom(h.make_node(name, inputs, outputs, name=node.name, domain=domain))


def change_versions(m):
    choice = m.rng.randrange(5)
    if choice == 0:
        m.model.ir_version = m.rng.choice([0, 1, 2, 3, 4, 7, 10, 99, -1, 1 << 40])
    elif choice == 1:
        del m.model.opset_import[:]
    elif choice == 2:
        m.model.opset_import.append(h.make_opsetid(m.rng.choice(["", "ai.onnx", "odd", "ai.onnx.ml", "com.microsoft"]), m.rng.choice([1, 13, 20])))
    elif m.model.opset_import:
        m.rng.choice(m.model.opset_import).version = m.rng.choice([0, 1, 5, 6, 7, 9, 10, 11, 12, 13, 14, 18, 20, 21, 23, 99, -1, 1 << 40])


def change_type(m):
    graph = m.graph()
    values = [*graph.input, *graph.output, *graph.value_info]
    if not values:
        return
    value = m.rng.choice(values)
    tensor, choice = value.type.tensor_type, m.rng.randrange(8)
    if choice == 0:
        value.ClearField("type")
    elif choice == 1:
        tensor.elem_type = m.rng.choice([*range(0, 24), 99, -1])
    elif choice == 2:
        tensor.ClearField("shape")
    elif choice == 3:
        tensor.shape.dim.add().dim_value = m.rng.choice(DIMENSIONS)
    elif choice == 4 and tensor.shape.dim:
        m.rng.choice(tensor.shape.dim).dim_value = m.rng.choice(DIMENSIONS)
    elif choice == 5 and tensor.shape.dim:
        m.rng.choice(tensor.shape.dim).dim_param = m.rng.choice(["n", "", "batch", "x" * 5000, odd.name(m.rng)])
    elif choice == 6:
        kind = m.rng.choice([h.make_sequence_type_proto, h.make_optional_type_proto])
        value.type.CopyFrom(kind(h.make_tensor_type_proto(T.FLOAT, ["n"])))
    elif tensor.shape.dim:
        del tensor.shape.dim[m.rng.randrange(len(tensor.shape.dim)):]


def add_value_info(m):
    names = m.names()
    for _ in range(m.rng.choice([1, 3, 10])):
        shape = [m.rng.choice([*DIMENSIONS, "n"]) for _ in range(m.rng.randrange(5))]
        m.model.graph.value_info.append(h.make_tensor_value_info(m.rng.choice(names), m.rng.choice([T.FLOAT, T.INT8, T.INT64]), shape))


def external_data(m):
    tensor = m.tensor()
    if tensor is None:
        return
    data = tensor.raw_data or bytes(64)
    if m.rng.random() < 0.7:
        m.files["weights.bin"] = m.files.get("weights.bin", b"") + data
    size = len(m.files.get("weights.bin", b""))
    tensor.ClearField("raw_data")
    tensor.data_location = T.EXTERNAL
    del tensor.external_data[:]
    def entry(key, value): tensor.external_data.add(key=key, value=str(value))
    odd_numbers = [0, -1, 1, 3, size, size + 1, 1 << 62, (1 << 63) - 1, 1 << 64, "", "odd", "0x10", "1e3", " 4"]
    if m.rng.random() < 0.95:
        entry("location", m.rng.choice(["weights.bin"] * 6 + ["missing.bin", "", ".", "..", "../weights.bin", "/etc/passwd", "model.onnx", "a\0b", "x" * 5000,
                                                               "./weights.bin", "state", "/dev/zero", "weights.bin/"]))
    if m.rng.random() < 0.8:
        entry("offset", m.rng.choice([max(size - len(data), 0)] * 6 + odd_numbers))
    if m.rng.random() < 0.8:
        entry("length", m.rng.choice([len(data)] * 6 + odd_numbers))
    if m.rng.random() < 0.2:
        entry(m.rng.choice(["checksum", "odd", "offset"]), m.rng.choice(["1", "odd"]))
    if m.rng.random() < 0.1:
        tensor.raw_data = data


def sparse_initializer(m):
    """A weight in coordinate form, sound or not."""
    graph = m.model.graph
    if not graph.initializer:
        return
    tensor = m.rng.choice(graph.initializer)
    array = array_of(tensor)
    if array is None or array.ndim == 0 or array.size > 1 << 14:
        return
    kept = np.flatnonzero(np.arange(array.size) % 3 == 0)
    values = nh.from_array(np.ascontiguousarray(array.reshape(-1)[kept]), tensor.name)
    indices = kept.astype(np.int64)
    choice = m.rng.randrange(5)
    if choice == 0:
        indices = indices[::-1].copy()
    elif choice == 1 and indices.size:
        indices[-1] = m.rng.choice(INTEGERS)
    elif choice == 2:
        indices = np.stack(np.unravel_index(kept, array.shape), axis=1).astype(np.int64)
    elif choice == 3:
        indices = indices[: indices.size // 2]
    dims = list(array.shape)
    if m.rng.random() < 0.2:
        dims[0] = m.rng.choice(DIMENSIONS)
    graph.initializer.remove(tensor)
    graph.sparse_initializer.append(h.make_sparse_tensor(values, nh.from_array(indices, ""), dims))


def make_constant(m):
    """An initializer becomes a Constant node, an Identity of one, a graph input, or a computed value."""
    graph = m.graph()
    if not graph.initializer:
        return
    tensor = m.rng.choice(graph.initializer)
    name = tensor.name
    copy = T()
    copy.CopyFrom(tensor)
    choice = m.rng.randrange(7)
    if choice == 0:
        graph.node.insert(0, h.make_node("Constant", [], [name], value=copy))
    elif choice == 1:
        copy.name = m.fresh()
        graph.initializer.append(copy)
        kind = m.rng.choice(["Identity", "Cast", "Transpose", "Dropout", "Neg", "Squeeze", "Flatten", "Shape"])
        graph.node.insert(0, h.make_node(kind, [copy.name], [name], **({"to": T.FLOAT} if kind == "Cast" else {})))
    elif choice == 2:
        graph.input.append(h.make_tensor_value_info(name, copy.data_type, list(copy.dims) if m.rng.random() < 0.8 else None))
        return
    elif choice == 3:
        scalar = m.rng.choice([{"value_float": 1.5}, {"value_floats": [1.0, 2.0]}, {"value_int": 3}, {"value_ints": [1, 2, 3]}, {"value_string": "odd"}, {}])
        graph.node.insert(0, h.make_node("Constant", [], [name], **scalar))
    elif choice == 4:
        sizes = m.fresh()
        graph.initializer.append(nh.from_array(np.array(list(copy.dims), np.int64), sizes))
        graph.node.insert(0, h.make_node("ConstantOfShape", [sizes], [name], value=nh.from_array(np.array([0.5], np.float32))))
    elif choice == 5:
        copy.name, sizes = m.fresh(), m.fresh()
        graph.initializer.append(copy)
        shape = m.rng.choice([list(copy.dims), [-1], [0, -1], [1 << 40], [-1, -1], []])
        graph.initializer.append(nh.from_array(np.array(shape, np.int64), sizes))
        graph.node.insert(0, h.make_node(m.rng.choice(["Reshape", "Expand", "Tile", "Unsqueeze"]), [copy.name, sizes], [name]))
    else:
        copy.name, low = m.fresh(), m.fresh()
        graph.initializer.extend([copy, nh.from_array(np.array(m.rng.choice(INTEGERS), np.int64), low)])
        graph.node.insert(0, h.make_node(m.rng.choice(["Gather", "Concat", "Split", "Pad", "Mul"]), [copy.name, low], [name], axis=m.rng.choice([0, 1, -1, 9])))
    graph.initializer.remove(tensor)


def reorder_nodes(m):
    graph = m.graph()
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    if m.rng.random() < 0.5:
        nodes.reverse()
    else:
        m.rng.shuffle(nodes)
    del graph.node[:]
    graph.node.extend(nodes)


def insert_operator(m):
    """An operator between a value and one of its readers."""
    graph = m.graph()
    if not graph.node:
        return
    index = m.rng.randrange(len(graph.node))
    node = graph.node[index]
    if not node.input:
        return
    place, made = m.rng.randrange(len(node.input)), m.fresh()
    kind = m.rng.choice(["Identity", "Relu", "Transpose", "Cast", "Dropout", "Reshape", "Flatten", "Squeeze", "Neg", "Abs", "Sigmoid", "Softmax", "Clip",
                         "Shape", "Split", "Add", "Mul", "QuantizeLinear", "DequantizeLinear", "Exp"])
    inputs, attributes = [node.input[place]], {}
    if kind == "Cast":
        attributes["to"] = m.rng.choice([T.FLOAT, T.FLOAT16, T.DOUBLE, T.INT64, T.INT8, T.BOOL, T.BFLOAT16])
    if kind in ("Add", "Mul", "QuantizeLinear", "DequantizeLinear", "Reshape"):
        other = m.fresh()
        value = np.array([-1], np.int64) if kind == "Reshape" else np.array(m.rng.choice([0.1, 1.0, 0.0, float("nan")]), np.float32)
        graph.initializer.append(nh.from_array(value, other))
        inputs.append(other)
    inserted = h.make_node(kind, inputs, [made], name=m.rng.choice([m.fresh(), ""]), **attributes)
    node.input[place] = made
    graph.node.insert(index, inserted)


def share_weight(m):
    """Two nodes read one weight, or one node reads it twice."""
    tensor, node = m.tensor(), m.node()
    if tensor is not None and node and len(node.input) > 1:
        for place in range(1, len(node.input)):
            if m.rng.random() < 0.7:
                node.input[place] = tensor.name


def expose(m):
    """A weight, an input or a value inside becomes an output of the model."""
    name = m.name()
    m.model.graph.output.append(m.rng.choice([h.make_empty_tensor_value_info(name), h.make_tensor_value_info(name, T.FLOAT, None)]))


def splice(m):
    """Nodes of another model, reading values of this one."""
    other = seeds.parse(m.rng.choice([data for data in seeds.models().values() if len(data) < 30_000]))
    prefix = m.fresh()
    ours = m.name()
    theirs = {value.name for value in other.graph.input}
    for tensor in other.graph.initializer:
        tensor.name = prefix + tensor.name
    m.model.graph.initializer.extend(other.graph.initializer)
    for node in other.graph.node[: m.rng.randrange(1, 8)]:
        node.input[:] = [name and (ours if name in theirs else prefix + name) for name in node.input]
        node.output[:] = [name and prefix + name for name in node.output]
        node.name = m.rng.choice([node.name, prefix + node.name])
        m.model.graph.node.append(node)
    if m.model.graph.node and m.rng.random() < 0.7 and m.model.graph.node[-1].output:
        m.model.graph.output.append(h.make_empty_tensor_value_info(m.model.graph.node[-1].output[0]))


def declare(m):
    """Metadata that lathe itself reads, with odd content."""
    tensors = [tensor.name for tensor in m.model.graph.initializer]
    nodes = [node.name for node in m.model.graph.node]
    some = m.rng.choice(tensors or ["w"])
    coding = {"rules": [{"tensors": [some, some, "nothing"], "indexBits": m.rng.choice([2, 8, 9, -1, None]), "huffman": True, "coder": m.rng.choice(
        ["range", "fixed", "odd", None])}]}
    exits = {"exits": [dict.fromkeys("node cut gathered rest answer confidence threshold".split(), m.rng.choice(nodes or ["n"])) | {"share": 0.5}]}
    key, value = m.rng.choice([("lathe.coding", coding), ("lathe.exits", exits), ("summary", {}), ("", "")])
    text = json.dumps(odd.tree(m.rng, value) if m.rng.random() < 0.5 else value)
    m.model.metadata_props.add(key=key, value=text)


def annotate(m):
    annotation = m.model.graph.quantization_annotation.add(tensor_name=m.name())
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value=m.name())
    m.model.graph.doc_string = odd.text(m.rng)
    m.model.producer_name = odd.text(m.rng)
    if m.rng.random() < 0.3:
        m.model.training_info.add().algorithm.node.append(h.make_node("Relu", ["a"], ["b"]))


def multiply_nodes(m):
    """A long chain: what recurses over the graph shows."""
    graph = m.model.graph
    nodes = [node for node in graph.node if node.input and node.output]
    if not nodes:
        return
    node = m.rng.choice(nodes)
    kind = m.rng.choice(["Relu", "Identity", "Transpose", "Neg"])
    last = node.output[0]
    for _ in range(m.rng.choice([10, 300, 3000])):
        made = m.fresh()
        graph.node.append(h.make_node(kind, [last], [made]))
        last = made
    graph.output.append(h.make_empty_tensor_value_info(last))


MUTATIONS = [
    remove_node, duplicate_node, rewire_input, rewire_input, make_cycle, swap_inputs, drop_or_add_input, drop_or_add_output, change_graph_values,
    change_operator, change_operator, change_attribute, change_attribute, change_attribute, damage_tensor, damage_tensor, reshape_weight, reshape_weight,
    change_weight_values, change_weight_values, change_weight_type, rename, wrap_in_branch, wrap_in_loop, move_to_function, change_versions, change_type,
    change_type, add_value_info, external_data, sparse_initializer, make_constant, make_constant, reorder_nodes, insert_operator, insert_operator,
    share_weight, expose, splice, declare, annotate, multiply_nodes,
]
# Those after which a runtime is likely to take the model still: they reach deeper.
GENTLE = [change_weight_values, change_weight_type, make_constant, insert_operator, wrap_in_branch, wrap_in_loop, move_to_function, share_weight, expose,
          splice, declare, reorder_nodes, duplicate_node, change_attribute, add_value_info, rename]
# Of these, those that leave weights in a range where scaling them loses nothing.
STRUCTURAL = [mutation for mutation in GENTLE if mutation not in (change_weight_values, change_weight_type)]


def mutated(data, rng, pool=None):
    """Bytes of a model made odd, and files of external data."""
    mutant = Mutant(seeds.parse(data), rng)
    pool = pool or (GENTLE if rng.random() < 0.5 else MUTATIONS)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 5])):
        try:
            rng.choice(pool)(mutant)
        except (ValueError, TypeError, OverflowError, ProtobufError):
            # A field that cannot hold the value, or nesting that Python cannot write: the mutation does nothing.
            continue
    try:
        made = mutant.model.SerializeToString()
    except ProtobufError:
        made = data
    if pool is MUTATIONS and rng.random() < 0.1:
        made = odd.damaged(rng, made)
    return made, mutant.files
