#!/usr/bin/env bash
# The version stands in one place, Sources/LatheCommands/Version.swift. This prints it, and fails where another file that names it disagrees.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -nE 's/.*let number = "([0-9]+\.[0-9]+\.[0-9]+)".*/\1/p' Sources/LatheCommands/Version.swift)
[ -n "$version" ] || { echo "check-version.sh: no version in Sources/LatheCommands/Version.swift" >&2; exit 1; }
changelog=$(sed -nE 's/^## ([0-9.]+).*/\1/p' CHANGELOG.md | head -n 1)
[ "$changelog" = "$version" ] || { echo "check-version.sh: CHANGELOG.md begins with $changelog, the program is $version" >&2; exit 1; }
grep -qx "\.Os lathe $version" Docs/lathe.1 || { echo "check-version.sh: Docs/lathe.1 is not of $version; run 'make docs'" >&2; exit 1; }
echo "$version"
