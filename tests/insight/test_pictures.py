"""The pictures: what is in them, that they are files of the kind asked for, and that odd names do them no harm."""

import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from alexnet.data.prepared import Split
from alexnet.errors import InputError
from alexnet.insight import confusion, contact_sheet, curves, kernels, neighbours, picture, predictions
from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.run import trained

ODD_NAMES = ["<script>alert(1)</script>", "$x^2$ & $", "a\nb", "강아지", "\udce9t\udce9", "W" * 80, ""]
STEERING = ["\x1b[31mred\x1b[0m", "\x00\x07\x9b2J\x85", "\u202egnp.exe", "\uffff\ufffe\u2028", r"$\frac{", "]]>&#27;"]
"""Names that a terminal obeys, that XML forbids, and that are no formula."""


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def words(figure: Figure) -> list[str]:
    """All text of a page that is drawn by position."""
    return [text.get_text() for text in figure.axes[0].texts]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_a_picture_is_of_the_kind_its_suffix_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"kernels{suffix}"
    picture.save(kernels.figure(AlexNet(networks["small"])), path)
    content = path.read_bytes()
    if suffix == ".svg":
        assert ElementTree.fromstring(content).tag.endswith("svg")
    else:
        assert content.startswith(b"%PDF" if suffix == ".pdf" else b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_another_suffix_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"curves\.gif.*\.png, \.svg"):
        picture.save(curves.figure([]), tmp_path / "curves.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_equal_pictures_are_equal_files(kind: str) -> None:
    line = {"kind": "epoch", "epoch": 1, "step": 9, "loss": 1.0, "train_error": 50.0, "rate": 0.01}
    assert picture.encode(curves.figure([line]), kind) == picture.encode(curves.figure([line]), kind)


def test_long_and_wide_names_are_shortened() -> None:
    assert picture.shorten("tench", 5) == "tench"
    assert picture.shorten("a cassette player", 10) == "a cassett…"
    assert picture.shorten("two\n lines", 20) == r"two\n lines"
    assert picture.shorten("강아지강아지", 7) == "강아지…" and picture.shorten("강아지강아지", 6) == "강아…"


def test_wordnet_numbers_give_way_to_words() -> None:
    assert picture.shorten("n02012849 crane", 20) == "crane"
    assert picture.shorten("n03425413", 20) == "gas pump"
    assert picture.shorten("n02012849", 20) == "n02012849"


# kernels ---------------------------------------------------------------------------------------------------------


def test_kernels_are_normalized_one_by_one_around_grey() -> None:
    weight = torch.zeros(3, 3, 2, 2)
    weight[1, 0, 0, 0], weight[1, 1, 0, 0] = 1e-4, -0.5e-4
    weight[2, :, 1, 1] = -7.0
    pictures = kernels.normalized(weight)
    assert pictures.shape == (3, 2, 2, 3) and pictures.dtype == np.uint8
    assert (pictures[0] == 128).all()
    assert pictures[1, 0, 0].tolist() == [255, 64, 128]
    assert pictures[2, 1, 1].tolist() == [0, 0, 0] and (pictures[2, 0] == 128).all()


def test_the_papers_kernels_are_8_rows_of_12() -> None:
    weight = torch.randn(96, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    sheet = kernels.grid(weight, kernels.kernels_a_row(96, 48))
    assert sheet.shape == (8 * 12 - 1, 12 * 12 - 1, 3) and sheet.dtype == np.uint8
    each = kernels.normalized(weight)
    assert (sheet[:11, :11] == each[0]).all()
    assert (sheet[12:23, 12:23] == each[13]).all()
    assert (sheet[11] == 255).all() and (sheet[:, 11] == 255).all()


@pytest.mark.parametrize("number", [1, 2, 7, 31, 64, 97, 256])
def test_any_number_of_kernels_has_a_place(number: int) -> None:
    weight = torch.full((number, 3, 4, 4), -1.0)
    sheet = kernels.grid(weight, kernels.kernels_a_row(number, number), gap=0)
    black = (sheet == 0).all(axis=-1).sum()
    assert black == number * 16
    assert sheet.shape[0] <= 3 * sheet.shape[1] and sheet.shape[1] <= 4 * sheet.shape[0]


def test_enlarging_repeats_pixels() -> None:
    weight = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    plain = kernels.grid(weight, across=2, gap=0)
    assert (kernels.grid(weight, across=2, enlarge=3, gap=0) == plain.repeat(3, axis=0).repeat(3, axis=1)).all()


def test_column_1_is_above_column_2(tmp_path: Path) -> None:
    network = AlexNet(networks["small"])
    with torch.no_grad():
        network.conv1.weight[:16] = -1.0
        network.conv1.weight[16:] = 1.0
    path = tmp_path / "kernels.png"
    figure = kernels.figure(network, "two columns")
    picture.save(figure, path)
    rows = np.flatnonzero((pixels(path) == 0).all(axis=-1).mean(axis=1) > 0.5)
    assert len(rows) and rows.max() < pixels(path).shape[0] / 2, (
        "black kernels, those of column 1, are in the upper half"
    )
    assert {"two columns", "column 1", "column 2", "kernels 0 to 15, 7×7×3", "kernels 16 to 31, 7×7×3"} <= set(
        words(figure)
    )
    assert any("normalized on its own" in line for line in words(figure))


def test_one_column_is_not_split() -> None:
    shown = words(kernels.figure(AlexNet(networks["four-layer"])))
    assert "kernels 0 to 31, 5×5×3" in shown
    assert not any(line.startswith("column") for line in shown)


def test_kernels_of_several_runs_are_side_by_side_with_the_colour_of_each_column(tmp_path: Path) -> None:
    """Grey kernels in column 1 and none but colour in column 2; the fourth run begins a second row."""
    network = AlexNet(networks["small"])
    with torch.no_grad():
        network.conv1.weight[:16] = -1.0
        network.conv1.weight[16:] = torch.tensor([1.0, -1.0, 0.0]).reshape(1, 3, 1, 1)
    four = kernels.several([(network, f"seed {seed}") for seed in range(4)])
    shown = words(four)
    assert {f"seed {seed}" for seed in range(4)} <= set(shown)
    assert shown.count("column 1, colour 0.00") == shown.count("column 2, colour 1.00") == 4
    three = kernels.several([(network, f"seed {seed}") for seed in range(3)])
    assert four.get_figheight() > three.get_figheight() and four.get_figwidth() == three.get_figwidth()
    tower = AlexNet(networks["four-layer"])
    picture.save(kernels.several([(network, "two columns"), (tower, "one")]), tmp_path / "both.png")
    assert (pixels(tmp_path / "both.png") == 0).all(axis=-1).any()


def test_kernels_that_read_no_colour_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[K, 3, h, w\]"):
        kernels.grid(torch.zeros(4, 2, 3, 3), 2)


# predictions -----------------------------------------------------------------------------------------------------


def photographs(number: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("number", [1, 2, 5, 9, 16])
def test_every_image_has_its_labels(number: int) -> None:
    five = [("tench", 0.5), ("church", 0.25), ("gas pump", 0.125), ("chain saw", 0.1), ("golf ball", 0.025)]
    shown = words(predictions.figure(photographs(number), [five] * number, ["church"] * number))
    assert shown.count("tench") == number and shown.count("50.0 %") == number
    assert shown.count("church") == 2 * number, "beneath the image, and on its bar"


def test_the_right_bar_has_another_colour() -> None:
    labels = [[("tench", 0.75), ("church", 0.25)]]
    colours = {}
    for true in ("church", "golf ball", None):
        bars = predictions.figure(photographs(1), labels, [true]).axes[0].patches
        colours[true] = [bar.get_facecolor() for bar in bars if bar.get_width() < 0.8 * predictions._SIDE]
        assert [bar.get_width() / predictions._SIDE for bar in bars[1::2]] == [0.75, 0.25]
    assert len(set(colours["church"])) == 2
    assert len(set(colours["golf ball"])) == len(set(colours[None])) == 1


def test_the_photograph_is_in_the_picture(tmp_path: Path) -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[..., 0] = 200
    page = predictions.figure(image, [[("red", 1.0)]], [None], names=["holiday/red.jpeg"])
    picture.save(page, tmp_path / "red.png")
    share = (pixels(tmp_path / "red.png") == (200, 0, 0)).all(axis=-1).sum()
    assert share == (2 * predictions._SIDE) ** 2


def test_odd_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    five = [(name, 0.1) for name in ODD_NAMES]
    page = predictions.figure(photographs(2), [five, five], [ODD_NAMES[1], ODD_NAMES[3]], names=ODD_NAMES[:2])
    picture.save(page, tmp_path / "odd.png")
    contact_sheet.draw(photographs(len(ODD_NAMES)), ODD_NAMES, tmp_path / "sheet.svg")
    picture.save(confusion.figure(np.eye(len(ODD_NAMES), dtype=int), ODD_NAMES), tmp_path / "confusion.svg")
    assert "$x^2$ & $" in words(predictions.figure(photographs(1), [five], [None]))
    ElementTree.fromstring((tmp_path / "sheet.svg").read_bytes())
    ElementTree.fromstring((tmp_path / "confusion.svg").read_bytes())


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_names_that_steer_a_terminal_leave_pictures_whole(kind: str, tiny_run: Path) -> None:
    five = [(name, 0.1) for name in STEERING]
    number = len(STEERING)
    queries = neighbours.Queries(photographs(number), STEERING, STEERING)
    split = Split("train", photographs(number), np.arange(number), tuple(STEERING), STEERING)
    near = neighbours.Neighbours(torch.ones(number, 1), torch.arange(number)[:, None], number)
    figures = [
        predictions.figure(photographs(number), [five] * number, STEERING, STEERING),
        contact_sheet.figure(photographs(number), STEERING),
        confusion.figure(np.eye(number, dtype=int), STEERING),
        kernels.figure(AlexNet(networks["small"]), STEERING[0]),
        neighbours.figure(trained.load(tiny_run), queries, near, split, STEERING[1]),
    ]
    for figure in figures:
        content = picture.encode(figure, kind)
        if kind == "svg":
            ElementTree.fromstring(content)
    assert r"\033[31mred\033[0m" in words(figures[0]) and r"$\frac{" in words(figures[0])


def test_unequal_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter than"):
        predictions.figure(photographs(2), [[("tench", 1.0)]], [None, None])
    with pytest.raises(ValueError, match="shorter than"):
        contact_sheet.figure(photographs(2), ["tench"])


def test_terminal_lines_align_and_measure() -> None:
    lines = predictions.text([("tench", 1.0), ("[red]church[/red]", 0.5), ("강아지", 0.001)], width=8)
    plain = [line.plain for line in lines]
    assert "████████" in plain[0] and plain[0].endswith("100.0 %")
    assert "[red]church[/red]" in plain[1] and plain[1].count("█") == 4
    assert plain[2].endswith("  0.1 %") and "█" not in plain[2]
    assert len({line.cell_len for line in lines}) == 1


def test_bars_of_a_terminal_grow_by_eighths() -> None:
    lengths = [predictions._blocks(eighths / 16, 2) for eighths in range(17)]
    assert lengths[0] == "" and lengths[1] == "▏" and lengths[8] == "█" and lengths[9] == "█▏" and lengths[16] == "██"
    assert len(set(lengths)) == 17


# contact sheet ---------------------------------------------------------------------------------------------------


def test_a_contact_sheet_names_every_image() -> None:
    names = [f"class {k}" for k in range(23)]
    assert words(contact_sheet.figure(photographs(23), names)) == names


def test_a_contact_sheet_of_very_many_shows_some_from_first_to_last() -> None:
    shown = words(contact_sheet.figure(photographs(1000, 4), [str(k) for k in range(1000)]))
    assert len(shown) == contact_sheet.MOST and shown[0] == "0" and shown[-1] == "999"


# curves ----------------------------------------------------------------------------------------------------------


def epoch(number: int, **values: float) -> dict:
    return {
        "kind": "epoch",
        "epoch": number,
        "step": 10 * number,
        "loss": 2.0 / number,
        "train_error": 90.0 / number,
        "rate": 0.01,
    } | values


def lines_by_name(figure: Figure) -> dict[str, tuple[list, list]]:
    lines = [line for panel in figure.axes for line in panel.lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in lines}


def test_curves_hold_the_numbers_of_the_epochs() -> None:
    metrics = [
        {"kind": "start", "epoch": 0, "step": 0},
        {"kind": "step", "epoch": 0, "step": 5, "loss": 9.0, "error": 99.0, "rate": 0.01},
        epoch(1, validation_top1=80.0, validation_top5=30.0),
        epoch(2),
        epoch(3, validation_top1=60.0, validation_top5=20.0),
    ]
    drawn = lines_by_name(curves.figure(metrics))
    assert drawn["training"] == ([1, 2, 3], [2.0, 1.0, 2.0 / 3])
    assert drawn["training, top-1"] == ([1, 2, 3], [90.0, 45.0, 30.0])
    assert drawn["validation, top-1"] == ([1, 3], [80.0, 60.0])
    assert drawn["validation, top-5"] == ([1, 3], [30.0, 20.0])


def test_an_epoch_that_was_done_again_counts_once() -> None:
    drawn = lines_by_name(curves.figure([epoch(1), epoch(2), epoch(2, loss=7.0)]))
    assert drawn["training"] == ([1, 2], [2.0, 7.0])


def test_drops_of_the_rate_are_marked_where_the_epoch_begins() -> None:
    metrics = [epoch(1), epoch(2), epoch(3, rate=0.001), epoch(4, rate=0.001), epoch(5, rate=1e-4)]
    panel = curves.figure(metrics).axes[1]
    assert [line.get_xdata()[0] for line in panel.lines if line.get_linestyle() == "--"] == [2, 4]
    assert {"rate 0.01", "0.001", "0.0001"} == {text.get_text() for text in panel.texts}


def test_a_run_in_its_first_epoch_is_drawn_by_steps() -> None:
    steps = [{"kind": "step", "epoch": 0, "step": s, "loss": 2.3, "error": 90.0, "rate": 0.01} for s in (20, 40)]
    drawn = lines_by_name(curves.figure(steps, classes=10))
    assert drawn == {"training": ([20, 40], [2.3, 2.3]), "training, top-1": ([20, 40], [90.0, 90.0])}


def test_a_run_without_numbers_says_so(tmp_path: Path) -> None:
    assert "nothing measured yet" in words(curves.figure([{"kind": "start"}]))
    picture.save(curves.figure([], classes=10), tmp_path / "curves.svg")
    ElementTree.fromstring((tmp_path / "curves.svg").read_bytes())


# confusion -------------------------------------------------------------------------------------------------------


def test_the_cells_of_a_confusion_matrix_are_shares_of_the_true_class() -> None:
    cells = confusion.cells([[3, 1, 0], [0, 0, 0], [4, 0, 996]])
    assert [[cell["text"] for cell in row] for row in cells] == [["75", "25", ""], ["", "", ""], ["<1", "", "100"]]
    # Right: the share itself. Wrong: roots of shares of the largest confusion, 0.25; the root of 0.004 / 0.25 is 0.126.
    assert [[cell["level"] for cell in row] for row in cells] == [[75, 100, 0], [0, 0, 0], [13, 0, 100]]
    assert confusion.pairs([[3, 1, 0], [0, 0, 0], [4, 0, 996]]) == [(2, 0, 4), (0, 1, 1)]
    assert confusion.cells([[2, 0], [0, 5]])[1][1] == {"images": 5, "text": "100", "level": 100, "right": True}


def test_confusion_shows_shares_of_the_true_class() -> None:
    figure = confusion.figure([[3, 1, 0], [0, 0, 0], [1, 0, 999]], ["a", "b", "c"])
    panel = figure.axes[0]
    assert {text.get_position(): text.get_text() for text in panel.texts} == {
        (0, 0): "75",
        (1, 0): "25",
        (0, 2): "<1",
        (2, 2): "100",
    }
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b", "c"]
    assert panel.get_ylabel() == "true" and panel.get_xlabel() == "predicted"


@pytest.mark.parametrize(("number", "named"), [(2, True), (30, True), (31, False), (1000, False)])
def test_classes_are_named_while_there_is_room(tmp_path: Path, number: int, named: bool) -> None:
    classes = [f"class-{k}" for k in range(number)]
    figure = confusion.figure(np.eye(number, dtype=int), classes)
    assert ("class-1" in {label.get_text() for label in figure.axes[0].get_yticklabels()}) == named
    picture.save(figure, tmp_path / "confusion.png")
    assert min(pixels(tmp_path / "confusion.png").shape[:2]) >= 2 * number


def test_a_confusion_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError):
        confusion.figure(np.eye(3, dtype=int), ["a", "b"])
