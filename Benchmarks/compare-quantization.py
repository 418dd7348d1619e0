"""Static int8 of lathe against onnxruntime.quantization: accuracy, file size, time to apply, peak memory.

    .deps/venv/bin/python Benchmarks/compare-quantization.py [--limit N] [--large MODEL.onnx --shape name=1x64 ...]

Both quantize per channel, unsigned activations × signed weights, QDQ, min-max ranges over the same 256 calibration images.
lathe's figures come from its own commands; every accuracy here is counted by onnxruntime in this process.
"""

import argparse
import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SAMPLES = os.path.join(ROOT, "SampleModels")
DATA = os.path.join(SAMPLES, "data", "fashion-mnist")
MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]


def idx(name, offset):
    with gzip.open(os.path.join(DATA, name)) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)


def images(name):
    raw = idx(name, 16).reshape(-1, 1, 28, 28).astype(np.float32)
    return (raw * np.float32(1 / 255) - np.float32(0.2860)) / np.float32(0.3530)


class Feeds(CalibrationDataReader):
    """Batches of dictionaries, once."""

    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def accuracy(path, x, labels):
    run, right = session(path), 0
    for start in range(0, len(x), 64):
        (out,) = run.run(["logits"], {"image": x[start : start + 64]})
        right += int((out.argmax(1) == labels[start : start + 64]).sum())
    return right / len(x)


def onnxruntime_static(model, output, feeds, folder):
    prepared = os.path.join(folder, "prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, output, Feeds(feeds), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)


def timed(body):
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def lathe(arguments, binary):
    """Runs lathe; returns (seconds, peak resident bytes)."""
    start, peak = time.perf_counter(), 0
    child = subprocess.Popen([binary] + arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    # Not ru_maxrss: that of a child begins with its parent's.
    while child.poll() is None:
        try:
            with open(f"/proc/{child.pid}/status") as file:
                peak = max([peak] + [int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")])
        except OSError:
            pass
        time.sleep(0.002)
    if child.returncode:
        sys.exit("lathe " + " ".join(arguments) + ": " + child.stderr.read().decode())
    return time.perf_counter() - start, peak


def samples(options, folder):
    x, labels = images("t10k-images-idx3-ubyte.gz"), idx("t10k-labels-idx1-ubyte.gz", 8)
    x, labels = x[: options.limit], labels[: options.limit]
    # lathe draws calibration samples in a fixed shuffled order of its own; with all of them both see the same images.
    data = os.path.join(folder, "data.yaml")
    calibration = images("heldout-images-idx3-ubyte.gz")[:256]
    with open(os.path.join(SAMPLES, "data", "fashion-mnist.yaml")) as file:
        text = file.read().replace(": fashion-mnist/", f": {DATA}/").replace("range: [0, 1000]", "range: [0, 256]")
    with open(data, "w") as file:
        file.write(text)
    print(f"accuracy on {len(x):,} validation images; 256 calibration images; ratios are lathe / onnxruntime.quantization")
    print(f"{'model':14} {'float32':>8} {'ort int8':>9} {'lathe':>8} {'points':>7} {'ort bytes':>10} {'lathe':>9} {'size':>6} {'ort s':>6} {'lathe':>6} {'time':>6}")
    failed = False
    for model in MODELS:
        path = os.path.join(SAMPLES, model + ".onnx")
        theirs, ours = os.path.join(folder, "theirs.onnx"), os.path.join(folder, "ours.onnx")
        feeds = [{"image": calibration[start : start + 32]} for start in range(0, 256, 32)]
        their_time = timed(lambda: onnxruntime_static(path, theirs, feeds, folder))
        arguments = ["apply", path, "--data", data, "--step", "static-int8", "--output", ours]
        child = subprocess.run([options.lathe] + arguments, capture_output=True, text=True)
        if child.returncode:
            print(f"{model:14} lathe: {child.stderr.strip()}")
            continue
        our_time = timed(lambda: subprocess.run([options.lathe] + arguments, capture_output=True, check=True))
        base, a, b = accuracy(path, x, labels), accuracy(theirs, x, labels), accuracy(ours, x, labels)
        sizes = os.path.getsize(theirs), os.path.getsize(ours)
        failed |= b < a - 0.001 - 1e-9 or sizes[1] > sizes[0]
        print(
            f"{model:14} {base:8.2%} {a:9.2%} {b:8.2%} {100 * (b - a):+7.2f} {sizes[0]:10,} {sizes[1]:9,} {sizes[1] / sizes[0]:6.3f} "
            f"{their_time:6.2f} {our_time:6.2f} {our_time / their_time:6.3f}")
    print("lathe's accuracy is lower by more than 0.1 point, or its file larger, somewhere" if failed else
          "nowhere is lathe's accuracy lower by more than 0.1 point, nor its file larger")


def large(options, folder):
    path = options.large
    shapes = dict((name, [int(extent) for extent in extents.split("x")]) for name, extents in (s.split("=") for s in options.shape))
    inputs = session(path).get_inputs()
    random = np.random.default_rng(0)
    arrays = {}
    for value in inputs:
        shape = shapes[value.name]
        if "int" in value.type:
            high = 2 if "mask" in value.name or "type" in value.name else 1000
            low = 1 if "mask" in value.name else 0
            arrays[value.name] = random.integers(low, high, [64] + shape[1:]).astype(np.int64)
        else:
            arrays[value.name] = random.standard_normal([64] + shape[1:], dtype=np.float32)
    data = os.path.join(folder, "data.npz")
    np.savez(data, **arrays)
    with open(os.path.join(folder, "data.yaml"), "w") as file:
        file.write("format: npz\nmetric: cosine\nsplits:\n  calibration: {file: data.npz, range: [0, 32]}\n  validation: {file: data.npz, range: [32, 64]}\n")
    theirs, ours = os.path.join(folder, "theirs.onnx"), os.path.join(folder, "ours.onnx")
    feeds = [{name: array[row : row + 1] for name, array in arrays.items()} for row in range(32)]
    their_time = timed(lambda: onnxruntime_static(path, theirs, feeds, folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    our_time, memory = lathe(["apply", path, "--data", os.path.join(folder, "data.yaml"), "--step", "static-int8", "--output", ours], options.lathe)

    def cosine(file):
        before, after = session(path), session(file)
        name = next(o.name for o in before.get_outputs() if "float" in o.type)
        values = []
        for row in range(32, 64):
            feed = {key: array[row : row + 1] for key, array in arrays.items()}
            (a,), (b,) = before.run([name], feed), after.run([name], feed)
            a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
            values.append(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))
        return float(np.mean(values))

    size = os.path.getsize(path)
    print(f"{os.path.basename(path)}: {size:,} bytes, 32 calibration samples")
    print(f"  onnxruntime.quantization  {their_time:7.2f} s  {os.path.getsize(theirs):12,} bytes  cosine {cosine(theirs):.5f}  peak memory {peak / size:.2f} × the model (this whole process)")
    print(f"  lathe                     {our_time:7.2f} s  {os.path.getsize(ours):12,} bytes  cosine {cosine(ours):.5f}  peak memory {memory / size:.2f} × the model")
    print(f"  apply time, onnxruntime.quantization / lathe: {their_time / our_time:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lathe", default=os.path.join(ROOT, ".build", "release", "lathe"))
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--large", help="a model of the user's; random inputs, and no sample models")
    parser.add_argument("--shape", nargs="*", default=[], help="shapes of its inputs: name=1x64")
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        if options.large:
            large(options, folder)
        else:
            samples(options, folder)


if __name__ == "__main__":
    main()
