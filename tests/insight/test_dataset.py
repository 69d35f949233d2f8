"""What the report of a prepared dataset says, and that it finds what is damaged."""

from pathlib import Path

import pytest
from PIL import Image

from alexnet.data import prepared
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.errors import InputError
from alexnet.insight.dataset import report_dataset
from tests.data.making import class_folders


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = class_folders(tmp_path / "in", {"train/cat": 4, "train/dog": 3, "val/cat": 1, "val/dog": 2})
    prepare(open_source(str(folder)), tmp_path / "set", size=8)
    return tmp_path / "set"


def test_a_whole_set_has_a_sheet_and_its_facts(dataset: Path, tmp_path: Path) -> None:
    report = report_dataset(dataset)
    assert (report.problems, report.sheet, report.no_sheet) == ([], dataset / "contact-sheet.png", "")
    with Image.open(dataset / "contact-sheet.png") as sheet:
        assert min(sheet.size) > 8
    document = report.to_dict()
    assert document["splits"]["train"]["per_class"] == {"cat": 4, "dog": 3}
    assert document["sheet"] == str(dataset / "contact-sheet.png")
    assert report_dataset(dataset, tmp_path / "sheet.png").sheet == tmp_path / "sheet.png"
    assert prepared.open(dataset).to_dict()["images"] == 10


def test_a_damaged_set_has_problems_and_no_sheet(dataset: Path) -> None:
    with (dataset / "train/images.bin").open("r+b") as file:
        file.write(b"\1\2\3")
    report = report_dataset(dataset)
    assert len(report.problems) == 1 and "have changed since they were written" in report.problems[0]
    assert report.sheet is None and report.to_dict()["sheet"] is None
    assert not (dataset / "contact-sheet.png").exists()


def test_no_set_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        report_dataset(tmp_path / "none")
