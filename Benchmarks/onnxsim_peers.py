"""Pruning and quantization by calibration, `lathe apply` beside onnxsim at equal settings: accuracy and time, on the sample models and a BERT.

    python3 -m venv DIR && DIR/bin/pip install onnxsim==0.8.1 onnxruntime pillow      # once; the same version of onnxruntime as .deps/onnxruntime
    DIR/bin/python Benchmarks/onnxsim_peers.py LATHE [--models KEY,…] [--techniques ID,…] [--work DIR] [--output Docs/Results/OnnxsimPeers.md]

Both see the same calibration inputs (256 images; 8 rows for the BERT) and change the same layers: `lathe` is restricted with @ to those that onnxsim changed.
Their time is that of their function's calls in this process, with everything imported, models loaded and calibration inputs in memory; not counted are shape
inference, conversion to operator set 21 and the writing of the file. Ours is that of the whole process: start, reading, decoding of images, writing. The best of
two runs each. Accuracy is top-1 on 2,000 test images for the samples and the mean cosine with the original's outputs on inputs that calibration did not see for
the BERT. With --work the files are kept. Run `make real-models` first; nothing else should run on the machine. `taskset` in front gives both as many cores.
"""

import argparse
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
from onnx import numpy_helper

try:
    import onnxsim
    from onnxsim import quark_smoothquant, quark_weight_rounding
except ImportError:
    sys.exit("onnxsim_peers.py: this Python has no onnxsim: pip install onnxsim==0.8.1 onnxruntime pillow")

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Benchmarks"))
import static_int8  # noqa: E402

BERT = "paraphrase_minilm_l3_fp32"
LAYERS = ("Conv", "Gemm", "MatMul")
RUNS = 2


class Refusal(Exception):
    """Why there is no row."""


def consumers(model):
    """Name of the layer, its node and its weight's name, for each convolution and product with constant weights."""
    constants = {value.name for value in model.graph.initializer}
    return [(node.name or node.output[0], node, node.input[1]) for node in model.graph.node if node.op_type in LAYERS and node.input[1] in constants]


def weights(model, nodes):
    """The weight of each of the original's nodes in a model made from it, None where it is no constant anymore."""
    constants = {value.name: value for value in model.graph.initializer}
    produced = {name: node for node in model.graph.node for name in node.output}
    found = []
    for _, node, _ in nodes:
        value = constants.get(produced[node.output[0]].input[1]) if node.output[0] in produced else None
        found.append(None if value is None else numpy_helper.to_array(value))
    return found


def changed(original, model):
    """The layers whose weights are others, or come from an operator."""
    nodes = consumers(original)
    pairs = zip(nodes, weights(original, nodes), weights(model, nodes))
    return [node for node, before, after in pairs if after is None or not np.array_equal(before, after)]


def zeros(model, nodes):
    """Share of zeros in each layer and in all of them."""
    found = weights(model, nodes)
    counts = [int((value == 0).sum()) for value in found]
    return [count / value.size for count, value in zip(counts, found)], sum(counts) / sum(value.size for value in found)


def typed(model):
    """Their quantizers silently skip layers whose inputs have no declared type."""
    return onnx.shape_inference.infer_shapes(model)


class Clock:
    """Seconds spent inside `with`."""

    def __init__(self):
        self.seconds = 0.0

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self.start


# Theirs: each takes the original with types, calibration inputs and a clock, and gives the model, the layers it worked on (None: those that changed) and for
# SmoothQuant those that were smoothed.


def magnitude(model, feeds, clock):
    with clock:
        return onnxsim.apply_magnitude_pruning(model, sparsity=0.6), None, None


def wanda(model, feeds, clock):
    with clock:
        return onnxsim.apply_wanda_pruning(model, calibration_data=feeds, sparsity=0.6), None, None


def sparsegpt(model, feeds, clock):
    with clock:
        return onnxsim.apply_sparsegpt_pruning(model, calibration_data=feeds, sparsity=0.6), None, None


def gptq_group(model, feeds, clock):
    lifted = typed(onnx.version_converter.convert_version(model, 21))
    with clock:
        rounded = onnxsim.quantize_weight_only_int4(lifted)
    layers = changed(lifted, rounded)
    if not layers:
        raise Refusal("it quantizes no layer: no weight's inputs are a multiple of 32")
    if any(node.op_type == "Conv" for _, node, _ in layers):
        raise Refusal("its GPTQ does not reach convolutions, which quantize_weight_only_int4 rounds to the nearest at the same time")
    with clock:
        return onnxsim.apply_gptq(lifted, rounded, calibration_data=feeds), layers, None


def renamed(model):
    """Their 8-bit weight-only model, with the names by which gptq_int8 finds a weight's codes."""
    rounded = onnxsim.quantize_weight_only(model)
    produced, original, names = {name: node for node in rounded.graph.node for name in node.output}, {node.output[0]: node for _, node, _ in consumers(model)}, {}
    for node in rounded.graph.node:
        source = produced.get(node.input[1]) if node.output[0] in original else None
        if source is not None and source.op_type == "DequantizeLinear":
            names[source.input[0]] = f"{original[node.output[0]].input[1]}/qdq0/codes"
            source.input[0] = names[source.input[0]]
    for value in rounded.graph.initializer:
        value.name = names.get(value.name, value.name)
    return rounded


def gptq_int8(model, feeds, clock, **settings):
    rounded = renamed(model)
    with clock:
        made, reports = quark_weight_rounding.gptq_int8(model, rounded, feeds, bits=4, per_channel=True, **settings)
    names = {report.name for report in reports}
    return made, [layer for layer in consumers(model) if layer[0] in names], None


def gptq_plain(model, feeds, clock):
    return gptq_int8(model, feeds, clock)


def gptq_mse(model, feeds, clock):
    return gptq_int8(model, feeds, clock, mse=True, act_order=True)


def smoothquant(model, feeds, clock):
    # apply_smoothquant takes Gemm and MatMul, but only where inputs are matrices; smooth_quant takes MatMul only, of any rank.
    products = any(node.op_type == "MatMul" for _, node, _ in consumers(model))
    with clock:
        smooth = quark_smoothquant.smooth_quant(model, feeds, alpha=0.5) if products else onnxsim.apply_smoothquant(model, calibration_data=feeds, alpha=0.5)
    smoothed = changed(model, smooth)
    smooth = typed(smooth)
    with clock:
        made = onnxsim.quantize_static(smooth, feeds)
    return made, None, smoothed


PRUNING = ("magnitude", "wanda", "sparsegpt")
GROUP = "gptq:bits=4,granularity=group,group-size=32"
# Theirs in words; their function; ours by setting, with {at} for their layers and {smoothed} for those they smoothed.
TECHNIQUES = {
    "magnitude": ("`apply_magnitude_pruning(sparsity=0.6)`", magnitude, {
        "equal": ["magnitude-pruning:sparsity=0.6,scope=layer{at}"],
        "own scope": ["magnitude-pruning:sparsity=0.6{at}"]}),
    "wanda": ("`apply_wanda_pruning(sparsity=0.6)`", wanda, {
        "equal": ["wanda:sparsity=0.6,scope=layer{at}"],
        "own scope": ["wanda:sparsity=0.6{at}"]}),
    "sparsegpt": ("`apply_sparsegpt_pruning(sparsity=0.6)`", sparsegpt, {
        "equal": ["sparsegpt:sparsity=0.6,scope=layer,inputs=original{at}"],
        "own inputs": ["sparsegpt:sparsity=0.6,scope=layer{at}"],
        "own scope": ["sparsegpt:sparsity=0.6{at}"]}),
    "gptq-group": ("`apply_gptq` after `quantize_weight_only_int4`: symmetric, groups of 32", gptq_group, {
        "equal": [GROUP + ",range=minmax,sweeps=0,order=natural,storage=dequantize{at}"],
        "own": [GROUP + "{at}"]}),
    "gptq-channel": ("`quark_weight_rounding.gptq_int8(bits=4, per_channel=True)` after `quantize_weight_only`", gptq_plain, {
        "equal": ["gptq:bits=4,range=minmax,sweeps=0,order=natural,storage=dequantize{at}"]}),
    "gptq-channel-mse": ("`gptq_int8(bits=4, per_channel=True, mse=True, act_order=True)` after `quantize_weight_only`", gptq_mse, {
        "equal": ["gptq:bits=4,range=mse,sweeps=0,order=activation,storage=dequantize{at}"],
        "own": ["gptq:bits=4{at}"]}),
    "smoothquant": ("`apply_smoothquant` (with MatMul layers `quark_smoothquant.smooth_quant`), alpha 0.5, then `quantize_static`", smoothquant, {
        "equal": ["smoothquant?:alpha=0.5{smoothed}", "static-int8:target=integer,carry=false{at}"],
        "own": ["smoothquant?:alpha=0.5", "static-int8:target=integer"]}),
}


def theirs(technique, subject, model):
    best = None
    for _ in range(RUNS):
        clock = Clock()
        made, layers, smoothed = TECHNIQUES[technique][1](model, subject.calibration, clock)
        best = min(clock.seconds, best or clock.seconds)
    layers = changed(model, made) if layers is None else layers
    if not layers or smoothed == []:
        raise Refusal("it changes no layer")
    path = subject.folder / f"{technique}-theirs.onnx"
    onnx.save(made, path)
    return path, best, layers, smoothed


def ours(program, subject, steps, path):
    environment = dict(os.environ)
    environment.setdefault("LATHE_ONNXRUNTIME", str(next((ROOT / ".deps/onnxruntime").glob("libonnxruntime.so.*"))))
    command = [program, "apply", subject.model, "--output", path] + [part for step in steps for part in ("--step", step)]
    if not steps[0].startswith("magnitude"):
        command += ["--data", subject.data]
    best = None
    for _ in range(RUNS):
        path.unlink(missing_ok=True)
        start = time.perf_counter()
        done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            raise Refusal("ours: " + " ".join(done.stderr.split())[:160])
        best = min(seconds, best or seconds)
    return best


def said(error):
    return " ".join(str(error).split())[:160] or type(error).__name__


def rows(technique, subject, model, program, left):
    """One row for each setting of ours."""
    key = subject.key
    try:
        path, seconds, layers, smoothed = theirs(technique, subject, model)
        likeness = subject.likeness(path)
    except Exception as error:  # whatever it says
        left.append((technique, key, said(error)))
        return
    names = [name for name, _, _ in layers]
    at, at_smoothed = "@" + ",".join(names), "@" + ",".join(name for name, _, _ in smoothed or [])
    settings = dict(TECHNIQUES[technique][2])
    each, pruned = zeros(onnx.load(path), layers) if technique in PRUNING else ([], None)
    if any(abs(share - 0.6) > 0.002 for share in each):
        settings["their zeros"] = [settings["equal"][0] + "".join(f";sparsity={share:.6f}@{name}" for name, share in zip(names, each))]
    for setting, steps in settings.items():
        made = subject.folder / f"{technique}-{setting.replace(' ', '-')}.onnx"
        try:
            mine = ours(program, subject, [step.format(at=at, smoothed=at_smoothed) for step in steps], made)
        except Refusal as error:
            left.append((f"{technique}, {setting}", key, said(error)))
            continue
        yield {
            "technique": technique, "setting": setting, "key": key, "layers": len(layers), "of": len(consumers(model)),
            "zeros": [pruned, zeros(onnx.load(made), layers)[1]] if technique in PRUNING else None,
            "theirs": likeness, "ours": subject.likeness(made), "their seconds": seconds, "our seconds": mine}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lathe")
    parser.add_argument("--models")
    parser.add_argument("--techniques")
    parser.add_argument("--work")
    parser.add_argument("--output")
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    keys = options.models.split(",") if options.models else static_int8.SAMPLES + [BERT]
    techniques = options.techniques.split(",") if options.techniques else list(TECHNIQUES)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(options.work or temporary)
        table, left, originals = [], [], {}
        for key in keys:
            subject = static_int8.Subject(key, work / key)
            model = typed(onnx.load(subject.model))
            originals[key] = subject.likeness(subject.model)
            for technique in techniques:
                for row in rows(technique, subject, model, options.lathe, left):
                    table.append(row)
                    print(json.dumps(row), flush=True)
    text = report(table, left, originals, techniques)
    print(text)
    if options.output:
        pathlib.Path(options.output).write_text(text)


def named(row):
    return f"{row['technique']} {row['key']}" + ("" if row["setting"] == "equal" else f" ({row['setting']})")


def report(table, left, originals, techniques):
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# Calibrated techniques beside onnxsim", "",
        f"Printed by `Benchmarks/onnxsim_peers.py`. {processor}, {cores} core{'' if cores == 1 else 's'}, onnxsim {onnxsim.__version__}, ONNX Runtime "
        f"{onnxruntime.__version__}. Both saw the same calibration inputs (256 images; 8 rows for the BERT) and changed the same layers; `lathe` was held to "
        "those that onnxsim changed with `@`. Seconds, the best of two runs: theirs in their functions' calls alone, in a process that has everything imported, the model "
        "and the calibration inputs in memory, and without writing the file; ours for the whole process of `lathe apply`.", "",
        "Accuracy: top-1 on 2,000 test images for the six samples, counted by ONNX Runtime; for the BERT the mean cosine with the original's outputs on inputs that "
        "calibration did not see. The originals: " + ", ".join(f"{key} {value:.4f}" for key, value in originals.items()) + ".", "",
        "Theirs, and ours on the same layers:", ""]
    for technique in techniques:
        words, _, settings = TECHNIQUES[technique]
        spec = "; ".join(f"{name}: " + " ".join(f"`--step {step.format(at='', smoothed='')}`" for step in steps) for name, steps in settings.items())
        lines.append(f"- {technique}: {words}; {spec}.")
    lines += [
        "", "Differences that remain at *equal*:", "",
        "- Pruning: where a rule per output rounds the count of 60 % for each output alone, theirs leaves more or fewer zeros. *Their zeros* gives each layer the share "
        "that theirs has in it, where that is not 60 %.",
        "- magnitude: theirs compares the weights of one output with each other, ours those of a layer.",
        "- wanda: where a layer's inputs have three axes theirs takes magnitudes only; ours measures them.",
        "- sparsegpt: theirs chooses which weights become zero within blocks of 128 inputs, all outputs together; ours within each column. *Own inputs* measures a layer "
        "after those before it are pruned.",
        "- gptq-channel: theirs takes 8,192 rows of a layer's inputs, drawn at random, ours all; its grid has 16 values, −8…7, and ours 15. Depthwise convolutions have 8 "
        "bits in theirs and stay float in ours.",
        "- smoothquant: theirs puts a Mul before every layer it smooths, ours writes the factors into the operator before the layer and leaves a layer alone where that "
        "cannot be. quantize_static leaves outputs in float, so ONNX Runtime computes its convolutions and Gemm in float; ours are integer "
        "kernels. *Own* is not held to their layers.",
        "- onnxsim changes Conv, Gemm and MatMul only: recurrent layers and embedding tables stay as they are in both.", "",
        "| technique | model | ours with | layers | zeros theirs | ours | accuracy theirs | ours | seconds theirs | ours | theirs / ours |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in sorted(table, key=lambda row: techniques.index(row["technique"])):
        share = [f"{value:.3f}" for value in row["zeros"]] if row["zeros"] else ["–", "–"]
        lines.append(
            f"| {row['technique']} | {row['key']} | {row['setting']} | {row['layers']} of {row['of']} | {share[0]} | {share[1]} | {row['theirs']:.4f} | {row['ours']:.4f} | "
            f"{row['their seconds']:.3f} | {row['our seconds']:.3f} | {ratio(row):.2f} |")
    lines.append("")
    equal = [row for row in table if row["setting"] == "equal"]
    for name, of in (("equal settings", equal), ("all rows", table)):
        if of:
            worst = min(of, key=ratio)
            lines.append(f"- {name}, {len(of)} rows: seconds theirs / ours, median {statistics.median(map(ratio, of)):.2f}, smallest {ratio(worst):.2f} ({named(worst)}).")
    long = [row for row in equal if row["their seconds"] >= 0.2]
    if long:
        worst = min(long, key=ratio)
        lines.append(
            f"- equal settings where theirs takes 0.2 s or more, {len(long)} rows: median {statistics.median(map(ratio, long)):.2f}, smallest {ratio(worst):.2f} "
            f"({named(worst)}).")
    if table:
        least = min(table, key=lambda row: row["our seconds"])
        lines.append(f"- Ours takes no less than {least['our seconds']:.2f} s ({named(least)}).")
    lines.append("- By technique, equal settings:")
    for technique in techniques:
        of = [row for row in equal if row["technique"] == technique]
        if of:
            lines.append(f"  - {technique}: median {statistics.median(map(ratio, of)):.2f}, smallest {min(map(ratio, of)):.2f}, largest {max(map(ratio, of)):.2f}.")
    gap = lambda row: row["theirs"] - row["ours"]  # noqa: E731
    worse = sorted((row for row in table if gap(row) > 0.01), key=gap, reverse=True)
    near = sorted((row for row in table if 0.001 < gap(row) <= 0.01), key=gap, reverse=True)
    slower = sorted((row for row in equal if ratio(row) < 1), key=ratio)
    lines += [
        f"- More accurate than theirs by more than 0.01: {sum(gap(row) < -0.01 for row in table)} of {len(table)} rows.",
        "- Less accurate by more than 0.01: " + ("; ".join(f"{named(row)} by {gap(row):.4f}" for row in worse) or "none") + ".",
        "- Less accurate by 0.001 to 0.01: " + ("; ".join(f"{named(row)} by {gap(row):.4f}" for row in near) or "none") + ".",
        f"- Slower at equal settings, {len(slower)} of {len(equal)} rows: " + ("; ".join(f"{named(row)} {ratio(row):.2f}" for row in slower) or "none") + "."]
    lines.append("")
    if left:
        lines += ["Left out:", ""] + [f"- {technique}, {key}: {why}." for technique, key, why in left] + [""]
    return "\n".join(lines)


def ratio(row):
    return row["their seconds"] / row["our seconds"]


if __name__ == "__main__":
    main()
