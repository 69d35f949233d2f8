"""Peak memory of `prepare` on ILSVRC-like train archives of 10,000 and of 100,000 images: it must not grow.

    python benchmarks/prepare_memory.py [IMAGES ...]

Every archive is a tar of 100 tars, written on the fly from one small JPEG, and prepared at --size 32 in a process of its
own, whose peak resident memory (getrusage) is printed, with the images per second. About 2 minutes on one core.
"""

import io
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source

CLASSES = 100


def write_archive(path: Path, images: int) -> None:
    """A train archive with `images` entries of the same 48×40 JPEG in `CLASSES` inner tars."""
    jpeg = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(jpeg, "JPEG")
    with tarfile.open(path, "w") as outer:
        for label in range(CLASSES):
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as inner:
                for index in range(images // CLASSES):
                    member = tarfile.TarInfo(f"n{label:08}_{index}.JPEG")
                    member.size = len(jpeg.getvalue())
                    inner.addfile(member, io.BytesIO(jpeg.getvalue()))
            member = tarfile.TarInfo(f"n{label:08}.tar")
            member.size = len(file.getvalue())
            outer.addfile(member, io.BytesIO(file.getvalue()))


def measure(folder: str) -> None:
    """Prepares `folder` and prints peak memory in MB and images per second. Runs in its own process."""
    start = time.perf_counter()
    result = prepare(open_source(folder), Path(folder) / "out", size=32)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    images = len(result.split("train").labels)
    print(f"{peak:.1f} {images / seconds:.0f}")


def main(counts: list[int]) -> None:
    peaks = []
    for images in counts:
        with tempfile.TemporaryDirectory() as folder:
            write_archive(Path(folder) / "ILSVRC2012_img_train.tar", images)
            # The file is written here, so that its pages do not count for the process that is measured.
            command = [sys.executable, __file__, "--measure", folder]
            peak, rate = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            peaks.append(float(peak))
            print(f"{images:>9,} images: peak {peak} MB, {rate} images/s", flush=True)
    print(f"ratio of the last to the first: {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        main([int(count) for count in sys.argv[1:]] or [10_000, 100_000])
