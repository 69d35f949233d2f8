"""Times and sizes as people say them."""


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
