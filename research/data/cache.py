"""What was downloaded once: parsed columns on disk, each file named by its digest.

A file is written beside its name and moved there whole; it is read without pickle and
believed only if its columns still have the digest it is named by.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from research.data.digest import flatten, restore
from research.data.notices import say
from research.types import Ratings

__all__ = ["default_root", "read_cached", "set_aside", "workspace", "write_cached"]

_DIGEST_GLOB = "[0-9a-f]" * 64


def default_root() -> Path:
    """$TWO_TOWER_CACHE, else two-tower in $XDG_CACHE_HOME, else in ~/.cache."""
    if own := os.environ.get("TWO_TOWER_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "two-tower"


def read_cached(root: Path, name: str) -> Ratings | None:
    """The data set from an earlier download; None if there is none to be trusted.

    A file that is damaged, or whose columns don't have its digest, is kept aside
    under a new name, with a line on stderr.
    """
    files = sorted(root.glob(f"{name}-{_DIGEST_GLOB}.npz"), key=_age)
    for path in files:
        expected = path.stem[-64:]
        try:
            # allow_pickle is off by default; said because it must stay so.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                ratings = restore(name, {key: arrays[key] for key in arrays.files})
            if ratings.digest == expected:
                return ratings
            reason = (
                f"its digest is {ratings.digest[:12]}..., not the one it is named by"
            )
        except Exception as error:  # whatever damaged bytes make zip and npy raise
            reason = f"it can't be read ({error})"
        say(f"{name}: the cached copy isn't used: {reason}; kept as {set_aside(path)}")
    return None


def write_cached(root: Path, ratings: Ratings) -> None:
    """Keeps a data set for later; a cache that can't be written costs only a line."""
    target = root / f"{ratings.name}-{ratings.digest}.npz"
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(".part", f"{ratings.name}-", root)
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, allow_pickle=False, **flatten(ratings))
            os.replace(part, target)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        say(f"{ratings.name}: no copy is kept in {root} ({error.strerror or error})")


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A folder for a download, removed afterwards; in the cache if that can be written.

    In the cache, because the system's temporary folder may be small.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(".part", "download-", root)
    except OSError:
        folder = tempfile.TemporaryDirectory(".part", "two-tower-")
    with folder as path:
        yield Path(path)


def set_aside(path: Path, folder: Path | None = None) -> Path:
    """Moves a file that isn't to be trusted out of use, for a person to look at.

    Args:
      path: the file.
      folder: where to keep it, by default where it is.

    Returns:
      Where it is kept: its name with ".rejected" after it, replacing an earlier one.
      Where it was, if it can't be moved.
    """
    kept = (folder or path.parent) / f"{path.name}.rejected"
    try:
        os.replace(path, kept)
    except OSError:
        return path
    return kept


def _age(path: Path) -> float:
    """Sorts the newest first."""
    return -path.stat().st_mtime
