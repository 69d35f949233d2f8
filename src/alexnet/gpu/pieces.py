"""What `alexnet gpu` consists of, and what its files say of each piece: nothing here needs a GPU.

OUT/gpu.json              of every piece that was begun: state, commit, machine, when, how long, what went wrong
OUT/speed/NAME.json       figures of a piece that checks or measures kernels and steps
OUT/results/SCALE/ID.json results of the trainings, as `alexnet claims run` writes them;  OUT/runs: their run folders
OUT/errors/NAME.txt       why a piece failed;  OUT/table.txt: the short table
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from alexnet.claims import ledger, records
from alexnet.claims.claim import Claim
from alexnet.claims.claims import claims, table2
from alexnet.claims.records import Result
from alexnet.claims.scales import scales
from alexnet.errors import InputError

STATE = "gpu.json"
UNCHECKED = "unchecked"
"""Key of what was done though the check had failed (`alexnet gpu --unchecked`): true in STATE and in the files of figures."""


@dataclass(frozen=True)
class Piece:
    """One part of the work, worth having alone."""

    name: str
    what: str
    least: float
    """Seconds below which it is not begun: it could not give a figure."""
    most: float = 300.0
    """Seconds after which a process that measures is asked to stop."""
    takes: Literal["", "data", "cifar"] = ""
    """The option that names the data that it trains on; "" for those that measure."""


PIECES = {
    piece.name: piece
    for piece in (
        Piece("check", "the kernels against the plain forms", 20),
        Piece("ceilings", "what the device reaches: a matrix product, a copy", 10),
        Piece("kernels", "each kernel beside what it needs at the least", 30),
        Piece("steps", "training steps beside torchvision's alexnet and a plain port", 60, most=420),
        Piece("profile", "where the time of a step goes", 30),
        Piece("epoch", "1.28 million images", 60),
        Piece("networks", "paper and authors-2012 from nothing", 45, takes="data"),
        Piece("averaged", "five networks averaged", 45, takes="data"),
        Piece("longer", "the same networks three times as long, and other means", 45, takes="data"),
        Piece("claims", "every other claim of the paper", 45, takes="data"),
        Piece("cifar", "fig. 1, and the 13% / 11% pair", 45, takes="cifar"),
    )
}
"""In their order. The least seconds are estimates."""

AT_ONCE = 4
"""Claims whose runs are done seed by seed together: each group ends with verdicts, and wants its processes begun once."""

OF_NETWORKS = ("from-scratch", "kernels-longer", "views", "features")
"""Claims about the same runs, and what each measures of them: together, as weights are not there on another machine."""


@dataclass(frozen=True)
class Experiment:
    """A claim at a scale, or table2's chain."""

    scale: str
    id: str
    only: tuple[str, ...] = ()
    """Some of its variants; none named: all."""

    def claim(self) -> Claim:
        """What the runner is given."""
        whole = ledger.NAMED[self.id]
        return replace(whole, variants=tuple(each for each in whole.variants if not self.only or each[0] in self.only))


def experiments(piece: Piece, rehearsal: bool = False) -> list[list[Experiment]]:
    """What a piece trains, in groups, those first that matter most: the paper's own claims, then the program's points."""
    scale = "smoke" if rehearsal else "imagenette"
    both = ("paper", "authors-2012")
    claims_: dict[str, list[list[Experiment]]] = {
        "networks": [
            [Experiment(scale, id, both) if id in OF_NETWORKS[:2] else Experiment(scale, id) for id in OF_NETWORKS]
        ],
        "averaged": [[Experiment(scale, table2.id)]],
        "longer": [[Experiment(scale, id) for id in OF_NETWORKS[:2]]],
        "cifar": [
            [Experiment("smoke" if rehearsal else "cifar", "lrn-cifar")],
            [Experiment("smoke" if rehearsal else "small", "relu")],
        ],
    }
    if piece.name in claims_:
        return claims_[piece.name]
    ids = [id for id in ledger.ids(scale) if id not in OF_NETWORKS]
    ids = ["lrn"] if rehearsal else sorted(ids, key=lambda id: claims[id].section == "2012")
    return [[Experiment(scale, id) for id in ids[at : at + AT_ONCE]] for at in range(0, len(ids), AT_ONCE)]


def seeds(scale: str, rehearsal: bool = False) -> int:
    """How many runs of each variant, or repeats of the chain."""
    return 1 if rehearsal else scales[scale].seeds


# --- what there is already --------------------------------------------------------------------------------------------


def state(out: Path) -> dict[str, Any]:
    """OUT/gpu.json: {"rehearsal": bool, "pieces": {name: {...}}}; empty where there is none, or a damaged one."""
    try:
        found = json.loads((out / STATE).read_text("utf-8"))
        return {"rehearsal": bool(found["rehearsal"]), "pieces": dict(found["pieces"])}
    except (OSError, ValueError, LookupError, TypeError):
        return {"rehearsal": False, "pieces": {}}


def figures(name: str, out: Path) -> dict[str, Any] | None:
    """The document of a piece that measures; None where there is none, or a damaged one."""
    try:
        found = json.loads((out / "speed" / f"{name}.json").read_text("utf-8"))
        return dict(found) if {"rows", "commit", "machine"} <= found.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def result(out: Path, experiment: Experiment) -> Result | None:
    """The result of an experiment; None where there is none, or one that cannot be read."""
    try:
        return records.load(out / "results" / experiment.scale / f"{experiment.id}.json")
    except InputError:
        return None


def counts(out: Path, experiment: Experiment, rehearsal: bool = False) -> tuple[int, int]:
    """(runs there, runs wanted) of an experiment; of the chain, repeats. More seeds than wanted do not count."""
    wanted = seeds(experiment.scale, rehearsal)
    found = result(out, experiment)
    of = {} if found is None else {name: len(variant.runs) for name, variant in found.variants.items()}
    if experiment.id == table2.id:
        return min(wanted, of.get("five nets", 0)), wanted
    names = [name for name, _ in experiment.claim().variants]
    return sum(min(wanted, of.get(name, 0)) for name in names), wanted * len(names)


def cut_short(document: dict[str, Any]) -> bool:
    """Whether a piece that measures left something out for want of time."""
    return any(text.endswith("no time left") for text in document.get("left out", ()))


def is_done(piece: Piece, out: Path, rehearsal: bool = False) -> bool:
    """Whether the files that a piece writes are all there, whoever wrote them, whenever and wherever."""
    if piece.takes:
        all_of_it = [counts(out, each, rehearsal) for group in experiments(piece, rehearsal) for each in group]
        return all(there >= wanted for there, wanted in all_of_it)
    document = figures(piece.name, out)
    return document is not None and not cut_short(document)


def origin(piece: Piece, out: Path, rehearsal: bool = False) -> str:
    """Which commits and devices a piece's files are of: "abc1234 on NVIDIA H100 80GB HBM3"."""
    if piece.takes:
        found = [result(out, each) for group in experiments(piece, rehearsal) for each in group]
        commits = {commit for each in found if each for commit in each.commits}
        machines = [each.machine for each in found if each]
    else:
        document = figures(piece.name, out)
        commits = {document["commit"]} if document else set()
        machines = [document["machine"]] if document else []
    devices = {str(machine.get("gpu", machine.get("cpu", "an unknown machine"))) for machine in machines}
    return f"{', '.join(sorted(commits))} on {', '.join(sorted(devices))}"
