#!/usr/bin/env bash
# Makes what one installs without Swift. `dist.sh tarball`: .build/dist/lathe-VERSION-linux-ARCH.tar.gz, with ONNX Runtime, the libraries that a bare Debian 12 lacks,
# man page, completions, sample models and every license. `dist.sh wheel`: a Python wheel with the same program, which uses the runtime of the `onnxruntime` package.
# Both hold the same executable: Swift's own libraries are linked in, the others are found beside it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'lathe dist: %s\n' "$*"; }
what=${1:-tarball}
case "$what" in tarball | wheel) ;; *) echo "usage: dist.sh tarball|wheel" >&2; exit 2 ;; esac

version=$(scripts/check-version.sh)
arch=$(uname -m)
out=.build/dist
build=.build/package

# The loader looks beside the program first, for libraries of libraries too: hence DT_RPATH, not DT_RUNPATH.
swift build --no-color-diagnostics --scratch-path "$build" -c release --product lathe --static-swift-stdlib \
    -Xlinker -rpath -Xlinker '$ORIGIN/../lib/lathe' -Xlinker --disable-new-dtags
program=$(swift build --scratch-path "$build" -c release --product lathe --static-swift-stdlib --show-bin-path)/lathe

# Libraries that every Linux system with glibc and Python has stay its own: an older copy would stand in a newer runtime's way.
system='^(linux-vdso|ld-linux.*|libc|libm|libdl|libpthread|librt|libresolv|libstdc\+\+|libgcc_s)\.so'

# The Debian package of a file, which its list may have with or without /usr.
owner() {
    local path
    for path in "$1" "/usr$1" "${1#/usr}"; do
        dpkg-query --search "$path" 2>/dev/null | head -n 1 | cut -d: -f1 | grep . && return
    done
    echo "dist.sh: $1 belongs to no package" >&2
    return 1
}

# Program, libraries and licenses, into a folder.
stage() {
    local root=$1 library name package
    mkdir -p "$root/bin" "$root/lib/lathe" "$root/share/doc/lathe/licenses"
    install -m 755 "$program" "$root/bin/lathe"
    strip "$root/bin/lathe"
    ldd "$program" | awk '$2 == "=>" { print $1, $3 }' | while read -r name library; do
        [[ $name =~ $system ]] && continue
        [ -f "$library" ] || { echo "dist.sh: $name is nowhere" >&2; exit 1; }
        install -m 644 "$(readlink -f "$library")" "$root/lib/lathe/$name"
        strip --strip-unneeded "$root/lib/lathe/$name"
        package=$(owner "$(readlink -f "$library")")
        cp "$(readlink -f "/usr/share/doc/$package/copyright")" "$root/share/doc/lathe/licenses/$package"
    done
    cp LICENSE THIRD_PARTY_NOTICES.md CHANGELOG.md "$root/share/doc/lathe/"
}

case "$what" in
tarball)
    name=lathe-$version-linux-$arch
    root=$out/$name
    rm -rf "$root"
    stage "$root"
    for file in .deps/onnxruntime/libonnxruntime.so.*; do install -m 644 "$file" "$root/lib/lathe/"; done
    mkdir -p "$root/share/doc/lathe/licenses/onnxruntime"
    cp .deps/onnxruntime/LICENSE .deps/onnxruntime/ThirdPartyNotices.txt "$root/share/doc/lathe/licenses/onnxruntime/"
    install -D -m 644 Docs/lathe.1 "$root/share/man/man1/lathe.1"
    mkdir -p "$root/share/bash-completion/completions" "$root/share/zsh/site-functions" "$root/share/fish/vendor_completions.d" "$root/share/lathe"
    "$root/bin/lathe" completions bash >"$root/share/bash-completion/completions/lathe"
    "$root/bin/lathe" completions zsh >"$root/share/zsh/site-functions/_lathe"
    "$root/bin/lathe" completions fish >"$root/share/fish/vendor_completions.d/lathe.fish"
    cp -r Docs "$root/share/doc/lathe/"
    git ls-files -z SampleModels | xargs -0 cp --parents -t "$root/share/lathe"
    cat >"$root/README" <<END
lathe $version for Linux, $arch, glibc 2.36 or later (Debian 12, Ubuntu 23.04 and newer)

    bin/lathe share/lathe/SampleModels/lenet-5.onnx --data share/lathe/SampleModels/data/fashion-mnist.yaml

It runs where it lies. To install, copy bin, lib and share into /usr/local, or put a link to bin/lathe on PATH.
Licenses of lathe and of what it holds: share/doc/lathe. The libraries under lib/lathe may be replaced by others of the same name.
END
    tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" --directory "$out" --file "$out/$name.tar.gz.partial" "$name"
    mv "$out/$name.tar.gz.partial" "$out/$name.tar.gz"
    (cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
    rm -rf "$root"
    say "$out/$name.tar.gz, $(du -h "$out/$name.tar.gz" | cut -f1)"
    ;;
wheel)
    # A copy, so that nothing is built inside the sources.
    root=$out/wheel
    rm -rf "$root"
    mkdir -p "$root"
    cp -r Python/. "$root/"
    echo "$version" >"$root/VERSION"
    stage "$root/src/lathe/program"
    tools=$build/wheel-tools
    [ -x "$tools/bin/python" ] || /usr/bin/python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/requirements-wheel.txt
    rm -rf "$out/unnamed"
    "$tools/bin/python" -m build --wheel --no-isolation --outdir "$out/unnamed" "$root" >"$out/wheel.log" 2>&1 || { cat "$out/wheel.log" >&2; exit 1; }
    # The program belongs to no version of Python; it needs the C library it was linked with.
    glibc=$(ldd --version | head -n 1 | grep -oE '[0-9]+\.[0-9]+$' | tr . _)
    name=$("$tools/bin/python" -m wheel tags --remove --python-tag py3 --abi-tag none --platform-tag "manylinux_${glibc}_$arch" "$out"/unnamed/*.whl | tail -n 1)
    mv "$out/unnamed/$name" "$out/$name"
    rm -rf "$root" "$out/unnamed" "$out/wheel.log"
    say "$out/$name, $(du -h "$out/$name" | cut -f1)"
    ;;
esac
