"""Time of `lathe apply` with techniques that look at layers' inputs: one build beside another, in turns, on the six sample models.

    Benchmarks/calibrated.py BEFORE AFTER [--models resnet-8,…] [--output Docs/Results/Calibrated.md]

BEFORE and AFTER are two `lathe` programs. Every technique has its default values. Wall and processor time are the smaller of two runs each; accuracy is that of
`lathe evaluate` on the validation split, of the file that each wrote. Nothing else should run on the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
STEPS = {
    "sparsegpt": ["sparsegpt"],
    "wanda": ["wanda:scope=layer"],
    "gptq": ["gptq"],
    "adaround": ["adaround"],
    "activation-aware-svd": ["activation-aware-svd"],
    "smoothquant": ["smoothquant"],
    "awq": ["awq"],
    "least-squares-reconstruction": ["magnitude-pruning:sparsity=0.5", "least-squares-reconstruction"],
}


def environment():
    found = dict(os.environ)
    found.setdefault("LATHE_ONNXRUNTIME", str(next((ROOT / ".deps/onnxruntime").glob("libonnxruntime.so.*"))))
    return found


def apply(program, model, steps, output):
    """Wall and processor seconds; None where the technique does not apply."""
    if os.path.exists(output):
        os.unlink(output)
    command = [program, "apply", ROOT / f"SampleModels/{model}.onnx", "--data", ROOT / "SampleModels/data/fashion-mnist.yaml", "--output", output]
    for step in steps:
        command += ["--step", step]
    before, start = os.times(), time.monotonic()
    done = subprocess.run([str(part) for part in command], env=environment(), capture_output=True, text=True)
    wall, after = time.monotonic() - start, os.times()
    if done.returncode != 0:
        return None
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def accuracy(program, path):
    command = [program, "evaluate", path, "--data", str(ROOT / "SampleModels/data/fashion-mnist.yaml"), "--no-latency", "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["accuracy"]["value"]
    except (ValueError, KeyError, TypeError):
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--output", default=str(ROOT / "Docs/Results/Calibrated.md"))
    options = parser.parse_args()
    programs = {"before": options.before, "after": options.after}
    rows, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models.split(","):
            for name, steps in STEPS.items():
                times = {which: [] for which in programs}
                for _ in range(2):
                    for which, program in programs.items():
                        times[which].append(apply(program, model, steps, f"{folder}/{which}.onnx"))
                if any(entry is None for entries in times.values() for entry in entries):
                    continue
                wall = {which: min(entry[0] for entry in entries) for which, entries in times.items()}
                cpu = {which: min(entry[1] for entry in entries) for which, entries in times.items()}
                same = Path(f"{folder}/before.onnx").read_bytes() == Path(f"{folder}/after.onnx").read_bytes()
                scores = [accuracy(options.after, f"{folder}/{which}.onnx") for which in programs]
                shown = "same bytes" if same else " → ".join("–" if score is None else f"{100 * score:.2f} %" for score in scores)
                ratios.append(wall["after"] / wall["before"])
                rows.append(
                    f"| {model} | {name} | {wall['before']:.2f} s | {wall['after']:.2f} s | {ratios[-1]:.3f} | {cpu['before']:.2f} s | {cpu['after']:.2f} s "
                    f"| {cpu['after'] / cpu['before']:.3f} | {shown} |")
                print(rows[-1], flush=True)
    text = "\n".join([
        "# Calibrated techniques: time beside an earlier build", "",
        f"Written by `Benchmarks/calibrated.py BEFORE AFTER`: `lathe apply` with default values, two builds in turns, {os.cpu_count()} cores, the smaller of two runs. "
        f"Ratio of wall times: median {statistics.median(ratios):.3f}, largest {max(ratios):.3f}. Accuracy is that of the written file on the validation split, before → after.", "",
        "| model | technique | before | after | ratio | processor before | after | ratio | result |", "|---|---|--:|--:|--:|--:|--:|--:|---|", *rows, ""])
    Path(options.output).write_text(text)
    print(text.splitlines()[2])


if __name__ == "__main__":
    main()
