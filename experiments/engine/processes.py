"""Several processes that train one run together, each with its own devices.

Every process gets the same command but for its number. jax.distributed.initialize
aborts a process with a stack trace when another one is missing, which Python cannot
catch, and waits for ever where their numbers of processes differ. So the processes meet
beforehand, at the address that JAX then takes over: each sends process 0 a line of JSON
with its number and what must be the same in all, and gets one back: how it goes on, or
why it doesn't. The connections stay open, so that process 0, which hosts JAX's
coordinator, sees the others leave and leaves last.
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
    """Refuses an invalid place.

    Raises:
      InputError: no such process, or no valid address.
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

    It must come before anything is computed. If a process is lost later on, the run of
    the others fails.

    Yields:
      The ``go`` of process 0.

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
        # Gloo waits 30 s only, and a process with a cached program would be that far
        # ahead of one that compiles it.
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
    """All processes meet at process 0, which tells them whether to go on.

    Yields:
      The ``go`` of process 0.

    Raises:
      InputError: a process never came, came twice, or has something else in common.
    """
    common = {"processes": place.processes, **common}
    if place.process_id:
        with _connection(place, patience) as connection:
            yield _register(connection, place, common)
        return
    connections: Connections = {}
    try:
        try:
            _wait_for_all(place, connections, common, patience)
        except InputError as error:
            _send(connections, refused=str(error))
            raise
        _send(connections, go=go)
        try:
            yield go
        finally:
            _wait_for_leave(connections, patience)
    finally:
        for connection in connections.values():
            connection.close()


def _connection(place: Place, patience: float) -> socket.socket:
    """A connection to process 0, which may start later."""
    until = time.monotonic() + patience
    while True:
        left = max(until - time.monotonic(), 0.1)
        try:
            connection = socket.create_connection(place.address, timeout=left)
            # Process 0 waits for the others as long, and then says so.
            connection.settimeout(patience + ANSWER)
            return connection
        except OSError as error:
            if time.monotonic() + 0.2 > until or isinstance(error, socket.gaierror):
                raise _refusal(place, " doesn't answer", error) from None
            time.sleep(0.2)


def _register(
    connection: socket.socket, place: Place, common: Mapping[str, object]
) -> bool:
    """Tells process 0 which process this is; returns its ``go``."""
    _send({0: connection}, process=place.process_id, **common)
    answer = _received(connection)
    if "go" in answer:
        return bool(answer["go"])
    raise InputError(
        answer.get("refused")
        or f"coordinator {place.coordinator}: what answers there is no process 0 of "
        f"this run"
    )


def _wait_for_all(
    place: Place,
    connections: Connections,
    common: Mapping[str, object],
    patience: float,
) -> None:
    """Fills ``connections`` with one to each other process."""
    until = time.monotonic() + patience
    try:
        server = socket.create_server(place.address)
    except OSError as error:
        raise _refusal(place, ": process 0 can't listen there", error) from None
    with server:
        while len(connections) < place.processes - 1:
            server.settimeout(max(until - time.monotonic(), 0.01))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = sorted(set(range(1, place.processes)) - set(connections))
                raise InputError(
                    f"process {' '.join(map(str, missing))} of {place.processes} "
                    f"hasn't come within {patience:g} s"
                ) from None
            connection.settimeout(ANSWER)
            message = _received(connection)
            number = message.get("process")
            if not isinstance(number, int):
                connection.close()  # not one of ours: anybody can connect to a port
                continue
            first = number not in connections
            connections[number if first else -1] = connection
            if not first or not 0 < number < place.processes:
                raise InputError(f"there is a process {number} too many")
            for name, value in common.items():
                if message.get(name) != value:
                    raise InputError(
                        f"{name} is {message.get(name)} in process {number} and "
                        f"{value} in process 0: they must be given the same run"
                    )


def _refusal(place: Place, what: str, error: OSError) -> InputError:
    reason = error.strerror or error
    return InputError(f"coordinator {place.coordinator}{what}: {reason}")


def _wait_for_leave(connections: Connections, patience: float) -> None:
    """Waits so many seconds for the other processes to close their connections."""
    until = time.monotonic() + patience
    for connection in connections.values():
        with contextlib.suppress(OSError):
            connection.settimeout(max(until - time.monotonic(), 0.01))
            connection.recv(1)  # nothing more is sent: this returns when it closes


def _send(connections: Connections, **message: object) -> None:
    for connection in connections.values():
        with contextlib.suppress(OSError):  # it is gone: JAX finds that out
            connection.sendall(json.dumps(message).encode() + b"\n")


def _received(connection: socket.socket) -> dict[str, Any]:
    """The object in the next line; an empty one if there is no such thing."""
    try:
        with connection.makefile("rb") as file:
            message = json.loads(file.readline(LINE))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}
