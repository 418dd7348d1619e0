"""Techniques as the program lists them, and random steps of them."""

import json
import os
import subprocess

# What makes a step take long: its largest value here.
CAPS = {"epochs": 1, "samples": 32, "iterations": 5, "sweeps": 3, "batch": 16, "exits": 3, "grid": 3, "patience": 2, "rounds": 2}
# Steps that leave what a model computes as it is, up to rounding.
LOSSLESS = ["huffman", "range-coding", "magnitude-pruning:sparsity=0", "cross-layer-equalization", "smoothquant"]


class Catalog:
    def __init__(self, lathe):
        said = subprocess.run([os.path.abspath(lathe), "techniques", "--json"], capture_output=True, check=True).stdout
        self.techniques = json.loads(said)["techniques"]
        self.byID = {technique["id"]: technique for technique in self.techniques}

    def parameters(self, rng, technique):
        """Values for some parameters; those that cost time keep to what is quick."""
        chosen = {}
        for parameter in technique["parameters"]:
            name, kind = parameter["name"], parameter["type"]
            if name in CAPS:
                chosen[name] = max(parameter["minimum"], min(parameter["maximum"], CAPS[name]))
            elif rng.random() < 0.4:
                if kind == "choice":
                    chosen[name] = rng.choice(parameter["choices"])["name"]
                elif kind == "flag":
                    chosen[name] = rng.random() < 0.5
                else:
                    low, high = parameter["minimum"], parameter["maximum"]
                    value = rng.choice([low, high, low + (high - low) * rng.random()])
                    chosen[name] = round(value) if kind == "integer" else float(f"{value:.4g}")
        return chosen

    def step(self, rng, *identifiers):
        """A step as --step takes it, of any technique or of those named."""
        technique = self.byID[rng.choice(identifiers)] if identifiers else rng.choice(self.techniques)
        values = self.parameters(rng, technique)
        text = ",".join(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items())
        return technique["id"] + (":" + text if text else "")
