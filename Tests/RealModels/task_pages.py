"""Runs the commands in the pages of Docs/Tasks and puts what they print in their place.

task_pages.py [--lathe PROGRAM] [--check] [PAGE…]: without pages all of Docs/Tasks. In blocks marked `console` each line that begins with `$ ` is run, in a
folder of its own that sees Tests, SampleModels and .deps of this repository; what follows is replaced by its output. --check changes nothing and fails where
a page says something else. Lines of the pages' own that a block is to leave out of the output are named by `| grep`, as a reader would.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


def output(command, folder, environment):
    run = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    lines = [line.rstrip() for line in run.stdout.replace(f"{folder}/", "").replace(f"{REPOSITORY}/", "").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return [line for line in lines if line] if len(lines) > 40 else lines


def renewed(text, folder, environment):
    def block(match):
        lines = []
        for line in match.group(1).splitlines():
            if line.startswith("$ "):
                lines += [line, *output(line[2:], folder, environment)]
        return "```console\n" + "\n".join(lines) + "\n```"

    return re.sub(r"```console\n(.*?)\n```", block, text, flags=re.S)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lathe", default=str(REPOSITORY / ".build/release/lathe"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    differ = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in ("Tests", "SampleModels", ".deps"):
            (folder / part).symlink_to(REPOSITORY / part)
        (folder / "bin").mkdir()
        (folder / "bin/lathe").symlink_to(pathlib.Path(options.lathe).resolve())
        environment = os.environ | {"PATH": f"{folder}/bin:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
        for library in sorted((REPOSITORY / ".deps/onnxruntime").glob("libonnxruntime.so.*"))[:1]:
            environment.setdefault("LATHE_ONNXRUNTIME", str(library))
        for page in options.pages or sorted((REPOSITORY / "Docs/Tasks").glob("*.md")):
            before = page.read_text()
            after = renewed(before, folder, environment)
            if after != before:
                differ += 1
                print(f"{page}: {'differs' if options.check else 'renewed'}", flush=True)
                if not options.check:
                    page.write_text(after)
    sys.exit(1 if options.check and differ else 0)


if __name__ == "__main__":
    main()
