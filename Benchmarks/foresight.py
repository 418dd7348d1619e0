"""How often the explorer has the full accuracy on screen when a key is answered: one build beside another, in scripted sessions.

    Benchmarks/foresight.py BEFORE AFTER [--model resnet-8] [--seeds 10] [--keys 60] [--output Docs/Results/Foresight.md]

BEFORE and AFTER are two `lathe` programs. Each session runs in tmux with a state of its own: one technique is switched on, then keys are pressed as people do,
with pauses of 300 ms to 2 s: turns of the parameter (half of them), walks through the techniques and switches (a fifth). A key that changed the recipe counts as
answered if, a tenth of a second after it was sent, the changed screen says that all samples were evaluated: a frame, and what tmux adds. Both builds get the
same keys and pauses. Needs tmux; nothing else should run on the machine.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Seconds after a key when the screen is read.
WITHIN = 0.1


class Terminal:
    def __init__(self, program, model, folder):
        self.name = f"lathe-foresight-{os.getpid()}"
        library = os.environ.get("LATHE_ONNXRUNTIME") or str(next((ROOT / ".deps/onnxruntime").glob("libonnxruntime.so.*")))
        command = (
            f"env XDG_STATE_HOME={folder}/state XDG_CONFIG_HOME={folder}/config XDG_CACHE_HOME={folder}/cache LATHE_ONNXRUNTIME={library} "
            f"{program} {ROOT}/SampleModels/{model}.onnx --data {ROOT}/SampleModels/data/fashion-mnist.yaml --log {folder}/log.jsonl")
        subprocess.run(["tmux", "new-session", "-d", "-s", self.name, "-x", "150", "-y", "46", command], check=True)

    def press(self, *keys):
        subprocess.run(["tmux", "send-keys", "-t", self.name, *keys], check=True)

    def screen(self):
        return subprocess.run(["tmux", "capture-pane", "-p", "-t", self.name], capture_output=True, text=True, check=True).stdout

    def close(self):
        subprocess.run(["tmux", "kill-session", "-t", self.name])


def settled(screen):
    return re.search(r"✓ evaluated [\d,]+\s*$", screen.split("\n", 1)[0]) is not None


def recipe_shown(screen):
    """What of the screen tells one recipe from another: switches, and the parameters with their state."""
    left = [line[:54] for line in screen.split("\n")]
    return "\n".join(line for line in left if "[" in line or "━" in line or "←" in line or "─ on" in line or "─ off" in line).replace("▸", " ")


def is_on(screen):
    return re.search(r"─ on ?[╮┓]", "\n".join(line[:60] for line in screen.split("\n"))) is not None


def session(program, model, seed, count):
    random_ = random.Random(seed)
    tally = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(program, model, folder)
        try:
            deadline = time.monotonic() + 60
            while not settled(terminal.screen()) and time.monotonic() < deadline:
                time.sleep(0.2)
            terminal.press("Space")
            time.sleep(4)
            in_parameters = False
            direction = "Right"
            for _ in range(count):
                kind = random_.choices(["turn", "toggle", "move"], [5, 2, 3])[0]
                pause = random_.uniform(0.3, 2)
                choice = random_.random()
                if kind == "turn":
                    # People go on in one direction for a while.
                    direction = direction if choice < 0.75 else ("Left" if direction == "Right" else "Right")
                if (kind == "turn") != in_parameters:
                    terminal.press("Tab" if kind == "turn" else "BTab")
                    in_parameters = kind == "turn"
                    time.sleep(0.3)
                before = terminal.screen()
                terminal.press({"turn": direction, "toggle": "Space", "move": "Down" if choice < 0.7 else "Up"}[kind])
                time.sleep(WITHIN)
                after = terminal.screen()
                if kind != "move" and recipe_shown(before) != recipe_shown(after) and (kind == "toggle" or is_on(before)):
                    tally[kind] += 1
                    tally[kind + " answered"] += settled(after)
                time.sleep(pause)
        finally:
            terminal.press("q")
            time.sleep(0.5)
            terminal.close()
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--model", default="resnet-8")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--output")
    options = parser.parse_args()
    sums = {"before": collections.Counter(), "after": collections.Counter()}
    for seed in range(options.seeds):
        for name, program in (("before", options.before), ("after", options.after)):
            tally = session(program, options.model, seed, options.keys)
            sums[name] += tally
            print(json.dumps({"seed": seed, "build": name, **tally}), flush=True)

    def cell(tally, kind):
        total = tally[kind]
        return f"{tally[kind + ' answered']} of {total} ({tally[kind + ' answered'] / total:.0%})" if total else "–"

    text = "\n".join([
        "# Answers that stand on screen with the key", "",
        f"Printed by `Benchmarks/foresight.py`: {options.model}, {options.seeds} sessions of {options.keys} keys with pauses of 0.3 to 2 s, the same for both builds. A key counts "
        f"as answered if {WITHIN * 1000:.0f} ms after it was sent the screen shows the changed recipe with all samples evaluated.", "",
        "| keys that change the recipe | build before | this build |", "|---|---:|---:|",
        f"| turns of a parameter | {cell(sums['before'], 'turn')} | {cell(sums['after'], 'turn')} |",
        f"| switches | {cell(sums['before'], 'toggle')} | {cell(sums['after'], 'toggle')} |", ""])
    print(text)
    if options.output:
        pathlib.Path(options.output).write_text(text)


if __name__ == "__main__":
    main()
