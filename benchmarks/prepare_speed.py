"""`alexnet prepare` on one core against Pillow in a loop, on photographs of 500×375; and how far the pixels are apart.

    python benchmarks/prepare_speed.py [--images FOLDER] [--save]

Ours is the whole command: folder of class folders in, decoding, resizing, statistics, checksums, journal, files synced to
the disk. Pillow's loop decodes, resizes the shorter side to 256, cuts out the centre and makes an array of it; it writes
nothing. Both on the first core alone (`workers=1`, one thread), with the files in the page cache. FOLDER may hold any
JPEGs: the 400 nearest in size to 500×375 are taken. Without it, 400 windows of the photographs that scikit-image and
scikit-learn carry, scaled to 500×375 and saved in a quality that gives them about the size of ImageNet's (105 KB on average).
About a minute.
"""

import io
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from measure import Row, arguments, finish, in_turn, ratios, row
from PIL import Image, ImageOps

from alexnet.data.builtin import photograph
from alexnet.data.image import to_square
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source

NUMBER, QUALITY = 400, 98
WIDTH, HEIGHT, SIZE = 500, 375, 256


def write_photographs(folder: Path) -> None:
    """Windows of the built-in photographs at 500×375, as JPEGs with colours at half resolution, as cameras make them."""
    names = ("astronaut", "coffee", "flower", "motorcycle", "pagoda", "rocket")
    draw = np.random.default_rng(0)
    for number in range(NUMBER):
        whole = Image.fromarray(photograph(names[number % len(names)]))
        largest = min(whole.width / WIDTH, whole.height / HEIGHT)
        scale = draw.uniform(0.75, 1.0) * largest
        left, top = draw.uniform(0, whole.width - scale * WIDTH), draw.uniform(0, whole.height - scale * HEIGHT)
        box = (left, top, left + scale * WIDTH, top + scale * HEIGHT)
        image = whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=box)
        if number % 2:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        path = folder / names[number % len(names)] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=QUALITY)


def copy_nearest(images: Path, folder: Path) -> None:
    """The JPEGs of `images` that are nearest in size to 500×375, in one class folder."""
    found = []
    for path in sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")):
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(path.read_bytes())
        except ValueError:
            continue
        found.append((abs(height - HEIGHT) + abs(width - WIDTH), path))
    for number, (_, path) in enumerate(sorted(found)[:NUMBER]):
        target = folder / "one" / f"{number:04}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def pillow(file: Path | io.BytesIO, how: Image.Resampling) -> np.ndarray:
    """What one writes with Pillow."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    scale = SIZE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), how)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


def fit(file: Path | io.BytesIO) -> np.ndarray:
    """The same in one call, which resizes the central square alone."""
    with Image.open(file) as opened:
        return np.asarray(ImageOps.fit(opened.convert("RGB"), (SIZE, SIZE), Image.Resampling.BICUBIC))


def distance(of: list[np.ndarray], to: list[np.ndarray]) -> tuple[list[float], list[float]]:
    """Mean absolute difference and PSNR in dB, image by image."""
    differences = [a.astype(float) - b for a, b in zip(of, to, strict=True)]
    error = [float(np.square(d).mean()) for d in differences]
    return [float(np.abs(d).mean()) for d in differences], [10 * np.log10(255**2 / max(e, 1e-9)) for e in error]


def main() -> None:
    given = arguments(__doc__, images="", repeats=9)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photographs"
        if given.images:
            copy_nearest(Path(given.images), folder)
        else:
            write_photographs(folder)
        files = sorted(folder.rglob("*.jpg"))
        encoded = [file.read_bytes() for file in files]

        def ours(store: str) -> Callable[[], None]:
            def one_round() -> None:
                prepare(open_source(str(folder)), Path(temporary) / "out", size=SIZE, workers=1, store=store)  # type: ignore[arg-type]
                shutil.rmtree(Path(temporary) / "out")

            return one_round

        def loop(how: Image.Resampling) -> Callable[[], None]:
            return lambda: [pillow(file, how) for file in files] and None

        forms = {
            "alexnet prepare": ours("raw"),
            "alexnet prepare --store jpeg": ours("jpeg"),
            "its decoding and resizing alone": lambda: [to_square(data, SIZE) for data in encoded] and None,
            "simplejpeg, decoding alone": lambda: [simplejpeg.decode_jpeg(data) for data in encoded] and None,
            "Pillow loop, bicubic": loop(Image.Resampling.BICUBIC),
            "Pillow loop, bilinear": loop(Image.Resampling.BILINEAR),
            "Pillow loop, ImageOps.fit": lambda: [fit(file) for file in files] and None,
        }
        seconds = in_turn(forms, given.repeats, warmup=1)
        size = statistics.mean(len(data) for data in encoded) / 1e3
        rows: list[Row] = [row("JPEGs", [size], "KB on average", f"{len(files)} files")]
        for name, took in seconds.items():
            rows.append(row(name, [len(files) / s for s in took], "images/s, one core"))
        for name in ("alexnet prepare", "simplejpeg, decoding alone"):
            for peer in ("bicubic", "bilinear", "ImageOps.fit"):
                rows.append(
                    row(
                        f"{name}, against Pillow {peer}",
                        ratios(seconds[name], seconds[f"Pillow loop, {peer}"]),
                        "times",
                    )
                )

        # ImageOps.fit cuts out the same square; resizing all and cropping rounds the square to whole pixels of 256.
        both = {"ImageOps.fit": fit, "the Pillow loop, bicubic": lambda file: pillow(file, Image.Resampling.BICUBIC)}
        for name, form in both.items():
            mean, _ = distance(
                [to_square(data, SIZE) for data in encoded], [form(io.BytesIO(data)) for data in encoded]
            )
            rows.append(row(f"mean pixel difference from {name}", mean, "of 255", "a round is an image"))
        # From four times the size on, JPEGs are decoded at a half or less; 500×375 is that large for squares of 64.
        small = [to_square(data, 64) for data in encoded]
        mean, psnr = distance(small, [to_square(simplejpeg.decode_jpeg(data), 64) for data in encoded])
        rows.append(
            row("decoded at a half, PSNR against decoded whole", psnr, "dB", "to 64 pixels; a round is an image")
        )
        rows.append(
            row("decoded at a half, mean pixel difference", mean, "of 255", "to 64 pixels; a round is an image")
        )
    finish("prepare_speed", rows, given)


if __name__ == "__main__":
    main()
