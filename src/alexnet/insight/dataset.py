"""A look at a prepared dataset: what is in it, whether its files are whole, and a sheet of its images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.data import prepared
from alexnet.extras import lacking
from alexnet.files import refused
from alexnet.insight import contact_sheet


@dataclass(frozen=True)
class DatasetReport:
    """What `prepared.Prepared.describe` says of a dataset, and what is wrong with its files, a line each."""

    facts: dict[str, Any]
    problems: list[str]
    passed_over: str  # what lay in its source and was no image of it, in words
    sheet: Path | None  # the contact sheet; None where the files are damaged, or it could not be written
    no_sheet: str  # why it could not be written, where nobody had named a place for it

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**self.facts, "problems": self.problems, "sheet": self.sheet and str(self.sheet)}


def report_dataset(path: Path | str, sheet: Path | None = None) -> DatasetReport:
    """Check every file of a prepared dataset against its checksum, and draw a contact sheet where all are whole.

    sheet: the picture to write, by default contact-sheet.png in the dataset's folder. Raises InputError where there is no
    dataset, OSError where the picture that was asked for cannot be written.
    """
    dataset = prepared.open(path)
    problems, no_sheet = dataset.check(), "" if sheet else lacking("report", "matplotlib")
    picture = None if problems or no_sheet else sheet or dataset.path / "contact-sheet.png"
    if picture:
        sample = dataset.sample(dataset.splits[0], 6 if len(dataset.classes) <= 20 else 1)
        try:
            contact_sheet.draw(sample.images[:], [dataset.classes[label] for label in sample.labels], picture)
        except OSError as error:  # a dataset that may be read only is as good
            if sheet:
                raise
            no_sheet, picture = f"{refused(error)}; name a place for it with --sheet", None
    return DatasetReport(dataset.describe(), problems, str(dataset.passed_over), picture, no_sheet)
