"""Several processes that train one run together, each with its own devices.

Every process is given the same command but for its number. JAX ends a process whose
fellows don't come, without a word that a person could use; so they meet beforehand at
the address that JAX then takes over (meeting.py). Whatever makes them unequal is found
there, before anything is computed or written.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from experiments.engine.meeting import PATIENCE, Said, meet, part
from research.types import InputError


class Place(NamedTuple):
    """A process's place: how many there are, which one it is, where they meet."""

    processes: int = 1
    process_id: int = 0
    coordinator: str | None = None


def check_place(place: Place) -> None:
    """Looks whether the place can be meant.

    Raises:
      InputError: no such process, or an address that is none.
    """
    processes, own, coordinator = place
    if processes < 1:
        raise InputError(f"processes is {processes}: it must be at least 1")
    if not 0 <= own < processes:
        raise InputError(f"process_id is {own}: it must be in [0, {processes})")
    if processes == 1:
        if coordinator is not None:
            raise InputError("--coordinator needs --processes above 1")
        return
    if coordinator is None:
        raise InputError(f"{processes} processes need a --coordinator HOST:PORT")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InputError(f"coordinator {coordinator!r}: it must be HOST:PORT")


@contextlib.contextmanager
def join(place: Place, said: Said, go: bool) -> Iterator[bool]:
    """Meets the others; then, if the first has something to train, joins their devices.

    Must come before anything is computed. A process that is lost later on fails the run
    of the others. Process 0 goes last: where it was, JAX has the others meet.

    Args:
      place: of this process.
      said: what all of them must have in common.
      go: of process 0, whether there is something to train.

    Yields:
      What process 0 was given for go.

    Raises:
      InputError: see meet.
    """
    processes, own, coordinator = place
    assert coordinator is not None
    met = meet(own, processes, coordinator, said, go)
    if not met.go:
        part(met.lines, patience=0.0)
        yield False
        return
    import jax

    # Without it JAX ends this process as soon as another is lost.
    jax.config.update("jax_enable_recoverability", True)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Gloo waits 30 s: who has kept a program would be ahead of who must compile it.
    jax.config.update("jax_enable_compilation_cache", False)
    jax.distributed.initialize(
        coordinator, processes, own,
        initialization_timeout=int(PATIENCE), coordinator_bind_address=coordinator,
    )  # fmt: skip
    try:
        yield True
    finally:
        if own:
            jax.distributed.shutdown()
        part(met.lines, patience=0.0 if own else PATIENCE)
