"""Scores the labeled sets with lathe and, independently, with Python's onnxruntime and the libraries that are the reference for each metric.

labeled_check.py [--lathe PROGRAM] [--results FOLDER] [--again] [--metrics] [--report FILE] [KEY…]

For each set the baseline and four recipes: what `lathe evaluate` says of them, and what Python finds on the file that `lathe apply` writes. A
number that Python does not reproduce is a failure. Results are kept in FOLDER/KEY.json, and a run of the same program goes on where it was; --report writes the table
of all results (Docs/Results/LabeledSets.md) and does nothing else.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnxruntime

import check
import labeled_sets

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
RECIPES = {"static-int8": "static-int8", "dynamic-int8": "dynamic-int8", "4-bit": "weight-quantization:bits=4", "pruned 50 %": "magnitude-pruning:sparsity=0.5"}
# Titles of metrics that are shown in percent.
IN_PERCENT = ("top-1", "frame accuracy", "token accuracy", "CER", "macro F1", "mean IoU", "frame F1", "mAP@.50")
FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")


# The library that `make setup` fetched, unless another one is named.
for library in sorted((REPOSITORY / ".deps/onnxruntime").glob("libonnxruntime.so.*"))[:1]:
    os.environ.setdefault("LATHE_ONNXRUNTIME", str(library))


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def fed(value, info):
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    return np.asarray(value, kinds[info.type])


def outputs(path, labeled):
    """What the model answers to each validation sample, without the batch."""
    running = session(path)
    inputs = {info.name: info for info in running.get_inputs()}
    carry = labeled.declaration.get("carry", {})
    metric = labeled.metric if isinstance(labeled.metric, dict) else {}
    name = metric.get("output") or next(o.name for o in running.get_outputs() if o.type in FLOATS and o.name not in carry)
    constants = {}
    for key, value in labeled.declaration.get("constants", {}).items():
        shape = [extent for extent in inputs[key].shape]
        constants[key] = fed(np.full(shape, value), inputs[key])
    arrays = {key: array for key, array in labeled.arrays.items() if key != "labels"}
    for row in range(labeled.calibration, labeled.count):
        if labeled.metric == "similarity" or isinstance(labeled.metric, dict) and labeled.metric.get("kind") == "similarity":
            # One of the pair after the other: where ranges are found at run time, what shares a call shares them.
            yield np.concatenate([running.run([name], {key: fed(array[row, side : side + 1], inputs[key]) for key, array in arrays.items()} | constants)[0] for side in range(2)])
        elif labeled.call == "whole":
            yield running.run([name], {key: fed(array[row], inputs[key]) for key, array in arrays.items()} | constants)[0]
        elif labeled.call == "batch":
            yield running.run([name], {key: fed(array[row : row + 1], inputs[key]) for key, array in arrays.items()} | constants)[0]
        else:
            states = {key: fed(np.zeros([extent if isinstance(extent, int) else 1 for extent in inputs[key].shape]), inputs[key]) for key in carry.values()}
            steps = []
            for step in range(next(iter(arrays.values())).shape[1]):
                said = running.run([name, *carry], {key: fed(array[row : row + 1, step], inputs[key]) for key, array in arrays.items()} | constants | states)
                steps.append(said[0])
                states = dict(zip(carry.values(), said[1:]))
            yield np.stack(steps)


def score(found, labeled):
    """The metric over all samples, by libraries that know nothing of lathe."""
    import sklearn.metrics as reference

    metric = labeled.metric if isinstance(labeled.metric, dict) else {"kind": labeled.metric}
    kind = "box-f1" if "command" in metric else metric["kind"]
    truths = labeled.arrays["labels"][labeled.calibration :]
    if "transform" in metric:
        axis, index = metric["transform"][0]["select"]
        found = [np.take(array, index, axis) for array in found]
    if kind == "top1":
        return reference.accuracy_score(truths, [int(np.argmax(array)) for array in found])
    if kind == "f1-macro":
        # One number: the probability of class 1.
        said = [int(array.ravel()[0] > 0.5) if array.size == 1 else int(np.argmax(array)) for array in found]
        return reference.f1_score(truths, said, average="macro")
    if kind in ("mae", "psnr"):
        found = [np.asarray(array, np.float64).ravel() for array in found]
        truths = [np.asarray(truth, np.float64).ravel() for truth in truths]
        if kind == "mae":
            return reference.mean_absolute_error(np.concatenate(truths), np.concatenate(found))
        from skimage.metrics import peak_signal_noise_ratio
        return float(np.mean([peak_signal_noise_ratio(truth, array, data_range=1) for truth, array in zip(truths, found)]))
    if kind == "mean-iou":
        said = np.concatenate([(array.ravel() > metric["threshold"]).astype(int) for array in found])
        return reference.jaccard_score(np.concatenate([truth.ravel() for truth in truths]), said, average="macro")
    if kind in ("frame-accuracy", "frame-f1", "token-accuracy"):
        right, said = [], []
        for array, truth in zip(found, truths):
            array = array.reshape(len(truth), -1)
            classes = np.argmax(array, 1) if array.shape[1] > 1 else (array[:, 0] > 0.5).astype(int)
            counted = truth != metric.get("ignore", -100)
            right += truth[counted].tolist()
            said += classes[counted].tolist()
        if kind == "frame-f1":
            return reference.f1_score(right, said, average="macro", labels=sorted(set(right) | set(said)))
        return reference.accuracy_score(right, said)
    if kind == "similarity":
        from scipy.stats import spearmanr
        from sklearn.metrics.pairwise import cosine_similarity
        pairs = [array.reshape(2, -1).astype(np.float64) for array in found]
        # Equal vectors are equally alike: rounding must not give them ranks of their own.
        return float(spearmanr(np.round([cosine_similarity(pair[:1], pair[1:])[0, 0] for pair in pairs], 12), truths).statistic)
    if kind == "cer":
        import jiwer
        return jiwer.cer([spelled(t for t in truth if t != metric["ignore"]) for truth in truths], [spelled(collapsed(array, metric["blank"])) for array in found])
    if kind == "map50":
        return average_precision(found, truths)
    sys.path.insert(0, str(REPOSITORY / "SampleModels/metrics"))
    import box_f1
    cells = box_f1.grid(416)
    hits = total = 0
    for array, truth in zip(found, truths):
        boxes = truth[truth[:, 0] >= 0][:, 1:].astype(np.float64)
        said = box_f1.detections(array.reshape(-1, 6), cells, 0.5)
        hits, total = hits + box_f1.hits(said, boxes), total + len(said) + len(boxes)
    return 2 * hits / total


def collapsed(array, blank):
    """Scores of steps, or classes, read as CTC has it."""
    array = array.reshape(-1, array.shape[-1]) if array.ndim >= 3 else array.ravel()
    steps = np.argmax(array, -1) if array.ndim == 2 else np.rint(array).astype(int)
    return [int(step) for index, step in enumerate(steps) if step != blank and (index == 0 or step != steps[index - 1])]


def spelled(classes):
    """A character for each class, none of which is white space."""
    return "".join(chr(0x4E00 + int(index)) for index in classes)


def average_precision(found, truths):
    """COCO's own program, at an overlap of one half; decoding and suppression written out here."""
    import contextlib
    import io
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    cells = np.concatenate([np.stack([(i := np.indices((416 // s, 416 // s)))[1].ravel(), i[0].ravel(), np.full(i[0].size, s)], 1) for s in (8, 16, 32)])
    truth = {"images": [{"id": i} for i in range(len(truths))], "categories": [{"id": 1}], "annotations": []}
    said = []
    for image, (array, boxes) in enumerate(zip(found, truths)):
        for left, top, right, bottom in boxes:
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                                         "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)})
        array = array.reshape(-1, 6).astype(np.float64)
        scores = array[:, 4] * array[:, 5]
        centers, sizes = (array[:, :2] + cells[:, :2]) * cells[:, 2:], np.exp(array[:, 2:4]) * cells[:, 2:]
        corners = np.concatenate([centers - sizes / 2, centers + sizes / 2], 1)
        kept = []
        for index in np.argsort(-scores, kind="stable"):
            if scores[index] <= 0.001 or len(kept) >= 100:
                break
            if all(overlap(corners[index], corners[other]) <= 0.65 for other in kept):
                kept.append(index)
        for index in kept:
            left, top, right, bottom = corners[index]
            said.append({"image_id": image, "category_id": 1, "score": float(scores[index]), "bbox": [left, top, right - left, bottom - top]})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(said), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def overlap(one, other):
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - width * height)


# Further metrics of a set: options, and the same from outputs (one array a sample) and truths.
def scores(found):
    return np.stack([np.asarray(array, np.float64).ravel() for array in found])


def probabilities(found):
    from scipy.special import softmax
    rows = scores(found)
    if rows.shape[1] == 1:
        return np.concatenate([1 - rows, rows], 1)
    return rows if (rows >= 0).all() and np.allclose(rows.sum(1), 1, atol=1e-3) else softmax(rows, 1)


def answers(found):
    return probabilities(found).argmax(1)


def calibration_error(found, truths, bins=15):
    confident, right = probabilities(found).max(1), answers(found) == truths
    place = np.clip(np.ceil(confident * bins) - 1, 0, bins - 1)
    return sum(abs(confident[place == b].sum() - right[place == b].sum()) for b in range(bins)) / len(truths)


def token_loss(found, truths):
    from scipy.special import log_softmax
    parts = [-log_softmax(np.asarray(array, np.float64).reshape(len(truth), -1), 1)[truth >= 0, truth[truth >= 0]] for array, truth in zip(found, truths)]
    return float(np.concatenate(parts).mean())


def further():
    import jiwer
    import sklearn.metrics as reference
    from scipy import stats
    from skimage.metrics import structural_similarity

    def flat(found, truths):
        return np.concatenate([truth.ravel() for truth in truths]), np.concatenate([np.asarray(array).ravel() for array in found])

    def columns(function):
        def value(found, truths):
            said = scores(found)
            return float(np.mean([function(said[:, i], truths[:, i].astype(np.float64)) for i in range(said.shape[1])]))
        return value

    def ctc(array):
        return collapsed(array, 0)

    def kept(truth):
        return [t for t in truth if t >= 0]

    return {
        "mnist8_cntk": [
            ("top5", lambda f, t: reference.top_k_accuracy_score(t, scores(f), k=5)), ({"kind": "top-k", "k": 2}, lambda f, t: reference.top_k_accuracy_score(t, scores(f), k=2)),
            ("balanced-accuracy", lambda f, t: reference.balanced_accuracy_score(t, answers(f))), ("f1-macro", lambda f, t: reference.f1_score(t, answers(f), average="macro")),
            ("f1-weighted", lambda f, t: reference.f1_score(t, answers(f), average="weighted")), ({"kind": "recall", "class": 8}, lambda f, t: reference.recall_score(t == 8, answers(f) == 8)),
            ("roc-auc", lambda f, t: np.mean([reference.roc_auc_score(t == c, probabilities(f)[:, c]) for c in range(10)])),
            # In float32, in which probabilities below 1e-45 are all 0.
            ({"kind": "roc-auc", "transform": ["softmax"]}, lambda f, t: np.mean([reference.roc_auc_score(t == c, np.float32(probabilities(f)[:, c])) for c in range(10)])),
            ("calibration-error", calibration_error)],
        "ppocr_v2_cls": [("log-loss", lambda f, t: reference.log_loss(t, np.clip(probabilities(f), 1.1920929e-07, 1 - 1.1920929e-07))), ("calibration-error", calibration_error),
                         ("roc-auc", lambda f, t: reference.roc_auc_score(t, probabilities(f)[:, 1]))],
        "deepcut_thai_cnn": [
            ("top1", lambda f, t: reference.accuracy_score(t, scores(f)[:, 0] > 0.5)), ("roc-auc", lambda f, t: reference.roc_auc_score(t, scores(f)[:, 0])),
            ("average-precision", lambda f, t: reference.average_precision_score(t, scores(f)[:, 0])), ("log-loss", lambda f, t: reference.log_loss(t, np.clip(scores(f)[:, 0], 1.1920929e-07, 1 - 1.1920929e-07))),
            ({"kind": "recall", "class": 1}, lambda f, t: reference.recall_score(t, scores(f)[:, 0] > 0.5)),
            ({"kind": "recall", "class": 1, "threshold": 0.8}, lambda f, t: reference.recall_score(t, scores(f)[:, 0] > 0.8))],
        "ppocr_v4_det": [({"kind": "pixel-accuracy", "threshold": 0.3}, lambda f, t: np.mean(np.concatenate([(a.ravel() > 0.3) == b.ravel() for a, b in zip(f, t)]))),
                         ({"kind": "mean-iou", "transform": [{"threshold": 0.6}]}, lambda f, t: reference.jaccard_score(flat(f, t)[0], flat(f, t)[1] > 0.6, average="macro"))],
        "espcn_nn_resize": [("ssim", lambda f, t: np.mean([structural_similarity(b.astype(np.float64), a.reshape(b.shape).astype(np.float64), data_range=1, channel_axis=0,
                                                                                 gaussian_weights=True, sigma=1.5, use_sample_covariance=False) for a, b in zip(f, t)]))],
        "ppocr_v4_rec": [({"kind": "exact-match", "blank": 0, "ignore": -1}, lambda f, t: np.mean([ctc(a) == kept(b) for a, b in zip(f, t)]))],
        "silero_vad_16k_op15": [
            ("frame-f1", lambda f, t: reference.f1_score(flat(f, t)[0], flat(f, t)[1] > 0.5)), ({"kind": "frame-accuracy", "threshold": 0.3}, lambda f, t: np.mean((flat(f, t)[1] > 0.3) == flat(f, t)[0])),
            ({"kind": "frame-f1", "class": 0}, lambda f, t: reference.f1_score(flat(f, t)[0], flat(f, t)[1] > 0.5, pos_label=0))],
        "swift_f0": [({"kind": "rmse", "output": "pitch"}, lambda f, t: reference.root_mean_squared_error(*flat(f, t))),
                     ({"kind": "r2", "output": "pitch"}, columns(lambda a, b: reference.r2_score(b, a))), ({"kind": "pearson", "output": "pitch"}, columns(lambda a, b: stats.pearsonr(a, b)[0])),
                     ({"kind": "spearman", "output": "pitch"}, columns(lambda a, b: stats.spearmanr(a, b)[0]))],
        "bert_tiny_ner_dynq": [({"kind": "cross-entropy", "shifted": False}, token_loss), ({"kind": "perplexity", "shifted": False}, lambda f, t: math.exp(token_loss(f, t)))],
        "captcha_crnn_unrolled": [({"kind": "wer", "blank": 36, "ignore": -1, "alphabet": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
                                   lambda f, t: jiwer.wer([spelled(kept(b)) for b in t], [spelled(collapsed(a, 36)) for a in f]))],
    }


class Check:
    def __init__(self, key, options):
        self.key, self.options = key, options
        self.file = pathlib.Path(options.results) / f"{key}.json"
        self.result = json.loads(self.file.read_text()) if self.file.exists() and not options.again else {"recipes": {}}
        # What another build said is another build's.
        program = check.program_name(options.lathe)
        if self.result.get("program", program) != program:
            self.result = {"recipes": {}}
        self.result.update(key=key, failures=[], program=program)

    def lathe(self, *arguments):
        # Metric commands are Python programs: they are to find this Python's packages.
        environment = os.environ | {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
        return subprocess.run([self.options.lathe, *arguments], capture_output=True, text=True, timeout=600, env=environment)

    def fail(self, what):
        print(f"FAILURE {self.key}: {what}", flush=True)
        self.result["failures"].append(what)

    def compare(self, name, ours, theirs):
        if not (math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6) or math.isnan(ours) and math.isnan(theirs)):
            self.fail(f"{name}: lathe says {ours!r}, Python {theirs!r}")

    def run(self):
        labeled = labeled_sets.SETS[self.key](self.key)
        folder = pathlib.Path(self.options.results) / self.key
        declaration = str(labeled.write(folder, self.key))
        model = str(labeled_sets.model_file(self.key))
        metric = labeled.metric if isinstance(labeled.metric, dict) else {"kind": labeled.metric}
        self.result.update(about=labeled.about, metric=metric.get("kind", "F1 (command)"), samples=labeled.count - labeled.calibration, chance=labeled.chance)
        base = score(list(outputs(model, labeled)), labeled)
        self.result["python"] = base
        self.result.setdefault("first", self.evaluate(model, declaration))
        if "value" in self.result["first"]:
            self.result["value"] = self.result["first"]["value"]
            self.compare("alone", self.result["value"], base)
            print(f"{self.key}: {self.result['value']:.5f}, Python {base:.5f}; {'; '.join(self.result['first']['warnings'])}", flush=True)
        for name, step in RECIPES.items():
            if name in self.result["recipes"] and "python" in self.result["recipes"][name]:
                entry = self.result["recipes"][name]
            else:
                entry = self.result["recipes"][name] = self.recipe(name, step, model, declaration, labeled, folder)
            if "value" in entry:
                if "python" in entry:
                    self.compare(name, entry["value"], entry["python"])
            self.file.write_text(json.dumps(self.result, indent=1, ensure_ascii=False))
        values = {entry["baseline"] for entry in [self.result["first"], *self.result["recipes"].values()] if "baseline" in entry}
        if len(values) > 1:
            self.fail(f"the baseline has other values beside other recipes: {sorted(values)}")
        self.file.write_text(json.dumps(self.result, indent=1, ensure_ascii=False))

    def further(self, metrics):
        """Other metrics over the same set, of the model and after 4 bits, where that is possible."""
        labeled = labeled_sets.SETS[self.key](self.key)
        folder = pathlib.Path(self.options.results) / self.key
        model, written = str(labeled_sets.model_file(self.key)), folder / "compressed.onnx"
        truths = labeled.arrays["labels"][labeled.calibration :]
        steps = ["--step", RECIPES["4-bit"]]
        declaration = str(labeled.write(folder, self.key))
        if self.lathe("apply", model, "--data", declaration, *steps, "-o", str(written)).returncode != 0:
            steps = []
        found = {}
        for metric, reference in metrics:
            labeled.metric = metric
            labeled.write(folder, self.key)
            entry = self.evaluate(model, declaration, *steps)
            if "value" not in entry:
                self.fail(f"{metric}: {entry['refusal']}")
                continue
            output = metric.get("output") if isinstance(metric, dict) else None
            for name, file, ours in [("baseline", model, entry["baseline"])] + ([("4-bit", written, entry["value"])] if steps else []):
                if (file, output) not in found:
                    found[file, output] = list(outputs(file, labeled))
                theirs = float(reference(found[file, output], truths))
                print(f"{self.key}: {metric}: {name}: {ours:.6f}, Python {theirs:.6f}", flush=True)
                self.compare(f"{metric}: {name}", ours, theirs)
        written.unlink(missing_ok=True)

    def evaluate(self, model, declaration, *steps):
        """What lathe says, or its refusal."""
        start = time.time()
        evaluated = self.lathe("evaluate", model, "--data", declaration, *steps, "--no-latency", "--quick", "--json")
        entry = {"seconds": round(time.time() - start, 1)}
        if evaluated.returncode != 0:
            entry["refusal"] = evaluated.stderr.strip()
            print(f"{self.key}: {' '.join(steps)}: {entry['refusal']}", flush=True)
            if evaluated.returncode != 2 or len(entry["refusal"].splitlines()) != 1:
                self.fail(f"evaluate {' '.join(steps)}: status {evaluated.returncode}: {entry['refusal'][-300:]}")
            return entry
        document = json.loads(evaluated.stdout)
        accuracy = document["accuracy"]
        entry.update(value=number(accuracy["value"]), baseline=number(accuracy["baseline"]), interval=accuracy.get("interval"), difference=accuracy.get("differenceInterval"),
                     better=accuracy["better"], unit=accuracy["unit"], title=accuracy["metric"], warnings=document.get("warnings", []))
        interval = accuracy.get("interval")
        if interval and not number(interval["low"]) <= entry["value"] <= number(interval["high"]):
            self.fail(f"evaluate {' '.join(steps)}: {entry['value']} lies outside of its interval {interval}")
        return entry

    def recipe(self, name, step, model, declaration, labeled, folder):
        entry = self.evaluate(model, declaration, "--step", step)
        if "refusal" in entry:
            return entry
        written = folder / "compressed.onnx"
        applied = self.lathe("apply", model, "--data", declaration, "--step", step, "-o", str(written))
        if applied.returncode != 0:
            self.fail(f"{name}: apply: status {applied.returncode}: {applied.stderr.strip()[-300:]}")
            return entry
        try:
            entry["python"] = score(list(outputs(written, labeled)), labeled)
        except Exception as error:
            self.fail(f"{name}: Python: {' '.join(str(error).split())[:200]}")
        written.unlink()
        print(f"{self.key}: {name}: {entry['baseline']:.5f} -> {entry['value']:.5f}, Python {entry.get('python', math.nan):.5f}; {'; '.join(entry['warnings'])}", flush=True)
        return entry


def number(value):
    """Documents write what is no finite number as text."""
    return float(value) if not isinstance(value, str) else {"inf": math.inf, "-inf": -math.inf}.get(value, math.nan)


def shown(value, entry, sign=False):
    plus = "+" if sign else ""
    if entry["title"] in IN_PERCENT:
        return f"{100 * value:{plus}.2f}{'' if sign else ' %'}"
    return f"{value:{plus}.4f}{' dB' if entry['unit'] == 'dB' and not sign else ''}"


def why(refusal):
    """The first reason of a refusal, without layers."""
    return refusal.split("of this model: ")[-1].split(" (")[0].split(";")[0]


def report(options, target):
    found = [json.loads((pathlib.Path(options.results) / f"{key}.json").read_text()) for key in labeled_sets.SETS
             if (pathlib.Path(options.results) / f"{key}.json").exists()]
    unscored = [result for result in found if "value" not in result]
    found = [result for result in found if "value" in result]
    worst = max((abs(entry["value"] - entry["python"]) / max(1, abs(entry["python"])) for result in found for entry in result["recipes"].values() if "python" in entry), default=0)
    count = sum("python" in entry for result in found for entry in result["recipes"].values())
    failures = [f"{result['key']}: {text}" for result in found for text in result["failures"]]
    lines = [
        "# Production models on labeled sets", "",
        "`Tests/RealModels/labeled_sets.py` makes small sets with known truth for the models of [Tests/RealModels](../../Tests/RealModels/README.md): drawings, sounds, lists of",
        "words and sentences. They are no benchmarks: generated data are easier, or just other, than what the models were made for. They show what a technique costs on a task that the",
        "model does well.", "",
        "`Tests/RealModels/labeled_check.py` scores each model and four recipes with `lathe evaluate`, and the file that `lathe apply` writes with Python's `onnxruntime`",
        f"{onnxruntime.__version__} and the library that is the reference for the metric (scikit-learn, jiwer, SciPy, scikit-image, pycocotools), one sample at a time.", "",
        f"{len(found)} sets, {count} compressed files: the largest difference between `lathe` and Python is {worst:.1e} (relative to 1 or to the value, whichever is larger). "
        + ("No number is missed." if not failures else f"{len(failures)} differ, see below."), "",
        "Changes are in points where values are in percent. 4-bit: `weight-quantization:bits=4`; pruned: `magnitude-pruning:sparsity=0.5`; nothing is trained after them.", "",
        "| model | set | n | metric | chance | baseline (ours / Python) | " + " | ".join(RECIPES) + " |", "|---|---|---|---|---|---|" + "---|" * len(RECIPES)]
    for result in found:
        first = result["first"]
        cells = []
        for name in RECIPES:
            entry = result["recipes"].get(name, {})
            if "value" in entry:
                cells.append(f"{shown(entry['value'], entry)} ({shown(entry['value'] - entry['baseline'], entry, True)})")
            else:
                cells.append("")
        better = "↑" if first["better"] == "higher" else "↓"
        chance = "" if result["chance"] is None else shown(result["chance"], first)
        lines.append(f"| `{result['key']}` | {result['about']} | {result['samples']} | {first['title']} {better} | {chance} | "
                     f"{shown(result['value'], first)} / {shown(result['python'], first)} | " + " | ".join(cells) + " |")
    lines += ["", "↑ more is better, ↓ less is better. Chance: what a guess, or always the commonest answer, scores. Empty cells: refused, for these reasons:", ""]
    reasons = {}
    for result in found:
        for name, entry in result["recipes"].items():
            if "refusal" in entry:
                reasons.setdefault((name, why(entry["refusal"])), []).append(f"`{result['key']}`")
    lines += [f"- {name}: {reason}: {', '.join(keys)}" for (name, reason), keys in sorted(reasons.items())]
    if failures:
        lines += ["", "## What differs", ""] + [f"- {text}" for text in failures]
    if unscored:
        lines += ["", "Not scored by this program:", ""] + [f"- `{result['key']}`: {result['first']['refusal'].split('.yaml:')[-1]}" for result in unscored]
    lines += ["", "## Left out", "",
              "| model | why |", "|---|---|"] + [f"| `{key}` | {why} |" for key, why in labeled_sets.LEFT_OUT.items()]
    pathlib.Path(target).write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--results", default=str(REPOSITORY / ".build/labeled-sets"))
    parser.add_argument("--again", action="store_true", help="forget what is known")
    parser.add_argument("--report", metavar="FILE", help="only write the table of what is known")
    parser.add_argument("--metrics", action="store_true", help="other metrics of some sets instead: nothing is kept")
    parser.add_argument("keys", nargs="*")
    options = parser.parse_args()
    pathlib.Path(options.results).mkdir(parents=True, exist_ok=True)
    if options.report:
        return report(options, options.report)
    count = 0
    if options.metrics:
        for key, metrics in further().items():
            if not options.keys or key in options.keys:
                one = Check(key, options)
                one.further(metrics)
                count += len(one.result["failures"])
        print(f"{count} failures")
        sys.exit(1 if count else 0)
    for key in options.keys or labeled_sets.SETS:
        one = Check(key, options)
        one.run()
        count += len(one.result["failures"])
    print(f"{count} failures")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
