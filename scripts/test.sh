#!/usr/bin/env bash
# Builds the product and the tests once, optimised, and runs everything. Each target is also built alone, so that a
# missing dependency cannot hide behind another target's.
set -euo pipefail
cd "$(dirname "$0")/.."
export LATHE_ONNXRUNTIME="${LATHE_ONNXRUNTIME:-$PWD/$(ls .deps/onnxruntime/libonnxruntime.so.* | head -1)}"
export LATHE_PYTHON="${LATHE_PYTHON:-$PWD/.deps/venv/bin/python}"
# -O: the numerics are too slow to test without; debug keeps @testable imports and assertions.
for target in ModelGraph OnnxRuntime CompressionEngine TerminalCells TerminalCurses Explorer lathe; do
    echo "building $target"
    swift build --target "$target" -Xswiftc -O
done
swift build --build-tests -Xswiftc -O
swift test --skip-build -Xswiftc -O "$@"
