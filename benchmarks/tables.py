"""Writes the tables of docs/{performance,scaling,preparing,install}.md from benchmarks/results/*.json: none is typed by hand.

    python benchmarks/tables.py [--check]

A line `<!-- results: NAME -->` in the page is followed by the table of results/NAME.json, up to `<!-- end -->`; the line
`<!-- targets -->` by what was to be reached (targets.json) and was. With --check nothing is written, and the exit code is 1
if a page is not what the results give.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = [HERE.parent / "docs" / f"{name}.md" for name in ("performance", "scaling", "preparing", "install")]
TARGETS = re.compile(r"(<!-- targets -->\n).*?(<!-- end -->)", re.DOTALL)

PLACE = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """Where the figures come from, and a line for each; or, of a model, its table as it is."""
    if "table" in result:
        heading, *rows = result["table"]
        lines = [f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows)]
        return "\n".join([f"`{result['command']}`", "", *lines]) + "\n"
    machine = result["machine"]
    can = machine["capability"] + (f", bf16 by {machine['bf16']}" if "bf16" in machine else "")
    where = f"{machine['cpu']} ({can}), {machine['threads']} threads, torch {machine['torch']}"
    # What becomes of freed blocks is the C library's matter, and counts on the CPU alone.
    how = f"; blocks {machine['allocator']}" if "allocator" in machine else ""
    on = f"{machine['gpu']}, CUDA {result.get('cuda')}; " if "gpu" in machine else ""
    lines = [
        f"`{result['command']}`, commit {result['commit']}; {on}{where}{how}",
        "",
        "| | median | lowest | highest | rounds |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        figures = " | ".join(number(row[which], row["unit"]) for which in ("median", "low", "high"))
        note = f" ({row['note']})" if row["note"] else ""
        lines.append(f"| {row['name']}{note} | {figures} | {row['rounds']} |")
    if result.get("unchecked"):
        lines += ["", "**These kernels had not passed their tests.**"]
    if result.get("left out"):
        lines += ["", "Left out: " + "; ".join(result["left out"]) + "."]
    return "\n".join(lines) + "\n"


def number(value: float, unit: str) -> str:
    """Three digits at least, error rates to a hundredth, with the unit."""
    if unit == "% error":
        digits = f"{value:.2f}"
    else:
        digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return f"{digits} {unit}".strip() if unit not in ("×", "x", "times") else f"{digits}×"


def targets() -> str:
    """What was to be reached, what was measured, and whether it was."""
    lines = ["| | at least | aim | measured | lowest to highest | |", "|---|---|---|---|---|---|"]
    for target in json.loads((HERE / "targets.json").read_text()):
        rows = json.loads((HERE / "results" / f"{target['result']}.json").read_text())["rows"]
        row = next(row for row in rows if row["name"] == target["row"])
        least, aim = target["least"], target["aim"]
        # The aim lies beyond the least, above it or, where less is better, below.
        beyond = [abs(aim - least) * (row["median"] - wanted) / (aim - least) >= 0 for wanted in (aim, least)]
        reached = "aim reached" if beyond[0] else "reached" if beyond[1] else "**missed**"
        cells = [number(value, row["unit"]) for value in (least, aim, row["median"], row["low"], row["high"])]
        lines.append(
            f"| {target['what']} | {cells[0]} | {cells[1]} | {cells[2]} | {cells[3]} to {cells[4]} | {reached} |"
        )
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its tables as the results give them."""

    def filled(place: re.Match[str]) -> str:
        kept = HERE / "results" / f"{place[2]}.json"
        made = table(json.loads(kept.read_text())) if kept.exists() else "Not measured yet.\n"
        return f"{place[1]}{made}{place[3]}"

    return PLACE.sub(filled, TARGETS.sub(lambda place: f"{place[1]}{targets()}{place[2]}", text))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is not up to date")
    check, stale = parser.parse_args().check, 0
    for each in PAGES:
        before = each.read_text()
        after = page(before)
        if not check:
            each.write_text(after)
        elif before != after:
            print(f"docs/{each.name} is not what benchmarks/results give: python benchmarks/tables.py", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
