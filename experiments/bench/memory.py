"""How much memory a call takes beyond what is there already."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

__all__ = ["beyond"]

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def beyond(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """Calls, waits for the arrays, and tells the most that was held beyond the start.

    On a CPU that is resident memory, whose peak Linux can be told to forget; on an
    accelerator what its allocator says.

    Returns:
      what the call returned; the bytes, None where the system doesn't tell.
    """
    before = _held(forget=True)
    result = jax.block_until_ready(call())
    after = _held(forget=False)
    if before is None or after is None:
        return result, None
    return result, max(after[1] - before[0], 0)


def _held(forget: bool) -> tuple[int, int] | None:
    """Bytes held now, and at most since they were forgotten last."""
    stats = jax.devices()[0].memory_stats()
    if stats is not None:
        return stats["bytes_in_use"], stats["peak_bytes_in_use"]
    try:
        if forget:
            descriptor = os.open(_RESET, os.O_WRONLY)
            os.write(descriptor, b"5")
            os.close(descriptor)
        text = _STATUS.read_text()
    except OSError:
        return None
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    now, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak
