"""Names of classes: a text file with one a line, such as Caffe's synset_words.txt, or a JSON list."""

from pathlib import Path

from alexnet.errors import InputError
from alexnet.reading import parse_json, read_bytes


def read(file: Path, number: int) -> list[str]:
    """The names in a file; InputError unless there are `number` of them."""
    try:
        text = read_bytes(file, most=1 << 26).decode("utf-8")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        names = parse_json(text, str(file)) if file.suffix == ".json" else lines
    except (OSError, ValueError) as error:
        raise InputError(f"--classes {file}: cannot be read ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"--classes {file}: no list of names")
    return checked(names, number, f"--classes {file}")


def checked(names: list[str], number: int, where: str) -> list[str]:
    """The names; InputError, naming `where`, unless there are `number` of them and no two are the same."""
    if len(names) != number:
        raise InputError(f"{where}: {len(names)} classes, the network has {number}")
    if len(set(names)) != number:
        raise InputError(f"{where}: a name is there twice")
    return names


def unnamed(number: int) -> list[str]:
    """Names for classes that have none: class 0, class 1, ..."""
    return [f"class {at}" for at in range(number)]
