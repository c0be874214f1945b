"""Where a run's files lie, what makes it finished, and how files are written whole."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from research.config import Config, training_fields
from research.notices import say
from research.report.records import RESULTS_VERSION
from research.types import InputError

__all__ = [
    "RESULTS_VERSION",
    "check_writable",
    "environment",
    "finished",
    "keep_compiled",
    "read_json",
    "run_folder",
    "run_id",
    "serving_folder",
    "writable",
    "write_json",
]


def run_id(config: Config, digest: str) -> str:
    """First 12 hex digits of sha256 over the canonical JSON of what decides a run.

    That is the training fields with their features named, the digest of the data and
    RESULTS_VERSION. Serving fields make further rows of the same run.
    """
    what = {
        "config": training_fields(config),
        "data": digest,
        "results_version": RESULTS_VERSION,
    }
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_folder(out: Path, dataset: str, grid: str, identity: str) -> Path:
    """The run's folder: where it is finished, in this grid or another, else new."""
    runs = out / "runs" / dataset
    own = runs / grid / identity
    if not finished(own):
        for other in sorted(runs.glob(f"*/{identity}")):
            if finished(other):
                return other
    return own


def serving_folder(folder: Path, config: Config) -> Path:
    """Where the run's metrics under the config's serving fields lie."""
    return folder if config.prior == 0 else folder / f"prior{config.prior:+g}"


def finished(folder: Path) -> bool:
    """True if the metrics, which are written last, are there.

    Raises:
      InputError: they were written by another RESULTS_VERSION.
    """
    if not (folder / "metrics.json").is_file():
        return False
    env = read_json(folder / "env.json")
    if env.get("results_version") != RESULTS_VERSION:
        raise InputError(
            f"{folder}: a record of results version {env.get('results_version')}, "
            f"this is version {RESULTS_VERSION}: choose another --out"
        )
    return True


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file.

    Raises:
      InputError: the file is missing or isn't a JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object")
    return value


def write_json(path: Path, value: Any) -> None:
    """Writes the value whole or not at all; dataclasses become objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    with whole(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the name ``path`` once everything is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(folder: Path, what: str) -> None:
    """Looks whether the folder could be made and written to; makes nothing.

    Raises:
      InputError: it couldn't.
    """
    there = folder
    while not there.exists():
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{what} folder {folder} can't be written: {there}: {reason}"
        ) from None


def writable(out: Path) -> Path:
    """The output folder, made if need be.

    Raises:
      InputError: it can't be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".{os.getpid()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"output folder {out} can't be written: {reason}") from None
    for name in ("runs", "records", "tables", "figures"):
        if (out / name).exists() and not (out / name).is_dir():
            raise InputError(f"{out / name} can't be written to: it is a file")
    return out


def environment(digest: str, place: str) -> dict[str, Any]:
    """What a reader needs to trust or to repeat a number."""
    import jax

    names = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "pandas")
    return {
        "results_version": RESULTS_VERSION,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "device": jax.devices()[0].device_kind,
        "processor": platform.machine(),
        "place": place,
        "data_digest": digest,
    }


@functools.lru_cache
def _git(*words: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ("git", *words), cwd=here, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def keep_compiled(root: Path) -> None:
    """Whatever takes over a second to compile is kept in root/compiled.

    A folder that jax is told of otherwise (JAX_COMPILATION_CACHE_DIR) is used instead.
    What is read back is the program that was compiled: results are the same. A folder
    that can't be made costs only a line. Nothing there is needed: delete it freely.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    folder = root / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"compiled programs aren't kept: {folder}: {error.strerror}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
