"""The page of all claims, docs/claims.md: everything on it follows from the claims and the result files."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from matplotlib.figure import Figure

from alexnet.claims import figures, ledger
from alexnet.claims.claims import claims
from alexnet.claims.ledger import Found, Table
from alexnet.claims.results import CONFIDENCE, LEAST_SEEDS, Result, Verdict
from alexnet.claims.scales import scales
from alexnet.errors import InputError
from alexnet.files import write_text
from alexnet.insight import picture

_PERCENT = f"{100 * CONFIDENCE:.0f}%"

_RULE = f"""\
Every claim is an experiment: recipes that differ in what the claim is about, each trained with the same seeds, at least
{LEAST_SEEDS}; or one recipe, measured in two ways. What is compared is a mean over seeds, and the verdict follows by rule from
a {_PERCENT} interval of the difference:

- **reproduced**: the whole interval lies on the side where the claim puts the difference, and if the paper states a size,
  it does not fall wholly short of half of that (half of 6× is √6×, half of the way by factors);
- **not reproduced**: it lies wholly on the other side, or falls wholly short of half of the size that the paper states;
- **inconclusive at this scale**: neither, or there are fewer than {LEAST_SEEDS} seeds;
- **lower**, **higher**: where the paper claims nothing, the side on which the whole interval lies.

The interval is Welch's, of the difference of two means whose spreads need not be equal; Student's for a measure that is a
difference within each run, as ten crops against one, and for averages that have networks in common with what they stand against,
repeat by repeat; Welch's of the logarithms for a ratio. Where a run ended before its
target, its epochs are the least it would take, and the interval is open on that side (∞).

What the rule does not do:

- The interval covers what seeds decide: initial values, order, crops, dropout. All variants share their test images, and
  another set of test images would move them too.
- Each interval holds for itself at {_PERCENT}. Of twenty comparisons without any effect one falls outside by chance.
- "Reproduced" says that the direction is right at this scale, and not that the size is the paper's. That is given beside each,
  with whether it lies inside the interval, or is larger or smaller than all of it.
- Networks at the smaller scales are narrower and trained for a few epochs, or updates, which favours whatever learns faster.
- Only `imagenet` has the data that the paper's network is about (`small` and `cifar` have fig. 1's and §3.3's, as a JPEG copy
  where it says so), and no smaller scale says what happens there. `imagenette` has its widths and epochs with a hundredth of
  its images.
"""


def write(found: Found, path: Path) -> list[Path]:
    """Write the page and its pictures, these into a folder beside it, page.md -> page/NAME.png; returns their paths.

    Raises InputError for a path that is no .md file in a folder that is there.
    """
    if path.suffix != ".md" or not path.parent.is_dir():
        raise InputError(f"--out {path}: the page is a .md file in a folder that is there")
    made = []
    for name, figure in pictures(found).items():
        to = path.with_suffix("") / f"{name}.png"
        to.parent.mkdir(exist_ok=True)
        picture.save(figure, to)
        made.append(to)
    write_text(path, markdown(found, path.stem))
    return made


def pictures(found: Found) -> dict[str, Figure]:
    """The page's pictures by name: fig. 1 for each scale that has it, and the comparisons of each scale."""
    made = {name: figures.figure_1(result) for name, result in _curves(found).items()}
    return made | {f"overview-{scale}": figures.overview(of) for scale, of in _compared(found).items()}


def picture_names(found: Found) -> list[str]:
    """The names of `pictures`, without drawing them."""
    return [*_curves(found), *(f"overview-{scale}" for scale in _compared(found))]


def _curves(found: Found) -> dict[str, Result]:
    return {
        f"{id}-{scale}": result for id, by in found.items() for scale, result in by.items() if result.target is not None
    }


def _compared(found: Found) -> dict[str, list[Result]]:
    by_scale: dict[str, list[Result]] = {}
    for result in ledger.with_results(found):
        if ledger.outcomes(result):
            by_scale.setdefault(result.scale, []).append(result)
    return by_scale


def markdown(found: Found, folder: str) -> str:
    """The page as text; `folder` is what its pictures' folder is called. The same results give the same text."""
    return "\n".join(_lines(found, folder)).rstrip() + "\n"


def _lines(found: Found, folder: str) -> Iterator[str]:
    yield "# Every claim of the paper"
    yield ""
    yield "Written by `alexnet claims page` from the result files in `src/alexnet/claims/results`; no figure is typed by hand."
    yield "`alexnet claims` prints the ledger, `alexnet claims show ID` every figure of a claim, seed by seed, and"
    yield "`alexnet claims run ID --scale SCALE` makes its result again. Errors are in %, differences in points; lower is better."
    yield ""
    yield "## How a verdict comes about"
    yield ""
    yield _RULE
    yield "## Scales"
    yield ""
    cells = []
    for scale, have, of, seconds in ledger.costs(found):
        took = f"{have} of {of}" + (f", {ledger.duration(seconds)}" if seconds else "")
        cells.append((f"`{scale.name}`", scale.what, scale.data, scale.cost, took))
    headings = ("scale", "what", "data", "cost", "claims measured, time of their runs")
    yield from _table(Table("", headings, tuple(cells)))
    yield "Runs that several claims share are trained once. `alexnet claims run --all --scale imagenet --plan` counts what a scale"
    yield "would take, without data."
    yield ""
    yield "## The ledger"
    yield ""
    yield from _ledger(found)
    for name, compared in _compared(found).items():
        verdicts = Counter(one.verdict for result in compared for one in ledger.outcomes(result))
        counts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items(), key=_order))
        yield f"Scale `{name}`, {len(compared)} claims, {verdicts.total()} comparisons: {counts}."
        yield ""
        yield f"![Every comparison at scale {name}]({folder}/overview-{name}.png)"
        yield ""
        yield f"*Scale `{name}`: every comparison with its interval. Hollow points have none.*"
        yield ""
    yield "## Claim by claim"
    yield ""
    for claim in claims.values():
        measured = {scale: result for scale, result in found[claim.id].items() if ledger.outcomes(result)}
        if not measured:
            continue
        yield f"### {claim.id}"
        yield ""
        yield f"{claim.section}: {claim.says}."
        said = [
            f"{name}: {text}." for name, text in (("The paper", claim.paper), ("The 2012 log", claim.logged)) if text
        ]
        if said:
            yield " ".join(said)
        if claim.note:
            yield claim.note
        yield ""
        for name, result in measured.items():
            yield from _claim(result, folder, f"{claim.id}-{name}" if result.target is not None else None)


def _order(counted: tuple[Verdict, int]) -> int:
    return get_args(Verdict).index(counted[0])


def _ledger(found: Found) -> Iterator[str]:
    cells = []
    for claim in claims.values():
        lines = []
        for scale, result in found[claim.id].items():
            compared = ledger.outcomes(result)
            lines += [f"`{scale}`, {ledger.seeds(compared)}:"] if compared else []
            lines += [
                f"{ledger.label(one.comparison, claim)} {ledger.measured(one)} **{one.verdict.removesuffix(' at this scale')}**"
                for one in compared
            ]
        name = f"[{claim.id}](#{_anchor(claim.id)})" if lines else claim.id
        measured = "<br>".join(lines) or ledger.state(claim, found[claim.id])
        cells.append((name, claim.section, claim.says, claim.paper, claim.logged, measured))
    headings = ("id", "from", "claim", "paper", "2012 log", "measured, 95% interval, verdict")
    yield from _table(Table("", headings, tuple(cells)))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _claim(result: Result, folder: str, figure: str | None) -> Iterator[str]:
    yield f"**Scale `{result.scale}`.**"
    yield ""
    for block in (
        *ledger.comparisons(result),
        # Where networks train long enough to overfit, the training error belongs beside the test error.
        ledger.values(result, all_errors=scales[result.scale].ten_crops),
        *ledger.searched(result),
        ledger.changes(result),
    ):
        if isinstance(block, str):
            yield f"{block}\n"
        elif block.title == "Comparisons":
            yield from _table(block)
        else:
            yield f"{block.title}:\n"
            yield from _table(block)
    if figure:
        yield f"![Training error over epochs]({folder}/{figure}.png)"
        yield ""
        yield "*Fig. 1: training error over epochs, the mean over seeds and, thin, every seed; the line is the target.*"
        yield ""
    (_, command), *rest = ledger.origin(result).rows
    yield f"`{command}`; " + "; ".join(f"{name} {text}" for name, text in rest) + "."
    yield ""


def _table(table: Table) -> Iterator[str]:
    """Markdown, its cells on one line each."""
    for row in (table.headings, ("---",) * len(table.headings), *table.rows):
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""
