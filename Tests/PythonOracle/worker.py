"""Runs scripts for tests, one after another, so that numpy, onnx and onnxruntime are imported once and not for each.

Standard input is a socket. A request is eight bytes, its length (little-endian), and that much JSON: {"script", "arguments"}. The answer
has the same form: {"output", "error"}. Whatever else writes to standard output or error ends up in the log that the tests' process keeps.
"""

import contextlib
import gc
import io
import json
import os
import struct
import sys
import traceback

import numpy
import onnx  # noqa: F401
import onnxruntime


def single_threaded(start):
    """Sessions run on the caller's thread unless a script asks for more: the tests keep all cores busy as it is."""

    def started(self, path, sess_options=None, *rest, **named):
        options = sess_options or onnxruntime.SessionOptions()
        if options.intra_op_num_threads == 0:
            options.intra_op_num_threads = 1
        start(self, path, options, *rest, **named)

    return started


HOME = os.getcwd()


def run(script, arguments):
    output, error = io.StringIO(), None
    sys.argv = ["-c"] + arguments
    names = {"__name__": "__main__", "sys": sys, "np": numpy, "args": arguments}
    try:
        with contextlib.redirect_stdout(output):
            exec(compile(script, "script", "exec"), names)
    except SystemExit as exit:
        if exit.code not in (None, 0):
            error = f"exit {exit.code}"
    except BaseException:
        error = traceback.format_exc()
    os.chdir(HOME)
    names.clear()
    gc.collect()
    return {"output": output.getvalue(), "error": error}


def received(connection, count):
    data = bytearray()
    while len(data) < count:
        part = os.read(connection, count - len(data))
        if not part:
            sys.exit(0)
        data += part
    return bytes(data)


connection = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
onnxruntime.InferenceSession.__init__ = single_threaded(onnxruntime.InferenceSession.__init__)
gc.freeze()
while True:
    (length,) = struct.unpack("<Q", received(connection, 8))
    request = json.loads(received(connection, length))
    answer = json.dumps(run(request["script"], request["arguments"])).encode()
    sys.stderr.flush()
    answer = memoryview(struct.pack("<Q", len(answer)) + answer)
    while answer:
        answer = answer[os.write(connection, answer):]
