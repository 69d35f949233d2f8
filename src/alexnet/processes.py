"""Who a process is among those that train together, and starting them: torchrun's engine, with gloo and NCCL below.

Under `torchrun` a process finds its place in its environment; `launch` starts processes of this machine itself, by the
same elastic agent, which begins again with all of them when one dies. What they do together is in `training.layouts`.
"""

import logging
import os
import signal
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet.errors import InputError, RunFailed

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a run to write a checkpoint and end: a scheduler's, a person's, and that of a terminal that is closed."""

WAIT = timedelta(minutes=30)
"""How long a process waits for the others: process 0 may be writing a checkpoint to a slow disk."""


Mode = Literal["none", "data", "columns", "hybrid"]
"""How several processes train one network; none: one process alone does."""


class FailedElsewhere(RunFailed):
    """Another process failed, and says why."""

    def __str__(self) -> str:
        return ""


class FailedHere(RunFailed):
    """This process failed and the others have not, so that it has to end before they can."""

    code = 75


@dataclass(frozen=True)
class Processes:
    """A process's place among those of a run; one process alone by default."""

    rank: int = 0
    """Number of this process, from 0. Process 0 writes and prints."""
    number: int = 1
    """Of processes in all, on all machines."""
    local: int = 0
    """Number of this process on its own machine, which is the number of its GPU."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def rows(self, number: int) -> slice:
        """This process's share of `number` things in a row; shares differ by at most one, and may be empty."""
        return slice(number * self.rank // self.number, number * (self.rank + 1) // self.number)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in every one of them. All have to call it."""
        if self.number > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """Whether `value` is true in any process. All have to call it."""
        return bool(self.sum(torch.tensor(int(value))))

    def agree(self, value: int) -> int:
        """Process 0's value, in every process. All have to call it."""
        return int(self.sum(torch.tensor(int(value) if self.first else 0)))  # a bool would be another type than 0

    def alone(self, work: Callable[[], Any]) -> Any:
        """What `work` returns in process 0, which does it alone while the others wait; None in those.

        All have to call it. What it raises there ends every process: the others raise FailedElsewhere.
        """
        if self.number == 1:
            return work()
        result, failure = None, None
        if self.first:
            try:
                result = work()
            except Exception as error:
                failure = error
        failed = self.agree(int(failure is not None))
        if failure is not None:
            failure.__dict__["by_all"] = True
            raise failure
        if failed:
            raise FailedElsewhere("process 0 failed")
        return result

    def device(self, wanted: str) -> str:
        """The name of this process's own device, for a recipe's `device`: with several processes, a GPU each.

        Raises InputError where there are fewer GPUs than processes on this machine.
        """
        if self.number == 1:
            return wanted
        gpus = torch.cuda.is_available()
        if wanted == "cpu" or (wanted == "auto" and not gpus):
            return "cpu"
        if wanted not in ("auto", "cuda") or not gpus:
            raise InputError(
                f"--device {wanted}: several processes take a GPU each, by auto or cuda where there are any, or share the cpu;"
                " use --device auto"
            )
        # Of this machine, so that all on it raise, and none waits.
        number = int(os.environ.get("LOCAL_WORLD_SIZE", self.number))
        if number > torch.cuda.device_count():
            raise InputError(
                f"--processes {number}: each takes a GPU of its own, and this machine has {torch.cuda.device_count()}; use so many,"
                " or --device cpu"
            )
        return f"cuda:{self.local}"


def launched() -> bool:
    """Whether this process was started by torchrun, or by `launch`."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def place() -> Processes:
    """This process's place as torchrun's environment has it; one alone where there is none."""
    if not launched():
        return Processes()
    return Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


def job() -> str:
    """What tells this start of processes from every other, before and after a restart; "" for one process alone."""
    if not launched():
        return ""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    # torchrun without --standalone or --rdzv-id calls every job "none"; its own process is the parent of all workers.
    return name if name != "none" else f"{socket.gethostname()}-{os.getppid()}"


@contextmanager
def joined(wanted: str = "auto") -> Iterator[Processes]:
    """Meet the other processes that torchrun started; GPUs then talk by NCCL, everything on the host by gloo.

    wanted: a recipe's `device`. One process alone meets nobody.
    """
    processes = place()
    if processes.number == 1:
        yield processes
        return
    device = torch.device(processes.device(wanted))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, number = next(dist.rendezvous("env://", timeout=WAIT))
    if int(os.environ["LOCAL_WORLD_SIZE"]) == number:
        # The agent keeps its store when it starts all again, with the addresses of the processes that died in it.
        store = dist.PrefixStore(f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=number, timeout=WAIT)
    try:
        yield processes
    finally:
        dist.destroy_process_group()


def launch(number: int, restarts: int, work: Callable[..., int], *arguments: Any) -> int:
    """`work(*arguments)` in `number` processes of this machine; returns what it returned in process 0.

    A process that dies ends the others, and all start again, at most `restarts` times; one that returns, whatever it
    returns, does not. A signal to stop goes on to them; then it is 128 + the signal that comes back, after they have ended.
    Raises RunFailed if they still die after so many restarts.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # RunFailed says in one line which process died and why; the agent's loggers would add tracebacks.
    modules = ("elastic.multiprocessing.api", "elastic.agent.server.api")
    names = ["torch.multiprocessing.spawn", *(f"torch.distributed.{module}" for module in modules)]
    loggers = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # As many threads in all as one process would have; and time to write a checkpoint after SIGTERM.
    environment = dict(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // number)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")
    logs = tempfile.TemporaryDirectory(prefix="alexnet-")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=restarts,
        start_method="spawn",
        logs_specs=DefaultLogsSpecs(log_dir=logs.name),
    )
    handlers = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGQUIT)}
    try:
        return elastic_launch(config, work)(*arguments)[0]
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        why = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"exit code {failure.exitcode}"
        again = f" ({restarts} restarts)" if restarts else ""
        raise RunFailed(f"process {rank} ended with {why}{again}: {_last_line(failure.message)}") from None
    finally:
        for stopping, handler in handlers.items():  # the agent leaves its own
            signal.signal(stopping, handler)
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)
        os.environ.clear()
        os.environ.update(environment)
        logs.cleanup()


def _last_line(message: Any) -> str:
    text = message.get("message", "") if isinstance(message, dict) else str(message)
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it left no message"
