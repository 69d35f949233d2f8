"""alexnet export, import, push: weights for other programs, theirs, and networks for the Hugging Face hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from alexnet.cli.console import err, error_table, error_texts, out_line, print_json, print_wide, show
from alexnet.cli.machine import summary
from alexnet.cli.progress import Bar
from alexnet.words import gigabytes

if TYPE_CHECKING:  # which brings torch along
    from alexnet.exchange import Exported


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
    predicting needs, in float16 or int8: predict, kernels, train --from and alexnet.load take it, or its URL, for a run; alexnet
    push puts it on the Hugging Face hub.

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
    _show_exported(exported, ", ".join(str(part) for part in exported.files))
    return 0


def _show_exported(exported: "Exported", names: str) -> None:
    out_line(f"{names}: {gigabytes(exported.bytes)}{', int8' if exported.int8 else ''}")
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
    name, URL, as starter or as hf:OWNER/NAME. Nothing in a file is run. The network is
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


def push(
    run: Positional[Path],
    name: Positional[str],
    int8: bool = False,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    data: Path | None = None,
    views: int = 1,
    folder: Path | None = None,
    json: bool = False,
) -> int:
    """Put a run's network on the Hugging Face hub: one file, and a model card that is written from the run.

    The repository is made if it is not there; model.safetensors (as `alexnet export RUN alexnet` writes it) and README.md
    come in one commit. `alexnet predict hf:OWNER/NAME` and alexnet.from_pretrained take it from there. The card says what was
    measured, and nothing of this machine. --folder shows both files first. Needs alexnet[hub], and to be logged in
    (hf auth login, or HF_TOKEN).

    Args:
        run: a run folder, a network file or starter.
        name: the repository, OWNER/NAME.
        int8: weights in 8 bits in place of 16.
        private: a repository for its owner alone.
        revision: the branch to write, made if it is not there; by default main.
        message: the commit's first line.
        license: what the card states as licence, an id of the hub's list, as mit or cc-by-4.0; by default none.
        data: a prepared dataset to measure the errors on; by default the run's own, if it is there.
        views: measure the errors over 1 view or 10.
        folder: write both files into this folder, and upload nothing.
        json: print one JSON document on stdout.
    """
    from alexnet.exchange import hub

    with Bar("images", err) as bar:
        pushed = hub.push(
            run,
            name,
            int8=int8,
            private=private,
            revision=revision,
            message=message,
            license=license,
            data=data,
            views=views,
            folder=folder,
            progress=bar.update,
        )
    if not pushed.exported.measured:
        err.print("the card says that this file's errors were not measured; --data DIR measures them", soft_wrap=True)
    if json:
        print_json(pushed.to_dict())
        return 0
    out_line(f"{pushed.url}, commit {pushed.commit}" if pushed.url else f"{pushed.folder}: nothing was uploaded")
    _show_exported(pushed.exported, ", ".join(hub.FILES))
    return 0
