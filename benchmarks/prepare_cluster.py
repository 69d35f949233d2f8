"""`alexnet prepare --cluster` with two workers on this machine against plain `prepare` with two threads; same bytes.

    python benchmarks/prepare_cluster.py [--images FOLDER] [--processes 1] [--save]

Both read the same folder of photographs of 500×375 (those of prepare_speed.py, each several times; FOLDER may hold any
JPEGs) and write a whole dataset to the disk. Workers have one thread each and are started before the time is taken: what
is left is what shards cost: an interpreter more, every byte written, read and written again, checksums twice, waiting
for the last shard. Ray's own start is a row by itself. `--processes 1` takes processes of this machine in place of
Ray's. About two minutes.
"""

import multiprocessing
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from measure import Row, arguments, finish, in_turn, ratios, row
from prepare_speed import write_photographs

from alexnet.data import cluster
from alexnet.data.prepare import prepare
from alexnet.data.sources import open_source

COPIES = 10


def warm(seconds: float) -> int:
    """A task that brings up a worker with all it imports, its loops compiled, and leaves the others theirs."""
    from alexnet.data.image import to_square
    from alexnet.data.statistics import products_of

    products_of(to_square(np.zeros((375, 500, 3), np.uint8), 256))
    time.sleep(seconds)
    return os.getpid()


def main() -> None:
    given = arguments(__doc__, images="", processes=0, repeats=3)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder, dest = Path(given.images or Path(temporary) / "in"), Path(temporary) / "out"
        if not given.images:
            write_photographs(folder / "0")
            for copy in range(1, COPIES):
                shutil.copytree(folder / "0", folder / str(copy))
        source = open_source(str(folder))
        number, begun = source.count("train"), time.perf_counter()
        if given.processes:
            pool = stack.enter_context(ProcessPoolExecutor(2, multiprocessing.get_context("spawn")))
            crew = cluster.Crew(pool.submit, 2)
        else:
            crew = stack.enter_context(cluster.ray_crew("local", 1))
            crew = cluster.Crew(crew.submit, 2, 1, crew.share)
        for future in [crew.submit(warm, 1.0) for _ in range(2)]:
            future.result()
        rows: list[Row] = [row("the workers' start", [time.perf_counter() - begun - 1.0], "s", "once a command")]

        def plain() -> float:
            begun = time.perf_counter()
            prepare(source, dest, workers=2)
            return time.perf_counter() - begun

        def shards() -> float:
            begun = time.perf_counter()
            cluster.prepare(source, dest, crew)
            return time.perf_counter() - begun

        made: dict[str, str] = {}

        def one_round(name: str) -> float:
            seconds = {"plain": plain, "shards": shards}[name]()
            made[name] = (dest / "manifest.json").read_text()  # it has the checksums of all pixels
            shutil.rmtree(dest)
            return seconds

        seconds = in_turn({name: lambda name=name: one_round(name) for name in ("plain", "shards")}, given.repeats, 0)  # type: ignore[misc]
        if made["plain"] != made["shards"]:
            raise SystemExit("the two manifests differ")
        rows.append(
            row("prepare, two threads", [number / s for s in seconds["plain"]], "images/s", f"{number:,} images")
        )
        rows.append(
            row("in shards, two workers", [number / s for s in seconds["shards"]], "images/s", "the same bytes")
        )
        rows.append(row("in shards, against two threads", ratios(seconds["shards"], seconds["plain"]), "times"))
        overhead = [100 * (s / p - 1) for s, p in zip(seconds["shards"], seconds["plain"], strict=True)]
        rows.append(row("what shards cost", overhead, "% more time"))
    finish("prepare_cluster", rows, given)


if __name__ == "__main__":
    main()
