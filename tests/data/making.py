"""Test material made on the spot: pictures, odd image files, and ILSVRC-2012 in miniature."""

import io
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

WNIDS = ("n01440764", "n01443537", "n01484850", "n01491361", "n01494475")
WORDS = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "great white shark, white shark, man-eater",
    "tiger shark, Galeocerdo cuvieri",
    "hammerhead, hammerhead shark",
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 3], smooth, with no symmetry."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    planes = [128 + 90 * np.sin(random.uniform(1, 5) * y + random.uniform(1, 5) * x + phase) for phase in (0, 1, 2)]
    return np.stack(planes, 2).round().astype(np.uint8)


def encode(image: np.ndarray | Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, format, **options)  # type: ignore[arg-type]
    return file.getvalue()


def jpeg(image: np.ndarray | Image.Image, **options: object) -> bytes:
    return encode(image, "JPEG", quality=95, **options)


def png_of(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of any stated size and bit depth (colour 2: RGB, 0: grey), with `rows` as its data, whatever their length."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(jpeg(picture(16, 16)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def rotated(image: np.ndarray, orientation: int) -> bytes:
    """A JPEG whose EXIF block has that orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(image, exif=exif.tobytes(), subsampling=0)


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def class_folders(root: Path, images: dict[str, int], size: tuple[int, int] = (20, 30)) -> Path:
    """`images`: "train/cat": 5 and so on, each a different JPEG."""
    number = 0
    for folder, count in images.items():
        for index in range(count):
            number += 1
            write_folder(root, {f"{folder}/{index:04}.jpg": jpeg(picture(*size, seed=number))})
    return root


def class_picture(label: int, seed: int) -> np.ndarray:
    """uint8 [H, W, 3] of varying size: stripes whose direction and colour belong to the class, and noise."""
    random = np.random.default_rng([label, seed])
    height, width = random.integers(48, 90, 2)
    y, x = np.mgrid[:height, :width]
    angle = np.pi * label / len(WNIDS) + random.normal(0, 0.1)
    stripes = np.sin((np.cos(angle) * x + np.sin(angle) * y) * random.uniform(0.4, 0.8) + random.uniform(0, 6))
    colour = np.random.default_rng(label).uniform(60, 190, 3)
    image = colour + 45 * stripes[..., None] + random.normal(0, 12, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class MiniIlsvrc:
    """What is inside the archives: WordNet ids in label order, and the right label of every readable image."""

    folder: Path
    wnids: tuple[str, ...]
    classes: tuple[str, ...]
    train: dict[str, int]  # "n01440764/n01440764_3.JPEG" -> label, without the truncated one
    val: dict[str, int]  # "ILSVRC2012_val_00000001.JPEG" -> label
    cmyk: str
    png: str
    truncated: str


def make_mini_ilsvrc(folder: Path, per_class: int = 24, val_per_class: int = 6, seed: int = 0) -> MiniIlsvrc:
    """ILSVRC-2012 with 5 classes: a train tar of tars, a flat val tar and the devkit, under their own names.

    The devkit's ids are shuffled against the sorted WordNet ids, as in the real one, and it has synsets above the
    classes. Among the training images are one in CMYK, one PNG named .JPEG, one grey, and one truncated (under 1%).
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    ids = dict(zip(WNIDS, (3, 5, 1, 2, 4), strict=True))
    cmyk, png, truncated = (f"{WNIDS[i]}/{WNIDS[i]}_{7 + i}.JPEG" for i in range(3))

    train = {}
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as outer:
        for label in random.permutation(len(WNIDS)).tolist():  # the order inside the archive must not matter
            wnid = WNIDS[label]
            inner_file = io.BytesIO()
            with tarfile.open(fileobj=inner_file, mode="w") as inner:
                for index in range(per_class):
                    name = f"{wnid}/{wnid}_{index}.JPEG"
                    image = Image.fromarray(class_picture(label, index))
                    data = jpeg(image)
                    if name == cmyk:
                        data = jpeg(image.convert("CMYK"))
                    elif name == png:
                        data = encode(image, "PNG")
                    elif name == truncated:
                        data = data[: len(data) // 2]
                    elif index == 1:
                        data = jpeg(image.convert("L"))
                    if name != truncated:
                        train[name] = label
                    add_bytes(inner, f"{wnid}_{index}.JPEG", data)
            add_bytes(outer, f"{wnid}.tar", inner_file.getvalue())

    labels = random.permutation(np.repeat(np.arange(len(WNIDS)), val_per_class)).tolist()
    val = {f"ILSVRC2012_val_{number:08}.JPEG": label for number, label in enumerate(labels, 1)}
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as tar:
        for number, (name, label) in enumerate(val.items()):
            add_bytes(tar, name, jpeg(class_picture(label, 1000 + number)))

    truth = "".join(f"{ids[WNIDS[label]]}\n" for label in labels)
    with tarfile.open(folder / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        add_bytes(tar, "ILSVRC2012_devkit_t12/readme.txt", b"miniature\n")
        add_bytes(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta_mat(ids, per_class))
        add_bytes(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.encode())
    classes = tuple(f"{wnid} {words.split(',')[0]}" for wnid, words in zip(WNIDS, WORDS, strict=True))
    return MiniIlsvrc(folder, WNIDS, classes, train, val, cmyk, png, truncated)


def meta_mat(ids: dict[str, int], train_images: int) -> bytes:
    """The devkit's meta.mat: an array of structs [synsets, 1], the classes by id, then the synsets above them."""
    fields = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height")
    wnids = sorted(ids, key=lambda wnid: ids[wnid])
    above = (("n02512053", "fish", wnids), ("n01482330", "shark", wnids[:2]))
    synsets = np.empty((len(wnids) + len(above), 1), [(name, object) for name in (*fields, "num_train_images")])
    for row, wnid in enumerate(wnids):
        words = WORDS[WNIDS.index(wnid)]
        synsets[row, 0] = (float(ids[wnid]), wnid, words, "a fish", 0.0, np.zeros((0, 0)), 0.0, float(train_images))
    for row, (wnid, words, children) in enumerate(above, len(wnids)):
        below = np.array([[float(ids[child]) for child in children]])
        synsets[row, 0] = (float(row + 1), wnid, words, "fishes", float(len(children)), below, 1.0, 0.0)
    file = io.BytesIO()
    savemat(file, {"synsets": synsets})
    return file.getvalue()


def unpack_mini_ilsvrc(packed: Path, folder: Path) -> Path:
    """The unpacked layout: train/<WordNet id>/, flat val/, and the devkit's folder."""
    with tarfile.open(packed / "ILSVRC2012_img_train.tar") as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                inner.extractall(folder / "train" / member.name.removesuffix(".tar"), filter="data")
    with tarfile.open(packed / "ILSVRC2012_img_val.tar") as tar:
        tar.extractall(folder / "val", filter="data")
    with tarfile.open(packed / "ILSVRC2012_devkit_t12.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return folder


def add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def parquet_files(folder: Path) -> Path:
    """Two files of training images and one of validation, in row groups of five rows."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("datasets")
    folder.mkdir()
    for name, first in (("train-0", 0), ("train-1", 13), ("validation-0", 26)):
        images = [{"bytes": jpeg(picture(20, 16, first + n)), "path": None} for n in range(13)]
        table = pyarrow.table({"label": [n % 3 for n in range(13)], "more": ["x"] * 13, "image": images})
        parquet.write_table(table, folder / f"{name}.parquet", row_group_size=5)
    return folder
