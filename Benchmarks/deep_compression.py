"""Deep Compression on MNIST, stage by stage beside the paper's figures: writes Docs/Results/DeepCompression.md.

    .deps/venv/bin/python Benchmarks/deep_compression.py MNIST_FOLDER [--lathe PROGRAM] [--models NAME,...] [--parts PART,...]

MNIST_FOLDER holds the four IDX files (gzipped). LeNet-300-100 and LeNet-5 are trained from random weights by `lathe train`, then pruned,
trained on, shared, trained on and packed by one recipe each. Of the 60,000 training images the last 5,000 are for validation, by which
epochs are chosen; errors in the tables are on the 10,000 test images, by Python's onnxruntime from the written file. Parts are: dense,
preset, smallest, control. What was measured stays in .build/deep-compression.json and the document is written from it, so that parts can
be run one after the other; trainings are remembered by lathe itself. Needs numpy and onnxruntime.
"""

import argparse
import gzip
import json
import os
import pathlib
import subprocess

import numpy
import onnxruntime

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
WORK = REPOSITORY / ".build" / "deep-compression"
PRESET = "deep-compression-retrained"
PARTS = ["dense", "preset", "smallest", "control"]
# Han, Mao and Dally, Deep Compression, arXiv:1510.00149, tables 1 to 3: dense and final error, the compressed file, rates after pruning,
# with shared weights, with Huffman codes; share of weights kept.
PAPER = {
    "lenet-300-100": {"dense": 1.64, "pruned": 1.59, "final": 1.58, "bytes": "27 KB", "rates": (None, 32, 40), "kept": "8 %", "peak": "1,070 KB"},
    "lenet-5": {"dense": 0.80, "pruned": 0.77, "final": 0.74, "bytes": "44 KB", "rates": (None, 33, 39), "kept": "8 %", "peak": "1,720 KB"},
}
# Passes over the training images of the dense model, chosen by the validation images.
DENSE = {"lenet-300-100": 20, "lenet-5": 12}


def tune(epochs, rate):
    return f"fine-tuning:epochs={epochs},learning-rate={rate},shift=1,weight-decay=0"


# Fewer weights, fewer shared values, codes without whole bits.
SMALLEST = {
    "lenet-300-100": [
        "magnitude-pruning:sparsity=0.8", tune(8, 0.002), "magnitude-pruning:sparsity=0.93", tune(30, 0.002), "weight-sharing:bits=4,method=lloyd", tune(8, 0.0003), "range-coding",
    ],
    "lenet-5": [
        "gradual-pruning:sparsity=0.94,epochs=14,learning-rate=0.002,shift=1,weight-decay=0", "weight-sharing:bits=4,method=lloyd", tune(4, 0.0003), "range-coding",
    ],
}


def data_file(mnist):
    train = f"images: {mnist}/train-images-idx3-ubyte.gz, labels: {mnist}/train-labels-idx1-ubyte.gz"
    path = WORK / "mnist.yaml"
    path.write_text(f"""name: MNIST
format: idx
metric: top1
preprocessing: {{scale: 0.00392156862745098, mean: [0.1307], std: [0.3081], shape: [1, 28, 28]}}
splits:
  train: {{{train}, range: [0, 54000]}}
  calibration: {{{train}, range: [54000, 55000]}}
  validation: {{{train}, range: [55000, 60000]}}
  test: {{images: {mnist}/t10k-images-idx3-ubyte.gz, labels: {mnist}/t10k-labels-idx1-ubyte.gz}}
""")
    return path


def test_error(model, mnist):
    """Per cent of the 10,000 test images, by Python's onnxruntime."""
    images = numpy.frombuffer(gzip.open(f"{mnist}/t10k-images-idx3-ubyte.gz").read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = numpy.frombuffer(gzip.open(f"{mnist}/t10k-labels-idx1-ubyte.gz").read(), numpy.uint8, offset=8)
    scaled = (images.astype(numpy.float32) * numpy.float32(0.00392156862745098) - numpy.float32(0.1307)) / numpy.float32(0.3081)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    wrong = sum(int((session.run(None, {name: scaled[at:at + 500]})[0].argmax(1) != labels[at:at + 500]).sum()) for at in range(0, len(labels), 500))
    return 100 * wrong / len(labels)


def written(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


class Bench:
    def __init__(self, lathe, mnist):
        self.lathe, self.mnist, self.data = lathe, mnist, data_file(mnist)

    def run(self, *arguments):
        done = subprocess.run([str(argument) for argument in (self.lathe, *arguments, "--json")], capture_output=True, text=True, cwd=REPOSITORY)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        return json.loads(done.stdout)

    def figures(self, stage, model, archive=None):
        """A row of a table. The archive must give back the file that is measured."""
        if archive:
            again = WORK / "again.onnx"
            self.run("unpack", archive, "--output", again)
            if again.read_bytes() != model.read_bytes():
                raise SystemExit(f"{archive}: unpacks to another file")
        found = self.run("inspect", model)["figures"]
        row = {"stage": stage, "kept": found["nonZeros"] / found["parameters"], "bytes": (archive or model).stat().st_size, "error": test_error(model, self.mnist)}
        print(row, flush=True)
        return row

    def dense(self, name):
        path = WORK / f"{name}.onnx"
        self.run("train", f"SampleModels/{name}.onnx", "--data", self.data, "--initialize", "--epochs", DENSE[name], "--learning-rate", "0.002",
                 "--set", "schedule=one-cycle", "--output", path)
        return [self.figures("dense", path)]

    def stage(self, name, stage, *recipe):
        model, archive = WORK / f"{name}-out.onnx", WORK / f"{name}-out.lathe"
        self.run("apply", WORK / f"{name}.onnx", "--data", self.data, *recipe, "--output", model, "--pack", archive)
        return self.figures(stage, model, archive)

    def preset_steps(self):
        recipe = self.run("presets", PRESET)["presets"][0]["recipe"]
        return [step["technique"] + ":" + ",".join(f"{key}={written(value)}" for key, value in step["parameters"].items()) for step in recipe["steps"]]

    def preset(self, name):
        """The preset's stages, as step lists made from the preset itself, and the preset."""
        steps, rows = self.preset_steps(), []
        for count, text in enumerate(steps, 1):
            options = [part for step in steps[:count] for part in ("--step", step)]
            technique, after = text.split(":")[0], steps[count - 2].split(":")[0]
            if technique == "weight-sharing":
                rows.append(self.stage(name, "weights shared", *options))
            elif technique == "fine-tuning":
                rows.append(self.stage(name, "shared values trained" if after == "weight-sharing" else "pruned, trained", *options))
            elif technique == "huffman":
                rows.append(self.stage(name, "codes of fixed width", *options[:-2], "--step", "huffman:huffman=false"))
                rows.append(self.stage(name, "Huffman codes", "--recipe", f"preset:{PRESET}"))
        return rows

    def smallest(self, name):
        steps = SMALLEST[name]
        options = [part for step in steps for part in ("--step", step)]
        shared = next(place for place, step in enumerate(steps) if step.startswith("weight-sharing"))
        return [self.stage(name, "pruned, trained", *options[:2 * shared]), self.stage(name, "packed", *options)]

    def control(self, name):
        """The dense model trained on as long as the preset does, with the same augmentation, and nothing compressed."""
        epochs = sum(int(part.split("=")[1]) for step in self.preset_steps() for part in step.replace(":", ",").split(",") if part.startswith("epochs="))
        return [self.stage(name, f"dense, trained on for {epochs} epochs", "--step", tune(epochs, 0.002))]


def document(results):
    lines = [
        "# Deep Compression on MNIST", "",
        "Written by `Benchmarks/deep_compression.py MNIST_FOLDER`. LeNet-300-100 and LeNet-5 are trained by `lathe train` from random weights on 54,000 images, then compressed by the "
        f"preset `{PRESET}`, with shifts of one pixel as augmentation while it trains on, which the dense models did not have. Epochs are chosen by 5,000 other training images. Errors are "
        "on the 10,000 test images (chance: ±0.2 points at 95 %), by Python's onnxruntime from the file that the archive unpacks to. Rates are of the dense ONNX file to the "
        "packed archive, which holds everything needed to restore the model: codes, codebooks, code tables, indices, biases, graph; where no coding is named, with the smallest of all codes. The paper's are of weights, indices, codebooks and codes.", ""]
    for name, parts in results.items():
        paper = PAPER[name]
        base = parts["dense"][0]
        lines += [f"## {name}", "", "| stage | kept | archive | rate | error | paper: kept | rate | error |", "|---|--:|--:|--:|--:|--:|--:|--:|"]

        def line(row, title=None, kept="", rate="", error=""):
            size = "1 ×" if row is base else f"{base['bytes'] / row['bytes']:.1f} ×"
            lines.append(f"| {title or row['stage']} | {100 * row['kept']:.1f} % | {row['bytes']:,} B{' (file)' if row is base else ''} | {size} | {row['error']:.2f} % | {kept} | {rate} | {error} |")

        line(base, kept="100 %", rate="1 ×", error=f"{paper['dense']:.2f} %")
        pruned = [row for row in parts.get("preset", []) if row["stage"].startswith("pruned")]
        for row in parts.get("preset", []):
            if row in pruned:
                last = row is pruned[-1]
                line(row, kept=paper["kept"] if last else "", rate="12 ×" if last else "", error=f"{paper['pruned']:.2f} %" if last else "")
            elif row["stage"] == "codes of fixed width":
                line(row, rate=f"{paper['rates'][1]} ×")
            elif row["stage"] == "Huffman codes":
                line(row, title="**Huffman codes: the preset**", rate=f"{paper['rates'][2]} ×", error=f"{paper['final']:.2f} %")
            else:
                line(row)
        lines.append("")
        if "smallest" in parts:
            lines += ["The smallest archive found at an error not above the dense model's:" if parts["smallest"][-1]["error"] <= base["error"] else "A smaller archive, at a loss:", "",
                      "| stage | kept | archive | rate | error |", "|---|--:|--:|--:|--:|"]
            for row in parts["smallest"]:
                lines.append(f"| {row['stage']} | {100 * row['kept']:.1f} % | {row['bytes']:,} B | {base['bytes'] / row['bytes']:.1f} × | {row['error']:.2f} % |")
            lines += ["", "Its steps: " + "; ".join(f"`{step}`" for step in SMALLEST[name]) + ".", ""]
        for row in parts.get("control", []):
            lines += [f"For comparison, {row['stage']} with the preset's augmentation and nothing compressed: {row['error']:.2f} %. The recipe's training alone is worth that much; "
                      "what compression costs is the distance from there.", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist")
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(PAPER))
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS)
    parser.add_argument("--out", default=str(REPOSITORY / "Docs/Results/DeepCompression.md"))
    options = parser.parse_args()
    os.environ.setdefault("XDG_STATE_HOME", str(WORK))
    WORK.mkdir(parents=True, exist_ok=True)
    stored = WORK.with_suffix(".json")
    results = json.loads(stored.read_text()) if stored.exists() else {}
    bench = Bench(options.lathe, pathlib.Path(options.mnist).resolve())
    for name in options.models:
        for part in options.parts:
            results.setdefault(name, {})[part] = getattr(bench, part)(name)
            stored.write_text(json.dumps(results, indent=1))
    pathlib.Path(options.out).write_text(document({name: results[name] for name in PAPER if name in results}))


if __name__ == "__main__":
    main()
