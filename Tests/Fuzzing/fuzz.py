"""Feeds lathe odd files of every kind that it reads, and reports what it does not take well.

fuzz.py --lathe PATH [--seconds N | --count N] [--seed N] [--reader NAME ...] [--corpus DIR] [--keep DIR] [--output FIGURES.md]
fuzz.py --lathe PATH --adopt FOLDER [...]    puts findings that are mended into the corpus

First the corpus is replayed: inputs of mended findings. Then come mutants, each decided by the seed and its number alone. A finding is kept as a
folder of its files with case.json, its command lines. Status 1 if there was one.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import sys
import time
import warnings
import zlib

import minimize
from case import Case
from oracle import DIED, Oracle
from readers import Readers
from runner import Runner

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
# A corpus is to stay small.
ADOPTED_BYTES = 64 << 10


class Findings:
    """Distinct problems, each kept with the first case that showed it."""

    def __init__(self, folder, runner):
        self.folder, self.runner = pathlib.Path(folder), runner
        self.count = {}
        # Mutants of which ONNX Runtime alone dies.
        self.foreign = 0

    def add(self, case, problem, origin):
        if problem.is_foreign:
            self.foreign += 1
            return
        known = (case.reader, problem.kind, problem.key)
        self.count[known] = self.count.get(known, 0) + 1
        if self.count[known] > 1:
            return
        if case.reader == "model" and problem.kind != "hang":
            case = minimize.minimized(case, problem, self.runner)
        number = 1 + max((int(path.name[:3]) for path in self.folder.glob("[0-9]*") if path.name[:3].isdigit()), default=0)
        place = self.folder / f"{number:03}-{case.reader}-{problem.kind.replace(' ', '-')}"
        place.mkdir(parents=True)
        case.save(place, kind=problem.kind, key=problem.key, detail=problem.detail, origin=origin)
        print(f"  {place.name}: {problem.key}", flush=True)


def corpus(folder):
    return [(path.parent.name, Case.load(path.parent)) for path in sorted(pathlib.Path(folder).glob("*/case.json"))]


def adopt(folders, target, runner):
    """Copies mended findings into the corpus, without those that crash ONNX Runtime itself."""
    for folder in map(pathlib.Path, folders):
        case = Case.load(folder)
        problem = runner.problem(case)
        place = runner.prepared(case)
        models = [place / name for name in case.files if name.endswith(".onnx") and "/" not in name]
        if problem:
            why = f"not mended: {problem.kind}, {problem.key}"
        elif case.byte_count > ADOPTED_BYTES:
            why = f"{case.byte_count} bytes are too many"
        elif any(runner.oracle.load(model) == DIED for model in models):
            why = "crashes ONNX Runtime"
        else:
            was = json.loads((folder / "case.json").read_text())
            # Findings of different runs have equal names: the key tells them apart.
            place = pathlib.Path(target, f"{folder.name[4:]}-{zlib.crc32(was['key'].encode()):08x}")
            case.save(place, kind=was["kind"], key=was["key"])
            why = "adopted"
        print(f"{folder.name}: {why}")


def figures(mutants, accepted, findings, replayed, runs, seconds):
    by_reader = collections.defaultdict(collections.Counter)
    for (reader, kind, _), count in findings.count.items():
        by_reader[reader][kind] += 1
    rows = ["| reader | mutants | accepted | distinct findings |", "|---|---:|---:|---|"]
    for reader in sorted(set(mutants) | set(by_reader)):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(by_reader[reader].items())) or "none"
        rows.append(f"| {reader} | {mutants[reader]} | {accepted[reader]} | {kinds} |")
    rows.append(f"| all | {sum(mutants.values())} | {sum(accepted.values())} | {len(findings.count) or 'none'} |")
    return "\n".join(rows) + f"\n\n{runs} runs in {seconds:.0f} s; {replayed} inputs of the corpus replayed; {findings.foreign} mutants that ONNX Runtime alone does not survive.\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True, help="the program")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=float)
    limit.add_argument("--count", type=int, help="mutants; 300 without --seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--reader", nargs="+", default=[])
    parser.add_argument("--corpus", default=HERE / "corpus")
    parser.add_argument("--keep", default=REPOSITORY / ".build/fuzzing", help="folder for findings")
    parser.add_argument("--output", help="file for the figures")
    parser.add_argument("--adopt", nargs="+")
    return parser.parse_args()


def main():
    options = arguments()
    # Odd files are the purpose.
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(20_000)
    if "LATHE_ONNXRUNTIME" not in os.environ:
        library = next(iter(sorted(REPOSITORY.glob(".deps/onnxruntime/libonnxruntime.so.*"))), None)
        if library:
            os.environ["LATHE_ONNXRUNTIME"] = str(library)
    oracle = Oracle()
    runner = Runner(options.lathe, oracle)
    try:
        if options.adopt:
            return adopt(options.adopt, options.corpus, runner)
        return fuzz(options, runner)
    finally:
        runner.close()
        oracle.close()


def fuzz(options, runner):
    start = time.monotonic()
    findings = Findings(options.keep, runner)
    kept = corpus(options.corpus)
    for name, case in kept:
        if problem := runner.problem(case):
            findings.add(case, problem, f"corpus: {name}")
    readers = Readers(runner)
    chosen = options.reader or list(readers.names)
    if unknown := set(chosen) - set(readers.names):
        sys.exit(f"no reader {', '.join(sorted(unknown))}; there are {', '.join(readers.names)}")
    mutants, accepted, number = collections.Counter(), collections.Counter(), options.first
    last = options.first + (options.count or 300) if not options.seconds else float("inf")
    while number < last and (not options.seconds or time.monotonic() - start < options.seconds):
        case = readers.draw(random.Random(f"{options.seed}:{number}"), chosen)
        mutants[case.reader] += 1
        problem = runner.problem(case)
        accepted[case.reader] += runner.accepted
        if problem:
            findings.add(case, problem, f"--seed {options.seed} --first {number} --count 1" + (f" --reader {' '.join(chosen)}" if options.reader else ""))
        number += 1
        if sum(mutants.values()) % 200 == 0:
            print(f"{number} mutants, {runner.runs} runs, {len(findings.count)} findings, {time.monotonic() - start:.0f} s", flush=True)
    text = figures(mutants, accepted, findings, len(kept), runner.runs, time.monotonic() - start)
    print(text)
    if options.output:
        pathlib.Path(options.output).write_text("# Figures of fuzzing\n\n" + text)
    return 1 if findings.count else 0


if __name__ == "__main__":
    sys.exit(main())
