"""Stand-ins for wandb, mlflow and trackio, which tests do without: they take what is asked of the real ones, and nothing else.

What they keep lies in dictionaries that outlive a training, as a server would.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple


@dataclass
class Kept:
    """What a tracker knows of a run."""

    name: str
    project: str
    settings: dict[str, Any]
    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)


class Service:
    """A tracker's server: its runs by key, and what it does before it writes or ends anything."""

    def __init__(self) -> None:
        self.runs: dict[str, Kept] = {}
        self.before: Callable[[], None] = lambda: None
        self.logged_in = True
        self.mode = "online"
        self.logins = 0

    def write(self, key: str, step: int, values: dict[str, float]) -> None:
        self.before()
        self.runs[key].rows.append((step, dict(values)))

    def end(self, key: str, how: Any) -> None:
        self.before()
        self.runs[key].ended.append(how)


def wandb(service: Service) -> ModuleType:
    """A stand-in for wandb 0.31."""

    def login(*, prompt: bool) -> bool:
        assert not prompt, "nobody is there to answer"
        service.logins += 1
        return service.logged_in

    def init(
        *,
        project: str,
        name: str,
        id: str,
        resume: str,
        config: dict[str, Any],
        allow_val_change: bool,
        reinit: str,
        settings: SimpleNamespace,
    ) -> SimpleNamespace:
        assert (resume, reinit, settings.console) == ("allow", "create_new", "off")
        assert service.mode == "offline" or service.logged_in, "it would ask on the terminal"
        kept = service.runs.setdefault(id, Kept(name, project, {}))
        assert allow_val_change or not kept.settings
        kept.settings |= config

        def log(values: dict[str, float], *, step: int) -> None:
            service.write(id, step, values)

        def finish(*, exit_code: int) -> None:
            service.end(id, exit_code)

        return SimpleNamespace(id=id, log=log, finish=finish)

    def setup() -> SimpleNamespace:
        return SimpleNamespace(settings=SimpleNamespace(mode=service.mode, project=None))

    def settings(*, console: str) -> SimpleNamespace:
        return SimpleNamespace(console=console)

    return module("wandb", login=login, init=init, setup=setup, Settings=settings)


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int
    step: int


class Param(NamedTuple):
    key: str
    value: str


class Client:
    """A stand-in for mlflow.MlflowClient."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def create_run(self, experiment: str, *, run_name: str) -> SimpleNamespace:
        self.service.before()
        key = f"{len(self.service.runs):032x}"
        self.service.runs[key] = Kept(run_name, experiment, {})
        return SimpleNamespace(info=SimpleNamespace(run_id=key))

    def update_run(self, key: str, *, status: str) -> None:
        self.service.end(key, status)

    def set_terminated(self, key: str, status: str) -> None:
        self.service.end(key, status)

    def log_batch(self, key: str, *, params: Any = (), metrics: Any = ()) -> None:
        for name, value in params:
            known = self.service.runs[key].settings.setdefault(name, value)
            assert known == value, "a parameter never changes"
        rows: dict[int, dict[str, float]] = {}
        for metric in metrics:
            rows.setdefault(metric.step, {})[metric.key] = metric.value
        for step, values in rows.items():
            self.service.write(key, step, values)


def mlflow(service: Service) -> ModuleType:
    """A stand-in for mlflow 3.17; experiments have their names for keys."""
    return module(
        "mlflow",
        MlflowClient=lambda: Client(service),
        set_experiment=lambda name: SimpleNamespace(experiment_id=name),
        entities=SimpleNamespace(Metric=Metric, Param=Param),
    )


def trackio(service: Service) -> ModuleType:
    """A stand-in for trackio 0.43, which prints, and knows runs by their names."""
    now: list[str] = []

    def init(project: str, *, name: str, config: dict[str, Any], resume: str, embed: bool) -> SimpleNamespace:
        assert not embed and resume in ("allow", "never")
        assert resume == "allow" or name not in service.runs, "another run would be taken for it later"
        service.before()
        print(f"* Trackio project initialized: {project}")
        service.runs.setdefault(name, Kept(name, project, {})).settings |= config
        now.append(name)

        def log(values: dict[str, float], *, step: int) -> None:
            service.write(name, step, values)

        return SimpleNamespace(log=log)

    def finish() -> None:
        print("* Run finished.")
        service.end(now.pop(), "ended")

    return module("trackio", init=init, finish=finish)


def module(name: str, **contents: Any) -> ModuleType:
    stand_in = ModuleType(name)
    stand_in.__dict__.update(contents)
    return stand_in


def modules() -> tuple[dict[str, ModuleType], dict[str, Service]]:
    """All of them by the names that they are imported by, and their servers."""
    services = {name: Service() for name in ("wandb", "mlflow", "trackio")}
    packages = {make.__name__: make(services[make.__name__]) for make in (wandb, mlflow, trackio)}
    others = {name: ModuleType(name) for name in ("alembic", "sqlalchemy")}
    return packages | others, services
