"""Training beside PyTorch: the same ten steps from the same start give the same weights, and how long a step takes.

training.py [--lathe PROGRAM] [--models NAME,...] [--steps COUNT] [--part weights|time] [--out Docs/Results/Training.md]

Needs torch, onnx and numpy, and the training files of Fashion-MNIST (Debian's dataset-fashion-mnist). Each model of SampleModels is
made afresh with random weights, written as ONNX, and trained by both programs on the same samples in the same order.
"""

import argparse
import copy
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnx
import torch
from onnx import numpy_helper

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "Benchmarks" / "torch_samples"))
import architectures  # noqa: E402
from export import export  # noqa: E402

MODELS = {
    "lenet-300-100": architectures.LeNet300100, "lenet-5": architectures.LeNet5, "resnet-8": architectures.ResNet8,
    "ds-cnn": architectures.DSCNN, "transformer": architectures.RowTransformer, "lstm": architectures.RowLSTM,
}
FILES = "/usr/share/datasets/fashion-mnist"
MASK = (1 << 64) - 1


class SplitMix64:
    """The program's generator (Steele, Lea and Flood 2014) and its shuffles, written again from their definitions."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, bound):
        product = self.next() * bound
        if product & MASK < bound:
            threshold = (1 << 64) % bound
            while product & MASK < threshold:
                product = self.next() * bound
        return product >> 64

    def permutation(self, count):
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order


def samples(count):
    images = numpy.frombuffer(gzip.open(f"{FILES}/train-images-idx3-ubyte.gz").read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)[:count]
    labels = numpy.frombuffer(gzip.open(f"{FILES}/train-labels-idx1-ubyte.gz").read(), numpy.uint8, offset=8)[:count]
    scaled = (images.astype(numpy.float32) * numpy.float32(0.00392156862745098) - numpy.float32(0.2860)) / numpy.float32(0.3530)
    return torch.from_numpy(scaled), torch.from_numpy(labels.astype(numpy.int64))


def data_file(folder, count):
    path = pathlib.Path(folder) / f"train-{count}.yaml"
    heldout = REPOSITORY / "SampleModels/data/fashion-mnist"
    path.write_text(f"""name: first {count}
format: idx
metric: top1
preprocessing: {{scale: 0.00392156862745098, mean: [0.2860], std: [0.3530], shape: [1, 28, 28]}}
splits:
  train: {{images: {FILES}/train-images-idx3-ubyte.gz, labels: {FILES}/train-labels-idx1-ubyte.gz, range: [0, {count}]}}
  validation: {{images: {heldout}/heldout-images-idx3-ubyte.gz, labels: {heldout}/heldout-labels-idx1-ubyte.gz, range: [0, 64]}}
""")
    return path


def lathe(program, model, data, output, batch, optimizer, rate, frozen=False, extra=()):
    environment = {**os.environ, "XDG_STATE_HOME": os.path.dirname(str(output))}
    arguments = [program, "train", model, "--data", data, "--output", output, "--epochs", "1", "--batch", str(batch), "--optimizer", optimizer,
                 "--learning-rate", str(rate), "--set", "schedule=constant", "--set", "clip-norm=0", "--set", "keep=last", "--set", "weight-decay=0.01",
                 "--set", f"batchnorm={'frozen' if frozen else 'batch'}", "--anew", "--json", *extra]
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def weights(path):
    return {t.name: numpy_helper.to_array(t).astype(numpy.float64) for t in onnx.load(path).graph.initializer if t.data_type == 1}


def torch_optimizer(name, parameters, rate):
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0, fused=True)


def fresh(build, path):
    """A model with random weights, exported."""
    torch.manual_seed(1)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
        # The exporter ties tensors of equal value.
        for key, buffer in model.named_buffers():
            if buffer.is_floating_point():
                buffer += 0.01 * torch.rand_like(buffer)
    export(model, path, 17)
    return model


def ten_steps(program, name, build, folder, optimizer, rate):
    """Largest relative difference of a weight tensor after ten steps (norm of the difference / norm of the change)."""
    start = pathlib.Path(folder) / f"{name}.onnx"
    model = fresh(build, start)
    # One shard a step, so that batch statistics are of the same samples.
    batch, count = 32, 320
    lathe(program, start, data_file(folder, count), f"{folder}/{name}-lathe.onnx", batch, optimizer, rate, extra=["--set", "weight-decay=0"])
    images, labels = samples(count)
    prepared = SplitMix64(0).permutation(count)
    order = SplitMix64((0 + 0x9E3779B97F4A7C15) & MASK).permutation(count)
    rows = torch.tensor([prepared[position] for position in order])
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    steps = torch_optimizer(optimizer, model.parameters(), rate)
    for step in range(count // batch):
        part = rows[step * batch:(step + 1) * batch]
        steps.zero_grad()
        torch.nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
        steps.step()
    export(model.eval(), f"{folder}/{name}-torch.onnx", 17)
    ours, theirs, first = weights(f"{folder}/{name}-lathe.onnx"), weights(f"{folder}/{name}-torch.onnx"), weights(start)
    worst = 0
    for key, value in theirs.items():
        if key in ours and ours[key].size > 1:
            worst = max(worst, numpy.linalg.norm(ours[key] - value) / max(numpy.linalg.norm(value), 1e-12))
    moved = max(numpy.linalg.norm(theirs[k] - first[k]) / max(numpy.linalg.norm(first[k]), 1e-12) for k in theirs if k in first and first[k].size > 1)
    return worst, moved


def torch_step(build, batch, steps, channels_last):
    torch.manual_seed(1)
    model = build().train()
    images, labels = samples(batch * 4)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    times = []
    for step in range(steps):
        part = slice(step % 4 * batch, (step % 4 + 1) * batch)
        began = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[3:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(MODELS))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--part", choices=["weights", "time"], help="one of the two tables alone")
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    lines = ["# Training beside PyTorch", "",
             f"Written by `Benchmarks/training.py`. PyTorch {torch.__version__}, two threads; the same machine, programs taking turns.", "",
             "## Ten steps from the same start", "",
             "Largest relative difference of a weight tensor (‖ours − PyTorch's‖ / ‖PyTorch's‖) after ten steps of 32 samples, and how far weights moved "
             "in that time. BatchNormalization by batch statistics.", "",
             "| model | SGD, momentum 0.9 | AdamW | moved (AdamW) |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models if options.part != "time" else []:
            sgd, _ = ten_steps(options.lathe, name, MODELS[name], folder, "sgd", 0.001)
            adam, moved = ten_steps(options.lathe, name, MODELS[name], folder, "adamw", 0.0001)
            lines.append(f"| {name} | {sgd:.1e} | {adam:.1e} | {moved:.1e} |")
            print(lines[-1], flush=True)
        if options.part != "weights":
            lines += ["", "## Time of a step", "",
                      "Median milliseconds of a step (AdamW, gradients and update), PyTorch eager with fused optimizer in the better of its two memory layouts; "
                      "best of rounds in turn.", "", "| model | batch | PyTorch ms | lathe ms | ratio |", "|---|---|---|---|---|"]
            ratios = []
            for name in options.models:
                start = pathlib.Path(folder) / f"{name}.onnx"
                fresh(MODELS[name], start)
                for batch in (64, 256):
                    theirs, ours = [], []
                    for _ in range(options.rounds):
                        for last in (False, True) if name in ("lenet-5", "resnet-8", "ds-cnn") else (False,):
                            theirs.append(torch_step(MODELS[name], batch, options.steps, last))
                        ours.append(lathe(options.lathe, start, data_file(folder, batch * options.steps), f"{folder}/{name}-time.onnx", batch, "adamw", 0.001)["stepMilliseconds"])
                    ratios.append(min(ours) / min(theirs))
                    lines.append(f"| {name} | {batch} | {min(theirs):.2f} | {min(ours):.2f} | {ratios[-1]:.2f} × |")
                    print(lines[-1], flush=True)
            lines += ["", f"Median ratio {statistics.median(ratios):.2f} ×, largest {max(ratios):.2f} ×."]
            print(lines[-1])
    if options.out:
        pathlib.Path(options.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
