#!/usr/bin/env bash
# onnxruntime.quantization writes a file that ONNX Runtime refuses, and says nothing: per-channel QDQ of a model below operator set 13.
#
# One would guess: quantize_static(per_channel=True, quant_format=QDQ) on a model of operator set 11 either raises, converts the model to an operator set in
# which a scale per channel exists (DequantizeLinear has its attribute axis from 13 on), or falls back to one scale per tensor. It is the tool's own format and
# many convolutional networks in use have operator sets 9 to 12.
#
# What is so: it returns without an error and without a warning that names the operator set, and writes DequantizeLinear with an attribute axis and vectors of
# scales into the model of operator set 11. ONNX Runtime of the same package then refuses to load the file. With one scale per tensor the same call gives a file
# that loads; so it does after onnx.version_converter to operator set 13.
#
# Seen with onnxruntime 1.31.1, onnx 1.23.2, Python 3.11:
#   per channel, operator set 11: written; loading: InvalidGraph
#   per tensor, operator set 11: loads
#   per channel, operator set 13: loads
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

onnxruntime.set_default_logger_severity(4)
warnings = []


class Keep(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())


logging.getLogger().addHandler(Keep())
random = np.random.default_rng(0)
weight = numpy_helper.from_array(random.standard_normal((8, 3, 3, 3)).astype(np.float32), "w")
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "w"], ["y"], "conv")], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 6, 6])], [weight])
old = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
onnx.checker.check_model(old)
onnx.save(old, "old.onnx")
onnx.save(onnx.version_converter.convert_version(old, 13), "new.onnx")


class Inputs(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": random.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


def outcome(path, per_channel):
    quantize_static(path, "out.onnx", Inputs(), quant_format=QuantFormat.QDQ, per_channel=per_channel)
    try:
        onnxruntime.InferenceSession("out.onnx", providers=["CPUExecutionProvider"])
        return "loads"
    except Exception as error:
        return type(error).__name__


found = [outcome("old.onnx", True), outcome("old.onnx", False), outcome("new.onnx", True)]
print("per channel, operator set 11: written; loading:", found[0])
print("per tensor, operator set 11:", found[1])
print("per channel, operator set 13:", found[2])
named = [text for text in warnings if "opset" in text.lower()]
if found != ["InvalidGraph", "loads", "loads"] or named:
    sys.exit(f"it has changed: {found} {named}")
PYTHON
