"""What `lathe search` finds on the sample models, and when.

    python3 Benchmarks/search.py --lathe .build/release/lathe [--budget 120] [--training-budget 300] [--models lenet-5,lstm] [--output Docs/Results/Search.md]

Each search starts with an empty store; the goal of the archive is searched with training. The first column of times is that of the first recipe that meets the goal, the
second that of the best. The change of accuracy stands on the validation samples, by which the recipe was chosen; corrected for the choice among many; and on the test split, by
which nothing was chosen. Sizes are in percent of the original ONNX file, latencies of the original's in turns."""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "lstm", "transformer"]
GOALS = ["file <= 25%, drop <= 0.5", "latency <= 0.6x, drop <= 0.5", "packed <= 10%, drop <= 1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--budget", type=int, default=120)
    parser.add_argument("--training-budget", type=int, default=300)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--goals", default=";".join(GOALS))
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    data = root / "SampleModels/data/fashion-mnist.yaml"
    table = ["| model | goal | found | validation | corrected | test | first, s | best, s | tried | recipe |", "|---|---|---|--:|--:|--:|--:|--:|--:|---|"]
    print("\n".join(table), flush=True)
    for model in options.models.split(","):
        for goal in options.goals.split(";"):
            with tempfile.TemporaryDirectory() as folder:
                environment = dict(os.environ, XDG_STATE_HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
                path = str(root / f"SampleModels/{model}.onnx")
                training = goal.startswith("packed")
                command = [options.lathe, "search", path, "--data", str(data), "--goal", goal, "--json", "--output", folder]
                command += ["--budget", str(options.training_budget), "--training"] if training else ["--budget", str(options.budget)]
                began, times, result = time.monotonic(), [], None
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
                    for line in process.stdout:
                        event = json.loads(line)
                        if event["event"] == "best":
                            times.append(time.monotonic() - began)
                        elif event["event"] == "result":
                            result = event
                trial = result.get("best") or (result["misses"] or [{"trial": None}])[0]["trial"]
                if trial is None:
                    table.append(f"| {model} | {goal} | nothing | | | | | | {result['tried']} | |")
                    print(table[-1], flush=True)
                    continue
                measure = result["objectives"][0]
                original = result["baseline"]["file" if measure == "packed" else measure] if measure != "latency" else None
                ratio = trial["latencyRatio"] if measure == "latency" else trial["values"][measure] / original
                found = f"{measure} {100 * ratio:.1f} %" + ("" if result.get("best") else ", missed")
                corrected = f"{-100 * result['correctedLoss']:+.2f} pt" if result.get("correctedLoss") is not None else ""
                test = f"{100 * result['test']['difference']:+.2f} pt" if result.get("test") else ""
                first, best = (f"{times[0]:.0f}", f"{times[-1]:.0f}") if times else ("–", "–")
                steps = "; ".join(step.replace("|", "\\|") for step in trial["steps"])
                table.append(f"| {model} | {goal} | {found} | {'–' if trial.get('difference') is None else format(100 * trial['difference'], '+.2f') + ' pt'} | {corrected} | {test} | {first} | {best} | {result['tried']} | `{steps[:160]}{'…' if len(steps) > 160 else ''}` |")
                print(table[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(["# What search finds", "", f"Printed by `python3 Benchmarks/search.py --budget {options.budget} --training-budget {options.training_budget}`. " + " ".join(__doc__.split("\n\n")[2].split()), "", *table]) + "\n")


if __name__ == "__main__":
    main()
