"""How several processes come together before any of them computes: a meeting.

A line of JSON each way: who comes says which process it is and what it has in mind,
and process 0 tells all of them how it goes on, or why it doesn't. The connections stay
open, so that process 0 sees the others leave.
"""

import contextlib
import json
import socket
import time
from typing import NamedTuple

from research.types import InputError

PATIENCE = 45.0  # seconds for the others to come
ANSWER = 5.0  # seconds for who has come to say who it is
LINE = 1 << 16
Said = dict[str, object]


class Met(NamedTuple):
    """What process 0 was given for go; its connections to the others, or one to it."""

    go: bool
    lines: tuple[socket.socket, ...]


def meet(
    process: int,
    processes: int,
    address: str,
    said: Said,
    go: bool,
    patience: float = PATIENCE,
) -> Met:
    """All processes come together at process 0, and hear from it how it goes on.

    Args:
      process: which one this is.
      processes: how many there are.
      address: HOST:PORT, where process 0 listens.
      said: what all of them must have in common.
      go: of process 0, what the others are told.
      patience: seconds for the others to come.

    Returns:
      What came of it; ``part`` ends it.

    Raises:
      InputError: somebody never came, came twice, or has something else in mind.
    """
    host, _, port = address.rpartition(":")
    where, said = (host, int(port)), {"processes": processes, **said}
    if process:
        line, go = _come(where, {"process": process, **said}, patience)
        return Met(go, (line,))
    present: dict[int, socket.socket] = {}
    try:
        with _listen(where) as door:
            _wait_for_all(door, present, said, processes, patience)
    except InputError as error:
        _tell(present, {"refused": str(error)})
        part(tuple(present.values()), patience=0.0)
        raise
    _tell(present, {"go": go})
    return Met(go, tuple(present.values()))


def part(lines: tuple[socket.socket, ...], patience: float) -> None:
    """Waits so many seconds for those at the other ends to leave, then leaves too."""
    until = time.monotonic() + patience
    for line in lines:
        with line, contextlib.suppress(OSError):
            line.settimeout(max(until - time.monotonic(), 0.01))
            line.recv(1)  # nothing is said any more: this returns when it closes


def _come(
    where: tuple[str, int], said: Said, patience: float
) -> tuple[socket.socket, bool]:
    """Any process but the first: says who it is, and is told how it goes on."""
    what = _name(where)
    until = time.monotonic() + patience
    while True:
        left = until - time.monotonic()
        try:
            line = socket.create_connection(where, timeout=max(left, 0.1))
            break
        except OSError as error:
            if time.monotonic() + 0.2 > until or isinstance(error, socket.gaierror):
                reason = error.strerror or error
                raise InputError(f"{what} doesn't answer: {reason}") from None
            time.sleep(0.2)  # it may start later
    # It waits for the others as long, and then says so.
    line.settimeout(patience + ANSWER)
    heard = None
    with contextlib.suppress(OSError):
        line.sendall(_packed(said))
        heard = _heard(line)
    if heard is not None and "go" in heard:
        return line, bool(heard["go"])
    line.close()
    if heard is not None and "refused" in heard:
        raise InputError(str(heard["refused"]))
    raise InputError(f"{what}: what answers there is no process 0 of this run")


def _listen(where: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(where)
    except OSError as error:
        raise InputError(
            f"{_name(where)}: process 0 can't listen there: {error.strerror or error}"
        ) from None


def _wait_for_all(
    door: socket.socket,
    present: dict[int, socket.socket],
    said: Said,
    processes: int,
    patience: float,
) -> None:
    """Fills present with a connection to each other process."""
    until = time.monotonic() + patience
    while len(present) < processes - 1:
        door.settimeout(max(until - time.monotonic(), 0.01))
        try:
            line, _ = door.accept()
        except TimeoutError:
            missing = set(range(1, processes)) - set(present)
            names = " ".join(str(one) for one in sorted(missing))
            raise InputError(
                f"process {names} of {processes} hasn't come within {patience:g} s"
            ) from None
        line.settimeout(ANSWER)
        heard = _heard(line)
        own = None if heard is None else heard.get("process")
        if heard is None or not isinstance(own, int):
            line.close()  # somebody else's: a port is open to all
            continue
        first = own not in present
        present[own if first else -1] = line
        if not first or not 0 < own < processes:
            raise InputError(f"there is a process {own} too many")
        for name in said:
            if heard.get(name) != said[name]:
                raise InputError(
                    f"{name} is {heard.get(name)} in process {own} and {said[name]} in "
                    f"process 0: they must be given the same run"
                )


def _name(where: tuple[str, int]) -> str:
    return f"coordinator {where[0]}:{where[1]}"


def _tell(present: dict[int, socket.socket], what: Said) -> None:
    for line in present.values():
        with contextlib.suppress(OSError):  # it is gone: JAX finds that out
            line.sendall(_packed(what))


def _packed(what: Said) -> bytes:
    return json.dumps(what).encode() + b"\n"


def _heard(line: socket.socket) -> Said | None:
    """The object in the next line; None if there is no such thing."""
    try:
        with line.makefile("rb") as words:
            found = json.loads(words.readline(LINE))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
