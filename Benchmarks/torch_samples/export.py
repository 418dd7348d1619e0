"""Writes a trained torch module as the plain ONNX file that a user would have."""

import warnings

import onnx
import torch
from onnx import numpy_helper


def export(model, path, opset):
    """Exports `model` (in evaluation mode) with input `image`, output `logits` and a dynamic dimension `batch`."""
    with warnings.catch_warnings():
        # It warns that this exporter is the older one, and that folding constants can change weights that will be
        # trained on: here it only transposes matrices, and the accuracy of the file is measured afterwards.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(2, 1, 28, 28),),
            path,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=opset,
            # EVAL would fold BatchNormalization into the convolution before it; these samples keep both.
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamo=False,
        )
    proto = onnx.load(path)
    name_weights(proto.graph, model.state_dict())
    onnx.checker.check_model(proto, full_check=True)
    if any(node.op_type == "Identity" for node in proto.graph.node):
        # The exporter ties parameters of equal value through Identity; trained ones never are equal.
        raise ValueError(f"{path}: two parameters have the same values; was the model trained?")
    onnx.save(proto, path)


def name_weights(graph, state):
    """Gives weights that the exporter rearranged, and so renamed (`onnx::MatMul_123`), readable names.

    A transposed matrix gets its parameter's name back; an LSTM's packed tensors become `<module>.W`, `.R` and `.B`.
    """
    names = {}
    for tensor in graph.initializer:
        if tensor.name in state:
            continue
        value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for name, parameter in state.items():
            if name not in names.values() and value.dim() == parameter.dim() == 2 and torch.equal(value, parameter.t()):
                names[tensor.name] = name
                break
    for node in graph.node:
        if node.op_type == "LSTM":
            module = node.name.strip("/").rsplit("/", 1)[0]
            names |= {node.input[slot]: f"{module}.{part}" for slot, part in ((1, "W"), (2, "R"), (3, "B"))}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for slot, name in enumerate(node.input):
            node.input[slot] = names.get(name, name)
