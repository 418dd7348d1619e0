#!/usr/bin/env bash
# MNN multiplies whole numbers in float32: products of 2^24 and more lose their last digits.
#
# One would guess: Mul of two int32 tensors is exact as long as the product fits 31 bits, so that weights can be looked up by a hash of their position, as
#   multiplications modulo a prime.
# What is so: converted from ONNX, Mul of int32 rounds the product to 24 bits. Mod of it is then another number, and with it every index that is computed so.
#   The converter and the runtime say nothing. Products below 2^24 are exact.
# Seen with: MNN 3.6.1, onnx 1.23.2, numpy 2.4.6. 4099 * 4099 = 16801801 comes out even, modulo 1000 as 800 instead of 801; 4091 * 4093 is exact.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: numpy==2.4.6 onnx==1.23.2 MNN==3.6.1
cd "$work"
venv/bin/python - << 'PYTHON'
import subprocess
import sys
from pathlib import Path

import MNN
import MNN.expr
import MNN.nn
import numpy
import onnx
import onnx.reference
from onnx import TensorProto, helper, numpy_helper

# Products on both sides of 2^24 = 16777216.
left, right = numpy.array([4091, 4099, 46001, 3], numpy.int32), numpy.array([4093, 4099, 46009, 5], numpy.int32)
nodes = [
    helper.make_node("Mul", ["left", "right"], ["product"]), helper.make_node("Mod", ["product", "thousand"], ["rest"]),
    helper.make_node("Cast", ["rest"], ["float"], to=TensorProto.FLOAT), helper.make_node("Add", ["x", "float"], ["y"]),
]
constants = [numpy_helper.from_array(value, name) for name, value in [("left", left), ("right", right), ("thousand", numpy.int32(1000))]]
graph = helper.make_graph(nodes, "products", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])], constants)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "products.onnx")
x = numpy.zeros((1, 4), numpy.float32)
expected = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})[0][0].tolist()
converter = Path(sys.executable).parent / "mnnconvert"
subprocess.run([converter, "-f", "ONNX", "--modelFile", "products.onnx", "--MNNModel", "products.mnn", "--bizCode", "x"], check=True, stdout=subprocess.DEVNULL)
module = MNN.nn.load_module_from_file("products.mnn", ["x"], ["y"])
found = numpy.array(MNN.expr.convert(module.forward([MNN.expr.const(x, [1, 4], MNN.expr.NCHW)])[0], MNN.expr.NCHW).read())[0].tolist()
print(f"MNN: products modulo 1000: {found}, by the standard {expected}")
exact = [product % 1000 for product in (4091 * 4093, 4099 * 4099, 46001 * 46009, 15)]
assert expected == exact, "the standard's own evaluator says something else"
assert found[0] == exact[0] and found[3] == exact[3], "products below 2^24 are not exact"
assert found[1] != exact[1] and found[2] != exact[2], "products of 2^24 and more are exact now"
PYTHON
