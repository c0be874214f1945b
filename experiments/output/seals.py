"""The seal of a run: metrics.json, written last, by which it is finished or not.

It holds the metrics, and under "seal" the sha256 of every other file of the folder,
whose folder it is, the digest of the code that made them, and the checksum of all this.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.output.code import code_of
from experiments.output.folders import place_of, serving_folder
from research.config import Config
from research.files import read_json, write_json
from research.report.records import RECORDS_VERSION
from research.serving import Serving
from research.types import InputError

METRICS = "metrics.json"
SEAL = "seal"
APART = (METRICS, "failed.json")
ABSENT, OTHER_CODE = "not run", "made by other code"
NO_FOLDER = "it isn't a folder"  # but a pipe, or a link to nowhere
COPIED = "it holds the files of another run"


def write_metrics(
    folder: Path, numbers: Mapping[str, Any], code: str, run: Path
) -> Path:
    """Writes metrics.json, when all else of a folder of a run is there."""
    files = {
        path.name: sha256_of(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix != ".part" and path.name not in APART
    }
    seal = {"code": code, "of": place_of(run, folder), "files": files}
    content = {**numbers, SEAL: seal}
    content[SEAL]["sum"] = _checksum(content)
    return write_json(folder / METRICS, content)


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a run, by name and cut-off.

    Raises:
      InputError: they can't be read.
    """
    return {n: v for n, v in read_json(folder / METRICS).items() if n != SEAL}


def why_unfinished(folder: Path, config: Config | None = None) -> str:
    """Why a run isn't finished: ABSENT, OTHER_CODE, or what is damaged.

    Args:
      folder: the run's, or that of a way to serve it.
      config: with it, the run's metrics under these serving fields are needed, too.

    Returns:
      "" if it is: all files are as they were written, by the code that runs now.
    """
    reason = _why_unusable(folder)
    if config is not None and not reason:
        reason = _why_unusable(serving_folder(folder, config))
    return reason


def _why_unusable(folder: Path) -> str:
    if not folder.is_dir():
        return NO_FOLDER if os.path.lexists(folder) else ABSENT
    if not (folder / METRICS).is_file():
        there = os.path.lexists(folder / METRICS)
        return f"{METRICS} isn't a regular file" if there else ABSENT
    try:
        content = read_json(folder / METRICS)
        if SEAL not in content:
            return OTHER_CODE  # older than seals
        seal = dict(content[SEAL])
        if seal.pop("sum") != _checksum({**content, SEAL: seal}):
            return f"{METRICS} isn't as it was written"
        for name, digest in seal["files"].items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if sha256_of(folder / name) != digest:
                return f"{name} isn't as it was written"
        if seal["code"] != code_of(read_json(folder / "config.json")):
            return OTHER_CODE
        run = folder.parent if (folder.parent / "config.json").is_file() else folder
        copied = seal["of"] != place_of(run, folder)
    except (InputError, OSError, KeyError, TypeError, AttributeError, ValueError):
        return f"{METRICS} can't be read"
    return COPIED if copied else ""


def check_version(folder: Path) -> None:
    """Refuses a run that another RECORDS_VERSION wrote.

    Raises:
      InputError: naming its folder.
    """
    if not (folder / METRICS).is_file():
        return
    try:
        version = read_json(folder / "env.json").get("results_version")
    except InputError:  # damaged, as the seal tells
        return
    if version != RECORDS_VERSION:
        raise InputError(
            f"{folder}: a record of version {version}, "
            f"this code makes version {RECORDS_VERSION}: choose another --out"
        )


def servings_in(folder: Path) -> dict[Serving, str]:
    """How a finished run is served in its folder: each serving's arm, "" for none."""
    found = {}
    for path in (folder / "config.json", *sorted(folder.glob("*/config.json"))):
        if not why_unfinished(path.parent):
            config = read_json(path)
            serving = Serving(*(config[name] for name in Serving._fields))
            found[serving] = str(config.get("arm", ""))
    return found


def clear(folder: Path, anew: bool = False) -> None:
    """Empties a run's folder that can't be used, its servings' folders included."""
    if (found := why_unfinished(folder)) == ABSENT or (not found and not anew):
        return
    if found == NO_FOLDER:
        folder.unlink()
        return
    (folder / METRICS).unlink()  # first: from here on the run is begun, not finished
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            path.unlink()


def sha256_of(path: Path) -> str:
    """The digest of a file, read once as long as its size and time stay."""
    about = path.stat()
    return _sha256_of(path, about.st_size, about.st_mtime_ns)


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.lru_cache(maxsize=65536)
def _sha256_of(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
