"""Python's onnxruntime in a process of its own: mutants may crash it.

As a program it answers lines of JSON on standard input; `Oracle` is the other end.
"""

import json
import select
import subprocess
import sys

LIMIT = 30
MEMORY = 8 << 30
DIED = "crashed or hung"


class Oracle:
    def __init__(self):
        self.process = None

    def ask(self, *request):
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            self.process.stdin.write(json.dumps([str(part) for part in request]) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
            answer = self.process.stdout.readline() if ready else ""
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        self.close()
        return DIED

    def load(self, path):
        """None if a session can be made of the model, else why not."""
        return self.ask("load", path)

    def difference(self, first, second, values=True):
        """None if both models give outputs of the same shapes, and values, or the first cannot be run; else how they differ."""
        return self.ask("values" if values else "shapes", first, second)

    def is_beyond(self, path, memory):
        """Whether onnxruntime alone dies of a model, does not end, or takes more than so much memory."""
        if self.ask("values", path, path) == DIED:
            return True
        with open(f"/proc/{self.process.pid}/status") as file:
            peak = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
        self.close()
        return peak > memory

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def serve():
    import resource

    import numpy as np
    import onnxruntime

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # Rounding must not hang on what was fused.
    exact = onnxruntime.SessionOptions()
    exact.log_severity_level = 4
    exact.intra_op_num_threads = 1
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL

    def session(path, options=options):
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def feeds(session):
        rng = np.random.default_rng(1)
        types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
                 "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(bool)": np.bool_}
        made = {}
        for value in session.get_inputs():
            shape = [size if isinstance(size, int) and size >= 0 else 2 for size in value.shape]
            if np.prod(shape, dtype=float) > 1e6:
                raise ValueError("too large to try")
            made[value.name] = (rng.standard_normal(shape) * 2).astype(types[value.type])
        return made

    def run(path, made=None):
        model = session(path, exact)
        made = made or feeds(model)
        names = [value.name for value in model.get_outputs()]
        return dict(zip(names, model.run(names, made))), made

    def compare(first, second, values):
        try:
            before, made = run(first)
            again, _ = run(first, made)
        except Exception:
            return None
        repeats = all(np.array_equal(before[n], again[n], equal_nan=before[n].dtype.kind == "f") for n in before if isinstance(before[n], np.ndarray))
        if not repeats:
            return None
        try:
            after, _ = run(second, made)
        except Exception as error:
            return f"does not run: {error}"
        for name, value in before.items():
            if name not in after:
                return "an output is missing"
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
                continue
            if value.shape != after[name].shape:
                return "an output has another shape"
            # Where not all is finite, the order of operations decides what comes of it.
            if values and np.isfinite(value.astype(float)).all() and not np.allclose(value.astype(float), after[name].astype(float), rtol=1e-3, atol=1e-4, equal_nan=True):
                return "an output has other values"
        return None

    for line in sys.stdin:
        kind, *paths = json.loads(line)
        answer = None
        try:
            if kind == "load":
                session(paths[0])
            else:
                answer = compare(*paths, kind == "values")
        except Exception as error:
            answer = str(error) or type(error).__name__
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
