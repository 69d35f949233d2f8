"""What several tests of data share."""

from pathlib import Path

import pytest

from alexnet.data import prepare as preparing
from alexnet.data.sources import open_source
from tests.data.making import class_folders


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def chunked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of 12 images in three chunks of 4, in either store; whoever changes a file of it puts it back."""
    folder = tmp_path_factory.mktemp(request.param)
    source = open_source(str(class_folders(folder / "in", {"train/cat": 6, "train/dog": 6})))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "CHUNK", 4)
        preparing.prepare(source, folder / "out", size=8, store=request.param)
    return folder / "out"
