#!/usr/bin/env bash
# ONNX Runtime makes a session of a model that adds by ScatterElements or ScatterND in float16, and refuses it only when it runs.
#
# One would guess: a type that the runtime has no kernel for is refused while a session is made ("Could not find an implementation"), so that a file that loads can run. Tools
#   that convert models to float16 check their results by loading them.
# What is so: for `reduction="add"` (and mul, min, max) on float16 the session is made without a word, with all optimizations, and every run fails. The standard
#   allows the type, and onnx's own evaluator computes it. In float32, or without a reduction, both run. So sums of messages in graph networks (PyTorch's
#   scatter_add) must stay in float32, and a check has to run the file.
# Seen with: onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6, operator set 18: "MLFloat16 data type is not supported with ScatterElements opset 18 when reduction is 'add'".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
"$work/venv/bin/python" - << 'PYTHON'
import numpy
import onnx
import onnx.reference
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
messages = numpy.arange(12).reshape(4, 3)
rows = numpy.array([0, 1, 1, 0])


def outcome(operator, kind, reduction):
    """What loading and running give: 'runs', or which of the two fails; and the reference's answer."""
    element = {TensorProto.FLOAT: numpy.float32, TensorProto.FLOAT16: numpy.float16}[kind]
    index = rows[:, None].repeat(3, 1) if operator == "ScatterElements" else rows[:, None]
    node = helper.make_node(operator, ["zeros", "index", "messages"], ["sums"], reduction=reduction, **({"axis": 0} if operator == "ScatterElements" else {}))
    graph = helper.make_graph(
        [node], "sums", [helper.make_tensor_value_info("messages", kind, [4, 3])], [helper.make_tensor_value_info("sums", kind, [2, 3])],
        [numpy_helper.from_array(numpy.zeros((2, 3), element), "zeros"), numpy_helper.from_array(index.astype(numpy.int64), "index")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    feed = {"messages": messages.astype(element)}
    if reduction == "add":
        assert onnx.reference.ReferenceEvaluator(model).run(None, feed)[0].tolist() == [[9, 11, 13], [9, 11, 13]]
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:
        return "loading fails"
    try:
        session.run(None, feed)
        return "runs"
    except Exception as error:
        return f"running fails: {str(error)[:160]}"


for operator in ("ScatterElements", "ScatterND"):
    half, single, plain = outcome(operator, TensorProto.FLOAT16, "add"), outcome(operator, TensorProto.FLOAT, "add"), outcome(operator, TensorProto.FLOAT16, "none")
    print(f"onnxruntime {onnxruntime.__version__}, {operator}: add in float16: {half}; in float32: {single}; float16 without a reduction: {plain}")
    assert single == "runs" and plain == "runs", "something else fails"
    assert half.startswith("running fails"), f"float16 with a reduction: now {half}"
PYTHON
