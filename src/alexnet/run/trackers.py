"""Where a training's numbers go beside metrics.jsonl: TensorBoard, and the trackers that a recipe names in `log`.

Each gets the recipe, and the numbers under the same names: `step/loss`, `epoch/validation_top1` and so on. A new run does not
begin without the trackers it asks for. Later, where it goes on or is under way, one that fails is left out, and that is said.
"""

import json
import os
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from alexnet.errors import InputError
from alexnet.extras import lacking
from alexnet.files import write_text
from alexnet.reading import read_json
from alexnet.run.folder import TENSORBOARD, TRACKERS
from alexnet.run.recipe import Recipe, flatten
from alexnet.words import short, visible

PROJECT = "alexnet"
"""What a tracker calls the project, or experiment, unless it was told another name."""


class Tracker(ABC):
    """One tracker. Its methods raise whatever the package behind it raises."""

    fix: str
    """What helps where it cannot begin."""

    @abstractmethod
    def begin(self, run: Path, step: int, settings: dict[str, Any], key: str | None) -> str | None:
        """Begin a run of these settings, or go on after `step`; returns the key by which the tracker knows the run.

        key: what this returned when the run began; None: it begins now.
        """

    @abstractmethod
    def write(self, step: int, values: dict[str, float]) -> None:
        """Keep values by name, of the moment after `step` updates."""

    @abstractmethod
    def close(self, finished: bool) -> None:
        """Bring what was written to its place, and end; `finished`: whether the training came to its end."""


class TensorBoard(Tracker):
    """Events in the run folder. Those after the step that a run goes on from are hidden by the new ones."""

    fix = "mend it, or uninstall tensorboard"

    def begin(self, run: Path, step: int, settings: dict[str, Any], key: str | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import, so only for training

        (run / TENSORBOARD).mkdir(exist_ok=True)
        with TemporaryFile(dir=run / TENSORBOARD):  # its thread could do no more than print that it may not write
            pass
        self.board = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        self.board.flush()  # else a kill loses two minutes of events

    def close(self, finished: bool) -> None:
        self.board.close()


class WeightsAndBiases(Tracker):
    """A run of Weights & Biases. Of a step that is written again, its server keeps what came first."""

    fix = "log in with: wandb login; or keep it on this machine: WANDB_MODE=offline"

    def begin(self, run: Path, step: int, settings: dict[str, Any], key: str | None) -> str:
        import wandb

        known = wandb.setup().settings
        # Its `init` would ask for the key on the terminal, and wait.
        if known.mode in ("online", "shared") and not wandb.login(prompt=False):
            raise InputError("nobody is logged in")
        self.run = wandb.init(
            project=known.project or PROJECT,
            name=run.name,
            id=key or uuid.uuid4().hex[:12],
            resume="allow",
            config=settings,
            allow_val_change=True,  # --resume --epochs
            reinit="create_new",  # a caller may have a run of theirs
            settings=wandb.Settings(console="off"),  # what is printed is not taken
        )
        return str(self.run.id)

    def write(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


class MLflow(Tracker):
    """A run of MLflow. Of a step that is written again it keeps both values; its parameters stay what they were."""

    fix = "MLFLOW_TRACKING_URI says where its server or file is"

    def begin(self, run: Path, step: int, settings: dict[str, Any], key: str | None) -> str:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its 7 take minutes, in which training waits
        import mlflow

        self.entities, self.client = mlflow.entities, mlflow.MlflowClient()
        if key:
            self.client.update_run(key, status="RUNNING")
        else:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
            experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") or mlflow.set_experiment(name).experiment_id
            key = str(self.client.create_run(experiment, run_name=run.name).info.run_id)
            params = [self.entities.Param(name, str(value)) for name, value in settings.items()]
            self.client.log_batch(key, params=params)  # in parts, and long ones cut, as its limits want it
        self.key = key
        return key

    def write(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        self.client.log_batch(self.key, metrics=[self.entities.Metric(*pair, now, step) for pair in values.items()])

    def close(self, finished: bool) -> None:
        self.client.set_terminated(self.key, "FINISHED" if finished else "KILLED")


class Trackio(Tracker):
    """A run of Trackio. Of a step that is written again it keeps both values."""

    fix = "TRACKIO_SERVER_URL, TRACKIO_SPACE_ID or TRACKIO_DIR says where it is kept"

    def begin(self, run: Path, step: int, settings: dict[str, Any], key: str | None) -> str:
        import trackio

        # It knows a run to go on with by its name alone, and folders of one name there may be many.
        name, resume = (key, "allow") if key else (f"{run.name}-{uuid.uuid4().hex[:6]}", "never")
        self.run = trackio.init(PROJECT, name=name, config=settings, resume=resume, embed=False)
        return name

    def write(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self, finished: bool) -> None:
        import trackio

        trackio.finish()  # the run's own would be called again as Python ends, and print


KINDS: dict[str, type[Tracker]] = {
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "trackio": Trackio,
    "tensorboard": TensorBoard,
}


class Trackers:
    """The trackers of a run: those of its recipe, and TensorBoard where it is installed.

    resumed: whether the run goes on, and with it those of the trackers, by the keys in its trackers.json.
    say: told in a line of each that fails later, and is dropped.
    Raises InputError, with the fix, where a new run asks for one that is not installed or cannot begin.
    """

    def __init__(self, run: Path, recipe: Recipe, step: int, resumed: bool, say: Callable[[str], Any]) -> None:
        self.say = say
        self.active: dict[str, Tracker] = {}
        self.left_out: tuple[str, ...] = ()
        """A line for each that is done without from the beginning."""
        try:
            self._begin(run, recipe, step, resumed)
        except BaseException:
            self.close()
            raise

    def _begin(self, run: Path, recipe: Recipe, step: int, resumed: bool) -> None:
        keys = _keys(run) if resumed else {}
        for name in (*dict.fromkeys(recipe.log), "tensorboard"):
            problem = lacking(name)
            if not problem:
                tracker = KINDS[name]()
                try:
                    with redirect_stdout(sys.stderr):  # some print, and a command's output is its result
                        key = tracker.begin(run.absolute(), step, flatten(recipe), keys.get(name))
                    self.active[name] = tracker
                    keys |= {name: key} if key else {}
                except Exception as error:
                    problem = f"{name} cannot begin: {_line(error)}; {tracker.fix}"
            if problem and not resumed and name in recipe.log:
                raise InputError(f"--log {name}: {problem}")
            self.left_out += (problem,) if problem else ()
        if keys:
            write_text(run / TRACKERS, json.dumps(keys) + "\n")

    def write(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Write the numbers of a line of metrics.jsonl, by the line's kind."""
        named = {f"{kind}/{name}": value for name, value in values.items()}
        self._each(lambda tracker: tracker.write(step, named))

    def close(self, finished: bool = False) -> None:
        """End in all trackers; a second time there is none left."""
        self._each(lambda tracker: tracker.close(finished))
        self.active = {}

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.active.items()):
            try:
                with redirect_stdout(sys.stderr):
                    act(tracker)
            except Exception as error:
                del self.active[name]
                self.say(f"{name} failed and is left out from now on: {_line(error)}; metrics.jsonl goes on")


def _keys(run: Path) -> dict[str, str]:
    """The keys of a run in its trackers.json; InputError, naming the file, if it is damaged."""
    try:
        keys = read_json(run / TRACKERS)
    except FileNotFoundError:
        return {}
    if not isinstance(keys, dict) or not all(isinstance(key, str) and 0 < len(key) < 300 for key in keys.values()):
        raise InputError(f"{run / TRACKERS}: no keys of trackers; remove it, and the trackers begin other runs")
    return keys


def _line(error: Exception) -> str:
    return short(visible(" ".join(str(error).split()) or type(error).__name__), 200)
