"""The short table: what OUT has, on one screen, from its files alone; made anywhere, also from files that were brought back."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet.claims import ledger, phrases, verdicts
from alexnet.claims.claims import claims
from alexnet.claims.records import Result
from alexnet.errors import InputError
from alexnet.gpu import pieces as pieces_
from alexnet.gpu.pieces import PIECES, Experiment

WIDTH, HEIGHT = 110, 58
"""Columns and lines at most."""

SHORT = {"not reproduced": "not", "inconclusive at this scale": "open"}
"""Verdicts that are too long for a line."""


def lines(out: Path) -> list[str]:
    """All of it. InputError for a folder that is not there."""
    if not out.is_dir():
        raise InputError(f"--out {out}: no such folder; alexnet gpu makes it")
    rehearsal = pieces_.state(out)["rehearsal"]
    speed = [*_limits(out), *_steps(out), *_epoch(out), *_kernels(out), *_profile(out)]
    made = [*_pieces(out, rehearsal), *_part("speed", speed), *_errors(out, rehearsal)]
    judged, rest = _claims(out, rehearsal), ""
    if len(made) + len(judged) > HEIGHT:
        left = max(1, HEIGHT - len(made) - 1)
        rest = f"and {len(judged) - left} more lines: alexnet claims --results {out / 'results'}"
        judged = judged[:left]
    return [line[:WIDTH] for line in (*made, *judged, *([rest] if rest else []))]


def _part(title: str, of: Sequence[str]) -> list[str]:
    return [f"-- {title} ".ljust(WIDTH, "-"), *of] if of else []


def _wrapped(first: str, items: Sequence[str], between: str = "; ") -> list[str]:
    """Items one after the other, behind `first`, in as many lines as they take."""
    text = between.join(item.replace(" ", "\0") for item in items)  # a line ends between two of them
    found = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * 4, break_long_words=False)
    return [line.replace("\0", " ") for line in found]


# --- pieces -----------------------------------------------------------------------------------------------------------


def _pieces(out: Path, rehearsal: bool) -> list[str]:
    of = pieces_.state(out)["pieces"]
    where = dict.fromkeys(f"{each['commit']} on {_device(each['machine'])}" for each in of.values())
    made = ["A REHEARSAL ON THE CPU, ON A FEW PICTURES: NO FIGURES"] if rehearsal else []
    made += textwrap.wrap(f"{out}: {', '.join(where) or 'nothing was begun here'}", WIDTH)
    said = []
    for piece in PIECES.values():
        entry = of.get(piece.name, {})
        state = entry.get("state", "not begun")
        if piece.name != "check" and pieces_.is_done(piece, out, rehearsal):
            state = "done"
        elif piece.takes and (there := _runs(out, piece.name, rehearsal))[0]:
            state += f" ({there[0]} of {there[1]} runs)"
        took = f" {entry['seconds']:.0f} s" if entry.get("seconds") else ""
        left_out = len((pieces_.figures(piece.name, out) or {}).get("left out", ())) if not piece.takes else 0
        said.append(f"{piece.name} {state}{took}" + (f" ({left_out} left out)" if left_out else ""))
    made += _wrapped("", said)
    unchecked = [name for name, entry in of.items() if entry.get(pieces_.UNCHECKED)]
    made += _wrapped("KERNELS THAT DID NOT PASS THE CHECK made ", unchecked, ", ") if unchecked else []
    made += [f"{name} failed: {each.get('error', '')}" for name, each in of.items() if each.get("state") == "failed"]
    return made


def _device(machine: dict[str, Any]) -> str:
    return str(machine.get("gpu", machine.get("cpu", "?")))


def _runs(out: Path, name: str, rehearsal: bool) -> tuple[int, int]:
    of = [
        pieces_.counts(out, each, rehearsal) for group in pieces_.experiments(PIECES[name], rehearsal) for each in group
    ]
    return sum(there for there, _ in of), sum(wanted for _, wanted in of)


# --- speed ------------------------------------------------------------------------------------------------------------


def _rows(out: Path, name: str) -> list[dict[str, Any]]:
    return list((pieces_.figures(name, out) or {"rows": []})["rows"])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _limits(out: Path) -> list[str]:
    return _wrapped("", [f"{row['name']}: {_number(row['median'])} {row['unit']}" for row in _rows(out, "ceilings")])


def _steps(out: Path) -> list[str]:
    """A line for each form, a column for each batch size; then shares of the product, then ratios to the peers."""
    forms: dict[str, dict[int, str]] = {}
    patterns = {
        "images/s": (r"(?P<form>.+), (?P<batch>\d+)$", "{form}", "{}"),
        "%": (r"(?P<form>.+), (?P<batch>\d+): share of the (?P<what>.+)$", "{form}, of the {what}", "{} %"),
        "x": (r"(?P<form>.+), (?P<batch>\d+) against (?P<what>.+)$", "{form} against {what}", "{}x"),
    }
    for unit, (pattern, label, figure) in patterns.items():
        for row in _rows(out, "steps"):
            found = re.match(pattern, row["name"]) if row["unit"] == unit else None
            if found:
                named = found.groupdict()
                form = forms.setdefault(label.format(**named), {})
                form[int(named["batch"])] = figure.format(_number(row["median"]))
    batches = sorted({batch for form in forms.values() for batch in form})
    if not batches:
        return []
    cells = [[form[:70], *(of.get(batch, "") for batch in batches)] for form, of in forms.items()]
    return [_columns(each) for each in ([*["images a second, batches of"], *map(str, batches)], *cells)]


def _columns(cells: Sequence[str]) -> str:
    return cells[0].ljust(72) + "".join(cell.rjust(10) for cell in cells[1:])


def _epoch(out: Path) -> list[str]:
    return _wrapped("", [f"{row['name']}: {_number(row['median'])} {row['unit']}" for row in _rows(out, "epoch")])


def _kernels(out: Path) -> list[str]:
    shares = [row for row in _rows(out, "kernels") if row["unit"] == "% of copy"]
    return _wrapped("% of the copy's speed: ", [f"{row['name']} {row['median']:.0f}" for row in shares])


def _profile(out: Path) -> list[str]:
    """A step by kind of kernel, for each batch size."""
    by_batch: dict[str, list[str]] = {}
    for row in _rows(out, "profile"):
        kind, _, batch = row["name"].rpartition(", ")
        by_batch.setdefault(batch, []).append(f"{kind} {_number(row['median'])}")
    return [line for batch, of in by_batch.items() for line in _wrapped(f"µs of a step of {batch}: ", of)]


# --- errors and claims ------------------------------------------------------------------------------------------------


def _errors(out: Path, rehearsal: bool) -> list[str]:
    """The networks from nothing, and several averaged: mean and interval of the errors of one crop and of ten."""
    made = []
    for name in ("longer", "averaged"):
        experiment = pieces_.experiments(PIECES[name], rehearsal)[0][0]
        found = pieces_.result(out, experiment)
        made += _of_variants(found, "top1", "ten_top1") if found else []
        for comparison in claims["five nets"].comparisons if name == "averaged" else ():
            one = verdicts.outcome(found, comparison) if found else None
            if one:
                made.append(
                    f"five nets - one net, {phrases.SHORT[comparison.measure]}: {phrases.measured(one)}"
                    f" {SHORT.get(one.verdict, one.verdict)}"
                )
    heading = ["error in %, mean (95% interval)".ljust(40) + "one crop".ljust(26) + "ten crops".ljust(26) + "runs"]
    return [*_part("networks", heading), *made] if made else []


def _of_variants(result: Result, *measures: str) -> list[str]:
    made = []
    for variant, of in result.variants.items():
        if of.runs:
            cells = [(verdicts.spread(result.values(variant, measure)) or "-").ljust(26) for measure in measures]
            made.append(variant[:38].ljust(40) + "".join(cells) + str(len(of.runs)))
    return made


def _claims(out: Path, rehearsal: bool) -> list[str]:
    """A line for each claim that has runs, the others by name."""
    of: dict[tuple[str, str], Experiment] = {}
    for name in (
        "longer",
        "networks",
        "claims",
        "cifar",
    ):  # "longer" has all variants of what it shares with "networks"
        for group in pieces_.experiments(PIECES[name], rehearsal):
            for each in group:
                of.setdefault((each.scale, each.id), each)
    made, without = [], []
    for each in of.values():
        found = pieces_.result(out, each)
        if found is None:
            without.append(each.id)
        else:
            made.append(_of_claim(found, each, *pieces_.counts(out, each, rehearsal)))
    if not made:
        return []
    none = _wrapped("no runs yet: ", without, ", ") if without else []
    return [*_part("claims: difference (95% interval), verdict; open: inconclusive at this scale", made), *none]


def _of_claim(result: Result, of: Experiment, there: int, wanted: int) -> str:
    """As many of the comparisons as there is room for."""
    claim = claims[of.id]
    line = f"{claim.id:<18}{f'{there}/{wanted}':<8}"
    said = [
        f"{phrases.label(one.comparison, claim)} {phrases.measured(one)} {SHORT.get(one.verdict, one.verdict)}"
        for one in ledger.outcomes(result)
    ]
    for number, text in enumerate(said):
        more = f" +{len(said) - number} more"
        if len(line) + len(text) + len(more) + 2 > WIDTH and number:
            return line + more
        line += ("; " if number else "") + text
    return line
