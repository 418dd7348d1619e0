"""Time and memory of building and testing one commit beside another, in one run on one machine.

    Benchmarks/build_times.py BEFORE AFTER [--parts build,edit,test] [--output Docs/Results/BuildTimes.md]

Each commit is cloned into a folder of its own and gets what is downloaded (.deps, Swift packages) ready-made. Then, in turns:
build: `make build` from nothing. edit: one line of one file of the pruning family changed, then `swift build -c release` of the product.
test: `make test` from a fresh clone with the packages fetched, and once more from the built tree.
Nothing else should run on the machine.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EDITED = ("Sources/Pruning/MagnitudePruning.swift", "Sources/CompressionEngine/Techniques/Pruning/MagnitudePruning.swift")
MARK = "func rewrite("


class Measured:
    """A command with its wall time, its processor time and the largest sum of resident memory of its processes."""

    def __init__(self, command, folder, log):
        before = os.times()
        start = time.monotonic()
        with open(log, "a") as out:
            out.write(f"\n$ {command}  ({folder})\n")
            out.flush()
            process = subprocess.Popen(command, shell=True, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
            self.peak, done = 0, threading.Event()
            watcher = threading.Thread(target=self._watch, args=(process.pid, done))
            watcher.start()
            self.status = process.wait()
            done.set()
            watcher.join()
        after = os.times()
        self.seconds = time.monotonic() - start
        self.cpu = after.children_user + after.children_system - before.children_user - before.children_system

    def _watch(self, session, done):
        page = os.sysconf("SC_PAGE_SIZE")
        while not done.wait(0.5):
            total = 0
            for entry in os.listdir("/proc"):
                if not entry.isdigit():
                    continue
                try:
                    # Field 6 behind the name in parentheses is the session.
                    if int(open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[3]) == session:
                        total += int(open(f"/proc/{entry}/statm").read().split()[1]) * page
                except (OSError, ValueError, IndexError):
                    continue
            self.peak = max(self.peak, total)


def clone(commit, folder):
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "checkout", "--quiet", commit], cwd=folder, check=True)
    if (ROOT / ".deps").exists():
        shutil.copytree(ROOT / ".deps", folder / ".deps", symlinks=True)
    subprocess.run("scripts/setup.sh runtime && swift package resolve", shell=True, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def edit(folder):
    path = next(folder / name for name in EDITED if (folder / name).exists())
    lines = path.read_text().split("\n")
    at = next(i for i, line in enumerate(lines) if MARK in line)
    lines.insert(at + 1, "        precondition(targets.count >= 0)")
    path.write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--parts", default="build,edit,test")
    parser.add_argument("--output", default=str(ROOT / "Docs/Results/BuildTimes.md"))
    parser.add_argument("--work", help="folder for the clones; a temporary one otherwise")
    options = parser.parse_args()
    parts = options.parts.split(",")
    work = Path(options.work or tempfile.mkdtemp(prefix="lathe-build-"))
    log = work / "log"
    rows = []

    def both(title, prepare, command):
        results = []
        for name, commit in (("before", options.before), ("after", options.after)):
            folder = prepare(name, commit)
            results.append(Measured(command, folder, log))
            print(f"{title}, {name}: {results[-1].seconds:.0f} s, {results[-1].cpu:.0f} s of processor, {results[-1].peak / 2**30:.2f} GiB, status {results[-1].status}", flush=True)
        rows.append((title, *results))

    def fresh(kind):
        def prepare(name, commit):
            folder = work / f"{kind}-{name}"
            clone(commit, folder)
            return folder
        return prepare

    if "build" in parts or "edit" in parts:
        both("`make build` from nothing", fresh("build"), "make build")
    if "edit" in parts:
        def edited(name, _):
            edit(work / f"build-{name}")
            return work / f"build-{name}"
        both("the release build after one line of Pruning was changed", edited, "swift build -c release --product lathe")
    if "test" in parts:
        both("`make test` from a fresh clone", fresh("test"), "make test")
        both("`make test` again", lambda name, _: work / f"test-{name}", "make test")

    def cells(title, before, after):
        ratio = after.seconds / before.seconds
        return (
            f"| {title} | {before.seconds:.0f} s | {after.seconds:.0f} s | {ratio:.2f} | {after.cpu / max(before.cpu, 0.01):.2f} "
            f"| {before.peak / 2**30:.2f} GiB | {after.peak / 2**30:.2f} GiB | {after.peak / max(before.peak, 1):.2f} | {before.status}, {after.status} |")

    def short(commit):
        return subprocess.run(["git", "rev-parse", "--short", commit], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    text = "\n".join([
        "# Building and testing, beside an earlier commit", "",
        f"Written by `Benchmarks/build_times.py {options.before} {options.after} --parts {options.parts}`: {short(options.before)} and {short(options.after)} in turns, "
        f"{os.cpu_count()} cores, nothing else running. Memory is the largest sum of all processes of the command.", "",
        "| | before | after | ratio | ratio of processor time | memory before | after | ratio | status |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|", *[cells(*row) for row in rows], ""])
    print(text)
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    Path(options.output).write_text(text)
    print(f"log: {log}", file=sys.stderr)


if __name__ == "__main__":
    main()
