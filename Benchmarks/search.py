"""What `lathe search` finds on the sample models, and when.

    python3 Benchmarks/search.py --lathe .build/release/lathe [--budget 120] [--models lenet-5,lstm] [--output Docs/Results/Search.md]

Each search starts with an empty store. The first column of times is that of the first recipe that meets the goal, the second that of the best; the
change of accuracy stands on the validation samples, by which the recipe was chosen, and on the test split, by which nothing was."""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "lstm", "transformer"]
GOALS = ["file <= 25%, drop <= 0.5", "latency <= 0.8x, drop <= 0.5", "packed <= 15%, drop <= 1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--budget", type=int, default=120)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--goals", default=";".join(GOALS))
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    data = root / "SampleModels/data/fashion-mnist.yaml"
    table = ["| model | goal | found | validation | test | first, s | best, s | tried | recipe |", "|---|---|---|--:|--:|--:|--:|--:|---|"]
    print("\n".join(table), flush=True)
    for model in options.models.split(","):
        for goal in options.goals.split(";"):
            with tempfile.TemporaryDirectory() as folder:
                environment = dict(os.environ, XDG_STATE_HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
                path = str(root / f"SampleModels/{model}.onnx")
                command = [options.lathe, "search", path, "--data", str(data), "--goal", goal, "--budget", str(options.budget), "--json", "--output", folder]
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
                    table.append(f"| {model} | {goal} | nothing | | | | | {result['tried']} | |")
                    print(table[-1], flush=True)
                    continue
                measure = result["objective"]
                ratio = trial["latencyRatio"] if measure == "latency" else trial["values"][measure] / result["baseline"][measure]
                found = f"{measure} {100 * ratio:.1f} %" + ("" if result.get("best") else ", missed")
                test = ""
                if result.get("best"):
                    evaluated = subprocess.run([options.lathe, "evaluate", path, "--data", str(data), "--split", "test", "--recipe", f"{folder}/best.recipe.yaml", "--no-latency", "--quick", "--json"],
                                               check=True, capture_output=True, text=True, env=environment)
                    accuracy = json.loads(evaluated.stdout)["accuracy"]
                    test = f"{100 * (accuracy['value'] - accuracy['baseline']):+.2f} pt"
                first, best = (f"{times[0]:.0f}", f"{times[-1]:.0f}") if times else ("–", "–")
                steps = "; ".join(step.replace("|", "\\|") for step in trial["steps"])
                table.append(f"| {model} | {goal} | {found} | {100 * trial['difference']:+.2f} pt | {test} | {first} | {best} | {result['tried']} | `{steps[:160]}{'…' if len(steps) > 160 else ''}` |")
                print(table[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(["# What search finds", "", f"Printed by `python3 Benchmarks/search.py --budget {options.budget}`. " + " ".join(__doc__.split("\n\n")[2].split()), "", *table]) + "\n")


if __name__ == "__main__":
    main()
