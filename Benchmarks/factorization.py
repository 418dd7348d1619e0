"""What factorizations keep, save and cost: writes Docs/Results/Factorization.md.

    .deps/venv/bin/python Benchmarks/factorization.py [--lathe BINARY] [--bert MODEL.onnx]

Every figure is from `lathe evaluate`. The BERT of the list of production models (`make real-models`) is left out where it is missing.
"""

import argparse
import json
import os
import subprocess
import tempfile

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(ROOT, "SampleModels", "data", "fashion-mnist.yaml")
BERT = os.path.join(ROOT, ".deps", "real-models", "paraphrase_minilm_l3_fp32.onnx")
RATIOS = [0.8, 0.7, 0.6, 0.5, 0.4, 0.3]


def evaluate(binary, model, data, *steps, latency=False):
    command = [binary, "evaluate", model, "--data", data, "--json"]
    command += [] if latency else ["--no-latency"]
    for step in steps:
        command += ["--step", step]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return json.loads(done.stdout)


def agreement_data(folder):
    """The sample data with agreement with the original model as its metric."""
    with open(DATA) as file:
        text = file.read()
    text = text.replace("metric: top1", "metric: agreement").replace(": fashion-mnist/", f": {ROOT}/SampleModels/data/fashion-mnist/")
    path = os.path.join(folder, "agreement.yaml")
    with open(path, "w") as file:
        file.write(text)
    return path


def bert_data(folder, samples=192, length=64):
    """Token sequences with the frequencies of words in text (Zipf), padded to one length; metric cosine."""
    rng = np.random.default_rng(0)
    tokens = 1000 + np.minimum(rng.zipf(1.3, (samples, length)) * 7 % 19000, 18999)
    tokens[:, 0] = 101
    mask = np.ones((samples, length), np.int64)
    for row in range(samples):
        end = rng.integers(length // 3, length + 1)
        tokens[row, end - 1] = 102
        tokens[row, end:] = 0
        mask[row, end:] = 0
    np.savez(os.path.join(folder, "tokens.npz"), input_ids=tokens.astype(np.int64), attention_mask=mask)
    path = os.path.join(folder, "tokens.yaml")
    with open(path, "w") as file:
        file.write("name: token sequences\nformat: npz\nmetric: cosine\nsource: {file: tokens.npz}\nfractions: {calibration: 0.5, validation: 0.5}\n")
    return path


def activation_aware(binary, model, data, title, shown):
    """Plain and activation-aware SVD at equal ranks, so at equal size."""
    lines = ["| parameters kept of each layer | file | svd | whitening scale | whitening cholesky |", "|--:|--:|--:|--:|--:|"]
    for ratio in RATIOS:
        cells, sizes = [], set()
        for step in (f"svd:ratio={ratio}", f"activation-aware-svd:ratio={ratio},whitening=scale", f"activation-aware-svd:ratio={ratio}"):
            selector = "@kind:matMul"
            report = evaluate(binary, model, data, step + selector)
            sizes.add(report["figures"]["candidate"]["sizes"]["serialized"])
            cells.append(shown(report["accuracy"]["value"]))
        size = f"{max(sizes) / 1e6:.2f} MB" if max(sizes) >= 1e7 else f"{max(sizes) / 1e3:.1f} KB"
        lines.append(f"| {ratio:.0%} | {size} | " + " | ".join(cells) + " |")
        print(title, lines[-1], flush=True)
    return lines


def techniques(binary):
    rows = [("as it is", [])]
    rows += [(f"tucker-2, vbmf, weakening {w}", [f"tucker-2:mode=vbmf,weakening={w}"]) for w in (0, 0.25, 0.5, 0.75)]
    rows += [(f"{name}, {ratio:.0%} of parameters", [f"{name}:ratio={ratio}"]) for ratio in (0.7, 0.5)
             for name in ("svd", "activation-aware-svd", "spatial-svd", "tucker-2", "cp", "tensor-train")]
    lines = ["| factorization | parameters | MACs | file | latency | flagged | top-1 | with BatchNorm re-estimated |", "|---|--:|--:|--:|--:|---|--:|--:|"]
    model = os.path.join(ROOT, "SampleModels", "resnet-8.onnx")
    disturbed = 0
    for name, steps in rows:
        report = evaluate(binary, model, DATA, *steps, latency=True)
        disturbed += report["latency"].get("warning") is not None
        repaired = evaluate(binary, model, DATA, *steps, "batchnorm-reestimation") if steps else report
        figures = report["figures"]["candidate"]
        cell = f"{report['latency']['ratio']:.2f} ×" if steps else "1"
        flagged = "slower" if any(line.startswith("slower") for line in report["warnings"]) else ""
        lines.append(
            f"| {name} | {figures['parameters']:,.0f} | {figures['macs'] / 1e6:.2f} M | {figures['sizes']['serialized'] / 1e3:.1f} KB | {cell} | {flagged} "
            f"| {100 * report['accuracy']['value']:.2f} % | {100 * repaired['accuracy']['value']:.2f} % |")
        print(lines[-1], flush=True)
    if disturbed:
        lines += ["", f"During {disturbed} of {len(rows)} measurements of latency other processes used the cores."]
    return lines


def budgets(binary):
    """Ranks of ResNet-8's layers by measured sensitivity, under a budget of the file's size."""
    lines = ["| factorization | budget | file | top-1 | loss (95 %), points |", "|---|--:|--:|--:|--:|"]
    for budget in (70, 60):
        for technique in ("svd", "activation-aware-svd", "spatial-svd", "tucker-2", "cp", "tensor-train"):
            command = [binary, "sensitivity", os.path.join(ROOT, "SampleModels", "resnet-8.onnx"), "--data", DATA, "--step", technique,
                       "--budget", f"{budget}%", "--limit", "1000", "--json"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            if done.returncode:
                raise SystemExit(done.stderr.strip())
            found = json.loads(done.stdout)["allocation"]
            low, high = found["differenceInterval"]["low"], found["differenceInterval"]["high"]
            lines.append(
                f"| {technique} | {budget} % | {found['after'] / 1e3:.1f} KB ({found['after'] / found['before']:.1%}) | {100 * found['accuracy']:.2f} % "
                f"| {-100 * found['difference']:.2f} ({-100 * high:.2f} to {-100 * low:.2f}) |")
            print(lines[-1], flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lathe", default=os.path.join(ROOT, ".build", "release", "lathe"))
    parser.add_argument("--bert", default=BERT)
    options = parser.parse_args()
    lines = [
        "# What factorizations keep, save and cost", "",
        "Written by `.deps/venv/bin/python Benchmarks/factorization.py`. Nothing is retrained; calibration data are the data set's own.", "",
        "## Activation-aware against plain SVD", "",
        "At equal ranks, so at equal size, MACs and latency. Sample transformer: all layers but the classifier; share of the 10,000 validation images on which the answer is still the original's.", ""]
    with tempfile.TemporaryDirectory() as folder:
        transformer = os.path.join(ROOT, "SampleModels", "transformer.onnx")
        lines += activation_aware(options.lathe, transformer, agreement_data(folder), "transformer", lambda value: f"{100 * value:.2f} %")
        if os.path.exists(options.bert):
            lines += ["", "BERT (paraphrase-MiniLM-L3-v2, 69 MB, embedding left alone): mean cosine of the output with the original's on 96 token sequences, "
                      "calibrated on 96 others.", ""]
            lines += activation_aware(options.lathe, options.bert, bert_data(folder), "bert", lambda value: f"{value:.4f}")
    lines += ["", "## ResNet-8", "",
              "Top-1 on the 10,000 validation images; latency is the median of the ratio to the original's, one thread, batch 1. Ranks by variational Bayes (VBMF) leave what "
              "stands out of the noise, and are meant for fine-tuning afterwards. 'slower' is what `evaluate` and the explorer flag.", ""]
    lines += techniques(options.lathe)
    lines += ["", "### Ranks by a budget", "",
              "`lathe sensitivity --step TECHNIQUE --budget 70%`: each layer its own ratio, from losses measured layer by layer on 1,000 images; the whole then measured on all 10,000. "
              "Nothing repaired.", ""]
    lines += budgets(options.lathe)
    lines.append("")
    with open(os.path.join(ROOT, "Docs", "Results", "Factorization.md"), "w") as file:
        file.write("\n".join(lines))


if __name__ == "__main__":
    main()
