"""Deep Compression on MNIST, stage by stage beside the paper's figures.

deep_compression.py MNIST_FOLDER [--lathe PROGRAM] [--quick] [--out Docs/DeepCompression.md]

MNIST_FOLDER holds the four IDX files (gzipped). LeNet-300-100 and LeNet-5 are trained from random weights by `lathe train`, then pruned,
trained on, shared, trained on and packed by one recipe each. Of the 60,000 training images the last 5,000 are for validation, by which
epochs are chosen; errors in the tables are on the 10,000 test images, looked at once per row and by Python's onnxruntime from the written file.
Needs numpy and onnxruntime.
"""

import argparse
import gzip
import json
import os
import pathlib
import subprocess
import tempfile

import numpy
import onnxruntime

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
# Han, Mao and Dally, Deep Compression, arXiv:1510.00149, tables 1 to 3.
PAPER = {"lenet-300-100": {"dense": 1.64, "final": 1.58, "bytes": "27 KB", "rate": 40}, "lenet-5": {"dense": 0.80, "final": 0.74, "bytes": "44 KB", "rate": 39}}


def step(technique, **values):
    return technique + (":" + ",".join(f"{key.replace('_', '-')}={value}" for key, value in values.items()) if values else "")


def plans(name, quick):
    """The recipe of the paper, and a smaller one, for a model."""
    def tune(epochs, rate, **more):
        return step("fine-tuning", epochs=1 if quick else epochs, learning_rate=rate, weight_decay=0, **more)

    # The steps of preset:deep-compression-retrained.
    paper = [
        step("magnitude-pruning", sparsity=0.8), tune(6, 0.001, loss="both"), step("magnitude-pruning", sparsity=0.92), tune(12, 0.001, loss="both"),
        step("weight-sharing", bits=5, method="lloyd"), tune(4, 0.0002, loss="both"), step("huffman"),
    ]
    if name == "lenet-300-100":
        small = [
            step("magnitude-pruning", sparsity=0.85, scope="global"), tune(6, 0.001, loss="both"), step("magnitude-pruning", sparsity=0.93, scope="global"), tune(8, 0.001, loss="both"),
            step("magnitude-pruning", sparsity=0.96, scope="global"), tune(20, 0.001, loss="both"), step("weight-sharing", bits=3, method="lloyd"), tune(8, 0.0005, loss="both"), step("range-coding"),
        ]
    else:
        small = [
            step("magnitude-pruning", sparsity=0.9, scope="global"), tune(6, 0.001, loss="both"), step("magnitude-pruning", sparsity=0.97, scope="global"), tune(8, 0.001, loss="both"),
            step("magnitude-pruning", sparsity=0.985, scope="global"), tune(16, 0.001, loss="both"), step("weight-sharing", bits=3, method="lloyd"), tune(8, 0.0005, loss="both"), step("range-coding"),
        ]
    return {"preset deep-compression-retrained": paper, "smallest": small}


def data_file(folder, mnist):
    path = pathlib.Path(folder) / "mnist.yaml"
    train = f"images: {mnist}/train-images-idx3-ubyte.gz, labels: {mnist}/train-labels-idx1-ubyte.gz"
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
    images = numpy.frombuffer(gzip.open(f"{mnist}/t10k-images-idx3-ubyte.gz").read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = numpy.frombuffer(gzip.open(f"{mnist}/t10k-labels-idx1-ubyte.gz").read(), numpy.uint8, offset=8)
    scaled = (images.astype(numpy.float32) * numpy.float32(0.00392156862745098) - numpy.float32(0.1307)) / numpy.float32(0.3081)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    wrong = sum(int((session.run(None, {name: scaled[at:at + 500]})[0].argmax(1) != labels[at:at + 500]).sum()) for at in range(0, len(labels), 500))
    return 100 * wrong / len(labels)


def run(arguments, folder):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, env={**os.environ, "XDG_STATE_HOME": os.environ.get("XDG_STATE_HOME", folder)})
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return json.loads(done.stdout)


def stage_names(steps):
    """Which prefixes of a recipe are stages worth a row."""
    rows = []
    for index, text in enumerate(steps):
        if text.startswith("fine-tuning"):
            before = steps[index - 1]
            rows.append((index + 1, ("pruned " if before.startswith("magnitude") else "shared ") + before.split(":")[1].replace("scope=global", "").strip(",").replace("sparsity=", "").replace("bits=", "at bits ") + ", trained"))
    rows.append((len(steps), "packed"))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mnist")
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--quick", action="store_true", help="one epoch everywhere: to see that it runs")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(PAPER))
    parser.add_argument("--out")
    options = parser.parse_args()
    mnist = pathlib.Path(options.mnist).resolve()
    lines = ["# Deep Compression on MNIST", "",
             "Written by `Benchmarks/deep_compression.py MNIST_FOLDER`. Error on the 10,000 test images by Python's onnxruntime; size of the dense ONNX file and of the packed "
             "archive, which holds everything needed to restore the model (codes, codebooks, code tables, graph).", ""]
    with tempfile.TemporaryDirectory() as folder:
        data = data_file(folder, mnist)
        for name in options.models:
            dense = pathlib.Path(folder) / f"{name}.onnx"
            run([options.lathe, "train", REPOSITORY / f"SampleModels/{name}.onnx", "--data", data, "--initialize", "--epochs", 1 if options.quick else 20,
                 "--learning-rate", "0.002", "--set", "schedule=one-cycle", "--output", dense, "--json"], folder)
            base, size = test_error(dense, mnist), dense.stat().st_size
            paper = PAPER[name]
            lines += [f"## {name}", "", "| recipe | stage | non-zeros | archive | rate | test error |", "|---|---|---|---|---|---|",
                      f"| – | dense, by `lathe train` | 100 % | {size:,} B (file) | 1 × | {base:.2f} % |"]
            print(lines[-1], flush=True)
            for title, steps in plans(name, options.quick).items():
                for count, stage in stage_names(steps):
                    model, archive = pathlib.Path(folder) / "out.onnx", pathlib.Path(folder) / "out.lathe"
                    arguments = [part for text in steps[:count] for part in ("--step", text)]
                    if title.startswith("preset") and count == len(steps) and not options.quick:
                        arguments = ["--recipe", "preset:deep-compression-retrained"]
                    run([options.lathe, "apply", dense, "--data", data, *arguments, "--output", model, "--pack", archive, "--json"], folder)
                    figures = run([options.lathe, "inspect", model, "--json"], folder)["figures"]
                    packed = archive.stat().st_size
                    share = figures["nonZeros"] / figures["parameters"]
                    lines.append(f"| {title} | {stage} | {100 * share:.1f} % | {packed:,} B | {size / packed:.1f} × | {test_error(model, mnist):.2f} % |")
                    print(lines[-1], flush=True)
            lines += ["", f"Paper: dense {paper['dense']:.2f} %, compressed to {paper['bytes']} ({paper['rate']} ×) at {paper['final']:.2f} %.", ""]
    if options.out:
        pathlib.Path(options.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
