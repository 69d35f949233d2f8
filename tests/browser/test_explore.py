"""The explorer in a real browser: what it shows is what the network computes, and everybody can use it."""

import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.cli import main
from alexnet.data.prepared import Prepared
from alexnet.run import trained
from alexnet.run.recipe import Recipe
from alexnet.training import train
from tests.conftest import picture

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: make setup")
pytest.importorskip("fastapi", reason="fastapi is not installed: make setup")

from alexnet.explore.export import export  # noqa: E402
from alexnet.explore.guard import private_link  # noqa: E402
from alexnet.explore.server import PAGE, application  # noqa: E402
from alexnet.explore.session import Session  # noqa: E402

# Marks what has the keyboard; true at the end, where it is the page itself.
REACH = "document.activeElement.toggleAttribute('data-reached', true) && document.activeElement === document.body"

SECTIONS = ("image", "network", "number", "kernels", "why", "compare", "live")
KERNEL, ROW, COLUMN = 3, 5, 7
TOKEN = "a-token-for-tests"


@dataclass(frozen=True)
class Explorer:
    """A page that is there, and the runs behind it."""

    address: str
    runs: tuple[Path, ...]

    def at(self, place: str) -> str:
        """The address of a place in the page: "number/conv1/3/5/7"."""
        return f"{self.address}#/{place}"


@pytest.fixture(scope="module")
def runs(
    tiny_run: Path, tiny_recipe: Recipe, tiny_prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """Two runs that know the same classes; the second has no normalization and learned for an epoch."""
    other = tmp_path_factory.mktemp("other") / "without"
    network = replace(tiny_recipe.network, normalization="none")
    train(replace(tiny_recipe, epochs=1, seed=1, network=network), tiny_prepared, other)
    copied = tmp_path_factory.mktemp("copied") / tiny_run.name  # the explorer keeps features in a run's folder
    return Path(shutil.copytree(tiny_run, copied)), other


@pytest.fixture(scope="module")
def explorer(runs: tuple[Path, ...], tiny_prepared: Prepared) -> Iterator[Explorer]:
    """The real server, in a thread."""
    session = Session(runs, tiny_prepared.path, ("train-0", "train-30"), "cpu")
    server = uvicorn.Server(uvicorn.Config(application(session, TOKEN), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Explorer(f"http://127.0.0.1:{port}/?token={TOKEN}", runs)
    server.should_exit = True
    thread.join()
    session.close()


@pytest.fixture(scope="module")
def exported(
    runs: tuple[Path, ...], tiny_prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Explorer]:
    """The same page as files, from a plain file server, in a folder of it."""
    folder = tmp_path_factory.mktemp("web")
    session = Session(runs[:1], tiny_prepared.path, ("train-0", "train-30"), "cpu", live=False)
    export(session, folder / "site")
    session.close()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Explorer(f"http://127.0.0.1:{server.server_port}/site/", runs[:1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def computed(tiny_run: Path, tiny_prepared: Prepared) -> dict[str, np.ndarray]:
    """What the network computes for the image train-0, step by step in float64, its input and weights too."""
    run = trained.load(tiny_run)
    image = run.prepare(np.array(tiny_prepared.split("train").images[:1]))
    with torch.inference_mode():
        steps = run.network.double().activations(image.double())
    values = {"input": image[0], **{name: output[0] for name, output in steps.items()}}
    return {name: value.double().numpy() for name, value in (values | run.network.state_dict()).items()}


def value_of(page: "Page", testid: str) -> float:
    """The number that an element carries with all its digits."""
    return float(page.get_by_test_id(testid).get_attribute("data-value") or "nan")


def show(page: "Page", explorer: Explorer, place: str) -> None:
    """Go to a place of the page, and wait until its number is there."""
    page.goto(explorer.at(place))
    page.get_by_test_id("inspector-value").wait_for()


def arrive(page: "Page", place: str) -> None:
    """Wait until the address is that of a place of the page."""
    page.wait_for_function("place => location.hash.startsWith(place)", arg=f"#/{place}?")


def labels_of(page: "Page") -> list[tuple[str, float]]:
    """The labels that are shown, with their probabilities."""
    rows = page.get_by_test_id("label-row")
    rows.first.wait_for()
    names = page.get_by_test_id("label-name").evaluate_all("all => all.map(one => one.dataset.label)")
    return list(
        zip(names, map(float, rows.evaluate_all("all => all.map(one => one.dataset.probability)")), strict=True)
    )


def drop(page: "Page", name: str, content: bytes) -> None:
    """Drop a file on the page."""
    page.evaluate(
        """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name));
            for (const kind of ["dragenter", "dragover", "drop"])
                document.querySelector("[data-testid=drop-zone]").dispatchEvent(
                    new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [name, base64.b64encode(content).decode()],
    )


def photograph() -> bytes:
    """A picture that no prepared set has, larger than the network's, as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(picture("checks", np.random.default_rng(5), 80)[:, :64]).save(content, "PNG")
    return content.getvalue()


def test_every_section_opens_without_an_error_and_the_image_stays_chosen(page: "Page", explorer: Explorer) -> None:
    for section in SECTIONS:
        page.goto(explorer.at(f"{section}?image=train-30"))
        page.locator(f".section-{section} h1").wait_for(state="attached")
        assert not page.get_by_test_id("error-line").is_visible()
        assert (
            page.locator("#sections a[aria-current=page]").get_attribute("href")
            == f"#/{section}?image=train-30&run=tiny"
        )


def test_a_dropped_image_gets_the_labels_that_predict_gives(
    page: "Page", explorer: Explorer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a photograph.png"
    file.write_bytes(photograph())
    page.goto(explorer.at("image"))
    page.get_by_test_id("label-row").first.wait_for()
    drop(page, file.name, file.read_bytes())
    page.locator("h1", has_text=file.name).wait_for(state="attached")
    assert page.get_by_test_id("image-name").text_content() == file.name
    assert main(["predict", str(explorer.runs[0]), str(file), "--json", "--device", "cpu"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    told = [(row["label"], row["probability"]) for row in answer["labels"]]
    assert labels_of(page) == told
    first = page.get_by_test_id("label-probability").first.text_content()
    assert first == f"{100 * told[0][1]:.1f} %"


def test_an_image_is_pasted(page: "Page", explorer: Explorer) -> None:
    page.goto(explorer.at("image"))
    page.get_by_test_id("label-row").first.wait_for()
    page.evaluate(
        """(text) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], "copied.png"));
            window.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        base64.b64encode(photograph()).decode(),
    )
    page.locator("h1", has_text="copied.png").wait_for(state="attached")
    assert len(labels_of(page)) == 4


def test_an_image_is_taken_by_the_camera(page: "Page", explorer: Explorer) -> None:
    page.goto(explorer.at("image"))
    page.get_by_role("button", name="Camera").click()
    page.locator(".camera video").evaluate(
        "(video) => new Promise((done) => (video.videoWidth ? done(true) : (video.onloadeddata = () => done(true))))"
    )
    page.get_by_role("button", name="Take the photograph").click()
    page.locator("h1", has_text="camera.jpg").wait_for(state="attached")
    assert len(labels_of(page)) == 4
    assert page.locator(".camera").count() == 0


def test_what_is_no_image_gets_one_line(page: "Page", explorer: Explorer, problems: list[str]) -> None:
    page.goto(explorer.at("image"))
    page.get_by_test_id("label-row").first.wait_for()
    drop(page, "notes.txt", b"no image at all")
    line = page.get_by_test_id("error-line")
    line.wait_for()
    text = line.text_content() or ""
    assert text and "\n" not in text
    assert all("422" in problem for problem in problems)
    problems.clear()  # the browser itself writes a line for an answer of 422


def test_a_pixel_of_conv1_is_the_sum_over_its_patch(
    page: "Page", explorer: Explorer, computed: dict[str, np.ndarray]
) -> None:
    page.goto(explorer.at("network/conv1?image=train-0"))
    tile = page.locator(f"[data-testid=map-tile][data-kernel='{KERNEL}'] canvas")
    side = (tile.bounding_box() or {})["width"] / 13  # the map is 13×13
    tile.click(position={"x": (COLUMN + 0.5) * side, "y": (ROW + 0.5) * side})
    arrive(page, f"number/conv1/{KERNEL}/{ROW}/{COLUMN}")
    page.get_by_test_id("inspector-value").wait_for()
    patch = computed["input"][:, 2 * ROW : 2 * ROW + 5, 2 * COLUMN : 2 * COLUMN + 5]
    total = sum(float(a * b) for a, b in zip(patch.flat, computed["conv1.weight"][KERNEL].flat, strict=True))
    assert value_of(page, "inspector-sum") == pytest.approx(total, rel=1e-9)
    assert value_of(page, "inspector-value") == pytest.approx(computed["conv1"][KERNEL, ROW, COLUMN], rel=1e-9)
    assert page.get_by_test_id("agreement").get_attribute("data-agrees") == "true"


@pytest.mark.parametrize(
    ("step", "kernel", "row", "column"),
    [("conv1", 15, 12, 12), ("conv2", 9, 0, 5), ("conv3", 2, 2, 0)],
    ids=["its window hangs over", "own column, in the padding", "both columns"],
)
def test_every_kind_of_convolution_comes_out_as_the_network_has_it(
    page: "Page", explorer: Explorer, computed: dict[str, np.ndarray], step: str, kernel: int, row: int, column: int
) -> None:
    show(page, explorer, f"number/{step}/{kernel}/{row}/{column}?image=train-0")
    assert value_of(page, "inspector-value") == pytest.approx(computed[step][kernel, row, column], rel=1e-5)
    assert page.get_by_test_id("agreement").get_attribute("data-agrees") == "true"


def test_a_pixel_of_norm1_is_divided_by_its_neighbours(
    page: "Page", explorer: Explorer, computed: dict[str, np.ndarray]
) -> None:
    show(page, explorer, f"number/norm1/{KERNEL}/0/0?image=train-0")
    box = page.get_by_test_id("output-map").bounding_box() or {}
    side = box["width"] / 13
    page.get_by_test_id("output-map").click(position={"x": (COLUMN + 0.5) * side, "y": (ROW + 0.5) * side})
    arrive(page, f"number/norm1/{KERNEL}/{ROW}/{COLUMN}")
    page.get_by_text(f"norm1 [kernel {KERNEL}, row {ROW}, column {COLUMN}]").wait_for()
    neighbours = computed["relu1"][KERNEL - 2 : KERNEL + 3, ROW, COLUMN]
    total = float((neighbours**2).sum())
    assert value_of(page, "inspector-sum") == pytest.approx(total, rel=1e-5)
    assert value_of(page, "inspector-divisor") == pytest.approx((2 + 1e-4 * total) ** 0.75, rel=1e-6)
    assert value_of(page, "inspector-value") == pytest.approx(computed["norm1"][KERNEL, ROW, COLUMN], rel=1e-5)


def test_a_pixel_of_pool1_is_the_largest_of_its_window(
    page: "Page", explorer: Explorer, computed: dict[str, np.ndarray]
) -> None:
    show(page, explorer, f"number/pool1/{KERNEL}/2/3?image=train-0")
    window = computed["norm1"][KERNEL, 4:7, 6:9]
    assert value_of(page, "inspector-value") == pytest.approx(window.max(), rel=1e-5)
    assert page.get_by_test_id("agreement").get_attribute("data-agrees") == "true"


def test_a_hidden_unit_is_the_sum_of_what_speaks_for_it_and_against_it(
    page: "Page", explorer: Explorer, computed: dict[str, np.ndarray]
) -> None:
    show(page, explorer, "number/fc4/20?image=train-0")
    total = computed["relu3"].reshape(-1) @ computed["fc4.weight"][20]
    assert value_of(page, "inspector-sum") == pytest.approx(total, rel=1e-4)
    assert page.get_by_test_id("agreement").get_attribute("data-agrees") == "true"


def test_arrow_keys_move_over_a_map_and_keep_the_keyboard(page: "Page", explorer: Explorer) -> None:
    show(page, explorer, "number/conv2/1/2/2?image=train-0")
    page.get_by_test_id("output-map").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    arrive(page, "number/conv2/1/3/4")
    assert page.evaluate("document.activeElement.dataset.testid") == "output-map"


def test_two_runs_are_compared_and_averaged(page: "Page", explorer: Explorer, tiny_prepared: Prepared) -> None:
    page.goto(explorer.at("compare?image=train-0"))
    columns = page.get_by_test_id("compare-column")
    columns.nth(1).wait_for()
    page.locator(".average .bars").wait_for()
    assert columns.evaluate_all("all => all.map(one => one.dataset.run)") == ["tiny", "without"]
    image = np.array(tiny_prepared.split("train").images[:1])
    each = [trained.load(run).probabilities(image, 10)[0] for run in explorer.runs]
    shown = labels_of(page)
    for k, probabilities in enumerate([*each, (each[0] + each[1]) / 2]):
        best = probabilities.topk(4)
        names = [tiny_prepared.classes[label] for label in best.indices.tolist()]
        assert [name for name, _ in shown[4 * k : 4 * k + 4]] == names
        assert [p for _, p in shown[4 * k : 4 * k + 4]] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_the_kernels_of_every_epoch_are_on_the_slider(page: "Page", explorer: Explorer) -> None:
    page.goto(explorer.at("kernels?image=train-0"))
    slider = page.get_by_test_id("kernel-slider")
    slider.wait_for()
    pixels = "() => document.querySelector('[data-testid=kernel-tile] canvas').toDataURL()"
    learned = page.evaluate(pixels)
    assert slider.get_attribute("max") == "12"
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("before training").wait_for()
    page.wait_for_function(f"learned => ({pixels})() !== learned", arg=learned)


def test_the_keyboard_reaches_everything(page: "Page", explorer: Explorer) -> None:
    for place in ("image?image=train-0", "network/conv1?image=train-0", "number/conv2/1/2/2?image=train-0"):
        page.goto(explorer.at(place))
        page.locator(".section h2, .section .total").first.wait_for()
        page.wait_for_load_state("networkidle")
        most = page.evaluate("document.querySelectorAll('a, button, select, input, [tabindex]').length")
        for _ in range(most + 5):
            page.keyboard.press("Tab")
            if page.evaluate(REACH):
                break
        missed = page.evaluate(
            """() => [...document.querySelectorAll("a[href], button, select, input, [tabindex='0']")]
                .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility() && !one.hasAttribute("data-reached"))
                .map((one) => one.outerHTML.slice(0, 120))"""
        )
        assert missed == []


def test_the_keyboard_stays_where_it_was_while_the_page_changes_around_it(page: "Page", explorer: Explorer) -> None:
    def press(selector: str, place: str) -> str:
        page.locator(selector).focus()
        page.keyboard.press("Enter")
        arrive(page, place)
        page.wait_for_load_state("networkidle")
        return str(page.evaluate("document.activeElement.dataset.keep"))

    page.goto(explorer.at("image?image=train-0"))
    page.get_by_test_id("label-row").first.wait_for()
    assert press("#sections [data-keep=network]", "network") == "network"
    page.get_by_test_id("map-tile").first.wait_for()
    assert press("[data-testid=stage-conv2]", "network/conv2") == "conv2"
    assert press("[data-testid=step-relu2]", "network/relu2") == "relu2"
    show(page, explorer, "number/relu2/1/2/2?image=train-0")
    assert press(".travel [data-keep=back]", "number/conv2/1/2/2") == "back"


def test_arrow_keys_and_enter_go_from_a_number_of_the_patch_to_where_it_comes_from(
    page: "Page", explorer: Explorer, computed: dict[str, np.ndarray]
) -> None:
    show(page, explorer, "number/conv2/1/2/2?image=train-0")
    page.locator(".grid-box").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    channel = int((page.locator(".channel-bars").get_attribute("aria-valuenow")) or "-1")
    product = computed["pool1"][channel, 2, 2] * computed["conv2.weight"][1, channel, 1, 1]
    told = (page.locator(".products .told").text_content() or "").split(" = ")[1].replace("−", "-")
    assert float(told) == pytest.approx(product, rel=1e-4)
    page.keyboard.press("Enter")
    arrive(page, f"number/pool1/{channel}/2/2")


def test_arrow_keys_and_enter_go_from_a_tile_to_its_number(page: "Page", explorer: Explorer) -> None:
    page.goto(explorer.at("network/relu1?image=train-0"))
    page.get_by_test_id("map-tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    arrive(page, "number/relu1/1/6/6")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing(
    page: "Page", explorer: Explorer, axe: "Callable[[Page], list[str]]", scheme: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for place in (
        "image",
        "network/fc4",
        "number/conv2/1/2/2",
        "number/norm1",
        "number/pool1",
        "kernels",
        "why",
        "compare",
        "live",
    ):
        page.goto(explorer.at(f"{place}?image=train-0"))
        page.locator(f".section-{place.split('/')[0]} h1").wait_for(state="attached")
        page.wait_for_timeout(300)  # what is drawn after the heading
        assert axe(page) == [], place


def test_the_file_that_a_browser_is_started_with_leads_to_the_page(
    page: "Page", explorer: Explorer, tmp_path: Path
) -> None:
    page.goto(private_link(tmp_path, explorer.address))
    page.get_by_test_id("label-row").first.wait_for()
    assert page.url.startswith(explorer.address)
    page.reload()
    page.get_by_test_id("label-row").first.wait_for()


def test_the_page_has_the_system_s_colours_until_the_reader_chooses(page: "Page", explorer: Explorer) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(explorer.at("image"))

    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = paper()
    page.get_by_role("button", name="Colours: as the system").click()
    light = paper()
    page.get_by_role("button", name="Colours: light").click()
    page.emulate_media(color_scheme="light")
    assert sum(map(int, re.findall(r"\d+", dark))) < 200 < 600 < sum(map(int, re.findall(r"\d+", light)))
    assert paper() == dark
    page.get_by_role("button", name="Colours: dark").click()
    assert paper() == light


def test_nothing_is_wider_than_a_phone(page: "Page", explorer: Explorer) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for place in (*SECTIONS, "number/norm1", "number/pool1", "number/fc4", "network/dropout4"):
        page.goto(explorer.at(f"{place}?image=train-0"))
        page.locator(f".section-{place.split('/')[0]} h1").wait_for(state="attached")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place


def test_the_exported_page_shows_the_same_from_a_file_server(
    page: "Page", exported: Explorer, computed: dict[str, np.ndarray], tiny_prepared: Prepared
) -> None:
    page.goto(exported.at("image?image=train-0"))
    expected = trained.load(exported.runs[0]).probabilities(np.array(tiny_prepared.split("train").images[:1]), 10)[0]
    assert [p for _, p in labels_of(page)] == pytest.approx(expected.sort(descending=True).values.tolist(), abs=1e-6)
    show(page, exported, f"number/conv1/{KERNEL}/{ROW}/{COLUMN}?image=train-0")
    assert value_of(page, "inspector-value") == pytest.approx(computed["conv1"][KERNEL, ROW, COLUMN], rel=1e-9)
    page.get_by_test_id("step-select").select_option("fc4")
    page.locator(".number-title", has_text="fc4").wait_for()
    page.get_by_label("unit", exact=True).fill("20")
    page.keyboard.press("Enter")
    page.locator(".number-title", has_text="unit 20").wait_for()
    total = computed["relu3"].reshape(-1) @ computed["fc4.weight"][20]
    assert value_of(page, "inspector-sum") == pytest.approx(total, rel=1e-3)  # of weights with 16 bits
    assert page.get_by_test_id("agreement").get_attribute("data-agrees") == "true"
    for section in ("network", "kernels", "why", "live"):
        page.goto(exported.at(f"{section}?image=train-30"))
        page.locator(f".section-{section} h1").wait_for(state="attached")
        page.wait_for_load_state("networkidle")
        assert not page.get_by_test_id("error-line").is_visible()


def test_a_page_that_is_opened_from_a_disk_says_that_it_needs_a_server(page: "Page", problems: list[str]) -> None:
    page.goto((PAGE / "index.html").as_uri())
    assert "python3 -m http.server" in page.inner_text(".waiting")
    assert problems and all("main.js" in problem or "ERR_FAILED" in problem for problem in problems)
    problems.clear()  # the browser's own word on it


def test_a_number_whose_weights_come_late_does_not_replace_the_next(page: "Page", exported: Explorer) -> None:
    asked: list[Route] = []
    page.route("**/network.safetensors", lambda route: asked.append(route))  # noqa: PLW0108  # no builtin can be one
    show(page, exported, "number/conv2/1/2/2?image=train-0")
    for number in ("fc4/20", "conv1/3/5/7"):
        page.evaluate(f"location.hash = location.hash.replace(/#[^?]+/, '#/number/{number}')")
        page.get_by_text("Reading the weights" if number == "fc4/20" else "conv1 [kernel 3").wait_for()
    asked[0].continue_()
    page.wait_for_timeout(1000)
    assert page.locator(".number-title", has_text="conv1 [kernel 3").is_visible()


def test_the_exported_page_computes_an_image_of_its_reader(page: "Page", exported: Explorer) -> None:
    page.goto(exported.at("image"))
    page.get_by_test_id("label-row").first.wait_for()
    file = {"name": "photograph.png", "mimeType": "image/png", "buffer": photograph()}
    page.get_by_test_id("file-input").set_input_files(file)  # type: ignore[arg-type]
    page.locator("h1", has_text="photograph.png").wait_for(state="attached")
    answer = trained.load(exported.runs[0]).predict(photograph(), views=10)
    assert dict(labels_of(page)) == pytest.approx(dict(answer.top), abs=0.01)  # its weights have 16 bits
    for number in ("conv2/1/2/2", "fc4/20"):
        page.evaluate(f"location.hash = location.hash.replace(/#[^?]+/, '#/number/{number}')")
        page.locator(".number-title", has_text=number.split("/")[0]).wait_for()
        assert page.get_by_test_id("agreement").get_attribute("data-agrees") == "true"
