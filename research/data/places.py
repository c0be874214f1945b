"""Where files of data lie, and how much is read of them.

A file is a regular one, in a folder or a zip; what it unpacks to and the length of its
lines have limits, so that no small file fills the memory. An .npz of unknown origin is
read under the same limits.
"""

import gzip
import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from numpy import ndarray

from research.files import read_arrays
from research.types import InputError

LINE_LIMIT = 2**20  # bytes of a line
# What a packed file may unpack to: this many bytes, or this many times its own, if that
# is more. Text of ratings packs to a fifth or a tenth.
UNPACKED, RATIO = 2**26, 100
MAGIC = {b"PK\x03\x04": "a zip", b"PAR1": "parquet", b"\x1f\x8b": "gzip"}
# Raised for a zip that is damaged, encrypted (RuntimeError) or packed in a way that
# Python does not know (NotImplementedError).
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    NotImplementedError,
)


class Place(NamedTuple):
    """Where files lie: a folder (inside is None), or the folder ``inside`` a zip.

    A zip is read without unpacking it. inside is "" or ends with "/".
    """

    path: Path
    inside: str | None = None

    def label(self, file: str) -> str:
        """The name of a file in messages."""
        return str(self.path / f"{self.inside or ''}{file}")

    def has(self, file: str) -> bool:
        """Whether the file is there; False for an archive that can't be read."""
        if self.inside is None:
            return (self.path / file).is_file()
        try:
            if not self.path.is_file():  # a pipe would be waited for
                return False
            with zipfile.ZipFile(self.path) as archive:
                return self.inside + file in archive.namelist()
        except (OSError, *DAMAGED):
            return False

    def size(self, file: str) -> int:
        """Bytes of the file, unpacked."""
        if self.inside is None:
            return (self.path / file).stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.inside + file).file_size

    @contextmanager
    def open(self, file: str) -> Iterator[IO[bytes]]:
        """The file's bytes as a stream.

        Raises:
          InputError: the file can't be read, the archive turns out damaged, or the file
            unpacks to too much.
        """
        try:
            if self.inside is None:
                path = self.path / file
                check_format(path)
                opened: Any = gzip.open if path.suffix == ".gz" else open
                with opened(path, "rb") as stream:
                    yield stream
            else:
                with zipfile.ZipFile(self.path) as archive:
                    member = archive.getinfo(self.inside + file)
                    if archive.namelist().count(member.filename) > 1:
                        raise InputError(
                            f"{self.label(file)}: two files of this name in the archive"
                        )
                    check_unpacked(
                        self.label(file), member.file_size, member.compress_size
                    )
                    with archive.open(member) as unpacked:
                        yield unpacked
        except (*DAMAGED, EOFError, OSError) as error:
            zipped = self.inside is not None and not isinstance(error, OSError)
            problem = "damaged archive" if zipped else "can't be read"
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.label(file)}: {problem} ({reason})") from None

    def pieces(self, file: str, read: Callable[[Any], bytes]) -> Iterator[bytes]:
        """The file's bytes, unpacked, as a function reads them from the stream.

        Raises:
          InputError: as for ``open``; a .gz is read until it unpacks to too much.
        """
        packed, size = self.size(file) if file.endswith(".gz") else 0, 0
        with self.open(file) as stream:
            while piece := read(stream):
                size += len(piece)
                if packed and self.inside is None:
                    check_unpacked(self.label(file), size, packed)
                yield piece

    def lines(self, file: str) -> Iterator[bytes]:
        """The lines of a file.

        Raises:
          InputError: a line is longer than LINE_LIMIT: no more of it is read.
        """
        lines = self.pieces(file, lambda stream: stream.readline(LINE_LIMIT + 1))
        for number, line in enumerate(lines, start=1):
            if len(line) > LINE_LIMIT:
                raise InputError(
                    f"{self.label(file)}:{number}: expected a line of at most "
                    f"{LINE_LIMIT:,} bytes, found a longer one"
                )
            yield line


def packed_as(start: bytes) -> str:
    """What a file's first bytes say that it is, "" for text or something unknown."""
    return next((what for magic, what in MAGIC.items() if start.startswith(magic)), "")


def check_regular(path: Path) -> None:
    """Checks that a path is a file that can be read to its end.

    Raises:
      InputError: it is a folder, a pipe or a device, or isn't there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: can't be read ({reason})") from None
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: not a regular file")


def check_format(path: Path, parquet: bool = False) -> None:
    """Checks that a file is regular and, by its first bytes, of its format.

    Raises:
      InputError: it isn't.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    wanted = "parquet" if parquet else "gzip" if path.suffix == ".gz" else ""
    found = packed_as(start)
    if wanted != found:
        expected = f"{wanted}, as its name says" if wanted else "text"
        found = found or ("other bytes" if start else "an empty file")
        raise InputError(f"{path}: expected {expected}, found {found}")


def check_unpacked(where: str, size: int, packed: int) -> None:
    """Refuses a packed file that unpacks to far more than data does.

    Raises:
      InputError: it is larger than UNPACKED and than RATIO times its packed size.
    """
    limit = max(UNPACKED, RATIO * packed)
    if size > limit:
        raise InputError(
            f"{where}: {packed:,} bytes unpack to more than {limit:,}: unpack it "
            f"yourself if that is intended"
        )


def check_archive(path: Path) -> None:
    """Refuses an .npz that unpacks to far more than arrays do; other files pass.

    Raises:
      InputError: the file is such an .npz, or isn't a regular file.
    """
    if path.exists():  # else reading it raises the error
        check_regular(path)
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (*DAMAGED, OSError) as error:
        raise InputError(f"{path}: not readable as arrays ({error})") from None
    size = sum(member.file_size for member in members)
    check_unpacked(str(path), size, path.stat().st_size)


def safe_arrays(path: Path, only: Collection[str] = ()) -> dict[str, ndarray]:
    """As research.files.read_arrays, for a file of unknown origin.

    Raises:
      InputError: no such file, or one that can't be read as arrays.
    """
    check_archive(path)
    return read_arrays(path, only)
