"""Where files of data lie, and how much is read of them.

A file is a regular one, in a folder or a zip; what it unpacks to and the length of its
lines have limits, so that no small file fills the memory.
"""

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

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
                check_regular(self.path / file)
                with (self.path / file).open("rb") as stream:
                    if found := packed_as(stream.read(4)):
                        raise InputError(
                            f"{self.label(file)}: expected text, found {found}"
                        )
                    stream.seek(0)
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
        except (*DAMAGED, EOFError) as error:
            raise InputError(f"{self.label(file)}: damaged archive ({error})") from None
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self.label(file)}: can't be read ({reason})") from None


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


def lines_of(stream: Any, where: str, packed: int | None = None) -> Iterator[bytes]:
    """The lines of a stream of bytes.

    Raises:
      InputError: a line is longer than LINE_LIMIT (no more of it is read), or the file
        unpacks to too much.
    """
    number = size = 0
    while line := stream.readline(LINE_LIMIT + 1):
        number, size = number + 1, size + len(line)
        if packed is not None:
            check_unpacked(where, size, packed)
        if len(line) > LINE_LIMIT:
            raise InputError(
                f"{where}:{number}: expected a line of at most {LINE_LIMIT:,} bytes, "
                f"found a longer one"
            )
        yield line


def last_byte(path: Path) -> bytes:
    """The last byte of a file, unpacked if it is a .gz; b"" if it unpacks to none.

    A .gz is unpacked for this and its size alone, before the table is read: a stream of
    Python that counts while pyarrow's threads read from it can abort the process at its
    end.

    Raises:
      InputError: it unpacks to too much.
      OSError: it is cut off or damaged.
    """
    if path.suffix != ".gz":
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read()
    import pyarrow as pa

    packed, size, last = path.stat().st_size, 0, b""
    with pa.input_stream(str(path), compression="gzip") as stream:
        while data := stream.read(1 << 20):
            size, last = size + len(data), data[-1:]
            check_unpacked(str(path), size, packed)
    return last
