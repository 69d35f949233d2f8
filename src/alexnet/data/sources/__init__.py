"""Sources of labelled images (§2), each with classes, splits and an ordered stream of items; `open_source` tells which.

A folder of class folders, ILSVRC-2012 (its three archives as they are, or unpacked), one tar per class (a folder of
them, or one tar of them, as Fall 2011 comes), a list of paths and labels, a Hugging Face dataset by name or as parquet
files, one .npz file of arrays, and the built-in photographs (builtin.py).
"""

from collections.abc import Sequence
from pathlib import Path

from alexnet.data.sources.archives import open_archives, open_tars
from alexnet.data.sources.arrays import open_arrays
from alexnet.data.sources.chosen import choose
from alexnet.data.sources.folders import open_folder, subfolders
from alexnet.data.sources.lists import open_list
from alexnet.data.sources.source import KINDS, LISTS, TRAIN_TAR, VAL_TAR, Source, check_classes
from alexnet.data.sources.tables import open_hub, open_parquet
from alexnet.errors import InputError


def open_source(text: str, classes: Sequence[str] = ()) -> Source:
    """The source that `text` names, or these of its classes. Raises InputError where there is none, or it lacks something.

    One class is too few: whoever wants one alone names it in `classes`.
    """
    source = _open(text)
    check_classes(text, source.classes)
    return choose(source, classes) if classes else source


def _open(text: str) -> Source:
    if text == "builtin":
        from alexnet.data.builtin import Photographs

        return Photographs()
    if text.startswith("hf:"):
        return open_hub(text[3:])
    path = Path(text).expanduser()
    if path.is_dir():
        if any((path / name).exists() for name in (TRAIN_TAR, VAL_TAR)):
            return open_archives(path)
        if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
            return open_parquet(path)
        if any(path.glob("*.tar")) and not subfolders(path):
            return open_tars(path)
        return open_folder(path)
    if not path.is_file():
        raise InputError(f"{text} does not exist: {KINDS}")
    if path.suffix.lower() in LISTS:
        return open_list(path)
    opened_by = {".npz": open_arrays, ".parquet": open_parquet, ".tar": open_tars}
    if path.suffix in opened_by and path.name not in (TRAIN_TAR, VAL_TAR):
        return opened_by[path.suffix](path)
    more = " (for an archive of ILSVRC-2012, give the folder that holds it)" if ".tar" in path.name else ""
    raise InputError(f"{text} is a file of no known kind{more}: {KINDS}")
