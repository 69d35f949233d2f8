"""Live progress on stderr: a bar in a terminal, a line now and then elsewhere."""

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from alexnet.words import visible

if TYPE_CHECKING:  # they bring much along
    from alexnet.claims.workers import Now
    from alexnet.training import Status


QUIET_SECONDS = 30.0
"""Between two lines where there is no terminal to draw a bar in."""


def duration(seconds: float | None) -> str:
    """Seconds as 1:02:03 or 2:03; "" if unknown."""
    if seconds is None or seconds != seconds or seconds == float("inf"):
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Bar:
    """A context in which `update` and `training` show how far the work is."""

    def __init__(self, unit: str, console: Console) -> None:
        self.unit, self.console = unit, console
        self.last = time.monotonic()
        self.begun = time.monotonic()
        self.bar = (
            Progress(
                TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
                BarColumn(bar_width=10),
                TextColumn("{task.fields[text]}", markup=False, table_column=Column(overflow="fold")),
                console=console,
                refresh_per_second=4,
            )
            if console.is_terminal
            else None
        )
        self.shown: tuple[str, TaskID, str] | None = None
        """Name, task and text of what the bar shows."""

    def __enter__(self) -> "Bar":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.stop()

    def update(
        self,
        name: str,
        done: int,
        total: int | None,
        speed: str | None = None,
        left: float | None = None,
        skipped: int = 0,
    ) -> None:
        """`done` of `total` (None: unknown) of the part called `name`."""
        if speed is None:
            rate = done / max(time.monotonic() - self.begun, 1e-9)
            speed, left = f"{rate:,.0f} images/s", (total - done) / rate if total and rate else None
        text = f"{done:,}/{total:,}" if total else f"{done:,}"
        text += f" {self.unit}, {speed}"
        text += f", {skipped} skipped" if skipped else ""
        text += f", {duration(left)} left" if left else ""
        self._show(name, done, total, text, done == total)

    def training(self, now: "Status") -> None:
        """Epoch, loss, error, images/s, time left, rate."""
        text = (
            f"{now.step}/{now.steps}  loss {now.loss:.3f}  error {now.error:.1f}"
            + (f" (val {now.validation:.1f})" if now.validation is not None else "")
            + f" %  rate {now.rate:.2g}  {now.images_per_second:,.0f} images/s  {duration(now.seconds_left)} left"
        )
        self._show(f"epoch {now.epoch}/{now.epochs}", now.step, now.steps, text, now.ended)

    def claims(self, now: "Now") -> None:
        """How many runs of experiments are done, and where the one under way is."""
        text = f"{now.done}/{now.runs} runs"
        if now.status:
            status = now.status
            text += f"  {now.name}: epoch {status.epoch}/{status.epochs}, error {status.error:.1f} %"
            text += f", {status.images_per_second:,.0f} images/s, {duration(status.seconds_left)} left"
        elif now.record and "top1" in now.record.values:
            text += f"  {now.name}: {now.record.values['top1']:.2f} %"
        self._show("claims", now.done, now.runs, text, now.status is None)

    def _show(self, name: str, done: int, total: int | None, text: str, ended: bool) -> None:
        name, text = visible(name), visible(text)
        if self.bar:
            if self.shown and self.shown[0] != name:
                # One bar at a time: 90 would be more than a terminal has lines. What it said last stays above it.
                before, task, last = self.shown
                self.bar.remove_task(task)
                self.bar.console.print(f"{before}  {last}", markup=False, soft_wrap=True)
                self.shown = None
            task = self.shown[1] if self.shown else self.bar.add_task(name, total=total, text="")
            self.shown = (name, task, text)
            self.bar.update(task, completed=done, total=total, text=text)
        elif ended or time.monotonic() - self.last >= QUIET_SECONDS:
            self.last = time.monotonic()
            self.console.print(f"{name}  {text}", markup=False, soft_wrap=True)
