"""The commands, as a user with a folder of images meets them: every step of the way, and every way to get it wrong."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import alexnet
from alexnet.cli import main, train
from tests.conftest import CLASSES, write_class_folders

SMALL = ("--image-size", "32", "--network.input-size", "28", "--batch", "16", "--device", "cpu")


def run(*args: object) -> int:
    try:
        return main([str(arg) for arg in args])
    except SystemExit as ended:  # tyro and argparse end this way
        return int(ended.code or 0)


def run_json(capsys: pytest.CaptureFixture[str], *args: object, code: int = 0) -> object:
    capsys.readouterr()
    assert run(*args, "--json") == code
    return json.loads(capsys.readouterr().out)


def start(*args: object) -> subprocess.Popen[str]:
    """The command as a process of its own, to be killed."""
    command = [sys.executable, "-m", "alexnet", *(str(arg) for arg in args)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if list(path.glob(pattern)):
            return
        if process.poll() is not None:
            raise AssertionError(f"ended before there was {pattern}: {process.communicate()}")
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} after a minute")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    return load_file(newest / "weights.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: photos/{train,val}/<class>/*.png, prepared as data, trained as run."""
    folder = tmp_path_factory.mktemp("product")
    write_class_folders(folder / "photos" / "train", 24, seed=3)
    write_class_folders(folder / "photos" / "val", 6, seed=4)
    assert run("prepare", folder / "photos", folder / "data", "--size", 32) == 0
    assert (
        run(
            "train", "demo", "--data", folder / "data", "--out", folder / "run", "--epochs", 12, "--rate", 0.005, *SMALL
        )
        == 0
    )
    return folder


def test_prepare_says_what_it_did_per_split(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree(folder / "photos", tmp_path / "photos")
    broken = tmp_path / "photos" / "val" / CLASSES[0] / "000.png"
    broken.write_bytes(broken.read_bytes()[:100])
    made = run_json(capsys, "prepare", tmp_path / "photos", tmp_path / "data", "--size", 32, "--max-bad", 0.1)
    assert isinstance(made, dict)
    assert made["images"] == 4 * 24 + 4 * 6 - 1
    assert made["splits"]["train"] == {"images": 96, "skipped": [], "classes": list(CLASSES)}
    assert [item["file"] for item in made["splits"]["val"]["skipped"]] == [f"val/{CLASSES[0]}/000.png"]
    assert made["skipped"][0]["reason"]


def test_data_describes_checks_and_draws(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    facts = run_json(capsys, "data", folder / "data", "--sheet", tmp_path / "sheet.png")
    assert isinstance(facts, dict)
    assert facts["problems"] == []
    assert facts["splits"]["val"]["per_class"] == dict.fromkeys(CLASSES, 6)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 100

    shutil.copytree(folder / "data", tmp_path / "damaged")
    with (tmp_path / "damaged" / "train" / "images.bin").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    assert run("data", tmp_path / "damaged") == 2
    assert "train: images 0 to 95 (images.bin), their labels or names have changed" in capsys.readouterr().err


def test_odd_names_are_printed(tmp_path: Path) -> None:
    """Brackets are no markup, and a name that is no UTF-8 does not break the terminal."""
    photos = write_class_folders(tmp_path / "my [bold] photos", 2, seed=5)
    if sys.platform != "darwin":
        (photos / CLASSES[0] / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "alexnet", "prepare", photos, tmp_path / "data", "--size", "8", "--max-bad", ".5"]
    done = subprocess.run(command, capture_output=True, text=True, env=strict)
    assert done.returncode == 0, done.stderr
    assert "my [bold] photos" in done.stderr
    if sys.platform != "darwin":
        assert r"caf\udce9.png: empty file" in done.stdout


def test_what_the_machine_refuses_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run("data", folder / "data", "--sheet", tmp_path / "no-such-folder" / "sheet.png") == 2
    said = capsys.readouterr().err
    assert "no-such-folder" in said and "Traceback" not in said

    def read_only(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert run("prepare", folder / "photos", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "Permission denied" in said and str(tmp_path / "out") in said and "Traceback" not in said


def test_doctor_says_what_it_found(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for place in ("photos", "data", "run"):
        findings = run_json(capsys, "doctor", folder / place)
        assert isinstance(findings, list) and all(set(finding) == {"level", "what", "fix"} for finding in findings)
    write_class_folders(tmp_path / "photos", 1, seed=6, kinds=CLASSES[:1])
    assert run("doctor", tmp_path / "photos") == 2
    assert "only one class" in capsys.readouterr().out


def test_a_read_only_dataset_is_described_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from alexnet.insight import contact_sheet

    def read_only(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "contact-sheet.png")

    monkeypatch.setattr(contact_sheet, "draw", read_only)
    made = run_json(capsys, "data", folder / "data")
    assert isinstance(made, dict) and made["sheet"] is None and made["problems"] == []
    assert run("data", folder / "data") == 0
    said = capsys.readouterr()
    assert "whole" in said.out and "--sheet" in said.err


def test_the_contact_sheet_shows_every_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from alexnet.insight import contact_sheet

    labels = np.repeat(np.arange(20), 6)
    np.savez(tmp_path / "a.npz", images=np.zeros((120, 4, 4, 3), np.uint8), labels=labels)
    assert run("prepare", tmp_path / "a.npz", tmp_path / "data", "--size", 4) == 0
    drawn: list[str] = []
    monkeypatch.setattr(contact_sheet, "draw", lambda images, labels, path: drawn.extend(labels))
    assert run("data", tmp_path / "data") == 0
    assert set(drawn) == {str(label) for label in range(20)}


def test_the_run_learned_and_its_folder_is_whole(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == list(range(1, 13))
    assert epochs[-1]["validation_top1"] < 50  # chance is 75
    recipe = json.loads((folder / "run" / "recipe.json").read_text())
    assert recipe["network"]["classes"] == len(CLASSES) and recipe["rate"] == 0.005
    assert list((folder / "run" / "tensorboard").iterdir())
    page = (folder / "run" / "report.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "the report has to open offline"


@pytest.mark.parametrize("views", [1, 10])
def test_evaluate(folder: Path, capsys: pytest.CaptureFixture[str], views: int) -> None:
    measured = run_json(capsys, "evaluate", folder / "run", "--data", folder / "data", "--views", views)
    assert isinstance(measured, dict)
    assert measured["images"] == 24 and measured["views"] == views
    newest = sorted((folder / "run" / "checkpoints").iterdir())[-1].name
    saved = json.loads((folder / "run" / f"evaluation-val-{views}views.json").read_text())
    assert measured["checkpoint"] == saved["checkpoint"] == newest
    assert 0 <= measured["top5_error"] <= measured["top1_error"] <= 50
    assert np.sum(measured["confusion"]) == 24
    assert (folder / "run" / f"confusion-val-{views}views.png").is_file()
    # The same figure through Python.
    trained = alexnet.load(folder / "run")
    split = alexnet.data.prepared.open(folder / "data").split("val")
    wrong = trained.probabilities(split.images, views).argmax(1).numpy() != split.labels
    assert measured["top1_error"] == pytest.approx(100 * wrong.mean())


def test_predict_goes_on_after_a_bad_image(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = folder / "photos" / "val" / CLASSES[1] / "000.png"
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    images = (tmp_path / "bad.jpg", good, tmp_path / "absent.jpg")
    found = run_json(capsys, "predict", folder / "run", *images, code=3)
    assert isinstance(found, list)
    keys = [{"run", "image", answer} for answer in ("error", "labels", "error")]
    assert [set(item) for item in found] == keys and {item["run"] for item in found} == {str(folder / "run")}
    labels = found[1]["labels"]
    assert {item["label"] for item in labels} == set(CLASSES)  # four classes: four labels
    probabilities = [item["probability"] for item in labels]
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1)
    assert [Path(item["image"]) for item in found if "error" in item] == [images[0], images[2]]
    assert run("predict", folder / "run", tmp_path / "bad.jpg") == 3, "all of them unread is the same code"
    assert run("predict", folder / "run", good) == 0
    assert run("predict", "--help") == 0
    assert "exit code is then 3" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize("page", ["README.md", "docs/tasks.md"])
def test_the_python_of_the_page_runs_as_it_stands(
    page: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, place in (("runs", folder / "run"), ("data", folder / "data"), ("more", folder / "photos" / "val")):
        (tmp_path / name / "photos").parent.mkdir()
        (tmp_path / name / "photos").symlink_to(place)
    with Image.open(folder / "photos" / "val" / CLASSES[0] / "000.png") as image:
        image.save(tmp_path / "holiday.jpg")
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(block, names)
        assert isinstance(names["answer"], alexnet.Prediction) and names["answer"].label in CLASSES


def test_predict_takes_folders_globs_and_lists(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_class = folder / "photos" / "val" / CLASSES[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{of_class / '001.png'}\n\n"))
    found = run_json(
        capsys, "predict", folder / "run", of_class, f"{of_class}/00[23].png", "-", "--picture", tmp_path / "five.png"
    )
    assert isinstance(found, list)
    names = [Path(item["image"]).name for item in found]
    assert names == [f"00{n}.png" for n in range(6)] + ["002.png", "003.png", "001.png"]
    with Image.open(tmp_path / "five.png") as drawn:
        assert drawn.width > 100


def test_kernels_and_report_again(folder: Path, tmp_path: Path) -> None:
    assert run("kernels", folder / "run", tmp_path / "kernels.svg") == 0
    assert run("curves", folder / "run", tmp_path / "curves.svg") == 0
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert "<svg" in (tmp_path / "kernels.svg").read_text()
    assert run("kernels", folder / "run", folder / "run", tmp_path / "both.svg") == 0
    assert "<svg" in (tmp_path / "both.svg").read_text()
    assert run("kernels", folder / "run", tmp_path / "kernels.gif") == 2
    (folder / "run" / "report.html").unlink()
    assert run("report", folder / "run") == 0
    assert (folder / "run" / "report.html").is_file()


def test_a_folder_without_validation_images_holds_some_out(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert run("prepare", folder / "photos" / "train", data, "--size", 32) == 0
    assert alexnet.data.prepared.open(data).splits == ("train",)
    assert (
        run("train", "demo", "--data", data, "--out", tmp_path / "run", "--epochs", 1, "--hold-out", 0.25, *SMALL) == 0
    )
    measured = run_json(capsys, "evaluate", tmp_path / "run")
    assert isinstance(measured, dict)
    assert measured["images"] == 24  # a quarter of 96
    assert measured["split"] == "held out of train"
    assert (tmp_path / "run" / "evaluation-held-out-of-train-1views.json").is_file()
    started = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert (started["images"], started["validation_images"]) == (72, 24)


def test_fine_tuning_on_other_classes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_class_folders(other, 12, seed=9)
    shutil.rmtree(other / CLASSES[0])
    assert run("prepare", other, tmp_path / "data", "--size", 32) == 0
    tuned = tmp_path / "tuned"
    options = ("--data", tmp_path / "data", "--out", tuned, "--epochs", 2, "--seed", 1)
    assert run("train", "--from", folder / "run", *options) == 0
    recipe = json.loads((tuned / "recipe.json").read_text())
    assert recipe["network"]["classes"] == 3 and recipe["rate"] == pytest.approx(0.0005)
    assert recipe["first_rate"] < 1 < recipe["last_rate"]
    before, after = weights(folder / "run"), weights(tuned)
    assert after["fc8.weight"].shape[0] == 3
    moved = (after["conv1.weight"] - before["conv1.weight"]).norm() / before["conv1.weight"].norm()
    assert 0 < moved < 0.1, "conv1 starts from the run's kernels and hardly moves"


def test_fine_tuning_by_a_recipe_with_frozen_layers_and_rates_by_layer(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned, data = tmp_path / "tuned", ("--data", folder / "data", "--epochs", 1, "--batch", 16)
    layers = ("--freeze", "conv1", "conv2", "--layer-rates", "conv3:0.5", "fc6:2")
    assert run("train", "finetune", "--from", folder / "run", *data, "--out", tuned, *layers) == 0
    recipe, before = (json.loads((path / "recipe.json").read_text()) for path in (tuned, folder / "run"))
    assert (recipe["freeze"], recipe["layer_rates"]) == (["conv1", "conv2"], ["conv3:0.5", "fc6:2"])
    assert recipe["network"] == before["network"] and recipe["image_size"] == before["image_size"]
    assert (recipe["rate"], recipe["first_rate"], recipe["last_rate"]) == (0.001, 0.1, 10.0)
    first, last = weights(folder / "run"), weights(tuned)
    same = {name.split(".")[0] for name in first if torch.equal(first[name], last[name])}
    assert same == {"conv1", "conv2"}
    capsys.readouterr()
    for arguments, message in (
        (("finetune", *data), "goes on from a trained run: alexnet train finetune --from RUN"),
        (("demo", *data, "--freeze", "conv9"), "--freeze conv9: the network has no such layer; its layers are conv1, "),
        (("demo", *data, "--layer-rates", "conv9:2"), "--layer-rates conv9: the network has no such layer"),
        (("--from", folder / "run", *data, "--network.conv6"), "conv6.weight is [64, 64, 3, 3] here and not in"),
    ):
        assert run("train", *arguments, "--out", tmp_path / "other") == 2
        assert message in capsys.readouterr().err


def test_stopped_and_killed_at_any_moment_a_run_ends_with_the_same_bits(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = ("demo", "--data", folder / "data", "--epochs", 6, "--seed", 5, *SMALL)
    environment_threads = torch.get_num_threads()
    assert environment_threads == 1
    assert run("train", *recipe, "--out", tmp_path / "unbroken") == 0

    broken = tmp_path / "broken"
    process = start("train", *recipe, "--out", broken)
    wait_for(broken, "metrics.jsonl", process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "--resume" in said
    assert not equal(weights(broken), weights(tmp_path / "unbroken"))

    process = start("train", "--resume", broken)
    wait_for(broken, "checkpoints/step-0000001[2-9]", process)  # the end of the second epoch
    process.kill()
    process.wait(timeout=60)

    capsys.readouterr()
    assert run("train", "--resume", broken) == 0
    assert re.search(r"it goes on in epoch [3-6] after \d of 6 updates", capsys.readouterr().err)
    assert equal(weights(broken), weights(tmp_path / "unbroken"))
    epochs = [json.loads(line) for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in epochs if line["kind"] == "epoch"] == [1, 2, 3, 4, 5, 6]
    assert run("train", "--resume", broken) == 0, "a finished run has nothing left to do"
    assert "it has all its 6 epochs; more: alexnet train --resume" in capsys.readouterr().err


def test_a_terminal_that_is_closed_leaves_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    """As SIGTERM does, though nothing can be written to the terminal any more, and though it is told twice."""
    ours, theirs = os.openpty()
    # The first that a new session opens is its terminal.
    command = ["sh", "-c", 'exec "$@" 0<>"$0" 1>&0 2>&0', os.ttyname(theirs), sys.executable, "-m", "alexnet", "train"]
    command += ["demo", "--data", str(folder / "data"), "--out", str(tmp_path / "run"), "--epochs", "1000", *SMALL]
    process = subprocess.Popen(command, start_new_session=True)
    os.set_blocking(ours, False)
    for _ in range(1200):
        if (tmp_path / "run" / "metrics.jsonl").exists():
            break
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 1 << 16)  # else it waits for its terminal
        time.sleep(0.05)
    os.close(theirs)
    os.close(ours)  # the terminal is gone, and the system says so
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGHUP)  # and so does the shell
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1]
    assert int(newest.name.removeprefix("step-")) > 0 and (tmp_path / "run" / "report.html").is_file()


def test_signals_that_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: False)
    with train.stop_signals() as caught:
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        assert caught == [signal.SIGHUP], "closing a terminal is told more than once"
    with train.stop_signals() as caught:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)  # a service manager sends both
        assert caught == [signal.SIGTERM]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with train.stop_signals() as caught:
            signal.raise_signal(signal.SIGHUP)
            assert caught == []
    finally:
        signal.signal(signal.SIGHUP, before)


WRONG = {
    "no such command": (("fly",), "fly"),
    "no such network": (("summary", "resnet"), "resnet"),
    "a network that cannot be built": (("summary", "paper", "--input-size", "5"), "conv1"),
    "no such source": (("prepare", "{tmp}/nothing", "{tmp}/out"), "{tmp}/nothing"),
    "an empty source": (("prepare", "{tmp}", "{tmp}/out"), "{tmp}"),
    "another source into the same place": (("prepare", "builtin", "{data}"), "{data}"),
    "no dataset": (("data", "{tmp}"), "{tmp}"),
    "no recipe": (("train",), "RECIPE"),
    "no such recipe": (("train", "mobilenet", "--data", "{data}"), "mobilenet"),
    "no data": (("train", "demo"), "--data"),
    "no such data": (("train", "demo", "--data", "{tmp}/nothing"), "{tmp}/nothing"),
    "images of another size": (("train", "imagenette", "--data", "{data}", "--out", "{tmp}/r"), "--size 256"),
    "a run that is there already": (("train", "demo", "--data", "{data}", "--out", "{run}", *SMALL), "--resume"),
    "a misspelt option": (("train", "demo", "--data", "{data}", "--epoch", "3"), "--epochs"),
    "a value that is none": (("train", "demo", "--data", "{data}", "--network.normalization", "lrn"), "normalization"),
    "a rate below zero": (("train", "demo", "--data", "{data}", "--rate", "-1"), "--rate"),
    "no such device": (("train", "demo", "--data", "{data}", *SMALL, "--device", "tpu"), "--device"),
    "resume of nothing": (("train", "--resume", "{tmp}/nothing"), "{tmp}/nothing"),
    "a starter, misspelt": (("train", "--from", "startr", "--data", "{data}"), "starter?"),
    "resume with another recipe": (("train", "--resume", "{run}", "--rate", "3"), "--resume"),
    "resume to fewer epochs": (("train", "--resume", "{run}", "--epochs", "3"), "--epochs 3"),
    "resume to words": (("train", "--resume", "{run}", "--epochs", "many"), "--epochs"),
    "three views": (("evaluate", "{run}", "--views", "3"), "--views"),
    "no such split": (("evaluate", "{run}", "--split", "exam"), "exam"),
    "evaluate no run": (("evaluate", "{tmp}"), "{tmp}"),
    "predict nothing": (("predict", "{run}"), "IMAGE"),
    "a picture of no known kind": (("predict", "{run}", "{photo}", "--picture", "{tmp}/p.xyz"), "p.xyz"),
    "doctor of nothing": (("doctor", "{tmp}/nothing"), "{tmp}/nothing"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_bad_input_is_one_clear_line(
    folder: Path, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "tmp": tmp_path,
        "data": folder / "data",
        "run": folder / "run",
        "photo": folder / "photos" / "val" / CLASSES[0] / "000.png",
    }
    args, named = WRONG[case]
    assert run(*(arg.format(**places) for arg in args)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert named.format(**places) in re.sub(r"\s*\n\s*│?\s*", " ", said) or named.format(**places) in said.replace(
        "\n", ""
    )


def test_summary_json(capsys: pytest.CaptureFixture[str]) -> None:
    made = run_json(capsys, "summary", "paper")
    assert isinstance(made, dict)
    assert (made["parameters"], made["neurons"], made["multiply_adds"]) == (60_965_224, 659_272, 724_406_816)
    assert made["layers"][0]["output"] == [96, 55, 55]


def test_the_name_may_stand_behind_options(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run_json(capsys, "summary", "--classes", 10, "--normalization", "paper", "one-gpu")
    assert isinstance(made, dict) and (made["network"], made["layers"][-1]["output"]) == ("one-gpu", [10, 1, 1])
    assert run("train", "--epochs", 1, "demo", "--data", folder / "data", "--out", tmp_path / "run", *SMALL) == 0
    links = ("--network.links", "fc6", "conv3", "fc7")  # none of them a recipe's name
    options = ("--data", folder / "data", "--out", tmp_path / "tuned", "--epochs", 1)
    assert run("train", "--from", tmp_path / "run", *links, *options) == 0
    assert json.loads((tmp_path / "tuned" / "recipe.json").read_text())["network"]["links"] == ["fc6", "conv3", "fc7"]
    assert run("train", "demo", "--from", tmp_path / "run", *options) == 2
    assert "there is a run already" in capsys.readouterr().err, "a recipe beside --from is understood"


def test_data_that_was_moved(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = shutil.copytree(folder / "run", tmp_path / "run")
    (moved / "data.json").write_text(json.dumps({"path": str(tmp_path / "gone")}))
    for command in (("evaluate", moved), ("train", "--resume", moved)):
        assert run(*command) == 2
        assert "not there any more; say --data DIR" in capsys.readouterr().err
    assert run_json(capsys, "report", moved) == {"run": str(moved), "report": str(moved / "report.html")}
    (moved / "data.json").write_text("{")
    assert run("evaluate", moved) == 2
    assert "no readable data.json" in capsys.readouterr().err


def test_predict_says_what_is_no_image(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    code = run("predict", folder / "run", tmp_path / "empty", "x" * 5000, "a\0b", "--json")
    said = capsys.readouterr()
    assert code == 3 and len(json.loads(said.out)) == 3 and all("error" in one for one in json.loads(said.out))
    assert "empty: no images in this folder" in said.err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    from alexnet.cli import COMMANDS

    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert name in shown
        assert run(name, "--help") == 0
        assert "usage" in capsys.readouterr().out.lower()


def test_a_reader_that_leaves_early_is_no_error() -> None:
    for option in ([], ["--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "alexnet", "summary", *option]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")
