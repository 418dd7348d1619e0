#!/usr/bin/env bash
# Checks who imports whom against the design (Docs/Architecture.md). Only a target's own modules are judged; libraries
# and the standard ones are listed where they are allowed.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A allowed=(
    [ModelGraph]="SwiftProtobuf OrderedCollections"
    [OnnxRuntime]="COnnxRuntime"
    [Differentiation]="ModelGraph OrderedCollections"
    [CompressionEngine]="ModelGraph Differentiation OnnxRuntime CLapack CZlib CZip CImage GRDB Yams SwiftCSV OrderedCollections"
    [TerminalCells]=""
    [TerminalCurses]="TerminalCells CNcurses CTerminalGuard"
    [Explorer]="TerminalCells CompressionEngine ModelGraph Yams"
    [lathe]="CompressionEngine Explorer TerminalCells TerminalCurses CTerminalGuard OnnxRuntime ModelGraph ArgumentParser Yams"
)
standard="Foundation FoundationEssentials Darwin Glibc Synchronization Dispatch Swift"
failed=0
for target in "${!allowed[@]}"; do
    while read -r file module; do
        case " ${allowed[$target]} $standard " in
            *" $module "*) ;;
            *) echo "$file imports $module, which $target may not" >&2; failed=1 ;;
        esac
    done < <(grep -rEo --include='*.swift' '^ *(@[A-Za-z_]+(\([^)]*\))? +)?(internal |private |public |package |fileprivate )?import +((struct|class|enum|func|let|var|protocol|typealias) +)?[A-Za-z_]+' "Sources/$target" \
        | sed -E 's/^([^:]*):.* ([A-Za-z_]+)$/\1 \2/')
done
[ $failed -eq 0 ] && echo "imports follow the design"
exit $failed
