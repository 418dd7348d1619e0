"""What early exits save on ResNet-8: writes Docs/Results/EarlyExits.md.

    python3 Benchmarks/early-exits.py [--lathe BINARY]

Run it with a Python that has numpy and onnxruntime (.deps/venv/bin/python): every file is also run and timed there.
"""

import argparse
import gzip
import json
import os
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = "SampleModels/resnet-8.onnx"
DATA = "SampleModels/data/fashion-mnist.yaml"
IMAGES = 10_000
TIMED = 2_000


def lathe(binary, *arguments):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return done.stdout


def samples():
    folder = os.path.join(ROOT, "SampleModels", "data", "fashion-mnist")
    with gzip.open(os.path.join(folder, "t10k-images-idx3-ubyte.gz")) as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(os.path.join(folder, "t10k-labels-idx1-ubyte.gz")) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return ((images.astype(np.float32) / 255 - 0.2860) / 0.3530)[:IMAGES], labels[:IMAGES]


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def right(runner, images, labels, batch):
    return sum(int((runner.run(None, {"image": images[i:i + batch]})[0].argmax(1) == labels[i:i + batch]).sum()) for i in range(0, len(images), batch))


def mean_times(runners, images):
    """Mean milliseconds of each, one image at a time, taking turns."""
    sums = np.zeros(len(runners))
    for image in range(len(images)):
        feed = {"image": images[image:image + 1]}
        for number, runner in enumerate(runners):
            begin = time.perf_counter()
            runner.run(None, feed)
            if image >= 50:
                sums[number] += time.perf_counter() - begin
    return sums / (len(images) - 50) * 1e3


def percent(value, digits=2):
    return f"{100 * value:.{digits}f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lathe", default=os.path.join(ROOT, ".build", "release", "lathe"))
    options = parser.parse_args()
    images, labels = samples()
    baseline = session(os.path.join(ROOT, MODEL))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for steps in (["early-exits:threshold={}"], ["static-int8", "early-exits:threshold={}"]):
            for threshold in ("0.9", "0.95", "0.965", "0.98"):
                step = [word for text in steps for word in ("--step", text.format(threshold))]
                report = json.loads(lathe(options.lathe, "evaluate", MODEL, "--data", DATA, "--json", *step))
                path = os.path.join(folder, "model.onnx")
                lathe(options.lathe, "apply", MODEL, "--data", DATA, "--output", path, *step)
                runner = session(path)
                whole, single = right(runner, images, labels, 64), right(runner, images, labels, 1)
                before, after = mean_times([baseline, runner], images[:TIMED])
                rows.append((len(steps) > 1, threshold, report, whole, single, after / before))
                print(threshold, report["accuracy"]["correct"], whole, single, report["latency"]["ratio"], after / before, flush=True)
    first = rows[0][2]
    base = first["accuracy"]["baselineCorrect"] / IMAGES
    lines = [
        "# What early exits save", "",
        "Written by `.deps/venv/bin/python Benchmarks/early-exits.py`. ResNet-8 on Fashion-MNIST, nothing retrained: exits fitted in closed form to "
        f"the data set's 1,000 calibration images. Top-1 on the 10,000 validation images, {percent(base)} before. Latency is the mean over different images at batch 1, one "
        f"thread ({first['latency']['instructionSet']}, ONNX Runtime {first['latency']['runtime']}), in turns with the model before.", "",
    ]
    for quantized in (False, True):
        chosen = [row for row in rows if row[0] == quantized]
        exits = len(chosen[0][2]["figures"]["candidate"]["exits"]) - 1
        lines += [f"## {'`static-int8`, then `early-exits`' if quantized else '`early-exits`'}", ""]
        names = " | ".join(f"exit {n + 1}" for n in range(exits))
        lines.append(f"| threshold | top-1 | loss, points | {names} | through everything | MACs, expected | latency | 95 % interval | in Python |")
        lines.append("|--:|--:|--:|" + "--:|" * exits + "--:|--:|--:|--:|--:|")
        for _, threshold, report, _, _, ratio in chosen:
            accuracy, latency, figures = report["accuracy"], report["latency"], report["figures"]
            shares = [percent(exit["share"], 1) for exit in figures["candidate"]["exits"]]
            macs = figures["candidate"]["macs"] / figures["baseline"]["macs"]
            lines.append(
                f"| {threshold} | {percent(accuracy['value'])} | {100 * (accuracy['baseline'] - accuracy['value']):.2f} | " + " | ".join(shares)
                + f" | {percent(macs, 1)} | {latency['ratio']:.3f} × | {latency['ratioInterval']['low']:.3f}–{latency['ratioInterval']['high']:.3f} | {ratio:.3f} × |")
        lines.append("")
    agree = all(row[2]["accuracy"]["correct"] == row[3] == row[4] for row in rows)
    best = min((row for row in rows if not row[0] and base - row[2]["accuracy"]["value"] <= 0.005), key=lambda row: row[2]["latency"]["ratio"], default=None)
    if best:
        lines.append(
            f"At no more than 0.5 point of loss the exits alone, threshold {best[1]}, take mean latency to {best[2]['latency']['ratio']:.3f} × "
            f"({percent(1 - best[2]['latency']['ratio'], 0)} less).")
    lines.append(
        "Python's `onnxruntime` gets the same number of images right on every file, at batch 64 and image by image." if agree
        else "**Python's `onnxruntime` does not get the same number of images right on every file.**")
    lines.append("MACs and shares come from the validation images too. What a sample takes that leaves nowhere is a little more than before: the exits that it passed.")
    path = os.path.join(ROOT, "Docs", "Results", "EarlyExits.md")
    with open(path + ".new", "w") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(path + ".new", path)
    if not agree:
        raise SystemExit("Python's onnxruntime disagrees")


if __name__ == "__main__":
    main()
