"""Caffe's files in: told from other programs' by nothing but their bytes, equal to what Caffe's layers are said to compute."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.cli import main
from alexnet.exchange import foreign, imports
from alexnet.network.spec import LRN, Pooling
from alexnet.run import trained

from . import making
from .making import CaffeLayer, caffe_layers, caffemodel, draw, prototxt, write

ORDERS = {"bvlc_alexnet": ("norm", "pool"), "caffenet": ("pool", "norm")}


def imported(capsys: pytest.CaptureFixture[str], *args: object) -> dict:
    capsys.readouterr()
    assert main(["import", *map(str, args), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], out: Path, *args: object) -> str:
    before = sorted(out.parent.rglob("*"))
    capsys.readouterr()
    assert main(["import", *map(str, args), "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert sorted(out.parent.rglob("*")) == before, "something was left"
    return said.err


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("form", ["today", "2014", "doubles", "with prototxt", "with prototxt of 2014"])
def test_a_model_computes_what_its_layers_say(
    order: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = caffe_layers(ORDERS[order])
    files = [write(tmp_path / "m.caffemodel", caffemodel(layers, old="2014" in form, double=form == "doubles"))]
    if "prototxt" in form:
        files.append(write(tmp_path / "deploy.prototxt", prototxt(layers, old="2014" in form)))
    content, mean = making.binaryproto(80)
    out = tmp_path / "run"
    said = imported(capsys, *files, "--mean", write(tmp_path / "mean.binaryproto", content), "--out", out)
    assert max(said["probability_difference"], said["logit_difference"]) < 1e-5
    network = trained.load(out)
    images = np.random.default_rng(5).integers(0, 256, (4, 80, 80, 3), dtype=np.uint8)
    crop = images[:, 6 : 6 + making.SIZE, 6 : 6 + making.SIZE, ::-1].transpose(0, 3, 1, 2)  # B, G, R
    crop = crop.astype(np.float32) - mean[:, 6 : 6 + making.SIZE, 6 : 6 + making.SIZE]
    wanted = making.logits(layers, torch.from_numpy(np.ascontiguousarray(crop)))
    with torch.no_grad():
        logits = network(images)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    spec = network.network.spec
    assert spec.columns == 2 and spec.links == ("conv3", "fc6", "fc7") and spec.normalization_name == "caffe"
    assert spec.convolutions[0].then == ("relu", *ORDERS[order]) and spec.dropout_form == "inverted"
    np.testing.assert_array_equal(np.load(out / "preparation" / "mean.npy"), mean[::-1].transpose(1, 2, 0))


@pytest.mark.parametrize("pool", [(3, 1), (2, 2)])
def test_normalization_and_pooling_may_have_any_numbers(
    pool: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lrn = {"local_size": 3, "alpha": 0.02, "beta": 0.6, "k": 1.5}
    layers = caffe_layers(lrn=lrn, pool=pool)
    model = write(tmp_path / "m.caffemodel", caffemodel(layers))
    said = imported(capsys, model, "--mean", "104,117,123", "--image-size", making.SIZE, "--out", tmp_path / "run")
    assert said["logit_difference"] < 1e-5
    network = trained.load(tmp_path / "run")
    images = draw(5).integers(0, 256, (4, making.SIZE, making.SIZE, 3), dtype=np.uint8)
    blobs = images[..., ::-1].transpose(0, 3, 1, 2) - np.float32([104, 117, 123])[:, None, None]
    wanted = making.logits(layers, torch.from_numpy(blobs))
    with torch.no_grad():
        torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    spec = network.network.spec
    assert (spec.lrn, spec.pooling) == (LRN(3, 1.5, float(f"{0.02 / 3:.6g}"), 0.6), Pooling(*pool))


def test_the_published_networks_are_told_apart_by_their_layers(tmp_path: Path) -> None:
    for order, expected in (
        ("bvlc_alexnet", "equals the named network caffe"),
        ("caffenet", "nearest is caffe: conv1"),
    ):
        layers = caffe_layers(ORDERS[order], (96, 256, 384, 384, 256), 16, 10, 227)
        for layer in layers[-6:]:
            if layer.type == "InnerProduct":  # the hidden ones wide, and empty: it is the structure that counts
                shape = {"fc6": (4096, 9216), "fc7": (4096, 4096), "fc8": (10, 4096)}[layer.name]
                layer.parameters, layer.blobs = (
                    {"num_output": shape[0]},
                    (np.zeros(shape, np.float32), np.zeros(shape[0])),
                )
        for layer in layers:
            if layer.name == "fc6":
                layer.parameters, layer.blobs = (
                    {"num_output": 4096},
                    (np.zeros((4096, 9216), np.float32), np.zeros(4096)),
                )
        model = write(tmp_path / "m.caffemodel", caffemodel(layers, 227, mean=(104, 117, 123)))
        original = foreign.read([model], "caffe", foreign.Options())
        assert expected in original.notes[0], original.notes
        assert original.mean.shape == (256, 256, 3) and original.mean[0, 0].tolist() == [123, 117, 104]
        if order == "caffenet":
            assert "relu pool norm (not then relu norm pool)" in original.notes[0]


def test_a_224_input_that_caffe_floors_and_ceils_is_a_smaller_crop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 72 pixels: 16 windows that leave one pixel, then pooling that hangs over: Caffe rounds the two differently.
    layers = caffe_layers(size=72)
    files = [
        write(tmp_path / "m.caffemodel", caffemodel(layers, 72)),
        write(tmp_path / "d.prototxt", prototxt(layers, 72)),
    ]
    said = imported(capsys, *files, "--mean", "104,117,123", "--out", tmp_path / "run")
    assert "conv1 reads 71 of 72 pixels" in said["notes"][0] and said["logit_difference"] < 1e-5


def test_classes_by_name_and_a_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write(tmp_path / "m.caffemodel", caffemodel(caffe_layers()))
    names = [f"n0144076{n} fish, of kind {n}" for n in range(5)]
    words = write(tmp_path / "synset_words.txt", "\n".join(names) + "\n")
    imported(capsys, model, "--mean", "104,117,123", "--classes", words, "--out", tmp_path / "run")
    # As `prepare` names the classes of ILSVRC-2012, so that its data fits.
    assert json.loads((tmp_path / "run" / "classes.json").read_text()) == [f"n0144076{n} fish" for n in range(5)]
    write(words, "\n".join(names[:4]))
    err = refused(capsys, tmp_path / "other", model, "--mean", "104,117,123", "--classes", words)
    assert "4 classes, the network has 5" in err


@pytest.mark.parametrize("where", ["model", "model, then another", "prototxt alone", "both"])
def test_mean_and_scale_come_each_from_the_file_that_says_it(where: str, tmp_path: Path) -> None:
    layers, mean = caffe_layers(), (104.0, 117.0, 123.0)
    # The data layer for testing has neither; or, wrongly, others.
    more = (
        making.real(1, 0.5) + b"".join(making.real(5, 1.0) for _ in range(3))
        if "another" in where
        else making.number(3, making.SIZE)
    )
    of_model = None if "alone" in where else 1 / 128 if where == "both" else 1 / 64
    model = caffemodel(layers, mean=mean, scale=of_model, more=more)
    files = [write(tmp_path / "m.caffemodel", model)]
    if where in ("prototxt alone", "both"):
        deploy = prototxt(layers)
        data = 'layer { name: "data" type: "Data" top: "data" transform_param { scale: 0.015625 crop_size: 67 } }\n'
        head = deploy.index("layer {")
        files.append(write(tmp_path / "train_val.prototxt", 'name: "Small"\n' + data + deploy[head:]))
    original = foreign.read(files, "caffe", foreign.Options())
    assert original.network.input_scale == pytest.approx(1 / 64)
    assert original.mean[0, 0].tolist() == [123, 117, 104]


def test_the_mean_image_of_a_run_is_turned_to_b_g_r(tmp_path: Path) -> None:
    model = write(tmp_path / "m.caffemodel", caffemodel(caffe_layers()))
    image = np.random.default_rng(0).uniform(90, 130, (80, 80, 3)).astype(np.float32)  # R, G, B
    np.save(tmp_path / "mean.npy", image)
    original = foreign.read([model], "caffe", foreign.Options(mean=str(tmp_path / "mean.npy")))
    np.testing.assert_array_equal(original.mean, image)
    np.save(tmp_path / "mean.npy", image[:, :, ::-1].transpose(2, 0, 1))  # as Caffe's, B, G, R
    original = foreign.read([model], "caffe", foreign.Options(mean=str(tmp_path / "mean.npy")))
    np.testing.assert_array_equal(original.mean, image)


def test_a_mean_image_smaller_than_the_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write(tmp_path / "m.caffemodel", caffemodel(caffe_layers()))
    mean = write(tmp_path / "mean.binaryproto", making.binaryproto(making.SIZE - 3)[0])
    err = refused(capsys, tmp_path / "run", model, "--mean", mean)
    assert "--mean: [3, 64, 64], smaller than the network's input, 67" in err


Change = Callable[[list[CaffeLayer]], None]


def _layer(layers: list[CaffeLayer], name: str) -> CaffeLayer:
    return next(layer for layer in layers if layer.name == name)


def _blob(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def go(layers: list[CaffeLayer]) -> None:
        layer = _layer(layers, name)
        layer.blobs = (change(layer.blobs[0].copy()), *layer.blobs[1:])

    return go


def _set(name: str, **values: float) -> Change:
    return lambda layers: _layer(layers, name).parameters.update(values)


def _nan(array: np.ndarray) -> np.ndarray:
    array.flat[3] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_blob("conv3", _nan), "conv3: NaN or infinity is among its weights"),
        (_blob("conv4", lambda w: w[:, :, :2]), "conv4: its window is 2×3"),
        (_blob("conv4", lambda w: w[:, :5]), "conv4: its weights read 10"),
        (_blob("fc6", lambda w: w[:, :-1]), "fc6: its weights read 7"),
        (_blob("fc7", lambda w: w[:-1]), "fc7: 16 outputs, and weights [15, 16]"),
        (_set("conv2", group=4), "conv2: "),
        (_set("norm1", local_size=4), "norm1: network.lrn.n: 4 kernels; it must be odd"),
        (_set("norm1", local_size=99999), "norm1: normalization over 99,999 kernels; the file is damaged"),
        (_set("norm1", k=0.0), "norm1: network.lrn: LRN(n=5, k=0.0, alpha=2e-05, beta=0.75); k must be above 0"),
        (_set("norm2", local_size=3), "norm2: LRN(n=3, k=1.0, alpha=3.33333e-05, beta=0.75), but LRN(n=5, "),
        (_set("pool1", kernel_size=1), "pool1: network.pooling: 1/2; the stride must"),
        (_set("pool2", kernel_size=2), "pool2: pooling 2/2, but 3/2 before it; a network here has one for all layers"),
        (_set("pool2", pool=1), "pool2 (Pooling): not of maxima"),
        (_set("drop6", dropout_ratio=0.25), "drop7: dropout 0.5, but 0.25 before it"),
        (lambda layers: setattr(_layer(layers, "relu3"), "bottom", "conv1"), "relu3 (ReLU): it reads conv1"),
        (lambda layers: setattr(_layer(layers, "relu4"), "type", "Scale"), "relu4 (Scale): this kind of layer"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Change, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = caffe_layers()
    change(layers)
    model = write(tmp_path / "m.caffemodel", caffemodel(layers))
    assert expected in refused(capsys, tmp_path / "run", model, "--mean", "104,117,123")


def test_damaged_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = caffe_layers()
    whole = caffemodel(layers)
    model, out = tmp_path / "m.caffemodel", tmp_path / "run"
    for share in (0.1, 0.5, 0.9, 0.999):
        write(model, whole[: int(share * len(whole))])
        refused(capsys, out, model, "--mean", "104,117,123")
    for content in (b"", b"PK\x03\x04 no model", b"{}", b"\xff" * 100):
        refused(capsys, out, write(model, content), "--mean", "104,117,123")
    # A header that claims 10^15 numbers, and one that claims fewer than there are.
    for shape in ((1 << 20, 1 << 20, 1 << 10, 1), (2, 2)):
        blob = making.chunk(7, making.chunk(1, b"".join(map(making.varint, shape)))) + making.chunk(5, b"\0" * 64)
        body = (
            making.chunk(1, "conv1") + making.chunk(2, "Convolution") + making.chunk(3, "data") + making.chunk(7, blob)
        )
        write(model, making.chunk(100, body))
        assert "conv1: a blob of shape" in refused(capsys, out, model, "--mean", "104,117,123")
    write(model, making.chunk(2, making.chunk(1, making.chunk(1, "conv1"))))
    assert "of 2013" in refused(capsys, out, model, "--mean", "104,117,123")


def test_what_is_missing_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers, out = caffe_layers(), tmp_path / "run"
    model = write(tmp_path / "m.caffemodel", caffemodel(layers))
    text = write(tmp_path / "d.prototxt", prototxt(layers))
    assert "--mean is missing" in refused(capsys, out, model)
    assert "not three values" in refused(capsys, out, model, "--mean", "nowhere.binaryproto")
    assert "one .caffemodel" in refused(capsys, out, text)
    assert "no such file" in refused(capsys, out, tmp_path / "no.caffemodel")
    _layer(layers, "conv3").name = "another"
    write(text, prototxt(layers))
    assert "no weights for layer another" in refused(capsys, out, model, text, "--mean", "104,117,123")
    write(text, prototxt(caffe_layers()).replace('  top: "conv3"\n', "", 1))
    assert "conv3 (Convolution): it gives 0 blobs" in refused(capsys, out, model, text, "--mean", "104,117,123")
    write(text, "layer { name: 3")
    assert "not a .prototxt" in refused(capsys, out, model, text, "--mean", "104,117,123")
    (tmp_path / "taken").mkdir()
    write(tmp_path / "taken" / "file", "")
    assert "something already" in refused(capsys, tmp_path / "taken", model, "--mean", "104,117,123")


def test_opencv_computes_the_same(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no files of Caffe any more (5.0)")
    for order in ORDERS.values():
        layers = caffe_layers(order)
        model = write(tmp_path / "m.caffemodel", caffemodel(layers))
        text = write(tmp_path / "d.prototxt", prototxt(layers))
        got = foreign.read([model, text], "caffe", foreign.Options(mean="104,117,123"))
        theirs = cv2.dnn.readNetFromCaffe(str(text), str(model))

        def logits(pixels: torch.Tensor, theirs: object = theirs) -> torch.Tensor:
            images = pixels.flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
            theirs.setInput(images.numpy(), "data")  # type: ignore[attr-defined]
            return torch.from_numpy(theirs.forward("fc8").reshape(len(pixels), -1))  # type: ignore[attr-defined]

        compared = imports.compare(got.module(), replace(got, logits=logits, by="OpenCV"))
        assert compared.logit < 1e-5
