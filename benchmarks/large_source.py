"""What grows with the number of images and classes, at the size of Fall 2011, without its images: listing, labels.

    python benchmarks/large_source.py [--folders 22000] [--files 500000] [--images 15000000]

A folder of class folders of empty files, which are listed and never opened; then labels of as many images as Fall 2011 has.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet.data.prepared import hold_out
from alexnet.data.sources import open_source


def timed(what: str, work: Callable[[], object]) -> object:
    """Do it, and say how long it took and how much memory the process has had at most."""
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {seconds:.1f} s, at most {memory:,.0f} MB of memory until then")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=22_000)
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--images", type=int, default=15_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for label in range(asked.folders):
            (Path(folder) / f"n{label:08}").mkdir()
        for number in range(asked.files):
            label = number % asked.folders
            (Path(folder) / f"n{label:08}" / f"{number}.jpg").touch()
        print(f"{asked.folders:,} folders, {asked.files:,} files, listed warm")
        source = timed("opening", lambda: open_source(folder))
        timed("listing with sizes, for the fingerprint", source.fingerprint)
        timed("listing", lambda: sum(1 for _ in source.items("train")))
    labels = np.sort(np.random.default_rng(0).integers(asked.folders, size=asked.images).astype(np.int32))
    timed(f"holding out a tenth of each class of {asked.images:,} labels", lambda: hold_out(labels, 0.1, 0))


if __name__ == "__main__":
    main()
