"""torchvision's weights in and out, against its architecture as the tests of `network.weights` have it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from alexnet.errors import InputError
from alexnet.exchange import exports, foreign, imports, torchvision
from alexnet.network import networks
from alexnet.network.weights import NAMES
from alexnet.run import recipes
from alexnet.run.network_file import Contents
from alexnet.run.trained import TrainedNetwork
from tests.network.test_weights import Reference

from .making import write
from .test_caffe import refused


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    """torchvision's network for 10 classes, full size, with random weights."""
    with torch.device("meta"):
        module = Reference(10)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in module.state_dict().items():
        scale = (2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
        state[name] = torch.empty(tensor.shape).uniform_(-scale, scale, generator=generator)
    module.load_state_dict(state, assign=True)
    yield module.eval()


def test_weights_in_and_out_compute_the_same(reference: Reference, tmp_path: Path) -> None:
    file = tmp_path / "module.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in reference.state_dict().items()}, file)
    got = foreign.read([file], "torchvision", foreign.Options())
    file.unlink()
    network = got.module()
    pixels = torch.randint(256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(2)).float()

    def theirs(images: Tensor) -> Tensor:
        # As transforms.Normalize has it, on images that ToTensor brought to 0-1.
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return reference((images / 255 - mean[:, None, None]) / std[:, None, None])

    for logits in (theirs, got.logits):
        assert imports.compare(network, replace(got, logits=logits)).logit < 1e-5
    assert got.network.input_scale == pytest.approx(1 / 57.63, rel=1e-3)  # so that rates mean what they meant
    # Out again, as a run would: its network takes pixels minus the mean, not scaled.
    mean = torch.from_numpy(got.mean).permute(2, 0, 1).contiguous()
    recipe = replace(recipes.paper, network=got.network)
    names = tuple(f"class {at}" for at in range(10))
    contents = Contents(tmp_path, recipe, {}, names, got.mean, np.zeros(3), np.eye(3), "step-00000000")
    trained = TrainedNetwork(tmp_path, contents, network)
    exported = exports.export_network(trained, "torchvision", tmp_path / "out.safetensors")
    assert exported.difference.logit < 1e-5 and exported.takes and "not scaled to 0-1" in exported.takes
    back = torchvision.read(tmp_path / "out.safetensors")
    assert set(back) == set(NAMES.values())
    reference.load_state_dict(back, assign=True)
    with torch.no_grad():
        outputs = reference(pixels - torch.from_numpy(np.load(tmp_path / "out-mean.npy"))[:1, :1].permute(2, 0, 1))
        wanted = network(pixels - mean[:, :1, :1])
    torch.testing.assert_close(outputs, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_damaged_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = tmp_path / "run", tmp_path / "a.pth"
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Reference(10).state_dict().items()}
    small = {name: torch.zeros(3) for name in shapes}
    torch.save(small, file)
    assert "features.0.weight is [3]" in refused(capsys, out, file)
    torch.save({"state_dict": {"epoch": torch.tensor(3)}, "epoch": 3}, file)
    assert "is missing from the weights" in refused(capsys, out, file)
    whole = file.read_bytes()
    refused(capsys, out, write(file, whole[: len(whole) // 2]))
    refused(capsys, out, write(file, b""))
    torch.save(torch.nn.Linear(2, 2), file)  # a module: code that would have to be run
    assert "more than tensors" in refused(capsys, out, file)
    torch.save([1, 2], file)
    assert "no state dict" in refused(capsys, out, file)
    refused(capsys, out, write(tmp_path / "a.safetensors", b"\x08\0\0\0\0\0\0\0{}      and no more"))


def test_a_number_that_is_none_is_named() -> None:
    with torch.device("meta"):
        state = dict(Reference(10).state_dict())
    state = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in state.items()}
    state["features.3.bias"] = torch.full((192,), float("nan"))
    with pytest.raises(InputError, match=r"NaN or infinity is among features\.3\.bias"):
        torchvision.weights(state, Path("a.pth"))


def test_another_network_is_refused_with_what_differs(tiny_run: Path, tmp_path: Path) -> None:
    from alexnet.run import trained

    with pytest.raises(InputError, match=r"not torchvision's alexnet: input: 28 pixels \(not 224 pixels\)"):
        exports.export_network(trained.load(tiny_run), "torchvision", tmp_path / "a.pth")
    assert not list(tmp_path.iterdir()) and networks.torchvision.columns == 1
