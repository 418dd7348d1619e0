"""Small models of forms that people reported trouble with in tools of this kind, each with data: python reported_models.py make FOLDER, or
compare MODEL DATA RESULT, which prints the cosine of all outputs and the size of the second file over that of the first."""

import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper, numpy_helper

ort.set_default_logger_severity(4)
rng = np.random.default_rng(11)


def const(name, values, kind="f4"):
    return numpy_helper.from_array(np.asarray(values, kind, order="C"), name)


def weight(name, *shape):
    return const(name, rng.normal(0, 1, shape) / np.sqrt(shape[0]))


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], name=output + "_node", **attributes)


def value(name, shape, kind=T.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(folder, name, nodes, inputs, outputs, constants, data, opset=17, domains=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, v) for d, v in domains]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    onnx.save(model, f"{folder}/{name}.onnx")
    np.savez(f"{folder}/{name}.npz", **data)


def tables(folder, lookups, head):
    """One table, looked up by several nodes and, with a head, multiplied by too."""
    table = const("table", rng.normal(0, 0.5, (400, 32)))
    nodes, sums = [], None
    for k in range(lookups):
        nodes += [node("Gather", ["table", f"ids{k}"], f"e{k}"), node("ReduceMean", [f"e{k}"], f"m{k}", axes=[1], keepdims=0)]
        if sums:
            nodes.append(node("Add", [sums, f"m{k}"], f"s{k}"))
        sums = f"s{k}" if sums else f"m{k}"
    nodes += [node("MatMul", [sums, "w"], "h"), node("Tanh", ["h"], "a")]
    width = 400 if head else 32
    nodes.append(node("Gemm", ["a", "table"], "y", transB=1) if head else node("Identity", ["a"], "y"))
    data = {f"ids{k}": rng.integers(0, 400, (48, 6)) for k in range(lookups)}
    inputs = [value(f"ids{k}", ["n", 6], T.INT64) for k in range(lookups)]
    save(folder, f"tables{lookups}{'head' if head else ''}", nodes, inputs, [value("y", ["n", width])], [table, weight("w", 32, 32)], data)


def addends(folder, name, shape):
    """A Gemm whose third input is a matrix, a column, or (no shape) computed."""
    nodes = [] if shape else [node("Gemm", ["x", "w0"], "r"), node("Relu", ["r"], "c")]
    constants = [weight("w0", 20, 32)] if not shape else [const("c", rng.normal(0, 1, shape))]
    nodes += [node("Gemm", ["x", "w1", "c"], "h"), node("Relu", ["h"], "a"), node("Gemm", ["a", "w2", "b2"], "y")]
    batch = shape[0] if shape else "n"
    constants += [weight("w1", 20, 32), weight("w2", 32, 5), weight("b2", 5)]
    save(folder, name, nodes, [value("x", [batch, 20])], [value("y", [batch, 5])], constants, {"x": rng.normal(0, 1, (1500, 20)).astype("f4")})


def normalization(folder, name, square, behind):
    """Layer normalization written out, of an input or behind a layer, with values that float16 cannot square."""
    nodes = [node("MatMul", ["x", "w0"], "v")] if behind else []
    source = "v" if behind else "x"
    nodes += [node("ReduceMean", [source], "mu", axes=[-1]), node("Sub", [source, "mu"], "c")]
    nodes.append(node("Pow", ["c", "two"], "sq") if square == "Pow" else node("Mul", ["c", "c"], "sq"))
    nodes += [node("ReduceMean", ["sq"], "va", axes=[-1]), node("Add", ["va", "eps"], "ve"), node("Sqrt", ["ve"], "sd"), node("Div", ["c", "sd"], "q")]
    nodes += [node("Mul", ["q", "g"], "n1"), node("Add", ["n1", "b"], "n2"), node("MatMul", ["n2", "w1"], "y")]
    constants = [const("two", 2), const("eps", 1e-5), const("g", rng.uniform(0.5, 2, 32)), weight("b", 32), weight("w1", 32, 8)]
    x = rng.normal(0, 1, (64, 6, 32)).astype("f4")
    x[:, :, 3] *= 500
    save(folder, name, nodes, [value("x", ["n", 6, 32])], [value("y", ["n", 6, 8])], constants + ([weight("w0", 32, 32)] if behind else []), {"x": x})


def padding(folder):
    """Rows of padding are divided by their length of zero, and the NaN they give is replaced at the end."""
    nodes = [
        node("Cast", ["mask"], "mf", to=T.FLOAT), node("Unsqueeze", ["mf", "two"], "m"), node("Mul", ["x", "m"], "xm"),
        node("ReduceL2", ["xm"], "length", axes=[2], keepdims=1), node("Div", ["xm", "length"], "xn"), node("MatMul", ["xn", "w1"], "h"), node("Relu", ["h"], "a"),
        node("MatMul", ["a", "w2"], "z"), node("Cast", ["m"], "mb", to=T.BOOL), node("Where", ["mb", "z", "zero"], "y"),
    ]
    constants = [const("two", [2], "i8"), const("zero", 0), weight("w1", 32, 48), weight("w2", 48, 6)]
    data = {"x": rng.normal(0, 1, (96, 8, 32)).astype("f4") * np.logspace(-1, 1, 32).astype("f4"), "mask": np.stack([(np.arange(8) < k).astype("i8") for k in rng.integers(2, 8, 96)])}
    save(folder, "padding", nodes, [value("x", ["n", 8, 32]), value("mask", ["n", 8], T.INT64)], [value("y", ["n", 8, 6])], constants, data)


def halves(folder, name, half):
    """Dense layers of which some are stored in float16 behind a Cast."""
    nodes, constants, last = [], [], "x"
    for k in range(4):
        stored = f"w{k}"
        if k in half:
            constants.append(numpy_helper.from_array((rng.normal(0, 1, (32, 32)) / 6).astype("f2"), f"w{k}_half"))
            nodes.append(node("Cast", [f"w{k}_half"], stored, to=T.FLOAT))
        else:
            constants.append(weight(stored, 32, 32))
        nodes += [node("MatMul", [last, stored], f"h{k}"), node("Relu", [f"h{k}"], f"a{k}")]
        last = f"a{k}"
    nodes[-1].output[0] = "y"
    save(folder, name, nodes, [value("x", ["n", 32])], [value("y", ["n", 32])], constants, {"x": rng.normal(0, 1, (120, 32)).astype("f4")})


def normalized_dense(folder):
    nodes = [
        node("Gemm", ["x", "w1", "b1"], "h"), helper.make_node("BatchNormalization", ["h", "g", "b", "m", "v"], ["n"], name="bn"), node("Relu", ["n"], "a"),
        node("Gemm", ["a", "w2", "b2"], "y"),
    ]
    constants = [weight("w1", 24, 32), weight("b1", 32), const("g", np.logspace(-1, 1, 32)), weight("b", 32), weight("m", 32), const("v", rng.uniform(0.5, 2, 32)), weight("w2", 32, 6), weight("b2", 6)]
    save(folder, "bn_dense", nodes, [value("x", ["n", 24])], [value("y", ["n", 6])], constants, {"x": rng.normal(0, 1, (120, 24)).astype("f4")})


def stacked(folder):
    nodes = [node("MatMul", ["x", "w1"], "h"), node("Relu", ["h"], "a"), node("MatMul", ["a", "w2"], "y")]
    constants = [const("w1", rng.normal(0, 0.2, (1, 24, 48))), const("w2", rng.normal(0, 0.2, (1, 48, 6)))]
    save(folder, "stacked", nodes, [value("x", ["n", 5, 24])], [value("y", ["n", 5, 6])], constants, {"x": rng.normal(0, 1, (120, 5, 24)).astype("f4")})


def classifiers(folder):
    """What converters of scikit-learn write: the class by name, and the probabilities as a tensor, as a table by class, or not at all."""
    w = rng.normal(0, 1, (12, 4)).astype("f4")
    x = rng.normal(0, 1, (400, 12)).astype("f4")
    names = ["cat", "dog", "eel", "fox"]
    ml = "ai.onnx.ml"
    base = [
        node("Gemm", ["x", "w"], "z"), node("Softmax", ["z"], "prob", axis=1), node("ArgMax", ["z"], "top", axis=1, keepdims=0),
        helper.make_node("LabelEncoder", ["top"], ["label"], domain=ml, keys_int64s=[0, 1, 2, 3], values_strings=names),
    ]
    label = value("label", ["n"], T.STRING)
    table = helper.make_value_info("table", helper.make_sequence_type_proto(helper.make_map_type_proto(T.STRING, helper.make_tensor_type_proto(T.FLOAT, []))))
    zip_map = helper.make_node("ZipMap", ["prob"], ["table"], domain=ml, classlabels_strings=names)
    data = {"x": x, "labels": (x @ w + rng.normal(0, 1, (400, 4))).argmax(1)}
    for name, nodes, outputs in [
        ("labels_tensor", base, [label, value("prob", ["n", 4])]), ("labels_table", base + [zip_map], [label, table]), ("labels_alone", [base[0], *base[2:]], [label])
    ]:
        save(folder, name, nodes, [value("x", ["n", 12])], outputs, [numpy_helper.from_array(w, "w")], data, domains=[(ml, 2)])


def attentions(folder):
    """Attention with its queries, keys and values from one layer, taken apart by Gather or Split, and with one head of keys and values."""
    s, d, h = 12, 32, 4
    tail = [
        node("MatMul", ["q", "k"], "sc"), node("Mul", ["sc", "scale"], "ss"), node("Softmax", ["ss"], "p", axis=-1), node("MatMul", ["p", "v"], "oh"),
        node("Transpose", ["oh"], "ot", perm=[0, 2, 1, 3]), node("Reshape", ["ot", "flat"], "o"), node("MatMul", ["o", "wo"], "y"),
    ]
    common = [const("scale", (d // h) ** -0.5), const("flat", [0, s, d], "i8"), weight("wo", d, d)]
    fused = [node("MatMul", ["x", "w"], "qkv"), node("Reshape", ["qkv", "five"], "r"), node("Transpose", ["r"], "t", perm=[2, 0, 3, 1, 4])]
    turn = node("Transpose", ["k0"], "k", perm=[0, 1, 3, 2])
    made = {
        "heads_gather": (fused + [node("Gather", ["t", f"i{k}"], n, axis=0) for k, n in enumerate(["q", "k0", "v"])] + [turn], [weight("w", d, 3 * d), const("five", [0, s, 3, h, d // h], "i8")] + [const(f"i{k}", k, "i8") for k in range(3)]),
        "heads_split": (
            fused + [helper.make_node("Split", ["t"], ["q1", "k1", "v1"], name="split", axis=0)] + [node("Squeeze", [a, "zero"], b) for a, b in [("q1", "q"), ("k1", "k0"), ("v1", "v")]] + [turn],
            [weight("w", d, 3 * d), const("five", [0, s, 3, h, d // h], "i8"), const("zero", [0], "i8")]),
        "heads_one_key": (
            [node("MatMul", ["x", n], f"{n}x") for n in ("wq", "wk", "wv")]
            + [node("Reshape", ["wqx", "four"], "q0"), node("Transpose", ["q0"], "q", perm=[0, 2, 1, 3]), node("Reshape", ["wkx", "one"], "k0"), node("Transpose", ["k0"], "k", perm=[0, 2, 3, 1])]
            + [node("Reshape", ["wvx", "one"], "v0"), node("Transpose", ["v0"], "v", perm=[0, 2, 1, 3])],
            [weight("wq", d, d), weight("wk", d, d // h), weight("wv", d, d // h), const("four", [0, s, h, d // h], "i8"), const("one", [0, s, 1, d // h], "i8")]),
    }
    for name, (nodes, constants) in made.items():
        save(folder, name, nodes + tail, [value("x", ["n", s, d])], [value("y", ["n", s, d])], common + constants, {"x": rng.normal(0, 1, (64, s, d)).astype("f4")})


def fused_attention(folder):
    """The same attention as one operator, to count."""
    s, d, h = 16, 32, 4
    projections = [node("MatMul", ["x", f"w{k}"], k) for k in "qkv"]
    constants = [weight(f"w{k}", d, d) for k in "qkvo"]
    x = {"x": rng.normal(0, 1, (40, s, d)).astype("f4")}
    out = [value("y", ["n", s, d])]
    one = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["o"], name="attention", domain="com.microsoft", num_heads=h)
    save(folder, "fused_mha", projections + [one, node("MatMul", ["o", "wo"], "y")], [value("x", ["n", s, d])], out, constants, x, domains=[("com.microsoft", 1)])
    standard = helper.make_node("Attention", ["q", "k", "v"], ["o"], name="attention", q_num_heads=h, kv_num_heads=h)
    save(folder, "fused_onnx", projections + [standard, node("MatMul", ["o", "wo"], "y")], [value("x", ["n", s, d])], out, constants, x, opset=23)
    einsum = [node("Einsum", ["q", "k"], "sc", equation="bid,bjd->bij"), node("Softmax", ["sc"], "p", axis=-1), node("Einsum", ["p", "v"], "o", equation="bij,bjd->bid")]
    save(folder, "fused_einsum", projections + einsum + [node("MatMul", ["o", "wo"], "y")], [value("x", ["n", s, d])], out, constants, x)


def quantized(folder):
    """Convolutions whose last has no bias and makes the output."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], "h", pads=[1] * 4), node("Relu", ["h"], "a"), node("Conv", ["a", "w2", "b2"], "m", pads=[1] * 4), node("Relu", ["m"], "c"), node("Conv", ["c", "w3"], "y"),
    ]
    constants = [const("w1", rng.normal(0, 0.3, (16, 3, 3, 3))), weight("b1", 16), const("w2", rng.normal(0, 0.1, (16, 16, 3, 3))), weight("b2", 16), const("w3", rng.normal(0, 0.3, (4, 16, 1, 1)))]
    save(folder, "convolutions", nodes, [value("x", ["n", 3, 12, 12])], [value("y", ["n", 4, 12, 12])], constants, {"x": rng.normal(0, 1, (64, 3, 12, 12)).astype("f4")})


def odd_tables(folder):
    """Most parameters in a table that no layer reads, and one picked from along a negative axis."""
    ids = {"ids": rng.integers(0, 150, (64, 9))}
    table = rng.normal(0, 1, (150, 32))
    for name, nodes, constant in [
        ("table_axis1", [node("Gather", ["e", "ids"], "g", axis=1), node("Transpose", ["g"], "r", perm=[1, 2, 0])], const("e", table.T)),
        ("table_negative", [node("Gather", ["e", "ids"], "r", axis=-2)], const("e", table)),
    ]:
        save(folder, name, nodes + [node("MatMul", ["r", "w"], "y")], [value("ids", ["n", 9], T.INT64)], [value("y", ["n", 9, 6])], [constant, weight("w", 32, 6)], ids)


def inside(folder):
    """The batch is declared open, but a Reshape holds the one sample of the export."""
    nodes = [node("MatMul", ["x", "w1"], "a"), node("Relu", ["a"], "r"), node("Reshape", ["r", "s"], "q"), node("MatMul", ["q", "w2"], "y")]
    constants = [weight("w1", 32, 64), weight("w2", 64, 8), const("s", [1, 8, 64], "i8")]
    save(folder, "batch_inside", nodes, [value("x", ["batch", 8, 32])], [value("y", None)], constants, {"x": rng.normal(0, 1, (64, 8, 32)).astype("f4")})


def scatters(folder):
    """Sums of messages by node, as graph networks have them."""
    for kind, index in [("ScatterElements", np.array([0, 0, 1, 2, 1, 0])[:, None].repeat(64, 1)), ("ScatterND", np.array([[0], [0], [1], [2], [1], [0]]))]:
        nodes = [
            node("MatMul", ["x", "w1"], "a"), node("ConstantOfShape", ["shape"], "zeros", value=helper.make_tensor("v", T.FLOAT, [1], [0.0])),
            node(kind, ["zeros", "index", "a"], "sums", reduction="add", **({"axis": 0} if kind == "ScatterElements" else {})), node("MatMul", ["sums", "w2"], "y"),
        ]
        constants = [weight("w1", 32, 64), weight("w2", 64, 8), const("shape", [3, 64], "i8"), const("index", index, "i8")]
        save(folder, f"sums_{kind}", nodes, [value("x", [6, 32])], [value("y", [3, 8])], constants, {"x": rng.normal(0, 1, (64, 6, 32)).astype("f4")}, opset=16)


def sequences(folder):
    """A gate whose halves come from a sequence, as TorchScript writes chunk."""
    nodes = [
        node("MatMul", ["x", "w1"], "a"), node("SplitToSequence", ["a", "half"], "parts", axis=1), node("SequenceAt", ["parts", "i0"], "p"),
        node("SequenceAt", ["parts", "i1"], "q"), node("Sigmoid", ["q"], "gate"), node("Mul", ["p", "gate"], "m"), node("MatMul", ["m", "w2"], "y"),
    ]
    constants = [weight("w1", 32, 64), weight("w2", 32, 8), const("half", 32, "i8"), const("i0", 0, "i8"), const("i1", 1, "i8")]
    save(folder, "chunks", nodes, [value("x", ["n", 32])], [value("y", ["n", 8])], constants, {"x": rng.normal(0, 1, (64, 32)).astype("f4")}, opset=13)


def ranges(folder):
    """A value beyond what float16 holds, and a mask that is far beyond it on purpose."""
    x = {"x": rng.normal(0, 1, (64, 9, 32)).astype("f4")}
    large = [node("MatMul", ["x", "w1"], "a"), node("Mul", ["a", "up"], "b"), node("Mul", ["b", "down"], "c"), node("MatMul", ["c", "w2"], "y")]
    constants = [weight("w1", 32, 64), weight("w2", 64, 8), const("up", 2e5), const("down", 5e-6)]
    save(folder, "large_values", large, [value("x", ["n", 9, 32])], [value("y", ["n", 9, 8])], constants, x)
    masked = [
        node("MatMul", ["x", "w1"], "k"), node("Transpose", ["k"], "kt", perm=[0, 2, 1]), node("MatMul", ["x", "kt"], "scores"), node("Sub", ["one", "mask"], "off"),
        node("Mul", ["off", "least"], "low"), node("Unsqueeze", ["low", "axis"], "rows"), node("Add", ["scores", "rows"], "masked"), node("Softmax", ["masked"], "shares", axis=-1),
        node("MatMul", ["shares", "x"], "mixed"), node("MatMul", ["mixed", "w2"], "y"),
    ]
    constants = [const("w1", rng.normal(0, 0.1, (32, 32))), weight("w2", 32, 8), const("one", 1.0), const("least", -3.4e38), const("axis", [1], "i8")]
    mask = np.ones((64, 9), "f4")
    mask[:, 6:] = 0
    save(folder, "low_mask", masked, [value("x", ["n", 9, 32]), value("mask", ["n", 9])], [value("y", ["n", 9, 8])], constants, {**x, "mask": mask})


def stray_weights(folder):
    """A weight that is an output as well, and one that a training ruined."""
    x = {"x": rng.normal(0, 1, (64, 32)).astype("f4")}
    nodes = [node("MatMul", ["x", "w1"], "a"), node("Relu", ["a"], "r"), node("MatMul", ["r", "w2"], "y")]
    w1, w2 = weight("w1", 32, 64), weight("w2", 64, 16)
    save(folder, "weight_output", nodes, [value("x", ["n", 32])], [value("y", ["n", 16]), value("w2", [64, 16])], [w1, w2], x)
    ruined = numpy_helper.to_array(w1).copy()
    ruined[3, 5], ruined[4, 6] = np.nan, np.inf
    save(folder, "ruined", nodes, [value("x", ["n", 32])], [value("y", ["n", 16])], [const("w1", ruined), w2], x)


def upsampling(folder):
    """A convolution that computes in integers and a transposed one that does not."""
    nodes = [node("Conv", ["x", "w1", "b1"], "a", pads=[1] * 4), node("Relu", ["a"], "r"), node("ConvTranspose", ["r", "w2"], "y", strides=[2, 2])]
    constants = [const("w1", rng.normal(0, 0.2, (32, 3, 3, 3))), weight("b1", 32), const("w2", rng.normal(0, 0.1, (32, 16, 2, 2)))]
    save(folder, "upsampling", nodes, [value("x", ["n", 3, 12, 12])], [value("y", ["n", 16, 24, 24])], constants, {"x": rng.normal(0, 1, (64, 3, 12, 12)).astype("f4")})


def make(folder):
    inside(folder)
    scatters(folder)
    sequences(folder)
    ranges(folder)
    stray_weights(folder)
    upsampling(folder)
    for lookups in (1, 2, 3):
        tables(folder, lookups, head=False)
        tables(folder, lookups, head=True)
    addends(folder, "c_matrix", (6, 32))
    addends(folder, "c_column", (6, 1))
    addends(folder, "c_computed", None)
    for square in ("Pow", "Mul"):
        normalization(folder, f"norm_{square}_input", square, behind=False)
        normalization(folder, f"norm_{square}_layer", square, behind=True)
    padding(folder)
    halves(folder, "half_one", {1})
    halves(folder, "half_three", {0, 1, 2})
    normalized_dense(folder)
    stacked(folder)
    classifiers(folder)
    attentions(folder)
    fused_attention(folder)
    quantized(folder)
    odd_tables(folder)


def compare(first, data, second):
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        ort.InferenceSession(second, options, providers=["CPUExecutionProvider"])
    except Exception:
        options = ort.SessionOptions()
    left, right = ort.InferenceSession(first, providers=["CPUExecutionProvider"]), ort.InferenceSession(second, options, providers=["CPUExecutionProvider"])
    data = dict(np.load(data))
    fixed = 1 if "batch_inside" in first else next((i.shape[0] for i in left.get_inputs() if isinstance(i.shape[0], int)), 24)
    feed = {i.name: data[i.name][:fixed] if data[i.name].ndim == len(i.shape) else data[i.name][0] for i in left.get_inputs()}
    a, b = (np.concatenate([np.asarray(v, "f8").ravel() for v in s.run(None, feed)]) for s in (left, right))
    assert np.isfinite(b).all() or not np.isfinite(a).all()
    print(float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)), os.path.getsize(second) / os.path.getsize(first))


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1] == "make" else compare(*sys.argv[2:])
