"""The commands as calls. Names and defaults are the command line's; ``lathe COMMAND --help`` says more."""
from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence, Union

from ._program import run

if TYPE_CHECKING:
    import pandas

Path = Union[str, "os.PathLike[str]"]
Result = dict[str, Any]


def _option(name: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    return [name] if value is True else [name, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]


def _options(**values: Any) -> list[str]:
    return [part for name, value in values.items() for part in _option("--" + name.replace("_", "-"), value)]


def _repeated(name: str, values: Iterable[Any]) -> list[str]:
    if isinstance(values, str):
        raise TypeError(f"{name}: a list of texts was expected, not one text")
    return [part for value in values for part in _option(name, value)]


def _say(progress: bool) -> Callable[[str], None] | None:
    return (lambda line: print(line, file=sys.stderr, flush=True)) if progress else None


def _call(arguments: Sequence[Any], progress: bool = False) -> Result:
    return json.loads(run([*arguments, "--json"], on_message=_say(progress))[1])


def inspect(model: Path, *, data: Path | None = None, shapes: Mapping[str, Sequence[int]] | None = None, quick: bool = False, all_sizes: bool = False) -> Result:
    """Layers, parameters, MACs, sizes and memory of a model.

    Args:
        shapes: of inputs that the model leaves open, by name.
        quick: without the sizes that take time (gzip, packed archive).
        all_sizes: these sizes for models above 64 MB too.
    """
    given = [f"{name}={'x'.join(str(size) for size in shape)}" for name, shape in (shapes or {}).items()]
    return _call(["inspect", model, *_options(data=data, quick=quick, all_sizes=all_sizes), *_repeated("--shape", given)])


def evaluate(
    model: Path,
    data: Path,
    *,
    recipe: Path | None = None,
    steps: Sequence[str] = (),
    baseline: Path | None = None,
    teacher: Path | None = None,
    split: str = "validation",
    limit: int | None = None,
    require: Sequence[str] = (),
    latency: bool = True,
    threads: int | Sequence[int] = 1,
    batch: int = 1,
    classes: bool = False,
    quick: bool = False,
    report: Path | None = None,
    progress: bool = False,
) -> Result:
    """Accuracy with its interval and paired test, latency and sizes of a model after a recipe, against the model before it.

    Args:
        recipe: a recipe file, or ``preset:NAME``.
        steps: single steps, for example ``"magnitude-pruning:sparsity=0.8"``; after the recipe's if there is one.
        split: ``"validation"`` or ``"test"``.
        require: limits on measures, for example ``["drop<=0.5", "file<=50%"]``; :func:`met` says whether they hold.
        report: an HTML file to write.
    """
    counts = threads if isinstance(threads, int) else ",".join(str(count) for count in threads)
    return _call(
        [
            *["evaluate", model],
            *_options(data=data, recipe=recipe, baseline=baseline, teacher=teacher, split=split, limit=limit, threads=counts, batch=batch, classes=classes, quick=quick),
            *_options(report=report, no_latency=not latency),
            *_repeated("--step", steps),
            *_repeated("--require", require),
        ],
        progress,
    )


def met(result: Mapping[str, Any]) -> bool:
    """Whether all requirements of an :func:`evaluate` hold, or a :func:`search` reached its goal."""
    if result.get("event") == "result":
        return bool((result.get("best") or {}).get("feasible"))
    return all(requirement["met"] for requirement in result.get("requirements", []))


def apply(
    model: Path,
    output: Path,
    *,
    recipe: Path | None = None,
    steps: Sequence[str] = (),
    data: Path | None = None,
    teacher: Path | None = None,
    pack: Path | None = None,
    save_recipe: Path | None = None,
    target: str | None = None,
    record: bool = False,
    external_data: bool = False,
    progress: bool = False,
) -> Result:
    """Writes the compressed model. The same model, recipe and data give the same bytes.

    Args:
        data: for techniques that calibrate or train.
        pack: a packed archive to write as well.
        target: where it is to run: ``"onnxruntime"``, ``"openvino"``, ``"portable"``, ``"integers"``.
        record: put the recipe and its figures into the model's metadata.
    """
    return _call(
        [
            *["apply", model, "--output", output],
            *_options(recipe=recipe, data=data, teacher=teacher, pack=pack, save_recipe=save_recipe, target=target, record=record, external_data=external_data),
            *_repeated("--step", steps),
        ],
        progress,
    )


def train(
    model: Path,
    data: Path,
    output: Path,
    *,
    recipe: Path | None = None,
    steps: Sequence[str] = (),
    teacher: Path | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    loss: str | None = None,
    batch: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    initialize: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> Result:
    """Trains a model, after a recipe or as it is, and writes it.

    Args:
        parameters: others of the technique ``fine-tuning``, by name.
        initialize: start from random weights.
        resume: go on from the checkpoint of a training that was interrupted.
        progress: print each epoch to standard error.
    """
    values = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in (parameters or {}).items()]
    return _call(
        [
            *["train", model, "--output", output],
            *_options(data=data, recipe=recipe, teacher=teacher, epochs=epochs, learning_rate=learning_rate, optimizer=optimizer, loss=loss, batch=batch, seed=seed),
            *_options(initialize=initialize, resume=resume),
            *_repeated("--step", steps),
            *_repeated("--set", values),
        ],
        progress,
    )


def search(
    model: Path,
    data: Path,
    goal: str | None = None,
    *,
    minimize: str | None = None,
    budget: str | None = None,
    techniques: Sequence[str] | None = None,
    training: bool = False,
    form: str | None = None,
    seed: int | None = None,
    output: Path | None = None,
    resume: bool = False,
    on_event: Callable[[Result], None] | None = None,
    progress: bool = False,
) -> Result:
    """The recipe that meets a goal, with the front and the nearest misses.

    An interrupt (Ctrl-C, or the notebook's stop) ends the search with what it has.

    Args:
        goal: limits, for example ``"file <= 50%, drop <= 0.5"``.
        budget: time to spend, for example ``"5m"``.
        output: a folder for the best model, its recipe and report, and the front's recipes.
        on_event: called with each event: a phase, a recipe that was tried, a new best.
        progress: print each new best to standard error.

    Returns:
        The last event, ``result``. ``met`` of it says whether the goal was reached.
    """
    last: Result = {}

    def take(line: str) -> None:
        nonlocal last
        if not line.startswith("{"):
            return
        last = json.loads(line)
        if on_event:
            on_event(last)
        if progress and last.get("event") == "best":
            trial = last["trial"]
            print(", ".join(trial["steps"]), {name: round(value, 4) for name, value in trial["values"].items()}, file=sys.stderr, flush=True)

    names = ",".join(techniques) if techniques else None
    run(
        [
            *["search", model],
            *_options(data=data, goal=goal, minimize=minimize, budget=budget, techniques=names, training=training, form=form, seed=seed, output=output, resume=resume),
            "--json",
        ],
        on_output=take,
        interruptible=True,
    )
    return last


def sensitivity(model: Path, data: Path, step: str, *, limit: int | None = None, progress: bool = False) -> Result:
    """What changing each layer alone loses, by parameter value."""
    return _call(["sensitivity", model, *_options(data=data, step=step, limit=limit)], progress)


def pack(model: Path, output: Path) -> Result:
    """Writes the packed archive of a model."""
    return _call(["pack", model, "--output", output])


def unpack(archive: Path, output: Path) -> None:
    """Writes the ONNX file of a packed archive."""
    run(["unpack", archive, "--output", output])


def techniques() -> list[Result]:
    """Every technique with its parameters."""
    return _call(["techniques"])["techniques"]


def presets() -> list[Result]:
    """The recipes that come with the program."""
    return _call(["presets"])["presets"]


def frame(result: Mapping[str, Any]) -> "pandas.DataFrame":
    """What a result lists, as a table: the layers of :func:`inspect`, the front of :func:`search`, the epochs of :func:`train`, the classes of :func:`evaluate`.

    Raises:
        ImportError: without pandas.
        ValueError: for a result that lists nothing.
    """
    import pandas

    for key in ("front", "epochs", "layers", "classes", "cells"):
        rows = result.get(key)
        if rows:
            return pandas.json_normalize(rows)
    raise ValueError("this result lists nothing: no front, epochs, layers or classes")
