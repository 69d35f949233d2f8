"""Messages of image decoders become the reason why an image is skipped, and stay off the terminal.

libtiff, and the JPEG library inside it, print by themselves, from any thread; Pillow warns and logs. All of it is turned off or
caught at its source and once: what Python or a crash writes on stderr still gets there.
"""

import ctypes
import logging
import threading
import warnings
from typing import Any

import PIL._imaging

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_thread = threading.local()


def hush() -> None:
    """Stops decoders from printing; an error of libtiff is kept for `complaint`."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints what nobody has asked for
    try:
        # The library that Pillow was built with, wherever it lies.
        library = ctypes.CDLL(PIL._imaging.__file__)
        for name, handler in (("TIFFSetWarningHandler", None), ("TIFFSetErrorHandler", _keep)):
            set_handler = library[name]
            set_handler.restype = ctypes.c_void_p
            set_handler(handler)
    except (AttributeError, OSError, TypeError):  # it was built in otherwise, or not at all: then libtiff prints
        pass


@_Handler
def _keep(module: bytes | None, form: bytes | None, values: Any) -> None:
    try:
        text = ctypes.create_string_buffer(200)
        ctypes.pythonapi.PyOS_vsnprintf(text, ctypes.c_size_t(len(text)), form, ctypes.c_void_p(values))
        where = b"" if module == b"tempfile.tif" else module  # what Pillow calls every file
        words = ": ".join(part.decode(errors="replace") for part in (where, text.value) if part)
        if not getattr(_thread, "complaint", ""):  # the first is the cause of the others
            _thread.complaint = " ".join(words.split()).rstrip(".")
    except Exception:  # nobody could catch it, and Python would print it
        pass


def complaint() -> str:
    """The first error of libtiff in this thread since the last call; "" where there was none."""
    words: str = getattr(_thread, "complaint", "")
    _thread.complaint = ""
    return words
