"""Compression trade-offs of ONNX models: `lathe`'s commands as calls.

Each call runs the program in a process of its own and returns what it prints with ``--json``: plain dictionaries, whose key ``schema``
names the version. :func:`frame` makes a table of it where pandas is installed.
"""
from ._calls import (
    apply,
    evaluate,
    frame,
    inspect,
    met,
    pack,
    presets,
    search,
    sensitivity,
    techniques,
    train,
    unpack,
)
from ._program import LatheError, onnxruntime_library, program, run, version

__all__ = [
    "LatheError",
    "apply",
    "evaluate",
    "frame",
    "inspect",
    "met",
    "onnxruntime_library",
    "pack",
    "presets",
    "program",
    "run",
    "search",
    "sensitivity",
    "techniques",
    "train",
    "unpack",
    "version",
]
