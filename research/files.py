"""The one writer of files: whole or absent, and the same bytes for the same content.

A file is written beside its place, then renamed into it.
"""

import csv
import dataclasses
import errno
import fcntl
import glob
import io
import json
import lzma
import os
import platform
import re
import shutil
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy import ndarray

from research.types import InputError

PART = ".part"  # ends the name of a file that is being written


def beside(path: Path, suffix: str) -> Path:
    """Returns the path with a suffix added; a dot in its name is part of the name.

    >>> beside(Path("figures/tau-0.1"), ".svg").name
    'tau-0.1.svg'
    """
    return path.parent / (path.name + suffix)


def sweep(folder: Path, pattern: str = "**/*") -> None:
    """Removes the part files that dead processes of this machine left in a folder."""
    mine = re.compile(rf".*\.{re.escape(platform.node())}\.(\d+){re.escape(PART)}")
    for path in folder.glob(f"{pattern}{PART}"):
        if (match := mine.fullmatch(path.name)) and not _alive(int(match[1])):
            _remove(path)


def _remove(path: Path) -> None:
    """Removes what may be removed; what another user left there hinders nothing."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def _part(path: Path) -> Path:
    """Where this process writes what will be at a path; what a kill left is removed."""
    sweep(path.parent, f"{glob.escape(path.name)}.*")
    return beside(path, part_ending())


def part_ending() -> str:
    """The end of the names of this process's part files, which ``sweep`` looks for."""
    return f".{platform.node()}.{os.getpid()}{PART}"


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """An open file that takes its name once it is complete.

    A reader sees all of it or what was there before. Two processes may write the same
    file at once: each has its own part file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        if error.errno and error.filename in (None, str(part)):  # as of a full disk
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder for files whose places are below another folder, removed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    part = _part(folder / "files")
    _remove(part)  # of a killed process of this one's number, as in a container
    try:
        part.mkdir()
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process writes files that belong together into a folder."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


@contextmanager
def together(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder to write files into that take their places when all are written.

    If one can't be written, what was there stays as it was. If the process is killed
    while they take their places, the last of the names is missing. Of two processes
    that write to one folder, all files are those of the later one.

    Raises:
      OSError: a file can't be written, or a folder has the name of one.
    """
    for path in (folder / name for name in names):
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError(errno.EISDIR, f"{path.name} in it is a folder")
    with scratch(folder) as part:
        yield part
        written = [name for name in names if (part / name).is_file()]
        with alone(folder):
            for name in (*names[-1:], *(n for n in names if n not in written)):
                (folder / name).unlink(missing_ok=True)
            for name in written:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(part / name, folder / name)


def replace(path: Path, content: bytes) -> Path:
    """Writes a file of these bytes."""
    with _whole(path) as file:
        file.write(content)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Writes a value as JSON with sorted keys; dataclasses become objects."""
    text = json.dumps(value, indent=1, sort_keys=True, default=dataclasses.asdict)
    return replace(path, f"{text}\n".encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file.

    Raises:
      InputError: the file is missing or isn't a JSON object.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError("not a regular file")
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object")
    return value


def spreadsheet_text(value: Any) -> Any:
    """The value, with an apostrophe before a text that a spreadsheet would compute.

    Such a text begins with = + - @, a tab or a carriage return, and isn't a number.
    """
    if not isinstance(value, str) or not value.startswith(FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes rows under the union of their columns, numbers to 7 digits.

    A column that a row lacks is an empty cell. Texts are as in ``spreadsheet_text``.
    """
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            n: f"{v:.7g}" if isinstance(v, float) else spreadsheet_text(v)
            for n, v in row.items()
        }
        for row in rows
    )
    return replace(path, text.getvalue().encode())


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can hold
UNIX = 3  # fixed, as a zip otherwise names the system that wrote it
# What zipfile and NumPy raise for a flipped bit, depending on the field it is in.
DAMAGED = (OSError, ValueError, TypeError, EOFError, LookupError, RuntimeError,
           SyntaxError, MemoryError, OverflowError, struct.error, zlib.error,
           zipfile.BadZipFile, tokenize.TokenError, lzma.LZMAError)  # fmt: skip


def write_arrays(
    path: Path, arrays: Mapping[str, ndarray], level: int = 9, small: bool = False
) -> Path:
    """Writes arrays as an .npz whose bytes depend on nothing but them."""
    packed = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    with _whole(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            ordered = np.asarray(values, order=_smaller_order(values) if small else "C")
            np.lib.format.write_array(member, ordered, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            info.create_system = UNIX
            info.compress_type = zipfile.ZIP_LZMA if small else packed
            archive.writestr(info, member.getbuffer(), compresslevel=level)
    return path


def _smaller_order(values: ndarray) -> Literal["C", "F"]:
    """The order in memory, of C and Fortran, in which an array compresses better.

    Numbers of one user under many settings are alike, those of many users aren't, and
    compression finds what is alike only if it is close together. LZMA's quickest
    setting ranks the two orders as its usual one does; zlib need not.
    """
    orders: tuple[Literal["C"], Literal["F"]] = ("C", "F")
    return min(
        orders, key=lambda order: len(lzma.compress(values.tobytes(order), preset=0))
    )


def read_arrays(path: Path, only: Collection[str] = ()) -> dict[str, ndarray]:
    """Returns the arrays of an .npz by name; nothing in it is ever unpickled.

    Raises:
      InputError: no such file, or one that can't be read as arrays.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [n for n in archive.files if not only or n in only]
            return {name: archive[name] for name in names}
    except DAMAGED as error:
        raise InputError(f"{path}: not readable as arrays ({error})") from error
