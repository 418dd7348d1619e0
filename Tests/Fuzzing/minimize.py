"""Makes the model of a finding smaller while the finding stays."""

import dataclasses
import time

import seeds

SECONDS = 40


def minimized(case, problem, runner):
    """The case with whatever can be left out of its model left out, in the time there is."""
    until = time.monotonic() + SECONDS
    model = seeds.parse(case.files["model.onnx"])
    if model is None:
        return case
    # A crash is told by its signal on the way: a backtrace takes seconds. The end is checked in full.
    crashed = problem.kind.startswith("SIG") or problem.kind == "memory"

    def same(candidate, explain=not crashed):
        found = runner.problem(candidate, explain=explain)
        return found is not None and found.kind == problem.kind and (not explain or found.key == problem.key)

    def with_model():
        return dataclasses.replace(case, files={**case.files, "model.onnx": model.SerializeToString()})

    if not same(with_model()):
        return case
    best = with_model()
    for part in parts(model):
        size = max(len(part) // 2, 1)
        while size and time.monotonic() < until:
            index = 0
            while index < len(part) and time.monotonic() < until:
                removed = [type(item).FromString(item.SerializeToString()) for item in part[index:index + size]]
                del part[index:index + size]
                if same(with_model()):
                    best = with_model()
                else:
                    tail = [type(item).FromString(item.SerializeToString()) for item in part[index:]]
                    del part[index:]
                    part.extend(removed + tail)
                    index += size
            size //= 2
    return best if same(best, explain=True) else case


def parts(model):
    """Lists of which items can be left out, the most telling first."""
    graph = model.graph
    yield from [graph.node, graph.initializer, graph.output, graph.input, graph.value_info, graph.sparse_initializer, graph.quantization_annotation,
                model.functions, model.metadata_props, model.opset_import]
    for node in graph.node:
        yield node.attribute
