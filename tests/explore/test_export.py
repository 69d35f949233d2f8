"""The exported site: the same paths with the same bytes as the server's answers, whole or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.errors import InputError
from alexnet.explore import answers, export
from alexnet.explore.server import PAGE
from alexnet.explore.session import Session
from alexnet.run import trained
from tests.conftest import picture
from tests.explore.conftest import client_of


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    Image.fromarray(picture("checks", np.random.default_rng(8), 50)).save(file)
    return file


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run")


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_every_file_has_the_bytes_of_the_server_s_answer(run: Path, photo: Path, tmp_path: Path) -> None:
    session = Session([run], images=[str(photo), "train-7"], live=False)
    done = export.export(session, tmp_path / "site")
    client = client_of(session)
    files = files_of(tmp_path / "site")
    assert (done.files, done.runs, done.images) == (
        len(files),
        ("run",),
        ("photo.png", session.images.given["train-7"].name),
    )
    for file in files:
        answer = client.get(f"/{file}")
        assert answer.status_code == 200 and answer.content == (tmp_path / "site" / file).read_bytes(), file
    index = json.loads((tmp_path / "site/api/index.json").read_text())
    assert index["live"] is False and index["runs"] == ["run"] and index["data"] is None
    given, network = (
        [row["id"] for row in index["images"]],
        json.loads((tmp_path / "site/api/runs/run/network.json").read_text()),
    )
    wanted = {f"api/runs/run/images/{id}/steps/{step['name']}.bin" for id in given for step in network["steps"]}
    wanted |= {f"api/runs/run/images/{id}/why/{label}.json" for id in given for label in range(4)}
    ends = ("answer.json", "square.png", "seen.png", "input.bin", "neighbours.json")
    wanted |= {f"api/runs/run/images/{id}/{end}" for id in given for end in ends}
    wanted |= {f"api/images/{id}/{end}" for id in given for end in ("thumb.jpg", "original.jpg")}
    wanted |= {f"api/runs/run/weights/conv{layer}{end}.bin" for layer in (1, 2, 3) for end in ("", "-bias")}
    wanted |= {f"api/runs/run/weights/fc{layer}-bias.bin" for layer in (4, 5, 6)}
    wanted |= {f"api/runs/run/kernels/{epoch}.bin" for epoch in range(13)}
    wanted |= {"api/index.json", "api/runs/run/network.json", "api/runs/run/metrics.json"} | files_of(PAGE)
    wanted.add("api/runs/run/network.safetensors")
    near = {
        row["id"]
        for id in given
        for row in json.loads((tmp_path / f"site/api/runs/run/images/{id}/neighbours.json").read_text())["neighbours"]
    }
    assert files == wanted | {f"api/images/{id}/thumb.jpg" for id in near}
    exported = trained.load(tmp_path / "site/api/runs/run/network.safetensors")
    assert exported.classes == session.run("run").trained.classes
    assert not any(
        str(tmp_path) in (tmp_path / "site" / file).read_text(errors="replace") for file in files
    )  # no path of here
    session.close()


def test_an_earlier_export_is_replaced_and_nothing_else(run: Path, photo: Path, tmp_path: Path) -> None:
    site = tmp_path / "sites" / "one"
    session = Session([run], images=[str(photo)], live=False)
    export.export(session, site)
    (site / "api" / "left-over.json").write_text("{}")
    assert export.export(session, site).files == len(files_of(site))
    assert not (site / "api" / "left-over.json").exists() and [*site.parent.iterdir()] == [site]
    for name, content in (
        ("something", "mine"),
        ("index.html", "mine"),
        ("api/index.json", '{"live": true}'),
        ("api/index.json", "["),
    ):
        other = tmp_path / f"other{len(content)}{len(name)}"
        (other / name).parent.mkdir(parents=True)
        (other / name).write_text(content)
        with pytest.raises(InputError, match="no earlier export"):
            export.export(session, other)
        assert files_of(other) == {name.removeprefix("./")}
    with pytest.raises(InputError, match="no earlier export"):
        export.export(session, photo)
    session.close()


def test_what_stops_it_leaves_nothing_of_it(
    run: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session([run], images=[str(photo)], live=False)
    site = tmp_path / "sites" / "one"
    export.export(session, site)
    before = {file: (site / file).read_bytes() for file in files_of(site)}

    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(answers.URLS, "api/runs/{run}/kernels/{epoch}.bin", full)
    with pytest.raises(OSError):
        export.export(session, site)
    assert {file: (site / file).read_bytes() for file in files_of(site)} == before and [*site.parent.iterdir()] == [
        site
    ]
    session.close()


def test_the_command_exports_validation_images_where_none_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["explore", str(run), "--export", str(tmp_path / "site"), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    index = json.loads((tmp_path / "site/api/index.json").read_text())
    assert len(index["images"]) == len(done["images"]) == export.EXAMPLES
    assert {row["label"] for row in index["images"]} == {"bars", "blobs", "checks", "stripes"}
    (run / "data.json").unlink()
    monkeypatch.setattr("alexnet.explore.session.photographs", list)  # where those packages are not installed
    assert main(["explore", str(run), "--export", str(tmp_path / "none")]) == 2
    assert "--images FILE" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_of_many_labels_only_those_told_have_their_reasons(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ALL_LABELS", 3)
    session = Session([run], images=["train-90"], live=False)
    monkeypatch.setattr(session, "answer", lambda *given: {"top": [{"label": "blobs"}], "label": "stripes"})
    pages = export._of_image(session, "run", "train-90")
    assert [names["label"] for url, names in pages if url.endswith("why/{label}.json")] == [1, 3]
    session.close()
