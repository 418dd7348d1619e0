"""Reference errors for DecompositionTests, from TensorLy (pip install tensorly numpy onnx): prints the rows of its table.

    python3 Benchmarks/tensorly_reference.py SampleModels/resnet-8.onnx

For each kernel the relative Frobenius error of TensorLy's decomposition: partial_tucker on the channels (HOOI), parafac with
SVD start and 200 rounds of alternating least squares.
"""

import sys
import warnings

import numpy as np
import onnx
import tensorly
from onnx import numpy_helper
from tensorly.decomposition import parafac, partial_tucker

warnings.filterwarnings("ignore")
model = onnx.load(sys.argv[1])
for initializer in model.graph.initializer:
    w = numpy_helper.to_array(initializer).astype(np.float64)
    if w.ndim != 4 or w.shape[1] < 16 or w.shape[2] == 1:
        continue
    norm = np.linalg.norm(w)
    m, n, k = w.shape[0], w.shape[1], w.shape[2] * w.shape[3]
    first, second = m // 2, n // 3
    (core, factors), _ = partial_tucker(w, rank=[first, second], modes=[0, 1], n_iter_max=200, tol=1e-9)
    tucker = np.linalg.norm(tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1]) - w) / norm
    rank = int(0.3 * w.size / sum(w.shape))
    cp = np.linalg.norm(tensorly.cp_to_tensor(parafac(w, rank, init="svd", n_iter_max=200, tol=1e-9, random_state=0)) - w) / norm
    print(f'("{initializer.name}", {first}, {second}, {tucker:.5f}, {rank}, {cp:.5f}),')
