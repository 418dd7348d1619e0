#!/usr/bin/env bash
# Builds the product and the tests once, optimized, and runs everything. Each target is also built alone, so that a
# missing dependency cannot hide behind another target's.
set -euo pipefail
cd "$(dirname "$0")/.."
export LATHE_ONNXRUNTIME="${LATHE_ONNXRUNTIME:-$PWD/$(ls .deps/onnxruntime/libonnxruntime.so.* | head -1)}"
export LATHE_PYTHON="${LATHE_PYTHON:-$PWD/.deps/venv/bin/python}"
# -O: the numerics are too slow to test without; debug keeps @testable imports and assertions.
for target in ModelGraph OnnxRuntime Differentiation CompressionEngine TerminalCells TerminalCurses Explorer lathe; do
    echo "building $target"
    swift build --no-color-diagnostics --target "$target" -Xswiftc -O
done
swift build --no-color-diagnostics --build-tests -Xswiftc -O
# Tests on models from the field, which must be fetched first (make real-models), run with LATHE_TEST_ALL=1, which also
# widens the technique matrix to all images and all choices. The limit ends a run that hangs.
skip=()
[ -n "${LATHE_TEST_ALL:-}" ] || skip=(--skip PruningReal --skip RealModel)
timeout --kill-after=10 2400 swift test --no-color-diagnostics --skip-build -Xswiftc -O "${skip[@]}" "$@"
