"""Files that are whole or absent: written beside their place, then renamed into it."""

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

from research.types import InputError

__all__ = ["beside", "read_arrays", "replace", "write_arrays"]


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


EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can hold
UNIX = 3  # else the zip says which system wrote it
LEVEL = 9


def write_arrays(path: Path, arrays: Mapping[str, ndarray]) -> Path:
    """Writes arrays as a compressed .npz whose bytes depend on nothing but them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.ascontiguousarray(values), allow_pickle=False
            )
            info = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            info.create_system = UNIX
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=LEVEL)
    return replace(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, ndarray]:
    """Returns the arrays of an .npz by name; nothing in it is ever unpickled.

    Raises:
      InputError: no such file, or one that can't be read as arrays.
    """
    try:
        # from bytes, since numpy leaves a file open that turns out to be no zip
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not readable as arrays ({error})") from error
