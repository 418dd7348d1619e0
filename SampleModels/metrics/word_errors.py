"""Word error rate of texts that a model spells as classes of tokens, word pieces joined: an example of a metric command.

word_errors.py VOCABULARY: a file with the token of each class, one a line. A token that begins with '##' continues the word before; tokens in
brackets such as [PAD] say nothing. Outputs are scores [samples, steps, classes], labels classes [samples, steps], −100 or −1 where there is none.

    metric: {command: [python3, word_errors.py, vocabulary.txt], better: lower}
"""

import sys

import numpy as np

from stream import answer, batches


def words(classes, vocabulary):
    result = []
    for index in classes:
        token = vocabulary[index] if 0 <= index < len(vocabulary) else "?"
        if token.startswith("[") and token.endswith("]"):
            continue
        if token.startswith("##") and result:
            result[-1] += token[2:]
        else:
            result.append(token.removeprefix("##"))
    return result


def edits(one, other):
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        vocabulary = file.read().splitlines()
    for outputs, labels in batches():
        scores = next(iter(outputs.values()))
        for row, truth in zip(scores, labels):
            counted = truth >= 0
            right = words(truth[counted].astype(int), vocabulary)
            said = words(np.argmax(row, -1)[counted], vocabulary)
            answer(edits(right, said), len(right))


if __name__ == "__main__":
    main()
