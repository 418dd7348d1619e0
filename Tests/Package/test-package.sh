#!/usr/bin/env bash
# The tarball in a bare Debian that debootstrap makes, and the wheel in an environment of its own: neither has Swift or our packages. Needs root and installs debootstrap and tmux.
set -euo pipefail
cd "$(dirname "$0")/../.."
dist=$PWD/${1:-.build/dist}
work=$(mktemp -d)
passed=0
trap 'tmux -L lathe-package kill-server 2>/dev/null || true; umount "$work/root/proc" "$work/root/dev/pts" 2>/dev/null || true; rm -rf "$work"' EXIT

ok() { passed=$((passed + 1)); echo "ok: $1"; }
fail() { echo "FAILED: $1" >&2; exit 1; }
# Runs a command and looks for a text in what it prints.
expect() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) || fail "$*: status $?: $output"
    [[ $output == *"$text"* ]] || fail "$*: no '$text' in: $output"
}
# What a terminal shows, sooner or later.
shows() {
    for _ in $(seq 300); do
        tmux -L lathe-package capture-pane -p | grep -q "$1" && return
        sleep 0.2
    done
    tmux -L lathe-package capture-pane -p >&2
    fail "the explorer never showed '$1'"
}
explore() {
    tmux -L lathe-package -f /dev/null new-session -d -x 100 -y 30 "$@"
    shows 'evaluated 10,000'
    tmux -L lathe-package send-keys Space
    shows '1 on'
    tmux -L lathe-package send-keys q
    for _ in $(seq 50); do tmux -L lathe-package has-session 2>/dev/null || return 0; sleep 0.2; done
    tmux -L lathe-package send-keys y
}

apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap tmux >/dev/null

echo "a bare Debian 12"
# Where this system's own packages come from.
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } | sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p' | sed -n 1p)
[ -n "$mirror" ] || fail "no source of Debian packages in /etc/apt"
debootstrap --variant=minbase bookworm "$work/root" "$mirror" >"$work/debootstrap.log" 2>&1 || { tail "$work/debootstrap.log" >&2; fail debootstrap; }
mount -t proc proc "$work/root/proc"
tar -xzf "$dist"/lathe-*-linux-*.tar.gz -C "$work/root/opt"
here=/opt/$(ls "$work/root/opt")
inside() { chroot "$work/root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 TERM=screen-256color "$@"; }
lenet=$here/share/lathe/SampleModels/lenet-5.onnx
data=$here/share/lathe/SampleModels/data/fashion-mnist.yaml
[ -z "$(inside sh -c "ls -d /usr/lib/*/libopenblas* /usr/lib/*/libsndfile* /opt/swift 2>/dev/null")" ] || fail "the bare system is not bare"
expect "Conv" inside "$here/bin/lathe" inspect "$lenet"
expect "92.2" inside "$here/bin/lathe" evaluate "$lenet" --data "$data" --step svd:rank=8 --step static-int8
expect "" inside "$here/bin/lathe" apply "$lenet" --data "$data" --step gptq:bits=4 --output /tmp/small.onnx
expect "weight-quantization" inside "$here/bin/lathe" techniques
explore "chroot '$work/root' /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 TERM=screen-256color '$here/bin/lathe' '$lenet' --data '$data'"
ok "inspect, evaluate, apply, techniques and the explorer in a bare Debian"
echo "a Python environment of its own"
/usr/bin/python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$dist"/lathe_explorer-*.whl -r Tests/Package/requirements-notebook.txt
bare() { env -i PATH="$work/venv/bin:/usr/bin:/bin" HOME="$work" LANG=C.UTF-8 TERM=screen-256color "$@"; }
expect "onnxruntime/capi" bare python -c 'import lathe; print(lathe.onnxruntime_library())'
expect "Conv" bare lathe inspect SampleModels/lenet-5.onnx
explore "env -i PATH='$work/venv/bin:/usr/bin:/bin' HOME='$work' LANG=C.UTF-8 TERM=screen-256color lathe SampleModels/lenet-5.onnx --data SampleModels/data/fashion-mnist.yaml"
# Two systems, two copies of the libraries, one result.
bare lathe apply SampleModels/lenet-5.onnx --data SampleModels/data/fashion-mnist.yaml --step gptq:bits=4 --output "$work/small.onnx" >/dev/null || fail "apply from the wheel"
cmp "$work/small.onnx" "$work/root/tmp/small.onnx" || fail "tarball and wheel write different bytes"
ok "the same bytes from tarball and wheel"
bare python Tests/Package/test_module.py SampleModels "$work" || fail "the module's tests"
ok "the command, the explorer and the module from the wheel"
bare python - Docs/lathe.ipynb <<'PY' || fail "the notebook"
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "."}}).execute()
PY
ok "the notebook"
echo "$passed passed, 0 failed"
