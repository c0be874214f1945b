"""Files that are whole or absent: written beside their place, then renamed into it."""

import os
from pathlib import Path

__all__ = ["beside", "replace"]


def beside(path: Path, suffix: str) -> Path:
    """Returns the path with a suffix added; a dot in its name is part of the name.

    >>> beside(Path("figures/tau-0.1"), ".svg").name
    'tau-0.1.svg'
    """
    return path.parent / (path.name + suffix)


def replace(path: Path, content: bytes) -> Path:
    """Writes a file so that a reader sees all of it or what was there before.

    Two processes that write the same file don't meet: each has a part of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = beside(path, f".{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
