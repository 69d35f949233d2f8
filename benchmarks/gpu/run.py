"""Everything that needs a GPU, in one call, on a machine that has one for some minutes; the same call goes on where it was.

    PYTHONPATH=src python3 -m benchmarks.gpu.run --out runs/gpu --minutes 8 --data imagenette

Each piece is worth having alone, and writes OUT/gpu-PIECE.json when it is done; a piece whose file is there is skipped. Pieces are
child processes: one that fails, or takes longer than its limit, is ended and noted, and the next goes on. OUT has what is to be
brought home: small files, conv1's kernels, the best run's weights in float16; --work the run folders, which may be left behind.
"""

import argparse
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from alexnet.files import write_text
from alexnet.run import checkpoint, metrics
from benchmarks.measure import Row, document, row

ROOT = Path(__file__).resolve().parents[2]
TESTS = [f"tests/{room}/test_gpu.py" for room in ("network", "data", "training")] + ["tests/training/test_step.py"]
CLAIMS = ("lrn", "depth", "dropout")
GRACE = 20.0
"""Seconds between asking a child to stop, which lets a training write its checkpoint, and killing it."""
LEAST = 5.0
"""Seconds below which nothing is begun."""
VISITS = 1_280_000
PARTS = {1: 240.0, 2: 300.0, 3: math.inf}
"""Seconds that the pieces of a part have together."""


class Failed(Exception):
    """Why a piece has no result."""


@dataclass
class Call:
    """What a call works with."""

    out: Path
    work: Path
    data: Path | None
    rehearsal: bool
    ends: float = 0.0
    """When the piece that is under way has to be done, by time.monotonic()."""
    children: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *words: str | Path) -> subprocess.Popen:
        """python -m WORDS, in a session of its own, so that it can be ended with all that it starts."""
        path = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        with (
            self._log(len(self.children), "out").open("w") as out,
            self._log(len(self.children), "err").open("w") as err,
        ):
            child = subprocess.Popen(
                [sys.executable, "-m", *map(str, words)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.children.append(child)
        return child

    def _log(self, number: int, kind: str) -> Path:
        return self.work / f"{number}.{kind}"

    def finish(self, *children: subprocess.Popen) -> list[str]:
        """What they printed, once all have ended. Raises Failed for one that failed, or is not done in time."""
        printed = []
        for child in children:
            try:
                code = child.wait(max(0.1, self.ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.end()
                raise Failed("its time was up") from None
            number = self.children.index(child)
            printed.append(self._log(number, "out").read_text())
            if code:
                said = (text.strip()[-1500:] for text in (printed[-1], self._log(number, "err").read_text()))
                raise Failed(f"exit code {code}: " + "\n".join(said))
        return printed

    def do(self, *words: str | Path) -> str:
        """Start one child and wait for it."""
        return self.finish(self.start(*words))[0]

    def end(self) -> None:
        """End every child that still runs: asked first, then killed."""
        running = [child for child in self.children if child.poll() is None]
        for child in running:
            os.killpg(child.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        for child in running:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def write(self, piece: str, command: str, rows: list[Row], **more: Any) -> None:
        """The result file of a piece that is no benchmark itself."""
        more |= {"rehearsal": True} if self.rehearsal else {}
        made = document(f"gpu-{piece}", command, rows, **more)
        write_text(self.out / f"gpu-{piece}.json", json.dumps(made, indent=1) + "\n")

    def prepared(self) -> Path:
        """The dataset to train on, prepared at 256 pixels where --data is none yet; a rehearsal has photographs of its own."""
        if self.data is None and not self.rehearsal:
            raise Failed("it takes --data")
        if self.data and (self.data / "manifest.json").exists():
            return self.data
        target = self.work / "data"
        self.do("alexnet", "prepare", self.data or "builtin", target, "--size", "32" if self.rehearsal else "256")
        return target


# --- pieces -------------------------------------------------------------------------------------------------------------


def tests(call: Call, piece: str) -> None:
    """The kernels, networks and training steps against the plain forms."""
    chosen = [TESTS[2], "-k", "beyond_the_weights"] if call.rehearsal else ["-m", "gpu", *TESTS]
    # Compiling some eighty kernels is most of it. A warning that only a GPU brings is no failure here.
    workers = ["-n", "8"] if find_spec("xdist") and not call.rehearsal else []
    printed = call.do("pytest", "-p", "no:cacheprovider", "-W", "default", *workers, *chosen)
    passed = re.search(r"(\d+) passed.* in (.*s)", printed)
    if not passed:
        raise Failed(f"no test has run: {printed.strip()[-500:]}")
    command = f"pytest -m gpu {' '.join(TESTS)}"
    call.write(piece, command, [row("tests passed", [float(passed[1])], "", f"in {passed[2]}")])


def benchmark(call: Call, piece: str) -> None:
    """A benchmark of this folder, named before the dash; behind it the images of a step."""
    name, _, batch = piece.partition("-")
    more = [*(["--batch", batch] if batch else []), *(["--rehearse"] if call.rehearsal else [])]
    call.do(f"benchmarks.gpu.{name}", call.out / f"gpu-{piece}.json", *more)


def recipes(call: Call) -> dict[str, list[str]]:
    """The networks that are trained, as words of `alexnet train`: by their own schedules, 90 and 91 epochs."""
    if call.rehearsal:
        few = ["cifar10", "--epochs", "1"]
        return {"paper": few, "authors-2012": [*few, "--network.normalization", "none"]}
    return {name: [name] for name in ("paper", "authors-2012")}


def imagenette(call: Call, piece: str) -> None:
    """Both networks on Imagenette, side by side on the card, seed after seed, as long as another is likely to fit."""
    data, evaluations, left_out = call.prepared(), list[dict[str, dict[str, Any]]](), list[str]()
    command = "; ".join(f"alexnet train {' '.join(words)}" for words in recipes(call).values())
    for seed in range(1 if call.rehearsal else 10):
        begun = time.monotonic()
        try:
            evaluations.append(_train_and_evaluate(call, data, seed, left_out))
        except Failed:
            if not evaluations:
                raise
            break  # the seeds that are done count
        rows = [
            row(f"{name}: {what}, ten crops", [each[name][key] for each in evaluations if name in each], "% error")
            for name in dict.fromkeys(name for each in evaluations for name in each)
            for what, key in (("top-1", "top1_error"), ("top-5", "top5_error"))
        ]
        call.write(piece, command, rows, **{"evaluations": evaluations, "left out": left_out})
        if time.monotonic() + 1.1 * (time.monotonic() - begun) > call.ends:
            break
    call.ends = max(call.ends, time.monotonic() + 30)
    best: dict[str, dict[str, Any]] = {}
    for name, said in (each for evaluated in evaluations for each in evaluated.items()):
        best[name] = min(best.get(name, said), said, key=lambda said: said["top1_error"])
    runs = [call.work / said["run"] for said in best.values()]
    call.do("alexnet", "kernels", *runs, call.out / "conv1.png")
    _save_halves(runs[0], call.out / f"{next(iter(best))}-float16.safetensors")


def _train_and_evaluate(call: Call, data: Path, seed: int, left_out: list[str]) -> dict[str, dict[str, Any]]:
    """What `alexnet evaluate` says of each network; `left_out` gets the one that failed. Raises Failed where all did."""
    runs = {name: call.work / f"{name}-seed{seed}" for name in recipes(call)}
    trainings = {}
    for name, words in recipes(call).items():
        given = [*words, "--data", data, "--out", runs[name], "--seed", str(seed)]
        trainings[name] = call.start("alexnet", "train", *(["--resume", runs[name]] if runs[name].exists() else given))
    evaluations, failed = {}, dict[str, Failed]()
    for name, training in trainings.items():
        try:
            call.finish(training)
        except Failed as error:
            failed[name] = error
    if len(failed) < len(trainings):
        call.ends = max(call.ends, time.monotonic() + 30)  # one may have been too slow for both
    for name in [name for name in runs if name not in failed]:
        try:
            said = json.loads(call.do("alexnet", "evaluate", runs[name], "--data", data, "--views", "10", "--json"))
        except Failed as error:
            failed[name] = error
            continue
        kept = ("top1_error", "top5_error", "views", "images", "checkpoint", "precision")
        evaluations[name] = {"seed": seed, "run": runs[name].name, **{key: said[key] for key in kept}}
    if not evaluations:
        raise next(iter(failed.values()))
    left_out += [f"{name}, seed {seed}: {error}" for name, error in failed.items()]
    return evaluations


def _save_halves(run: Path, file: Path) -> None:
    weights = checkpoint.weights(checkpoint.newest(run))
    save_file({name: weight.half() for name, weight in weights.items()}, file)


def epoch(call: Call, piece: str) -> None:
    """1.28 million image visits, the length of an epoch of ImageNet, through `alexnet train`."""
    data, run = call.prepared(), call.work / "epoch"
    images = json.loads((data / "manifest.json").read_text())["splits"]["train"]["images"]
    epochs = 2 if call.rehearsal else max(2, math.ceil(VISITS / images))
    words = ["cifar10" if call.rehearsal else "imagenette", "--epochs", str(epochs), "--validate-every", str(epochs)]
    begun = time.monotonic()
    resumed = run.exists()
    call.do("alexnet", "train", *words, "--data", data, *(["--resume", run] if resumed else ["--out", run]))
    whole = time.monotonic() - begun
    lines = metrics.epochs(metrics.read_metrics(run))
    each = [line["seconds"] for line in lines]
    visits, took = images * len(each), sum(each)
    rows = [
        row(
            "images a second",
            [images / s for s in each[1:]],
            "images/s",
            f"{visits:,} image visits, but the first epoch",
        ),
        row(
            "1.28 million images, steps alone", [took * VISITS / visits], "s", f"all {len(each)} epochs, of ten classes"
        ),
    ]
    if not resumed:
        between = (lines[-1]["time"] - lines[0]["time"]) / (len(lines) - 1) * VISITS / images
        rows += [
            row(
                "1.28 million images, end to end",
                [between],
                "s",
                "with logs, checkpoints and a validation between epochs",
            ),
            row("90 such epochs", [90 * between / 60], "min", "5 to 6 days in 2012"),
            row(
                "all included",
                [whole * VISITS / visits],
                "s",
                "start, images to the device, the first epoch, the report",
            ),
        ]
    call.write(piece, f"alexnet train {' '.join(words)}", rows)


def claims(call: Call, piece: str) -> None:
    """Claims with and without what the paper says of them, one seed of all before a second of any; results are kept run by run."""
    where = ["--out", call.work / "claims", "--results", call.out / "results"]
    scale = (
        ["--scale", "smoke"] if call.rehearsal else ["--scale", "imagenette", "--data", call.prepared(), "--jobs", "2"]
    )
    names = CLAIMS[:1] if call.rehearsal else CLAIMS
    for seeds in (1,) if call.rehearsal else (1, 2, 3):
        call.do("alexnet", "claims", "run", *names, *scale, *where, "--seeds", str(seeds))
    call.write(piece, f"alexnet claims run {' '.join(names)}", [row("seeds", [float(seeds)], "")])


@dataclass(frozen=True)
class Piece:
    """One part of the work."""

    work: Callable[[Call, str], None]
    part: int
    seconds: float
    """At most; an estimate, as nothing of this has run on a GPU yet."""


PIECES = {
    "tests": Piece(tests, 1, 100),
    "steps-128": Piece(benchmark, 1, 80),
    "kernels": Piece(benchmark, 1, 60),
    "steps-1024": Piece(benchmark, 1, 60),
    "profile": Piece(benchmark, 1, 30),
    "imagenette": Piece(imagenette, 2, 300),
    "epoch": Piece(epoch, 3, 120),
    "claims": Piece(claims, 3, math.inf),
}
"""In the order in which they are worth having."""


def run(call: Call, names: Sequence[str], minutes: float) -> dict[str, str]:
    """Do the pieces as far as the minutes reach: what became of each, also in OUT/notes.json."""
    ends, left, notes = time.monotonic() + 60 * minutes, dict(PARTS), dict[str, str]()
    for name in names:
        piece, begun = PIECES[name], time.monotonic()
        file, limit = call.out / f"gpu-{name}.json", min(piece.seconds, left[piece.part], ends - begun)
        if file.exists():
            notes[name] = "there already"
        elif limit < LEAST:
            notes[name] = "not begun, time is up"
        else:
            print(f"{name}: {(piece.work.__doc__ or '').strip()}", file=sys.stderr, flush=True)
            call.ends = begun + limit
            try:
                piece.work(call, name)
                notes[name] = "done"
            except Exception as error:  # the other pieces go on
                said = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
                notes[name] = f"{'cut short' if file.exists() else 'failed'}: {said}"
            finally:
                call.end()
            left[piece.part] -= time.monotonic() - begun
            notes[name] += f", {time.monotonic() - begun:.0f} s"
        if piece.work is benchmark and file.exists() and not (call.out / "gpu-tests.json").exists():
            write_text(file, json.dumps({**json.loads(file.read_text()), "unchecked": True}, indent=1) + "\n")
        write_text(call.out / "notes.json", json.dumps(notes, indent=1) + "\n")
    return notes


def summary(out: Path, notes: dict[str, str]) -> list[str]:
    """A line for each piece, each decision and what was left out."""
    lines = [f"{name}: {note.splitlines()[0][:200]}" for name, note in notes.items()]
    for made in (json.loads(file.read_text()) for file in sorted(out.glob("gpu-*.json"))):
        decisions = [each for each in made["rows"] if each["name"].startswith("hand-written")]
        if not made.get("rehearsal"):  # on a CPU, Triton's interpreter has not been compared with anything
            lines += [f"{each['name']}: {each['note']}" for each in decisions]
        lines += [f"{made['benchmark']}: left out: {each}" for each in made.get("left out", ())]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="where results go")
    parser.add_argument("--work", type=Path, help="where run folders go; by default OUT-work")
    parser.add_argument("--data", type=Path, help="Imagenette, prepared at 256 pixels or as it comes")
    parser.add_argument("--minutes", type=float, default=8, help="after so many nothing runs any more")
    parser.add_argument("--pieces", nargs="*", choices=list(PIECES), default=list(PIECES), help="by default all")
    parser.add_argument(
        "--rehearse", action="store_true", help="every piece tiny, on the CPU: that it runs; gives no figures"
    )
    given = parser.parse_args(arguments)
    if given.rehearse and given.out == Path("runs/gpu"):
        given.out = Path("runs/gpu-rehearsal")
    out = given.out.absolute()
    work = (given.work or out.with_name(f"{out.name}-work")).absolute()
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    call = Call(out, work, given.data and given.data.absolute(), given.rehearse)
    notes = run(call, [name for name in PIECES if name in given.pieces], given.minutes)
    print("\n".join(summary(out, notes)))
    return int(any(note.startswith(("failed", "cut short")) for note in notes.values()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of `finally`, which ends the children
    sys.exit(main())
