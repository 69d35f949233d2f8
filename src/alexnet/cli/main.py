"""The commands. No logic of their own: the only place that prints, exits and turns errors into exit codes.

0: done. 2: bad input, one line on stderr that names it and the fix. 1: a run that failed. 3: done, but for images that could
not be read. 128 + signal: stopped by one. 75: one of several processes, which has lost the others.
With `--json` a command prints one JSON document on stdout; everything else always goes to stderr.
"""

import io
import os
import sys
from importlib import import_module

import alexnet
from alexnet.cli.console import err, out, typed
from alexnet.cli.terminal import STDOUT
from alexnet.errors import InputError, RunFailed, out_of_memory
from alexnet.files import named, no_room, refused
from alexnet.words import visible

COMMANDS: dict[str, tuple[str, str]] = {
    # name -> the function that does it, and what it is for
    "summary": ("machine.summary", "sizes, parameters and multiply-adds of a network"),
    "prepare": ("data.prepare", "a folder, archives or arrays of images → a prepared dataset"),
    "data": ("data.data", "describe and check a prepared dataset"),
    "train": ("train.train", "a recipe and a prepared dataset → a run"),
    "evaluate": ("evaluate.evaluate", "top-1 and top-5 error of a run, or of several averaged"),
    "predict": ("evaluate.predict", "five labels for an image; without a run, the starter's"),
    "export": ("exchange.export", "a run as one file; for onnxruntime, OpenVINO, Caffe, torchvision"),
    "import": (
        "exchange.import_",
        "a network file, weights of Caffe, torchvision or ONNX → a run; a layer file of 2012 → a network",
    ),
    "push": ("exchange.push", "a run's network and its model card → the Hugging Face hub"),
    "report": ("look.report", "a run as one HTML page"),
    "kernels": ("look.kernels", "runs' first-layer kernels, drawn by column"),
    "curves": ("look.curves", "a run's loss and errors over the epochs, drawn"),
    "similar": ("look.similar", "the training images nearest to an image, as the network sees it"),
    "activations": ("look.activations", "what every layer makes of one image, drawn"),
    "units": ("look.units", "what excites a layer's units most, drawn"),
    "figures": ("look.figures", "all of the paper's figures, for a run"),
    "explore": ("explore.explore", "look inside trained networks in the browser"),
    "claims": ("experiments.claims", "every claim of the paper, Table 2 too, as an experiment, and what it gave"),
    "doctor": ("machine.doctor", "what is wrong with this folder, and the fix"),
}
UNTYPED = ("summary", "train", "claims")
"""Commands that read their arguments themselves; tyro reads the others' by the function's types."""

OUT_OF_MEMORY = "out of memory; end other processes, or give this one more (ulimit -v, the limit of a container)"


def main(args: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = sys.argv[1:] if args is None else args
    command = args[0] if args else "--help"
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text that a terminal can show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(args)
        with named(STDOUT):
            sys.stdout.flush()  # what cannot be written is said now, and not by Python at the end
        return code
    except InputError as error:
        if _first_process():  # all find the same
            err.print(f"alexnet {command}: {error}", soft_wrap=True)
        return 2
    except RunFailed as error:
        if str(error):  # else another process speaks of it
            err.print(f"alexnet {command}: {error}", soft_wrap=True)
        return error.code
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            err.print(f"alexnet {command}: {OUT_OF_MEMORY}", soft_wrap=True)
            return 1
        if "RANK" not in os.environ or not any(name in str(error) for name in ("gloo", "Gloo", "NCCL")):
            raise
        # What collectives raise when another process has gone: this one ends too, and torchrun starts all again.
        err.print(f"alexnet {command}: process {os.environ['RANK']} has lost the others")
        return 75
    except KeyboardInterrupt:
        resumes = command in ("prepare", "similar", "figures")
        go_on = "; the same command goes on where it was" if resumes else ""
        err.print(f"alexnet {command}: interrupted{go_on}")
        return 130
    except BrokenPipeError:
        _leave_stdout()  # whoever read us (head, less) has left
        return 0
    except OSError as error:
        # What the machine refuses: a folder that may not be written, a disk that is full or gone.
        if error.filename == STDOUT:
            _leave_stdout()
        out_of = out_of_memory(error)
        err.print(f"alexnet {command}: {OUT_OF_MEMORY if out_of else refused(error)}", soft_wrap=True)
        return 1 if out_of or no_room(error) else 2


def _leave_stdout() -> None:
    """Point stdout at /dev/null: it takes no more, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        out.print("alexnet COMMAND ... — ImageNet classification with deep convolutional neural networks, 2012")
        out.print()
        for name, (_, line) in COMMANDS.items():
            out.print(f"  {name:11} {line}")
        out.print()
        out.print("alexnet COMMAND --help says the rest.")
        return 0 if args else 2
    if args[0] == "--version":
        out.print(f"alexnet {alexnet.__version__}")
        return 0
    if args[0] not in COMMANDS:
        err.print(f"alexnet: no command {args[0]!r}; the commands are {', '.join(COMMANDS)}")
        return 2
    for arg in args:
        if arg.startswith("--") and visible(name := arg.partition("=")[0]) != name:
            raise InputError(f"{arg}: no option; if it is a file, name it ./{arg}")
    module, _, function = COMMANDS[args[0]][0].partition(".")
    # Loaded only now: `alexnet --help` needs no torch.
    command = getattr(import_module(f"alexnet.cli.{module}"), function)
    return command(args[1:]) if args[0] in UNTYPED else typed(args[0], command)(args[1:])


def _first_process() -> bool:
    """Whether this is the first process of its machine, or the only one."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"
