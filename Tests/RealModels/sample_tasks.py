"""Tiny models with a task, and their sets, made in a second: for the pages in Docs/Tasks and for trying declarations.

Hidden layers are random, last layers fitted by least squares: good enough to be clearly better than chance, and worth compressing.
"""

import pathlib
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import drawing

TASKS = {}


def task(function):
    TASKS[function.__name__.replace("_", "-")] = function
    return function


def write(name, folder):
    """OUT/NAME.onnx, OUT/NAME.npz and OUT/NAME.yaml; the declaration's path. Calibration has the rows that the model was fitted to."""
    if name not in TASKS:
        raise SystemExit(f"sample-{name}: there are {', '.join('sample-' + task for task in TASKS)}")
    folder.mkdir(parents=True, exist_ok=True)
    model, arrays, declaration, fitted, files = TASKS[name](np.random.default_rng(zlib.crc32(name.encode())))
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")
    np.savez(folder / f"{name}.npz", **arrays)
    for file, text in files.items():
        (folder / file).write_text(text)
    count = len(arrays["labels"])
    (folder / f"{name}.yaml").write_text(
        f"format: npz\n{declaration.strip()}\nsplits:\n  calibration: {{file: {name}.npz, range: [0, {fitted}]}}\n  validation: {{file: {name}.npz, range: [{fitted}, {count}]}}\n")
    return folder / f"{name}.yaml"


def model_of(nodes, inputs, outputs, weights):
    graph = helper.make_graph(nodes, "sample", [helper.make_tensor_value_info(*value) for value in inputs], [helper.make_tensor_value_info(*value) for value in outputs],
                              [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def perceptron(rng, inputs, targets, hidden, end=None):
    """A network of one hidden layer that was fitted to rows of inputs and targets."""
    first = rng.standard_normal((inputs.shape[1], hidden)).astype(np.float32) / np.sqrt(inputs.shape[1])
    offset = rng.standard_normal(hidden).astype(np.float32) * 0.5
    features = np.maximum(inputs @ first + offset, 0)
    augmented = np.concatenate([features, np.ones((len(features), 1))], 1)
    ridge = augmented.T @ augmented + 0.1 * np.eye(hidden + 1)
    last = np.linalg.solve(ridge, augmented.T @ targets)
    nodes = [helper.make_node("Gemm", ["features", "hidden.weight", "hidden.bias"], ["a"], "hidden"), helper.make_node("Relu", ["a"], ["b"], "relu"),
             helper.make_node("Gemm", ["b", "last.weight", "last.bias"], ["scores" if end is None else "c"], "last")]
    if end:
        nodes.append(helper.make_node(end, ["c"], ["scores"], "end"))
    return model_of(nodes, [("features", TensorProto.FLOAT, ["n", inputs.shape[1]])], [("scores", TensorProto.FLOAT, ["n", targets.shape[1]])],
                    {"hidden.weight": first, "hidden.bias": offset, "last.weight": last[:-1], "last.bias": last[-1]})


@task
def regression(rng):
    count, width = 1000, 12
    inputs = rng.standard_normal((count, width)).astype(np.float32)
    weights = rng.standard_normal((width, 2))
    truth = np.tanh(inputs @ weights / 2) * [10, 3] + [20, 5] + 0.3 * rng.standard_normal((count, 2))
    model = perceptron(rng, inputs[:600], truth[:600], 96)
    return model, {"features": inputs, "labels": truth.astype(np.float32)}, "metric: rmse", 600, {}


@task
def several_labels(rng):
    count, width, labels = 1000, 24, 5
    inputs = rng.standard_normal((count, width)).astype(np.float32)
    weights = rng.standard_normal((width, labels))
    truth = (inputs @ weights + 1.5 * rng.standard_normal((count, labels)) > 3.5).astype(np.int64)
    model = perceptron(rng, inputs[:600], 8 * truth[:600] - 3, 96, "Sigmoid")
    return model, {"features": inputs, "labels": truth}, "metric: multilabel-map\nclasses: [rain, wind, fog, frost, hail]", 600, {}


@task
def keywords(rng):
    """Clips of one second at 4 kHz: a rising tone is the keyword, steady and falling tones and noise are not."""
    count, rate = 1500, 4000
    labels = (rng.random(count) < 0.2).astype(np.int64)
    clips = []
    time = np.arange(rate) / rate
    for label in labels:
        base, noise = rng.uniform(300, 900), 10 ** rng.uniform(-1, 0.1)
        slope = rng.uniform(200, 700) if label else rng.choice([0, -1]) * rng.uniform(0, 700)
        clip = np.sin(2 * np.pi * (base * time + slope * time**2 / 2)) * (label or rng.random() < 0.7) + noise * rng.standard_normal(rate)
        # Energies of 16 bands in 8 parts of the clip, logarithmic.
        power = np.abs(np.fft.rfft(clip.reshape(8, 500) * np.hanning(500)))[:, :192] ** 2
        clips.append(np.log(power.reshape(8, 16, 12).sum(2) + 1e-3).ravel())
    inputs = np.array(clips, np.float32)
    inputs = (inputs - inputs.mean()) / inputs.std()
    model = perceptron(rng, inputs[:700], 8 * labels[:700, None] - 4, 160, "Sigmoid")
    return model, {"features": inputs, "labels": labels}, "metric: {kind: false-accepts-per-hour, seconds: 1, miss_rate: 0.05}\nclasses: [other, keyword]", 700, {}


@task
def language(rng):
    """A model of the next letter from the one before: an embedding and a dense layer, of letters' frequencies."""
    letters, width, steps = 27, 20, 40
    text = " ".join(drawing.WORDS[rng.integers(len(drawing.WORDS))] for _ in range(6000))
    ids = np.array([0 if letter == " " else ord(letter) - 96 for letter in text])
    counts = np.full((letters, letters), 0.05)
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    left, values, right = np.linalg.svd(np.log(counts / counts.sum(1, keepdims=True)))
    rows = ids[: len(ids) // (steps + 1) * (steps + 1)].reshape(-1, steps + 1)[:400]
    model = model_of([helper.make_node("Gather", ["embedding", "input_ids"], ["a"], "embedding"), helper.make_node("MatMul", ["a", "head"], ["logits"], "head")],
                     [("input_ids", TensorProto.INT64, ["n", "steps"])], [("logits", TensorProto.FLOAT, ["n", "steps", letters])],
                     {"embedding": left[:, :width] * np.sqrt(values[:width]), "head": np.sqrt(values[:width])[:, None] * right[:width]})
    return model, {"input_ids": rows[:, :-1], "labels": rows[:, 1:]}, "metric: {kind: perplexity, shifted: false}", 100, {}


@task
def words(rng):
    """Noisy vectors of word pieces, and which piece each is: for a metric command that joins pieces to words."""
    pieces = ["[PAD]", "play", "##ing", "##ed", "walk", "talk", "##s", "read", "##er", "the", "dog", "cat", "house", "un", "##do", "##lock", "re", "##new"]
    count, steps, width = 300, 12, 24
    vectors = rng.standard_normal((len(pieces), width)).astype(np.float32)
    truth = rng.integers(1, len(pieces), (count, steps))
    lengths = rng.integers(6, steps + 1, count)
    inputs = vectors[truth] + 1.7 * rng.standard_normal((count, steps, width)).astype(np.float32)
    truth[np.arange(steps)[None] >= lengths[:, None]] = -1
    model = model_of([helper.make_node("MatMul", ["frames", "weight"], ["a"], "dense"), helper.make_node("Add", ["a", "bias"], ["scores"], "add")],
                     [("frames", TensorProto.FLOAT, ["n", "steps", width])], [("scores", TensorProto.FLOAT, ["n", "steps", len(pieces)])],
                     {"weight": vectors.T, "bias": -(vectors**2).sum(1) / 2})
    script = pathlib.Path(__file__).resolve().parent.parent.parent / "SampleModels/metrics/word_errors.py"
    return (model, {"frames": inputs, "labels": truth}, f"metric: {{command: [python3, {script}, vocabulary.txt], better: lower, timeout: 10}}", 60,
            {"vocabulary.txt": "\n".join(pieces) + "\n"})
