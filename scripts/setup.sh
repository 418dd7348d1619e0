#!/usr/bin/env bash
# Installs what lathe needs, and says what. `setup.sh runtime`: Debian packages for building and running, and ONNX
# Runtime's library under .deps/onnxruntime. `setup.sh python`: beside it the Python environment of the tests.
# Running it again does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'lathe setup: %s\n' "$*"; }

apt_install() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing Debian packages: ${missing[*]}"
    local sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

apt_install libncurses-dev libopenblas-dev libsqlite3-dev zlib1g-dev libzip-dev libspng-dev libturbojpeg0-dev libxxhash-dev libsndfile1-dev libkissfft-dev \
    pkg-config python3 python3-pip python3-venv ca-certificates

ORT_VERSION=1.31.1
case "$(uname -m)" in
    x86_64) ORT_PLATFORM=x86_64 ;;
    aarch64 | arm64) ORT_PLATFORM=aarch64 ;;
    *) say "no ONNX Runtime wheel for $(uname -m): set LATHE_ONNXRUNTIME to your own libonnxruntime.so"; ORT_PLATFORM="" ;;
esac

install_runtime() {
    local library=".deps/onnxruntime/libonnxruntime.so.$ORT_VERSION"
    [ -f "$library" ] && return
    [ -n "$ORT_PLATFORM" ] || return 0
    say "fetching ONNX Runtime $ORT_VERSION (the onnxruntime wheel from PyPI, hash-checked) into .deps/onnxruntime"
    local work
    work=$(mktemp -d)
    /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --python-version 3.12 --implementation cp --abi cp312 --platform "manylinux_2_28_$ORT_PLATFORM" \
        --dest "$work" --requirement scripts/requirements-runtime.txt
    /usr/bin/python3 -m zipfile -e "$work"/onnxruntime-*.whl "$work/wheel"
    mkdir -p .deps/onnxruntime
    cp "$work/wheel/onnxruntime/LICENSE" "$work/wheel/onnxruntime/ThirdPartyNotices.txt" .deps/onnxruntime/ 2>/dev/null || true
    cp "$work/wheel/onnxruntime/capi/libonnxruntime.so.$ORT_VERSION" "$library.partial"
    mv "$library.partial" "$library"
    rm -rf "$work"
}

install_python() {
    local stamp=.deps/venv/.requirements
    [ -f "$stamp" ] && cmp -s "$stamp" scripts/requirements-tests.txt && return
    apt_install tmux man-db locales
    say "making the tests' Python environment (numpy, onnx, onnxruntime, scipy, scikit-learn and others) in .deps/venv"
    rm -rf .deps/venv
    /usr/bin/python3 -m venv .deps/venv
    .deps/venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r scripts/requirements-tests.txt
    cp scripts/requirements-tests.txt "$stamp"
}

case "${1:-runtime}" in
    runtime) install_runtime ;;
    python) install_python ;;
    *) echo "usage: setup.sh runtime|python" >&2; exit 2 ;;
esac
