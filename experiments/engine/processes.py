"""Several processes that train one run together, each with its own devices.

Every process is given the same command but for its number. jax.distributed.initialize
aborts a process with a stack trace when another one is missing, which Python cannot
catch, and waits for ever where their numbers of processes differ. So the processes meet
beforehand, at the address that JAX then takes over: each sends process 0 a line of JSON
with its number and what must be the same in all, and gets one back: how it goes on, or
why it doesn't. The connections stay open, so that process 0, where JAX has the others
meet, sees them leave and leaves last.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from research.types import InputError

PATIENCE = 45.0  # seconds for the other processes to come, and at the end to leave
ANSWER = 5.0  # seconds for a process that has connected to say which one it is
LINE = 1 << 16  # bytes
Connections = dict[int, socket.socket]


class Place(NamedTuple):
    """A process's place: how many there are, which one it is, where they meet."""

    processes: int = 1
    process_id: int = 0
    coordinator: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the coordinator."""
        host, _, port = (self.coordinator or "").rpartition(":")
        return host, int(port)


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
def join(place: Place, common: Mapping[str, object], go: bool) -> Iterator[bool]:
    """Meets the others; then, if the first has something to train, joins their devices.

    Must come before anything is computed. A process that is lost later on fails the run
    of the others.

    Args:
      place: of this process.
      common: what must be the same in all of them.
      go: of process 0, whether there is something to train.

    Yields:
      What process 0 was given for go.

    Raises:
      InputError: see meet.
    """
    with meet(place, common, go, PATIENCE) as go:
        if not go:
            yield False
            return
        import jax

        # Without it JAX aborts this process as soon as another is lost.
        jax.config.update("jax_enable_recoverability", True)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # Gloo waits 30 s: who has stored a program would be ahead of who compiles it.
        jax.config.update("jax_enable_compilation_cache", False)
        jax.distributed.initialize(
            place.coordinator, place.processes, place.process_id,
            initialization_timeout=int(PATIENCE),
            coordinator_bind_address=place.coordinator,
        )  # fmt: skip
        try:
            yield True
        finally:
            if place.process_id:
                jax.distributed.shutdown()


@contextlib.contextmanager
def meet(
    place: Place, common: Mapping[str, object], go: bool, patience: float
) -> Iterator[bool]:
    """All processes come together at process 0, and hear from it how it goes on.

    Args:
      place: of this process.
      common: what must be the same in all of them.
      go: of process 0, what the others are told.
      patience: seconds for the others to come, and at the end to leave.

    Yields:
      What process 0 was given for go.

    Raises:
      InputError: a process never came, came twice, or has something else in common.
    """
    common = {"processes": place.processes, **common}
    if place.process_id:
        with _connection(place, patience) as line:
            yield _come(line, place, common)
        return
    present: Connections = {}
    try:
        try:
            _wait_for_all(place, present, common, patience)
        except InputError as error:
            _tell(present, refused=str(error))
            raise
        _tell(present, go=go)
        try:
            yield go
        finally:
            _wait_for_leave(present, patience)
    finally:
        for line in present.values():
            line.close()


def _connection(place: Place, patience: float) -> socket.socket:
    """A connection to process 0, which may start later."""
    until = time.monotonic() + patience
    while True:
        left = max(until - time.monotonic(), 0.1)
        try:
            line = socket.create_connection(place.address, timeout=left)
            # Process 0 waits for the others as long, and then says so.
            line.settimeout(patience + ANSWER)
            return line
        except OSError as error:
            if time.monotonic() + 0.2 > until or isinstance(error, socket.gaierror):
                raise _refusal(place, " doesn't answer", error) from None
            time.sleep(0.2)


def _come(line: socket.socket, place: Place, common: Mapping[str, object]) -> bool:
    """Tells process 0 which process this is; returns what it was given for go."""
    _tell({0: line}, process=place.process_id, **common)
    answer = _heard(line)
    if "go" in answer:
        return bool(answer["go"])
    raise InputError(
        answer.get("refused")
        or f"coordinator {place.coordinator}: what answers there is no process 0 of "
        f"this run"
    )


def _wait_for_all(
    place: Place, present: Connections, common: Mapping[str, object], patience: float
) -> None:
    """Fills present with a connection to each other process."""
    until = time.monotonic() + patience
    try:
        door = socket.create_server(place.address)
    except OSError as error:
        raise _refusal(place, ": process 0 can't listen there", error) from None
    with door:
        while len(present) < place.processes - 1:
            door.settimeout(max(until - time.monotonic(), 0.01))
            try:
                line, _ = door.accept()
            except TimeoutError:
                missing = sorted(set(range(1, place.processes)) - set(present))
                raise InputError(
                    f"process {' '.join(map(str, missing))} of {place.processes} "
                    f"hasn't come within {patience:g} s"
                ) from None
            line.settimeout(ANSWER)
            heard = _heard(line)
            number = heard.get("process")
            if not isinstance(number, int):
                line.close()  # somebody else's: a port is open to all
                continue
            first = number not in present
            present[number if first else -1] = line
            if not first or not 0 < number < place.processes:
                raise InputError(f"there is a process {number} too many")
            for name, value in common.items():
                if heard.get(name) != value:
                    raise InputError(
                        f"{name} is {heard.get(name)} in process {number} and {value} "
                        f"in process 0: they must be given the same run"
                    )


def _refusal(place: Place, what: str, error: OSError) -> InputError:
    reason = error.strerror or error
    return InputError(f"coordinator {place.coordinator}{what}: {reason}")


def _wait_for_leave(present: Connections, patience: float) -> None:
    """Waits so many seconds for the other processes to close their connections."""
    until = time.monotonic() + patience
    for line in present.values():
        with contextlib.suppress(OSError):
            line.settimeout(max(until - time.monotonic(), 0.01))
            line.recv(1)  # nothing is said any more: this returns when it closes


def _tell(present: Connections, **message: object) -> None:
    for line in present.values():
        with contextlib.suppress(OSError):  # it is gone: JAX finds that out
            line.sendall(json.dumps(message).encode() + b"\n")


def _heard(line: socket.socket) -> dict[str, Any]:
    """The object in the next line; an empty one if there is no such thing."""
    try:
        with line.makefile("rb") as file:
            message = json.loads(file.readline(LINE))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}
