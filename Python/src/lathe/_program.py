"""Where the program is, and how it is run."""
from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, NoReturn, Sequence

#: Called with each line that the program prints while it works.
OnLine = Callable[[str], None]


class LatheError(RuntimeError):
    """The program could not do what was asked: its one line about it.

    Attributes:
        status: the exit status; 2 for bad input, negative for a signal.
        command: what was run.
    """

    def __init__(self, message: str, status: int, command: Sequence[str]):
        super().__init__(message)
        self.status = status
        self.command = list(command)


def program() -> str:
    """The path of the program: ``LATHE_BINARY``, the one in this package, or ``lathe`` on ``PATH``.

    Raises:
        LatheError: where there is none.
    """
    named = os.environ.get("LATHE_BINARY")
    if named:
        return named
    own = Path(__file__).parent / "program" / "bin" / "lathe"
    if own.exists():
        return str(own)
    # The script of this very package would call itself.
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("lathe", path=folder)
        if found and Path(found).resolve() != Path(sys.argv[0]).resolve() and not _is_script(found):
            return found
    raise LatheError("no program: this package was built without it, and there is none on PATH; LATHE_BINARY may name one", 2, [])


def _is_script(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def onnxruntime_library() -> str | None:
    """The library of the ``onnxruntime`` package in this environment; ``None`` where there is no such package.

    The package is found, not imported.
    """
    found = importlib.util.find_spec("onnxruntime")
    for folder in (found.submodule_search_locations or []) if found else []:
        libraries = sorted(Path(folder, "capi").glob("libonnxruntime.so.*"), key=lambda path: path.name)
        if libraries:
            return str(libraries[-1])
    return None


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if not environment.get("LATHE_ONNXRUNTIME"):
        library = onnxruntime_library()
        if library:
            environment["LATHE_ONNXRUNTIME"] = library
    return environment


def run(arguments: Sequence[str | os.PathLike], *, on_output: OnLine | None = None, on_message: OnLine | None = None, interruptible: bool = False) -> tuple[int, str]:
    """Runs the program and waits for it.

    Args:
        arguments: of the command line, without the program.
        on_output: called with each line of standard output as it comes, in this thread.
        on_message: called with each line of standard error as it comes, in another thread.
        interruptible: the program ends well on an interrupt and has a result: then ``KeyboardInterrupt`` is not passed on.

    Returns:
        The status (0, or 1 where a stated requirement is not met) and standard output.

    Raises:
        LatheError: for every other status.
    """
    command = [program(), *(os.fspath(argument) for argument in arguments)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", env=_environment()
    )
    assert process.stdout is not None and process.stderr is not None
    messages: list[str] = []

    def listen() -> None:
        for line in process.stderr:
            messages.append(line.rstrip("\n"))
            if on_message:
                on_message(messages[-1])

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    output: list[str] = []
    interrupted = False

    def read() -> None:
        for line in process.stdout:
            output.append(line)
            if on_output:
                on_output(line.rstrip("\n"))

    try:
        try:
            read()
        except KeyboardInterrupt:
            # In a terminal the program got its own; in a notebook only this process did.
            process.send_signal(signal.SIGINT)
            interrupted = True
            read()
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    listener.join()
    if interrupted and not interruptible:
        raise KeyboardInterrupt
    if status not in (0, 1) or (status == 1 and not output):
        lines = [line for line in messages if line.strip()]
        text = lines[-1] if lines else f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise LatheError(text.removeprefix("lathe: "), status, command)
    return status, "".join(output)


def version() -> str:
    """The program's version, for example ``0.1.0``."""
    return run(["--version"])[1].split()[-1]


def main() -> NoReturn:
    """The command ``lathe``: the program takes this process's place, so that terminal and signals are its own."""
    try:
        path = program()
    except LatheError as error:
        print(f"lathe: {error}", file=sys.stderr)
        sys.exit(2)
    os.execve(path, [path, *sys.argv[1:]], _environment())
