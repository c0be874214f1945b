"""Reading .npz files of unknown origin, which may be damaged or a zip bomb."""

import zipfile
from collections.abc import Collection
from pathlib import Path

from numpy import ndarray

from research.data.places import DAMAGED, check_regular, check_unpacked
from research.files import read_arrays
from research.types import InputError


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
