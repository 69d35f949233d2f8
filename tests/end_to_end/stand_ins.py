"""What the pages of documentation take for granted: a reader's photographs, archives, weights of others, earlier runs.

`STAND_INS` has all of it by its path in the working folder: what makes it, a command or a function of the folder. A page that
names something else which none of its commands makes needs one more line there.
"""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from alexnet.network import networks
from alexnet.network.model import AlexNet
from alexnet.network.weights import to_torchvision
from tests.data.making import (
    WNIDS,
    WORDS,
    add_bytes,
    class_folders,
    encode,
    jpeg,
    make_mini_ilsvrc,
    picture,
    write_folder,
)
from tests.exchange import making

from .in_small import thin

FIVE = "n01440764 n02102040 n02979186 n03000684 n03028079"
OTHER_FIVE = "n03394916 n03417042 n03425413 n03445777 n03888257"
DIGITS = tuple(f"class-{digit}" for digit in range(10))


def photos(folder: Path) -> None:
    splits = {"train": 5, "val": 2}
    class_folders(
        folder / "photos", {f"{split}/{name}": number for split, number in splits.items() for name in ("cat", "dog")}
    )


def album(folder: Path) -> None:
    """As docs/ko/practice.md describes it: validation images without folders, and among the others one cut off."""
    class_folders(folder / "album", {"train/cat": 14, "train/dog": 13, "val": 4})
    cut = jpeg(picture(60, 60))[:-200]
    cmyk = jpeg(Image.fromarray(picture(20, 30)).convert("CMYK"))
    odd = {"broken.jpg": cut, "0000.jpg": encode(picture(20, 30), "PNG"), "0001.jpg": cmyk}
    write_folder(folder / "album" / "train" / "cat", odd)


def archives(folder: Path) -> None:
    make_mini_ilsvrc(folder / "ILSVRC2012", per_class=21, val_per_class=2)


def part_of_archives(name: str, path: str) -> Callable[[Path], None]:
    """Makes the file `path` as a copy of an archive of ILSVRC-2012."""

    def copy(folder: Path) -> None:
        make_mini_ilsvrc(folder / "packed", per_class=21, val_per_class=2)
        shutil.move(folder / "packed" / name, folder / path)
        shutil.rmtree(folder / "packed")

    return copy


def unlabelled(folder: Path) -> None:
    with tarfile.open(folder / "ILSVRC2012_img_test.tar", "w") as tar:
        for number in range(1, 4):
            add_bytes(tar, f"ILSVRC2012_test_{number:08}.JPEG", jpeg(picture(40, 60, number)))


def images(path: str, *names: str, each: int = 2) -> Callable[[Path], None]:
    """Makes class folders, or with no names an image."""

    def write(folder: Path) -> None:
        if names:
            class_folders(folder / path, dict.fromkeys(names, each))
        else:
            kind = {".jpg": "JPEG", ".png": "PNG"}[Path(path).suffix]
            write_folder(folder, {path: encode(picture(40, 60), kind)})

    return write


def caffe(folder: Path) -> None:
    """A network of Caffe's with as many classes as the archives, under the names of bvlc_alexnet's files and of any net's."""
    layers = making.caffe_layers(classes=len(WNIDS))
    for file in ("bvlc_alexnet.caffemodel", "net.caffemodel"):
        making.write(folder / file, making.caffemodel(layers))
    making.write(folder / "deploy.prototxt", making.prototxt(layers))
    making.write(folder / "imagenet_mean.binaryproto", making.binaryproto(256)[0])
    names = (f"{wnid} {words}\n" for wnid, words in zip(WNIDS, WORDS, strict=True))
    making.write(folder / "synset_words.txt", "".join(names))


def torchvision(folder: Path) -> None:
    """A state dict under torchvision's names, narrow, with as many classes as the archives."""
    network = AlexNet(replace(thin(networks.torchvision), classes=len(WNIDS)), torch.Generator().manual_seed(0))
    torch.save(to_torchvision(network.state_dict()), folder / "alexnet.pth")


def layer_files(folder: Path) -> None:
    making.write(folder / "layers-145.cfg", making.two_columns())
    making.write(folder / "layer-params-145.cfg", making.section("conv1a", epsW=0.01, momW=0.9))


def folder_of_docs(folder: Path) -> None:
    (folder / "docs").mkdir()


def of_a_gpu(folder: Path) -> None:
    """What a machine with a GPU sends back, and where it goes in the repository."""
    write_folder(folder, {"runs/gpu/gpu-steps.json": b"{}", "runs/gpu/results/imagenette/lrn.json": b"{}"})
    for path in ("benchmarks/results", "src/alexnet/claims/results"):
        (folder / path).mkdir(parents=True, exist_ok=True)


STAND_INS: dict[str, str | Callable[[Path], None]] = {
    # What a reader has: images, archives.
    ".venv/bin/activate": lambda folder: write_folder(folder, {".venv/bin/activate": b""}),
    "photos": photos,
    "photos/cat.png": images("photos/cat.png"),
    "holiday.jpg": images("holiday.jpg"),
    "cat.jpg": images("cat.jpg"),
    "dog.jpg": images("dog.jpg"),
    "more": images("more", "."),
    "album": album,
    "photographs": images("photographs", "train/cat", "train/dog"),
    "cifar10": images("cifar10", *(f"train/{name}" for name in DIGITS)),
    "imagenette": images(
        "imagenette", *(f"{part}/{name}" for part in ("train", "val") for name in f"{FIVE} {OTHER_FIVE}".split())
    ),
    "ILSVRC2012": archives,
    "ILSVRC2012_devkit_t12.tar.gz": part_of_archives("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_devkit_t12.tar.gz"),
    "ILSVRC2012_img_test.tar": unlabelled,
    "fall11_whole.tar": part_of_archives("ILSVRC2012_img_train.tar", "fall11_whole.tar"),
    # Weights of others.
    **dict.fromkeys(("bvlc_alexnet.caffemodel", "net.caffemodel", "deploy.prototxt"), caffe),
    **dict.fromkeys(("imagenet_mean.binaryproto", "synset_words.txt"), caffe),
    "alexnet.pth": torchvision,
    "network.onnx": "alexnet export runs/imagenet onnx --out network.onnx",
    "network.safetensors": "alexnet export runs/photos alexnet --out network.safetensors",
    **dict.fromkeys(("layers-145.cfg", "layer-params-145.cfg"), layer_files),
    # Prepared datasets.
    "data/photos": "alexnet prepare photos data/photos",
    "data/imagenet": "alexnet prepare ILSVRC2012 data/imagenet",
    "data/ilsvrc2012": "alexnet prepare ILSVRC2012 data/ilsvrc2012",
    "data/imagenette": "alexnet prepare imagenette data/imagenette",
    "data/imagenette128": "alexnet prepare imagenette data/imagenette128 --size 128",
    "data/five": f"alexnet prepare imagenette data/five --size 128 --classes {FIVE}",
    "data/other-five": f"alexnet prepare imagenette data/other-five --size 128 --classes {OTHER_FIVE}",
    "data/cifar10": "alexnet prepare cifar10 data/cifar10 --size 32",
    "runs/demo/data": "alexnet prepare builtin runs/demo/data",
    # Runs.
    "runs/photos": "alexnet train demo --data data/photos --out runs/photos",
    "runs/demo/run": "alexnet train demo --data runs/demo/data --out runs/demo/run",
    "runs/paper": "alexnet train paper --data data/imagenet --out runs/paper",
    "runs/authors-2012": "alexnet train authors-2012 --data data/imagenet --out runs/authors-2012",
    "runs/imagenet": "alexnet train paper --data data/imagenet --out runs/imagenet",
    **{f"runs/{n}": f"alexnet train paper --seed {n} --data data/imagenet --out runs/{n}" for n in (1, 2, 3)},
    **dict.fromkeys(("runs/gpu", "benchmarks/results", "src/alexnet/claims/results"), of_a_gpu),
    "docs": folder_of_docs,
    # Placeholders.
    "RUN": "alexnet train demo --data data/photos --out RUN",
    "DATA": "alexnet prepare photos DATA",
    "DIR": "alexnet prepare photos DIR",
    "FILE": "alexnet export runs/photos alexnet --out network.safetensors; mv network.safetensors FILE",
}
