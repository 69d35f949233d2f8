"""The page of all claims, docs/claims.md: everything on it follows from the claims and the result files."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from alexnet.claims import figures, ledger, phrases, tables
from alexnet.claims.claims import claims
from alexnet.claims.ledger import AllResults, Row
from alexnet.claims.records import Result
from alexnet.claims.scales import scales
from alexnet.claims.tables import PERCENT, Table
from alexnet.claims.verdicts import LEAST_SEEDS, Verdict
from alexnet.errors import InputError
from alexnet.extras import need
from alexnet.files import write_text
from alexnet.insight import picture
from alexnet.words import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Page:
    """The files that were written."""

    page: Path
    pictures: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """The paths for JSON."""
        return {"page": str(self.page), "pictures": [str(path) for path in self.pictures]}


def write(all_results: AllResults, path: Path) -> Page:
    """Write the page and its pictures, these into a folder beside it, page.md -> page/NAME.png.

    Raises InputError for a path that is no .md file in a folder that is there, and without the packages of the extra `report`.
    """
    need("report")
    if path.suffix != ".md" or not path.parent.is_dir():
        raise InputError(f"--out {path}: the page is a .md file in a folder that is there")
    written = []
    for name, figure in pictures(all_results).items():
        to = path.with_suffix("") / f"{name}.png"
        to.parent.mkdir(exist_ok=True)
        picture.save(figure, to)
        written.append(to)
    write_text(path, markdown(all_results, path.stem))
    return Page(path, tuple(written))


def pictures(all_results: AllResults) -> dict[str, "Figure"]:
    """The page's pictures by name: fig. 1 for each scale that has it, and the comparisons of each scale."""
    curves = (result for by_scale in all_results.values() for result in by_scale.values() if result.target is not None)
    drawn = {f"{result.claim}-{result.scale}": figures.figure_1(result) for result in curves}
    return drawn | {f"overview-{scale}": figures.overview(results) for scale, results in _compared(all_results).items()}


def _compared(all_results: AllResults) -> dict[str, list[Result]]:
    by_scale: dict[str, list[Result]] = {}
    for result in (result for id in claims for result in all_results[id].values()):
        if ledger.outcomes(result):
            by_scale.setdefault(result.scale, []).append(result)
    return by_scale


def markdown(all_results: AllResults, folder: str) -> str:
    """The page as text; `folder` is what its pictures' folder is called. The same results give the same text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is no HTML
    )
    return templates.get_template("page.md").render(
        folder=folder,
        percent=PERCENT,
        least_seeds=LEAST_SEEDS,
        scales=_scales(all_results).markdown(),
        ledger=_ledger(ledger.rows(all_results)).markdown(),
        overviews={scale: _counts(results) for scale, results in _compared(all_results).items()},
        claims=[(claim, results) for claim in claims.values() if (results := _results(all_results[claim.id]))],
    )


def _scales(all_results: AllResults) -> Table:
    cells = []
    for scale, measured, number, seconds in ledger.costs(all_results):
        took = f"{measured} of {number}" + (f", {duration(seconds)}" if seconds else "")
        cells.append((f"`{scale.name}`", scale.description, scale.data, scale.cost, took))
    return Table("", ("scale", "what", "data", "cost", "claims measured, time of their runs"), tuple(cells))


def _ledger(rows: list[Row]) -> Table:
    cells = []
    for row in rows:
        lines, claim = [], row.claim
        for scale, seeds, compared in row.measured():
            lines += [f"`{scale}`, {seeds}:"]
            lines += [
                f"{label} {phrases.measured(outcome)} **{outcome.verdict.removesuffix(' at this scale')}**"
                for label, outcome in compared
            ]
        anchor = re.sub(r"[^\w -]", "", claim.id.lower()).replace(" ", "-")
        name = f"[{claim.id}](#{anchor})" if lines else claim.id
        cells.append((name, claim.section, claim.says, claim.paper, claim.logged, "<br>".join(lines) or row.state))
    headings = ("id", "from", "claim", "paper", "2012 log", "measured, 95% interval, verdict")
    return Table("", headings, tuple(cells))


def _counts(results: list[Result]) -> dict[str, Any]:
    verdicts = Counter(outcome.verdict for result in results for outcome in ledger.outcomes(result))
    counts = [f"{verdicts[verdict]} {verdict}" for verdict in get_args(Verdict) if verdict in verdicts]
    return {"claims": len(results), "comparisons": verdicts.total(), "verdicts": ", ".join(counts)}


def _results(by_scale: dict[str, Result]) -> list[dict[str, Any]]:
    """What the page says of a claim at each scale at which it is measured."""
    shown = []
    for result in (result for result in by_scale.values() if ledger.outcomes(result)):
        # Where networks train long enough to overfit, the training error belongs beside the test error.
        values = tables.values(result, all_errors=scales[result.scale].ten_crops)
        (_, command), *rest = tables.origin(result).rows
        shown.append(
            {
                "result": result,
                "compared": tables.comparisons(result),
                "tables": (values, *tables.searched(result), tables.changes(result)),
                "command": command,
                "origin": "; ".join(f"{name} {text}" for name, text in rest),
            }
        )
    return shown
