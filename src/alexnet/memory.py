"""How much memory there is."""

import os
import re
from pathlib import Path


def memory_free() -> int | None:
    """Bytes that a new process could have on the CPU: what is free, within the container's limit; None if unknown."""
    limits = []
    try:
        text = Path("/proc/meminfo").read_text()
        limits += [1024 * int(kib) for kib in re.findall(r"MemAvailable:\s+(\d+) kB", text)]
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            limits.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    if not limits and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(limits)) if limits else None


def address_space_left() -> int | None:
    """Bytes that this process may still map, where a limit is set (`ulimit -v`); None where not, or it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return None
    return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
