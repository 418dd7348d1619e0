"""Kills lathe at random moments and looks at what is left: kill.py --lathe PATH [--count N] [--seed N] [--output FIGURES.md]

After each kill an output is absent or what an undisturbed run writes, the next run of the same command succeeds, leaves no file of the killed one
behind, and reads the stores of results and trainings without a warning. A training that is resumed repeats no epoch that its progress had
called finished but the last.
"""

import argparse
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
SAMPLES = REPOSITORY / "SampleModels"
DATA = SAMPLES / "data/fashion-mnist.yaml"


def commands(folder):
    """Name, arguments, outputs."""
    model, small = SAMPLES / "resnet-8.onnx", SAMPLES / "lenet-300-100.onnx"
    return [
        ("apply", ["apply", model, "--step", "magnitude-pruning", "--step", "weight-quantization:bits=4", "-o", folder / "a.onnx", "--pack", folder / "a.lathe", "--save-recipe", folder / "a.yaml"],
         ["a.onnx", "a.lathe", "a.yaml"]),
        ("pack", ["pack", model, "-o", folder / "p.lathe"], ["p.lathe"]),
        ("train", ["train", small, "--data", DATA, "--step", "fine-tuning:epochs=3", "-o", folder / "t.onnx"], ["t.onnx"]),
        ("sensitivity", ["sensitivity", small, "--data", DATA, "--step", "magnitude-pruning", "--values", "0.3,0.6,0.9", "--limit", "1000"], []),
    ]


def run(program, arguments, environment, after=None):
    """Runs to the end, or kills after so many seconds; status, standard output and error, seconds."""
    began = time.monotonic()
    child = subprocess.Popen([program, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=after if after is not None else 300)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
    return child.returncode, out, err, time.monotonic() - began


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    root = pathlib.Path(tempfile.mkdtemp(prefix="lathe-kill-"))
    library = next(iter(sorted(REPOSITORY.glob(".deps/onnxruntime/libonnxruntime.so.*"))), None)
    base = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    if library:
        base.setdefault("LATHE_ONNXRUNTIME", str(library))

    def environment(name):
        return {**base, **{f"XDG_{kind}_HOME": str(root / name) for kind in ("STATE", "CACHE", "DATA", "CONFIG")}}

    # What undisturbed runs write, and how long they take.
    reference, seconds = {}, {}
    (root / "reference").mkdir()
    for name, arguments, outputs in commands(root / "reference"):
        status, _, err, seconds[name] = run(options.lathe, arguments, environment("reference-state"))
        if status:
            sys.exit(f"{name} fails undisturbed: {err}")
        for output in outputs:
            reference[output] = digest(root / "reference" / output)
    problems, kills = [], {}
    out = root / "out"
    out.mkdir()
    for number in range(options.count):
        name, arguments, outputs = rng.choice(commands(out))
        state = environment("state")
        # Trainings and results that are kept would be found again, and there would be nothing left to kill.
        if name in ("train", "sensitivity") and rng.random() < 0.5:
            shutil.rmtree(root / "state", ignore_errors=True)
        for path in out.iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path)
        status, _, _, _ = run(options.lathe, arguments, state, after=rng.uniform(0, 1.1 * seconds[name]))
        if status == -signal.SIGKILL:
            kills[name] = kills.get(name, 0) + 1
        for output in outputs:
            if (out / output).exists() and digest(out / output) != reference[output]:
                problems.append(f"{number} {name}: {output} is not what an undisturbed run writes")
        status, text, err, _ = run(options.lathe, arguments, state)
        if status or "warning" in err:
            problems.append(f"{number} {name} afterwards: status {status}, {err.strip()[-300:]}")
        left = sorted(path.name for path in out.iterdir() if path.name not in outputs)
        if left:
            problems.append(f"{number} {name}: left behind: {left}")
        for output in outputs:
            if not (out / output).exists() or digest(out / output) != reference[output]:
                problems.append(f"{number} {name} afterwards: {output} is another")
    # A training killed after an epoch goes on from there.
    resumed = 0
    for number in range(max(options.count // 20, 1)):
        state = environment(f"resume-{number}")
        arguments = ["train", SAMPLES / "lenet-300-100.onnx", "--data", DATA, "--step", "fine-tuning:epochs=4", "-o", out / "r.onnx"]
        _, text, _, _ = run(options.lathe, arguments, state, after=rng.uniform(0.3, 1.0) * seconds["train"])
        finished = max(map(int, re.findall(r"epoch (\d+)", text)), default=0)
        status, text, err, _ = run(options.lathe, [*arguments, "--resume"] if finished else arguments, state)
        again = list(map(int, re.findall(r"epoch (\d+)", text)))
        if status:
            problems.append(f"resuming {number}: status {status}, {err.strip()[-300:]}")
        elif finished and again and again[0] < finished:
            problems.append(f"resuming {number}: epoch {again[0]} again, after {finished} were finished")
        else:
            resumed += 1
    lines = ["| command | killed |", "|---|---:|", *(f"| {name} | {count} |" for name, count in sorted(kills.items())), f"| all | {sum(kills.values())} |"]
    text = "\n".join(lines) + f"\n\n{options.count} runs cut short at random, {resumed} trainings resumed; {len(problems) or 'no'} problems.\n"
    print(text, *problems, sep="\n")
    if options.output:
        pathlib.Path(options.output).write_text("# Kills at random moments\n\n`Tests/Fuzzing/kill.py`\n\n" + text)
    shutil.rmtree(root, ignore_errors=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
