#!/usr/bin/env bash
# The formatter agrees with every source: `swift format` of the toolchain, configured by .swift-format. Mends nothing; to mend:
#   swift format --in-place --parallel --recursive Package.swift Sources Tests Benchmarks
set -euo pipefail
cd "$(dirname "$0")/.."
# Only files of ours: folders of build products lie beside them, and the schema's code is generated.
git ls-files -z -co --exclude-standard -- '*.swift' ':!:*.pb.swift' |
    while IFS= read -r -d '' file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done |
    xargs -0 swift format lint --strict --parallel --configuration .swift-format --
echo "formatted as .swift-format says"
