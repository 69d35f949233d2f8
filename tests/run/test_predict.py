"""Labels for files, read in batches ahead of the network."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.errors import InputError
from alexnet.insight.features import features_of
from alexnet.run import predict, trained
from alexnet.run.trained import TrainedNetwork
from tests.conftest import CLASSES, picture


@pytest.fixture
def network(tiny_run: Path) -> TrainedNetwork:
    return trained.load(tiny_run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(5)
    for number in range(7):
        Image.fromarray(picture(CLASSES[number % 4], draw)).save(tmp_path / f"{number}.png")
    (tmp_path / "3b.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize("batch", [1, 3, 8, 32])
def test_images_keep_their_order_whatever_the_batches(
    batch: int, network: TrainedNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", batch)
    predicted = list(predict.predictions(network, predict.find([str(folder)])))
    assert [Path(one.image).name for one in predicted] == sorted(file.name for file in folder.iterdir())
    assert [one.error is None for one in predicted] == [True] * 4 + [False] + [True] * 3
    for one in predicted:
        if one.pixels is not None:
            (wanted,) = network.probabilities(one.pixels[None], 10)
            label, probability = one.top[0]
            assert label == network.classes[int(wanted.argmax())]
            np.testing.assert_allclose(probability, wanted.max().item(), rtol=1e-4)


def test_what_is_no_file_or_too_large_is_one_error_each(network: TrainedNetwork, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "zz.jpg").open("wb") as file:
        file.truncate(8 << 30)
    names = [
        "/dev/zero",
        str(tmp_path / "pipe.jpg"),
        str(tmp_path / "zz.jpg"),
        str(tmp_path / "gone.jpg"),
        str(tmp_path),
    ]
    assert [one.error for one in predict.predictions(network, iter(names))] == [
        "a pipe or a device, not a file",
        "a pipe or a device, not a file",
        "8.6 GB, more than the 600.0 MB that an image file may have",
        "No such file or directory",
        "no images in this folder",
    ]


def test_the_next_images_are_read_while_the_network_computes(
    network: TrainedNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", 2)
    read = {file.name: threading.Event() for file in folder.iterdir()}
    to_square = predict.to_square

    def noted(data: bytes, size: int) -> np.ndarray:
        read[next(file.name for file in folder.iterdir() if file.read_bytes() == data)].set()
        return to_square(data, size)

    def probabilities(images: np.ndarray, views: int) -> torch.Tensor:
        assert read["2.png"].wait(10)  # the third, while the network has the first two
        return torch.full((len(images), 4), 0.25)

    monkeypatch.setattr(predict, "to_square", noted)
    monkeypatch.setattr(network, "probabilities", probabilities)
    next(predict.predictions(network, predict.find([str(folder)])))


def test_nothing_to_read_gives_nothing(network: TrainedNetwork) -> None:
    assert list(predict.predictions(network, iter(()))) == []


# From Python: alexnet.load(run).predict(...) --------------------------------------------------------------------------


def wanted(network: TrainedNetwork, pixels: np.ndarray, views: int = 1) -> list[tuple[str, float]]:
    """The labels of an image uint8 [S, S, 3], worked out from `probabilities`."""
    (predicted,) = network.probabilities(pixels[None], views)
    return [(network.classes[k], float(predicted[k])) for k in predicted.argsort(descending=True).tolist()]


def test_one_image_gives_labels_and_probabilities(network: TrainedNetwork, folder: Path) -> None:
    predicted = network.predict(folder / "0.png")
    pixels = np.asarray(Image.open(folder / "0.png"))
    assert predicted.top == [(label, pytest.approx(p, abs=1e-6)) for label, p in wanted(network, pixels)]
    assert (predicted.label, predicted.probability) == predicted.top[0]
    assert len(predicted.top) == len(CLASSES), "five labels, or as many as there are classes"
    assert predicted.image == str(folder / "0.png") and predicted.error is None
    assert network.predict(str(folder / "0.png")) == predicted
    ten = network.predict(folder / "0.png", views=10, top=2)
    assert ten.top == [(label, pytest.approx(p, abs=1e-6)) for label, p in wanted(network, pixels, 10)[:2]]


def test_paths_pillow_arrays_and_tensors_of_the_same_pixels_are_the_same_image(
    network: TrainedNetwork, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(
        0, 256, (90, 70, 3), np.uint8
    )  # neither square nor of the network's size
    Image.fromarray(pixels).save(tmp_path / "a.png")
    given = [
        tmp_path / "a.png",
        Image.open(tmp_path / "a.png"),
        Image.fromarray(pixels),
        pixels,
        torch.from_numpy(pixels),
    ]
    each = [network.predict(one).top for one in given]  # type: ignore[union-attr]
    assert all(top == each[0] for top in each)
    together = network.predict(given)
    assert [[label for label, _ in one.top] for one in together] == [[label for label, _ in top] for top in each]
    path = str(tmp_path / "a.png")
    assert [one.image for one in together] == [path, path, "images[2]", "images[3]", "images[4]"]
    assert torch.equal(network.features(given)[2], network.features(given)[0])
    grey = network.predict([pixels[:, :, 0], np.repeat(pixels[:, :, :1], 3, axis=2), Image.fromarray(pixels[:, :, 0])])
    assert grey[0].top == grey[1].top == grey[2].top


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "exif"])
def test_an_image_of_pillow_is_read_as_its_file_is(mode: str, network: TrainedNetwork, tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    exif = Image.Exif()
    if mode == "I;16":
        image = Image.fromarray(draw.integers(0, 65536, (40, 50), np.uint16))
    elif mode == "exif":
        image, exif[0x0112] = Image.fromarray(draw.integers(0, 256, (40, 50, 3), np.uint8)), 6
    else:
        image = Image.fromarray(draw.integers(0, 256, (40, 50, 4), np.uint8), "RGBA").convert(mode)
    file = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(file, exif=exif)
    with Image.open(file) as opened:
        assert network.predict(opened).top == network.predict(file).top
        assert opened.getpixel((0, 0)) is not None, "it is still open"


def test_several_images_are_a_list_in_their_order(network: TrainedNetwork, folder: Path) -> None:
    names = [folder / f"{number}.png" for number in range(4)]
    images = np.stack([np.asarray(Image.open(name)) for name in names])
    tops = [wanted(network, pixels) for pixels in images]
    for given in (names, tuple(names), iter(names), images, torch.from_numpy(images), [str(folder / "[0-3].png")]):
        predicted = network.predict(given)  # type: ignore[arg-type]
        assert isinstance(predicted, list)
        assert [one.top for one in predicted] == [[(label, pytest.approx(p, abs=1e-6)) for label, p in t] for t in tops]
    assert len(network.predict([folder])) == 8, "a folder in a list is all images in it"
    assert network.predict([]) == []


def test_in_a_list_the_others_go_on_and_the_bad_one_says_why(network: TrainedNetwork, folder: Path) -> None:
    array = np.zeros((8, 8), np.float32)
    bad, good, odd, absent = network.predict([folder / "3b.png", folder / "0.png", array, folder / "absent.png"])
    assert bad.error == "not an image of a known format" and bad.top == [] and good.error is None
    assert absent.error == "No such file or directory" and odd.error is not None and "float32 [8, 8]" in odd.error
    for one, name in ((bad, "3b.png"), (odd, r"images\[2\]"), (absent, "absent.png")):
        with pytest.raises(InputError, match=name):
            one.label  # noqa: B018
        with pytest.raises(InputError, match=name):
            one.probability  # noqa: B018


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("{folder}/3b.png", "3b.png: not an image of a known format"),
        ("{folder}/absent.png", "absent.png: No such file"),
        ("{folder}", r"a folder; \['.*'\], a list, stands for all images in it"),
        ("{folder}/*.png", r"a list, stands for all files that it matches"),
        ("a\0b", "null"),
        (
            np.zeros((8, 8, 3), np.float32),
            r"^image: .*float32 \[8, 8, 3\].*\(255 \* image\)\.round\(\)\.astype\(np\.uint8\)",
        ),
        (torch.zeros(8, 8, 3, dtype=torch.bfloat16), r"bfloat16 \[8, 8, 3\].*to\(torch\.uint8\)"),
        (np.zeros((3, 8, 8), np.uint8), r"channels come last: image\.transpose\(1, 2, 0\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"channels come last: image\.permute\(1, 2, 0\)"),
        (torch.zeros(3, 8, 8), r"permute.*\(255 \* image\)"),
        (np.zeros((8, 8, 1), np.uint8), r"image\[:, :, 0\]"),
        (np.zeros((8, 8, 4), np.uint8), r"PIL\.Image\.fromarray"),
        (np.zeros((0, 8, 3), np.uint8), "without pixels"),
        (np.zeros((8, 8), np.uint16), r"uint16 \[8, 8\]"),
        (np.array(["a.png"]), r"uint8 \[H, W, 3\]"),
        (Image.new("F", (8, 8)), "floating-point"),
        (None, "NoneType is no image"),
        (7, "int is no image"),
    ],
)
def test_one_image_that_cannot_be_read_is_an_error_with_the_fix(
    image: object, message: str, network: TrainedNetwork, folder: Path
) -> None:
    given = image.format(folder=folder) if isinstance(image, str) else image
    for ask in (network.predict, network.features):
        with pytest.raises(InputError, match=message):
            ask(given)  # type: ignore[arg-type]


def test_more_labels_than_classes_and_other_views_are_refused(network: TrainedNetwork, folder: Path) -> None:
    for top in (0, -1, 5):
        with pytest.raises(InputError, match=f"top={top}: this network has 4 classes; ask for 1 to 4"):
            network.predict(folder / "0.png", top=top)
    with pytest.raises(InputError, match="views 3"):
        network.predict(folder / "0.png", views=3)


def test_a_prediction_shows_what_it_says() -> None:
    predicted = predict.Prediction(
        "a.png", [("tench", 0.9312), ("gas pump", 0.05)], pixels=np.zeros((2, 2, 3), np.uint8)
    )
    assert repr(predicted) == "Prediction('a.png': 'tench' 93.1 %, 'gas pump' 5.0 %)"
    assert repr(predict.Prediction("b", [], error="empty file")) == "Prediction('b', error='empty file')"


def test_features_are_those_that_similar_compares(network: TrainedNetwork, folder: Path) -> None:
    names = [folder / f"{number}.png" for number in range(4)]
    predicted = network.features(names)
    assert predicted.shape == (4, 32) and predicted.dtype == torch.float32 and not predicted.is_inference()
    pixels = np.stack([np.asarray(Image.open(name)) for name in names])
    torch.testing.assert_close(predicted, torch.cat(list(features_of(network, pixels))))
    torch.testing.assert_close(network.features(names[0]), predicted[:1])
    torch.testing.assert_close(network.features(pixels), predicted)
    assert network.features([]).shape == (0, 32)
    with pytest.raises(InputError, match="3b.png: not an image"):
        network.features([folder / "0.png", folder / "3b.png"])
    torch.nn.Linear(32, 2)(predicted).sum().backward()  # a classifier of one's own learns on them


def test_the_images_of_a_folder_are_those_that_prepare_would_take(tmp_path: Path) -> None:
    for name in ("b.png", "a/noext", "@eaDir/b.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG")
    assert list(predict.find([str(tmp_path)])) == [str(tmp_path / "a" / "noext"), str(tmp_path / "b.png")]


def test_the_bytes_of_a_file_are_its_image(network: TrainedNetwork, folder: Path) -> None:
    file = next(folder.rglob("*.png"))
    assert network.predict(file.read_bytes()).top == network.predict(file).top
