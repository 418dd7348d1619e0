"""Fashion-MNIST: reading IDX files, the splits, and the input normalization shared by training and measuring.

The splits never overlap (`data/fashion-mnist.yaml` declares the same ones to `lathe`):

    train        training images [0, 55000)       read from the Debian package
    calibration  held-out images [0, 1000)        = training images [55000, 56000)
    test         held-out images [1000, 5000)     = training images [56000, 60000)
    validation   the 10,000 t10k images
"""

import gzip
import struct
from pathlib import Path

import numpy as np

PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts its files
SHIPPED = Path(__file__).resolve().parent / "data" / "fashion-mnist"

TRAINING_ROWS = 55_000  # the remaining 5,000 training images are held out and never trained on
CALIBRATION_ROWS = 1_000

SCALE, MEAN, STD = 1 / 255, 0.2860, 0.3530


def read_idx(path):
    """The unsigned-byte array in a gzip-compressed IDX file, in the shape its header gives."""
    with gzip.open(path, "rb") as file:
        data = file.read()
    zero, kind, rank = struct.unpack(">HBB", data[:4])
    if zero != 0 or kind != 0x08:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def write_idx(path, array):
    """Writes bytes as gzip-compressed IDX. The gzip header holds no time and no name: same array, same file."""
    header = struct.pack(">HBB", 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(header + array.tobytes())


def normalize(images):
    """uint8 [n, 28, 28] to the models' input: float32 [n, 1, 28, 28], (raw·scale − mean) / std."""
    return ((images[:, None].astype(np.float32) * np.float32(SCALE)) - np.float32(MEAN)) / np.float32(STD)


def shipped_split(name):
    """Images and labels of `calibration`, `validation` or `test`, from the files in the repository."""
    prefix, rows = {
        "calibration": ("heldout", slice(0, CALIBRATION_ROWS)),
        "test": ("heldout", slice(CALIBRATION_ROWS, None)),
        "validation": ("t10k", slice(None)),
    }[name]
    images = read_idx(SHIPPED / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(SHIPPED / f"{prefix}-labels-idx1-ubyte.gz")
    return images[rows], labels[rows]
