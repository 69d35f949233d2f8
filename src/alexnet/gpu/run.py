"""Everything that needs a GPU, on one that is at hand for half an hour: piece after piece, until it is done or time is up.

What is done lies in small files (`pieces`), and the same call goes on where it was: on the same machine with the runs that
were under way, on another one, with OUT brought along but for OUT/runs, with those that are not finished. Kernels that are
not checked on this machine by this commit train nothing and are not measured: the check comes first of itself. `unchecked`
is for a bound that turns out to be too narrow on the day that a GPU is there.
"""

import hashlib
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from alexnet import provenance
from alexnet.claims import ledger, runner, table2
from alexnet.claims.runner import Now
from alexnet.claims.scales import scales
from alexnet.data import prepared as prepared_sets
from alexnet.data.prepared import Prepared
from alexnet.errors import InputError
from alexnet.fast import TRITON
from alexnet.files import only_writer, write_text
from alexnet.gpu import pieces as pieces_
from alexnet.gpu import table
from alexnet.gpu.apart import Apart
from alexnet.gpu.pieces import PIECES, UNCHECKED, Experiment, Piece

JOBS = 3
"""Runs at a time where there are cores for them: one alone leaves the GPU waiting at every epoch's end."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Set:
    """A prepared dataset, and what to say of it in the results."""

    path: Path
    note: str = ""


@dataclass(frozen=True)
class Done:
    """How a call ended."""

    out: Path
    rehearsal: bool
    done: tuple[str, ...]
    failed: tuple[str, ...]
    left: dict[str, str]
    """Piece -> why it is not done: "time is up", "it takes --data"."""
    table: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with what is in OUT/gpu.json of each piece."""
        return {**asdict(self), "out": str(self.out), "pieces": pieces_.state(self.out)["pieces"]}


def run(
    pieces: Sequence[str],
    data: Set | None,
    cifar: Set | None,
    out: Path,
    minutes: float,
    jobs: int | None = None,
    say: Say = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    again: bool = False,
    rehearsal: bool = False,
    unchecked: bool = False,
) -> Done:
    """Do these pieces, all if none is named, as far as the minutes reach, and write OUT/table.txt.

    data: Imagenette at 256 pixels or more; cifar: CIFAR-10; pieces that lack theirs are left out. jobs: training runs at a
    time. again: pieces that are named are measured again though they are there. rehearsal: the same on the CPU on a few
    pictures, which gives no figures. unchecked: a check that fails stops nothing, and all that is done then says so.
    Raises InputError for what cannot be begun; what fails on the way is in `failed`.
    """
    ends = time.monotonic() + 60 * minutes
    chosen = _chosen(pieces, again, minutes, jobs)
    if not rehearsal and not torch.cuda.is_available():
        raise InputError(
            "there is no CUDA GPU here. Without one: alexnet gpu --table prints what OUT has, alexnet gpu --rehearse tries"
            " every piece on the CPU"
        )
    opened = {
        option: _opened(option, given.path, scale, rehearsal)
        for option, given, scale in (("data", data, "imagenette"), ("cifar", cifar, "cifar"))
        if given is not None
    }
    out.mkdir(parents=True, exist_ok=True)
    with only_writer(out, "alexnet gpu"):
        before = pieces_.state(out)
        if before["pieces"] and before["rehearsal"] != rehearsal:
            kind = "a rehearsal" if before["rehearsal"] else "figures of a GPU"
            raise InputError(f"--out {out}: it holds {kind}; use another")
        if rehearsal:
            made = prepared_sets.open(ledger.smoke_data(out / "builtin"))
            opened = {option: opened.get(option, made) for option in ("data", "cifar")}
        notes = {"data": data.note if data else "", "cifar": cifar.note if cifar else ""}
        jobs = jobs or (1 if rehearsal else max(1, min(JOBS, (os.cpu_count() or 1) // 4)))
        call = Call(out, opened, notes, jobs, say, stop, ends, rehearsal, before["pieces"], unchecked)
        try:
            call.all_of(chosen, again)
        finally:
            call.apart.close()
        lines = table.lines(out)
        write_text(out / "table.txt", "\n".join(lines) + "\n")
    return Done(out, rehearsal, tuple(call.done), tuple(call.failed), call.left, tuple(lines))


def _opened(option: str, path: Path, scale: str, rehearsal: bool) -> Prepared:
    opened, of = prepared_sets.open(path), scales["smoke" if rehearsal else scale]
    if opened.size < of.recipe.image_size:
        raise InputError(f"--{option} {path}: its images are {opened.size}×{opened.size}; it has to be {of.data}")
    return opened


def _chosen(names: Sequence[str], again: bool, minutes: float, jobs: int | None) -> list[Piece]:
    unknown = [name for name in names if name not in PIECES]
    if unknown:
        raise InputError(f"{unknown[0]}: no such piece; there are {', '.join(PIECES)}")
    if minutes <= 0 or (jobs is not None and jobs < 1):
        raise InputError(f"--minutes {minutes:g}, --jobs {jobs}: minutes have to be more than 0, jobs at least 1")
    if again and not names:
        raise InputError("--again: name the pieces that are to be measured again")
    trained = [name for name in names if PIECES[name].takes]
    if again and trained:
        raise InputError(
            f"--again {trained[0]}: what OUT/results has is not trained again; remove the result files, and OUT/runs, for that"
        )
    return [piece for piece in PIECES.values() if piece.name in names or not names]


def measure(name: str, stop: Callable[[], bool], say: Say, rehearsal: bool = False) -> dict[str, Any]:
    """The document of a piece that checks or measures, made in the process that this is called in.

    rehearsal: on the CPU, in sizes that give no figures; kernels in Triton's interpreter, which was chosen before.
    """
    from alexnet.gpu import check, speed  # Triton is imported only now
    from alexnet.gpu.comparing import Case, Extent
    from alexnet.gpu.figures import document

    given, extent = speed.Given(stop=stop, say=say), Extent()
    more: dict[str, Any] = {}
    if rehearsal:
        torch.set_num_threads(1)
        network = scales["smoke"].recipe.network
        size = speed.Size(network, 32, 32, (8,), (8,), 16, 32, 1 << 10, 2, 8, (2,), 64, 32, 8)
        given = replace(given, repeats=1, device=torch.device("cpu"), size=size)
        extent = Extent((Case(torch.float32, 8, 5),), (network,), 32, 4, 1003, 4, 2)
    if name == "check":
        rows = check.check(say, str(given.device), extent)
    else:
        rows, more = speed.PIECES[name](given)
    return document(name, f"alexnet gpu {name}", rows, **more)


class Call:
    """One call: what it works with, and what has become of each piece."""

    def __init__(
        self,
        out: Path,
        opened: dict[str, Prepared],
        notes: dict[str, str],
        jobs: int,
        say: Say,
        stop: Callable[[], bool],
        ends: float,
        rehearsal: bool,
        state: dict[str, Any],
        unchecked: bool,
    ) -> None:
        self.unchecked = unchecked
        self.out, self.opened, self.notes, self.jobs, self.say = out, opened, notes, jobs, say
        self.stop, self.ends, self.rehearsal, self.state = stop, ends, rehearsal, state
        self.done: list[str] = []
        self.failed: list[str] = []
        self.left: dict[str, str] = {}
        self.apart = Apart(partial(measure, rehearsal=rehearsal), interpreted=rehearsal)
        self.commit = provenance.commit()
        self.here = {"commit": self.commit, "machine": provenance.machine(), "machine_id": machine_id()}

    # --- which, and in which order ------------------------------------------------------------------------------------

    def all_of(self, chosen: Sequence[Piece], again: bool) -> None:
        """Do what is to be done of these, the check before everything else."""
        due = [piece for piece in chosen if self._is_due(piece, again)]
        tried = self._is_checked() or (self.unchecked and self._check_ended("failed"))
        if due and due[0].name != "check" and not tried:
            due.insert(0, PIECES["check"])
        for number, piece in enumerate(due):
            left = self.ends - time.monotonic()
            if self.over():
                self._leave(piece, self._why())
            elif left < piece.least:
                self._leave(piece, f"it needs {piece.least:g} s, {left:.0f} are left")
            else:
                self._do(piece)
            if piece.name == "check" and piece.name not in self.done and not self.unchecked:
                for other in due[number + 1 :]:  # what kernels give that are not checked is worth nothing
                    self._leave(other, "the kernels are not checked")
                return

    def _is_due(self, piece: Piece, again: bool) -> bool:
        if piece.name == "check":
            return again or not self._is_checked()
        if not again and pieces_.is_done(piece, self.out, self.rehearsal):
            self.done.append(piece.name)
            said = f"{piece.name}: there already, by {pieces_.origin(piece, self.out, self.rehearsal)}"
            self.say(said + ("" if piece.takes else f"; --again {piece.name} measures it again"))
            return False
        if piece.takes and piece.takes not in self.opened:
            self._leave(piece, f"it takes --{piece.takes}")
            return False
        return True

    def _leave(self, piece: Piece, why: str) -> None:
        self.left[piece.name] = why
        self.say(f"{piece.name}: not begun, {why}")

    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self.stop() or time.monotonic() >= self.ends

    def _why(self) -> str:
        return "stopped" if self.stop() else "time is up"

    def _is_checked(self) -> bool:
        """Whether the kernels were checked here, by this code. Of changed files nobody knows which they were."""
        if self.rehearsal and not TRITON:
            return True  # there is nothing to check
        return self._check_ended("done")

    def _check_ended(self, so: str) -> bool:
        """Whether the last check here, of this code, ended "done" or "failed"."""
        last = self.state.get("check", {})
        same = all(last.get(name) == self.here[name] for name in ("commit", "machine_id"))
        return last.get("state") == so and same and not self.commit.endswith(("-dirty", "unknown"))

    # --- one piece ----------------------------------------------------------------------------------------------------

    def _do(self, piece: Piece) -> None:
        begun, error = time.monotonic(), self.out / "errors" / f"{piece.name}.txt"
        error.unlink(missing_ok=True)
        before: float = self.state.get(piece.name, {}).get("seconds", 0.0) if piece.takes else 0.0
        entry: dict[str, Any] = {**self.here, "state": "begun", "begun": _now(), "seconds": before}
        checked = piece.name == "check" or "check" in self.done or self._is_checked()
        # A piece that trains has the runs of several calls: those that were not checked stay among them.
        if not checked or (piece.takes and self.state.get(piece.name, {}).get(UNCHECKED)):
            entry[UNCHECKED] = True
        self._write(piece, entry)
        self.say(f"{piece.name}: {piece.what}")
        try:
            whole = self._train(piece) if piece.takes else self._measure(piece)
        except Exception as failure:  # the other pieces go on
            line = _line(failure)
            error.parent.mkdir(exist_ok=True)
            write_text(error, getattr(failure, "trace", "") or traceback.format_exc())
            self.failed.append(piece.name)
            self.say(f"{piece.name}: failed: {line[:300]} ({error})")
            entry |= {"state": "failed", "error": line[:1000]}
        else:
            if whole:
                self.done.append(piece.name)
                entry["state"] = "done"
            else:
                self.left[piece.name] = self._why()
        took = time.monotonic() - begun
        self._write(piece, {**entry, "ended": _now(), "seconds": round(before + took, 1)})
        if piece.name not in self.failed:
            self.say(f"{piece.name}: {'done' if whole else 'stopped, the same call goes on'}, {took:.0f} s")

    def _write(self, piece: Piece, entry: dict[str, Any]) -> None:
        self.state[piece.name] = entry
        content = {"rehearsal": self.rehearsal, "pieces": self.state}
        write_text(self.out / pieces_.STATE, json.dumps(content, indent=1) + "\n")

    def _measure(self, piece: Piece) -> bool:
        """Whether nothing was left out for want of time. Fewer figures than there are do not replace them."""
        found = self.apart.do(piece.name, self.over, piece.most, lambda line: self.say(f"  {line}"))
        if UNCHECKED in self.state[piece.name]:
            found[UNCHECKED] = True
        if found.get("left out"):  # something failed there: who knows what of that process still works
            self.apart.close()
        whole, there = not pieces_.cut_short(found), pieces_.figures(piece.name, self.out)
        if whole or there is None or (pieces_.cut_short(there) and len(there["rows"]) <= len(found["rows"])):
            (self.out / "speed").mkdir(exist_ok=True)
            write_text(self.out / "speed" / f"{piece.name}.json", json.dumps(found, indent=1) + "\n")
        return whole

    def _train(self, piece: Piece) -> bool:
        """Whether all is done. Where one of several claims fails, each is tried alone, and the last error raised at the end."""
        self.apart.close()  # its memory is wanted
        groups, failure = pieces_.experiments(piece, self.rehearsal), None
        while groups:
            group = groups.pop(0)
            if all(there >= wanted for there, wanted in self._counts(group)):
                continue
            try:
                self._run(piece, group)
            except runner.Stopped:
                if failure:
                    break
                return False
            except Exception as error:
                said = f"  {', '.join(each.id for each in group)}: {_line(error)[:300]}"
                if len(group) > 1:
                    groups = [[each] for each in group] + groups
                    said += "; now each alone"
                else:
                    failure = error
                self.say(said)
        if failure:
            raise failure
        return True

    def _warning(self, piece: Piece) -> str:
        return "the kernels did not pass alexnet gpu check" if UNCHECKED in self.state[piece.name] else ""

    def _counts(self, group: Sequence[Experiment]) -> list[tuple[int, int]]:
        return [pieces_.counts(self.out, each, self.rehearsal) for each in group]

    def _run(self, piece: Piece, group: Sequence[Experiment]) -> None:
        prepared, scale = self.opened[piece.takes], scales[group[0].scale]
        seeds = pieces_.seeds(scale.name, self.rehearsal)

        def progress(now: Now) -> None:
            if now.record:
                top1 = now.record["values"].get("top1")
                figure = "" if top1 is None else f" {top1:.2f} %"
                self.say(f"  {now.done}/{now.runs} {now.name}{figure}, {now.record['seconds']:.0f} s")

        given: dict[str, Any] = {
            "options": f"--scale {scale.name} --data {prepared.path.name}",
            "note": "; ".join(filter(None, (self.notes[piece.takes], self._warning(piece)))),
            "progress": progress,
            "stop": self.over,
        }
        runs, results = self.out / "runs", self.out / "results"
        if group[0].id == table2.ID:
            table2.run(scale, prepared, None, runs, results, seeds, self.jobs, **given)
        else:
            runner.run(
                [each.claim() for each in group], scale, prepared, runs, results, range(seeds), self.jobs, **given
            )


def machine_id() -> str:
    """What tells this machine and its GPU, as it was started last, from others: eight letters that name nothing."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text() if boot.exists() else ""
    gpu = str(torch.cuda.get_device_properties(0)) if torch.cuda.is_initialized() else ""  # its number is among these
    return hashlib.sha256(f"{platform.node()} {started} {gpu}".encode()).hexdigest()[:8]


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
