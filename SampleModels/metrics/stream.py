"""What lathe sends to a metric command, and what it wants to hear: the protocol of `metric: {command: [...]}`.

For each batch a line of JSON comes on standard input, {"samples": 8, "outputs": ["logits"], "labels": "label"}, then arrays in NumPy's .npy
format: the outputs in that order, samples first, and the labels unless they are null. The answer is a line per sample on standard output, of one
number (a score, of which the mean is taken) or two (the metric is the sum of the first over the sum of the second). The program ends when its input does.

Labels are classes [samples], numbers or classes [samples, …], texts [samples], or boxes [boxes, 8]: sample in the batch, class, left, top, right, bottom, area,
crowd. Sequences of unequal length are filled up with NaN (numbers) and −100 (classes).
"""

import json
import sys

from numpy.lib.format import read_array


class Pipe:
    """Standard input with nothing but `read`: NumPy asks a real file for its position, which a pipe has not."""

    def __init__(self, stream):
        self.read, self.readline = stream.read, stream.readline


def batches():
    """Yields outputs by name and labels (or None) of each batch; boxes as one array [boxes, 7] for each sample, which begins with the class."""
    stream = Pipe(sys.stdin.buffer)
    while line := stream.readline():
        head = json.loads(line)
        outputs = {name: read_array(stream) for name in head["outputs"]}
        labels = None if head["labels"] is None else read_array(stream)
        if head["labels"] == "boxes":
            labels = [labels[labels[:, 0] == sample, 1:] for sample in range(head["samples"])]
        yield outputs, labels


def answer(*numbers):
    """The score of the next sample, or parts of a sum: first over second."""
    print(*(repr(float(number)) for number in numbers), flush=True)
