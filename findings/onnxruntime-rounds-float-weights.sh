#!/usr/bin/env bash
# ONNX Runtime rounds float weights to int8 where a Conv stands between quantized values.
#
# One would guess: in a QDQ model, only tensors with QuantizeLinear and DequantizeLinear of their own are integers. A Conv whose weight the file
#   keeps in float32, between a DequantizeLinear and a QuantizeLinear, computes with that float32 weight.
# What is so: unless graph optimizations are off, the CPU provider quantizes that weight itself while loading, symmetric, with one scale for the whole
#   tensor, and runs an integer kernel. Small weights beside a large one change a lot, and no message says so.
# Seen with: onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6. Weights 100 and 0.3, input 0 and 2, so 0.6 by the file:
#   without optimizations 0.60, with them 0.78 (0.3 has become 100/127 = 0.787).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
"$work/venv/bin/python" - << 'PYTHON'
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

weight = numpy.array([100, 0.3], numpy.float32).reshape(1, 2, 1, 1)
constants = [numpy_helper.from_array(value, name) for name, value in [
    ("weight", weight), ("scale", numpy.float32(0.01)), ("zero", numpy.uint8(0))]]
nodes = [
    helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x_codes"]),
    helper.make_node("DequantizeLinear", ["x_codes", "scale", "zero"], ["x_float"]),
    helper.make_node("Conv", ["x_float", "weight"], ["product"]),
    helper.make_node("QuantizeLinear", ["product", "scale", "zero"], ["y_codes"]),
    helper.make_node("DequantizeLinear", ["y_codes", "scale", "zero"], ["y"]),
]
graph = helper.make_graph(
    nodes, "float weight between quantized values", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 1, 1])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])], constants)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)


def output(level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return float(session.run(None, {"x": numpy.array([0, 2], numpy.float32).reshape(1, 2, 1, 1)})[0].item())


levels = onnxruntime.GraphOptimizationLevel
plain, optimized = output(levels.ORT_DISABLE_ALL), output(levels.ORT_ENABLE_ALL)
print(f"onnxruntime {onnxruntime.__version__}: the file says 0.60; without optimizations {plain:.2f}, with them {optimized:.2f}")
assert abs(plain - 0.60) < 0.005, "without optimizations the float weight is no longer used as it is"
assert abs(optimized - 0.78) < 0.005, "the float weight is no longer rounded to int8"
PYTHON
