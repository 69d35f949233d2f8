"""Times, sizes, lists of names and names as people read them."""

import re
from collections.abc import Sequence


def duration(seconds: float) -> str:
    """Roughly: "40 s", "12 min", "3.5 h", "2.1 days"."""
    for least, unit, name in ((172_800, 86_400, "days"), (5400, 3600, "h"), (100, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:,.{0 if name == 'min' or seconds >= 100 * unit else 1}f} {name}"
    return f"{seconds:.0f} s"


def gigabytes(number: float) -> str:
    """Bytes on a disk: "2.9 TB", "1.5 GB", "0.3 MB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB")):
        if number >= unit:
            return f"{number / unit:,.1f} {name}"
    return f"{number / 1e6:,.1f} MB"


def counted(number: int, thing: str) -> str:
    """A number of things: "1 view", "10 views"."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of `names`, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def short(text: str, most: int = 80) -> str:
    """The beginning of a text that may have any length."""
    return text if len(text) <= most else f"{text[:most]}..."


# Control characters, which steer a terminal and are forbidden in XML; other ends of a line; what turns the direction of letters.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SHORT = {"\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"}


def visible(text: str) -> str:
    r"""`text` on one line, with what a terminal would obey written out as `ls -b` writes it: \n, \033, \u202e."""
    return _UNSEEN.sub(lambda match: _SHORT.get(match[0]) or _written_out(match[0]), text)


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\{code:03o}" if code < 0o400 else f"\\u{code:04x}"


IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""The words for Imagenette's class folders, which have WordNet's numbers for names."""


def with_word(name: str) -> str:
    """A class of Imagenette as ILSVRC's are called, "n01440764 tench"; any other name as it is."""
    return f"{name} {IMAGENETTE[name]}" if name in IMAGENETTE else name
