"""Several processes against one: outputs, gradients of every parameter, and weights after ten steps, dropout on.

Real processes talk by gloo. All cases run in one start of them, since a start costs seconds; what they found comes back in
a file and is compared here with the one-device network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.errors import InputError
from alexnet.network.model import AlexNet
from alexnet.network.networks import small
from alexnet.network.spec import Hidden, Network
from alexnet.processes import Processes
from alexnet.training import rule
from alexnet.training.layouts import Mode, layout
from benchmarks.traffic import traffic
from tests.network.tiny import images, seeded, tiny

STEPS = 10
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-13}
"""Largest difference of outputs and gradients, as a share of the largest number in the tensor: sums in another order."""
GROWN = {torch.float32: 1e-4, torch.float64: 1e-12}
"""The same of weights and velocities after ten steps, and of what comes out then: every step goes on from the last one's."""

Found = dict[int, list[dict[str, dict[str, Any]]]]
"""Of so many processes, for every process and case."""


@dataclass(frozen=True)
class Case:
    """A network, and how it is trained."""

    mode: Mode
    spec: Network
    batches: tuple[int, ...] = (6,)
    """Images of the steps, in turn."""
    micro_batch: int | None = None
    channels_last: bool = True
    kind: torch.dtype = torch.float32
    frozen: tuple[str, ...] = ()
    """Layers that are not trained."""


across = replace(tiny, name="across")
within = replace(across, normalization_window="column", normalization="authors-2012", order="norm-pool-relu")
wide = replace(tiny, hidden=(Hidden(12, std=0.5, bias=0.1), Hidden(12, std=0.5, bias=0.1)))
unlinked = replace(wide, links=())
in_the_trunk = replace(
    tiny,
    convolutions=(*tiny.convolutions[:4], replace(tiny.convolutions[4], then=("relu", "pool", "dropout"))),
)
UNEVEN = (5, 4, 1, 6)

CONVOLUTIONS = tuple(f"conv{number}" for number in range(1, 6))

TWO = {
    "columns": Case("columns", across, UNEVEN),
    "columns, window within the column": Case("columns", within, UNEVEN),
    "columns, no links": Case("columns", unlinked, UNEVEN),
    "columns, other links": Case("columns", replace(tiny, links=("conv2", "fc7")), UNEVEN),
    "columns, conv6 and bottleneck": Case("columns", replace(tiny, conv6=True, bottleneck=4), UNEVEN),
    "columns, pool before norm, inverted dropout": Case(
        "columns", replace(tiny, order="relu-pool-norm", dropout_form="inverted"), UNEVEN
    ),
    "columns, norm before relu": Case("columns", replace(tiny, order="norm-relu-pool"), UNEVEN),
    "columns, one kernel a column": Case(
        "columns", replace(tiny, convolutions=(replace(tiny.convolutions[0], kernels=2), *tiny.convolutions[1:]))
    ),
    "columns, batch normalization": Case("columns", replace(tiny, normalization="batch"), (6, 4)),
    "columns, dropout of maps": Case("columns", in_the_trunk, UNEVEN),
    "columns, contiguous memory": Case("columns", across, UNEVEN, channels_last=False),
    "columns, small": Case("columns", small, (8,)),
    "columns, float64": Case("columns", across, UNEVEN, kind=torch.float64),
    "columns, frozen": Case("columns", across, UNEVEN, frozen=("conv1", "conv2")),
    "data": Case("data", across, UNEVEN),
    "data, inverted dropout, of maps too": Case("data", replace(in_the_trunk, dropout_form="inverted"), UNEVEN),
    "data, frozen": Case("data", across, UNEVEN, frozen=("conv1", "conv2")),
    "data, micro-batches": Case("data", tiny, (7, 2), micro_batch=2),
    "hybrid": Case("hybrid", across, UNEVEN),
    "hybrid, no links": Case("hybrid", unlinked, UNEVEN),
    "hybrid, bottleneck and dropout of maps": Case("hybrid", replace(in_the_trunk, bottleneck=4, conv6=True), UNEVEN),
    "hybrid, inverted dropout": Case("hybrid", replace(tiny, dropout_form="inverted"), UNEVEN),
    "hybrid, one tower": Case("hybrid", replace(tiny, columns=1), UNEVEN),
    "hybrid, float64": Case("hybrid", across, UNEVEN, kind=torch.float64),
    "hybrid, frozen": Case("hybrid", across, UNEVEN, frozen=CONVOLUTIONS),
    "hybrid, micro-batches": Case("hybrid", tiny, (7, 2), micro_batch=2),
}
THREE = {
    "data": Case("data", across, UNEVEN),
    "hybrid": Case("hybrid", wide, UNEVEN),
    "hybrid, no links": Case("hybrid", unlinked, UNEVEN),
    "hybrid, one hidden layer reads its own column": Case("hybrid", replace(wide, links=("conv3", "fc7")), (4,)),
}


CASES = {2: TWO, 3: THREE}


def start(case: Case) -> AlexNet:
    model = AlexNet(case.spec, generator=seeded(3)).to(case.kind)
    rule.freeze(model, case.frozen)
    if case.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def optimizer(module: nn.Module) -> rule.PaperSGD:
    return rule.PaperSGD([weight for weight in module.parameters() if weight.requires_grad], lr=0.003)


def batch(case: Case, step: int) -> tuple[Tensor, Tensor]:
    number = case.batches[step % len(case.batches)]
    x = images(number, case.spec.input_size, seed=step).to(case.kind)
    x = x.contiguous(memory_format=torch.channels_last) if case.channels_last else x
    return x, torch.randint(case.spec.classes, (number,), generator=seeded(step))


def view(case: Case) -> Tensor:
    return images(5, case.spec.input_size, seed=99).to(case.kind)


def one_process(case: Case) -> dict[str, Any]:
    """What the one-device network gives; it takes whole batches, since gradients of micro-batches are the same."""
    model: AlexNet = start(case)
    found: dict[str, Any] = {}
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    sgd = optimizer(model)
    for step in range(STEPS):
        x, labels = batch(case, step)
        torch.manual_seed(step)
        logits = model.train()(x)
        sgd.zero_grad()
        F.cross_entropy(logits, labels).backward()
        if step == 0:
            found["logits"] = logits.detach()
            found["gradients"] = {name: weight.grad for name, weight in trained.items()}
        sgd.step()
    found["weights"] = model.state_dict()
    found["velocities"] = {name: sgd.state[weight]["v"] for name, weight in trained.items()}
    with torch.no_grad():
        found["eval"] = model.eval()(view(case))
    return found


def _gradient(weight: nn.Parameter) -> Tensor:
    assert weight.grad is not None
    return weight.grad.clone()


class Sent:
    """Bytes that this process sends: activations, their gradients, and those of weights. A sum counts as the ring sends it."""

    def __init__(self) -> None:
        self.phase = "forward"
        self.bytes = {"forward": 0, "backward": 0, "gradients": 0}

    @contextmanager
    def counted(self) -> Iterator[None]:
        send, add_up = dist.all_to_all_single, dist.all_reduce

        def counting_send(received: Tensor, sent: Tensor, *lengths: Any) -> Any:
            self.bytes[self.phase] += sent.nbytes
            return send(received, sent, *lengths)

        def counting_add_up(x: Tensor, async_op: bool = False) -> Any:
            number = dist.get_world_size()
            self.bytes["gradients" if async_op else self.phase] += 2 * (number - 1) * x.nbytes // number
            return add_up(x, async_op=async_op)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dist, "all_to_all_single", counting_send)
            patch.setattr(dist, "all_reduce", counting_add_up)
            yield


def some_process(case: Case, processes: Processes) -> dict[str, Any]:
    """The same by one of several processes."""
    model: AlexNet = start(case)
    found: dict[str, Any] = {}
    shared = layout(case.mode, model, processes)
    held = {id(weight) for weight in shared.module.parameters()}
    found["left behind"] = sum(not weight.is_meta for weight in model.parameters() if id(weight) not in held)
    trained = {name: weight for name, weight in shared.module.named_parameters() if weight.requires_grad}
    sgd = optimizer(shared.module)
    for step in range(STEPS):
        x, labels = batch(case, step)
        torch.manual_seed(step)
        sgd.zero_grad()
        logits = torch.full((len(x), case.spec.classes), torch.nan, dtype=case.kind)
        x, labels, own = x[shared.rows(len(x))], labels[shared.judged(len(x))], logits[shared.judged(len(x))]
        shared.module.train()
        sent = Sent()
        with sent.counted():
            for part in shared.begin(len(logits), case.micro_batch):
                sent.phase = "forward"
                given = shared(x[part.images])
                loss = F.cross_entropy(given, labels[part.judged], reduction="sum") / len(logits)
                sent.phase = "backward"
                loss.backward()
                own[part.judged] = given.detach()
        if step == 0:
            judged = shared.judged(len(logits))
            found["logits"], found["judged"] = logits, (judged.start, judged.stop)
            found["gradients"] = shared.whole({name: _gradient(weight) for name, weight in trained.items()})
            found["sent"] = sent.bytes
        sgd.step()
    found["weights"] = shared.whole(shared.module.state_dict())
    found["velocities"] = shared.whole({name: sgd.state[weight]["v"] for name, weight in trained.items()})
    found["numbers"] = sum(weight.numel() for weight in shared.module.parameters())
    again = shared.take(found["weights"])
    found["take undoes whole"] = all(
        torch.equal(again[name], value) for name, value in shared.module.state_dict().items()
    )
    with torch.no_grad():
        shared.module.eval()
        found["eval"] = shared(view(case))
    return found


def process(rank: int, folder: Path) -> None:
    """What each of three processes does: the cases for two (without the third), then those for three."""
    torch.set_num_threads(1)
    for number, cases in CASES.items():
        if rank < number:
            store = f"file://{folder / f'store-{number}'}"
            dist.init_process_group("gloo", init_method=store, rank=rank, world_size=number)
            found = {name: some_process(case, Processes(rank, number)) for name, case in cases.items()}
            torch.save(found, folder / f"{number}-{rank}.pt")
            dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(process, (folder,), nprocs=3)  # type: ignore[no-untyped-call]
    return {number: [torch.load(folder / f"{number}-{rank}.pt") for rank in range(number)] for number in CASES}


def expect_equal(actual: dict[str, Tensor], expected: dict[str, Tensor], allowed: float) -> None:
    assert list(actual) == list(expected)
    for name, value in expected.items():
        largest = value.double().abs().max()
        difference = (actual[name].double() - value.double()).abs().max()
        assert actual[name].shape == value.shape and difference <= allowed * largest, (name, difference / largest)


ALL = [(number, name) for number, cases in CASES.items() for name in cases]


@pytest.mark.parametrize(("number", "name"), ALL, ids=[f"{name}, {number} processes" for number, name in ALL])
def test_several_processes_equal_one(found: Found, number: int, name: str) -> None:
    case = CASES[number][name]
    expected = one_process(case)
    rounding, grown = ROUNDING[case.kind], GROWN[case.kind]
    for process in (each[name] for each in found[number]):
        judged = slice(*process["judged"])
        assert judged.stop > judged.start or case.mode == "data"
        if judged.stop > judged.start:
            expect_equal({"": process["logits"][judged]}, {"": expected["logits"][judged]}, rounding)
        expect_equal(process["gradients"], expected["gradients"], rounding)
        expect_equal(process["weights"], expected["weights"], grown)
        expect_equal(process["velocities"], expected["velocities"], grown)
        expect_equal({"": process["eval"]}, {"": expected["eval"]}, grown)
    began = start(case).state_dict()
    for weight, gradient in expected["gradients"].items():  # they are not equal for being nothing
        assert gradient.abs().max() > 0 and not torch.equal(expected["weights"][weight], began[weight]), weight


@pytest.mark.parametrize(
    ("number", "name"), [place for place in ALL if "float64" not in place[1] and "frozen" not in place[1]]
)
def test_the_bytes_sent_are_those_computed_from_the_spec(found: Found, number: int, name: str) -> None:
    case = CASES[number][name]
    for rank, process in enumerate(each[name] for each in found[number]):
        computed = traffic(case.spec, case.mode, case.batches[0], number, rank)
        assert process["sent"] == vars(computed) and computed.total > 0


def test_every_process_holds_its_parts_and_nothing_else(found: Found) -> None:
    weights = {name: weight.numel() for name, weight in AlexNet(tiny).named_parameters()}
    convolutions = sum(numbers for name, numbers in weights.items() if name.startswith("conv"))
    whole, both = sum(weights.values()), weights["fc8.bias"]
    for process in found[2]:
        assert process["data"]["numbers"] == whole
        assert process["columns"]["numbers"] == (whole + both) // 2
        assert process["hybrid"]["numbers"] == convolutions + (whole - convolutions + both) // 2
        for mode in ("data", "columns", "hybrid"):
            assert process[mode]["left behind"] == 0
            assert process[mode]["take undoes whole"]


def test_one_process_has_the_trivial_layout() -> None:
    model = AlexNet(tiny, generator=seeded(3))
    for mode in ("none", "data", "hybrid"):
        shared = layout(mode, model, Processes())  # type: ignore[arg-type]
        assert shared.module is model and shared.replicated and shared.rows(5) == shared.judged(5) == slice(0, 5)
        assert [part.images for part in shared.begin(5, 2)] == [slice(0, 2), slice(2, 4), slice(4, 5)]
        state = model.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in shared.whole(shared.take(state)).items())


def test_a_step_begins_before_it_is_taken() -> None:
    shared = layout("none", AlexNet(tiny), Processes())
    with pytest.raises(RuntimeError, match="begin"):
        shared(images(2, tiny.input_size))
    shared.begin(2)
    shared(images(2, tiny.input_size))
    with pytest.raises(RuntimeError, match="begin"):
        shared(images(2, tiny.input_size))


@pytest.mark.parametrize(
    ("mode", "spec", "number", "message"),
    [
        ("rows", tiny, 2, "--parallel rows: choose one of none, data, columns, hybrid"),
        ("none", tiny, 2, "--parallel none: there are 2 processes"),
        ("columns", tiny, 3, "--parallel columns: .* --processes 2"),
        ("columns", tiny, 1, "--parallel columns: .* --processes 2"),
        ("columns", replace(tiny, columns=1), 2, "network tiny has one column"),
        ("hybrid", replace(tiny, hidden=(), links=("conv3",)), 2, "network tiny has no hidden layers"),
        ("hybrid", tiny, 3, "the 8 units of fc6 cannot be shared by 3"),
        ("hybrid", replace(tiny, links=("fc7",)), 8, "the 8 units of fc6 cannot be shared by 8"),
        ("data", replace(tiny, normalization="batch"), 2, "batch normalization .* needs GPUs"),
        ("hybrid", replace(tiny, normalization="batch"), 2, "batch normalization .* needs GPUs"),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(mode: Any, spec: Network, number: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        layout(mode, AlexNet(spec), Processes(0, number))
