"""What leaving zeros out of the ONNX file is worth, and what it costs: writes Docs/Results/SparseStorage.md.

    .deps/venv/bin/python Benchmarks/sparse_storage.py [--lathe PROGRAM] [--output FILE] [--model NAME,...]

The sample models are pruned by magnitude to 70, 90 and 95 % zeros, without training, and written dense and by `sparse-storage`. Loading and running are timed
in Python's onnxruntime, the two files in turns in one process, one thread; outputs are compared bit by bit on 64 random inputs. Needs a quiet machine; five minutes.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ["lenet-300-100", "lenet-5", "resnet-8", "ds-cnn", "transformer", "lstm"]
SPARSITIES = [0.7, 0.9, 0.95]
# What is asked of a float32 file, by share of zeros.
WANTED = {0.7: 0.40, 0.9: 0.14, 0.95: 0.08}
LOAD, LATENCY, ARCHIVE = 1.5, 1.03, 1.35


class Bench:
    def __init__(self, lathe, folder):
        self.lathe, self.folder, self.count = lathe, folder, 0

    def apply(self, model, *steps, archive=False):
        """The file that some steps give, and the archive's path."""
        self.count += 1
        output, packed = (os.path.join(self.folder, f"{self.count}.{ending}") for ending in ("onnx", "lathe"))
        arguments = [self.lathe, "apply", model, "--output", output, *[part for step in steps for part in ("--step", step)]]
        done = subprocess.run([str(part) for part in arguments + (["--pack", packed] if archive else [])], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        return output, packed


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(run, seed):
    rng = np.random.default_rng(seed)
    return {i.name: rng.standard_normal([d if isinstance(d, int) else 1 for d in i.shape]).astype(np.float32) for i in run.get_inputs()}


def loading(paths, rounds=60):
    """Seconds to load each file, median of turns."""
    times = [[] for _ in paths]
    for _ in range(rounds):
        for place, path in enumerate(paths):
            began = time.perf_counter()
            loaded = session(path)
            times[place].append(time.perf_counter() - began)
            del loaded
    return [statistics.median(found) for found in times]


def latency(paths, rounds=60):
    """The second file's time over the first one's, median over turns of the ratio."""
    runs = [session(path) for path in paths]
    inputs = feeds(runs[0], 1)
    once = time.perf_counter()
    for run in runs:
        run.run(None, inputs)
    repeats = max(3, int(0.004 / max(time.perf_counter() - once, 1e-6)))
    ratios = []
    for turn in range(rounds):
        took = [0.0, 0.0]
        for place in ((0, 1) if turn % 2 else (1, 0)):
            began = time.perf_counter()
            for _ in range(repeats):
                runs[place].run(None, inputs)
            took[place] = time.perf_counter() - began
        ratios.append(took[1] / took[0])
    return statistics.median(ratios)


def equal(paths):
    runs = [session(path) for path in paths]
    return all(a.tobytes() == b.tobytes() for seed in range(64) for a, b in zip(*(run.run(None, feeds(runs[0], seed)) for run in runs)))


def weight_bytes(path):
    """Bytes of the initializers of at least two dimensions."""
    return sum(len(t.raw_data) for t in onnx.load(path).graph.initializer if len(t.dims) > 1)


def deep_compression(bench, mnist):
    """LeNet-5 trained on MNIST and compressed by the preset, as in Docs/Results/DeepCompression.md."""
    images = f"images: {mnist}/train-images-idx3-ubyte.gz, labels: {mnist}/train-labels-idx1-ubyte.gz"
    data = os.path.join(bench.folder, "mnist.yaml")
    pathlib.Path(data).write_text(f"""name: MNIST
format: idx
metric: top1
preprocessing: {{scale: 0.00392156862745098, mean: [0.1307], std: [0.3081], shape: [1, 28, 28]}}
splits:
  train: {{{images}, range: [0, 54000]}}
  calibration: {{{images}, range: [54000, 55000]}}
  validation: {{{images}, range: [55000, 60000]}}
""")
    dense, file, packed = (os.path.join(bench.folder, name) for name in ("mnist.onnx", "compressed.onnx", "compressed.lathe"))
    commands = [
        ["train", "SampleModels/lenet-5.onnx", "--data", data, "--initialize", "--epochs", "12", "--learning-rate", "0.002", "--set", "schedule=one-cycle", "--output", dense],
        ["apply", dense, "--data", data, "--recipe", "preset:deep-compression-retrained", "--output", file, "--pack", packed],
    ]
    for command in commands:
        done = subprocess.run([str(bench.lathe), *command], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
    sizes = os.path.getsize(file), os.path.getsize(packed)
    return [f"| MNIST, preset deep-compression-retrained | 8% | 5 | {sizes[0]:,} | {sizes[1]:,} | {mark(sizes[0] / sizes[1], ARCHIVE, f'{sizes[0] / sizes[1]:.3f}')} |"]


def mark(value, limit, text):
    return text if value <= limit else f"**{text}**"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lathe", default=ROOT / ".build/release/lathe", type=lambda path: pathlib.Path(path).absolute())
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "Docs/Results/SparseStorage.md")
    parser.add_argument("--mnist", help="folder with MNIST's IDX files: trains Deep Compression's LeNet-5 as well, which takes a quarter of an hour")
    parser.add_argument("--model", type=lambda text: text.split(","), default=MODELS)
    options = parser.parse_args()
    rows, coded, misses = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.lathe, folder)
        for name in options.model:
            model = f"SampleModels/{name}.onnx"
            for sparsity in SPARSITIES:
                pruning = f"magnitude-pruning:sparsity={sparsity}"
                dense, _ = bench.apply(model, pruning)
                sparse, _ = bench.apply(model, pruning, "sparse-storage")
                indexed, _ = bench.apply(model, pruning, "sparse-storage:form=indices")
                size = os.path.getsize(dense)
                ratio, other = os.path.getsize(sparse) / size, os.path.getsize(indexed) / size
                # What no form of weights can leave out.
                rest = (size - weight_bytes(dense)) / size
                loads = loading([dense, sparse, indexed])
                load, load_indexed = loads[1] / loads[0], loads[2] / loads[0]
                time_ratio, same = latency([dense, sparse]), equal([dense, sparse]) and equal([dense, indexed])
                rows.append(
                    f"| {name} | {sparsity:.0%} | {size:,} | {mark(ratio, WANTED[sparsity], f'{ratio:.3f}')} | {rest:.3f} | {other:.3f} | {1000 * loads[0]:.2f} ms | "
                    f"{mark(load, LOAD, f'{load:.2f}')} | {load_indexed:.2f} | {mark(time_ratio, LATENCY, f'{time_ratio:.3f}')} | {'yes' if same else '**no**'} |")
                for what, value, limit in (("file", ratio, WANTED[sparsity]), ("loading", load, LOAD), ("latency", time_ratio, LATENCY)):
                    if value > limit:
                        misses.append(f"{name}, {sparsity:.0%} zeros: {what} {value:.3f} where {limit} is asked")
                print(rows[-1], flush=True)
                cells = []
                for others in (["fp16"], ["weight-quantization:bits=8"], ["weight-quantization:bits=4"], ["weight-sharing:bits=4"]):
                    plain, _ = bench.apply(model, pruning, *others)
                    path, packed = bench.apply(model, pruning, *others, "sparse-storage", archive=True)
                    if not equal([plain, path]):
                        misses.append(f"{name}, {sparsity:.0%} zeros, {others[0]}: outputs differ")
                    cells.append(f"{os.path.getsize(path) / size:.3f} (dense {os.path.getsize(plain) / size:.3f}, archive {os.path.getsize(packed) / size:.3f})")
                coded.append(f"| {name} | {sparsity:.0%} | " + " | ".join(cells) + " |")
        lenet = deep_compression(bench, options.mnist) if options.mnist else []
        for sparsity, bits in ((0.92, 5), (0.92, 4), (0.94, 4)):
            steps = [f"magnitude-pruning:sparsity={sparsity}", f"weight-sharing:bits={bits},method=lloyd", "sparse-storage"]
            file, packed = bench.apply("SampleModels/lenet-5.onnx", *steps, "huffman", archive=True)
            sizes = os.path.getsize(file), os.path.getsize(packed)
            lenet.append(f"| sample model, not trained on | {1 - sparsity:.0%} | {bits} | {sizes[0]:,} | {sizes[1]:,} | {mark(sizes[0] / sizes[1], ARCHIVE, f'{sizes[0] / sizes[1]:.3f}')} |")
    lines = [
        "# Zeros left out of the ONNX file", "",
        "Written by `Benchmarks/sparse_storage.py`: sample models pruned by magnitude (one threshold, nothing trained), written dense and behind the step "
        f"[sparse-storage](../Techniques/sparse-storage.md), in Python's onnxruntime {ort.__version__}, one thread, files in turns. Ratios are to the dense file. "
        "“Rest” is the share of the dense file that is no weight: graph, biases, normalization, which no form of storing weights makes smaller. “Indices” is the form "
        "`sparse_initializer`. “Equal”: outputs on 64 random inputs are the same to the bit in all three files.", "",
        f"Asked: at most {', '.join(f'{limit:.2f} at {sparsity:.0%} zeros' for sparsity, limit in WANTED.items())}; loading at most {LOAD} ×, latency at most {LATENCY} ×. What misses is bold.", "",
        "| model | zeros | dense, bytes | file | rest | file, indices | dense loads in | loading | loading, indices | latency | equal |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|", *rows, "",
        "With fewer bits, as shares of the dense float32 file; in parentheses the same steps without `sparse-storage`, and the packed archive.", "",
        "| model | zeros | float16 | 8 bits | 4 bits | 16 shared values |", "|---|--:|--:|--:|--:|--:|", *coded, "",
        f"Deep Compression's LeNet-5 as ONNX file beside its archive with Huffman codes (at most {ARCHIVE} × asked):", "",
        "| LeNet-5 | kept | bits | ONNX file | archive | ratio |", "|---|--:|--:|--:|--:|--:|", *lenet, "",
        "What misses:" if misses else "Nothing misses what is asked.", *([""] + [f"- {miss}" for miss in misses] if misses else []),
    ]
    options.output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-14 - len(misses):]))


if __name__ == "__main__":
    main()
