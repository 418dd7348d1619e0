"""How long scoring takes beside a bare loop over ONNX Runtime: a recurrent model over sequences, in both its forms, and a detector over images.

    python3 Benchmarks/scoring.py --lathe .build/release/lathe [--models .deps/real-models] [--output Docs/Results/Scoring.md]

`lathe evaluate` without a recipe runs the model over the samples once, when the original's scores are already known. Its whole time counts, less that of
`lathe inspect`, which opens and counts the same model. The loop holds all inputs ready as arrays, reads and decodes no file, computes no metric, and runs
one sample after the other in one session on as many threads as ONNX Runtime takes by itself; for the recurrent model a second loop takes all sequences in one batch, which is as fast as
Python gets. Both are run in turns; the ratio is of medians."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Tests/RealModels"))
import labeled_sets  # noqa: E402


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def steps(run, name, inputs, rows):
    """State carried over, `rows` sequences at a time."""
    for start in range(0, len(inputs), rows):
        part = inputs[start : start + rows]
        state = np.zeros((2, len(part), 128), np.float32)
        for step in range(part.shape[1]):
            _, state = run.run(["output", "stateN"], {"input": np.ascontiguousarray(part[:, step]), "state": state, "sr": np.array(16000, np.int64)})


def cases(models):
    yield "silero_vad_16k_op15", labeled_sets.voice, {"one by one": lambda run, arrays: steps(run, "", arrays["input"], 1),
                                                      "in one batch": lambda run, arrays: steps(run, "", arrays["input"], len(arrays["input"]))}

    def whole(run, arrays):
        names = {value.name: value.shape for value in run.get_inputs()}
        zeros = {name: np.zeros([extent if isinstance(extent, int) else 1 for extent in shape], np.float32) for name, shape in names.items() if name in "hc"}
        for row in arrays["input"]:
            run.run(None, {"input": row, **zeros})
    yield "silero_vad_16k_sequence", labeled_sets.voice_sequence, {"one by one": whole}

    def boxes(run, arrays):
        name = run.get_inputs()[0].name
        for image in arrays["images"]:
            run.run(None, {name: image[None]})
    yield "ddddocr_det_yolox", lambda key: labeled_sets.DetectionSet("", labeled_sets.detection_scenes(520), {"kind": "map50", "layout": "yolox"}, 20), {"one by one": boxes}


def seconds(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--models", type=pathlib.Path, default=HERE.parent / ".deps/real-models")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    table = ["| model | samples | lathe | loop | lathe / loop |", "|---|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        environment = dict(os.environ, XDG_STATE_HOME=str(temporary / "state"), XDG_DATA_HOME=str(temporary / "state"), XDG_CACHE_HOME=str(temporary / "state"))
        for key, make, loops in cases(options.models):
            data = make(key)
            declaration = data.write(temporary / key, key)
            model = options.models / f"{key}.onnx"
            arrays = {name: array[data.calibration:] for name, array in data.arrays.items()}

            def evaluate(*more):
                command = [options.lathe, "evaluate", str(model), "--data", str(declaration), "--no-latency", "--quick", "--json", *more]
                return json.loads(subprocess.run(command, check=True, capture_output=True, env=environment, text=True).stdout)

            count = evaluate()["accuracy"]["samples"]
            assert count == data.count - data.calibration, count
            runs = {name: [session(model, 0), loop, []] for name, loop in loops.items()}
            own, opening = [], []
            for _ in range(options.turns):
                opening.append(seconds(lambda: subprocess.run([options.lathe, "inspect", str(model)], check=True, capture_output=True, env=environment)))
                own.append(seconds(evaluate))
                for run, loop, times in runs.values():
                    times.append(seconds(lambda: loop(run, arrays)))
            mine = statistics.median(own) - statistics.median(opening)
            for name, (_, _, times) in runs.items():
                loop = statistics.median(times)
                table.append(f"| {key}, {name} | {count} | {mine:.2f} s | {loop:.2f} s | {mine / loop:.2f} |")
                print(table[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(["# Scoring beside a bare loop", "", "Printed by `python3 Benchmarks/scoring.py`. " + " ".join(__doc__.split("\n\n")[2].split()), "", *table]) + "\n")


if __name__ == "__main__":
    main()
