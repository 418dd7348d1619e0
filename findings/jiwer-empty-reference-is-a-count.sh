#!/usr/bin/env bash
# jiwer's error rates of an empty reference are no rates but counts of insertions.
#
# One would guess: an empty reference has no rate (a division by zero: an error, infinity or NaN), or at least one that cannot grow with the hypothesis, so that rates of
# single samples may be averaged or weighted by the length of their references.
#
# What is so: with an empty reference the denominator is left out, and the "rate" is the number of inserted characters or words: 3 for "abc", 300 for three hundred characters. It is
# an int there and a float elsewhere. Over a list of samples the insertions are counted and the empty reference adds nothing below, so the rate of a list is no mean of its samples'
# rates, weighted by length or not. Sets of recordings with silence, and of crops without text, have empty references.
#
# Seen with jiwer 4.0.0, Python 3.11:
#   cer('', 'abc') = 3 (int)
#   cer('', 300 characters) = 300
#   wer('', 'two words') = 2
#   cer(['', 'abcd'], ['xyz', 'abcd']) = 0.75; weighted by length the samples' own rates give 0.0, their mean 1.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check jiwer==4.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import jiwer

short = jiwer.cer("", "abc")
long = jiwer.cer("", "x" * 300)
words = jiwer.wer("", "two words")
references, hypotheses = ["", "abcd"], ["xyz", "abcd"]
together = jiwer.cer(references, hypotheses)
rates = [jiwer.cer(r, h) for r, h in zip(references, hypotheses)]
weighted = sum(rate * len(r) for rate, r in zip(rates, references)) / sum(map(len, references))
print(f"cer('', 'abc') = {short} ({type(short).__name__})")
print(f"cer('', 300 characters) = {long}")
print(f"wer('', 'two words') = {words}")
print(f"cer(['', 'abcd'], ['xyz', 'abcd']) = {together}; weighted by length the samples' own rates give {weighted}, their mean {sum(rates) / 2}")
assert (short, long, words) == (3, 300, 2) and isinstance(short, int) and isinstance(jiwer.cer("abc", "abd"), float)
assert (together, weighted, sum(rates) / 2) == (0.75, 0.0, 1.5)
PYTHON
