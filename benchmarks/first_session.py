"""The first session of somebody new: install the wheel, ask for the labels of a photograph; as a record, with times.

    python benchmarks/first_session.py [--image photo.jpg] [--extras fast,report] [--repeats 3] [--save]

Each round begins with nothing: a new environment, an empty home folder, none of pip's or the package's caches; only the wheel,
the pinned versions and the photograph (by default one that comes with scikit-learn). How long installing takes is mostly the
package index's matter, or its mirror's; the rest is this package's. The last round is printed as the user sees it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from measure import arguments, finish, row

ROOT = Path(__file__).parent.parent


def build(folder: Path) -> Path:
    """The wheel of this repository, built in `folder` from a copy of the sources."""
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # Without isolation, which would fetch setuptools again.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Session:
    """A folder that is somebody's home, where commands are typed and timed."""

    def __init__(self, folder: Path, wheel: Path, image: Path) -> None:
        for path, name in ((wheel, wheel.name), (ROOT / "constraints.txt", "constraints.txt"), (image, "photo.jpg")):
            shutil.copy(path, folder / name)
        self.folder, self.lines, self.seconds = folder, [""], list[float]()
        # Nothing of this process but the way to packages.
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP"))}
        self.environment = {**kept, "HOME": str(folder), "PATH": os.defpath, "PIP_NO_CACHE_DIR": "1", "LANG": "C.UTF-8"}

    def type(self, command: str) -> None:
        begun = time.perf_counter()
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, shell=True, cwd=self.folder, env=self.environment, **output)  # type: ignore[call-overload]
        self.seconds.append(time.perf_counter() - begun)
        self.lines += [f"$ {command}", *done.stdout.rstrip().splitlines(), f"  ({self.seconds[-1]:.1f} s)"]
        if done.returncode:
            raise SystemExit("\n".join(self.lines))


def main() -> None:
    given = arguments(__doc__, image="", extras="", repeats=3)
    image = Path(given.image or str(files("sklearn.datasets") / "images" / "china.jpg"))
    rounds: list[Session] = []
    with tempfile.TemporaryDirectory() as name:
        wheel = build(Path(name))
        wanted = wheel.name + (f"[{given.extras}]" if given.extras else "")
        for number in range(given.repeats):
            folder = Path(name, str(number))
            folder.mkdir()
            session = Session(folder, wheel, image)
            session.type(f"{sys.executable} -m venv environment")
            session.type(f"environment/bin/pip install --quiet -c constraints.txt './{wanted}'")
            session.type("environment/bin/alexnet predict photo.jpg")
            session.type("environment/bin/alexnet predict photo.jpg")
            rounds.append(session)
            shutil.rmtree(folder)
    print("\n".join(rounds[-1].lines).replace(f"$ {sys.executable}", "$ python3"))
    names = ("a new environment", "pip install of the wheel", "the first prediction", "the second prediction")
    rows = [row(name, [session.seconds[place] for session in rounds], "s") for place, name in enumerate(names)]
    whole = [sum(session.seconds[:3]) for session in rounds]
    finish("first_session", [*rows, row("from nothing to the first labels", whole, "s")], given)


if __name__ == "__main__":
    main()
