"""Peak memory of `prepare` on ILSVRC-like train archives of 10,000 and of 100,000 images: it must not grow.

    python benchmarks/prepare_memory.py [IMAGES ...]

Every archive is a tar of 100 tars, written on the fly from one small JPEG, and prepared at --size 32 in a process of its
own, whose peak resident memory is printed, with the images per second. About 2 minutes on one core.

    python benchmarks/prepare_memory.py --formats

The bytes that each pixel of a large image takes while it is decoded, by format, beside what `alexnet.data.image` counts
with: it must not be more. About a minute.

    python benchmarks/prepare_memory.py --large

The peak of a preparation, by four threads, of eight PNGs of 16 bits, each of 13,000 × 13,000 pixels of one colour.

    python benchmarks/prepare_memory.py --list

The bytes that an image takes in a list of a million of them (`alexnet prepare labels.csv`), held and while it is read.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from alexnet.data import image
from alexnet.data.image import to_square
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


def measure(folder: str, workers: int | None = None) -> None:
    """Prepares `folder` and prints peak memory in MB and images per second. Runs in its own process."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        result = prepare(open_source(folder), Path(out) / "set", size=32, workers=workers)
        seconds = time.perf_counter() - start
        images = len(result.split("train").labels)
    print(f"{peak_bytes() / 2**20:.1f} {images / seconds:.0f}")


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


SIDE = 3000
FORMATS: dict[str, tuple[str, str, dict[str, object]]] = {
    # name -> format, mode, options
    "PNG": ("PNG", "RGB", {"compress_level": 1}),
    "PNG, transparent": ("PNG", "RGBA", {"compress_level": 1}),
    "PNG, 16 bits": ("PNG", "I;16", {"compress_level": 1}),
    "TIFF": ("TIFF", "RGB", {}),
    "TIFF, compressed": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "GIF": ("GIF", "P", {}),
    "BMP": ("BMP", "RGB", {}),
    "JPEG": ("JPEG", "RGB", {}),
    "JPEG, progressive": ("JPEG", "RGB", {"progressive": True}),
    "JPEG, CMYK": ("JPEG", "CMYK", {}),
    "JPEG, CMYK, progressive": ("JPEG", "CMYK", {"progressive": True}),
    "WEBP": ("WEBP", "RGB", {"method": 0}),
    "AVIF": ("AVIF", "RGB", {"speed": 10}),
    "JPEG2000": ("JPEG2000", "RGB", {}),
}


def decode(path: str) -> None:
    """Prints by how many bytes a pixel the peak of this process rises over an image of SIDE × SIDE."""
    content = Path(path).read_bytes()
    small = io.BytesIO()
    Image.new("RGB", (300, 300)).save(small, "PNG")
    to_square(small.getvalue(), 256)  # whatever is loaded and compiled at first
    before = peak_bytes()
    to_square(content, 256)
    print((peak_bytes() - before) / SIDE**2)


def formats() -> None:
    """Every format, each in a process of its own."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((SIDE, SIDE))
    print(f"{'':>26}   bytes a pixel   counted")
    for name, (format, mode, options) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            grey = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
            (grey if mode == "I;16" else picture.convert(mode)).save(path, format, **options)  # type: ignore[arg-type]
            command = [sys.executable, __file__, "--decode", str(path)]
            took = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"{name:>26}   {took:13.1f}   {counted(path.read_bytes()):7.1f}", flush=True)


def counted(content: bytes) -> float:
    """What `to_square` asks its budget for, in bytes a pixel."""
    asked: list[int] = []
    budget = image.budget()

    class Asked(image.Budget):
        def room_for(self, need: int):  # type: ignore[no-untyped-def]
            asked.append(need)
            return budget.room_for(need)

    with patch.object(image, "budget", lambda: Asked(1)):
        to_square(content, 256)
    return asked[-1] / SIDE**2


def large() -> None:
    """In a process of its own, which has read nothing before."""
    with tempfile.TemporaryDirectory() as folder:
        grey = Image.new("I;16", (13_000, 13_000))
        for number in range(8):
            place = Path(folder) / "ab"[number % 2] / f"{number}.png"
            place.parent.mkdir(exist_ok=True)
            grey.save(place, compress_level=9)
        size = place.stat().st_size
        command = [sys.executable, __file__, "--measure", folder, "4"]
        peak, _ = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        print(f"8 images of {size / 1e3:.0f} KB, four threads: peak {peak} MB")


def listing() -> None:
    """By what Python and numpy ask for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_text("".join(f"images/{number:08}.jpg,{number % 1000}\n" for number in range(1_000_000)))
        tracemalloc.start()
        opened = open_source(str(path))
        held, peak = (number / opened.count("train") for number in tracemalloc.get_traced_memory())  # type: ignore[operator]
        print(f"a list of 1,000,000 images: {held:.0f} bytes each, {peak:.0f} while it is read")


def peak_bytes() -> int:
    """The highest resident memory of this process so far (Linux; getrusage would tell the parent's where that is higher)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int, nargs="*", default=[10_000, 100_000])
    for name, work in (("formats", formats), ("large", large), ("list", listing)):
        parser.add_argument(f"--{name}", dest="work", action="store_const", const=work)
    # Of the processes that are measured.
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--decode", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    if given.measure:
        measure(given.measure[0], *map(int, given.measure[1:]))
    elif given.decode:
        decode(given.decode)
    elif given.work:
        given.work()
    else:
        main(given.images)
