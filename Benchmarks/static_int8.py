"""Static int8 of `lathe` beside onnxruntime.quantization: latency, likeness of outputs and size, on the sample and the production models.

    .deps/venv/bin/python Benchmarks/static_int8.py LATHE [--models KEY,…] [--step static-int8] [--work DIR] [--output Docs/Results/StaticInt8.md]

Both see the same calibration inputs and use min-max ranges, a scale per channel, unsigned activations and signed weights in QDQ form. The original, their file
and ours are timed in turns in this process, one thread, at the input's own shape. Likeness is top-1 accuracy on 2,000 test images for the samples and the mean
cosine with the original's outputs on inputs that calibration did not see for the others. With --work their files are kept, and only made where missing.
Run `make real-models` first; nothing else should run on the machine.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Tests/RealModels"))
sys.path.insert(0, str(ROOT / "Benchmarks"))
import samples  # noqa: E402

SAMPLES = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
# Seconds of one turn at least, and how many turns.
BURST, TURNS = 0.02, 15


# Both quantize the same samples in the same way as that benchmark.
quantization = importlib.import_module("compare-quantization")
session = quantization.session


class Subject:
    """A model with calibration feeds, feeds to compare on, and the declaration `lathe` reads the same from."""

    def __init__(self, key, folder):
        self.key, self.folder = key, folder
        folder.mkdir(parents=True, exist_ok=True)
        if key in SAMPLES:
            self.sample(key)
        else:
            self.production(key)

    def short(self, said):
        """What a tool said, without the folders of this machine."""
        return " ".join(said.replace(f"{self.folder}/", "").replace(f"{ROOT}/", "").split())[:160]

    def sample(self, key):
        self.model = ROOT / f"SampleModels/{key}.onnx"
        calibration = quantization.images("heldout-images-idx3-ubyte.gz")[:256]
        self.calibration = [{"image": calibration[start : start + 32]} for start in range(0, 256, 32)]
        self.images, self.labels = quantization.images("t10k-images-idx3-ubyte.gz")[:2000], quantization.idx("t10k-labels-idx1-ubyte.gz", 8)[:2000]
        self.timed = {"image": self.images[:1]}
        self.data = self.folder / "data.yaml"
        text = (ROOT / "SampleModels/data/fashion-mnist.yaml").read_text()
        self.data.write_text(text.replace(": fashion-mnist/", f": {ROOT}/SampleModels/data/fashion-mnist/").replace("range: [0, 1000]", "range: [0, 256]"))

    def production(self, key):
        row = next(row for row in samples.models() if row["key"] == key)
        self.model = ROOT / f".deps/real-models/{key}.onnx"
        types = {value.name: value.type for value in session(self.model).get_inputs()}
        calls = samples.write_data(row, types, 16, 8, self.folder)
        self.calibration, self.compared, self.timed = calls[:8], calls[8:], calls[8]
        self.labels, self.data = None, self.folder / "data.yaml"

    def likeness(self, path):
        run = session(path)
        if self.labels is not None:
            scores = np.concatenate([run.run(None, {"image": self.images[start : start + 50]})[0] for start in range(0, len(self.images), 50)])
            return float((scores.argmax(1) == self.labels).mean())
        original = session(self.model)
        values = []
        for feeds in self.compared:
            for a, b in zip(original.run(None, feeds), run.run(None, feeds)):
                if a.dtype.kind != "f" or a.size == 0:
                    continue
                a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
                size = np.linalg.norm(a) * np.linalg.norm(b)
                values.append(float(a @ b / size) if size > 0 else float(np.array_equal(a, b)))
        return statistics.mean(values)

    def theirs(self):
        """Path of the file their quantizer made, or None and what it said."""
        path, note = self.folder / "theirs.onnx", self.folder / "theirs.txt"
        if note.exists():
            return None, note.read_text()
        if not path.exists():
            lifted, prepared, beside = (self.folder / name for name in ("lifted.onnx", "prepared.onnx", "theirs.new"))
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    model = onnx.load(self.model)
                    # A scale per channel needs operator set 13, which their quantizer does not see to.
                    if next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < 13:
                        model = onnx.version_converter.convert_version(model, 13)
                    onnx.save(model, lifted)
                    quant_pre_process(str(lifted), str(prepared), skip_symbolic_shape=True)
                    quantize_static(
                        str(prepared), str(beside), quantization.Feeds(self.calibration), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)
                    session(beside).run(None, self.timed)
                beside.rename(path)
            except Exception as error:  # whatever it says
                note.write_text(self.short(str(error)))
                return None, note.read_text()
            finally:
                lifted.unlink(missing_ok=True)
                prepared.unlink(missing_ok=True)
        return path, None

    def ours(self, program, step):
        path = self.folder / "ours.onnx"
        path.unlink(missing_ok=True)
        environment = dict(os.environ)
        environment.setdefault("LATHE_ONNXRUNTIME", str(next((ROOT / ".deps/onnxruntime").glob("libonnxruntime.so.*"))))
        command = [program, "apply", self.model, "--data", self.data, "--step", step, "--output", path]
        done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
        return (path, None) if done.returncode == 0 else (None, self.short(done.stderr.removeprefix("lathe: ")))


def quiet():
    """Waits until the machine has been idle for a second; False after a minute."""
    for _ in range(60):
        with open("/proc/stat") as file:
            first = [int(value) for value in file.readline().split()[1:8]]
        time.sleep(1)
        with open("/proc/stat") as file:
            second = [int(value) for value in file.readline().split()[1:8]]
        passed = [b - a for a, b in zip(first, second)]
        if sum(passed) and passed[3] / sum(passed) > 0.93:
            return True
    return False


def turns(paths, feeds):
    """Median milliseconds of each file, and the median over turns of each one's time against the first's."""
    sessions = [session(path) for path in paths]
    names = [[value.name for value in run.get_inputs()] for run in sessions]
    inputs = [{name: feeds[name] for name in of} for of in names]

    def burst(run, feed, count):
        start = time.perf_counter()
        for _ in range(count):
            run.run(None, feed)
        return (time.perf_counter() - start) / count

    counts = []
    for run, feed in zip(sessions, inputs):
        burst(run, feed, 2)
        counts.append(max(1, int(BURST / burst(run, feed, 2))))
    rows = [[burst(*each) for each in zip(sessions, inputs, counts)] for _ in range(TURNS)]
    return [1000 * statistics.median(column) for column in zip(*rows)], rows


def ratio(rows, a, b):
    return statistics.median(row[a] / row[b] for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lathe")
    parser.add_argument("--models")
    parser.add_argument("--step", default="static-int8")
    parser.add_argument("--work")
    parser.add_argument("--output")
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    import logging

    logging.disable(logging.CRITICAL)
    keys = options.models.split(",") if options.models else SAMPLES + [row["key"] for row in samples.models()]
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(options.work or temporary)
        table, left = [], []
        for key in keys:
            try:
                subject = Subject(key, work / key)
            except Exception as error:
                left.append((key, "the original does not run: " + " ".join(str(error).replace(f"{ROOT}/", "").split())[:90]))
                continue
            theirs, problem = subject.theirs()
            ours, refusal = subject.ours(options.lathe, options.step)
            if ours is None:
                left.append((key, refusal))
                continue
            paths = [subject.model, ours] + ([theirs] if theirs else [])
            steady = quiet()
            times, rows = turns(paths, subject.timed)
            entry = {
                "key": key, "float": times[0], "ours": times[1], "against float": ratio(rows, 1, 0), "likeness": subject.likeness(ours),
                "bytes": ours.stat().st_size / subject.model.stat().st_size, "steady": steady}
            if theirs:
                entry.update({"theirs": times[2], "against theirs": ratio(rows, 1, 2), "their likeness": subject.likeness(theirs),
                              "their bytes": theirs.stat().st_size / subject.model.stat().st_size})
            else:
                entry["problem"] = problem
            table.append(entry)
            print(json.dumps(entry), flush=True)
    text = report(table, left, options)
    print(text)
    if options.output:
        pathlib.Path(options.output).write_text(text)


def report(table, left, options):
    both = [row for row in table if "theirs" in row]
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    lines = [
        "# Static int8 beside onnxruntime.quantization", "",
        f"Printed by `Benchmarks/static_int8.py`. {model}, one thread, ONNX Runtime {onnxruntime.__version__}. Step `{options.step}`; both saw the same calibration inputs, "
        "min-max ranges, a scale per channel, QDQ. Times are medians of turns in one process; ratios are medians of each turn's ratio.", "",
        "Likeness: top-1 accuracy on 2,000 test images for the six samples, else the mean cosine with the original's outputs on inputs that calibration did not see.", "",
        "| model | float ms | theirs ms | ours ms | ours / theirs | ours / float | likeness theirs | ours | size theirs | ours |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in table:
        theirs = [f"{row['theirs']:.3f}", f"{row['against theirs']:.2f}", f"{row['their likeness']:.4f}", f"{row['their bytes']:.3f}"] if "theirs" in row else ["–"] * 4
        lines.append(
            f"| {row['key']}{'' if row['steady'] else ' ≈'} | {row['float']:.3f} | {theirs[0]} | {row['ours']:.3f} | {theirs[1]} | {row['against float']:.2f} | "
            f"{theirs[2]} | {row['likeness']:.4f} | {theirs[3]} | {row['bytes']:.3f} |")
    lines.append("")
    if both:
        ratios = [row["against theirs"] for row in both]
        worse = [row["key"] for row in both if row["their likeness"] - row["likeness"] > 0.01]
        slower = [row["key"] for row in table if row["against float"] > 1.03]
        lines += [
            f"- {len(both)} models that both quantize: latency against theirs, median {statistics.median(ratios):.2f} ×, largest {max(ratios):.2f} ×; above 1.03 × on "
            f"{sum(value > 1.03 for value in ratios)}.",
            f"- Slower than float by more than 3 %: {', '.join(slower) or 'none'}.",
            f"- Likeness lower than theirs by more than 0.01: {', '.join(worse) or 'none'}.", ""]
    if left:
        lines += ["Left out:", ""] + [f"- {key}: {why}" for key, why in left] + [""]
    unable = [row for row in table if "theirs" not in row]
    if unable:
        lines += ["Their quantizer gives no file that runs:", ""] + [f"- {row['key']}: {row['problem']}" for row in unable] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
