"""A run's checkpoints in its folder, which exist only while it trains.

A checkpoint that is damaged, or that another run, other code, packages or threads made,
is not used, which one line says.
"""

import contextlib
import dataclasses
import functools
import math
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from experiments.output.code import code_of
from experiments.output.environment import threads
from experiments.output.folders import run_id
from experiments.output.plan import Run
from research.files import read_arrays, sweep, write_arrays
from research.notices import say
from research.train.checkpoint import INTERVAL, Checkpoint
from research.types import InputError

NAME = "checkpoints"  # the folder in a run's folder
MOST = 2  # checkpoints that are kept: were the last one damaged, there is another
MADE_BY = "made_by"  # the name of ``_made_by`` among the arrays
SECONDS = "TWO_TOWER_CHECKPOINT_SECONDS"  # environment variable: another interval


def checkpoint_interval() -> float:
    """Seconds of training between two checkpoints."""
    text = os.environ.get(SECONDS, "")
    try:
        seconds = float(text or INTERVAL)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"{SECONDS} is '{text}': it must be a number of seconds")
    return seconds


def checkpoint_of(run: Run, digest: str) -> Checkpoint | None:
    """How a run's checkpoints are loaded and saved; None for several processes."""
    import jax

    if jax.process_count() > 1:
        return None
    made_by, folder = _made_by(run, digest), run.folder / NAME
    return Checkpoint(
        functools.partial(_load, folder, made_by),
        functools.partial(_save, folder, made_by),
        checkpoint_interval(),
    )


def discard(folder: Path) -> None:
    """Removes the checkpoints of a run that is trained, or can't be."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / NAME)


def _made_by(run: Run, digest: str) -> str:
    """What must be the same for the same bits: run, code, packages, device, flags."""
    import jax

    identity = run_id(run.config, digest, run.start.digest if run.start else "")
    packages = [f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy")]
    device = (
        f"{run.devices} {jax.local_devices()[0].device_kind} of {threads()} threads"
    )
    code, flags = code_of(dataclasses.asdict(run.config)), os.environ.get("XLA_FLAGS")
    return "; ".join([identity, code, *packages, device, f"{flags}"])


def _load(folder: Path, made_by: str) -> Mapping[str, np.ndarray] | None:
    """The last checkpoint that can be used; damaged ones are removed."""
    for path in complete(folder):
        try:
            arrays = read_arrays(path)
            maker, seconds = str(arrays.pop(MADE_BY)), float(arrays["seconds"][1])
        except (InputError, LookupError) as error:
            say(f"{path}: not used, as it is damaged ({type(error).__name__})")
            path.unlink(missing_ok=True)
            continue
        if maker != made_by:
            say(f"{folder}: not used, as other code, packages or threads made it")
            shutil.rmtree(folder)
            return None
        say(f"goes on from a checkpoint after {seconds:.0f} s of training")
        return arrays
    return None


def complete(folder: Path) -> list[Path]:
    """The checkpoints in the folder, numbered from 1, the last one first."""
    found = [path for path in folder.glob("*.npz") if path.stem.isdecimal()]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def _save(folder: Path, made_by: str, arrays: dict[str, np.ndarray]) -> None:
    """Adds a checkpoint and removes all but the last two.

    On a full disk it is skipped, and the run goes on.
    """
    before = complete(folder)
    number = int(before[0].stem) + 1 if before else 1
    try:
        sweep(folder, "*")  # what a process that was killed in a save has left
        arrays = {MADE_BY: np.array(made_by), **arrays}
        write_arrays(folder / f"{number}.npz", arrays, level=0)
        for path in before[MOST - 1 :]:
            path.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            say(f"{folder}: no checkpoint: {error.strerror or error}")
