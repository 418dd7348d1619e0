/// Writes the models of these tests, their inputs, and what `onnxruntime` makes of them in Python, into the folder given.
let modelScript = #"""
    import json, sys
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto as T, helper as h, numpy_helper as nh

    folder = sys.argv[1] + "/"
    rng = np.random.default_rng(7)


    def tensor(name, array):
        return nh.from_array(np.ascontiguousarray(array), name)


    def save(name, nodes, inputs, outputs, initializers=(), opset=21, ml=False, ir=10):
        graph = h.make_graph(nodes, name, inputs, outputs, list(initializers))
        opsets = [h.make_opsetid("", opset)] + ([h.make_opsetid("ai.onnx.ml", 3)] if ml else [])
        model = h.make_model(graph, opset_imports=opsets, ir_version=ir)
        with open(folder + name + ".onnx", "wb") as f:
            f.write(model.SerializeToString())
        return model


    def run(model, feeds, level=ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = level
        options.log_severity_level = 4
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)


    def write(name, array):
        np.ascontiguousarray(array).tofile(folder + name)


    LEVELS = {
        0: ort.GraphOptimizationLevel.ORT_DISABLE_ALL, 1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        2: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, 3: ort.GraphOptimizationLevel.ORT_ENABLE_LAYOUT,
        99: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }

    # A multilayer perceptron, a batch of 7.
    f = T.FLOAT
    W1, b1 = rng.normal(size=(64, 128)).astype("f4"), rng.normal(size=128).astype("f4")
    W2, b2 = rng.normal(size=(128, 10)).astype("f4"), rng.normal(size=10).astype("f4")
    mlp = save(
        "mlp",
        [h.make_node("MatMul", ["x", "W1"], ["h0"], name="dense1"), h.make_node("Add", ["h0", "b1"], ["h1"], name="bias1"),
         h.make_node("Tanh", ["h1"], ["h2"], name="squash"), h.make_node("Gemm", ["h2", "W2", "b2"], ["y"], name="dense2")],
        [h.make_tensor_value_info("x", f, ["batch", 64])], [h.make_tensor_value_info("y", f, ["batch", 10])],
        [tensor("W1", W1), tensor("b1", b1), tensor("W2", W2), tensor("b2", b2)])
    x = rng.normal(size=(7, 64)).astype("f4")
    write("mlp.x", x)
    write("mlp.y", run(mlp, {"x": x})[0])

    # Convolution and batch normalization, which optimizers fold into new weights; and the same with its weights outside.
    conv_weights = {
        "K": rng.normal(size=(16, 3, 3, 3)).astype("f4"), "scale": rng.uniform(0.5, 2, 16).astype("f4"),
        "bias": rng.normal(size=16).astype("f4"), "mean": rng.normal(size=16).astype("f4"),
        "variance": rng.uniform(0.5, 2, 16).astype("f4"), "W": rng.normal(size=(16, 5)).astype("f4"),
    }
    convolution = save(
        "convolution",
        [h.make_node("Conv", ["x", "K"], ["c"], name="conv", pads=[1, 1, 1, 1]),
         h.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "variance"], ["n"], name="norm"),
         h.make_node("Relu", ["n"], ["r"], name="relu"), h.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
         h.make_node("Flatten", ["p"], ["v"], name="flatten"), h.make_node("MatMul", ["v", "W"], ["y"], name="dense")],
        [h.make_tensor_value_info("x", f, ["batch", 3, 12, 12])], [h.make_tensor_value_info("y", f, ["batch", 5])],
        [tensor(k, v) for k, v in conv_weights.items()])
    x = rng.normal(size=(3, 3, 12, 12)).astype("f4")
    write("convolution.x", x)
    for level, value in LEVELS.items():
        write(f"convolution.y{level}", run(convolution, {"x": x}, value)[0])
    outside = onnx.ModelProto()
    outside.CopyFrom(convolution)
    for t in outside.graph.initializer:
        write("convolution." + t.name, nh.to_array(t))
        size = len(t.raw_data)
        t.ClearField("raw_data")
        t.data_location = T.EXTERNAL
        for key, value in (("location", "nowhere"), ("offset", "0"), ("length", str(size))):
            entry = t.external_data.add()
            entry.key, entry.value = key, value
    with open(folder + "outside.onnx", "wb") as out:
        out.write(outside.SerializeToString())

    # A loop that runs for 2^62 turns.
    body = h.make_graph(
        [h.make_node("Identity", ["going"], ["still"]), h.make_node("Mul", ["state", "factor"], ["next"])], "body",
        [h.make_tensor_value_info("turn", T.INT64, []), h.make_tensor_value_info("going", T.BOOL, []),
         h.make_tensor_value_info("state", f, [64])],
        [h.make_tensor_value_info("still", T.BOOL, []), h.make_tensor_value_info("next", f, [64])])
    save(
        "forever", [h.make_node("Loop", ["turns", "", "x"], ["y"], name="loop", body=body)],
        [h.make_tensor_value_info("x", f, [64])], [h.make_tensor_value_info("y", f, [64])],
        [tensor("turns", np.array(2**62, "i8")), tensor("factor", np.array(1.0000001, "f4"))])

    # One tensor in every type that floats can be cast to, read back as numpy reads it.
    names = ["DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64",
             "BOOL", "INT4", "UINT4"]
    types = save(
        "types", [h.make_node("Cast", ["x"], [n.lower()], to=getattr(T, n)) for n in names],
        [h.make_tensor_value_info("x", f, ["n"])],
        [h.make_tensor_value_info(n.lower(), getattr(T, n), ["n"]) for n in names])
    x = np.array([0, 1, 2.75, 3.14159, 5, 6.5, 7], "f4")
    write("types.x", x)
    back = save(
        "types-back",
        [h.make_node("Cast", ["x"], ["t" + n], to=getattr(T, n)) for n in names]
        + [h.make_node("Cast", ["t" + n], [n.lower()], to=f) for n in names],
        [h.make_tensor_value_info("x", f, ["n"])], [h.make_tensor_value_info(n.lower(), f, ["n"]) for n in names])
    for n, y in zip(names, run(back, {"x": x}, LEVELS[0])):
        write("types." + n.lower(), y)
    json.dump([n.lower() for n in names], open(folder + "types.json", "w"))
    signed = np.array([-3.5, -1, 0, 7, -8], "f4")
    save("int4", [h.make_node("Cast", ["x"], ["y"], to=T.INT4)], [h.make_tensor_value_info("x", f, ["n"])],
         [h.make_tensor_value_info("y", T.INT4, ["n"])])

    # Values that are not tensors of numbers.
    save("strings", [h.make_node("Identity", ["s"], ["t"])], [h.make_tensor_value_info("s", T.STRING, ["n"])],
         [h.make_tensor_value_info("t", T.STRING, ["n"])])
    save("sequence", [h.make_node("SequenceConstruct", ["x", "x"], ["s"])], [h.make_tensor_value_info("x", f, ["n"])],
         [h.make_tensor_sequence_value_info("s", f, None)])
    save("map", [h.make_node("ZipMap", ["x"], ["m"], domain="ai.onnx.ml", classlabels_int64s=[4, 9])],
         [h.make_tensor_value_info("x", f, [1, 2])],
         [h.make_value_info("m", h.make_sequence_type_proto(h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(f, []))))],
         ml=True)
    optional = h.make_optional_type_proto(h.make_tensor_type_proto(f, None))
    save("absent", [h.make_node("Optional", [], ["o"], type=h.make_tensor_type_proto(f, None))], [],
         [h.make_value_info("o", optional)], opset=18, ir=8)
    save("constant", [h.make_node("Constant", [], ["c"], value=tensor("", np.array([1, 2, 3], "f4")))], [],
         [h.make_tensor_value_info("c", f, [3])])
    save("empty", [h.make_node("Slice", ["x", "zero", "zero"], ["y"])], [h.make_tensor_value_info("x", f, ["n", 4])],
         [h.make_tensor_value_info("y", f, ["m", 4])], [tensor("zero", np.array([0], "i8"))])

    # A weight that a run may replace; a sum of two inputs; a product below the smallest normal number.
    save("overridable", [h.make_node("Mul", ["x", "w"], ["y"])],
         [h.make_tensor_value_info("x", f, ["n"]), h.make_tensor_value_info("w", f, [1])],
         [h.make_tensor_value_info("y", f, ["n"])], [tensor("w", np.array([3], "f4"))])
    save("sum", [h.make_node("Add", ["a", "b"], ["y"], name="plus")],
         [h.make_tensor_value_info("a", f, ["n"]), h.make_tensor_value_info("b", f, ["n"])],
         [h.make_tensor_value_info("y", f, ["n"])])
    save("tiny", [h.make_node("Mul", ["x", "x"], ["y"])], [h.make_tensor_value_info("x", f, [4])],
         [h.make_tensor_value_info("y", f, [4])])
    save("scalar", [h.make_node("Identity", ["x"], ["y"])], [h.make_tensor_value_info("x", f, [])],
         [h.make_tensor_value_info("y", f, [])])

    # Fails while it runs, and has a terminal's escape sequence in a name.
    save("fails", [h.make_node("Reshape", ["x", "shape"], ["y"], name="bad\x1b[2J\nnode")],
         [h.make_tensor_value_info("x", f, ["n"]), h.make_tensor_value_info("shape", T.INT64, [1])],
         [h.make_tensor_value_info("y", f, ["m"])])
    # Refers to an operator nobody has.
    save("unknown-operator", [h.make_node("Frobnicate", ["x"], ["y"])], [h.make_tensor_value_info("x", f, ["n"])],
         [h.make_tensor_value_info("y", f, ["n"])])
    """#
