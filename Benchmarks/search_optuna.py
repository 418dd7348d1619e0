"""`lathe search` beside Optuna: two objectives (ONNX file, loss of accuracy) on the sample models, the same wall time, the same steps, the same machine.

    PYTHON_WITH_OPTUNA Benchmarks/search_optuna.py --lathe .build/release/lathe [--budget 120] [--seeds 3] [--models lenet-5,lstm] [--output Docs/Results/SearchOptuna.md]

Optuna drives `lathe evaluate --step ...` as a person's script would: a trial is a command. Baseline scores are kept between the commands, as they are for a person. Its space
holds the techniques that need no training with their main parameters. Each runs twice for each seed, with an empty store. First: seconds to the first model
whose file has at most 25 % of the bytes at a loss of at most 0.5 point on the validation samples, which both are told (Optuna as constraints); it ends there. Hypervolume: of the front over
the two objectives after the whole time, without limits; a share of the rectangle from nothing to the original file and 10 points of loss."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import optuna

MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "lstm", "transformer"]
MOST = 10.0  # points of loss, the corner of the hypervolume


def hypervolume(points):
    """Share of the unit square that pairs (file ratio, points lost / MOST) dominate."""
    front, area, ceiling = sorted((max(x, 0), min(max(y / MOST, 0), 1)) for x, y in points if x < 1 and y < MOST), 0.0, 1.0
    for x, y in front:
        if y < ceiling:
            area += (1 - x) * (ceiling - y)
            ceiling = y
    return area


def steps(trial):
    chosen = []
    prune = trial.suggest_categorical("prune", ["none", "magnitude-pruning", "sparsegpt", "structured-pruning"])
    if prune in ("magnitude-pruning", "sparsegpt"):
        chosen.append(f"{prune}:sparsity={trial.suggest_float('sparsity', 0.05, 0.95):.3f}")
    elif prune == "structured-pruning":
        chosen.append(f"{prune}:ratio={trial.suggest_float('pruned', 0.05, 0.7):.3f}")
    if trial.suggest_categorical("factor", ["none", "activation-aware-svd"]) != "none":
        chosen.append(f"activation-aware-svd:ratio={trial.suggest_float('kept', 0.2, 0.95):.3f}")
    last = trial.suggest_categorical("quantize", ["none", "weight-quantization", "gptq", "static-int8", "dynamic-int8", "fp16", "weight-sharing"])
    if last in ("weight-quantization", "gptq"):
        chosen.append(f"{last}:bits={trial.suggest_int('bits', 2, 8)},granularity={trial.suggest_categorical('granularity', ['tensor', 'channel', 'group'])}")
    elif last == "weight-sharing":
        chosen.append(f"weight-sharing:bits={trial.suggest_int('codebook', 2, 8)}")
    elif last != "none":
        chosen.append(last)
    if chosen and trial.suggest_categorical("correct", [False, True]):
        chosen.append("bias-correction")
    return chosen


def is_inside(ratio, lost):
    return ratio <= 0.25 and lost <= 0.5 + 1e-9


def optuna_run(lathe, model, data, sampler, seed, budget, first):
    """Times and values of its trials. first: with the limits as constraints, until they hold."""
    kind = optuna.samplers.NSGAIISampler if sampler == "NSGA-II" else type(optuna.create_study(directions=["minimize", "minimize"]).sampler)
    constraints = {"constraints_func": lambda trial: trial.user_attrs.get("limits", (1.0, 1.0))} if first else {}
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=kind(seed=seed, **constraints))
    found, began = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_STATE_HOME=folder, XDG_CACHE_HOME=folder)

        def objective(trial):
            command = [lathe, "evaluate", model, "--data", data, "--no-latency", "--quick", "--json"]
            for step in steps(trial):
                command += ["--step", step]
            left = budget - (time.monotonic() - began)
            if left <= 0:
                study.stop()
                raise optuna.TrialPruned()
            try:
                result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=left)
            except subprocess.TimeoutExpired:
                study.stop()
                raise optuna.TrialPruned()
            if result.returncode != 0:
                raise optuna.TrialPruned()
            document = json.loads(result.stdout)
            ratio = document["figures"]["candidate"]["sizes"]["serialized"] / document["figures"]["baseline"]["sizes"]["serialized"]
            lost = 100 * (document["accuracy"]["baseline"] - document["accuracy"]["value"])
            found.append((time.monotonic() - began, ratio, lost))
            trial.set_user_attr("limits", (ratio - 0.25, (lost - 0.5) / 10))
            if first and is_inside(ratio, lost):
                study.stop()
            return ratio, lost

        study.optimize(objective, timeout=budget)
    return found, type(study.sampler).__name__, len(study.trials)


def lathe_first(lathe, model, data, seed, budget):
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_STATE_HOME=folder, XDG_CACHE_HOME=folder)
        command = [lathe, "search", model, "--data", data, "--goal", "file <= 25%, drop <= 0.5", "--budget", f"{budget}s", "--seed", str(seed), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            for line in process.stdout:
                if json.loads(line)["event"] == "best":
                    moment = time.monotonic() - began
                    process.kill()
                    return moment
    return None


def lathe_run(lathe, model, data, seed, budget):
    found, began, size, last = [], time.monotonic(), os.path.getsize(model), None
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_STATE_HOME=folder, XDG_CACHE_HOME=folder)
        command = [lathe, "search", model, "--data", data, "--minimize", "file,drop", "--budget", f"{budget}s", "--seed", str(seed), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "tried":
                    trial = event["trial"]
                    # One that was cut short has a loss of part of the samples.
                    if not trial["dropped"]:
                        found.append((time.monotonic() - began, trial["values"]["file"] / size, 100 * trial["values"]["drop"]))
                elif event["event"] == "result":
                    last = event
    return found, last["tried"]


def area_of(found, budget):
    return hypervolume([(ratio, lost) for moment, ratio, lost in found if moment <= budget + 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--budget", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    root = pathlib.Path(__file__).resolve().parent.parent
    data = str(root / "SampleModels/data/fashion-mnist.yaml")
    table = ["| model | who | first, s | hypervolume | trials |", "|---|---|--:|--:|--:|"]
    print("\n".join(table), flush=True)

    def show(times):
        return "/".join("–" if moment is None else f"{moment:.1f}" for moment in times)

    for name in options.models.split(","):
        model = str(root / f"SampleModels/{name}.onnx")
        for who in ["default", "NSGA-II", "lathe"]:
            times, areas, counts, label = [], [], [], "lathe search"
            for seed in range(options.seeds):
                if who == "lathe":
                    times.append(lathe_first(options.lathe, model, data, seed, options.budget))
                    found, count = lathe_run(options.lathe, model, data, seed, options.budget)
                else:
                    found, _, _ = optuna_run(options.lathe, model, data, who, seed, options.budget, first=True)
                    times.append(min((moment for moment, ratio, lost in found if is_inside(ratio, lost)), default=None))
                    found, sampler, count = optuna_run(options.lathe, model, data, who, seed, options.budget, first=False)
                    label = f"Optuna, {sampler}" + (" (its default)" if who == "default" else "")
                areas.append(area_of(found, options.budget))
                counts.append(count)
            table.append(f"| {name} | {label} | {show(times)} | {statistics.mean(areas):.3f} ({min(areas):.3f} to {max(areas):.3f}) | {statistics.mean(counts):.0f} |")
            print(table[-1], flush=True)
    if options.output:
        text = ["# Search beside Optuna", "", f"Printed by `Benchmarks/search_optuna.py --budget {options.budget} --seeds {options.seeds} --models {options.models}`; Optuna {optuna.__version__}. "
                + " ".join(__doc__.split("\n\n", 2)[2].split()), "", *table]
        options.output.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
