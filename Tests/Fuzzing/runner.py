"""Runs lathe on a case, within limits, and says what was wrong with how it ended."""

import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

SECONDS = 20
MEMORY = 2 << 30
ERROR_LENGTH = 1000
BACKTRACE = "enable=yes,color=no,interactive=no,threads=all,images=none,limit=40"
# A line of a Swift backtrace: number, attributes, address, symbol, "in" image, "at" place.
FRAME = re.compile(r"^\s*(\d+)\s.*?0x[0-9a-f]+ (.+?) in (\S+)(?: at (\S+?):(\d+)(?::\d+)?)?$")
# Frames that say how something was called, not what.
PLUMBING = ("EngineSupport/Parallel.swift", "Support/Failure.swift", "EngineSupport/SharedCache.swift", "EngineSupport/BoundedCache.swift")


@dataclasses.dataclass(frozen=True)
class Problem:
    kind: str
    # What duplicates share.
    key: str
    detail: str = ""
    # A fault of ONNX Runtime, which dies of the model, or runs on, without lathe as well.
    is_foreign: bool = False


@dataclasses.dataclass
class Ended:
    status: int
    verdict: str
    seconds: float
    output: str
    errors: str


def digest(text):
    """An error without what differs from mutant to mutant: names and numbers."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\S*[/.]\S*|\d+", "·", " ".join(text.split()))
    return re.sub(r"(· ?)+", "· ", text)[:90].strip()


class Runner:
    def __init__(self, lathe, oracle):
        self.lathe, self.oracle = os.path.abspath(lathe), oracle
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="lathe-fuzz-"))
        # Not the case's folder: ONNX Runtime keeps a database of its own there.
        self.home = self.scratch / "home"
        self.home.mkdir()
        self.runs = 0
        # Whether every command of the last case ended with status 0.
        self.accepted = False

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def prepared(self, case):
        """A fresh folder with the files of the case."""
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("state", "config"):
            (folder / name).mkdir(parents=True)
        case.write(folder)
        return folder

    def environment(self, folder, backtrace):
        kept = {name: os.environ[name] for name in ("PATH", "LATHE_ONNXRUNTIME", "LD_LIBRARY_PATH") if name in os.environ}
        return kept | {
            "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb", "OPENBLAS_NUM_THREADS": "1",
            "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(self.home), "XDG_DATA_HOME": str(self.home),
            "SWIFT_BACKTRACE": BACKTRACE if backtrace else "enable=no",
        }

    def run(self, arguments, folder, seconds=SECONDS, backtrace=False):
        """Runs one command to its end, or to the end of what it may take."""
        self.runs += 1
        with tempfile.TemporaryFile(dir=self.scratch) as out, tempfile.TemporaryFile(dir=self.scratch) as err:
            start = time.monotonic()
            process = subprocess.Popen(
                [self.lathe, *arguments], cwd=folder, env=self.environment(folder, backtrace), stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True)
            verdict, pause = None, 0.002
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if not verdict:
                    peak = self.peak_memory(process.pid)
                    verdict = "memory" if peak > MEMORY else "hang" if time.monotonic() - start > seconds else None
                    if verdict:
                        # With backtraces on, the trap shows where the program is.
                        process.send_signal(signal.SIGILL if backtrace else signal.SIGKILL)
                        start = time.monotonic()
                elif time.monotonic() - start > 60:
                    process.kill()
                time.sleep(pause)
                pause = min(pause * 1.3, 0.05)
            # Reaped above; Popen must not wait for it again.
            process.returncode = os.waitstatus_to_exitcode(status)
            if not verdict and usage.ru_maxrss << 10 > MEMORY:
                verdict = "memory"
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read(4 << 20).decode(errors="replace"))
            return Ended(process.returncode, verdict, time.monotonic() - start, *texts)

    @staticmethod
    def peak_memory(pid):
        try:
            with open(f"/proc/{pid}/status") as file:
                return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM")), 0)
        except OSError:
            return 0

    def problem(self, case, explain=True):
        """The first thing wrong with how the program takes a case, or None.

        Without `explain` a crash is told by its signal only, which takes a tenth of the time."""
        folder = self.prepared(case)
        self.accepted = False
        for index, arguments in enumerate(case.commands):
            there = self.files(folder)
            ended = self.run(arguments, folder)
            if ended.verdict or ended.status < 0:
                kind = ended.verdict or signal.Signals(-ended.status).name
                return self.explained(case, index, kind) if explain else Problem(kind, kind)
            problem = self.problem_of_end(ended, there, folder, arguments)
            if problem:
                return problem
            if ended.status != 0:
                return None
        self.accepted = True
        return self.problem_of_files(case, folder)

    @staticmethod
    def files(folder):
        return {path for path in folder.rglob("*") if folder / "state" not in path.parents}

    def problem_of_end(self, ended, there, folder, arguments):
        if ended.status not in (0, 1, 2):
            return Problem("status", f"{arguments[0]}: status {ended.status}", ended.errors)
        if len(ended.errors) > ERROR_LENGTH:
            short = re.sub(r"\S{40,}|step \d+, [a-z0-9-]+: ", "", ended.errors)
            return Problem("long error", digest(short)[:32], f"{len(ended.errors)} characters: {ended.errors[:300]}")
        if any(ord(c) < 32 and c not in "\n\t" or 127 <= ord(c) < 160 for c in ended.errors + ended.output):
            return Problem("control characters", f"{arguments[0]}: {digest(ended.errors or ended.output)}", repr(ended.errors[:300]))
        if "the result cannot be used" in ended.errors:
            return self.refused_result(ended, folder, arguments)
        if ended.status == 2:
            lines = [line for line in ended.errors.splitlines() if not line.startswith("lathe: warning:")]
            if len(lines) != 1:
                return Problem("lines of error", f"{arguments[0]}: {digest(ended.errors)}", f"{len(lines)} lines: {ended.errors[:600]}")
            left = {path.name for path in self.files(folder) - there} - {pathlib.Path(argument).name for argument in arguments}
            if left:
                return Problem("left behind", f"{arguments[0]}: {digest(ended.errors)}", f"{sorted(left)}: {ended.errors}")
        return None

    def refused_result(self, ended, folder, arguments):
        """The program itself found that what it made does not load: its fault where the model did."""
        model = next((folder / argument for argument in arguments if argument.endswith(".onnx")), None)
        if model and model.exists() and self.oracle.load(model) is None:
            return Problem("refused result", f"{self.command(arguments)}: {digest(ended.errors.split('cannot be used:')[-1])}", ended.errors)
        return None

    @staticmethod
    def command(arguments):
        """Command and techniques, without parameters."""
        return " ".join(word for word in arguments if word[0].isalpha() and "." not in word.split(":")[0]).split(":")[0]

    def problem_of_files(self, case, folder):
        command = self.command(case.commands[0])
        for kind, first, second in case.checks:
            first, second = folder / first, folder / second
            if kind == "same" and first.read_bytes() != second.read_bytes():
                return Problem("archive differs", command, f"{first.name} and {second.name} differ")
            if kind in ("loads", "runs") and self.oracle.load(first) is None and (error := self.oracle.load(second)):
                return Problem("unloadable", f"{command}: {digest(error)}", error)
            if kind == "runs" and (difference := self.oracle.difference(first, second, values=False)):
                return Problem("runs otherwise", f"{command}: {digest(difference)}", difference)
            if kind == "agrees" and (difference := self.oracle.difference(first, second)):
                return Problem("computes otherwise", f"{command}: {digest(difference)}", difference)
        return None

    def explained(self, case, index, kind):
        """The same again, with a backtrace."""
        folder = self.prepared(case)
        for arguments in case.commands[:index]:
            self.run(arguments, folder)
        # Twice the time: what only a busy machine made slow is no hang.
        ended = self.run(case.commands[index], folder, seconds=2 * SECONDS, backtrace=True)
        if ended.verdict is None and ended.status >= 0:
            return None if kind == "hang" else Problem(kind, "not repeatable", " ".join(case.commands[index]))
        key, stack = self.top_frames(ended.errors)
        said = [line for line in ended.errors.splitlines() if "Fatal error" in line or "crashed:" in line]
        model = folder / "model.onnx"
        foreign = (kind in ("hang", "memory") or key.startswith("libonnxruntime")) and model.exists() and self.oracle.is_beyond(model, MEMORY)
        return Problem(kind, key, "\n".join(said + stack), foreign)

    @staticmethod
    def top_frames(text):
        """What tells a crash: the library it is in, if not lathe, and the first frames that are lathe's own source."""
        threads = re.split(r"^Thread \d+.*$", text, flags=re.MULTILINE)
        heads = re.findall(r"^Thread \d+.*$", text, flags=re.MULTILINE)
        # The thread that crashed first; of a hang that may be the one that waits.
        order = sorted(range(len(heads)), key=lambda i: "crashed" not in heads[i])
        fallback = "no backtrace"
        for number in order:
            frames = [match.groups() for line in threads[number + 1].splitlines() if (match := FRAME.match(line))]
            own = [f"{place[place.find('Sources/') + 8:]}:{line}" for _, _, _, place, line in frames if place and "Sources/" in place]
            top = next((image for _, symbol, image, _, _ in frames if not image.startswith(("libc.", "libpthread"))), "")
            top = "" if top == "lathe" or top.startswith("libswift") else top + " < "
            chosen = [frame for frame in own if not frame.startswith(PLUMBING) and not any(p in frame for p in PLUMBING)][:2]
            stack = threads[number + 1].strip().splitlines()[:14]
            if chosen:
                return top + " < ".join(chosen), [line[:200] for line in stack]
            if top and fallback == "no backtrace":
                fallback = top.removesuffix(" < ")
        return fallback, text.splitlines()[:20]
