#!/usr/bin/env bash
# ONNX Runtime refuses a valid float16 model because of an operator that it puts in itself: layer normalization written out behind a Cast, from operator set 17 on.
#
# One would guess: a model that passes onnx's full check and runs without graph optimizations also loads with the default ones, and if not, that the operator set,
# which changes nothing in these nodes, has no say in it.
#
# What is so: the fusion of a written-out normalization takes the Cast from float32 before it along. Up to operator set 16 the fused operator may have two types;
# from 17 on it becomes the standard's LayerNormalization, whose input and scale have one type, and loading ends with "Type parameter (T) of Optype
# (LayerNormalization) bound to different types". Exporters and converters that put a model's input into float16 write just this. It loads without
# optimizations (basic ones are enough to fail), with a MatMul between the Cast and the normalization, or with the operator written by oneself.
#
# Seen with onnxruntime 1.31.1, onnx 1.23.2, Python 3.11:
#   operator set 16: loads
#   operator set 17: Fail
#   operator set 17, without optimizations: loads
#   operator set 17, a product between: loads
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
width = 16
random = np.random.default_rng(0)


def half(name, values):
    return numpy_helper.from_array(np.asarray(values, np.float16), name)


def model(opset, between):
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)]
    source = "h"
    if between:
        nodes.append(helper.make_node("MatMul", ["h", "w"], ["p"]))
        source = "p"
    nodes += [
        helper.make_node("ReduceMean", [source], ["mean"], axes=[-1]), helper.make_node("Sub", [source, "mean"], ["d"]), helper.make_node("Pow", ["d", "two"], ["s"]),
        helper.make_node("ReduceMean", ["s"], ["v"], axes=[-1]), helper.make_node("Add", ["v", "epsilon"], ["e"]), helper.make_node("Sqrt", ["e"], ["r"]),
        helper.make_node("Div", ["d", "r"], ["q"]), helper.make_node("Mul", ["q", "scale"], ["m"]), helper.make_node("Add", ["m", "bias"], ["n"]),
        helper.make_node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = [half("two", 2), half("epsilon", 1e-3), half("scale", np.ones(width)), half("bias", np.zeros(width)), half("w", random.standard_normal((width, width)))]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, width])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, width])],
        constants if between else constants[:-1])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def outcome(made, level=None):
    options = onnxruntime.SessionOptions()
    if level is not None:
        options.graph_optimization_level = level
    try:
        onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
        return "loads"
    except Exception as error:
        return type(error).__name__


none = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
seen = [
    ("operator set 16", outcome(model(16, False))), ("operator set 17", outcome(model(17, False))),
    ("operator set 17, without optimizations", outcome(model(17, False), none)), ("operator set 17, a product between", outcome(model(17, True))),
]
for what, result in seen:
    print(f"{what}: {result}")
sys.exit([result for _, result in seen] != ["loads", "Fail", "loads", "loads"])
PYTHON
