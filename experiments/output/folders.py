"""A run's id, the names of folders and files, and what an output folder must be."""

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path

from research.config import Config, training_fields
from research.files import sweep
from research.registry import entry_name
from research.report.records import RECORDS_VERSION
from research.serving import AS_TRAINED, Serving
from research.types import InputError

FINISHED, FAILED = 0, 1  # exit statuses
QUICK = "quick"  # the folder of smoke runs in an output folder
ID_LENGTH = 12  # hex digits of a run's id


def run_id(config: Config, digest: str, start: str = "") -> str:
    """First 12 hex digits of sha256 over the canonical JSON of what decides a run.

    That is the training fields with their features named, the digest of the data,
    RECORDS_VERSION and the start. Serving fields give further rows of the same run.
    """
    what = {
        "config": training_fields(config),
        "data": digest,
        "results_version": RECORDS_VERSION,
    }
    if start:
        what["start"] = start
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def id_of(folder: Path) -> str:
    """The run's id at the end of its folder's name."""
    return folder.name[-ID_LENGTH:]


def serving_folder(folder: Path, config: Config) -> Path:
    """The folder of the run's metrics under the config's serving fields."""
    serving = Serving.of(config)
    if serving == AS_TRAINED:
        return folder
    exposure = f"exposure{_signed(serving.exposure)}" if serving.exposure else ""
    clicks = f"min-clicks{serving.min_clicks}" if serving.min_clicks else ""
    return folder / f"prior{_signed(serving.prior)}{exposure}{clicks}"


def place_of(run: Path, folder: Path) -> str:
    """A run's id and a folder in it: what its seal names, so that no copy passes."""
    return f"{id_of(run)}/{folder.relative_to(run)}"


def _signed(number: float) -> str:
    """A number with its sign and all its digits, so that no two have one name.

    >>> _signed(0.5), _signed(-1.0), _signed(0.12345678)
    ('+0.5', '-1', '+0.12345678')
    """
    short = f"{number:+g}"
    return short if float(short) == number else f"{number:+.17g}"


def file_name(name: str, split: str) -> str:
    """A grid's name in files: with the split where it isn't the default one."""
    split = entry_name(split)
    return name if split == Config.split else f"{name}-{split}"


def records_path(out: Path, dataset: str, name: str, split: str = Config.split) -> Path:
    """The path of the records of a grid or a study."""
    return out / "records" / dataset / f"{file_name(name, split)}.npz"


def records_near(missing: Path) -> str:
    """The end of a message on a missing file: which records there are instead."""
    folder = missing.parent
    if grids := sorted(path.stem for path in folder.glob("*.npz")):
        return f": of {folder.name} there are records of {', '.join(grids)}"
    others = sorted({path.parent.name for path in folder.parent.glob("*/*.npz")})
    return f": there are records of the data sets {', '.join(others)}" if others else ""


def check_writable(folder: Path, what: str) -> None:
    """Checks that the folder can be made and written to; makes nothing."""
    there = folder
    try:
        there = _nearest(folder)
        longest = os.pathconf(there, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in folder.parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{what} folder {folder} can't be written: {there}: {reason}"
        ) from None


def _nearest(path: Path) -> Path:
    """The path, or what is nearest above it of what is there, a dangling link too."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return _nearest(path.parent)
    return path


def output(out: Path, quick: bool) -> Path:
    """Where a command writes; a smoke run has its own folder and replaces no result."""
    return out / QUICK if quick else out


def checked(out: Path) -> Path:
    """The output folder, if something could be written there; writes nothing."""
    try:
        nearest = _nearest(out)
        nearest.stat()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"output folder {out} can't be written: {reason}") from None
    if nearest == out and not out.is_dir():
        raise InputError(f"output folder {out} is a file")
    return out


def writable(out: Path) -> Path:
    """The output folder, made if need be."""
    check_writable(out, "output")
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    for name in ("runs", "records", "tables", "figures"):
        if (out / name).exists() and not (out / name).is_dir():
            raise InputError(f"{out / name} can't be written to: it is a file")
    return out
