"""The short table: from files alone, on one screen whatever there is in them."""

import json
import re
from pathlib import Path

from alexnet.gpu import pieces, table
from alexnet.gpu.figures import document, row
from alexnet.gpu.pieces import PIECES
from tests.claims import making


def measured(out: Path, name: str, *figures: tuple[str, float, str], **more: object) -> None:
    rows = [row(what, [value], unit) for what, value, unit in figures]
    (out / "speed").mkdir(exist_ok=True)
    (out / "speed" / f"{name}.json").write_text(json.dumps(document(name, f"alexnet gpu {name}", rows, **more)))


def trained(out: Path, name: str, runs: int = 3) -> None:
    """Results of a piece, of so many seeds each."""
    for experiment in (each for group in pieces.experiments(PIECES[name]) for each in group):
        names = ("one net", "five nets")
        if experiment.id != "table2":
            names = tuple(variant for variant, _ in experiment.claim().variants)
        measures = ("top1", "top5", "ten_top1", "ten_top5", "gap", "train_top1", "ten_gain", "ten_gain5", "split")
        measures += ("feature_gain", "epochs_to_target", "reached", "epochs_to_validation", "reached_validation")
        variants = {
            variant: {measure: [20.0 + at + seed / 10 for seed in range(runs)] for measure in measures}
            for at, variant in enumerate(names)
        }
        making.result(experiment.id, experiment.scale, variants).save(out / "results")


def everything(out: Path) -> None:
    measured(out, "ceilings", ("bfloat16 product, 8192²", 798.4, "TFLOP/s"), ("copy of 2.1 GB", 3.014, "TB/s"))
    forms = [f"form {number} with rather a long name, compiled in one way or another" for number in range(9)]
    measured(
        out,
        "steps",
        *((f"{form}, {batch}", 15234.0 + batch, "images/s") for form in forms for batch in (128, 256, 1024)),
        *((f"paper, graph, {batch}: share of the bfloat16 product", 15.61, "%") for batch in (128, 1024)),
        *((f"paper, graph, {batch} against torchvision", 1.234, "x") for batch in (128, 256)),
    )
    measured(out, "epoch", ("1.28 million images", 61.5, "s"), ("90 such epochs", 92.2, "min"))
    measured(out, "kernels", *((f"LRN conv{number}, forward", 91.4, "% of copy") for number in range(20)))
    kinds = [f"kind {number} of kernel" for number in range(11)]
    measured(out, "profile", *((f"{kind}, {batch}", 1234.5, "µs") for batch in (128, 1024) for kind in kinds))
    for name, piece in PIECES.items():
        if piece.takes:
            trained(out, name)
    entry = {"commit": "abc1234", "machine": {"gpu": "NVIDIA H100"}, "state": "done", "seconds": 61.0}
    state = {name: {**entry, "state": "failed", "error": "why " * 99} if name == "steps" else entry for name in PIECES}
    (out / "gpu.json").write_text(json.dumps({"rehearsal": False, "pieces": state}))


def test_one_screen_has_it_all(tmp_path: Path) -> None:
    everything(tmp_path)
    lines = table.lines(tmp_path)
    assert len(lines) < 60 and max(map(len, lines)) <= 110
    text = "\n".join(lines)
    for figure in (
        "abc1234 on NVIDIA H100",
        "check done 61 s",
        "bfloat16 product, 8192²: 798 TFLOP/s; copy of 2.1 GB: 3.01 TB/s",
        "1.28 million images: 61.5 s; 90 such epochs: 92.2 min",
        "µs of a step of 128: kind 0 of kernel 1,234; kind 1",
        "steps failed: why why",
    ):
        assert figure in text, figure
    assert "alexnet claims --results" in lines[-1], "what has no room is said"
    [head] = [line for line in lines if line.startswith("images a second")]
    [form] = [line for line in lines if line.startswith("form 3")]
    assert head.split()[-3:] == ["128", "256", "1024"] and form.split()[-3:] == ["15,362", "15,490", "16,258"]
    [ratio] = [line for line in lines if line.startswith("paper, graph against torchvision")]
    assert ratio.split()[-2:] == ["1.23x", "1.23x"]
    [mean] = [line for line in lines if line.startswith("authors-2012  ")]
    # Of 21.0, 21.1 and 21.2: 21.1 plus and minus 4.303 (Student's t, two degrees of freedom) times .1 / sqrt 3.
    assert mean.split()[1:] == ["21.10", "(20.85", "to", "21.35)"] * 2 + ["3"]


def test_claims_have_a_line_each_with_their_runs_and_verdicts(tmp_path: Path) -> None:
    trained(tmp_path, "cifar")
    trained(tmp_path, "claims", runs=2)
    lines = table.lines(tmp_path)
    [lrn] = [line for line in lines if line.startswith("lrn ")]
    assert lrn.split()[1] == "4/6" and "top-1 −1.00 (" in lrn and lrn.count("open") == 2
    [pair] = [line for line in lines if line.startswith("lrn-cifar ")]
    assert pair.split()[1] == "6/6" and pair.endswith("more")
    [depth] = [line for line in lines if line.startswith("depth ")]
    assert depth.split()[1] == "12/18"
    assert any(line.startswith("no runs yet: from-scratch, kernels-longer, views, features") for line in lines)
    counted = re.search(r"claims not begun \((\d+) of (\d+) runs\)", "\n".join(lines))
    assert counted and 3 * int(counted[1]) == 2 * int(counted[2]) > 100


def test_what_is_not_there_takes_no_room(tmp_path: Path) -> None:
    lines = table.lines(tmp_path)
    assert lines[0].endswith("nothing was begun here") and len(lines) <= 3
    measured(tmp_path, "steps", ("paper, graph, 128", 15000.0, "images/s"), **{"left out": ["x: no time left"]})
    (tmp_path / "gpu.json").write_text("{")  # damaged
    (tmp_path / "speed" / "epoch.json").write_text("[]")
    text = "\n".join(table.lines(tmp_path))
    assert "steps not begun (1 left out)" in text and "15,000" in text and "epoch not begun" in text
