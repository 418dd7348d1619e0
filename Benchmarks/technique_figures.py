"""What each technique does to each sample model: writes Docs/Results/technique-figures.json, which `make docs` puts on the technique pages.

    .deps/venv/bin/python Benchmarks/technique_figures.py [--lathe PROGRAM] [--technique ID,...] [--latency] [--again]

Every technique stands at its defaults; one that learns trains for a single epoch; one that mends what others did stands behind a step to
mend (`BEHIND`). All figures are those that `lathe evaluate` prints: the 10,000 images of the validation split, sizes and MACs of the graph it
writes. Latency, for which the machine must be quiet, is measured by a second run with --latency. What is measured already is kept;
--again measures it anew. Needs no package but the Debian package dataset-fashion-mnist (training images).
"""

import argparse
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "Docs/Results/technique-figures.json"
DATA = ROOT / "SampleModels/data/fashion-mnist.yaml"
MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
# What stands before a technique that mends, trains on, or only acts on what others left.
BEHIND = {
    "bias-correction": "weight-quantization:bits=3",
    "batchnorm-reestimation": "weight-quantization:bits=3",
    "least-squares-reconstruction": "structured-pruning:ratio=0.3",
    "fine-tuning": "magnitude-pruning:sparsity=0.8",
    "huffman": "weight-sharing",
    "range-coding": "weight-sharing",
    "cross-layer-equalization": "weight-quantization:bits=4,granularity=tensor",
    "smoothquant": "static-int8",
    "awq": "weight-quantization:bits=4",
}
# Equalization and scaling prepare: they stand in front of the step in BEHIND.
IN_FRONT = {"cross-layer-equalization", "smoothquant", "awq"}


def steps(technique):
    """The recipe's steps, as on the command line."""
    own = technique["id"]
    if any(parameter["name"] == "epochs" for parameter in technique["parameters"]):
        own += ":epochs=1"
    other = BEHIND.get(technique["id"])
    if other is None:
        return [own]
    return [own, other] if technique["id"] in IN_FRONT else [other, own]


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *arguments):
        done = subprocess.run([str(argument) for argument in (self.path, *arguments)], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            message = done.stderr.strip().splitlines()[-1]
            # Of "FILE: step 1, svd: applies to no layer of this model: REASON (3 layers, first NAME); REASON (NAME)" the reasons.
            reasons = re.sub(r"^lathe: \S+: ", "", message).rpartition("applies to no layer of this model: ")[2]
            return None, re.sub(r" \((\d+ layers, first )?[^()]*\)(?=;|$)", "", reasons)
        return json.loads(done.stdout), None

    def evaluate(self, model, recipe, *options):
        return self.run("evaluate", ROOT / f"SampleModels/{model}.onnx", "--data", DATA, "--json", *[part for step in recipe for part in ("--step", step)], *options)


def row(found):
    before, after, accuracy = found["figures"]["baseline"], found["figures"]["candidate"], found["accuracy"]
    interval = accuracy["differenceInterval"]
    return {
        "bytes": [before["sizes"]["serialized"], after["sizes"]["serialized"]],
        "packed": [before["sizes"]["packed"], after["sizes"]["packed"]],
        "macs": [before["macs"], after["macs"]],
        "accuracy": [round(100 * accuracy["baseline"], 2), round(100 * accuracy["value"], 2)],
        "difference": [round(100 * value, 2) for value in (accuracy["difference"], interval["low"], interval["high"])],
    }


def applied(found, technique):
    """Whether the technique changed a layer, and otherwise the first reason against it."""
    step = next(step for step in found["recipe"]["steps"] if step["technique"] == technique)
    if step["layers"]:
        return True, None
    reasons = [refusal["reason"] for refusal in step["refused"]]
    return False, max(reasons, key=reasons.count) if reasons else "no layer of its kind"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--lathe", default=ROOT / ".build/release/lathe", type=lambda path: pathlib.Path(path).absolute())
    options.add_argument("--technique", type=lambda text: text.split(","))
    options.add_argument("--model", type=lambda text: text.split(","), default=MODELS)
    options.add_argument("--latency", action="store_true")
    options.add_argument("--again", action="store_true")
    options = options.parse_args()
    program = Program(options.lathe)
    listed, trouble = program.run("techniques", "--json")
    if trouble:
        raise SystemExit(trouble)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"techniques": {}}
    known = [technique["id"] for technique in listed["techniques"]]
    # Names that the registry no longer has leave no page to stand on.
    results["techniques"] = {name: results["techniques"][name] for name in known if name in results["techniques"]}
    for technique in listed["techniques"]:
        name = technique["id"]
        if options.technique and name not in options.technique:
            continue
        recipe = steps(technique)
        entry = results["techniques"].setdefault(name, {"steps": recipe, "models": {}})
        if entry["steps"] != recipe:
            entry = results["techniques"][name] = {"steps": recipe, "models": {}}
        for model in options.model:
            old = entry["models"].get(model)
            if options.latency:
                if not old or "refused" in old or ("latency" in old and not options.again):
                    continue
                found, trouble = program.evaluate(model, recipe, "--limit", "200")
                if trouble:
                    print(f"{name:28} {model:14} {trouble}", flush=True)
                    continue
                latency = found["latency"]
                old["latency"] = [round(value, 3) for value in (latency["ratio"], latency["ratioInterval"]["low"], latency["ratioInterval"]["high"])]
                results["measured"] = {"runtime": latency["runtime"], "instructionSet": latency["instructionSet"], "threads": latency["threads"], "batch": latency["batch"]}
                print(f"{name:28} {model:14} latency {latency['ratio']:.3f} x  {latency.get('warning', '')}", flush=True)
            else:
                if old and not options.again:
                    continue
                found, trouble = program.evaluate(model, recipe, "--no-latency")
                if trouble:
                    entry["models"][model] = {"refused": trouble}
                else:
                    changed, reason = applied(found, name)
                    entry["models"][model] = row(found) if changed else {"refused": reason}
                print(f"{name:28} {model:14} {json.dumps(entry['models'][model])}", flush=True)
            beside = RESULTS.with_suffix(".new")
            beside.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
            os.replace(beside, RESULTS)


if __name__ == "__main__":
    main()
