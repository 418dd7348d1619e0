#!/usr/bin/env bash
# numpy.lib.format.read_array cannot read from a pipe through Python's own buffered reader, though it can through any object that has nothing but read().
#
# One would guess: a function that takes "a file object or something with a read() method" reads from sys.stdin.buffer, where the array comes down a pipe from another program, as
# well as from a hand-made object; the documentation's remark that numpy.load needs to seek suggests this very function for streams.
#
# What is so: an io.BufferedReader counts as a real file whatever is behind it, and the data are then read by numpy.fromfile, which asks for the position of the descriptor. A pipe has
# none, and reading ends with an error. The header was read before, so the stream is in the middle of an array. A wrapper with read() alone takes the other way and works; an
# unbuffered io.FileIO fails like the buffered reader.
#
# Seen with numpy 2.4.6, Python 3.11:
#   BufferedReader: OSError: obtaining file position failed
#   FileIO: OSError: [Errno 29] Illegal seek
#   object with read(): [0.0, 1.0, 2.0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6
cd "$folder"
cat > read.py <<'PYTHON'
import io
import sys

import numpy


class Plain:
    def read(self, count):
        return sys.stdin.buffer.read(count)


stream = {"BufferedReader": sys.stdin.buffer, "FileIO": io.FileIO(0, closefd=False), "object with read()": Plain()}[sys.argv[1]]
try:
    found = numpy.lib.format.read_array(stream).tolist()
except OSError as error:
    found = f"{type(error).__name__}: {error}"
print(f"{sys.argv[1]}: {found}")
PYTHON
"$folder/venv/bin/python" -c "import numpy; numpy.save('array.npy', numpy.arange(3, dtype=numpy.float32))"
for reader in BufferedReader FileIO "object with read()"; do
  cat array.npy | "$folder/venv/bin/python" read.py "$reader"
done > seen
cat seen
diff - seen <<'SEEN'
BufferedReader: OSError: obtaining file position failed
FileIO: OSError: [Errno 29] Illegal seek
object with read(): [0.0, 1.0, 2.0]
SEEN
