#!/usr/bin/env bash
# Checks what the compiler does not: that Docs/Architecture.md draws the targets as Package.swift has them, and that no target passes on
# another one's declarations. Who may import whom is checked by `swift build --explicit-target-dependency-import-check error`; that there
# is no cycle, by the package manager. `check-imports.sh --write` draws anew.
set -euo pipefail
cd "$(dirname "$0")/.."
if grep -rn --include='*.swift' '@_exported' Sources; then echo "no target passes on another's declarations" >&2; exit 1; fi
swift package dump-package | /usr/bin/python3 scripts/draw_targets.py "$@"
