"""A virtual environment over a machine's own Python: its torch is used and never replaced, what else is missing is added.

    python3 src/alexnet/gpu/environment.py .venv-gpu            # what is missing comes from the package index
    python3 src/alexnet/gpu/environment.py .venv-gpu wheels     # or from a folder of wheel files, where there is no network

`make gpu` runs this file by itself, before any package of ours can be imported. It needs the standard library and pip.
The second time it finds everything there and is done in a second.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
INSIDE = "--inside"
"""Second word of the call that this file makes of itself with the environment's Python."""


def folders_of_this_python() -> list[str]:
    """Where the packages of the Python that runs this are, its user's too."""
    return [name for name in sys.path if re.search(r"(site|dist)-packages$", name)]


def make(place: Path) -> Path:
    """The environment's Python; made where it is not there, or is of another Python.

    Its packages are named in a .pth file: --system-site-packages would, of a Python that is itself in an environment, show
    those of the Python below it. pip is the machine's own too: some systems have venv without ensurepip.
    """
    python = place / "bin" / "python"
    of = place / "made-with"
    if not python.exists() or not of.exists() or of.read_text() != sys.executable:
        venv.create(place, clear=True, with_pip=False)
        packages = place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        lines = [f"import site; site.addsitedir({name!r})\n" for name in folders_of_this_python()]
        (packages / "the-machines-own.pth").write_text("".join(lines))
        of.write_text(sys.executable)
    return python


def missing(requirements: list[str]) -> list[str]:
    """Those that this Python has not, or in a version that will not do."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement  # type: ignore[assignment]

    def there(text: str) -> bool:
        wanted = Requirement(text)
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        return wanted.specifier.contains(found, prereleases=True)

    return [text for text in requirements if not there(text)]


def fill(wheels: str | None) -> None:
    """Install into this environment what is missing of our dependencies, and the package itself as it lies here; ends the
    program with a message where that cannot be."""
    import tomllib  # an older Python gets as far as the message that says so

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = project["build-system"]["requires"] + project["project"]["dependencies"]
    lack = missing(needed)
    torch = [text for text in lack if re.match(r"torch\b", text)]
    if torch:
        _end(
            f"the Python that this is made with has no {torch[0]}, and a machine's torch is never replaced; name the Python"
            " that has it: make gpu PYTHON=..."
        )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if lack:
        fixed = Path(sys.prefix) / "constraints.txt"
        fixed.write_text(f"torch=={importlib.metadata.version('torch')}\n")
        source = ["--no-index", "--find-links", wheels] if wheels else []
        print(f"make gpu: installing {', '.join(lack)}", file=sys.stderr)
        if subprocess.run([*pip, *source, "-c", str(fixed), *lack]).returncode:
            names = " ".join(re.split(r"[^\w-]", text)[0] for text in lack)
            _end(
                f"missing here: {', '.join(lack)}, and pip could not get them"
                f" {'from ' + wheels if wheels else 'from its index'} (above). Where there is a network: pip download"
                f" --only-binary=:all: -d wheels {names}; then here: make gpu WHEELS=wheels"
            )
    if not _installed() and subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)]).returncode:
        _end("the package itself could not be installed (above)")


def _installed() -> bool:
    """Whether this environment has the package as it lies here."""
    try:
        where = importlib.metadata.distribution("alexnet").read_text("direct_url.json") or ""
    except importlib.metadata.PackageNotFoundError:
        return False
    return f'"{ROOT.as_uri()}"' in where and (Path(sysconfig.get_path("scripts")) / "alexnet").exists()


def _end(message: str) -> None:
    print(f"make gpu: {message}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Make the environment, then go on in it."""
    place, *rest = sys.argv[1:]
    if rest[:1] == [INSIDE]:
        return fill(rest[1] if len(rest) > 1 else None)
    if sys.version_info < (3, 11):  # noqa: UP036 (whatever is called python3 runs this)
        _end(
            f"alexnet needs Python 3.11 or newer, and this is {sys.version.split()[0]}; name another: make gpu PYTHON=..."
        )
    python = make(Path(place).absolute())
    os.execv(python, [str(python), __file__, place, INSIDE, *(str(Path(name).absolute()) for name in rest)])


if __name__ == "__main__":
    main()
