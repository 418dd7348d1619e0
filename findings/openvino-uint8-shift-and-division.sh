#!/usr/bin/env bash
# OpenVINO saturates BitShift to the left of uint8, and rounds Div of constants of uint8, on the CPU.
#
# One would guess: ONNX's operators on uint8 give what C gives: bits that are shifted out are lost, and 23 / 16 is 1. So the digits of a byte can be taken
#   apart by them (two 4-bit codes to a byte: shift left by 4, then right by 4).
# What is so: the left shift gives 255 for all that does not fit, and the division of a
#   constant, which is evaluated while loading, rounds: 46 / 16 is 3. The file loads, and no message says so.
#   Digits taken apart in float32 (Cast, Mul by 1/16, Floor) are exact.
# Seen with: openvino 2026.4.1, onnx 1.23.2, numpy 2.4.6. Of 0, 23, 46, 69: left by 4 is 0 255 255 255 instead of 0 112 224 80; over 16 is 0 1 3 4 instead of
#   0 1 2 4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
"$work/venv/bin/python" - << 'PYTHON'
import io

import numpy
import onnx
import onnx.reference
import openvino
from onnx import TensorProto, helper, numpy_helper

values = numpy.array([[0, 23, 46, 69]], numpy.float32)


def results(operator, amount, **attributes):
    nodes = [helper.make_node(operator, ["bytes", "amount"], ["result"], **attributes), helper.make_node("Cast", ["result"], ["float"], to=TensorProto.FLOAT),
             helper.make_node("Add", ["x", "float"], ["y"])]
    graph = helper.make_graph(nodes, operator, [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
                              [numpy_helper.from_array(numpy.uint8(amount), "amount"), numpy_helper.from_array(values.astype(numpy.uint8), "bytes")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(model.SerializeToString())), "CPU")
    return onnx.reference.ReferenceEvaluator(model).run(None, {"x": 0 * values})[0][0].tolist(), compiled({0: 0 * values})[0][0].tolist()


shift, division = results("BitShift", 4, direction="LEFT"), results("Div", 16)
print(f"openvino {openvino.__version__}: {values[0].tolist()} left by 4: {shift[1]}, by the standard {shift[0]}; over 16: {division[1]}, by the standard {division[0]}")
assert shift[0] == [0, 112, 224, 80] and division[0] == [0, 1, 2, 4], "the standard's own evaluator says something else"
assert shift[1] == [0, 255, 255, 255], "the left shift of uint8 no longer saturates"
assert division[1] == [0, 1, 3, 4], "the division of uint8 constants no longer rounds"
PYTHON
