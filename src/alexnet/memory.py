"""How much memory there is."""

import os
import re
from pathlib import Path


def memory_free() -> int | None:
    """Bytes that a new process could have on the CPU: what is free, within the container's limit; None if unknown."""
    found = []
    try:
        text = Path("/proc/meminfo").read_text()
        found += [1024 * int(kib) for kib in re.findall(r"MemAvailable:\s+(\d+) kB", text)]
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    if not found and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found)) if found else None
