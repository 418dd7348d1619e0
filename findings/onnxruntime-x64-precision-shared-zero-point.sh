#!/usr/bin/env bash
# ONNX Runtime's option for exact int8 products refuses models in which two MatMulInteger nodes share a zero point.
#
# One would guess: session.x64quantprecision=1, which the documentation offers against saturation on x86-64 processors without VNNI, changes how
#   weights are stored inside and nothing else. Sharing a scalar zero point between nodes is ordinary: quantizers write one for the whole file.
# What is so: where the option has work to do (x86-64 without VNNI), such a model no longer loads ("Attempt to replace the existing tensor"). Without
#   the option it loads and its products saturate; with a zero point for each node it loads and is exact.
# Seen with: onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6, on a processor with AVX2 and no VNNI. Largest error beside ONNX's own evaluator:
#   0.29 of the largest output without the option, 0 with it and two zero points, an error while loading with it and one zero point.
set -euo pipefail
if grep -qE 'avx512_vnni|avx_vnni|amx_int8' /proc/cpuinfo || [ "$(uname -m)" != x86_64 ]; then
    echo "not tried: the option does nothing on this processor"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
"$work/venv/bin/python" - << 'PYTHON'
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

random = numpy.random.default_rng(0)
weights = [random.integers(-127, 128, (64, 64)).astype(numpy.int8) for _ in range(2)]
x = random.standard_normal((4, 64)).astype(numpy.float32)


def model(zero_points):
    names = ["zero0", "zero1"] if zero_points == 2 else ["zero0", "zero0"]
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"])]
    nodes += [helper.make_node("MatMulInteger", ["codes", f"w{i}", "zero", names[i]], [f"product{i}"]) for i in range(2)]
    nodes += [
        helper.make_node("Add", ["product0", "product1"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["y"]),
    ]
    constants = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    # One name, one tensor; equal tensors of two names stay two where their values differ in nothing but the name.
    constants += [numpy_helper.from_array(numpy.zeros((), numpy.int8), name) for name in sorted(set(names))]
    graph = helper.make_graph(
        nodes, "two products", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def error(made, precise):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Or the optimizer would make one of two equal zero points.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1" if precise else "0")
    try:
        session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        return str(problem)
    truth = ReferenceEvaluator(made).run(None, {"x": x})[0]
    return float(numpy.abs(session.run(None, {"x": x})[0] - truth).max() / numpy.abs(truth).max())


results = {(points, precise): error(model(points), precise) for points in (1, 2) for precise in (False, True)}
for key, value in results.items():
    print(f"zero points {key[0]}, option {int(key[1])}: {str(value)[-120:]}")
assert results[1, False] > 0.05, "products no longer saturate without the option"
assert isinstance(results[1, True], str) and "replace the existing tensor" in results[1, True], "a shared zero point is no longer refused"
PYTHON
