"""Exact nearest neighbours in 4096 features that lie in a file: `alexnet similar`'s search, a plain loop, and faiss.

    python benchmarks/neighbours.py [--rows 131072] [--queries 6] [--count 6] [--save]

Each form in a process of its own, on one file that the kernel keeps in memory (its cache), in turn. The rows are random, as
features are after a ReLU; their distances lie closer together than those of photographs, which is the harder case for a search
that computes candidates again. "ours" is exact to float64's direct sums; the others return what float32 products give.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import Peer, arguments, finish, have_peers, in_turn, ratios, row

from alexnet.insight.features import _read
from alexnet.insight.search import nearest

FEATURES = 4096
IMAGENET = 1_281_167
"""Training images of ILSVRC-2012."""


def write_rows(path: Path, rows: int) -> None:
    """A file of float32 [rows, 4096], about half of them 0."""
    generator = torch.Generator().manual_seed(0)
    with path.open("wb") as file:
        for start in range(0, rows, 4096):
            block = torch.randn(min(4096, rows - start), FEATURES, generator=generator).relu()
            file.write(block.numpy().data)


def one(form: str, path: Path, number: int, count: int) -> Callable[[], object]:
    """A round of a form: from the file to the answer."""
    rows = np.memmap(path, np.float32, "c").reshape(-1, FEATURES)
    queries = torch.from_numpy(np.array(rows[-number:])) + 0.25

    def plain() -> None:
        own = queries.numpy()
        best, where = np.full((number, 0), np.inf, np.float32), np.zeros((number, 0), np.int64)
        for start in range(0, len(rows), 4096):
            block = rows[start : start + 4096]
            squares = (own**2).sum(axis=1)[:, None] - 2 * own @ block.T + (block**2).sum(axis=1)
            best, where = (
                np.hstack([best, squares]),
                np.hstack([where, start + np.tile(np.arange(len(block)), (number, 1))]),
            )
            order = best.argpartition(count, axis=1)[:, :count]
            best, where = np.take_along_axis(best, order, axis=1), np.take_along_axis(where, order, axis=1)

    def by_torch() -> None:
        best, where = torch.empty(number, 0), torch.empty(number, 0, dtype=torch.int64)
        for start in range(0, len(rows), 4096):
            squares, found = torch.cdist(queries, torch.from_numpy(rows[start : start + 4096])).topk(
                count, largest=False
            )
            best, order = torch.cat([best, squares], dim=1).topk(min(count, best.shape[1] + count), largest=False)
            where = torch.cat([where, found + start], dim=1).gather(1, order)

    return {
        "ours": lambda: nearest(queries, _read(path, FEATURES), count),
        "plain loop, numpy": plain,
        "plain loop, torch.cdist": by_torch,
    }[form]


def memory(peer: Peer) -> float:
    """Peak MB of a peer's process in one more round, the pages of the file that it has mapped among them."""
    folder = Path(f"/proc/{peer.process.pid}")
    (folder / "clear_refs").write_text("5")
    peer()
    return next(int(line.split()[1]) / 1e3 for line in (folder / "status").read_text().splitlines() if "VmHWM" in line)


def main() -> None:
    if "--one" in sys.argv:
        sys.path.insert(0, str(Path(__file__).parent / "peers"))
        from serve import keep_memory, serve

        form, path, number, count, threads = sys.argv[2:]
        keep_memory()
        torch.set_num_threads(int(threads))
        serve(one(form, Path(path), int(number), int(count)))
        return
    given = arguments(__doc__, rows=131072, queries=6, count=6, repeats=7)
    threads = str(torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.bin"
        write_rows(path, given.rows)
        ends = [str(path), str(given.queries), str(given.count), threads]
        forms: dict[str, Callable[[], float]] = {
            name: Peer("neighbours.py", "--one", name, *ends, python=sys.executable)
            for name in ("ours", "plain loop, numpy", "plain loop, torch.cdist")
        }
        for form, name in (("blocks", "faiss.knn, block by block"), ("index", "faiss IndexFlatL2, all in memory")):
            if have_peers():
                forms[name] = Peer("peers/faiss_flat.py", form, str(path), str(FEATURES), *ends[1:])
        seconds = in_turn(forms, given.repeats)
        peaks = {name: [memory(peer)] for name, peer in forms.items() if isinstance(peer, Peer)}
        for peer in forms.values():
            assert isinstance(peer, Peer)
            peer.close()
    size = given.rows * FEATURES * 4 / 1e9
    rows = [row(f"{name}", [size / s for s in taken], "GB/s") for name, taken in seconds.items()]
    rows += [row(f"ours against {name}", ratios(seconds["ours"], seconds[name]), "×") for name in list(seconds)[1:]]
    rows += [row(f"peak memory: {name}", values, "MB") for name, values in peaks.items()]
    whole = [s * IMAGENET / given.rows for s in seconds["ours"]]
    rows.append(row("ours, 1,281,167 rows at that speed", whole, "s", f"{IMAGENET * FEATURES * 4 / 1e9:.0f} GB"))
    finish(f"neighbours-{given.queries}", rows, given)


if __name__ == "__main__":
    main()
