"""The only reader and writer of records: a header, and the results of runs or arrays.

A file is an .npz of the same bytes for the same content. Its array ``rows`` is JSON:
the layout, the header (results version, grid, data set, ...), and the meaning of the
other arrays; in records of a grid, one result per run, whose arrays are in stacks
(``Stacks``).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy import ndarray

from research.config import Config
from research.data.names import name_of
from research.data.places import safe_arrays
from research.files import write_arrays
from research.prepare import Prepared
from research.types import Fold, InputError, Record, check

RECORDS_VERSION = 1  # of what runs and studies measure: part of a run's id
RESULTS_VERSION = 3  # of what tables derive from that, the intervals included
LAYOUT = 2
OLDER = "older records are read by commit 58129723"
CONTENT = "rows"
# Raised by content that isn't that of records.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
DIGEST = "digest"


class Stored(NamedTuple):
    """A file of records: its header, the rest of its JSON, its other arrays."""

    header: dict[str, Any]
    content: dict[str, Any]
    arrays: dict[str, ndarray]

    def floats(self) -> dict[str, ndarray]:
        """The arrays as float64, to compute with; they are stored in fewer digits."""
        return {name: values.astype(float) for name, values in self.arrays.items()}

    def axis(self, name: str) -> list[float]:
        """Swept values as they were given, to show them and to find one's place.

        >>> Stored({}, {}, {"totals": np.array([0.2], "<f4")}).axis("totals")
        [0.2]
        """
        return [round(float(value), 6) for value in self.arrays[name]]


def study_header(
    name: str,
    dataset: str,
    quick: bool,
    digest: str = "",
    split: str = Config.split,
    **more: Any,
) -> dict[str, Any]:
    """The header of a study's records; ``more`` are further entries."""
    where = {"grid": name, "dataset": name_of(dataset), "split": split}
    return {**where, "quick": quick, "data_digest": digest, **more}


def save_stored(
    path: Path, header: Mapping[str, Any], arrays: Mapping[str, ndarray], **content: Any
) -> Path:
    """Writes a file of records, whole or not at all; ``content`` is JSON on arrays."""
    header = {"results_version": RECORDS_VERSION, **header}
    whole = {"layout": LAYOUT, "header": header, **content}
    text = json.dumps({**whole, DIGEST: _digest(whole, arrays)}).encode()
    content_of = {CONTENT: np.frombuffer(text, np.uint8)}
    return write_arrays(path, {**content_of, **arrays}, small=True)


def _digest(content: Mapping[str, Any], arrays: Mapping[str, ndarray]) -> str:
    """The sha256 of what a file holds, by which an edited file is recognised."""
    plain = json.loads(json.dumps(content))
    hasher = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.asarray(arrays[name], order="C")
        hasher.update(f"{name} {values.dtype.str} {values.shape}".encode())
        hasher.update(values.tobytes())
    return hasher.hexdigest()


def load_stored(path: str | Path, *needs: str) -> Stored:
    """Reads a file of records whose content has the entries that it needs.

    Raises:
      InputError: no such file, not such records, of another RECORDS_VERSION or layout,
        or not as they were written.
    """
    path = Path(path)
    stored, digest = _parsed(path, safe_arrays(path))
    if missing := [name for name in needs if name not in stored.content]:
        raise InputError(f"{path}: not a file of records (no {', '.join(missing)})")
    whole = {"layout": LAYOUT, "header": stored.header, **stored.content}
    if digest != _digest(whole, stored.arrays):
        raise InputError(f"{path}: not a file of records (it isn't as it was written)")
    return stored


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file, its arrays unread; for refusals see ``load_stored``."""
    return _parsed(path, safe_arrays(path, [CONTENT]))[0].header


def _parsed(path: Path, arrays: dict[str, ndarray]) -> tuple[Stored, Any]:
    """What a file holds, and the digest that it states."""
    try:
        content = json.loads(arrays.pop(CONTENT).tobytes().decode())
        layout, header = content.pop("layout"), dict(content.pop("header"))
        digest = content.pop(DIGEST, None)
    except MALFORMED as error:
        raise InputError(f"{path}: not a file of records ({error!r})") from error
    if (version := header.get("results_version")) != RECORDS_VERSION:
        raise InputError(
            f"{path}: records of version {version}, this code reads version "
            f"{RECORDS_VERSION}: run the grid again; {OLDER}"
        )
    if layout != LAYOUT:
        raise InputError(f"{path}: records of layout {layout}, not {LAYOUT}: {OLDER}")
    return Stored(header, content, arrays), digest


@dataclass(frozen=True, eq=False)
class Served:
    """A finished run's lists, and what they were made from.

    Attributes:
      run: its config, and the phase that it was fitted on and is judged by.
      lists: the top k of fold.evaluated, best first, [v, k]; a slot that holds
        n_items is empty.
      users: vectors of fold.evaluated, [v, d]; None for a baseline.
      items: vectors of the catalogue, [i, d]; None for a baseline.
      temperature: what serving divides the score by.
    """

    run: Prepared
    lists: ndarray
    users: ndarray | None = None
    items: ndarray | None = None
    temperature: float = 1.0

    @property
    def fold(self) -> Fold:
        """The phase, as users and items (research/positives/tasks.py)."""
        return self.run.task.fold


class RunResult(NamedTuple):
    """One run of a grid.

    ``arm`` never holds a swept value: those are in ``swept``, by field name, with the
    same keys over one table (an arm that has no such field leaves it out). A failed
    run has no record, and ``reason`` says why ("loss not finite at step 412").
    Deterministic arms come with the same record at each seed. ``history`` is the
    training curve by column name, one value per evaluation. ``settings`` are numbers of
    the run's config that tables state or readers need: temperature and learning_rate;
    none for a baseline. ``served`` is there only where the run was trained or loaded
    for a notebook (experiments/notebook.py); no file holds it.
    """

    arm: str
    swept: dict[str, float]
    seed: int
    record: Record | None = None
    reason: str = ""
    history: dict[str, list[float]] | None = None
    settings: dict[str, float] | None = None
    served: Served | None = None


AS_STORED = ("rank", "band")
USUAL_DEPTH = Record._field_defaults["depth"]  # left out of what is stored


def pack(record: Record) -> dict[str, ndarray]:
    """The arrays of a record in the types that are stored, by name.

    Numbers become float16, or float32 where they overflow; ranks, bands, items and
    counts the smallest unsigned type that holds them. The record's columns stand beside
    its fields.
    """
    arrays = record._asdict()
    arrays |= arrays.pop("columns")
    if arrays["depth"] == USUAL_DEPTH:
        del arrays["depth"]
    return {name: _packed(name, np.asarray(each)) for name, each in arrays.items()}


def _packed(name: str, values: ndarray) -> ndarray:
    if np.issubdtype(values.dtype, np.floating):
        for size in ("<f2", "<f4"):
            with np.errstate(over="ignore"):
                stored = values.astype(size)
            if not np.any(np.isinf(stored) & np.isfinite(values)):
                return stored
        raise ValueError(f"{name}: {np.nanmax(np.abs(values))} overflows float32")
    if values.size and values.min() < 0:
        raise ValueError(f"{name}: the count {values.min()} is negative")
    least = np.min_scalar_type(values.max() if values.size else 0)
    return values.astype(least.newbyteorder("<"))


def unpack(arrays: Mapping[str, ndarray]) -> Record:
    """The record of stored arrays, its counts and items as int64.

    Raises:
      KeyError: a field is missing that every record has.
    """
    columns = {
        name: values.astype(np.int64)
        if values.dtype.kind in "iu" and name not in AS_STORED
        else np.asarray(values)
        for name, values in arrays.items()
    }
    depth = int(columns.pop("depth", USUAL_DEPTH))
    names = [name for name in Record._fields if name not in ("columns", "depth")]
    fields = {name: columns.pop(name) for name in names}
    return Record(**fields, columns=columns, depth=depth)


class Stacks:
    """Arrays of many runs as a few, by what they measure; equal ones are kept once.

    Runs of a grid have arrays of the same type and shape, and a place in one differs
    little from the same place in the next. One array with the run as its last axis,
    with all first bytes of its numbers before all second ones, is two thirds as large,
    compressed, as an array per run.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, tuple[int, ...]], str] = {}
        self._members: dict[str, list[ndarray]] = {}
        self._places: dict[tuple[str, bytes], tuple[str, int]] = {}

    def put(self, part: str, values: ndarray) -> tuple[str, int]:
        """Adds an array, unless this part has an equal one.

        Returns its place: a stack's name and the index along its last axis.
        """
        kind = part, values.dtype.str, values.shape
        name = self._names.setdefault(kind, f"a{len(self._names)}")
        members = self._members.setdefault(name, [])
        key = name, hashlib.sha256(values.tobytes()).digest()
        if key not in self._places:
            self._places[key] = name, len(members)
            members.append(values)
        return self._places[key]

    def arrays(self) -> dict[str, UInt8[ndarray, "byte *shape runs"]]:
        """The stacks as bytes, by name."""
        out = {}
        for name, members in self._members.items():
            values = np.stack(members, axis=-1)
            shape = *values.shape, values.dtype.itemsize
            each = np.frombuffer(values.tobytes(), np.uint8).reshape(shape)
            out[name] = np.moveaxis(each, -1, 0)
        return out

    def types(self) -> dict[str, str]:
        """The type of the numbers of each stack, by its name."""
        return {name: members[0].dtype.str for name, members in self._members.items()}


def unstacked(
    arrays: Mapping[str, ndarray], types: Mapping[str, str]
) -> dict[str, Shaped[ndarray, "runs *shape"]]:
    """The stacks behind what ``Stacks.arrays`` returned, with the run first."""
    out = {}
    for name, apart in arrays.items():
        each = np.moveaxis(apart, (0, -1), (-1, 0))
        out[name] = np.frombuffer(each.tobytes(), types[name]).reshape(each.shape[:-1])
    return out


def save_records(
    path: Path, results: Sequence[RunResult], header: Mapping[str, Any] | None = None
) -> Path:
    """Writes the results of a grid as one file; equal arrays are stored once."""
    stacks = Stacks()
    lines = []
    for result in results:
        line = result._asdict()
        record, history, _ = (line.pop(n) for n in ("record", "history", "served"))
        parts = pack(record) if record else {}
        line["record"] = {n: stacks.put(n, values) for n, values in parts.items()}
        curves = {n: np.asarray(c, "<f4") for n, c in (history or {}).items()}
        places = {n: stacks.put(f"history {n}", c) for n, c in curves.items()}
        line["history"] = None if history is None else places
        lines.append(line)
    arrays, types = stacks.arrays(), stacks.types()
    return save_stored(path, header or {}, arrays, types=types, rows=lines)


def load_records(path: Path | str) -> list[RunResult]:
    """The results of a grid's runs from a file of records, in its order.

    Such files are in records/ of an output folder and of ``results/``. The results
    hold measurements and training curves, but no lists or vectors.

    Raises:
      InputError: no such file, not such records, or of another RECORDS_VERSION.
    """
    path = Path(path)
    try:
        _, content, arrays = load_stored(path, "rows", "types")
        stacks = unstacked(arrays, content["types"])
        return [_result(line, stacks) for line in content["rows"]]
    except MALFORMED as error:
        raise InputError(f"{path}: not a file of records ({error!r})") from error


def _result(line: dict[str, Any], stacks: Mapping[str, ndarray]) -> RunResult:
    """A run's result, whose arrays are at places of stacks."""
    parts, curves = line.pop("record"), line.pop("history")
    if parts:
        record = unpack({name: stacks[a][at] for name, (a, at) in parts.items()})
        held = int(check(record).held.sum())
        counted = len(record.ks), len(record.item_counts)
        shapes = {"rank": (held,), "band": (held,), "exposure": counted}
        for name, shape in shapes.items():
            if (found := getattr(record, name).shape) != shape:
                raise ValueError(f"{name} of shape {found}, expected {shape}")
        line["record"] = record
    if curves is not None:
        line["history"] = {n: stacks[a][at].tolist() for n, (a, at) in curves.items()}
    return RunResult(**line)
