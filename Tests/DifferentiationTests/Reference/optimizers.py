"""Prints OptimizerReference.swift: weights after five steps of PyTorch's optimizers, in double precision.

python Reference/optimizers.py > OptimizerReference.swift
"""
import math

import torch


def run(make, clip=0.0):
    sizes = [6, 4]
    weights = [torch.tensor([math.sin(i + 7 * n) for i in range(size)], dtype=torch.float64, requires_grad=True) for n, size in enumerate(sizes)]
    optimizer = make(weights)
    for step in range(1, 6):
        for n, weight in enumerate(weights):
            weight.grad = torch.tensor([math.cos(i + 3 * step + n) for i in range(sizes[n])], dtype=torch.float64)
        if clip:
            torch.nn.utils.clip_grad_norm_(weights, clip)
        optimizer.step()
    return [weight.tolist() for weight in weights]


def groups(weights, decay):
    return [{"params": weights[:1], "weight_decay": decay}, {"params": weights[1:], "weight_decay": 0.0}]


sgd, adam, adamw = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
CASES = [
    ("momentum", ".sgd", {}, run(lambda w: sgd(w, lr=0.1, momentum=0.9))),
    ("momentum and decay", ".sgd", {"weightDecay": 0.05}, run(lambda w: sgd(groups(w, 0.05), lr=0.1, momentum=0.9))),
    ("Nesterov and decay", ".sgd", {"momentum": 0.8, "nesterov": "true", "weightDecay": 0.05},
     run(lambda w: sgd(groups(w, 0.05), lr=0.1, momentum=0.8, nesterov=True))),
    ("clipped", ".sgd", {"clipNorm": 0.7}, run(lambda w: sgd(w, lr=0.1, momentum=0.9), clip=0.7)),
    ("Adam", ".adam", {}, run(lambda w: adam(w, lr=0.1))),
    ("Adam and decay", ".adam", {"weightDecay": 0.05, "beta1": 0.8, "beta2": 0.95}, run(lambda w: adam(groups(w, 0.05), lr=0.1, betas=(0.8, 0.95)))),
    ("AdamW", ".adamw", {"weightDecay": 0.05}, run(lambda w: adamw(groups(w, 0.05), lr=0.1))),
    ("AdamW, clipped", ".adamw", {"weightDecay": 0.05, "clipNorm": 0.7}, run(lambda w: adamw(groups(w, 0.05), lr=0.1), clip=0.7)),
]

print(f"""// Made by Reference/optimizers.py with PyTorch {torch.__version__.split('+')[0]}. Do not edit.
import Differentiation
import Testing

struct OptimizerReference: Sendable, CustomTestStringConvertible {{
    var testDescription: String
    var optimizer: Optimizer
    var weights: [[Double]]

    init(_ title: String, _ kind: Optimizer.Kind, _ weights: [[Double]], _ change: (inout Optimizer) -> Void = {{ _ in }}) {{
        testDescription = title
        optimizer = Optimizer(kind)
        self.weights = weights
        change(&optimizer)
    }}

    static let all: [OptimizerReference] = [""")
for title, kind, settings, weights in CASES:
    rows = ",\n".join("                [" + ", ".join(f"{value:.9f}" for value in row) + "]" for row in weights)
    print(f'        OptimizerReference(\n            "{title}", {kind},\n            [\n{rows},\n            ]', end="")
    if settings:
        print(") {\n" + "\n".join(f"            $0.{name} = {value}" for name, value in settings.items()) + "\n        },")
    else:
        print("\n        ),")
print("    ]\n}")
