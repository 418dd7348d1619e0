"""What other runtimes compute on the files that `lathe apply` writes: every technique at its defaults, on the six sample models.

    python3 Benchmarks/runtimes.py [--lathe PROGRAM] [--technique ID,...] [--model NAME,...] [--runtime NAME,...] [--again]

Makes a Python environment of its own in .deps/runtimes, with the pinned wheels of `WHEELS`; one that does not install is left out, with a line that says so.
Each file runs in ONNX Runtime and in the others on the same first 500 images of the validation split (the reference: 20, since it is slow). A cell is good where top-1 is
within 0.4 point of ONNX Runtime's and at least 99 % of the images get the same class. Results are kept in Docs/Results/runtimes.json, by the bytes of the file,
and Docs/Results/Runtimes.md is written from them. Steps that train see 512 images for a single epoch: what is looked at is the form of the file.
The exit status is 1 where a runtime computes something else than ONNX Runtime without a word, by default.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Another folder where LATHE_RUNTIMES names one.
ENVIRONMENT = pathlib.Path(os.environ.get("LATHE_RUNTIMES", ROOT / ".deps/runtimes")).absolute()
DATA = ROOT / "SampleModels/data"
RESULTS = ROOT / "Docs/Results/runtimes.json"
PAGE = ROOT / "Docs/Results/Runtimes.md"
NEEDED = ["numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.31.1"]
# Runtime, its wheel, images.
WHEELS = {
    "onnxruntime": ("onnxruntime==1.31.1", 500),
    "openvino": ("openvino==2026.4.1", 500),
    "tract": ("tract==0.23.9", 500),
    "mnn": ("MNN==3.6.1", 500),
    "reference": ("onnx==1.23.2", 20),
}
MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
# Forms that are not a technique's default, or that only other widths have.
FURTHER = [
    "weight-quantization:bits=1", "weight-quantization:bits=2", "weight-quantization:bits=3", "weight-quantization:bits=4", "weight-quantization:bits=4,symmetric=false",
    "weight-quantization:storage=dequantize", "weight-quantization:bits=4,storage=dequantize", "weight-quantization:bits=4,storage=matmulnbits",
    "weight-sharing:storage=codebook", "static-int8:target=integer",
]
SECONDS = 150


# What runs in the environment, one process for each runtime.


def runner(runtime, path, x):
    """A function from a batch of images to scores."""
    import numpy as np

    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda batch: session.run(None, {session.get_inputs()[0].name: batch})[0]
    if runtime == "openvino":
        import openvino

        core = openvino.Core()
        # The processor's own choice is bfloat16 where it has that.
        compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda batch: compiled({0: batch})[0]
    if runtime == "tract":
        import tract

        model = tract.onnx().load(path)
        model.set_input_fact(0, ",".join(str(size) for size in x.shape) + ",f32")
        runnable = model.into_model().into_runnable()
        return lambda batch: runnable.run([batch])[0].to_numpy()
    if runtime == "mnn":
        import MNN.expr
        import MNN.nn
        import numpy as np
        import onnx

        converted = path + ".mnn"
        program = pathlib.Path(sys.executable).parent / "mnnconvert"
        done = subprocess.run([program, "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "x"], capture_output=True, text=True, errors="replace", timeout=SECONDS)
        if not pathlib.Path(converted).exists():
            said = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line or "ot support" in line]
            raise RuntimeError("the converter stops: " + (said[-1] if said else f"status {done.returncode}"))
        graph = onnx.load(path).graph
        module = MNN.nn.load_module_from_file(converted, [graph.input[0].name], [graph.output[0].name])

        def call(batch):
            value = MNN.expr.const(batch, list(batch.shape), MNN.expr.NCHW)
            return np.array(MNN.expr.convert(module.forward([value])[0], MNN.expr.NCHW).read(), copy=True)

        return call
    import onnx.reference

    evaluator = onnx.reference.ReferenceEvaluator(path)
    return lambda batch: evaluator.run(None, {evaluator.input_names[0]: batch})[0]


def serve(runtime, images):
    import numpy as np

    x = np.load(images)
    size = 20
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        path, out = line.rstrip("\n").split("\t")
        try:
            run = runner(runtime, path, x[:size])
            scores = np.concatenate([np.asarray(run(x[start : start + size])).reshape(size, -1) for start in range(0, len(x), size)])
            np.save(out, scores)
            answers.write("done\n")
        except BaseException as error:  # whatever it says
            answers.write("refused\t" + " ".join(f"{error}".split())[:4000] + "\n")
        answers.flush()


# What drives them.


class Worker:
    """A process that loads and runs files, made anew where one ends it or takes too long."""

    def __init__(self, runtime, images):
        self.command = [sys.executable, os.path.abspath(__file__), "--serve", runtime, images]
        self.process = None

    def run(self, path, out):
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.process.stdin.write(f"{path}\t{out}\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        answer = self.process.stdout.readline().rstrip("\n") if ready else None
        if answer:
            word, _, said = answer.partition("\t")
            return None if word == "done" else said or "refused"
        status = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.process = None
        return f"took longer than {SECONDS} s" if answer is None else f"its process ends ({status})"


def images(count):
    import numpy as np

    def read(name, offset):
        with gzip.open(DATA / "fashion-mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    raw = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:count].astype(np.float32)
    return (raw * np.float32(1 / 255) - np.float32(0.2860)) / np.float32(0.3530), read("t10k-labels-idx1-ubyte.gz", 8)[:count]


def environment():
    """Makes the environment and goes on in it."""
    python = ENVIRONMENT / "bin/python"
    if not python.exists():
        print(f"making {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    stamp = ENVIRONMENT / "installed"
    wheels = NEEDED + [wheel for wheel, _ in WHEELS.values() if wheel not in NEEDED]
    known = stamp.read_text().splitlines() if stamp.exists() else []
    for group in [NEEDED] + [[wheel] for wheel in wheels if wheel not in NEEDED]:
        if all(wheel in known for wheel in group):
            continue
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", *group], capture_output=True, text=True)
        if done.returncode:
            if group is NEEDED:
                raise SystemExit(done.stderr)
            print(f"left out: {group[0]} does not install here: {done.stderr.strip().splitlines()[-1]}", flush=True)
        else:
            known += group
            stamp.write_text("\n".join(known) + "\n")
    return python, {name for name, (wheel, _) in WHEELS.items() if wheel in known}


def recipes(program):
    sys.path.insert(0, str(ROOT / "Benchmarks"))
    import technique_figures

    listed = json.loads(subprocess.run([program, "techniques", "--json"], capture_output=True, text=True, check=True).stdout)["techniques"]
    made = [(technique["id"], technique_figures.steps(technique)) for technique in listed]
    return made + [(step, [step]) for step in FURTHER]


def judge(expected, scores, labels):
    import numpy as np

    count = len(scores)
    a, b = expected[:count].argmax(1), scores.argmax(1)
    labels = labels[:count]
    points = 100 * float((b == labels).mean() - (a == labels).mean())
    same = 100 * float((a == b).mean())
    finite = bool(np.isfinite(scores).all())
    return {"points": round(points, 2), "same": round(same, 2), "good": finite and abs(points) <= 0.4 + 1e-9 and same >= 99, "distance": float(f"{np.abs(expected[:count] - scores).max():.1e}")}


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:])
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--lathe", default=ROOT / ".build/release/lathe", type=lambda path: pathlib.Path(path).absolute())
    options.add_argument("--technique", type=lambda text: text.split("+"), help="ids or steps, with + between")
    options.add_argument("--model", type=lambda text: text.split(","), default=MODELS)
    options.add_argument("--runtime", type=lambda text: text.split(","), default=list(WHEELS))
    options.add_argument("--again", action="store_true")
    options.add_argument("--no-page", action="store_true")
    options = options.parse_args()
    python, installed = environment()
    if pathlib.Path(sys.prefix) != ENVIRONMENT:
        return os.execv(python, [str(python), os.path.abspath(__file__), *sys.argv[1:]])
    import numpy as np

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() and not options.no_page else {"rows": {}}
    results["wheels"] = {name: WHEELS[name][0] for name in WHEELS if name in installed}
    x, labels = images(500)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        workers = {}
        for name in options.runtime:
            if name in installed:
                np.save(folder / f"{name}.npy", x[: WHEELS[name][1]])
                workers[name] = Worker(name, str(folder / f"{name}.npy"))
        data = (DATA / "fashion-mnist.yaml").read_text().replace(": fashion-mnist/", f": {DATA}/fashion-mnist/")
        (folder / "data.yaml").write_text(data.replace("range: [0, 1000]", "range: [0, 256]").replace("range: [0, 55000]", "range: [0, 512]"))
        known = recipes(options.lathe)
        results["rows"] = {name: results["rows"][name] for name, _ in known if name in results["rows"]}
        for name, steps in known:
            if options.technique and name not in options.technique:
                continue
            row = results["rows"].setdefault(name, {})
            for model in options.model:
                entry = row.get(model, {})
                written = folder / "model.onnx"
                arguments = [part for step in steps for part in ("--step", step)]
                done = subprocess.run([options.lathe, "apply", ROOT / f"SampleModels/{model}.onnx", "--data", folder / "data.yaml", "-o", written, *arguments], capture_output=True, text=True)
                if done.returncode or not written.exists():
                    row[model] = {"none": done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else f"status {done.returncode}"}
                    continue
                digest = hashlib.sha256(written.read_bytes()).hexdigest()[:16]
                if entry.get("file") != digest or options.again:
                    entry = {"file": digest, "runtimes": {}}
                row[model] = entry
                missing = [runtime for runtime in workers if runtime not in entry["runtimes"] and runtime != "onnxruntime"]
                if missing:
                    refused = workers["onnxruntime"].run(written, folder / "expected.npy")
                    if refused:
                        entry["runtimes"]["onnxruntime"] = {"refused": refused[:300]}
                        missing = []
                    else:
                        expected = np.load(folder / "expected.npy")
                        entry["top1"] = round(100 * float((expected.argmax(1) == labels).mean()), 1)
                for runtime in missing:
                    begun = time.time()
                    refused = workers[runtime].run(written, folder / "scores.npy")
                    entry["runtimes"][runtime] = {"refused": refused.replace(str(folder), "")[:300]} if refused else judge(expected, np.load(folder / "scores.npy"), labels)
                    if time.time() - begun > 30:
                        print(f"  {runtime} took {time.time() - begun:.0f} s", flush=True)
                for old in folder.glob("model.onnx*"):
                    old.unlink()
                said = {runtime: ("refused" if "refused" in found else "ok" if found["good"] else f"WRONG {found['points']:+} {found['same']}") for runtime, found in entry["runtimes"].items()}
                print(f"{name:45} {model:14} {entry.get('top1', '')} {said}", flush=True)
                if not options.no_page:
                    save(results)
    if not options.no_page:
        save(results)
        PAGE.write_text(page(results))
    # A form of storage that was asked for by name is not a default.
    defaults = {name: row for name, row in results["rows"].items() if "storage=" not in name}
    wrong = [(name, model, runtime) for name, row in defaults.items() for model, entry in row.items() for runtime, found in entry.get("runtimes", {}).items() if found.get("good") is False]
    for found in wrong:
        print("computes something else:", *found)
    return 1 if wrong else 0


def save(results):
    beside = RESULTS.with_suffix(".new")
    beside.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    os.replace(beside, RESULTS)


TITLES = {"openvino": "OpenVINO", "tract": "tract", "mnn": "MNN", "reference": "onnx.reference"}


def cell(row, runtime, models):
    """ok, or on which models something else; "–" where nothing was tried."""
    found = {model: row[model]["runtimes"][runtime] for model in models if runtime in row.get(model, {}).get("runtimes", {})}
    if not found:
        return "–"
    wrong = [f"{model} {result['points']:+.1f}" for model, result in found.items() if result.get("good") is False]
    refused = [model for model, result in found.items() if "refused" in result]
    if wrong:
        return "**differs**: " + ", ".join(wrong) + (f"; refused: {', '.join(refused)}" if refused else "")
    if not refused:
        return "ok"
    return "refused" if len(refused) == len(found) else "ok; refused: " + ", ".join(refused)


def reason(said):
    """The first of it, without what only concerns one node or one machine."""
    return re.sub(r"\s+", " ", re.sub(r"Stack backtrace.*|node #\d+ |\"[^\"]*\"", "", said)).replace("|", "/").strip()[:150]


def page(results):
    names = [name for name in TITLES if name in results["wheels"]]
    lines = [
        "# Our files in other runtimes", "",
        "What `Benchmarks/runtimes.py` (`make test-runtimes`) found: every technique at its defaults on the six sample models, and further forms of storage, run by other runtimes on the",
        f"first 500 images of the validation split (onnx.reference: {WHEELS['reference'][1]}). **ok**: top-1 within 0.4 point of ONNX Runtime's on the same file, and at least 99 % of the images in the same",
        "class. **differs**: something else comes out, without a word; the number is top-1 less ONNX Runtime's, in points. **refused**: the runtime says that it does not read the file. Steps that",
        "train saw 512 images for one epoch.", "",
        "With " + ", ".join(sorted(results["wheels"].values())) + ".", "",
        "| step | " + " | ".join(TITLES[name] for name in names) + " |", "|---|" + "---|" * len(names)]
    reasons = {}
    for name, row in results["rows"].items():
        if not any(entry.get("runtimes") for entry in row.values()):
            continue
        lines.append(f"| `{name}` | " + " | ".join(cell(row, runtime, MODELS) for runtime in names) + " |")
        for model, entry in row.items():
            for runtime, found in entry.get("runtimes", {}).items():
                if "refused" in found:
                    reasons.setdefault((runtime, reason(found["refused"])), []).append(f"{name} on {model}")
    lines += ["", "## Why files are refused", "", "| runtime | it says | files |", "|---|---|---|"]
    for (runtime, said), where in sorted(reasons.items()):
        lines.append(f"| {TITLES.get(runtime, runtime)} | {said} | {', '.join(where[:3])}{f' and {len(where) - 3} more' if len(where) > 3 else ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
