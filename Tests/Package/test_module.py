"""The module `lathe` as it is installed: run with a folder of sample models and one to write into."""
import os
import signal
import sys
import threading
import time
from pathlib import Path

import lathe
import numpy
import onnxruntime

samples, work = Path(sys.argv[1]), Path(sys.argv[2])
model, data = samples / "lenet-5.onnx", samples / "data/fashion-mnist.yaml"

assert len(lathe.version().split(".")) == 3
assert len(lathe.techniques()) > 40 and any(preset["id"] == "int8-cpu" for preset in lathe.presets())

layers = lathe.inspect(model)["layers"]
assert sum(layer["parameters"] for layer in layers) == 431_080, layers

before = lathe.evaluate(model, data, steps=["static-int8"], require=["file<=30%", "drop<=1"], latency=False)
assert lathe.met(before) and before["accuracy"]["samples"] == 10_000
assert not lathe.met(lathe.evaluate(model, data, steps=["static-int8"], require=["file<=1KB"], latency=False))

# The written file is what was measured, run by the package's runtime.
small = work / "small.onnx"
written = lathe.apply(model, small, steps=["static-int8"], data=data)
assert written["files"][0]["bytes"] == small.stat().st_size
session = onnxruntime.InferenceSession(str(small), providers=["CPUExecutionProvider"])
shape = [size if isinstance(size, int) else 1 for size in session.get_inputs()[0].shape]
assert numpy.isfinite(session.run(None, {session.get_inputs()[0].name: numpy.zeros(shape, numpy.float32)})[0]).all()
assert lathe.inspect(small)["figures"]["sizes"]["serialized"] == small.stat().st_size

events = []
found = lathe.search(model, data, "file <= 50%, drop <= 0.5", budget="5s", output=work / "found", on_event=events.append)
assert lathe.met(found) and (work / "found/best.onnx").exists()
assert {"phase", "tried", "best", "result"} <= {event["event"] for event in events}
assert len(lathe.frame(found)) >= 1

# A notebook's stop reaches this process alone: the search ends with what it has.
start = time.monotonic()
threading.Timer(4, os.kill, [os.getpid(), signal.SIGINT]).start()
stopped = lathe.search(model, data, "file <= 50%, drop <= 0.5", budget="5m")
assert lathe.met(stopped) and time.monotonic() - start < 60, stopped

trained = lathe.train(model, data, work / "trained.onnx", epochs=1, parameters={"keep": "last"})
assert [epoch["number"] for epoch in trained["epochs"]] == [0, 1]

lathe.pack(small, work / "small.lathe")
lathe.unpack(work / "small.lathe", work / "again.onnx")
assert (work / "again.onnx").read_bytes() == small.read_bytes()

for call, text in [
    (lambda: lathe.inspect(work / "nothing.onnx"), "nothing.onnx"),
    (lambda: lathe.evaluate(model, data, steps=["no-such-technique"]), "no-such-technique"),
    (lambda: lathe.search(model, data, "files <= 1"), "there is no measure 'files'"),
]:
    try:
        call()
    except lathe.LatheError as error:
        assert text in str(error) and error.status == 2 and "\n" not in str(error), error
    else:
        raise AssertionError(f"no error that says {text}")
try:
    lathe.evaluate(model, data, steps="static-int8")
except TypeError as error:
    assert "a list" in str(error)
else:
    raise AssertionError("one text was taken for a list")
print("the module: all well")
