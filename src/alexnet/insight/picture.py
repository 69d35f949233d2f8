"""What all pictures share: a white page measured in units of 1/100 inch, text that is taken as it stands, files by suffix."""

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
from PIL import Image
from rich.cells import cell_len, set_cell_size

from alexnet.errors import InputError
from alexnet.extras import need
from alexnet.files import write_bytes
from alexnet.words import visible, with_word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = 100
"""Units of a page per inch; a PNG has two pixels a unit, so that it is sharp on dense screens."""

INK, FAINT = "#1a1a1a", "#6b6b6b"
BLUE, ORANGE, GREY, TRACK = "#4477aa", "#ee7733", "#bbbbbb", "#f3f3f3"
PALE_BLUE, PALE_ORANGE = "#b5cfe6", "#f9b98b"

# Class names may be in any script, and matplotlib's own font has Latin, Greek and Cyrillic only.
_OTHER_SCRIPTS = (
    "Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans CJK SC", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo",
    "Hiragino Sans", "Yu Gothic", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", "Arial Unicode MS",
)  # fmt: skip


@cache
def _fonts() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]


@contextmanager
def style() -> Iterator[None]:
    """Settings for making and saving figures: no formulas between dollar signs, equal bytes for equal pictures.

    Raises InputError where matplotlib is not installed.
    """
    need("report", "matplotlib")
    import matplotlib

    settings: Any = {
        "font.family": _fonts(),
        "text.parse_math": False,
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "svg.hashsalt": "alexnet",
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A letter that no installed font has is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty white figure, in units of 1/100 inch, on a canvas of its own; within `style`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / UNITS, height / UNITS), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


class Page:
    """A figure that is drawn on by position, in units from the top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = new_figure(width, height)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def image(self, pixels: np.ndarray, x: float, y: float, width: float, height: float) -> None:
        """An image uint8 [h, w, 3] with its top left corner at (x, y), pixels as sharp as they are."""
        self.axes.imshow(pixels, extent=(x, x + width, y + height, y), interpolation="nearest", aspect="auto")

    def photo(self, pixels: np.ndarray, x: float, y: float, side: float) -> None:
        """A square photograph uint8 [S, S, 3], resampled well, or with visible pixels if it is very small."""
        target = round(2 * side)
        kernel = Image.Resampling.NEAREST if 3 * pixels.shape[0] <= target else Image.Resampling.LANCZOS
        resized = Image.fromarray(np.ascontiguousarray(pixels)).resize((target, target), kernel)
        self.image(np.asarray(resized), x, y, side, side)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, linewidth=0))

    def text(self, x: float, y: float, words: str, size: float = 8, **style: Any) -> None:
        """Words at (x, y), by default left-aligned and centred on the height y; `size` in points."""
        self.axes.text(x, y, printable(words), fontsize=size, **{"ha": "left", "va": "center_baseline", **style})


def printable(name: str) -> str:
    r"""A name as a picture or a page can hold it: XML has no control characters, so they are written out: \n, \033.

    Names of folders may hold bytes that are no UTF-8, in Python lone surrogates: a question mark each.
    """
    return visible(name).encode("utf-8", "replace").decode()


def shorten(name: str, limit: int) -> str:
    """A name on one line, no wider than `limit` letters (wide letters count two), its end replaced by an ellipsis.

    WordNet's number gives way to the word: "n01440764 tench", as ILSVRC's classes are called, becomes "tench".
    """
    line = " ".join(printable(with_word(name)).split())
    line = re.sub(r"^n\d{8} (?=\S)", "", line)
    return line if cell_len(line) <= limit else set_cell_size(line, limit - 1).rstrip() + "…"


def three_digits(value: SupportsFloat) -> str:
    """A number in three digits: 0.123, 1.20, 12.3, 123."""
    return f"{float(value):#.3g}".rstrip(".")


def encode(figure: "Figure", kind: str) -> bytes:
    """A figure as the bytes of a png, svg, pdf or jpg file."""
    out = io.BytesIO()
    options: dict[str, Any] = {"metadata": {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)}
    if kind == "jpg":
        options["pil_kwargs"] = {"quality": 88, "subsampling": 0}  # colours as sharp as the rest, for the letters
    with style():
        figure.savefig(out, format=kind, dpi=2 * UNITS, **options)
    return out.getvalue()


def kind_of(path: Path) -> str:
    """The kind of a picture by its suffix: png, svg or pdf.

    Raises InputError for another, and where nothing can be drawn, so ask before a long computation.
    """
    need("report", "matplotlib")
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"{path}: pictures are written as .png, .svg or .pdf; change the suffix")
    return kind


def save(figure: "Figure", path: Path) -> None:
    """Write a figure, whole or not at all. Raises InputError for a suffix other than .png, .svg and .pdf."""
    write_bytes(path, encode(figure, kind_of(path)))


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn of a run, or of several."""

    runs: tuple[Path, ...]
    picture: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        names = [str(run) for run in self.runs]
        return {**({"run": names[0]} if len(names) == 1 else {"runs": names}), "picture": str(self.picture)}


def data_url(figure: "Figure", kind: str) -> str:
    """A figure as text that stands for its file in HTML."""
    return _url(encode(figure, kind), kind)


def thumbnail_url(pixels: np.ndarray, side: int) -> str:
    """A photograph uint8 [S, S, 3], made small, as text that stands for a JPEG file in HTML."""
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS).save(out, "jpeg", quality=75)
    return _url(out.getvalue(), "jpg")


def _url(file: bytes, kind: str) -> str:
    media = {"png": "image/png", "svg": "image/svg+xml", "jpg": "image/jpeg"}[kind]
    return f"data:{media};base64,{base64.b64encode(file).decode()}"
