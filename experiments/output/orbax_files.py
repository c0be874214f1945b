"""Checkpoints by orbax-checkpoint: complete or not at all, the last two kept.

The library names, completes and removes them; research/files.py writes their content.
The library's own format restores a flipped bit without complaint, and prints stack
traces of its threads where the disk is full.
"""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from experiments.output.checkpoints import FILE
from research.files import read_arrays, write_arrays

MOST = 2  # checkpoints that are kept


class ArraysHandler(ocp.CheckpointHandler):
    """Writes and reads the arrays of one checkpoint."""

    def save(self, directory: os.PathLike[str], args: "Arrays") -> None:
        """Writes them into a folder that isn't complete yet."""
        write_arrays(Path(directory) / Path(FILE).name, args.arrays, level=0)

    def restore(
        self, directory: os.PathLike[str], args: "Arrays | None" = None
    ) -> dict[str, np.ndarray]:
        """Reads them.

        Raises:
          InputError: they are damaged.
        """
        return read_arrays(Path(directory) / Path(FILE).name)


@ocp.args.register_with_handler(ArraysHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class Arrays(ocp.args.CheckpointArgs):
    """The arrays of a checkpoint, by name."""

    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def keep(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Adds a checkpoint to a folder, numbered from 1; removes all but the last two.

    Incomplete checkpoints of a killed process are removed, too.

    Raises:
      OSError: it can't be written.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=MOST, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    with _quiet(), ocp.CheckpointManager(folder.absolute(), options=options) as manager:
        manager.save((manager.latest_step() or 0) + 1, args=Arrays(arrays))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the library's log, which prints a stack trace of every error."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
