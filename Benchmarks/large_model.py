#!/usr/bin/env python3
"""Writes a decoder of about 1.26 billion float32 parameters (22 blocks, 2048 wide, 5.0 GB) as ONNX with external data, for trying lathe at scale.

    python3 Benchmarks/large_model.py FOLDER [--blocks 22] [--width 2048] [--vocabulary 32000] [--samples 64] [--length 512]

Weights are normal numbers drawn by a seed, scaled by their fan-in; every block has RMS normalization, attention with causal mask, and a gated feed-forward
layer, as exporters write them. Needs numpy and onnx. Beside the model lies `tokens.npz` (token ids to calibrate on and to evaluate).
"""
import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("folder", type=pathlib.Path)
arguments.add_argument("--blocks", type=int, default=22)
arguments.add_argument("--width", type=int, default=2048)
arguments.add_argument("--heads", type=int, default=32)
arguments.add_argument("--hidden", type=int, default=5632)
arguments.add_argument("--vocabulary", type=int, default=32000)
arguments.add_argument("--samples", type=int, default=64)
arguments.add_argument("--length", type=int, default=512)
given = arguments.parse_args()
given.folder.mkdir(parents=True, exist_ok=True)
path = given.folder / "decoder.onnx"
data = open(given.folder / "decoder.onnx.data", "wb")
draw = np.random.default_rng(0)
nodes, initializers = [], []


def weight(name, rows, columns):
    """One tensor in memory at a time."""
    data.seek(-(-data.tell() // 4096) * 4096)
    values = draw.standard_normal((rows, columns), dtype=np.float32)
    values *= np.float32(rows**-0.5)
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[rows, columns], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "decoder.onnx.data"), ("offset", data.tell()), ("length", values.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    values.tofile(data)
    data.flush()
    initializers.append(tensor)
    return name


def constant(name, value):
    initializers.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def node(kind, inputs, name, **attributes):
    nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    return name


def normalized(value, name):
    square = node("Mul", [value, value], f"{name}/square")
    mean = node("ReduceMean", [square, constant(f"{name}/axes", np.array([-1]))], f"{name}/mean", keepdims=1)
    root = node("Sqrt", [node("Add", [mean, "epsilon"], f"{name}/shifted")], f"{name}/root")
    return node("Mul", [node("Div", [value, root], f"{name}/divided"), constant(f"{name}/scale", np.ones(given.width, np.float32))], name)


head = given.width // given.heads
constant("epsilon", np.float32(1e-5))
constant("split", np.array([0, 0, given.heads, head]))
constant("join", np.array([0, 0, given.width]))
constant("scale", np.float32(head**-0.5))
constant("one", np.array(1))
constant("zero", np.array(0))
constant("low", np.float32(-1e9))

embedding = weight("embed_tokens.weight", given.vocabulary, given.width)
value = node("Gather", [embedding, "input_ids"], "embedded")
shape = node("Shape", ["input_ids"], "ids_shape")
length = node("Gather", [shape, "one"], "length")
steps = node("Range", ["zero", length, "one"], "steps")
rows = node("Unsqueeze", [steps, constant("last", np.array([1]))], "rows")
columns = node("Unsqueeze", [steps, constant("first", np.array([0]))], "columns")
mask = node("Mul", [node("Cast", [node("Greater", [columns, rows], "later")], "later_float", to=TensorProto.FLOAT), "low"], "mask")
for block in range(given.blocks):
    name = f"layers.{block}"
    inner = normalized(value, f"{name}/input_norm")
    parts = {}
    for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        product = node("MatMul", [inner, weight(f"{name}.{part}_proj.weight", given.width, given.width)], f"{name}/{part}_proj/MatMul")
        parts[part] = node("Transpose", [node("Reshape", [product, "split"], f"{name}/{part}_split")], f"{name}/{part}", perm=order)
    scores = node("Mul", [node("MatMul", [parts["q"], parts["k"]], f"{name}/scores"), "scale"], f"{name}/scaled")
    shares = node("Softmax", [node("Add", [scores, mask], f"{name}/masked")], f"{name}/softmax", axis=-1)
    mixed = node("Transpose", [node("MatMul", [shares, parts["v"]], f"{name}/mixed")], f"{name}/joined_axes", perm=[0, 2, 1, 3])
    output = node("MatMul", [node("Reshape", [mixed, "join"], f"{name}/joined"), weight(f"{name}.o_proj.weight", given.width, given.width)], f"{name}/o_proj/MatMul")
    value = node("Add", [value, output], f"{name}/attended")
    inner = normalized(value, f"{name}/post_norm")
    gate = node("MatMul", [inner, weight(f"{name}.gate_proj.weight", given.width, given.hidden)], f"{name}/gate_proj/MatMul")
    up = node("MatMul", [inner, weight(f"{name}.up_proj.weight", given.width, given.hidden)], f"{name}/up_proj/MatMul")
    active = node("Mul", [gate, node("Sigmoid", [gate], f"{name}/sigmoid")], f"{name}/silu")
    down = node(
        "MatMul", [node("Mul", [active, up], f"{name}/gated"), weight(f"{name}.down_proj.weight", given.hidden, given.width)], f"{name}/down_proj/MatMul")
    value = node("Add", [value, down], f"{name}/output")
node("MatMul", [normalized(value, "norm"), weight("lm_head.weight", given.width, given.vocabulary)], "logits")
data.close()

graph = helper.make_graph(
    nodes, "decoder", [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", given.vocabulary])], initializers)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, producer_name="large_model.py")
path.write_bytes(model.SerializeToString())
np.savez(given.folder / "tokens.npz", input_ids=draw.integers(0, given.vocabulary, (given.samples, given.length)))
print(path, f"{sum(int(np.prod(tensor.dims)) for tensor in initializers):,} parameters")
