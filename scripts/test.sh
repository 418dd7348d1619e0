#!/usr/bin/env bash
# Builds the product and the tests once, optimized, and runs the tests.
#
#   scripts/test.sh                    everything
#   scripts/test.sh --quick            what one runs while working: without the end-to-end tests, without long trainings, the
#                                      technique matrix on one model
#   scripts/test.sh --filter Pruning   what `swift test` is told
#
# Tests on models from the field, which must be fetched first (make real-models), run with LATHE_TEST_ALL=1, which also
# widens the technique matrix to all images and all choices.
set -euo pipefail
cd "$(dirname "$0")/.."
export LATHE_ONNXRUNTIME="${LATHE_ONNXRUNTIME:-$PWD/$(ls .deps/onnxruntime/libonnxruntime.so.* | head -1)}"
export LATHE_PYTHON="${LATHE_PYTHON:-$PWD/.deps/venv/bin/python}"
# OpenBLAS's other threads spin for a tenth of a second at every start of a program, and tests share the cores among
# themselves anyway.
export OPENBLAS_NUM_THREADS=1
# Release: the numerics are too slow to test without, whole modules are optimized in less time than file by file, and what is tested
# is what is shipped. In a folder of its own, since @testable imports need a flag that `make build` does without.
flags=(--no-color-diagnostics --scratch-path .build/testing -c release -Xswiftc -enable-testing)
swift build "${flags[@]}" --build-tests --explicit-target-dependency-import-check error
export LATHE_BINARY="${LATHE_BINARY:-$PWD/.build/testing/release/lathe}"
skip=()
[ -n "${LATHE_TEST_ALL:-}" ] || skip=(--skip PruningReal --skip RealModel)
# The limit ends a run that hangs.
run() { timeout --kill-after=10 2400 swift test "${flags[@]}" --skip-build --disable-xctest "${skip[@]}" "$@"; }
case "${1:-}" in
    --quick) LATHE_TEST_QUICK=1 run --skip '^EndToEndTests' ;;
    "")
        # The end-to-end tests drive the built program in terminals of its own: a process of their own, beside the others, since
        # they wait half of their time. What they print comes last.
        log=.build/testing/end-to-end.log
        status=0
        run --ignore-lock --filter '^EndToEndTests' > "$log" 2>&1 &
        beside=$!
        trap 'kill "$beside" 2>/dev/null || true' INT TERM
        run --ignore-lock --skip '^EndToEndTests' || status=1
        wait "$beside" || status=1
        cat "$log"
        # The same mutants every time; make fuzz takes others.
        "$LATHE_PYTHON" Tests/Fuzzing/fuzz.py --lathe "$LATHE_BINARY" --seconds 60 --seed 1 || status=1
        exit $status
        ;;
    *) run "$@" ;;
esac
