"""alexnet export, import: weights for other programs, and theirs."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from alexnet.cli.console import err, error_table, error_texts, out_line, print_json, print_wide, show
from alexnet.cli.machine import summary
from alexnet.cli.progress import Bar
from alexnet.words import gigabytes


def export(
    run: Positional[Path],
    format: Positional[Literal["onnx", "openvino", "caffe", "torchvision", "alexnet"]],
    file: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    int8: bool = False,
    data: Path | None = None,
    views: int = 1,
    note: str = "",
    json: bool = False,
) -> int:
    """Write a run's network for onnxruntime or OpenVINO, its weights for Caffe or torchvision, or all of it as one file.

    An .onnx or .xml takes float32 pixels [N, 3, S, S], RGB, 0-255, and gives probabilities and logits [N, classes]; the mean
    is subtracted inside, and the classes are among its properties. Needs the packages of alexnet[export]. The weights of
    caffe (.prototxt, .caffemodel, mean image) and torchvision (a state dict, mean image) need none; what their networks
    cannot compute is refused, and what they have to be given is said. A network file (alexnet, .safetensors) is all that
    predicting needs, in float16 or int8: predict, kernels, train --from and alexnet.load take it, or its URL, for a run.

    Args:
        run: a run folder, a network file or starter.
        format: onnx, openvino, caffe, torchvision or alexnet.
        file: the file to write; by default network.onnx, .xml, .caffemodel, .pth or .safetensors in the run folder
            (network-int8...).
        int8: 8-bit weights, and for onnx and openvino activations, calibrated on training images; the loss of accuracy is
            measured and stated.
        data: a prepared dataset to compare and measure on, and for int8 to calibrate on; by default the run's own.
        views: int8 and alexnet: measure the errors over 1 view or 10.
        note: alexnet: a sentence that is kept in the file, as where its weights come from.
        json: print one JSON document on stdout.
    """
    from alexnet import exchange

    with Bar("images", err) as bar:
        exported = exchange.export(run, format, file, int8, data, views, bar.update, note)
    if json:
        print_json(exported.to_dict())
        return 0
    if exported.takes:
        out_line(f"takes {exported.takes}")
    names = ", ".join(str(part) for part in exported.files)
    out_line(f"{names}: {gigabytes(exported.bytes)}{', int8' if int8 else ''}")
    form, before, after = "float32", "float32", "int8"
    if exported.sha256:
        out_line(f"SHA-256 {exported.sha256}")
        form, before, after = "the file", "the run", "the file"
    out_line(f"{form} against the run's own network on {exported.compared}: {exported.difference}")
    if exported.before and exported.after:
        table = error_table(exported.measured or "", classes=exported.classes)
        for name, errors in ((before, exported.before), (after, exported.after)):
            table.add_row(name, *error_texts(errors.top1_error, errors.top5_error, exported.classes))
        print_wide(table)
    return 0


def import_(
    files: Positional[tuple[Path, ...]],
    out: Path,
    kind: Literal["caffe", "torchvision", "onnx", "cuda-convnet", "alexnet"] | None = None,
    takes: Annotated[Literal["pixels", "unit", "torchvision", "caffe"] | None, tyro.conf.arg(name="input")] = None,
    mean: str | None = None,
    classes: Path | None = None,
    data: Path | None = None,
    input_size: int | None = None,
    image_size: int | None = None,
    name: str | None = None,
    json: bool = False,
) -> int:
    """Make a run folder from weights of others or a network file, or a network (.json) from a layer file of the 2012 program.

    Reads Caffe's .caffemodel, with its .prototxt or alone; torchvision's alexnet, .pth or .safetensors; ONNX graphs of
    AlexNet's kind; layers-*.cfg, with its layer-params-*.cfg or alone; and network files of `alexnet export RUN alexnet`, by
    name, URL or as starter. Nothing in a file is run. The network is
    compared with the file's own definition on the same images; beyond 10⁻⁴ nothing is written.

    Args:
        files: the file, and what belongs to it.
        out: the run folder to make; for a layer file, the .json file.
        kind: what the files are; by default told by their names, else by how they begin.
        takes: what the file's network is given. pixels: RGB 0-255 minus the mean; unit: RGB 0-1; torchvision: RGB 0-1 minus
            its mean, divided by its deviations; caffe: BGR 0-255 minus the mean. By default what its kind takes.
        mean: the mean on 0-255, colours in the file's order: .binaryproto, .npy of [3, S, S], or three values, as 104,117,123.
        classes: a file with the names of the classes, one a line (synset_words.txt), or a JSON list.
        data: a prepared dataset with these classes, in this order; evaluate and others take it by default.
        input_size: side of the network's input, where the file leaves it open.
        image_size: side of the images that crops are taken from; by default the mean image's, else 256.
        name: what summaries and reports call the network.
        json: print one JSON document on stdout.
    """
    from alexnet import exchange
    from alexnet.exchange.imports import COMPARED

    if exchange.kind_of(files, kind) == "cuda-convnet":
        network = exchange.import_layers(files, out, input_size)
        lines = [f"equals the named network {network.nearest}, initial values too"]
        if network.differences:
            lines = [f"nearest named network: {network.nearest}. It differs in"]
            lines += [f"  {line}" for line in network.differences]
        show(network, json, *network.notes, *lines)
        return 0 if json else summary([str(network.file)])
    imported = exchange.import_weights(files, out, kind, takes, mean, classes, data, input_size, image_size, name)
    compared = f"against {imported.by}, {COMPARED} images of noise: {imported.difference}"
    show(imported, json, *imported.notes, compared, f"run folder {imported.run}")
    return 0
