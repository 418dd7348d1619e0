"""Compares the drawing of targets in Docs/Architecture.md with the package's description on standard input; with --write, draws it anew."""

import json
import sys
from pathlib import Path

PAGE = Path("Docs/Architecture.md")
BEGIN, END = "<!-- targets: scripts/check-imports.sh --write -->\n```\n", "```\n<!-- end of targets -->"

targets = {
    target["name"]: [d["byName"][0] for d in target["dependencies"] if "byName" in d] + [d["target"][0] for d in target["dependencies"] if "target" in d]
    for target in json.load(sys.stdin)["targets"] if target["type"] in ("regular", "executable")
}
targets = {name: [d for d in dependencies if d in targets] for name, dependencies in targets.items() if not name.startswith(("CTest", "TestSupport"))}


def layer(name):
    return 1 + max(map(layer, targets[name]), default=0)


def implied(name):
    """What comes with a target's dependencies."""
    return {below for d in targets[name] for below in implied(d) | set(targets[d])}


width = max(map(len, targets))
lines = []
for name in sorted(targets, key=lambda name: (layer(name), name)):
    direct = sorted(set(targets[name]) - implied(name), key=lambda d: (layer(d), d))
    further = sorted(set(targets[name]) & implied(name), key=lambda d: (layer(d), d))
    text = f"{layer(name):2} {name:{width}}"
    if direct:
        text += " ─► " + ", ".join(direct)
    if further:
        text += f"  ({', '.join(further)})"
    lines.append(text.rstrip())
drawing = "\n".join(lines) + "\n"
page = PAGE.read_text()
begin, end = page.find(BEGIN), page.find(END)
if begin < 0 or end < 0:
    sys.exit(f"{PAGE}: has no drawing of the targets between '{BEGIN.splitlines()[0]}' and '{END.splitlines()[1]}'")
drawn = page[begin + len(BEGIN):end]
if "--write" in sys.argv:
    PAGE.write_text(page[:begin + len(BEGIN)] + drawing + page[end:])
elif drawn != drawing:
    sys.exit(f"{PAGE}: the drawing of the targets is not what Package.swift says; scripts/check-imports.sh --write draws it anew")
else:
    print("the drawing of the targets is what Package.swift says")
