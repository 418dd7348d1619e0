"""Measures the sample models with ONNX Runtime and prints the table in MODELS.md.

    python measure.py                    needs numpy, onnx and onnxruntime; not torch
    python measure.py --operators        also the operators of each graph
    python measure.py --write            puts the table into MODELS.md
    python measure.py --check            exits 1 if MODELS.md says anything else, or a model is below its minimum
    python measure.py --rebuilt FOLDER   models that rebuild.sh made, beside the shipped ones; with --write into MODELS.md
"""

import argparse
import math
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime

import fashion_mnist as data

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- measure.py: begin -->", "<!-- measure.py: end -->"
REBUILT_BEGIN, REBUILT_END = "<!-- measure.py --rebuilt: begin -->", "<!-- measure.py --rebuilt: end -->"

# file stem: (architecture, least accuracy in percent on the 10,000 validation images)
MODELS = {
    "lenet-300-100": ("784-300-100-10, fully connected", 88.5),
    "lenet-5": ("20-50-500-10: two valid 5×5 convolutions, two dense", 90.5),
    "resnet-8": ("stem of 16, residual blocks of 16/32/64, unfused batch normalization", 92.0),
    "ds-cnn": ("stem of 64, four depthwise-separable blocks of 64, unfused batch normalization", 90.5),
    "transformer": ("two pre-norm encoder layers over 28 rows, width 64, 4 heads, feed-forward 128", 87.5),
    "lstm": ("one LSTM layer over 28 rows, 128 hidden units", 88.0),
}


def correct(path, split):
    """How many images of a split the model classifies correctly, and how many there are."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images, labels = data.shipped_split(split)
    hits = 0
    for start in range(0, len(images), 500):
        part = slice(start, start + 500)
        (logits,) = session.run(["logits"], {"image": data.normalize(images[part])})
        hits += int((logits.argmax(1) == labels[part]).sum())
    return hits, len(images)


def parameters(model):
    """Numbers held in initializers; batch normalization's running mean and variance are among them."""
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer)


def shapes(model):
    """The shape of every tensor for one image, from ONNX's own shape inference."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in (*single.graph.input, *single.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(single, strict_mode=True, data_prop=True).graph
    known = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        known[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return known


def macs(model):
    """Multiply-accumulates for one image in Conv, Gemm, MatMul (attention's products too) and LSTM."""
    shape, total = shapes(model), 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul", "LSTM"):
            continue
        x, weight, out = shape[node.input[0]], shape[node.input[1]], shape[node.output[0]]
        if node.op_type == "Conv":  # weight: [out, in / groups, height, width]
            total += math.prod(out) * math.prod(weight[1:])
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            total += math.prod(out) * (x[0] if transposed else x[1])
        elif node.op_type == "MatMul":
            total += math.prod(out) * x[-1]
        else:  # x: [steps, batch, in]; W and R: [directions, 4·hidden, in or hidden]
            total += x[0] * x[1] * (math.prod(weight) + math.prod(shape[node.input[2]]))
    return total


def row(name):
    """One line of the table, and the accuracy on the validation images in percent."""
    path = HERE / f"{name}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    validation, images = correct(path, "validation")
    test, test_images = correct(path, "test")
    percent = 100 * validation / images
    cells = (
        f"[{name}]({name}.onnx)",
        MODELS[name][0],
        f"{parameters(model):,}",
        f"{macs(model):,}",
        f"{path.stat().st_size:,}",
        str(model.opset_import[0].version),
        f"{percent:.2f} %",
        f"{100 * test / test_images:.2f} %",
    )
    return "| " + " | ".join(cells) + " |", percent


def compare(folder):
    """A table of models trained again beside the shipped ones, and which of them are below their minimum."""
    lines = [
        "| model | shipped, 10,000 test images | rebuilt | at least | shipped, test split | rebuilt |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    failures = []
    for name, (_, least) in MODELS.items():
        path = folder / f"{name}.onnx"
        if not path.exists():
            failures.append(f"{path} is missing")
            continue
        onnx.checker.check_model(onnx.load(path), full_check=True)
        found = {}
        for split in ("validation", "test"):
            for kind, file in (("shipped", HERE / f"{name}.onnx"), ("rebuilt", path)):
                hits, images = correct(file, split)
                found[split, kind] = 100 * hits / images
        cells = (
            name,
            f"{found['validation', 'shipped']:.2f} %",
            f"{found['validation', 'rebuilt']:.2f} %",
            f"{least} %",
            f"{found['test', 'shipped']:.2f} %",
            f"{found['test', 'rebuilt']:.2f} %",
        )
        lines.append("| " + " | ".join(cells) + " |")
        if found["validation", "rebuilt"] < least:
            failures.append(f"{path}: {found['validation', 'rebuilt']:.2f} % is below {least} %")
    return "\n".join(lines), failures


def placed(table, begin, end):
    """MODELS.md with a table between its marks, and what stood there."""
    head, rest = (HERE / "MODELS.md").read_text().split(begin)
    stored, tail = rest.split(end)
    return f"{head}{begin}\n{table}\n{end}{tail}", stored.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operators", action="store_true", help="also print how often each operator occurs")
    parser.add_argument("--write", action="store_true", help="put the table into MODELS.md")
    parser.add_argument("--check", action="store_true", help="fail if MODELS.md or a minimum does not hold")
    parser.add_argument("--rebuilt", type=Path, metavar="FOLDER", help="compare models that rebuild.sh made with the shipped ones")
    options = parser.parse_args()
    if options.rebuilt:
        table, failures = compare(options.rebuilt)
        print(table)
        if options.write:
            (HERE / "MODELS.md").write_text(placed(table, REBUILT_BEGIN, REBUILT_END)[0])
        if failures:
            raise SystemExit("\n".join(failures))
        return
    present = [name for name in MODELS if (HERE / f"{name}.onnx").exists()]
    lines = [
        "| model | architecture | parameters | MACs | bytes | opset | 10,000 test images | test split |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    failures = [f"{name}.onnx is missing" for name in MODELS if name not in present]
    for name in present:
        line, percent = row(name)
        lines.append(line)
        if percent < MODELS[name][1]:
            failures.append(f"{name}: {percent:.2f} % is below {MODELS[name][1]} %")
    table = "\n".join(lines)
    print(table)
    if options.operators:
        for name in present:
            counts = Counter(node.op_type for node in onnx.load(HERE / f"{name}.onnx").graph.node)
            print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    document, stored = placed(table, BEGIN, END)
    if options.write:
        (HERE / "MODELS.md").write_text(document)
    if options.check:
        if stored != table:
            failures.append("MODELS.md does not show the measured table; run measure.py --write")
        if failures:
            raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
