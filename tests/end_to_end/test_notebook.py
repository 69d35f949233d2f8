"""notebooks/paper.ipynb: it runs from top to bottom, shows what its text promises, and is committed without outputs."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parent.parent.parent / "notebooks" / "paper.ipynb"


class Executed:
    """A notebook that has been run, by the ids of its cells."""

    def __init__(self, cells: list) -> None:
        self.outputs = {cell.id: cell.outputs for cell in cells if cell.cell_type == "code"}

    def text(self, cell: str) -> str:
        """What a cell printed."""
        return "".join(output.text for output in self.outputs[cell] if output.output_type == "stream")

    def numbers(self, cell: str, line: str) -> list[float]:
        """The numbers that a cell printed after `line`, the beginning of one of its lines."""
        (rest,) = re.findall(rf"^{re.escape(line)}(.*)", self.text(cell), re.MULTILINE)
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", rest)]

    def pictures(self, cell: str) -> list[np.ndarray]:
        """The pictures that a cell showed, uint8 [H, W, 3]."""
        shown = [output.data["image/png"] for output in self.outputs[cell] if "image/png" in output.get("data", {})]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")) for png in shown]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebook runs: a working directory and a folder for temporary files."""
    folder = tmp_path_factory.mktemp("notebook")
    for name in ("here", "temporary", "jupyter"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="module")
def executed(folder: Path) -> Executed:
    """The notebook, run by a kernel of this environment; a cell that raises fails every test that asks for it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder / "here")}})
    with pytest.MonkeyPatch.context() as patch:
        # Of Jupyter's own folders none is to be written at home, and none of those at home to be read.
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / "jupyter"))
        patch.setenv("TMPDIR", str(folder / "temporary"))
        patch.setenv("OMP_NUM_THREADS", "1")
        client.execute()
    return Executed(notebook.cells)


def test_gradients_are_exactly_zero_where_columns_do_not_connect(executed: Executed) -> None:
    for layer, connected in (("conv2", False), ("conv3", True), ("conv4", False), ("conv5", False)):
        own, other = executed.numbers("s3-2-gradients-code", f"{layer}, column 1: ")[-2:]
        assert own > 0 and (other > 0) == connected, layer


def test_normalization_by_hand_is_the_layers_and_crosses_columns_where_it_should(executed: Executed) -> None:
    by_hand, by_layer = (executed.numbers("s3-3-code", line) for line in ("by hand", "by layer"))
    # a / (2 + 10^-4 sum a^2)^.75 for the first of 10, 0, 200: 10 / 6.01^.75
    assert by_hand[0] == pytest.approx(10 / 6.01**0.75, abs=1e-4)
    assert by_hand == pytest.approx(by_layer, abs=1e-3) and len(by_hand) == 5
    crossing = [executed.numbers("s3-3-columns-code", f"{window}: ")[1] for window in ("across", "column")]
    assert crossing == [2, 0]


def test_every_pixel_is_in_one_tile_or_up_to_four_overlapping_windows(executed: Executed) -> None:
    overlapping, tiled = executed.text("s3-4-code").split("windows of 2×2")
    assert set(re.findall(r"\b\d\b", overlapping.partition(":")[2])) == {"1", "2", "4"}
    assert set(re.findall(r"\b\d\b", tiled.partition(":")[2])) == {"1"}


def test_dropout_at_test_is_its_mean_in_training(executed: Executed) -> None:
    tested = executed.numbers("s4-2-code", "at test")
    assert tested == pytest.approx([n / 2 for n in range(1, 9)])
    assert executed.numbers("s4-2-code", "mean of 100,000") == pytest.approx(tested, abs=0.1)


def test_the_rule_by_hand_is_ours_and_pytorchs_until_the_rate_changes(executed: Executed) -> None:
    rows = [list(map(float, line.split())) for line in executed.text("s5-code").splitlines()[1:]]
    assert [row[0] for row in rows] == [0.01, 0.01, 0.001]
    for _, by_hand, ours, _ in rows:
        assert ours == pytest.approx(by_hand, abs=1e-5)
    theirs_off = [abs(theirs - by_hand) for _, by_hand, _, theirs in rows]
    assert max(theirs_off[:2]) < 1e-5 < 0.01 < theirs_off[2]


def test_relu_is_ahead_of_tanh(executed: Executed) -> None:
    relu, tanh = (executed.numbers("s3-1-code", f"{name} training error by epoch:") for name in ("relu", "tanh"))
    assert len(relu) == len(tanh) == 6
    assert relu[-1] < tanh[-1]


def test_the_trained_network_is_far_from_guessing(executed: Executed) -> None:
    guessing = executed.numbers("s6-code", "guessing: ")
    assert guessing[0] == pytest.approx(100 * 12 / 13, abs=0.06)
    for views in ("1 view: ", "10 views: "):
        top1, _, top5, _ = executed.numbers("s6-code", views)
        assert top5 <= top1 < guessing[0] / 2


def test_neighbours_by_features_agree_more_than_by_pixels(executed: Executed) -> None:
    by_features, by_pixels = (
        executed.numbers("s6-1-pixels-code", what)[0] for what in ("fc7_agreement", "pixel_agreement")
    )
    assert 100 / 13 < by_pixels < by_features <= 100


def test_the_statements_are_listed(executed: Executed) -> None:
    for name in ("relu", "columns", "lrn", "overlap", "dropout", "decay"):
        assert re.search(rf"^{name} +§", executed.text("s7-code"), re.MULTILINE), name
    assert len(executed.text("s5-2012-code").splitlines()) >= 10


def test_every_figure_is_shown(executed: Executed) -> None:
    source = nbformat.read(NOTEBOOK, as_version=4)
    showing = [
        cell.id for cell in source.cells if cell.cell_type == "code" and re.search("^ *show\\(", cell.source, re.M)
    ]
    assert len(showing) == 11
    for cell in showing:
        (picture,) = executed.pictures(cell)
        assert min(picture.shape[:2]) >= 300, cell
        assert (picture != 255).any(axis=2).mean() > 0.005, f"{cell} shows an empty page"


def test_nothing_is_left_behind(executed: Executed, folder: Path) -> None:
    assert not list((folder / "here").iterdir())
    assert not list((folder / "temporary").glob("alexnet-*"))


def test_it_is_committed_without_outputs_as_jupyter_writes_it() -> None:
    text = NOTEBOOK.read_text("utf-8")
    notebook = json.loads(text)
    advice = "make notebook-clear"
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, f"{cell['id']} has outputs: {advice}"
        assert cell["metadata"] == {}, f"{cell['id']} has metadata: {advice}"
    assert set(notebook["metadata"]) == {"kernelspec"}, f"the notebook has more metadata: {advice}"
    nbformat.validate(notebook)
    assert nbformat.writes(nbformat.from_dict(notebook)) + "\n" == text


def test_it_has_every_section_of_the_paper() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    headings = re.findall(r"^## §(\S+)", "\n".join("".join(cell["source"]) for cell in cells), re.MULTILINE)
    assert headings == ["1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4.1", "4.2", "5", "6", "6.1", "7"]


def test_ruff_looks_at_its_cells() -> None:
    pytest.importorskip("ruff")
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", ".", "--show-files"], cwd=NOTEBOOK.parent.parent, capture_output=True
    )
    assert str(NOTEBOOK).encode() in shown.stdout, "make lint leaves the notebook out"
