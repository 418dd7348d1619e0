"""Accuracy right after compression and after training on, and models moved to other data: writes Docs/Results/Recovery.md.

    .deps/venv/bin/python Benchmarks/recovery.py --mnist MNIST_FOLDER [--lathe PROGRAM] [--part NAME,...] [--seeds COUNT]

Parts: pruning, quantization, binary, distillation (ResNet-8 on Fashion-MNIST), lenet-5, transformer (moved to MNIST, whose four IDX files,
gzipped, are in MNIST_FOLDER). Fashion-MNIST's training images are those of the Debian package dataset-fashion-mnist. What was measured stays
in .build/recovery.json and the document is written from it, so that parts can be run one after the other; trainings are remembered by lathe
itself, and an interrupted one goes on from its last epoch. Needs numpy and onnxruntime.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess

import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / ".build" / "recovery"
SAMPLES = ROOT / "SampleModels" / "data" / "fashion-mnist"
PACKAGE = pathlib.Path("/usr/share/datasets/fashion-mnist")
# What the sample models were trained with.
VARIED = "flip=true,shift=1"

# title, what compresses, what is said to be held, what wins it back (none where the technique itself learns).
RESNET = {
    "pruning": [
        ("filters pruned to half the MACs", "structured-pruning:ratio=0.3", f"fine-tuning:epochs=6,learning-rate=0.004,loss=both,{VARIED}"),
    ],
    "quantization": [
        ("4-bit weights and activations, first and last layer in 8", f"quantization-aware-training:bits=4,activation-bits=4,epochs=4,learning-rate=0.002,loss=both,{VARIED}", None),
    ],
    "binary": [
        ("binary weights, first and last layer in 8 bits", f"quantization-aware-training:bits=1,activation-bits=off,epochs=4,learning-rate=0.004,loss=both,{VARIED}", None),
    ],
}
TARGETS = {"pruning": 0.5, "quantization": 1.0, "binary": 3.0}
# A student of a quarter of the parameters: the same structure, start, epochs and seeds, taught in different ways.
STUDENT = "structured-pruning:ratio=0.51"
LESSONS = {
    "labels": f"fine-tuning:epochs=3,learning-rate=0.004,loss=labels,{VARIED}",
    "labels and the original's scores": f"fine-tuning:epochs=3,learning-rate=0.004,loss=both,{VARIED}",
}
SEEDS = 3
MOVES = {
    "lenet-5": [
        ("full fine-tuning", "fine-tuning:epochs=2,learning-rate=0.001"),
        ("feature extraction: the last layer", "fine-tuning:epochs=2,learning-rate=0.005,scope=head"),
        ("LoRA of rank 8, and the last layer", "lora:rank=8,alpha=8,also=head,epochs=2,learning-rate=0.003"),
        ("adapters, and the last layer", "adapters:bottleneck=8,limit=0.035,also=head,epochs=2,learning-rate=0.003"),
    ],
    "transformer": [
        ("full fine-tuning", "fine-tuning:epochs=3,learning-rate=0.002"),
        ("feature extraction: the last layer", "fine-tuning:epochs=3,learning-rate=0.005,scope=head"),
        ("LoRA of rank 1, and the last layer", "lora:rank=1,alpha=4,also=head,epochs=3,learning-rate=0.005"),
        ("adapters, and the last layer", "adapters:bottleneck=4,limit=0.035,also=head,epochs=3,learning-rate=0.005"),
    ],
}
PARTS = [*RESNET, "distillation", *MOVES]


def description(name, train, calibration, validation, test):
    """A data set as the sample models expect it, normalized by Fashion-MNIST's mean and deviation."""
    def split(images, labels, start, end):
        return f"{{images: {images}, labels: {labels}, range: [{start}, {end}]}}"

    path = WORK / f"{name}.yaml"
    path.write_text(f"""name: {name}
format: idx
metric: top1
preprocessing: {{scale: 0.00392156862745098, mean: [0.2860], std: [0.3530], shape: [1, 28, 28]}}
splits:
  train: {split(*train)}
  calibration: {split(*calibration)}
  validation: {split(*validation)}
  test: {split(*test)}
""")
    return path


def files(folder, name):
    return f"{folder}/{name}-images-idx3-ubyte.gz", f"{folder}/{name}-labels-idx1-ubyte.gz"


class Bench:
    def __init__(self, lathe, mnist):
        self.lathe, self.mnist = lathe, mnist
        packaged, held, test = files(PACKAGE, "train"), files(SAMPLES, "heldout"), files(SAMPLES, "t10k")
        splits = (*held, 0, 1000), (*held, 1000, 5000), (*test, 0, 10000)
        self.fashion = description("fashion-mnist", (*packaged, 0, 55000), *splits)
        # For what a technique that learns starts from: one step at the lowest rate.
        self.untrained = description("fashion-mnist-few", (*packaged, 0, 128), *splits)

    def run(self, *arguments):
        done = subprocess.run([str(argument) for argument in (self.lathe, *arguments, "--json")], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        return json.loads(done.stdout)

    def apply(self, model, data, *steps, seed=0):
        """The model after a recipe, and the report of the last step."""
        output = WORK / "out.onnx"
        recipe = WORK / "recipe.yaml"
        recipe.write_text(f"lathe: 1\nseed: {seed}\nsteps: []\n")
        report = self.run("apply", model, "--data", data, "--recipe", recipe, *[part for step in steps for part in ("--step", step)], "--output", output)
        return output, report["recipe"]["steps"][-1]

    def accuracy(self, model, folder):
        """Per cent of the 10,000 test images of a folder, by Python's onnxruntime."""
        paths = files(folder, "t10k")
        images = numpy.frombuffer(gzip.open(paths[0]).read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
        labels = numpy.frombuffer(gzip.open(paths[1]).read(), numpy.uint8, offset=8)
        scaled = (images.astype(numpy.float32) * numpy.float32(0.00392156862745098) - numpy.float32(0.2860)) / numpy.float32(0.3530)
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        right = sum(int((session.run(None, {"image": scaled[at:at + 500]})[0].argmax(1) == labels[at:at + 500]).sum()) for at in range(0, len(labels), 500))
        return 100 * right / len(labels)

    def figures(self, model):
        found = self.run("inspect", model)["figures"]
        return {"parameters": found["parameters"], "macs": found["macs"], "bytes": pathlib.Path(model).stat().st_size}

    def original(self):
        model = ROOT / "SampleModels/resnet-8.onnx"
        return {**self.figures(model), "accuracy": self.accuracy(model, SAMPLES)}

    def resnet(self, part):
        rows = []
        for title, compress, recover in RESNET[part]:
            model = ROOT / "SampleModels/resnet-8.onnx"
            if recover:
                raw, _ = self.apply(model, self.fashion, compress)
            else:
                untaught = ",".join(item for item in compress.split(",") if not item.startswith(("epochs", "learning-rate")))
                raw, _ = self.apply(model, self.untrained, f"{untaught},epochs=1,learning-rate=0.00001,batchnorm=frozen,keep=last")
            before = self.accuracy(raw, SAMPLES)
            output, _ = self.apply(model, self.fashion, *([compress, recover] if recover else [compress]))
            rows.append({"title": title, "steps": [compress, recover] if recover else [compress], "raw": before, "recovered": self.accuracy(output, SAMPLES), **self.figures(output)})
            print(rows[-1], flush=True)
        return {"original": self.original(), "rows": rows}

    def distillation(self):
        model = ROOT / "SampleModels/resnet-8.onnx"
        start, _ = self.apply(model, self.fashion, STUDENT)
        result = {"original": self.original(), "seeds": self.seeds, "raw": self.accuracy(start, SAMPLES), **self.figures(start), "lessons": {}}
        for seed in self.seeds:
            for title, lesson in LESSONS.items():
                output, _ = self.apply(model, self.fashion, STUDENT, lesson, seed=seed)
                result["lessons"].setdefault(title, []).append(self.accuracy(output, SAMPLES))
                print(seed, title, result["lessons"][title][-1], flush=True)
        return result

    def moved(self, name):
        if not self.mnist:
            raise SystemExit(f"part {name} needs --mnist")
        train, test = files(self.mnist, "train"), files(self.mnist, "t10k")
        data = description("mnist", (*train, 0, 54000), (*train, 54000, 55000), (*train, 55000, 60000), (*test, 0, 10000))
        model = ROOT / f"SampleModels/{name}.onnx"
        total = self.figures(model)["parameters"]
        known = {technique["id"] for technique in self.run("techniques")["techniques"]}
        rows = [{"title": "as it is", "accuracy": self.accuracy(model, self.mnist), **self.figures(model)}]
        for title, step in MOVES[name]:
            if step.split(":")[0] not in known:
                continue
            output, report = self.apply(model, data, step)
            training = report["training"]
            rows.append({
                "title": title, "steps": [step], "accuracy": self.accuracy(output, self.mnist), "trained": training["trainedParameters"], "share": training["trainedParameters"] / total,
                "memory": training["bytes"], "seconds": training["steps"] * training["stepMilliseconds"] / 1000, **self.figures(output)})
            print(rows[-1], flush=True)
        return {"rows": rows}


def bytes_text(count):
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} KB"


def recipe_text(steps):
    return "; ".join(f"`{step}`" for step in steps)


def document(results):
    lines = [
        "# What training wins back", "",
        "Written by `.deps/venv/bin/python Benchmarks/recovery.py --mnist MNIST_FOLDER`. Accuracies are top-1 on the data set's 10,000 test images, by Python's onnxruntime from the written file; "
        "none of these images had a part in training or in the choice of epochs. ResNet-8 trains on the 55,000 images it was first trained on; the epoch is chosen by 4,000 held-out ones "
        "(the split `test` of the sample data). The same 10,000 images leave a chance of about ±0.2 points (95 %) in the difference of two models that agree on most of them.", ""]
    held = [part for part in RESNET if part in results]
    if held:
        original = results[held[0]]["original"]
        lines += ["## ResNet-8 on Fashion-MNIST", "", "Raw is the accuracy right after compression; for quantization-aware training, after one step at the lowest learning rate.", "",
                  "| | parameters | MACs | file | raw | recovered | loss, points | wanted |", "|---|--:|--:|--:|--:|--:|--:|--:|",
                  f"| as it is | {original['parameters']:,} | {original['macs'] / 1e6:.2f} M | {bytes_text(original['bytes'])} | {original['accuracy']:.2f} % | | | |"]
        for part in held:
            for row in results[part]["rows"]:
                lines.append(
                    f"| {row['title']} | {row['parameters']:,} | {row['macs'] / 1e6:.2f} M | {bytes_text(row['bytes'])} | {row['raw']:.2f} % | {row['recovered']:.2f} % "
                    f"| {original['accuracy'] - row['recovered']:.2f} | ≤ {TARGETS[part]} |")
        lines += ["", "Recipes:", ""] + [f"- {row['title']}: {recipe_text(row['steps'])}" for part in held for row in results[part]["rows"]] + [""]
    if "distillation" in results:
        found = results["distillation"]
        first, *others = found["lessons"]
        seeds = found["seeds"]
        lines += ["## A student of a quarter of the parameters", "",
                  f"ResNet-8 after `{STUDENT}` ({found['parameters']:,} parameters, {found['parameters'] / found['original']['parameters']:.1%}; {found['macs'] / 1e6:.2f} M MACs; {bytes_text(found['bytes'])}; "
                  f"{found['raw']:.2f} % as it is then), trained with the same seeds, epochs and rates: only what it learns from differs. The original has {found['original']['accuracy']:.2f} %.", "",
                  "| learns from | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |", "|---|" + "--:|" * (len(seeds) + 1)]
        for title, values in found["lessons"].items():
            lines.append(f"| {title} | " + " | ".join(f"{value:.2f} %" for value in values) + f" | {statistics.mean(values):.2f} % |")
        lines.append("")
        for title in others:
            gains = [a - b for a, b in zip(found["lessons"][title], found["lessons"][first])]
            spread = f"standard error over seeds {statistics.stdev(gains) / len(gains) ** 0.5:.2f}" if len(gains) > 1 else "one seed: chance is not ruled out"
            lines += [f"Gain of {title} over {first}: {statistics.mean(gains):+.2f} points ({spread}).", ""]
        lines += ["Lessons: " + "; ".join(f"`{lesson}`" for lesson in LESSONS.values()) + ".", ""]
    moves = [name for name in MOVES if name in results]
    if moves:
        lines += ["## Moved from Fashion-MNIST to MNIST", "",
                  "Sample models trained on Fashion-MNIST, trained on with 54,000 images of MNIST (pixels normalized as before); epochs chosen by 5,000 others. Memory is of weights that are trained, "
                  "their gradients and optimizer states, without activations. Time is that of all steps at the median, on two shared cores: compare it within a table and roughly.", ""]
        for name in moves:
            rows = results[name]["rows"]
            full = next(row for row in rows if row["title"].startswith("full"))
            lines += [f"### {name}", "", "| | trained | share | memory | time | file | accuracy | below full, points |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
            for row in rows:
                if "trained" in row:
                    below = "" if row is full else f"{full['accuracy'] - row['accuracy']:.2f}"
                    lines.append(f"| {row['title']} | {row['trained']:,} | {100 * row['share']:.1f} % | {bytes_text(row['memory'])} | {row['seconds']:.0f} s | {bytes_text(row['bytes'])} | {row['accuracy']:.2f} % | {below} |")
                else:
                    lines.append(f"| {row['title']} | | | | | {bytes_text(row['bytes'])} | {row['accuracy']:.2f} % | |")
            lines += ["", "Recipes: " + "; ".join(f"`{row['steps'][0]}`" for row in rows if "steps" in row) + ".", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--lathe", default=str(ROOT / ".build/release/lathe"))
    parser.add_argument("--part", type=lambda text: text.split(","), default=PARTS, help=", ".join(PARTS))
    parser.add_argument("--out", default=str(ROOT / "Docs/Results/Recovery.md"))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the student's trainings")
    options = parser.parse_args()
    unknown = [part for part in options.part if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}; there are {', '.join(PARTS)}")
    os.environ.setdefault("XDG_STATE_HOME", str(WORK))
    WORK.mkdir(parents=True, exist_ok=True)
    stored = WORK.with_suffix(".json")
    results = json.loads(stored.read_text()) if stored.exists() else {}
    bench = Bench(options.lathe, options.mnist)
    bench.seeds = list(range(options.seeds))
    for part in options.part:
        results[part] = bench.resnet(part) if part in RESNET else bench.distillation() if part == "distillation" else bench.moved(part)
        stored.write_text(json.dumps(results, indent=1))
        pathlib.Path(options.out).write_text(document(results))


if __name__ == "__main__":
    main()
