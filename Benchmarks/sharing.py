"""HashedNets against k-means, product quantization and SVD at equal size, on LeNet-300-100, and the archive's codes side by side: writes Docs/Results/Sharing.md.

    python3 Benchmarks/sharing.py [--lathe BINARY]

Every figure is top-1 on the 10,000 validation images, from `lathe evaluate`; sizes are those of packed archives.
"""

import argparse
import json
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = "SampleModels/lenet-300-100.onnx"
DATA = "SampleModels/data/fashion-mnist.yaml"
SHARES = [8, 16, 32, 64]


class Lathe:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.sizes, self.scores = binary, folder, {}, {}

    def run(self, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        return done.stdout

    @staticmethod
    def options(steps):
        return [part for step in steps for part in ("--step", step)]

    def size(self, *steps):
        """Bytes of the archive after some steps."""
        if steps not in self.sizes:
            model, archive = (os.path.join(self.folder, name) for name in ("m.onnx", "m.lathe"))
            self.run("apply", MODEL, *self.options(steps), "--output", model, "--pack", archive)
            self.sizes[steps] = os.path.getsize(archive)
        return self.sizes[steps]

    def codes(self, *steps):
        """The archive by each code: name → (bytes, MB/s decoded on one core)."""
        model, archive = (os.path.join(self.folder, name) for name in ("m.onnx", "m.lathe"))
        if steps:
            self.run("apply", MODEL, *self.options(steps), "--output", model)
        report = json.loads(self.run("pack", model if steps else MODEL, "--output", archive, "--compare", "--json"))
        return {entry["code"]: (entry["bytes"], entry["decodedMegabytesPerSecond"]) for entry in report["codes"]}

    def correct(self, *steps):
        if steps not in self.scores:
            report = json.loads(self.run("evaluate", MODEL, "--data", DATA, "--no-latency", "--json", *self.options(steps)))
            self.scores[steps] = report["accuracy"]["correct"]
        return self.scores[steps]

    def largest(self, budget, steps, low, high, step):
        """The steps of the largest value of a parameter, on its grid, whose archive is within the budget; archives grow with it."""
        count = round((high - low) / step)
        first, last = 0, count
        if self.size(*steps(low)) > budget:
            return None
        while first < last:
            middle = (first + last + 1) // 2
            if self.size(*steps(round(low + middle * step, 6))) <= budget:
                first = middle
            else:
                last = middle - 1
        return steps(round(low + first * step, 6))


def setting(steps):
    """The parameters of the steps that have any."""
    return ", ".join(step.split("@")[0].split(":")[1] for step in steps if ":" in step)


def percent(correct):
    return f"{correct / 100:.2f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lathe", default=os.path.join(ROOT, ".build", "release", "lathe"))
    options = parser.parse_args()
    original = os.path.getsize(os.path.join(ROOT, MODEL))
    with tempfile.TemporaryDirectory() as folder:
        lathe = Lathe(options.lathe, folder)

        def hashed(signs):
            return lambda budget: [
                lathe.largest(budget, lambda r: (f"hashednets:ratio={r:g},signs={signs}",), 0.005, 0.2, 0.005)
            ]

        def clusters(budget):
            return [
                lathe.largest(budget, lambda b: (f"weight-sharing:method={method},bits={b:g}", "range-coding"), 1, 8, 1)
                for method in ("exact", "lloyd")
            ]

        def pruned(budget):
            return [
                lathe.largest(
                    budget,
                    lambda kept: (f"magnitude-pruning:sparsity={1 - kept:g}", f"weight-sharing:bits={bits}", "range-coding"),
                    0.01, 0.5, 0.005)
                for bits in (2, 3, 4)
            ]

        def vectors(budget):
            return [
                lathe.largest(budget, lambda b: (f"product-quantization:dimension={d},bits={b:g}", "range-coding"), 1, 10, 1)
                for d in (2, 4, 8, 16)
            ]

        def factors(budget):
            return [lathe.largest(budget, lambda r: (f"svd:mode=ratio,ratio={r:g}@/ip1/Gemm,/ip2/Gemm",), 0.01, 0.3, 0.005)]

        methods = [
            ("HashedNets", hashed("true")), ("HashedNets without signs", hashed("false")), ("k-means", clusters),
            ("product quantization", vectors), ("SVD", factors), ("magnitude pruning, then k-means", pruned),
        ]
        base = lathe.correct()
        rows = []
        for name, candidates in methods:
            cells = []
            for share in SHARES:
                budget = original / share
                fitting = [steps for steps in candidates(budget) if steps]
                if not fitting:
                    cells.append("–")
                    continue
                best = max(fitting, key=lambda steps: lathe.correct(*steps))
                cells.append(f"{percent(lathe.correct(*best))} ({lathe.size(*best) / 1000:.1f} KB: {setting(best)})")
            rows.append((name, cells))
        coded = [
            (name, lathe.codes(*steps))
            for name, steps in [
                ("as it is", ()), ("k-means, 4 bits", ("weight-sharing:bits=4",)), ("k-means, 1 bit", ("weight-sharing:bits=1",)),
                ("90 % pruned, k-means, 5 bits", ("magnitude-pruning:sparsity=0.9", "weight-sharing:bits=5")),
                ("product quantization", ("product-quantization",)), ("8-bit integers", ("weight-quantization:bits=8",)),
            ]
        ]
    lines = [
        "# What shared weights cost", "",
        f"Written by `python3 Benchmarks/sharing.py`. LeNet-300-100 on Fashion-MNIST, nothing trained; top-1 on the 10,000 validation images, {percent(base)} before. "
        f"Budgets are shares of the ONNX file's {original / 1000:,.1f} KB and hold the whole archive: codebooks, tables and graph. Each cell is the largest setting within its budget; where there "
        "are several ways to spend it, the most accurate one.", "",
        "| | " + " | ".join(f"1/{share} ({original / share / 1000:.1f} KB)" for share in SHARES) + " |",
        "|---|" + "---|" * len(SHARES),
    ]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows]
    lines += [
        "",
        "HashedNets is a way to train: buckets know nothing of the weights that fall into them, and the mean of unrelated weights is near zero. Fitted to a trained "
        "model it keeps 1/k of the weights' variance at 1/k of their number, where clusters, vectors and factors choose what they keep. A value of k-means takes a "
        "bit at least for each weight, or what its entropy leaves of that; – is out of its reach. SVD leaves the last layer, of rank 10, as it is.",
        "",
        "Counted are, of HashedNets, the values and the operators that compute the hash, since no index is stored; of k-means and product quantization the indices, "
        "coded by their frequency, with codebooks and tables; of SVD both factors.",
        "",
        "## Codes side by side",
        "",
        "The archive of the same model with one kind of code only, with the smallest for each tensor, and the ONNX file after gzip; in brackets how many megabytes of tensors one "
        "core decodes in a second, on the machine that wrote this page.",
        "",
        "| | " + " | ".join(coded[0][1]) + " |",
        "|---|" + "--:|" * len(coded[0][1]),
    ]
    lines += [f"| {name} | " + " | ".join(f"{size:,} ({speed:,.0f})" for size, speed in codes.values()) + " |" for name, codes in coded]
    lines.append("")
    with open(os.path.join(ROOT, "Docs", "Results", "Sharing.md"), "w") as file:
        file.write("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
