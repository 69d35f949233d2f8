"""The GPU's benchmarks without a GPU: what they compute, that a call goes on past what fails, and a rehearsal of all of it."""

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import DeviceType

from alexnet import cli
from alexnet.data.prepared import Prepared
from alexnet.network import normalization
from alexnet.network.networks import networks
from benchmarks.gpu import run
from benchmarks.gpu.common import Bench, against
from benchmarks.gpu.kernels import Task, as_blocks, block_dense, measure, normalize
from benchmarks.gpu.needs import floors, operations
from benchmarks.gpu.profile import kind_of, seconds_by_kernel, table
from benchmarks.gpu.run import Call, Failed, Piece
from benchmarks.measure import row

from ..triton_device import DEVICE

PAPER = networks["paper"]
MANY = 1e30


# what a step needs ----------------------------------------------------------------------------------------------------


def test_a_step_of_the_papers_network_is_4_136_gflop_an_image() -> None:
    # Three times the forward pass's 724,406,816 multiply-adds, less conv1's 105,415,200, for images have no gradient.
    assert operations(PAPER) == 2 * (3 * 724_406_816 - 105_415_200)
    work = floors(PAPER, 128, {"copy": MANY, "product": 1.0})
    assert work["convolutions"] == pytest.approx(128 * 2 * (3 * 665_784_864 - 105_415_200))
    assert work["fully connected"] == pytest.approx(128 * 6 * 58_621_952)
    assert work["update"] < 1


def test_the_bytes_of_a_step() -> None:
    size = floors(PAPER, 128, {"copy": 1.0, "product": MANY})
    maps, pooled = 96 * 55**2 + 256 * 27**2, 96 * 27**2 + 256 * 13**2
    assert size["augmentation"] == 128 * 3 * 224**2 * 3
    assert size["update"] == 20 * 60_965_224
    assert size["normalization and its pooling"] == 128 * (2 + 4) * maps + 128 * (3 + 3) * pooled
    assert size["pooling"] == 128 * (2 * 2 * 256 * 13**2 + 2 * 10 * 256 * 6**2)


def test_a_pass_needs_the_longer_of_bytes_and_operations() -> None:
    limits = {"product": 800e12, "copy": 3e12}
    small, large = (floors(PAPER, batch, limits) for batch in (1, 1024))
    # A single image's fully connected layers read their weights; a thousand images' compute.
    assert small["fully connected"] == pytest.approx(6 * 58.6e6 / 3e12, rel=0.01)
    assert large["fully connected"] == pytest.approx(1024 * 6 * 58_621_952 / 800e12, rel=0.01)


# where a step goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("_augment", "augmentation"),
        ("_forward_pool", "normalization and its pooling"),
        ("_sgd", "update"),
        ("void at::native::(anonymous namespace)::max_pool_forward_nhwc<c10::BFloat16, int>(...)", "pooling"),
        ("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16, __nv_bfloat16, float, false, true>(...)", "layout"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolutions"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT", "fully connected"),
        ("Memcpy DtoD (Device -> Device)", "copies and fills"),
        ("void at::native::vectorized_elementwise_kernel<4, threshold_kernel_impl>(...)", "elementwise and sums"),
    ],
)
def test_kernels_are_told_apart_by_name(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind


def test_only_what_ran_on_the_device_counts_and_ranges_do_not() -> None:
    def event(key: str, microseconds: float, device: DeviceType = DeviceType.CUDA, range: bool = False) -> Any:
        times = {"self_device_time_total": microseconds, "self_cpu_time_total": 0.0, "count": 2}
        return SimpleNamespace(key=key, device_type=device, is_user_annotation=range, **times)

    events = [
        event("_sgd", 30.0),
        event("_sgd", 10.0),
        event("Optimizer.step#SGD.step", 40.0, range=True),
        event("cudaLaunchKernel", 5.0, DeviceType.CPU),
    ]
    spent, number = seconds_by_kernel(events, torch.device("cuda"))
    assert spent == {"_sgd": pytest.approx(40e-6)} and number == 4


def test_the_table_says_where_a_step_goes() -> None:
    spent = {"_sgd": 2e-3, "sm90_xmma_fprop": 5e-3, "sm90_xmma_dgrad": 1e-3, "reduce_kernel": 1e-3}
    rows = table(64, spent, 30, [10e-3, 10e-3, 11e-3], {"update": 1e-3, "convolutions": 4e-3})
    figures = {row.name: (row.median, row.note) for row in rows}
    assert figures == {
        "step, 64": (pytest.approx(10_000), ""),
        "its kernels, 64": (pytest.approx(9000), "30 kernels; at least 5,000 µs"),
        "between kernels, 64": (pytest.approx(1000), "10%"),
        "convolutions, 64": (pytest.approx(6000), "60% of the step; at least 4,000 µs"),
        "update, 64": (pytest.approx(2000), "20% of the step; at least 1,000 µs"),
        "elementwise and sums, 64": (pytest.approx(1000), "10% of the step"),
    }


# forms that are compared ----------------------------------------------------------------------------------------------


def test_all_forms_of_a_convolution_and_of_the_normalization_give_the_same() -> None:
    x, weight = torch.randn(2, 8, 6, 6), torch.randn(4, 4, 3, 3)
    expected = F.conv2d(x, weight, padding=1, groups=2)
    torch.testing.assert_close(F.conv2d(x, block_dense(weight), padding=1), expected, rtol=1e-4, atol=1e-5)
    for window, stride in ((11, 4), (5, 2)):
        side = 6
        x = torch.randn(2, 3, *2 * (stride * (side - 1 + -(-window // stride)),))
        weight, read = torch.randn(4, 3, window, window), stride * (side - 1) + window
        expected = F.conv2d(x[:, :, :read, :read], weight, stride=stride)
        torch.testing.assert_close(F.conv2d(*as_blocks(x, weight, stride)), expected, rtol=1e-4, atol=1e-4)
    x = 150 * torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(normalize(x), normalization.local_response_normalization(x))


def test_what_is_written_by_hand_has_to_beat_torch_compile_by_10_percent() -> None:
    assert against("update", [1.0, 2.0, 1.0], [1.12, 2.24, 1.12]).note == "beats torch.compile by 12%: keep"
    assert against("update", [1.0], [1.09]).note == "beats torch.compile by 9%: go"
    assert against("update", [1.0], [0.5]).note == "is behind torch.compile by 50%: go"


def bench(out: Path) -> Bench:
    return Bench("kernels", out, rehearsal=True, batch=2, more={"limits": {"copy": 1e9, "product": 1e12}})


def test_a_form_or_a_part_that_fails_is_left_out_and_what_is_not_reached_is_in_the_file(tmp_path: Path) -> None:
    def broken() -> None:
        raise RuntimeError("no such kernel")

    here, files = bench(tmp_path / "kernels.json"), []

    def part(*forms: str) -> Any:
        work = {"good": lambda: time.sleep(0.001), "broken": broken}
        return lambda: measure(Task("LRN", {form: work[form] for form in forms}, bytes=1e6), here)

    def last() -> list[Any]:
        files.append(json.loads(here.out.read_text()))
        raise torch.OutOfMemoryError("none left")

    here.do({"first": part("good", "broken"), "second": last, "third": part("good")})
    assert files[0]["left out"] == ["broken: RuntimeError: no such kernel", "second: not reached", "third: not reached"]
    made = json.loads(here.out.read_text())
    assert made["left out"] == ["broken: RuntimeError: no such kernel", "second: OutOfMemoryError: none left"]
    assert [each["name"] for each in made["rows"]] == ["LRN: good", "LRN: good"] and made["rehearsal"]
    assert 0 < made["rows"][0]["median"] <= 100  # 1 MB in a millisecond is all that 1 GB/s can do
    with pytest.raises(SystemExit, match="nothing could be measured: a: OutOfMemoryError"):
        bench(tmp_path / "none.json").do({"a": last})


# the call -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path) -> Call:
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    return Call(tmp_path / "out", tmp_path / "work", None, rehearsal=True)


def hangs(call: Call, piece: str) -> None:
    """A child that has to be ended."""
    call.do("timeit", "-n", "1", "-s", "import time", "time.sleep(99)")


def works(call: Call, piece: str) -> None:
    """One that gives a figure."""
    call.write(piece, "a command", [row("a", [1.0], "s")])


def fails(call: Call, piece: str) -> None:
    """One that ends with an error."""
    call.do("timeit", "-n", "1", "raise SystemError('a broken kernel')")


def test_a_piece_that_fails_or_hangs_is_noted_and_the_next_goes_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = {"a": Piece(fails, 1, 60), "b": Piece(hangs, 1, 2), "c": Piece(works, 2, 60), "d": Piece(works, 3, 60)}
    monkeypatch.setattr(run, "PIECES", pieces)
    monkeypatch.setattr(run, "PARTS", {1: 60.0, 2: 60.0, 3: 0.0})
    monkeypatch.setattr(run, "LEAST", 1.0)
    notes = run.run(call, list(pieces), minutes=5)
    assert notes["a"].startswith("failed: exit code 1") and "a broken kernel" in notes["a"]
    assert notes["b"].startswith("failed: its time was up") and notes["c"].startswith("done")
    assert notes["d"] == "not begun, time is up"  # of its part
    assert all(child.poll() is not None for child in call.children)
    assert json.loads((call.out / "notes.json").read_text()) == notes
    assert run.run(call, ["c"], minutes=0) == {"c": "there already"}
    (call.out / "gpu-c.json").unlink()
    assert run.run(call, ["c"], minutes=0) == {"c": "not begun, time is up"}


def test_figures_of_kernels_whose_tests_did_not_pass_say_so(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "benchmark", works)
    monkeypatch.setattr(run, "PIECES", {"tests": Piece(works, 1, 60), "kernels": Piece(works, 1, 60)})
    run.run(call, ["kernels"], minutes=1)
    file = call.out / "gpu-kernels.json"
    assert json.loads(file.read_text())["unchecked"]
    file.unlink()
    run.run(call, ["tests", "kernels"], minutes=1)
    assert "unchecked" not in json.loads(file.read_text())


def test_a_piece_that_trains_without_images_says_which_option_it_takes(call: Call) -> None:
    call.rehearsal = False
    with pytest.raises(Failed, match="it takes --data"):
        call.prepared()


def test_a_summary_has_the_decisions_of_a_gpu_and_none_of_a_rehearsal(call: Call) -> None:
    rows = [against("update", [1.0], [1.5])]
    call.write("kernels", "a command", rows, **{"left out": ["conv1: broken"]})
    assert run.summary(call.out, {"kernels": "done, 9 s"}) == [
        "kernels: done, 9 s",
        "gpu-kernels: left out: conv1: broken",
    ]
    call.rehearsal = False
    call.write("kernels", "a command", rows)
    decision = "hand-written update against torch.compile: beats torch.compile by 50%: keep"
    assert run.summary(call.out, {}) == [decision]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Children's work done here, where all is imported already, which takes most of a rehearsal's time."""

    def start(call: Call, *words: str | Path) -> str:
        module, *rest = map(str, words)
        if module == "pytest":
            return "1 passed in 0.01s"
        monkeypatch.setattr(sys, "argv", [module, *rest])
        capsys.readouterr()
        if module == "alexnet":
            assert cli.main(rest) == 0
        else:
            importlib.import_module(module).main()
        return capsys.readouterr().out

    monkeypatch.setattr(Call, "start", start)
    monkeypatch.setattr(Call, "finish", lambda call, *printed: list(printed))


@pytest.mark.skipif(DEVICE != "cpu", reason="kernels are compiled here, and a rehearsal interprets them")
@pytest.mark.usefixtures("in_this_process")
def test_a_rehearsal_does_every_piece_on_the_cpu(tiny_prepared: Prepared, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    out, pieces = tmp_path / "out", [name for name in run.PIECES if name != "steps-1024"]
    given = ["--rehearse", "--out", str(out), "--data", str(tiny_prepared.path), "--pieces", *pieces]
    assert run.main(given) == 0
    notes = json.loads((out / "notes.json").read_text())
    assert list(notes) == pieces and all(note.startswith("done") for note in notes.values())
    for name in pieces:
        made = json.loads((out / f"gpu-{name}.json").read_text())
        assert made["rows"] and made["rehearsal"] and not made.get("left out") and "unchecked" not in made
        names = [each["name"] for each in made["rows"]]
        assert len(names) == len(set(names)), "what is measured again takes the place of what was measured before"
    assert {"conv1.png", "paper-float16.safetensors", "results"} <= {path.name for path in out.iterdir()}
