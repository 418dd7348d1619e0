"""F1 of boxes at an overlap of one half, for a YOLOX detector of one class: an example of a metric command.

box_f1.py [THRESHOLD [INPUT]]: least score of a detection (0.5), height and width of the input in pixels (416). Outputs are [samples, boxes, 6]: center and
size before grid and stride, objectness, score. Labels are boxes, or an array [samples, most boxes, 5]: class, left, top, right, bottom in pixels, −1 where there is none.

    metric: {command: [python3, box_f1.py, "0.5"], better: higher}

Twice the hits, and detections and boxes together, are the parts of a sum, so that the metric is F1 over all samples.
"""

import sys

import numpy as np

from stream import answer, batches

STRIDES = (8, 16, 32)
OVERLAP = 0.5


def grid(size):
    """Column, row and stride of each box, [boxes, 3]."""
    parts = []
    for stride in STRIDES:
        rows, columns = np.indices((size // stride, size // stride))
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], 1))
    return np.concatenate(parts).astype(np.float64)


def detections(row, cells, threshold):
    """Corners [n, 4], the strongest first, none of which overlaps another much."""
    scores = row[:, 4] * row[:, 5]
    kept = np.nonzero(scores > threshold)[0]
    row, cells, scores = row[kept].astype(np.float64), cells[kept], scores[kept]
    centers, sizes = (row[:, :2] + cells[:, :2]) * cells[:, 2:], np.exp(row[:, 2:4]) * cells[:, 2:]
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], 1)
    result = []
    for index in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[index], other) <= 0.65 for other in result):
            result.append(boxes[index])
    return result


def overlap(one, other):
    """Intersection over union."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    if (sides <= 0).any():
        return 0.0
    shared = sides.prod()
    return shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared)


def hits(found, truths):
    """How many boxes are found, each by one detection."""
    left = list(range(len(truths)))
    count = 0
    for box in found:
        best = max(left, key=lambda index: overlap(box, truths[index]), default=None)
        if best is not None and overlap(box, truths[best]) >= OVERLAP:
            left.remove(best)
            count += 1
    return count


def main():
    threshold = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    cells = grid(int(sys.argv[2]) if len(sys.argv) > 2 else 416)
    for outputs, labels in batches():
        for row, truth in zip(next(iter(outputs.values())), labels):
            truths = truth[truth[:, 0] >= 0][:, 1:5].astype(np.float64)
            found = detections(row, cells, threshold)
            answer(2 * hits(found, truths), len(found) + len(truths))


if __name__ == "__main__":
    main()
