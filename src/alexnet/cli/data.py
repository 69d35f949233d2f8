"""alexnet prepare, data: images into a prepared dataset, and a look at one."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table
from tyro.conf import Positional

from alexnet.cli.console import err, out, out_line, print_json, show
from alexnet.cli.progress import Bar
from alexnet.errors import InputError

if TYPE_CHECKING:
    from alexnet.data.prepare import Progress
    from alexnet.data.prepared import Prepared
    from alexnet.data.sources.source import Source
    from alexnet.insight.dataset import DatasetReport


def prepare(
    source: Positional[str],
    dest: Positional[Path],
    size: int | None = None,
    max_bad: float = 0.01,
    workers: int | None = None,
    store: Literal["raw", "jpeg"] = "raw",
    quality: int = 95,
    classes: tuple[str, ...] = (),
    cluster: str | None = None,
    plan: bool = False,
    machines: int | None = None,
    as_images: int | None = None,
    as_classes: int | None = None,
    json: bool = False,
) -> int:
    """Turn a source of labelled images into a prepared dataset: shorter side to 256, central crop, RGB (§2).

    Killed at any moment, the same command goes on where it was; on a finished dataset it does nothing.

    Args:
        source: a folder of class folders; a folder with the ILSVRC-2012 archives; a tar per class, in a folder or in one
            tar (Fall 2011); a .csv, .tsv, .json or .txt that lists paths and labels; hf:NAME or .parquet files; an .npz of
            arrays; or "builtin", photographs that come with the dependencies.
        dest: folder of the prepared dataset.
        size: side of the prepared images in pixels; by default 256 (64 for the built-in set).
        max_bad: share of unreadable images above which the command fails.
        workers: threads that decode; by default one a core. With --cluster, those of one task: by default 4.
        store: raw keeps the pixels, fastest to read; jpeg keeps JPEGs, in about a sixth of the space.
        quality: of those JPEGs, 1 to 100.
        classes: only these classes of the source, by name or WordNet id; by default all.
        cluster: in shards over the machines of a Ray cluster, whose address is this: auto for the one that this machine is
            in, local to start one on this machine. SOURCE and DEST lie on storage that all machines see.
        plan: write nothing; say how many images there are, and what preparing them takes in space and time, measured by
            preparing a few hundred of them in memory.
        machines: of the plan: like this one, in a cluster; by default 1.
        as_images: of the plan: as if the source had so many such images.
        as_classes: of the plan: in so many classes.
        json: print one JSON document on stdout.
    """
    for option, value in (("machines", machines), ("as-images", as_images), ("as-classes", as_classes)):
        if value is not None and not plan:
            raise InputError(f"--{option} {value}: belongs to --plan; give that too")
    opened = _open(source, classes, bool(cluster))
    if plan:
        from alexnet.data.plan import plan as plan_of

        planned = plan_of(opened, dest, size, store, quality, workers, machines or 1, as_images, as_classes)
        show(planned, json, *planned.lines())
        return 0
    done = _prepare(opened, dest, cluster, workers=workers, size=size, max_bad=max_bad, store=store, quality=quality)
    if json:
        print_json(done.to_dict())
    else:
        _print_prepared(done)
    return 0


def _open(source: str, classes: tuple[str, ...], for_workers: bool) -> "Source":
    from alexnet.data.sources import open_source
    from alexnet.data.sources.source import only_class
    from alexnet.device import keep_memory

    keep_memory()
    if for_workers and Path(source).expanduser().exists():
        source = str(Path(source).expanduser().absolute())  # they stand in other folders
    opened = open_source(source, classes)
    if len(opened.classes) == 1:
        err.print(f"alexnet prepare: {only_class(opened.classes[0])}", soft_wrap=True)
    return opened


def _prepare(source: "Source", dest: Path, cluster: str | None, **options: Any) -> "Prepared":
    err.print(f"{source.description} → {dest}", soft_wrap=True)
    if (dest / "manifest.json").is_file():
        err.print("already prepared; checking that it is this source")
    if cluster:
        from alexnet.data.cluster import prepare_on

        make: Callable[..., Prepared] = partial(prepare_on, cluster)
    else:
        from alexnet.data.prepare import prepare as make
    with Bar("images", err) as bar:

        def show(now: "Progress") -> None:
            speed = f"{now.images_per_second:,.0f} images/s" if now.images_per_second else "there already"
            bar.update(now.split, now.done, now.total, speed, now.seconds_left, now.skipped)

        return make(source, dest, progress=show, **options)


def _print_prepared(done: "Prepared") -> None:
    facts, passed = done.to_dict(), done.passed_over
    for name, part in facts["splits"].items():
        out.print(f"{name}: {part['images']:,} images of {len(done.classes)} classes, {len(part['skipped'])} skipped")
    if passed:
        out_line(f"passed over: {passed}")
    if passed.fix:
        err.print(f"alexnet prepare: {passed.fix}", soft_wrap=True)
    for item in facts["skipped"][:10]:
        out_line(f"skipped {item['file']}: {item['reason']}")
    if len(facts["skipped"]) > 10:
        out.print(f"... and {len(facts['skipped']) - 10} more, all in {done.path / 'manifest.json'}")


def data(dest: Positional[Path], sheet: Path | None = None, json: bool = False) -> int:
    """Describe a prepared dataset, check it against its checksums, and draw a contact sheet.

    Args:
        dest: folder of the prepared dataset.
        sheet: where to draw the contact sheet; by default contact-sheet.png in the dataset's folder.
        json: print one JSON document on stdout.
    """
    from alexnet.insight.dataset import report_dataset

    report = report_dataset(dest, sheet)
    if report.no_sheet:
        err.print(f"no contact sheet: {report.no_sheet}", soft_wrap=True)
    if json:
        print_json(report.to_dict())
    else:
        _print_report(report)
    for problem in report.problems:
        err.print(f"alexnet data: {problem}", soft_wrap=True)
    return 2 if report.problems else 0


def _print_report(report: "DatasetReport") -> None:
    facts = report.facts
    out.print(
        f"{facts['source']}, prepared at {facts['size']}×{facts['size']}"
        f"{', JPEGs of quality ' + str(facts['quality']) if facts['quality'] else ''}, {facts['bytes'] / 1e6:,.0f} MB"
    )
    table = Table("class", *facts["splits"])
    for column in table.columns[1:]:
        column.justify = "right"
    for name in facts["classes"][:100]:
        table.add_row(name, *(f"{part['per_class'][name]:,}" for part in facts["splits"].values()))
    table.add_section()
    table.add_row("all", *(f"{part['images']:,}" for part in facts["splits"].values()), style="bold")
    table.add_row("skipped", *(f"{len(part['skipped']):,}" for part in facts["splits"].values()))
    out.table(table)
    if len(facts["classes"]) > 100:
        out.print(f"the first 100 of {len(facts['classes'])} classes")
    if report.passed_over:
        out.print(f"passed over when it was prepared: {report.passed_over}")
    rgb, roots = (", ".join(f"{value:.2f}" for value in facts[key]) for key in ("mean_colour", "eigenvalue_roots"))
    out.print(f"mean colour (RGB, 0-255): {rgb}")
    out.print(f"standard deviation along the principal components of RGB: {roots}")
    if not report.problems:
        out.print("whole: sizes, labels and checksums are right")
    if report.sheet:
        out_line(f"contact sheet: {report.sheet}")
