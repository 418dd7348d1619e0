"""Rebuilds the data files in `data/fashion-mnist/` from Debian's package `dataset-fashion-mnist`.

    python prepare_data.py [--package DIR]

The 10,000 test images are copied as they are; the last 5,000 training images become the held-out files.
"""

import argparse
import shutil
from pathlib import Path

import fashion_mnist as data


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, default=data.PACKAGE, help="folder of the four IDX files")
    package = parser.parse_args().package
    data.SHIPPED.mkdir(parents=True, exist_ok=True)
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copyfile(package / f"t10k-{kind}-ubyte.gz", data.SHIPPED / f"t10k-{kind}-ubyte.gz")
        rows = data.read_idx(package / f"train-{kind}-ubyte.gz")[data.TRAINING_ROWS :]
        data.write_idx(data.SHIPPED / f"heldout-{kind}-ubyte.gz", rows)


if __name__ == "__main__":
    main()
