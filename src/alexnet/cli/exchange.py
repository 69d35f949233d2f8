"""alexnet export, import: weights for other programs, and theirs."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table
from tyro.conf import Positional

from alexnet.cli.console import err, out, out_line, print_json, print_wide
from alexnet.cli.machine import summary
from alexnet.cli.progress import Bar
from alexnet.cli.runs import data_of
from alexnet.errors import InputError


def export(
    run: Positional[Path],
    format: Positional[Literal["onnx", "openvino", "caffe", "torchvision"]],
    file: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    int8: bool = False,
    data: Path | None = None,
    views: int = 1,
    json: bool = False,
) -> int:
    """Write a run's network for onnxruntime or OpenVINO, or its weights for Caffe or torchvision, compared before kept.

    An .onnx or .xml takes float32 pixels [N, 3, S, S], RGB, 0-255, and gives probabilities and logits [N, classes]; the mean
    is subtracted inside, and the classes are among its properties. Needs the packages of alexnet[export]. The weights of
    caffe (.prototxt, .caffemodel, mean image) and torchvision (a state dict, mean image) need none; what their networks
    cannot compute is refused, and what they have to be given is said.

    Args:
        run: a run folder.
        format: onnx, openvino, caffe or torchvision.
        file: the file to write; by default network.onnx, .xml, .caffemodel or .pth in the run folder (network-int8...).
        int8: 8-bit weights and activations, calibrated on training images; the loss of accuracy is measured and stated.
        data: a prepared dataset to compare on, and for int8 to calibrate and measure on; by default the run's own.
        views: int8: measure the errors over 1 view or 10.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets
    from alexnet.data.views import check_views
    from alexnet.export import write
    from alexnet.run import trained

    check_views(views)
    if format == "onnx" or format == "openvino":
        write.check_packages(format, int8)
    elif int8:
        raise InputError(f"--int8: {format} files have float32 weights; leave it out")
    network = trained.load(run)
    path = data or (data_of(run, there=int8) if int8 or (run / "data.json").is_file() else None)
    opened = prepared_sets.open(path) if path and (data or (path / "manifest.json").is_file()) else None
    if opened and not data and not int8 and opened.classes != network.classes:
        opened = None  # prepared anew as something else since the run; noise will do to compare on
    with Bar("images", err) as bar:
        if format == "caffe" or format == "torchvision":
            from alexnet.export import weights

            made = weights.export(network, format, file, opened)
        else:
            made = write.export(network, format, file, opened, int8, views, progress=bar.update)
    if json:
        print_json({"run": str(run), "checkpoint": network.checkpoint, "format": format, **made.to_dict()})
        return 0
    names = ", ".join(str(part) for part in made.files)
    if made.takes:
        out_line(f"takes {made.takes}")
    out_line(f"{names}: {made.bytes / 1e6:,.0f} MB{', int8' if int8 else ''}")
    out.print(
        f"float32 against the run's own network on {made.compared}: probabilities differ by"
        f" {made.probability_difference:.1e} at most, logits by {made.logit_difference:.1e} of the largest",
        soft_wrap=True,
    )
    if made.before and made.after:
        five = len(network.classes) > 5
        table = Table(made.measured or "", "top-1 error %", *(["top-5 error %"] if five else []))
        for name, errors in (("float32", made.before), ("int8", made.after)):
            table.add_row(name, f"{errors.top1_error:.2f}", *([f"{errors.top5_error:.2f}"] if five else []))
        print_wide(table)
    return 0


def import_(
    files: Positional[tuple[Path, ...]],
    out_path: Annotated[Path, tyro.conf.arg(name="out")],
    kind: Literal["caffe", "torchvision", "onnx", "cuda-convnet"] | None = None,
    takes: Annotated[Literal["pixels", "unit", "torchvision", "caffe"] | None, tyro.conf.arg(name="input")] = None,
    mean: str | None = None,
    classes: Path | None = None,
    data: Path | None = None,
    input_size: int | None = None,
    image_size: int | None = None,
    name: str | None = None,
    json: bool = False,
) -> int:
    """Make a run folder from weights of others, or a network (.json) from a layer file of the 2012 program.

    Reads Caffe's .caffemodel, with its .prototxt or alone; torchvision's alexnet, .pth or .safetensors; ONNX graphs of
    AlexNet's kind; and layers-*.cfg, with its layer-params-*.cfg or alone. Nothing in a file is run. The network is
    compared with the file's own definition on the same images; beyond 10⁻⁴ nothing is written.

    Args:
        files: the file, and what belongs to it.
        out_path: the run folder to make; for a layer file, the .json file.
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
    import dataclasses

    from alexnet.imports import read as reading

    if not files:
        raise InputError("import needs a FILE: .caffemodel, .pth, .safetensors, .onnx or layers-*.cfg")
    chosen = kind or reading.kind_of(files[0])
    if chosen == "cuda-convnet":
        return _import_layers(files, out_path, input_size, json)
    from alexnet.data import prepared as prepared_sets
    from alexnet.imports import classes as naming
    from alexnet.imports import run as runs

    runs.check_out(out_path)
    opened = prepared_sets.open(data) if data else None
    read = reading.read(files, chosen, reading.Options(mean, takes, input_size, image_size, name))
    number = read.imported.network.classes
    if classes:
        names = naming.read(classes, number)
    elif opened:
        names = naming.checked(list(opened.classes), number, f"--data {data}")
    else:
        names = naming.checked(read.classes, number, str(files[0])) if read.classes else naming.unnamed(number)
    if opened and opened.classes != tuple(names):
        raise InputError(f"--data {data}: its classes are not those of --classes {classes}, or in another order")
    network = runs.module(read.imported)
    compared = runs.compare(network, read.imported, read.theirs, read.by)
    runs.write(read.imported, network, out_path, names, str(files[0]), opened)
    unnamed = not (classes or opened or read.classes)
    notes = [*read.imported.notes, *(["the classes have no names; --classes FILE gives them"] if unnamed else [])]
    if json:
        document = {"run": str(out_path), "kind": chosen, "network": read.imported.network.name, "classes": number}
        print_json({**document, "notes": notes, **dataclasses.asdict(compared)})
        return 0
    for note in notes:
        out_line(note)
    out_line(
        f"against {compared.by}, {runs.COMPARED} images of noise: probabilities differ by {compared.probability_difference:.1e}"
        f" at most, logits by {compared.logit_difference:.1e} of the largest"
    )
    out_line(f"run folder {out_path}")
    return 0


def _import_layers(files: tuple[Path, ...], file: Path, input_size: int | None, json: bool) -> int:
    from alexnet.files import write_text
    from alexnet.imports import cuda_convnet
    from alexnet.network import named
    from alexnet.network import summary as summaries

    if len(files) > 2:
        raise InputError(f"{files[2]}: give a layer file, and at most its parameter file")
    if file.suffix != ".json":
        raise InputError(f"--out {file}: a layer file has no weights and becomes a network, whose name ends in .json")
    made = cuda_convnet.read(files[0], files[1] if len(files) == 2 else None, input_size)
    nearest, differ = named.nearest(made.network, initial=True)
    summaries.summarize(made.network)  # whether it can be built
    write_text(file, named.to_json(made.network))
    if json:
        said = {"nearest": nearest.name, "differences": differ, "notes": list(made.notes)}
        print_json({"network": str(file), **said})
        return 0
    for note in made.notes:
        out_line(note)
    if differ:
        out_line(f"nearest named network: {nearest.name}. It differs in")
        for line in differ:
            out_line(f"  {line}")
    else:
        out_line(f"equals the named network {nearest.name}, initial values too")
    return summary([str(file)])
