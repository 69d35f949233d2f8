"""A plan's figures against the preparation that it plans."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from alexnet.cli import main
from alexnet.data.plan import plan
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.data.sources.chosen import choose
from alexnet.errors import InputError
from tests.data.making import class_folders, jpeg, make_mini_ilsvrc, picture, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """700 images of three classes, every tenth of one class cut off."""
    folder = class_folders(
        tmp_path / "in", {"train/cat": 180, "train/dog": 420, "val/cat": 50, "val/dog": 50}, (50, 40)
    )
    cut = jpeg(picture(60, 60))[:-200]
    return write_folder(folder, {f"train/dog/{number:04}.jpg": cut for number in range(0, 420, 10)})


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_images_and_bytes_are_those_of_the_preparation(
    store: Literal["raw", "jpeg"], folder: Path, tmp_path: Path
) -> None:
    source = open_source(str(folder))
    planned = plan(source, tmp_path / "out", size=32, store=store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]  # nothing is written
    prepare(source, tmp_path / "out", size=32, store=store, max_bad=0.2)
    assert planned.images == {"train": 600, "val": 100} and planned.counted and planned.classes == 2
    assert planned.bytes[store] == pytest.approx(taken(tmp_path / "out"), rel=0.05)
    assert 200 <= planned.sampled <= 400
    assert planned.unreadable / planned.sampled == pytest.approx(42 / 700, abs=0.04)
    assert planned.seconds == pytest.approx(700 / planned.images_per_second)
    assert planned.source_bytes == pytest.approx(np.mean([p.stat().st_size for p in folder.rglob("*.jpg")]), rel=0.1)
    assert (planned.decode_per_second is None) == (store == "raw")
    other: Literal["raw", "jpeg"] = "jpeg" if store == "raw" else "raw"
    assert plan(source, tmp_path / "more", size=32, store=other).bytes == pytest.approx(planned.bytes, rel=0.01)


def test_archives_are_estimated_without_walking_through_them(tmp_path: Path) -> None:
    mini = make_mini_ilsvrc(tmp_path / "mini", per_class=60, val_per_class=2)
    tar = (mini.folder / "ILSVRC2012_img_train.tar").rename(tmp_path / "fall11_whole.tar")
    source = open_source(str(tar))
    planned = plan(source, tmp_path / "out", size=32)
    assert planned.images["train"] == pytest.approx(300, rel=0.2) and not planned.counted
    assert "about" in planned.lines()[0]
    some = plan(choose(source, source.classes[:2]), tmp_path / "out", size=32)
    assert some.images["train"] == pytest.approx(120, rel=0.2) and some.classes == 2


def test_as_if_there_were_more_and_more_machines(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(str(folder))
    one = plan(source, tmp_path / "out", size=32)
    free = SimpleNamespace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    fall = plan(source, tmp_path / "deep/down/out", size=32, images=15_000_000, classes=22_000, machines=4)
    assert (fall.images, fall.classes) == ({"train": 15_000_000}, 22_000)
    assert fall.bytes["raw"] == pytest.approx(15e6 * one.stored_bytes["raw"], rel=0.01)
    assert fall.epoch_bytes == pytest.approx(fall.bytes["raw"], rel=0.01)
    assert fall.seconds_on_machines == max(fall.seconds / 4, fall.take_over)
    assert fall.shards > 0 and one.shards == 0
    assert fall.listing > 1000 * one.listing / 700
    assert not fall.room and "NOT ENOUGH" in "\n".join(fall.lines())
    free.free = 10**15
    assert plan(source, tmp_path / "out", size=32, images=15_000_000).room


def test_what_cannot_be_planned(folder: Path, tmp_path: Path) -> None:
    source = open_source(str(folder))
    for option in ("machines", "images", "classes", "size"):
        with pytest.raises(InputError, match=f"--(as-)?{option} 0: must be at least 1"):
            plan(source, tmp_path / "out", **{option: 0})
    for option, value in (("workers", -1), ("workers", 0), ("quality", 500), ("quality", 0)):
        with pytest.raises(InputError, match=f"--{option} {value}: must be"):
            plan(source, tmp_path / "out", **{option: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="none of 3 images looked at can be read"):
        bad = write_folder(tmp_path / "bad", {f"{name}.jpg": b"x" for name in ("cat/0", "cat/1", "dog/0")})
        plan(open_source(str(bad)), tmp_path / "out")


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", str(folder), str(tmp_path / "out"), "--size", "32", "--plan", "--machines", "2"]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["total"] == 700 and document["machines"] == 2
    assert main([*command, "--store", "jpeg"]) == 0
    said = capsys.readouterr().out
    for word in (
        "700 images (600 train, 100 val) of 2 classes",
        "--store jpeg",
        "on 2 machines",
        "an epoch decodes",
        "assumes",
    ):
        assert word in said
    assert "\\n" not in said and said.count("\n") > 3, "a line each"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--machines", "--as-images", "--as-classes"])
def test_options_of_the_plan_alone(
    option: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", str(folder), str(tmp_path / "out"), "--size", "8", option, "1"]) == 2
    assert f"{option} 1: belongs to --plan" in capsys.readouterr().err and not (tmp_path / "out").exists()
