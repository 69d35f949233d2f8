"""What people trip over, one by one: the examination must name each, and say nothing of it where all is well."""

import io
import json
import math
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet import device
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source
from alexnet.doctor import Finding, examine, machine
from alexnet.errors import InputError
from alexnet.network import networks, spec
from alexnet.run import memory, recipes
from alexnet.run.recipe import Recipe
from alexnet.run.recipe import read as read_recipe
from alexnet.run.schedule import Schedule
from alexnet.training import train
from tests.data.making import WNIDS, make_mini_ilsvrc, unpack_mini_ilsvrc

SIZE = 72


def photograph(seed: int, size: int = SIZE, tint: tuple[int, int, int] = (12, 0, -12)) -> Image.Image:
    """Smooth random light and dark, a little warm, as photographs are on average."""
    random = np.random.default_rng(seed)
    light = Image.fromarray(random.integers(0, 256, (6, 6), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(light, np.int64)[..., None] + np.array(tint) + random.integers(-8, 9, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def folder(root: Path, layout: dict[str, int], **options: object) -> Path:
    """Class folders with so many photographs each."""
    seed = 0
    for name, number in layout.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for at in range(number):
            photograph(seed, **options).save(root / name / f"{at}.png")  # type: ignore[arg-type]
            seed += 1
    return root


def finding_of(findings: list[Finding], text: str, level: str | None = None) -> Finding:
    """The one finding that says `text`."""
    matching = [finding for finding in findings if text in finding.what]
    assert matching, f"nothing says {text!r}:\n" + "\n".join(f"{f.level}: {f.what}" for f in findings)
    if level:
        assert matching[0].level == level, matching[0]
    if matching[0].level != "ok":
        assert matching[0].fix, matching[0]
    return matching[0]


def troubles(findings: list[Finding]) -> list[str]:
    """The findings that are not ok, without those that depend on the machine that runs the test."""
    ignored = ("compiled loops:", "threads:", "device:", "disk:", "memory:", "decoders:", "torch")
    return [finding.what for finding in findings if finding.level != "ok" and not finding.what.startswith(ignored)]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        examine(tmp_path / "nowhere")


def test_every_examination_tells_versions_and_device(tmp_path: Path) -> None:
    findings = examine(folder(tmp_path, {"a": 1, "b": 1}))
    assert f"torch {torch.__version__.partition('+')[0]}" in finding_of(findings, "versions:").what
    finding_of(findings, "device:")
    finding_of(findings, "threads:")
    finding_of(findings, "disk:")


@pytest.mark.parametrize(
    ("unit", "loops", "said"),
    [
        ("AMX", True, "bf16 by AMX"),
        ("AMX", False, "float32, as its bf16 needs the compiled loops"),
        (None, True, "float32, as it multiplies no bf16 in hardware"),
    ],
)
def test_a_cpu_is_told_with_what_it_computes_in(
    unit: str | None, loops: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (device, machine):
        monkeypatch.setattr(module, "compiled", lambda: loops)
        monkeypatch.setattr(module, "bf16_unit", lambda: unit)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert finding_of(list(machine.examine()), "device:").what == f"device: cpu, {said}"


# --- a folder of images -----------------------------------------------------------------------------------------------


def test_an_ordinary_folder_has_no_troubles(tmp_path: Path) -> None:
    findings = examine(folder(tmp_path, {"train/cat": 31, "train/dog": 31, "val/cat": 3, "val/dog": 3}))
    assert troubles(findings) == []
    finding_of(findings, "62 training images in 2 classes, 31 to 31 a class")


def test_images_without_class_folders(tmp_path: Path) -> None:
    folder(tmp_path, {".": 3})
    assert "one folder per class" in finding_of(examine(tmp_path), "images but no class folders", "error").fix


def test_images_beside_class_folders(tmp_path: Path) -> None:
    folder(tmp_path, {".": 2, "cat": 2, "dog": 2})
    finding_of(examine(tmp_path), "2 images beside its class folders", "warning")


def test_flat_validation_folder(tmp_path: Path) -> None:
    folder(tmp_path, {"train/cat": 2, "train/dog": 2, "val": 4})
    finding = finding_of(examine(tmp_path), "images but no class folders", "error")
    assert "ILSVRC2012_devkit" in finding.fix


def test_classes_that_only_one_split_has(tmp_path: Path) -> None:
    folder(tmp_path, {"train/cat": 2, "train/dog": 2, "val/Cat": 2, "val/dog": 2})
    findings = examine(tmp_path)
    assert "letter case" in finding_of(findings, "val/Cat is a class folder that", "error").fix
    shutil.rmtree(tmp_path / "val" / "Cat")
    assert "cat" in finding_of(examine(tmp_path), "has no images of 1 of the 2 classes", "warning").what


def test_folders_that_may_be_splits_are_asked_about(tmp_path: Path) -> None:
    folder(tmp_path, {"training/cat": 2, "training/dog": 2, "my_val/cat": 2})
    assert "or test if it is one" in finding_of(examine(tmp_path), "my_val looks like a split", "error").fix
    (tmp_path / "my_val").rename(tmp_path / "Validation")
    finding_of(examine(tmp_path), "a source that alexnet prepare takes", "ok")


def test_folders_inside_class_folders(tmp_path: Path) -> None:
    folder(tmp_path, {"cat/black": 2, "cat/white": 2, "dog": 2})
    assert "cat" in finding_of(examine(tmp_path), "have folders in them", "warning").what


def test_empty_class(tmp_path: Path) -> None:
    folder(tmp_path, {"cat": 2, "dog": 2, "eel": 0})
    assert (
        finding_of(examine(tmp_path), "eel, a class folder, has no images in it", "error").fix == "fill it or remove it"
    )


def test_one_class(tmp_path: Path) -> None:
    finding_of(examine(folder(tmp_path, {"cat": 3})), "only one class", "error")


def test_classes_of_very_different_sizes(tmp_path: Path) -> None:
    findings = examine(folder(tmp_path, {"cat": 44, "dog": 4}))
    assert "44" in finding_of(findings, "dog only 4", "warning").what
    assert "--from" in finding_of(findings, "fewer than 30", "warning").fix


def test_numbers_sorted_as_text(tmp_path: Path) -> None:
    folder(tmp_path, {str(number): 1 for number in range(1, 12)})
    assert "1, 10, 11" in finding_of(examine(tmp_path), "sorted as text", "warning").what


def test_files_that_are_not_images_or_not_called_so(tmp_path: Path) -> None:
    folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    finding_of(examine(tmp_path), "passed over: 1 file (.txt)", "ok")
    shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / "download")
    finding_of(examine(tmp_path), "5 training images", "ok")
    (tmp_path / "dog" / "IMG_1.HEIC").write_bytes(b"ftypheic")
    heic = finding_of(examine(tmp_path), "passed over: 2 files (1 .heic, 1 .txt)", "warning")
    assert heic.fix == ".heic cannot be read: convert them to JPEG or PNG"


def test_odd_files(tmp_path: Path) -> None:
    folder(tmp_path, {"cat": 2, "dog": 2})
    shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / "really-a-png.JPEG")
    photograph(1).convert("CMYK").save(tmp_path / "cat" / "cmyk.jpg")
    photograph(2).convert("L").save(tmp_path / "cat" / "grey.jpg")
    photograph(3, size=20).save(tmp_path / "cat" / "tiny.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    photograph(4).save(tmp_path / "cat" / "turned.jpg", exif=turned)
    findings = examine(tmp_path)
    handled = finding_of(findings, "makes upright RGB", "ok").what
    assert "1 of another format" in handled and "1 CMYK" in handled and "1 turned by EXIF" in handled
    finding_of(findings, "1 of 9 files looked at are greyscale", "ok")
    assert "tiny.png" in finding_of(findings, "side under 64", "warning").what
    (tmp_path / "dog" / "half.png").write_bytes((tmp_path / "dog" / "0.png").read_bytes()[:3000])
    assert "half.png" in finding_of(examine(tmp_path), "cannot be read", "error").what


def test_greyscale_set(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        photograph(1).convert("L").save(tmp_path / name / "1.png")
    finding_of(examine(tmp_path), "no colour kernels", "warning")


def test_no_more_than_a_sample_is_opened(tmp_path: Path) -> None:
    folder(tmp_path, {"cat": 1, "dog": 1}, size=64)
    for number in range(300):
        shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / f"copy{number}.png")
    finding_of(examine(tmp_path), "all 101 files looked at", "ok")  # 100 of a class, and the only dog


def test_ilsvrc_archives_without_devkit(tmp_path: Path) -> None:
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        with tarfile.open(tmp_path / name, "w") as tar:
            if "train" in name:
                inner = io.BytesIO()
                with tarfile.open(fileobj=inner, mode="w"):
                    pass
                member = tarfile.TarInfo("n01440764.tar")
                member.size = len(inner.getvalue())
                tar.addfile(member, io.BytesIO(inner.getvalue()))
    assert "put it beside" in finding_of(examine(tmp_path), "no ILSVRC2012_devkit_t12.tar.gz", "error").fix


def test_unpacked_classes_with_other_numbers_than_the_devkit_says(tmp_path: Path) -> None:
    packed = make_mini_ilsvrc(tmp_path / "packed", 3, 1).folder
    root = unpack_mini_ilsvrc(packed, tmp_path / "unpacked")
    assert not any("development kit says" in finding.what for finding in examine(root))
    next((root / "train" / WNIDS[1]).iterdir()).unlink()
    assert f"{WNIDS[1]} has 2, not 3" in finding_of(examine(root), "than the development kit says", "warning").what


def test_ilsvrc_train_archive_alone(tmp_path: Path) -> None:
    shutil.copy(make_mini_ilsvrc(tmp_path / "whole", 2, 1).folder / "ILSVRC2012_img_train.tar", tmp_path)
    assert "6.3 GB" in finding_of(examine(tmp_path), "has no ILSVRC2012_img_val.tar", "warning").fix


def test_pixels_on_0_to_1(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    np.savez(file, images=np.random.default_rng(0).random((4, 8, 8, 3), np.float32), labels=np.array([0, 1, 0, 1]))
    assert "times 255" in finding_of(examine(file), "images are float32, must be uint8", "error").fix


def test_a_file_that_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "notes.doc").write_text("cat\n")
    finding_of(examine(tmp_path / "notes.doc"), "no known kind", "error")


# --- a prepared dataset -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("doctor")
    folder(place / "photos", {"train/cat": 31, "train/dog": 31, "val/cat": 4, "val/dog": 4})
    prepare(open_source(str(place / "photos")), place / "data", size=64)
    return place / "data"


def arrays(place: Path, images: np.ndarray) -> Path:
    """A prepared dataset of these pixels, uint8 [N, S, S, 3], in two classes."""
    np.savez(place / "arrays.npz", images=images, labels=np.arange(len(images)) % 2)
    prepare(open_source(str(place / "arrays.npz")), place / "data", size=images.shape[1])
    return place / "data"


def test_an_ordinary_dataset_has_no_troubles(dataset: Path) -> None:
    findings = examine(dataset)
    assert troubles(findings) == []
    finding_of(findings, "pixel scale: 0-255", "ok")
    fitting = finding_of(findings, "recipes that take images of 64×64", "ok").what
    assert "demo" in fitting and "cifar10" in fitting and "paper" not in fitting


def test_unfinished_dataset(tmp_path: Path) -> None:
    (tmp_path / "begun.json").write_text("{}")
    finding_of(examine(tmp_path), "not finished", "error")


def test_changed_pixels(dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(dataset, tmp_path / "copy")
    with (copy / "train" / "images.bin").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0\0\0\0\0")
    finding_of(examine(copy), "have changed since they were written", "error")
    (copy / "train" / "images.bin").write_bytes(b"short")
    finding_of(examine(copy), "has 5 bytes", "error")


def test_pixels_divided_by_255(tmp_path: Path) -> None:
    findings = examine(arrays(tmp_path, np.random.default_rng(0).integers(0, 2, (8, 64, 64, 3), np.uint8)))
    finding_of(findings, "all pixels are 0 or 1", "error")


def test_bgr(tmp_path: Path) -> None:
    pixels = np.stack([np.asarray(photograph(seed, size=64, tint=(-20, 0, 20))) for seed in range(8)])
    assert "[..., ::-1]" in finding_of(examine(arrays(tmp_path, pixels)), "is it BGR", "warning").fix


def test_transposed_eigenvectors(dataset: Path, tmp_path: Path) -> None:
    from alexnet.doctor.dataset import colour

    values = json.loads((dataset / "colour.json").read_text())
    eigenvalues, vectors = np.array(values["eigenvalues"]), np.array(values["eigenvectors"])
    covariance = np.array(values["covariance"])
    assert finding_of(list(colour(eigenvalues, vectors, covariance, tmp_path)), "√λ").level == "ok"
    finding_of(list(colour(eigenvalues, vectors.T, covariance, tmp_path)), "transposed", "error")
    finding_of(list(colour(eigenvalues[::-1], vectors[:, ::-1], covariance, tmp_path)), "not descending", "error")


@pytest.mark.parametrize(("size", "taken_by"), [(31, []), (32, ["cifar10"]), (80, ["cifar10", "demo"])])
def test_larger_images_than_a_recipe_s_fit_it_and_smaller_do_not(
    tmp_path: Path, size: int, taken_by: list[str]
) -> None:
    pixels = np.stack([np.asarray(photograph(seed, size=size)) for seed in range(4)])
    findings = examine(arrays(tmp_path, pixels))
    if taken_by:
        assert set(finding_of(findings, f"take images of {size}×{size}", "ok").what.split(": ")[1].split(", ")) == set(
            taken_by
        )
    else:
        assert "--size 32" in finding_of(findings, "too small for every named recipe", "warning").fix


# --- a run ------------------------------------------------------------------------------------------------------------

TINY = spec.Network(
    name="tiny",
    convolutions=(spec.Convolution(4, 7, stride=4, then=("relu", "pool")),),
    hidden=(spec.Hidden(8),),
    classes=2,
    input_size=56,
    columns=1,
    links=(),
)
RECIPE = Recipe(name="tiny", network=TINY, epochs=1, batch=31, image_size=64, schedule=Schedule("constant"))


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from alexnet.data import prepared

    run = tmp_path_factory.mktemp("doctor-run") / "run"
    train(RECIPE, prepared.open(dataset), run)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def change_recipe(run: Path, **changes: object) -> None:
    (run / "recipe.json").write_text(replace(read_recipe(run), **changes).to_json())  # type: ignore[arg-type]


def change_weights(checkpoint: Path, change: object) -> None:
    from safetensors.torch import load_file, save_file

    save_file(change(load_file(checkpoint / "weights.safetensors")), checkpoint / "weights.safetensors")  # type: ignore[operator]


def newest(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


def test_an_ordinary_run_has_no_troubles(run: Path) -> None:
    findings = examine(run)
    assert troubles(findings) == []
    finding_of(findings, "finished after epoch 1", "ok")
    finding_of(findings, "the same as when it began", "ok")


def test_unfinished_run_says_how_to_go_on(run: Path) -> None:
    change_recipe(run, epochs=5)
    assert finding_of(examine(run), "1 of 5 epochs", "warning").fix.endswith(f"alexnet train --resume {run}")


def test_damaged_recipe(run: Path) -> None:
    (run / "recipe.json").write_text("{")
    finding_of(examine(run), "not JSON", "error")


def test_damaged_checkpoints(run: Path) -> None:
    checkpoint = newest(run)
    (checkpoint / "weights.safetensors").write_bytes((checkpoint / "weights.safetensors").read_bytes()[:-100])
    assert "remove" in finding_of(examine(run), "cannot be read as safetensors", "error").fix
    shutil.rmtree(checkpoint)
    shutil.copytree(newest(run), checkpoint)
    (checkpoint / "state.pt").write_bytes(b"no checkpoint")
    finding_of(examine(run), "state.pt: damaged", "error")
    shutil.rmtree(run / "checkpoints")
    finding_of(examine(run), "has no checkpoint", "error")


def test_weights_that_are_not_finite(run: Path) -> None:
    change_weights(
        newest(run), lambda weights: {name: t / 0 if name == "conv1.bias" else t for name, t in weights.items()}
    )
    assert "conv1.bias" in finding_of(examine(run), "NaN or infinite", "error").what


def test_weights_with_a_prefix(run: Path) -> None:
    change_weights(newest(run), lambda weights: {f"module.{name}": t for name, t in weights.items()})
    finding_of(examine(run), "module.", "error")


def test_weights_of_another_network(run: Path) -> None:
    change_recipe(run, network=replace(TINY, hidden=(spec.Hidden(16),)))
    finding_of(examine(run), "the recipe's network has", "error")


def metrics(run: Path, **values: object) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    changed = [line | values if line["kind"] == "epoch" else line for line in lines]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))


def test_loss_that_is_not_finite(run: Path) -> None:
    metrics(run, loss=math.nan)
    assert "--rate 0.001" in finding_of(examine(run), "NaN", "error").fix


def test_stuck_loss(run: Path) -> None:
    metrics(run, loss=math.log(2), epoch=3)
    finding_of(examine(run), "guessing gives ln(2)", "warning")


def test_overfitting(run: Path) -> None:
    metrics(run, train_error=0.5, validation_top1=45.0)
    assert "--from" in finding_of(examine(run), "overfitting", "warning").fix


def test_other_version_of_torch(run: Path) -> None:
    text = (run / "metrics.jsonl").read_text().replace(torch.__version__, "1.0.0")
    (run / "metrics.jsonl").write_text(text)
    finding_of(examine(run), "torch 1.0.0 trained it", "warning")


def test_number_and_order_of_classes(run: Path) -> None:
    (run / "classes.json").write_text('["cat", "dog", "eel"]')
    finding_of(examine(run), "classes.json has 3 classes, the network 2", "error")
    (run / "classes.json").write_text('["dog", "cat"]')
    finding_of(examine(run), "other classes than the run, or in another order", "error")


def test_mean_image_on_0_to_1(run: Path) -> None:
    mean = np.load(run / "preparation" / "mean.npy")
    np.save(run / "preparation" / "mean.npy", mean / 255)
    finding_of(examine(run), "a mean of pixels on 0-1", "error")


@pytest.mark.parametrize(("size", "level"), [(80, None), (64, None), (63, "error")])
def test_a_mean_image_may_be_larger_than_the_recipe_s_images(run: Path, size: int, level: str | None) -> None:
    np.save(run / "preparation" / "mean.npy", np.full((size, size, 3), 100, np.float32))
    if level:
        finding_of(examine(run), "mean.npy is [63, 63, 3]", level)
    else:
        assert troubles(examine(run)) == []


def test_data_that_is_gone_or_changed(run: Path, tmp_path: Path) -> None:
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"source": {"fingerprint": "another"}}))
    finding_of(examine(run), "other images than when the run began", "warning")
    for damaged in (json.dumps(data | {"source": 3}), json.dumps(data | {"path": 3}), "[]", "{"):
        (run / "data.json").write_text(damaged)
        finding_of(examine(run), "other images" if '"source": 3' in damaged else "data.json is missing", "warning")
    (run / "data.json").write_text(json.dumps(data | {"path": str(tmp_path / "gone")}))
    finding_of(examine(run), "is not there any more", "ok")


def test_pixels_that_conv1_does_not_read(run: Path) -> None:
    change_recipe(run, network=replace(TINY, rounding="down"))
    finding_of(examine(run), "unread", "warning")


def test_batch_size_against_rate(run: Path) -> None:
    change_recipe(run, batch=1024, rate=0.001)
    assert "--rate 0.08" in finding_of(examine(run), "for batches of 1024", "warning").fix


# --- memory -----------------------------------------------------------------------------------------------------------


def test_activations_are_counted_as_the_network_has_them() -> None:
    from alexnet.network.model import AlexNet

    for network in (networks.small, networks.four_layer, replace(TINY, conv6=True, bottleneck=8)):
        model = AlexNet(network).eval()
        images = torch.zeros(1, 3, network.input_size, network.input_size)
        outputs = {name: output for name, output in model.activations(images).items() if name != "flatten"}
        counted, parameters = memory.activations_of(network)
        assert counted == images.numel() + sum(output.numel() for output in outputs.values())
        assert parameters == sum(parameter.numel() for parameter in model.parameters())


def test_too_little_memory_suggests_a_micro_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(recipes.paper, device="cpu")
    whole = memory.batch_memory(recipe)
    monkeypatch.setattr(machine, "memory_free", lambda: whole // 2)
    finding = machine.memory(recipe)
    assert finding.level == "warning"
    size = int(finding.fix.split()[1].rstrip(":"))
    assert memory.batch_memory(replace(recipe, micro_batch=size)) < whole // 2 < memory.batch_memory(recipe)
    monkeypatch.setattr(machine, "memory_free", lambda: 2 * whole)
    assert machine.memory(recipe).level == "ok"


def test_no_compiled_loops_are_told_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "compiled", lambda: False)
    monkeypatch.delenv("ALEXNET_COMPILED", raising=False)
    finding = machine._compiled()
    assert finding.level == "warning" and finding.fix == 'pip install "alexnet[fast]"'
    monkeypatch.setattr(machine, "compiled", lambda: True)
    assert machine._compiled().level == "ok"
