"""Presses random keys in the explorer and looks whether it still answers: monkey.py --lathe PATH [--seed N ...] [--keys N] [--model NAME ...] [--stay]

Runs it in tmux. After the keys an open question or text field is left, help is opened and closed, and the program is asked to quit. It must have shown
help, ended with status 0 and said nothing of a crash. A session that quits on the way counts from there; with --stay no key quits.
"""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
LETTERS = [chr(code) for code in range(33, 127) if chr(code) != ";"]
NAMED = ["Up", "Down", "Left", "Right", "Enter", "Escape", "Tab", "BTab", "Space", "BSpace", "Home", "End", "PPage", "NPage", "DC", "C-l", "C-r", "C-u", "C-w", "F1", "F5", "S-Left", "S-Right"]


class Screen:
    def __init__(self, name, command, columns, rows):
        self.name = name
        subprocess.run(["tmux", "-L", name, "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), command], check=True)

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-L", self.name, *arguments], capture_output=True, text=True)

    def press(self, key):
        literal = ["-l"] if len(key) == 1 else []
        return self.tmux("send-keys", *literal, key).returncode == 0

    def text(self):
        return self.tmux("capture-pane", "-p").stdout

    def waits_for(self, condition, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return True
            time.sleep(0.05)
        return condition()

    def close(self):
        self.tmux("kill-server")


def session(program, model, seed, keys, stays=False):
    """What went wrong; `None` if nothing did."""
    rng = random.Random(seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-monkey-"))
    places = " ".join(f"XDG_{kind}_HOME={folder}/{kind}" for kind in ("STATE", "CONFIG", "CACHE", "DATA"))
    library = next(iter(sorted(REPOSITORY.glob(".deps/onnxruntime/libonnxruntime.so.*"))), "")
    data = REPOSITORY / "SampleModels/data/fashion-mnist.yaml"
    # Nothing that a key can ask for writes outside: exports go to the working folder.
    command = f"cd {folder}; {places} OPENBLAS_NUM_THREADS=1 LATHE_ONNXRUNTIME={os.environ.get('LATHE_ONNXRUNTIME', library)} {program} {model} --data {data} 2>{folder}/errors; echo $? >{folder}/status"
    screen = Screen(f"lathe-monkey-{os.getpid()}-{seed}", command, rng.choice([80, 100, 132, 200]), rng.choice([24, 30, 40, 60]))
    status = folder / "status"
    try:
        if not screen.waits_for(lambda: "lathe" in screen.text(), 20):
            return "did not open"
        pressed = []
        for _ in range(keys):
            key = rng.choice(LETTERS) if rng.random() < 0.6 else rng.choice(NAMED)
            if stays and key in ("q", "y"):
                continue
            pressed.append(key)
            if not screen.press(key) or status.exists():
                break
            time.sleep(rng.choice([0.0, 0.0, 0.01, 0.05] if stays else [0.0, 0.01, 0.05, 0.3]))
        if not status.exists():
            for _ in range(6):
                screen.press("Escape")
                time.sleep(0.15)
            before = screen.text()
            screen.press("?")
            if not screen.waits_for(lambda: status.exists() or screen.text() != before, 10):
                return f"shows nothing new at ? after {' '.join(pressed[-12:])}\n{before}"
            for _ in range(3):
                screen.press("Escape")
                time.sleep(0.15)
            # ^C cancels what runs, then quits.
            until = time.monotonic() + 40
            while not status.exists() and time.monotonic() < until:
                screen.press("C-c")
                time.sleep(0.5)
            if not status.exists():
                return f"does not quit after {' '.join(pressed[-12:])}\n{screen.text()}"
        ended = status.read_text().strip()
        errors = (folder / "errors").read_text()
        if ended not in ("0", "130") or "crashed" in errors:
            return f"ended with status {ended} after {' '.join(pressed[-12:])}: {errors[-1500:]}"
        return None
    finally:
        screen.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lathe", required=True)
    parser.add_argument("--seed", type=int, nargs="+", default=[113])
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--model", nargs="+", default=["resnet-8"])
    parser.add_argument("--stay", action="store_true")
    options = parser.parse_args()
    problems = 0
    for model in options.model:
        for seed in options.seed:
            problem = session(os.path.abspath(options.lathe), REPOSITORY / f"SampleModels/{model}.onnx", seed, options.keys, options.stay)
            print(f"{model}, seed {seed}: {problem or 'answers, and quits'}", flush=True)
            problems += problem is not None
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
