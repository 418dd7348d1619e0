"""Inputs for the models of models.tsv: repeatable, and of the kind each model is made for."""

import csv
import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).resolve().parent


def models():
    """The rows of models.tsv, with inputs and other shapes parsed."""
    with open(HERE / "models.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in rows:
        row["inputs"] = {name: (kind, shape) for name, (kind, shape) in json.loads(row["inputs"]).items()}
        row["other_shapes"] = json.loads(row["other_shapes"])
        row["bytes"] = int(row["bytes"])
    return rows


def smooth(rng, height, width, channels):
    """A picture of broad shades, edges, lines of text and noise, 0…1, [height, width, channels]."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    picture = np.zeros((height, width, channels))
    for channel in range(channels):
        for _ in range(6):
            fy, fx, phase = rng.uniform(-6, 6), rng.uniform(-6, 6), rng.uniform(0, 6.3)
            picture[:, :, channel] += rng.uniform(0.1, 0.4) * np.sin(2 * np.pi * (fy * y + fx * x) + phase)
    for _ in range(8):
        top, left = rng.integers(0, height), rng.integers(0, width)
        bottom, right = top + rng.integers(1, max(2, height // 3)), left + rng.integers(1, max(2, width // 3))
        picture[top:bottom, left:right] += rng.uniform(-1, 1)
    low, high = picture.min(), picture.max()
    picture = 0.45 + 0.5 * (picture - low) / (high - low + 1e-9)
    text = Image.new("L", (width, height), 0)
    size = max(8, min(height * 2 // 3, 36))
    for line in range(max(1, height // (2 * size))):
        words = " ".join("".join(chr(rng.integers(97, 123)) for _ in range(rng.integers(2, 8))) for _ in range(8))
        ImageDraw.Draw(text).text((rng.integers(0, max(1, width // 8)), line * 2 * size + size // 4), words, fill=255, font=ImageFont.load_default(size))
    picture *= 1 - 0.9 * (np.asarray(text) / 255)[:, :, None]
    picture += 0.01 * rng.standard_normal(picture.shape)
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low + 1e-9)


def sound(rng, count, rate=16000):
    """A voice-like sum of harmonics with an envelope and noise, within ±1."""
    time = np.arange(count) / rate
    pitch = rng.uniform(90, 280) * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(2, 6) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = sum(rng.uniform(0.2, 1) / k * np.sin(k * phase) for k in range(1, 12))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 4) * time + rng.uniform(0, 6))
    wave = 0.3 * envelope * wave / (np.abs(wave).max() + 1e-9) + 0.005 * rng.standard_normal(count)
    return wave


def array(rng, kind, shape, dtype):
    """One input of one call."""
    kind, _, argument = kind.partition(":")
    size = int(np.prod(shape)) if shape else 1
    if kind in ("image", "image01", "image255"):
        # [batch, channels, height, width]; 'image' is scaled to mean 0, as networks like it.
        rows = [smooth(rng, shape[2], shape[3], shape[1]).transpose(2, 0, 1) for _ in range(shape[0])]
        values = np.stack(rows)
        values = (values - 0.5) / 0.5 if kind == "image" else values * (255 if kind == "image255" else 1)
    elif kind == "image255last":
        values = 255 * np.stack([smooth(rng, shape[1], shape[2], shape[3]) for _ in range(shape[0])]) - 117
    elif kind in ("audio", "audiolast"):
        length = shape[1] if kind == "audiolast" else shape[-1]
        values = np.stack([sound(rng, length) for _ in range(size // length)]).reshape(shape)
    elif kind in ("spectrum", "spectrumlast"):
        # Logarithmic energies: smooth over frequency and time.
        frames, bins = (shape[1], shape[2])
        rows = [smooth(rng, frames, bins, 1)[:, :, 0] * 6 - 5 for _ in range(shape[0])]
        values = np.stack(rows).reshape(shape)
    elif kind == "tokens":
        values = rng.integers(1000, min(int(argument), 20000), shape)
        values[..., 0], values[..., -1] = 101, 102
    elif kind == "mask":
        values = np.ones(shape)
        for row in values.reshape(-1, shape[-1]):
            row[rng.integers(shape[-1] // 2, shape[-1] + 1) :] = 0
    elif kind == "indices":
        values = rng.integers(1, int(argument), shape)
    elif kind == "onehot":
        values = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    elif kind == "normal":
        values = 0.5 * rng.standard_normal(shape)
    elif kind == "zeros":
        values = np.zeros(shape)
    elif kind == "ones":
        values = np.ones(shape)
    elif kind == "value":
        values = np.full(shape, float(argument))
    else:
        raise ValueError(f"no kind of input '{kind}'")
    return np.asarray(values, dtype=dtype).reshape(shape)


TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(bool)": np.bool_,
}


def call(row, types, number, shapes=None):
    """The feeds of call `number` of a model, at its own shapes or at others."""
    feeds = {}
    for position, (name, (kind, shape)) in enumerate(row["inputs"].items()):
        rng = np.random.default_rng([number, position, len(row["key"])])
        shape = (shapes or {}).get(name, shape)
        if kind == "value:12" and shapes:  # a length follows the sequence it belongs to
            kind = f"value:{next(iter(shapes.values()))[-1]}"
        feeds[name] = array(rng, kind, shape, TYPES[types[name]])
    return feeds


def is_batched(row):
    """Whether the first axis of every input is a batch of one, so that samples may be stacked along it."""
    return all(shape and shape[0] == 1 for _, shape in row["inputs"].values())


def write_data(row, types, count, calibration, folder):
    """Writes data.npz and data.yaml (calibration, then validation rows) into `folder`."""
    calls = [call(row, types, number) for number in range(count)]
    join = np.concatenate if is_batched(row) else np.stack
    np.savez(folder / "data.npz", **{name: join([feeds[name] for feeds in calls]) for name in row["inputs"]})
    (folder / "data.yaml").write_text(
        f"format: npz\nmetric: cosine\nsplits:\n"
        f"  calibration: {{file: data.npz, range: [0, {calibration}]}}\n"
        f"  validation: {{file: data.npz, range: [{calibration}, {count}]}}\n")
    return calls
