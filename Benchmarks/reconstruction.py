"""What reconstruction wins over rounding and cutting to the nearest, on ResNet-8: writes Docs/Results/Reconstruction.md.

    python3 Benchmarks/reconstruction.py [--lathe BINARY]

Every figure is top-1 on the 10,000 validation images, from `lathe evaluate`.
"""

import argparse
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = "SampleModels/resnet-8.onnx"
DATA = "SampleModels/data/fashion-mnist.yaml"


def evaluate(binary, *steps):
    command = [binary, "evaluate", MODEL, "--data", DATA, "--no-latency", "--json"]
    for step in steps:
        command += ["--step", step]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return json.loads(done.stdout)["accuracy"]["correct"]


def percent(correct):
    return f"{correct / 100:.2f} %"


def where_it_has_dropped(points, base, drop=100):
    """Sparsity at which `drop` images of 10,000 are lost, between the two measured points around it."""
    previous = (0.0, base)
    for sparsity, correct in points:
        if base - correct >= drop:
            (x, y) = previous
            return f"{x + (sparsity - x) * (y - (base - drop)) / max(y - correct, 1):.2f}"
        previous = (sparsity, correct)
    return f"above {points[-1][0]:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lathe", default=os.path.join(ROOT, ".build", "release", "lathe"))
    options = parser.parse_args()
    base = evaluate(options.lathe)
    lines = [
        "# What reconstruction wins",
        "",
        "Written by `python3 Benchmarks/reconstruction.py`. ResNet-8 on Fashion-MNIST, nothing retrained; top-1 on the 10,000 validation images, "
        f"{percent(base)} before. Calibration: the data set's own 1,000 images.",
        "",
        "## Pruning at once",
        "",
    ]
    sparsities = [0.3, 0.4, 0.5, 0.6, 0.7]
    lines.append("| technique | scope | " + " | ".join(f"{s:.0%}" for s in sparsities) + " | zeros when 1 point is lost |")
    lines.append("|---|---|" + "--:|" * (len(sparsities) + 1))
    for technique in ["magnitude-pruning", "sparsegpt"]:
        for scope in ["layer", "global", "lamp"]:
            points = [(s, evaluate(options.lathe, f"{technique}:sparsity={s},scope={scope}")) for s in sparsities]
            lines.append(
                f"| {technique} | {scope} | " + " | ".join(percent(correct) for _, correct in points) + f" | {where_it_has_dropped(points, base)} |")
    lines += ["", "The last column lies between two measured points, by a straight line.", "", "## Four bits a weight", ""]
    lines.append("| scales | nearest | loss | gptq | loss | adaround | loss |")
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for granularity in ["tensor", "channel"]:
        cells = []
        for technique in ["weight-quantization", "gptq", "adaround"]:
            correct = evaluate(options.lathe, f"{technique}:bits=4,granularity={granularity}")
            cells += [percent(correct), f"{(base - correct) / 100:.2f}"]
        lines.append(f"| per {granularity} | " + " | ".join(cells) + " |")
    lines += ["", "Losses in points.", ""]
    with open(os.path.join(ROOT, "Docs", "Results", "Reconstruction.md"), "w") as file:
        file.write("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
