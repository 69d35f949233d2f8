"""alexnet prepare, data: images into a prepared dataset, and a look at one."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from tyro.conf import Positional

from alexnet.cli.console import err, out, out_line, print_json
from alexnet.cli.progress import Bar
from alexnet.errors import InputError
from alexnet.files import refused


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
    from alexnet.data.prepare import prepare as prepare_images
    from alexnet.data.sources import open_source
    from alexnet.data.sources.chosen import choose
    from alexnet.data.sources.source import only_class
    from alexnet.device import keep_memory

    for option, value in (("machines", machines), ("as-images", as_images), ("as-classes", as_classes)):
        if value is not None and not plan:
            raise InputError(f"--{option} {value}: belongs to --plan; give that too")
    keep_memory()
    if cluster and Path(source).expanduser().exists():
        source = str(Path(source).expanduser().absolute())  # workers stand in other folders
    opened = open_source(source)
    opened = choose(opened, classes) if classes else opened
    if len(opened.classes) == 1:
        err.print(f"alexnet prepare: {only_class(opened.classes[0])}", soft_wrap=True)
    if plan:
        from alexnet.data.plan import plan as plan_of

        number = 1 if machines is None else machines
        planned = plan_of(opened, dest, size, store, quality, workers, number, as_images, as_classes)
        if json:
            print_json(planned.to_dict())
            return 0
        for line in planned.lines():
            out_line(line)
        return 0
    err.print(f"{opened.description} → {dest}", soft_wrap=True)
    if (dest / "manifest.json").is_file():
        err.print("already prepared; checking that it is this source")
    with ExitStack() as stack:
        make: Callable[..., Any] = partial(prepare_images, workers=workers)
        if cluster:
            from alexnet.data import cluster as clusters

            make = partial(clusters.prepare, crew=stack.enter_context(clusters.ray_crew(cluster, workers)))
        bar = stack.enter_context(Bar("images", err))
        done = make(
            opened,
            dest,
            size=size,
            max_bad=max_bad,
            store=store,
            quality=quality,
            progress=lambda now: bar.update(
                now.split, now.done, now.total, _speed(now.images_per_second), now.seconds_left, now.skipped
            ),
        )
    all_skipped = [item for name in done.splits for item in done.manifest["splits"][name]["skipped"]]
    splits = {
        name: {"images": part["images"], "skipped": part["skipped"], "classes": list(done.classes)}
        for name, part in done.manifest["splits"].items()
    }
    passed = done.passed_over
    if json:
        document = {
            "path": str(dest),
            "size": done.size,
            "classes": list(done.classes),
            "passed_over": passed.to_json(),
        }
        totals = {"images": sum(part["images"] for part in splits.values()), "skipped": all_skipped}
        print_json({**document, **totals, "splits": splits, **splits})
        return 0
    for name, part in splits.items():
        out.print(f"{name}: {part['images']:,} images of {len(done.classes)} classes, {len(part['skipped'])} skipped")
    if passed:
        out_line(f"passed over: {passed}")
    if passed.fix:
        err.print(f"alexnet prepare: {passed.fix}", soft_wrap=True)
    for item in all_skipped[:10]:
        out_line(f"skipped {item['file']}: {item['reason']}")
    if len(all_skipped) > 10:
        out.print(f"... and {len(all_skipped) - 10} more, all in {dest / 'manifest.json'}")
    return 0


def _speed(images_per_second: float) -> str:
    return f"{images_per_second:,.0f} images/s" if images_per_second else "there already"


def data(dest: Positional[Path], sheet: Path | None = None, json: bool = False) -> int:
    """Describe a prepared dataset, check it against its checksums, and draw a contact sheet.

    Args:
        dest: folder of the prepared dataset.
        sheet: where to draw the contact sheet; by default contact-sheet.png in the dataset's folder.
        json: print one JSON document on stdout.
    """
    from alexnet.data import prepared as prepared_sets
    from alexnet.insight import contact_sheet

    opened = prepared_sets.open(dest)
    problems = opened.check()
    picture = None if problems else sheet or dest / "contact-sheet.png"
    if picture:
        shown = opened.sample(opened.splits[0], 6 if len(opened.classes) <= 20 else 1)
        try:
            contact_sheet.draw(shown.images[:], [opened.classes[label] for label in shown.labels], picture)
        except OSError as error:  # a dataset that may be read only is as good
            if sheet:
                raise
            err.print(f"no contact sheet ({refused(error)}); name a place for it with --sheet", soft_wrap=True)
            picture = None
    if json:
        print_json({**opened.describe(), "problems": problems, "sheet": picture and str(picture)})
    else:
        facts = opened.describe()
        out.print(
            f"{facts['source']}, prepared at {facts['size']}×{facts['size']}"
            f"{', JPEGs of quality ' + str(facts['quality']) if facts['quality'] else ''}, {facts['bytes'] / 1e6:,.0f} MB",
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
        if passed := opened.passed_over:
            out.print(f"passed over when it was prepared: {passed}")
        rgb, roots = (", ".join(f"{value:.2f}" for value in facts[key]) for key in ("mean_colour", "eigenvalue_roots"))
        out.print(f"mean colour (RGB, 0-255): {rgb}")
        out.print(f"standard deviation along the principal components of RGB: {roots}")
        if not problems:
            out.print("whole: sizes, labels and checksums are right")
        if picture:
            out_line(f"contact sheet: {picture}")
    for problem in problems:
        err.print(f"alexnet data: {problem}", soft_wrap=True)
    return 2 if problems else 0
