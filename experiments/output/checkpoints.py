"""A run's checkpoints in its folder: there while it trains, gone when it is trained.

One of another run, of other code, packages or threads, or one that is damaged is named
in one line and not used.
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
from research.files import read_arrays
from research.notices import say
from research.train.checkpoint import INTERVAL, Checkpoint
from research.types import InputError

NAME = "checkpoints"  # of the folder in a run's
FILE = "default/arrays.npz"  # of a checkpoint's folder
MADE_BY = "made_by"  # among the arrays
SECONDS = "TWO_TOWER_CHECKPOINT_SECONDS"  # of the environment: another interval


def interval() -> float:
    """Seconds of training between two checkpoints.

    Raises:
      InputError: the environment asks for something that is no number of seconds.
    """
    text = os.environ.get(SECONDS, "")
    try:
        seconds = float(text or INTERVAL)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"{SECONDS} is '{text}': it must be a number of seconds")
    return seconds


def checkpoint_of(run: Run, digest: str) -> Checkpoint | None:
    """Where a run's training is kept; None where several processes share it.

    Args:
      run: the run.
      digest: of its data.
    """
    import jax

    if jax.process_count() > 1:
        return None
    made_by, folder = _made_by(run, digest), run.folder / NAME
    return Checkpoint(
        functools.partial(_load, folder, made_by),
        functools.partial(_save, folder, made_by),
        interval(),
    )


def discard(folder: Path) -> None:
    """Removes the checkpoints of a run that is trained, or can't be."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / NAME)


def _made_by(run: Run, digest: str) -> str:
    """What two processes must share for the same bits: run, code, packages, device."""
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
    for step in complete(folder):
        try:  # as a file: the library would log the stacks of what is damaged
            arrays = read_arrays(step / FILE)
            told, seconds = str(arrays.pop(MADE_BY)), float(arrays["seconds"][1])
        except (InputError, LookupError) as error:
            say(f"{step}: not used, as it is damaged ({type(error).__name__})")
            shutil.rmtree(step)
            continue
        if told != made_by:
            say(f"{folder}: not used, as other code, packages or threads made it")
            shutil.rmtree(folder)
            return None
        say(f"goes on from a checkpoint after {seconds:.0f} s of training")
        return arrays
    return None


def complete(folder: Path) -> list[Path]:
    """The checkpoints in the folder, the last one first."""
    steps = [p for p in folder.glob("*") if p.name.isdecimal() and p.is_dir()]
    return sorted(steps, key=lambda step: int(step.name), reverse=True)


def _save(folder: Path, made_by: str, arrays: dict[str, np.ndarray]) -> None:
    """Keeps the arrays; a disk that is full costs the checkpoint and not the run."""
    from experiments.output.orbax_files import (
        keep,  # half a second: a short run needs none
    )

    try:
        keep(folder, {MADE_BY: np.array(made_by), **arrays})
    except OSError as error:
        with contextlib.suppress(OSError):
            say(f"{folder}: no checkpoint: {error.strerror or error}")
