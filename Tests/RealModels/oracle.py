"""What Python's onnxruntime says of written files. Runs as a process of its own, which a bad file may take down.

oracle.py KEY ORIGINAL FIRST COUNT FILE...: one JSON line per file, compared with the original on calls FIRST ..< COUNT.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

import samples


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def interface(running):
    def side(values):
        return [[value.name, value.type, [str(extent) for extent in value.shape]] for value in values]

    return {"inputs": side(running.get_inputs()), "outputs": side(running.get_outputs())}


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    own, other = np.sqrt((a * a).sum()), np.sqrt((b * b).sum())
    if own == 0 and other == 0:
        return 1.0
    value = (a * b).sum() / (own * other) if own * other > 0 else 0.0
    return float(value) if np.isfinite(value) else 0.0


def distance(outputs, expected):
    """Of all calls together: the root of the mean squared difference against that of the original's values."""
    own, theirs = (np.concatenate([np.asarray(values, np.float64).ravel() for values in side]) for side in (outputs, expected))
    scale = np.sqrt((theirs * theirs).sum())
    value = np.sqrt(((own - theirs) ** 2).sum()) / scale if scale > 0 else 0.0
    return float(value) if np.isfinite(value) else None


def is_valid(path):
    try:
        onnx.checker.check_model(path)
        return True
    except Exception:
        return False


def main(key, original, first, count, files):
    row = next(row for row in samples.models() if row["key"] == key)
    reference = session(original)
    types = {value.name: value.type for value in reference.get_inputs()}
    calls = [samples.call(row, types, number) for number in range(first, count)]
    expected = [reference.run(None, feeds) for feeds in calls]
    other = samples.call(row, types, 999, row["other_shapes"]) if row["other_shapes"] else None
    expected_other = reference.run(None, other) if other else None
    # lathe scores the first floating-point output.
    scored = next((i for i, o in enumerate(reference.get_outputs()) if o.type in ("tensor(float)", "tensor(double)", "tensor(float16)")), 0)
    declared, valid = interface(reference), is_valid(original)
    for file in files:
        result = {"file": file}
        try:
            running = session(file)
            result["interface"] = interface(running) == declared
            if not result["interface"]:
                result["difference"] = [list(pair) for side in declared for pair in zip(declared[side], interface(running)[side]) if pair[0] != pair[1]]
            result["valid"] = is_valid(file) or not valid
            outputs = [running.run(None, feeds) for feeds in calls]
            result["outputs"] = int(expected[0][scored].size)
            result["shapes"] = all(a.shape == b.shape for own, theirs in zip(outputs, expected) for a, b in zip(own, theirs))
            if result["shapes"]:
                result["cosine"] = float(np.mean([np.float32(cosine(own[scored], theirs[scored])) for own, theirs in zip(outputs, expected)]))
                result["distance"] = distance([own[scored] for own in outputs], [theirs[scored] for theirs in expected])
            if other:
                at_other = running.run(None, other)
                result["other_shapes"] = all(a.shape == b.shape for a, b in zip(at_other, expected_other))
                if result["other_shapes"]:
                    result["other_cosine"] = cosine(at_other[scored], expected_other[scored])
        except Exception as error:
            result["error"] = " ".join(str(error).split())[:300]
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
