"""Ranks layers by gradients and by measurement, and compares: rank correlation and time.

    .deps/venv/bin/python Benchmarks/gradient_ranking.py --lathe .build/release/lathe --output Docs/Results/GradientRanking.md

For each sample model and technique it runs `lathe sensitivity` by both methods, each time with an empty store, so that nothing is known from before. Needs SciPy.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import norm, rankdata, spearmanr

ROOT = Path(__file__).resolve().parent.parent
MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "lstm", "transformer"]
TECHNIQUES = [
    ("weight-quantization", "bits", "2,3,4,5,6,8"),
    ("magnitude-pruning", "sparsity", "0.3,0.5,0.6,0.7,0.8,0.9"),
    ("sparsegpt", "sparsity", "0.3,0.5,0.6,0.7,0.8,0.9"),
    ("activation-aware-svd", "ratio", "0.7,0.5,0.35,0.25"),
]
BOUND, TIME_BOUND = 0.85, 0.05


def data_files(folder):
    """The samples' declaration, and one without labels: outputs are compared with those of the original model."""
    here = ROOT / "SampleModels" / "data"
    text = (here / "fashion-mnist.yaml").read_text().replace(" fashion-mnist/", f" {here}/fashion-mnist/")
    labeled, compared = Path(folder) / "labeled.yaml", Path(folder) / "compared.yaml"
    labeled.write_text(text)
    compared.write_text(text.replace("metric: top1", "metric: agreement"))
    return labeled, compared


def run(lathe, model, data, technique, parameter, values, method, extra=()):
    with tempfile.TemporaryDirectory() as state:
        command = [
            lathe, "sensitivity", str(ROOT / "SampleModels" / f"{model}.onnx"), "--data", str(data), "--step", technique, "--parameter", parameter,
            "--values", values, "--method", method, "--json", *extra,
        ]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"XDG_STATE_HOME": state})
        whole = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout), whole


def cells(document, key):
    """By layer and value: a number, or NaN."""
    return np.array([[np.nan if cell.get(key) is None else cell[key] for cell in row["cells"]] for row in document["rows"]], float)


def spearman(a, b):
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return spearmanr(a, b)[0]


def ceiling(document):
    """What the true losses themselves would reach against losses measured with this noise: the root of the share of the variance of ranks that is not noise.

    The noise of a cell is that of its paired interval; two measurements with it are simulated around the measured losses, which are thereby taken for the true
    ones. (They have some noise already: the true ceiling is a little lower.)
    """
    loss = cells(document, "loss")
    low = np.array([[np.nan if not c.get("lossInterval") else c["lossInterval"]["low"] for c in r["cells"]] for r in document["rows"]], float)
    high = np.array([[np.nan if not c.get("lossInterval") else c["lossInterval"]["high"] for c in r["cells"]] for r in document["rows"]], float)
    spread = (high - low) / (2 * norm.ppf(0.975))
    random = np.random.default_rng(0)
    again = [spearman(loss, loss + random.standard_normal(loss.shape) * spread) for _ in range(50)]
    beyond = int(np.nansum((low > 0) | (high < 0)))
    return float(np.nanmean(again)), beyond, int(np.sum(~np.isnan(loss)))


def per_value(a, b):
    found = [spearman(a[:, column], b[:, column]) for column in range(a.shape[1])]
    found = [value for value in found if not np.isnan(value)]
    return float(np.mean(found)) if found else np.nan


def number(value, digits=2):
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", default=str(ROOT / ".build" / "release" / "lathe"))
    parser.add_argument("--output", help="write the page here")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--techniques", default=",".join(t[0] for t in TECHNIQUES))
    parser.add_argument("--auto", action="store_true", help="run --method auto as well")
    parser.add_argument("--repeats", type=int, default=3, help="runs by gradients; the median of their times counts")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        labeled, compared = data_files(folder)
        for model in options.models.split(","):
            for technique, parameter, values in [t for t in TECHNIQUES if t[0] in options.techniques.split(",")]:
                ask = lambda data, method, *extra: run(options.lathe, model, data, technique, parameter, values, method, extra)
                measured, _ = ask(labeled, "measured")
                changed, _ = ask(compared, "measured")
                tries = [ask(labeled, "gradient", "--time", "0.001")[0] for _ in range(options.repeats)]
                auto = ask(labeled, "auto")[0] if options.auto else None
                predicted = cells(tries[0], "predicted")
                loss, agreement = cells(measured, "loss"), cells(changed, "loss")
                best, beyond, count = ceiling(measured)
                seconds = float(np.median([t["seconds"] for t in tries]))
                row = {
                    "model": model, "technique": technique, "cells": count, "beyond": beyond, "spearman": spearman(predicted, loss), "ceiling": best,
                    "per_value": per_value(predicted, loss), "agreement": spearman(predicted, agreement), "agreement_per_value": per_value(predicted, agreement),
                    "measured": measured["seconds"], "gradient": seconds, "auto": auto and auto["seconds"],
                    "auto_cells": auto and int(np.sum(~np.isnan(cells(auto, "loss")))),
                }
                rows.append(row)
                print(
                    f"{model:14} {technique:21} cells {count:3} beyond noise {beyond:3}  spearman {row['spearman']:.3f} (ceiling {best:.3f}, per value "
                    f"{row['per_value']:.3f})  changed answers {row['agreement']:.3f}  time {seconds:.3f} s of {measured['seconds']:.3f} s = "
                    f"{seconds / measured['seconds']:.3f}" + (f"  auto measures {row['auto_cells']} cells at {auto['seconds'] / measured['seconds']:.2f}" if auto else ""), flush=True)
    if options.output:
        Path(options.output).write_text(page(rows))


def page(rows):
    has_auto = all(row["auto"] for row in rows)
    lines = [
        "# Layers ranked by gradients beside measured sensitivities", "",
        "Written by `Benchmarks/gradient_ranking.py`: `lathe sensitivity` with `--method gradient` beside `--method measured`, on Fashion-MNIST, each with an empty store.",
        "Measured: 2,000 validation samples for each cell (layer × value). Gradients: 128 calibration samples for all cells together, labels not looked at.", "",
        "- *accuracy*: Spearman's rank correlation of predicted losses with measured losses of accuracy, over all cells.",
        "- *ceiling*: what a second measurement on as many other samples would reach, simulated from the cells' intervals. Where few cells are beyond the noise, no prediction can do well there.",
        "- *beyond noise*: cells whose measured loss is not 0 within its 95 % interval.",
        "- *answers*: the same with the share of answers that change (`metric: agreement`), which has less noise: a changed answer counts whether it was right or not.",
        "- *per value*: mean over the parameter's values of the correlation over layers, for answers.",
        "- *time*: seconds behind opening model and data: rewrites, predicted sizes, running. By gradients (median of three runs) without the two cells that tell the metric's scale and without sizes after gzip and in the packed archive; measured (one run) with those sizes, which favors gradients on the smallest models.",
        "- Spearman over all cells is helped by values that are far apart (2 and 8 bits); *per value* compares layers alone. Temperature and kind of curvature were chosen on these same models, before this run.",
        *(["- *auto*: share of the cells that `--method auto` measures, since their rank is not clear, and its time."] if has_auto else []), "",
        "| model | technique | cells | beyond noise | accuracy | ceiling | answers | per value | gradient | measured | ratio |" + (" auto measures | ratio |" if has_auto else ""),
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|" + ("--:|--:|" if has_auto else ""),
    ]
    for r in rows:
        lines.append(
            f"| {r['model']} | {r['technique']} | {r['cells']} | {r['beyond']} | {number(r['spearman'])} | {number(r['ceiling'])} | {number(r['agreement'])} | "
            f"{number(r['agreement_per_value'])} | {r['gradient']:.3f} s | {r['measured']:.2f} s | {r['gradient'] / r['measured']:.3f} |"
            + (f" {r['auto_cells'] / max(r['cells'], 1):.0%} | {r['auto'] / r['measured']:.2f} |" if has_auto else ""))
    mean = lambda key: float(np.nanmean([r[key] for r in rows]))
    ratio = sum(r["gradient"] for r in rows) / sum(r["measured"] for r in rows)
    lines += [
        "",
        f"Mean over all {len(rows)}: accuracy {mean('spearman'):.2f} (ceiling {mean('ceiling'):.2f}), answers {mean('agreement'):.2f}. Time of all together: "
        f"{ratio:.3f} of measuring. At least {BOUND}: accuracy in {sum(r['spearman'] >= BOUND for r in rows)}, answers in {sum(r['agreement'] >= BOUND for r in rows)}; "
        f"at most {TIME_BOUND} of the time in {sum(r['gradient'] <= TIME_BOUND * r['measured'] for r in rows)}.", "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
