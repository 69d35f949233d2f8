"""The network computed in the browser: the square of a photograph, every step and the ten crops are what Python makes of it."""

import io
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import alexnet
from alexnet.data.image import to_square
from alexnet.explore import values
from alexnet.network.model import AlexNet
from alexnet.network.spec import LRN, Convolution, Network
from alexnet.run import network_file
from alexnet.run.network_file import Contents
from alexnet.run.recipe import Recipe
from alexnet.run.trained import TrainedNetwork
from tests.conftest import CLASSES, TINY_NETWORK, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = Path(alexnet.__file__).parent / "explore" / "page"


class Quiet(SimpleHTTPRequestHandler):
    """A plain file server."""

    def log_message(self, *args: Any) -> None:
        pass


@dataclass(frozen=True)
class Site:
    """The page's files on a server, and whatever a test lays beside them."""

    folder: Path
    address: str

    def ask(self, page: "Page", script: str, *arguments: Any) -> Any:
        """What an async function in JavaScript returns; it gets `load`, which imports a file of the page, and the arguments."""
        if page.url != self.address:
            page.goto(self.address)
        load = f"const load = (name) => import({json.dumps(self.address)} + name);"
        return page.evaluate(f"async (args) => {{ {load} return await ({script})(...args) }}", list(arguments))

    def fails(self, page: "Page", script: str, *arguments: Any) -> str:
        """The message that it throws."""
        caught = "const message = (error) => error.message;"
        message = self.ask(
            page, f"(...args) => {{ {caught} return ({script})(...args).then(() => '', message) }}", *arguments
        )
        assert message and "\n" not in message
        return str(message)

    def publish(self, name: str, trained: TrainedNetwork) -> None:
        """network.json, beside network.safetensors in the same folder."""
        (self.folder / name / "network.json").write_text(json.dumps(values.network(trained)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site") / "page"
    shutil.copytree(PAGE, folder)
    (folder / "index.html").write_text("<!doctype html><title>x</title><link rel=icon href=data:,>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Site(folder, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


# The network ----------------------------------------------------------------------------------------------------------

FIRST, SECOND, THIRD = TINY_NETWORK.convolutions
STRONG = LRN(n=5, k=2.0, alpha=0.01, beta=0.75)  # so that it changes much, whatever the weights are
TINY = replace(TINY_NETWORK, lrn=STRONG)

NETWORKS = {
    "paper": TINY,
    "authors-2012": replace(
        TINY,
        convolutions=(
            replace(FIRST, then=("norm", "pool", "relu")),
            replace(SECOND, then=("relu", "norm", "norm-map", "pool")),
            THIRD,
        ),
        normalization_window="column",
    ),
    "caffe": replace(TINY, input_size=29, lrn=replace(STRONG, k=1.0, n=3), dropout_form="inverted"),
    "tanh": replace(TINY, columns=1, activation="tanh", convolutions=(Convolution(9, 7, 3, 2), SECOND, THIRD)),
    "sigmoid": replace(TINY, activation="sigmoid", normalization="batch", links=()),
    "rounded-down": replace(TINY, rounding="down", input_scale=1 / 60, order="relu-pool-norm"),
    "wide": replace(TINY, conv6=True, bottleneck=6, links=("conv2", "fc5")),
}
"""Every kind of step, with what each may be told; kernels by fours and not, overhang and none, one column and two."""


def weights_of(network: Network) -> dict[str, Tensor]:
    """Random weights that carry an image through all layers, and biases that are not zero."""
    draw = torch.Generator().manual_seed(5)
    weights = AlexNet(network).state_dict()
    for name, tensor in weights.items():
        if tensor.ndim > 1:
            inputs = tensor[0].numel() if tensor.ndim == 4 else tensor.shape[-1]
            tensor.normal_(0, inputs**-0.5, generator=draw)
        elif name.endswith("running_var"):
            tensor.uniform_(1, 3000, generator=draw)
        elif tensor.is_floating_point():
            tensor.normal_(0, 1, generator=draw)
    return weights


def write(site: Site, name: str, network: Network, side: int = 32, int8: bool = False) -> TrainedNetwork:
    """A network file in a folder of the site, with network.json; and the network as Python reads it."""
    draw = np.random.default_rng(2)
    folder = site.folder / name
    folder.mkdir(exist_ok=True)
    contents = Contents(
        folder,
        Recipe(name="tiny", network=network, image_size=32, precision="float32", device="cpu"),
        weights_of(network),
        CLASSES,
        draw.uniform(90, 140, (side, side, 3)).astype(np.float32),
        np.ones(3, np.float32),
        np.eye(3, dtype=np.float32),
        "step-00000001",
    )
    file = folder / "network.safetensors"
    network_file.write(file, contents, int8)
    trained = alexnet.load(file)
    site.publish(name, trained)
    return trained


OPEN = """async (name) => {
    const network = await (await fetch(`${name}/network.json`)).json();
    const { Local } = await load("local.js");
    return await Local.open(network, `${name}/network.safetensors`);
}"""

LOOK = f"""async (name, bytes) => {{
    const local = await ({OPEN})(name);
    const image = await local.add(new Blob([new Uint8Array(bytes)]), "photo.png");
    let centre = null;
    const answer = await local.answer(image.id, (top) => {{ centre = top; }});
    const network = await (await fetch(`${{name}}/network.json`)).json();
    const steps = {{}};
    for (const step of network.steps) steps[step.name] = [...await local.step(image.id, step.name)];
    return {{ image, answer, centre, steps, input: [...await local.input(image.id)] }};
}}"""


def photograph(width: int = 45, height: int = 37) -> bytes:
    return encoded(Image.fromarray(picture("blobs", np.random.default_rng(3), 60)[:height, :width]), "PNG")


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def close(actual: Any, expected: np.ndarray) -> bool:
    """Whether numbers agree to 1e-4, of themselves or of a tenth of the largest: torch's float32 sums are no nearer."""
    return np.allclose(np.ravel(actual), np.ravel(expected), rtol=1e-4, atol=1e-5 * float(np.abs(expected).max()))


def same_labels(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    pairs = list(zip(actual, expected, strict=True))
    return all(a["label"] == b["label"] and abs(a["probability"] - b["probability"]) < 1e-5 for a, b in pairs)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_and_the_ten_crops_are_those_of_python(page: "Page", site: Site, name: str) -> None:
    trained = write(site, name, NETWORKS[name])
    square = to_square(photograph(), 32)
    found = site.ask(page, LOOK, name, list(photograph()))
    assert close(found["input"], values.first_input(trained, square))
    steps = values.steps(trained, square)
    assert list(found["steps"]) == list(steps)
    for step, expected in steps.items():
        assert np.ptp(expected) > 0
        assert close(found["steps"][step], expected), step
    answer, expected_answer = found["answer"], values.answer(trained, square, None)
    assert close(answer["probabilities"], np.array(expected_answer["probabilities"]))
    for part in ("top", "centre"):
        assert same_labels(answer[part], expected_answer[part]), part
    assert found["centre"] == answer["centre"]
    for crop, other in zip(answer["crops"], expected_answer["crops"], strict=True):
        assert same_labels(crop.pop("top"), other.pop("top")) and crop == other
    assert answer.pop("precision") == "float32", "the page says so"
    assert answer.keys() == expected_answer.keys() and answer["label"] is None
    assert found["image"]["id"].startswith("local-") and found["image"]["name"] == "photo.png"


def test_images_of_a_larger_set_are_averaged_down_to_the_recipe_s(page: "Page", site: Site) -> None:
    trained = write(site, "larger", TINY, side=44)
    square = to_square(photograph(), 44)
    found = site.ask(page, LOOK, "larger", list(photograph()))
    assert close(found["input"], values.first_input(trained, square))
    assert close(found["answer"]["probabilities"], trained.probabilities(square[None], views=10).numpy())


@pytest.mark.parametrize("int8", [False, True], ids=["float16", "int8"])
def test_a_network_file_s_weights_are_read_as_python_reads_them(page: "Page", site: Site, int8: bool) -> None:
    trained = write(site, "read", NETWORKS["sigmoid"], int8=int8)
    script = """async () => {
        const { readSafetensors } = await load("safetensors.js");
        const { tensors } = readSafetensors(await (await fetch("read/network.safetensors")).arrayBuffer());
        return [...tensors].map(([name, { shape, data }]) => [name, shape, [...data]]);
    }"""
    found = {name: np.array(data, np.float32).reshape(shape) for name, shape, data in site.ask(page, script)}
    weights = trained.network.state_dict()
    assert found.keys() == weights.keys() | {"mean", "eigenvalues", "eigenvectors"}
    for name, expected in weights.items():
        assert np.array_equal(found[name], expected.numpy()), name


def test_the_weights_of_a_unit_are_the_row_that_the_server_gives(page: "Page", site: Site) -> None:
    trained = write(site, "rows", NETWORKS["wide"])  # fc4 reads its own column
    script = f"async (name, layer, unit) => [...await (await ({OPEN})(name)).row(layer, unit)]"
    for layer, unit in (("fc4", 3), ("fc4", 20), ("fc5", 20)):
        expected = values.row_of_weights(trained, layer, unit)
        assert np.array_equal(np.array(site.ask(page, script, "rows", layer, unit), np.float32), expected), (
            layer,
            unit,
        )


def test_every_float16_has_its_value(page: "Page", site: Site) -> None:
    script = """async () => {
        const { fromFloat16 } = await load("safetensors.js");
        return [...fromFloat16(Uint16Array.from({ length: 65536 }, (_, bits) => bits))];
    }"""
    expected = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    assert np.array_equal(np.array(site.ask(page, script), np.float32), expected, equal_nan=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file[:-10], "cut short or damaged"),
        (lambda file: file[:6], "cut short"),
        (lambda file: b"<!doctype html> of a host that has no such file", "no .safetensors file"),
        (lambda file: file.replace(b'"F16"', b'"F64"', 1), "of type F64"),
        (lambda file: file.replace(b"conv2.bias", b"conv2.wass", 1), "has no conv2.bias"),
        (lambda file: file.replace(b'"mean"', b'"mine"', 1), "has no mean image"),
    ],
)
def test_a_damaged_network_file_is_told_in_one_line(page: "Page", site: Site, damage: Any, message: str) -> None:
    write(site, "damaged", TINY)
    file = site.folder / "damaged" / "network.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    assert message in site.fails(page, LOOK, "damaged", list(photograph()))


def test_a_network_that_is_not_there_is_told_in_one_line(page: "Page", site: Site, problems: list[str]) -> None:
    write(site, "gone", TINY)
    (site.folder / "gone" / "network.safetensors").unlink()
    assert "gone/network.safetensors: 404" in site.fails(page, LOOK, "gone", list(photograph()))
    problems.clear()  # the browser may say so too


# The square -----------------------------------------------------------------------------------------------------------

SQUARE = """async (bytes, size) => {
    const { toSquare } = await load("square.js");
    return [...await toSquare(new Blob([new Uint8Array(bytes)]), size)];
}"""


def square_in_browser(page: "Page", site: Site, file: bytes, size: int) -> np.ndarray:
    return np.array(site.ask(page, SQUARE, list(file), size), int).reshape(size, size, 3)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Pixels at random, in which every weight of the filter matters."""
    values = np.random.default_rng(1).integers(0, 256, (height, width, len(mode)), np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


@pytest.mark.parametrize(
    "image",
    [
        noise(131, 77),
        noise(77, 131),
        noise(64, 64),
        noise(31, 45),
        noise(1, 3),
        noise(400, 31),
        noise(301, 301, "L"),
        noise(90, 90).quantize(32),
    ],
    ids=lambda image: f"{image.mode}-{image.width}x{image.height}",
)
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_square_has_the_bytes_that_python_gives_it(page: "Page", site: Site, image: Image.Image, form: str) -> None:
    file = encoded(image, form, lossless=True) if form == "WEBP" else encoded(image, form)
    assert np.array_equal(square_in_browser(page, site, file, 64), to_square(file, 64))


def test_a_large_image_is_read_in_strips_to_the_same_bytes(page: "Page", site: Site) -> None:
    file = encoded(noise(3001, 2500), "PNG", compress_level=1)
    (site.folder / "large.png").write_bytes(file)
    script = """async () => {
        const { toSquare } = await load("square.js");
        return [...await toSquare(await (await fetch("large.png")).blob(), 48)];
    }"""
    assert np.array_equal(np.array(site.ask(page, script)).reshape(48, 48, 3), to_square(file, 48))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_on_white(page: "Page", site: Site, mode: str) -> None:
    file = encoded(noise(131, 77, mode), "PNG")
    assert np.abs(square_in_browser(page, site, file, 64) - to_square(file, 64)).max() <= 1
    clear = encoded(Image.new("RGBA", (9, 7), (10, 20, 30, 0)), "PNG")
    assert (square_in_browser(page, site, clear, 8) == 255).all()


def test_a_large_photograph_is_near_the_one_that_python_decodes_in_eighths(page: "Page", site: Site) -> None:
    image = Image.fromarray(picture("blobs", np.random.default_rng(8), 75)).resize((300, 300))
    file = encoded(image, "JPEG", quality=90)
    apart = np.abs(square_in_browser(page, site, file, 64) - to_square(file, 64))
    assert apart.max() <= 10 and apart.mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_upright_and_near_the_one_that_python_decodes(
    page: "Page", site: Site, orientation: int
) -> None:
    image = Image.fromarray(picture("blobs", np.random.default_rng(8), 150)[:110])
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(image, "JPEG", quality=90, exif=exif)
    apart = np.abs(square_in_browser(page, site, file, 64) - to_square(file, 64))
    assert apart.max() <= 1  # turned before the two passes there, after them here


def test_the_first_frame_of_an_animation_counts(page: "Page", site: Site) -> None:
    frames = [noise(40, 40, "L"), Image.new("L", (40, 40), 255)]
    file = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(square_in_browser(page, site, file, 32), to_square(file, 32))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "empty file (0 bytes)"),
        (b"no image at all", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not an image"),
        (photograph()[:-200], "damaged"),
        (encoded(noise(40, 40), "JPEG")[:-200], "damaged"),
    ],
)
def test_what_is_no_image_is_told_in_one_line(page: "Page", site: Site, file: bytes, message: str) -> None:
    assert message in site.fails(page, SQUARE, list(file), 8)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(page: "Page", site: Site) -> None:
    script = """async () => {
        const { toSquare, MOST_BYTES } = await load("square.js");
        await toSquare(new Blob([new Uint8Array(MOST_BYTES + 1)]), 8);
    }"""
    assert "64 MB at most" in site.fails(page, script)


# The images that are kept ---------------------------------------------------------------------------------------------


def test_pictures_have_addresses_until_the_image_has_gone(page: "Page", site: Site) -> None:
    write(site, "kept", TINY)
    script = f"""async (name, bytes) => {{
        const local = await ({OPEN})(name);
        const file = new Blob([new Uint8Array(bytes)]);
        const pixels = async (address) => {{
            const {{ toSquare }} = await load("square.js");
            return [...await toSquare(await (await fetch(address)).blob(), 28)];
        }};
        const {{ id }} = await local.add(file, "first");
        const seen = await pixels(local.seenURL(id));
        const shown = [local.originalURL(id), local.squareURL(id)].map((address) => address.slice(0, 5));
        for (let i = 0; i < 50; i++) await local.add(file, "another");
        const error = await local.answer(id).catch((problem) => problem.message);
        return {{ seen, shown, error, gone: local.squareURL(id) === undefined }};
    }}"""
    found = site.ask(page, script, "kept", list(photograph()))
    assert np.array_equal(np.array(found["seen"]).reshape(28, 28, 3), to_square(photograph(), 32)[2:30, 2:30])
    assert found["shown"] == ["blob:", "blob:"]
    assert found["gone"] and "no longer kept" in found["error"]
