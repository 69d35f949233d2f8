"""A step by kind of kernel, from events made up; what a step needs at the least, from the paper's layers."""

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from alexnet.errors import RunFailed
from alexnet.gpu.needs import Pass, floors, operations, passes
from alexnet.gpu.profile import kernels_of, kind_of, sum_up, table
from alexnet.network.networks import networks

PAPER = networks["paper"]
H100 = {"product": 800e12, "copy": 3e12}


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("_augment", "augmentation"),
        ("_forward_pool", "normalization and its pooling"),
        ("_backward_rows", "normalization and its pooling"),
        ("_sgd", "update"),
        ("void at::native::(anonymous namespace)::max_pool_forward_nhwc<c10::BFloat16, int>(...)", "pooling"),
        ("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16, __nv_bfloat16, float, false, true>(...)", "layout"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolutions"),
        ("sm80_xmma_wgrad_implicit_gemm_indexed_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", "convolutions"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT", "fully connected"),
        ("void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16>(...)", "fully connected"),
        ("Memcpy DtoD (Device -> Device)", "copies and fills"),
        ("void at::native::vectorized_elementwise_kernel<4, threshold_kernel_impl>(...)", "elementwise and sums"),
        ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>(...)", "elementwise and sums"),
    ],
)
def test_kernels_are_told_apart_by_name(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind


def event(key: str, microseconds: float, device: DeviceType = DeviceType.CUDA, range: bool = False) -> SimpleNamespace:
    return SimpleNamespace(
        key=key,
        device_type=device,
        self_device_time_total=microseconds,
        self_cpu_time_total=0.0,
        count=2,
        is_user_annotation=range,
    )


def test_only_what_ran_on_the_device_counts_and_ranges_do_not() -> None:
    events = [
        event("_sgd", 30.0),
        event("_sgd", 10.0),
        event("Optimizer.step#SGD.step", 40.0, range=True),
        event("cudaLaunchKernel", 5.0, DeviceType.CPU),
    ]
    spent, number = sum_up(events, torch.device("cuda"))
    assert spent == {"_sgd": pytest.approx(40e-6)} and number == 4
    with pytest.raises(RunFailed, match="saw no kernel"):
        sum_up(events[2:], torch.device("cuda"))


def test_the_profiler_has_what_is_asked_of_it() -> None:
    spent, number = kernels_of(lambda: torch.ones(9, 9) @ torch.ones(9, 9), torch.device("cpu"))
    assert spent["aten::mm"] > 0 and number >= 3


def test_the_table_says_where_a_step_goes() -> None:
    spent = {"_sgd": 2e-3, "sm90_xmma_fprop": 5e-3, "sm90_xmma_dgrad": 1e-3, "reduce_kernel": 1e-3}
    rows = table(64, spent, 30, [10e-3, 10e-3, 11e-3], {"update": 1e-3, "convolutions": 4e-3})
    figures = {row.name: (row.median, row.note) for row in rows}
    assert list(figures) == [
        "step, 64",
        "its kernels, 64",
        "between kernels, 64",
        "convolutions, 64",
        "update, 64",
        "elementwise and sums, 64",
    ]
    assert figures["step, 64"] == (pytest.approx(10_000), "6,400 images/s")
    assert figures["its kernels, 64"] == (pytest.approx(9000), "30 kernels; at least 5,000 µs")
    assert figures["between kernels, 64"] == (pytest.approx(1000), "10%")
    assert figures["convolutions, 64"] == (pytest.approx(6000), "60% of the step; at least 4,000 µs")
    assert figures["elementwise and sums, 64"] == (pytest.approx(1000), "10% of the step")


def test_a_step_of_the_papers_network_is_4_136_gflop_an_image() -> None:
    # Three times the forward pass's 724,406,816 multiply-adds, less conv1's 105,415,200, for images have no gradient.
    assert operations(PAPER) == 2 * (3 * 724_406_816 - 105_415_200)
    by_kind = {
        kind: sum(each.work for each in passes(PAPER, 128) if each.kind == kind) for kind in floors(PAPER, 1, H100)
    }
    assert by_kind["convolutions"] == 128 * 2 * (3 * 665_784_864 - 105_415_200)
    assert by_kind["fully connected"] == 128 * 6 * 58_621_952
    assert by_kind["update"] == by_kind["normalization and its pooling"] == 0


def test_the_bytes_of_a_step() -> None:
    size = {kind: sum(each.size for each in passes(PAPER, 128) if each.kind == kind) for kind in floors(PAPER, 1, H100)}
    maps, pooled = 96 * 55**2 + 256 * 27**2, 96 * 27**2 + 256 * 13**2
    assert size["augmentation"] == 128 * 3 * 224**2 * 3
    assert size["update"] == 20 * 60_965_224
    assert size["normalization and its pooling"] == 128 * (2 + 4) * maps + 128 * (3 + 3) * pooled
    assert size["pooling"] == 128 * (2 * 2 * 256 * 13**2 + 2 * 10 * 256 * 6**2)


def test_a_pass_needs_the_longer_of_bytes_and_operations() -> None:
    assert Pass("a", size=3e12, work=800e12).seconds(H100) == 1
    assert Pass("a", size=6e12, work=800e12).seconds(H100) == 2
    assert Pass("a", size=3e12, work=2400e12).seconds(H100) == 3
    small, large = (floors(PAPER, batch, H100) for batch in (1, 1024))
    # A single image's fully connected layers read their weights; a thousand images' compute.
    assert small["fully connected"] == pytest.approx(6 * 58.6e6 / 3e12, rel=0.01)
    assert large["fully connected"] == pytest.approx(1024 * 6 * 58_621_952 / 800e12, rel=0.01)
