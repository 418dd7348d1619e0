"""Trains the sample models on Fashion-MNIST and exports them to ONNX beside this script.

    python train.py [MODEL ...] [--package DIR] [--checkpoints DIR] [--threads N]

Fixed seeds and deterministic kernels: the same torch build, processor and thread count give the same weights.
With --checkpoints, trained weights are kept there and a later run only exports them again.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import architectures
import fashion_mnist as data
from export import export

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Plan:
    """How one model is trained (AdamW, one-cycle learning rate) and exported."""

    build: type
    epochs: int
    peak_rate: float
    weight_decay: float = 0.01
    batch: int = 128
    shift: int = 1  # images move by up to this many pixels in each direction
    bfloat16: bool = False  # forward and backward in bfloat16 where safe; the weights stay float32
    opset: int = 17


PLANS = {
    "lenet-300-100": Plan(architectures.LeNet300100, epochs=40, peak_rate=2e-3, opset=13),
    "lenet-5": Plan(architectures.LeNet5, epochs=16, peak_rate=2e-3),
    "resnet-8": Plan(architectures.ResNet8, epochs=12, peak_rate=1e-2, bfloat16=True),
    "ds-cnn": Plan(architectures.DSCNN, epochs=12, peak_rate=1e-2, bfloat16=True),
    "transformer": Plan(architectures.RowTransformer, epochs=18, peak_rate=2e-3),
    "lstm": Plan(architectures.RowLSTM, epochs=18, peak_rate=4e-3),
}


def augment(images, shift):
    """Mirrors half of the images and moves each by up to `shift` pixels, filling with background."""
    count = len(images)
    padding = (shift,) * 4
    padded = F.pad(images, padding, value=(0 - data.MEAN) / data.STD)
    columns = torch.randint(0, 2 * shift + 1, (count, 1)) + torch.arange(28)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    rows = torch.randint(0, 2 * shift + 1, (count, 1)) + torch.arange(28)
    sample = torch.arange(count)[:, None, None]
    return padded[sample, 0, rows[:, :, None], columns[:, None, :]][:, None]


def accuracy(model, images, labels):
    """Share of images classified correctly, in percent."""
    model.eval()
    with torch.no_grad():
        answers = torch.cat([model(part).argmax(1) for part in images.split(500)])
    return 100 * (answers == labels).float().mean().item()


def tensors(split):
    images, labels = split
    return torch.from_numpy(data.normalise(images)), torch.from_numpy(labels.astype("int64"))


def train(name, plan, package):
    """A trained model. Progress is watched on the calibration split, so no choice depends on validation or test."""
    torch.manual_seed(20170825)
    model = plan.build()
    images, labels = tensors(data.training_split(package))
    watched = tensors(data.shipped_split("calibration"))
    steps = len(images) // plan.batch
    # Only weight matrices and kernels decay: not biases, norms or positions.
    decayed = [p for p in model.parameters() if p.dim() in (2, 4)]
    free = [p for p in model.parameters() if p.dim() not in (2, 4)]
    groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=plan.peak_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.peak_rate, total_steps=plan.epochs * steps, pct_start=0.2
    )
    started = time.monotonic()
    for epoch in range(plan.epochs):
        model.train()
        order = torch.randperm(len(images))
        total = 0.0
        for step in range(steps):
            rows = order[step * plan.batch : (step + 1) * plan.batch]
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
                logits = model(augment(images[rows], plan.shift))
            loss = F.cross_entropy(logits.float(), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(
            f"{name} epoch {epoch + 1}/{plan.epochs} loss {total / steps:.4f} "
            f"calibration {accuracy(model, *watched):.1f} % {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(PLANS) + " (all without)")
    parser.add_argument("--package", type=Path, default=data.PACKAGE, help="folder of the training IDX files")
    parser.add_argument("--checkpoints", type=Path, help="folder in which trained weights are kept")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    unknown = [name for name in options.models if name not in PLANS]
    if unknown:
        parser.error(f"unknown model {unknown[0]}; there are {', '.join(PLANS)}")
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    for name in options.models or PLANS:
        plan = PLANS[name]
        checkpoint = options.checkpoints / f"{name}.pt" if options.checkpoints else None
        if checkpoint and checkpoint.exists():
            model = plan.build().eval()
            model.load_state_dict(torch.load(checkpoint, weights_only=True))
        else:
            model = train(name, plan, options.package)
            if checkpoint:
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                torch.save(model.state_dict(), checkpoint)
        export(model, HERE / f"{name}.onnx", plan.opset)


if __name__ == "__main__":
    main()
