"""Small models and labeled sets, one for each kind of task, into the folder that is given; prints what each scores, `name value` a line.

The values come from onnxruntime's outputs and scikit-learn, jiwer or NumPy, never from lathe."""
import os
import sys

import jiwer
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from scipy import stats
from sklearn import metrics

folder = sys.argv[1]
rng = np.random.default_rng(17)
F, I = TensorProto.FLOAT, TensorProto.INT64


def model(name, nodes, inputs, outputs, **weights):
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(value, key) for key, value in weights.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    path = os.path.join(folder, name + ".onnx")
    onnx.save(made, path)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def declare(name, metric, count, extra="", file=None):
    with open(os.path.join(folder, name + ".yaml"), "w") as out:
        out.write(f"format: npz\n{extra}")
        if metric:
            out.write(f"metric: {metric}\n")
        file = file or name.split("-")[0] + ".npz"
        out.write(f"splits:\n  validation: {{file: {file}, range: [0, {count}]}}\n  calibration: {{file: {file}, range: [{count}, {count + 8}]}}\n")


def save(name, **arrays):
    np.savez(os.path.join(folder, name + ".npz"), **arrays)


def say(name, number):
    print(name, repr(float(number)))


# Classes: logits that are right most of the time.
W, b = floats(4, 5) * 2, floats(5)
s = model("classes", [helper.make_node("Gemm", ["x", "W", "b"], ["y"])], [value("x", F, ["n", 4])], [value("y", F, ["n", 5])], W=W, b=b)
x = floats(308, 4)
y = s.run(None, {"x": x})[0]
labels = (y + 2 * floats(308, 5)).argmax(1)
save("classes", x=x, labels=labels)
n = 300
p = np.exp(y[:n].astype(np.float64) - y[:n].max(1, keepdims=True))
p /= p.sum(1, keepdims=True)
truth, guess = labels[:n], y[:n].argmax(1)
declare("classes-f1", "f1-macro", n)
say("classes-f1", metrics.f1_score(truth, guess, average="macro", zero_division=0))
declare("classes-auc", "roc-auc", n)
say("classes-auc", metrics.roc_auc_score(truth, p, multi_class="ovr"))
declare("classes-logloss", "log-loss", n)
say("classes-logloss", metrics.log_loss(truth, p, labels=range(5)))
declare("classes-balanced", "balanced-accuracy", n)
say("classes-balanced", metrics.balanced_accuracy_score(truth, guess))
declare("classes-none", "", n)
with open(os.path.join(folder, "score.py"), "w") as out:
    out.write('''import json, sys, numpy
stream = sys.stdin.buffer
class Pipe:
    def read(self, count): return stream.read(count)
while True:
    line = stream.readline()
    if not line: break
    head = json.loads(line)
    scores = [numpy.lib.format.read_array(Pipe()) for _ in head["outputs"]][0]
    labels = numpy.lib.format.read_array(Pipe())
    for row, label in zip(scores, labels): print(float(row[label] == row.max()), flush=True)
''')
declare("classes-command", f"{{command: ['{sys.executable}', score.py]}}", n)
say("classes-command", np.mean(truth == guess))
save("shifted", x=x, labels=(s.run(None, {"x": x})[0].argmax(1) + 1) % 5)
declare("classes-shifted", "top1", n, file="shifted.npz")
say("classes-shifted:top1", 0)
save("chance", x=x, labels=rng.integers(0, 5, 308))
declare("classes-chance", "top1", n, file="chance.npz")
say("classes-chance:top1", 0)

# Two classes, one probability.
w = floats(4, 1)
s = model(
    "binary", [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"])], [value("x", F, ["n", 4])], [value("y", F, ["n", 1])], w=w)
y = s.run(None, {"x": x})[0][:, 0]
labels = (y + 0.3 * floats(308) > 0.5).astype(np.int64)
save("binary", x=x, labels=labels)
declare("binary-auc", "roc-auc", n)
say("binary-auc", metrics.roc_auc_score(labels[:n], y[:n]))
declare("binary-f1", "f1-macro", n)
say("binary-f1", metrics.f1_score(labels[:n], y[:n] > 0.5, average="macro"))

# Numbers.
W = floats(4, 2)
s = model("regression", [helper.make_node("MatMul", ["x", "W"], ["y"])], [value("x", F, ["n", 4])], [value("y", F, ["n", 2])], W=W)
y = s.run(None, {"x": x})[0]
labels = y + 0.5 * floats(308, 2)
save("regression", x=x, labels=labels)
declare("regression-rmse", "rmse", n)
say("regression-rmse", np.sqrt(np.mean((y[:n].astype(np.float64) - labels[:n]) ** 2)))
declare("regression-r2", "r2", n)
say("regression-r2", metrics.r2_score(labels[:n].astype(np.float64), y[:n].astype(np.float64)))
declare("regression-none", "", n)

# Several labels.
W = floats(4, 6)
s = model(
    "labels", [helper.make_node("MatMul", ["x", "W"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"])], [value("x", F, ["n", 4])], [value("y", F, ["n", 6])], W=W)
y = s.run(None, {"x": x})[0]
labels = (y + 0.3 * floats(308, 6) > 0.6).astype(np.float32)
save("labels", x=x, labels=labels)
declare("labels-map", "multilabel-map", n)
say("labels-map", np.mean([metrics.average_precision_score(labels[:n, c], y[:n, c]) for c in range(6)]))
declare("labels-none", "", n)

# Frames of one probability; frames of scores with the time in front of the batch.
x = floats(68, 12, 4)
n = 60
w = floats(4, 1)
s = model(
    "frames", [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"])], [value("x", F, ["n", "t", 4])], [value("y", F, ["n", "t", 1])], w=w)
y = s.run(None, {"x": x})[0][:, :, 0]
labels = (y + 0.4 * floats(68, 12) > 0.5).astype(np.int64)
labels[:, 10:] = -100
save("frames", x=x, labels=labels)
declare("frames-accuracy", "{kind: frame-accuracy, ignore: -100}", n)
say("frames-accuracy", np.mean((y[:n, :10] > 0.5) == labels[:n, :10]))
declare("frames-none", "", n)
W = floats(4, 3)
s = model(
    "times", [helper.make_node("MatMul", ["x", "W"], ["z"]), helper.make_node("Transpose", ["z"], ["y"], perm=[1, 0, 2])], [value("x", F, ["n", 12, 4])],
    [value("y", F, [12, "n", 3])], W=W)
y = s.run(None, {"x": x})[0].transpose(1, 0, 2)
labels = (y + 2 * floats(68, 12, 3)).argmax(2)
save("times", x=x, labels=labels)
declare("times-accuracy", "frame-accuracy", n)
say("times-accuracy", np.mean(y[:n].argmax(2) == labels[:n]))

# Text by CTC.
W = floats(4, 5) * 3
s = model("text", [helper.make_node("MatMul", ["x", "W"], ["y"])], [value("x", F, ["n", 12, 4])], [value("y", F, ["n", 12, 5])], W=W)
best = s.run(None, {"x": x})[0].argmax(2)


def decoded(row):
    kept = [c for i, c in enumerate(row) if c != 0 and (i == 0 or row[i - 1] != c)]
    return "".join("abcd"[c - 1] for c in kept)


read = [decoded(row) for row in best]
texts = []
for text in read:
    letters = list(text) or ["a"]
    if rng.random() < 0.5:
        letters[rng.integers(len(letters))] = "d"
    texts.append("".join(letters))
save("text", x=x, labels=np.array(texts))
declare("text-cer", "{kind: cer, alphabet: abcd}", n)
say("text-cer", jiwer.cer(texts[:n], read[:n]))
declare("text-exact", "{kind: exact-match, alphabet: abcd}", n)
say("text-exact", np.mean([a == b for a, b in zip(texts[:n], read[:n])]))
save("numbers", x=x, labels=np.array([[("abcd".index(c) + 1) for c in (text + "a" * 8)[:8]] for text in texts]))
declare("text-none", "", n, file="numbers.npz")

# A class for each pixel.
images = floats(68, 3, 8, 8)
W = floats(4, 3, 1, 1)
s = model("segment", [helper.make_node("Conv", ["x", "W"], ["y"])], [value("x", F, ["n", 3, 8, 8])], [value("y", F, ["n", 4, 8, 8])], W=W)
y = s.run(None, {"x": images})[0]
labels = (y + floats(68, 4, 8, 8)).argmax(1)
save("segment", x=images, labels=labels)
declare("segment-iou", "mean-iou", n)
declare("segment-none", "", n)
say("segment-iou", metrics.jaccard_score(labels[:n].ravel(), y[:n].argmax(1).ravel(), average="macro"))

# A state that is carried on.
U, V, w = floats(4, 3), floats(3, 3), floats(3, 1)
s = model(
    "state",
    [
        helper.make_node("MatMul", ["x", "U"], ["a"]), helper.make_node("MatMul", ["state", "V"], ["c"]), helper.make_node("Add", ["a", "c"], ["d"]),
        helper.make_node("Tanh", ["d"], ["stateN"]), helper.make_node("MatMul", ["stateN", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"]),
    ],
    [value("x", F, ["n", 4]), value("state", F, ["n", 3])], [value("y", F, ["n", 1]), value("stateN", F, ["n", 3])], U=U, V=V, w=w)
state = np.zeros((68, 3), np.float32)
steps = []
for t in range(12):
    out, state = s.run(None, {"x": x[:, t], "state": state})
    steps.append(out[:, 0])
y = np.stack(steps, 1)
labels = (y + 0.3 * floats(68, 12) > 0.5).astype(np.int64)
save("state", x=x, labels=labels)
declare("state-accuracy", "frame-accuracy", n, extra="carry: {stateN: state}\n")
say("state-accuracy", np.mean((y[:n] > 0.5) == labels[:n]))
# The same network, its state held at a constant.
out = s.run(None, {"x": x[:, 0], "state": np.full((68, 3), 0.5, np.float32)})[0][:, 0]
save("constant", x=x[:, 0], labels=labels[:, 0])
declare("state-constant", "{kind: roc-auc, output: y}", n, extra="constants: {state: 0.5}\n", file="constant.npz")
say("state-constant", metrics.roc_auc_score(labels[:n, 0], out[:n]))

# Tokens.
E, W = floats(20, 6), floats(6, 20)
s = model(
    "tokens", [helper.make_node("Gather", ["E", "ids"], ["e"]), helper.make_node("MatMul", ["e", "W"], ["y"])], [value("ids", I, ["n", "t"])], [value("y", F, ["n", "t", 20])],
    E=E, W=W)
ids = rng.integers(0, 20, (68, 12))
y = s.run(None, {"ids": ids})[0].astype(np.float64)
labels = (y + 3 * rng.standard_normal(y.shape)).argmax(2)
labels[:, 9:] = -100
save("tokens", ids=ids, labels=labels)
declare("tokens-perplexity", "perplexity", n)
declare("tokens-none", "", n)
logp = y - np.log(np.exp(y - y.max(2, keepdims=True)).sum(2, keepdims=True)) - y.max(2, keepdims=True)
nll = [-logp[i, t, labels[i, t]] for i in range(n) for t in range(9)]
say("tokens-perplexity", np.exp(np.mean(nll)))
# Labels that are the inputs: each token predicts the next.
save("causal", ids=ids, labels=ids)
declare("tokens-causal", "cross-entropy", n, file="causal.npz")
say("tokens-causal", np.mean([-logp[i, t, ids[i, t + 1]] for i in range(n) for t in range(11)]))

# Pairs of token sequences of different lengths, pooled without the padding.
W = floats(4, 3)
s = model(
    "pairs",
    [
        helper.make_node("MatMul", ["x", "W"], ["p"]), helper.make_node("Cast", ["mask"], ["m"], to=F), helper.make_node("Unsqueeze", ["m", "last"], ["u"]),
        helper.make_node("Add", ["p", "u"], ["y"]),
    ],
    [value("x", F, ["n", 6, 4]), value("mask", I, ["n", 6])], [value("y", F, ["n", 6, 3])], W=W, last=np.array([2], np.int64))
n = 40
x = floats(n + 8, 2, 6, 4)
mask = (np.arange(6) < rng.integers(1, 7, (n + 8, 2, 1))).astype(np.int64)
y = np.stack([s.run(None, {"x": x[:, k], "mask": mask[:, k]})[0] for k in range(2)], 1)
pooled = (y * mask[..., None]).sum(2) / mask.sum(2)[..., None]
cosines = (pooled[:, 0] * pooled[:, 1]).sum(1) / np.linalg.norm(pooled[:, 0], axis=1) / np.linalg.norm(pooled[:, 1], axis=1)
scores = (cosines + 0.3 * rng.standard_normal(n + 8)).astype(np.float32)
save("pairs", x=x, mask=mask, labels=scores)
declare("pairs-similarity", "{kind: similarity, transform: {mean: {axis: 1, mask: mask}}}", n)
say("pairs-similarity", stats.spearmanr(cosines[:n], scores[:n])[0])
