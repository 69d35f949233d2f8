"""The graph against the torch module, for every named network and every switch, in both runtimes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alexnet.network.model import AlexNet
from alexnet.network.networks import networks
from alexnet.network.spec import LRN, Convolution, Network
from tests.network.tiny import images, seeded, tiny

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from alexnet.exchange import runtimes  # noqa: E402
from alexnet.exchange.onnx_write import onnx_model  # noqa: E402


def narrow(spec: Network) -> Network:
    """A named network with a few kernels a layer and ten classes; its windows, steps, columns and links are left."""
    kernels = [4, 12, 8, 8, 6]
    convolutions = tuple(replace(row, kernels=n, std=0.2) for row, n in zip(spec.convolutions, kernels, strict=False))
    hidden = tuple(replace(row, units=16, std=0.1) for row in spec.hidden)
    return replace(spec, convolutions=convolutions, hidden=hidden, classes=10, last_std=0.5, init="rows")


def built(spec: Network) -> AlexNet:
    network = AlexNet(spec, seeded()).eval()
    for layer in network.children():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after training: other statistics in every map
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.data = torch.rand(tensor.shape, generator=seeded(3)) + 0.5
    return network


def assert_equal(spec: Network, file: Path, format: runtimes.Format = "onnx") -> None:
    network, mean = built(spec), 100 + 20 * torch.rand(3, spec.input_size, spec.input_size, generator=seeded(2))
    model = onnx_model(network, mean, {"classes": json.dumps(["a"])})
    onnx.checker.check_model(model, full_check=True)
    runtimes.save(model, file, format, {"classes": '["a"]'})
    loaded = runtimes.Loaded(file, format)
    for number in (1, 3):  # the batch is free
        pixels = images(number, spec.input_size) + 120
        with torch.no_grad():
            wanted = network(pixels - mean)
        assert wanted.std() > 1e-3  # else any graph would do
        torch.testing.assert_close(loaded(pixels), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", networks)
def test_every_named_network_is_the_same_in_onnxruntime(name: str, tmp_path: Path) -> None:
    assert_equal(narrow(networks[name]), tmp_path / "network.onnx")


@pytest.mark.parametrize("name", ["paper", "authors-2012", "non-overlapping"])
def test_named_networks_are_the_same_in_openvino(name: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    assert_equal(narrow(networks[name]), tmp_path / "network.xml", "openvino")


@pytest.mark.parametrize(
    "change",
    [
        {"normalization": "batch"},
        {"normalization": "none"},
        {"normalization_window": "column"},
        {"lrn": LRN(n=3, k=1.5, alpha=0.01, beta=0.6)},
        {"order": "norm-pool-relu"},
        {"links": ()},
        {"links": ("conv2", "conv5", "fc7")},
        {"pooling": "2/2"},
        {"rounding": "down"},
        {"activation": "tanh"},
        {"activation": "sigmoid"},
        {"dropout": 0.0},
        {"dropout_form": "inverted"},
        {"conv6": True},
        {"conv6": True, "bottleneck": 4},
        {"input_scale": 1 / 60},
        {"hidden": (), "links": ("conv3",)},
        {"convolutions": (*tiny.convolutions[:4], Convolution(6, 3, padding=1, std=0.3, then=("relu", "dropout")))},
    ],
    ids=str,
)
def test_every_switch_is_the_same_in_onnxruntime(change: dict, tmp_path: Path) -> None:
    assert_equal(replace(tiny, **change), tmp_path / "network.onnx")


def test_probabilities_are_the_softmax_of_the_logits(tmp_path: Path) -> None:
    import onnxruntime

    model = onnx_model(built(tiny), torch.zeros(3, 32, 32), {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    probabilities, logits = session.run(["probabilities", "logits"], {"pixels": images(4, 32).numpy()})
    torch.testing.assert_close(torch.from_numpy(probabilities), torch.from_numpy(logits).softmax(dim=1))


def test_columns_are_chains_of_their_own_between_the_links(tmp_path: Path) -> None:
    # §3.2: conv4 and conv5 read their own column, so nothing is joined between conv3 and fc6.
    nodes = {node.name: node for node in onnx_model(built(tiny), torch.zeros(3, 32, 32), {}).graph.node}
    assert [name for name in nodes if name.endswith(".joined")] == ["norm2.joined", "fc6.joined"]
    assert list(nodes["conv5.2"].input[:1]) == ["relu4.2"] and list(nodes["relu4.2"].input) == ["conv4.2"]
    assert not {"Pow", "LRN"} & {node.op_type for node in nodes.values()}
