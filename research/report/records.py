"""What the report stage is given: one row a run, finished or failed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from research.files import read_arrays, write_arrays
from research.types import InputError, Record

__all__ = [
    "RunResult",
    "load_content",
    "load_records",
    "pack",
    "read_header",
    "save_content",
    "save_records",
    "unpack",
]


class RunResult(NamedTuple):
    """One run of a grid.

    ``arm`` never holds a swept value: those are in ``swept``, by field name, with the
    same keys over one table (an arm that has no such field leaves it out). A failed
    run has no record, and ``reason`` says why ("loss not finite at step 412").
    Deterministic arms come with the same record at each seed. ``history`` is the
    training curve by column name, one value an evaluation.
    """

    arm: str
    swept: dict[str, float]
    seed: int
    record: Record | None
    reason: str = ""
    history: dict[str, list[float]] | None = None


HALF = (
    *("ild", "novelty", "train_count", "recall_item"),
    *("outside_genres", "repulsion"),
)
BYTE = ("rank", "band", "expansion")
COUNTS = ("ks", "held", "exposure", "item_counts", "distinct")
HEADER = "rows"  # the array that holds the JSON content, whatever a file records
LAYOUT = 1


def pack(record: Record) -> dict[str, ndarray]:
    """Returns a record's arrays in the types that are stored, by field name.

    Per-user columns become float16, ranks and bands uint8, counts the least unsigned
    type that holds them. What a record lacks is left out.

    Raises:
      ValueError: a negative count, or a column that float16 can't hold.
    """
    out: dict[str, ndarray] = {}
    for name, values in record._asdict().items():
        if values is None:
            continue
        if name in HALF:
            with np.errstate(over="ignore"):  # told below, with the field's name
                out[name] = values.astype("<f2")
            if np.any(np.isinf(out[name]) & np.isfinite(values)):
                raise ValueError(
                    f"{name}: {np.nanmax(np.abs(values))} overflows float16"
                )
        elif name in BYTE:
            out[name] = values.astype(np.uint8)
        else:
            if values.size and values.min() < 0:
                raise ValueError(f"{name}: the count {values.min()} is negative")
            least = np.min_scalar_type(values.max() if values.size else 0)
            out[name] = values.astype(least.newbyteorder("<"))
    return out


def unpack(arrays: Mapping[str, ndarray]) -> Record:
    """Returns the record of stored arrays, its counts as int64.

    Raises:
      KeyError: a field is missing that every record has.
    """
    optional = Record._field_defaults.keys() - arrays.keys()
    return Record(
        **{
            name: np.asarray(arrays[name]).astype(np.int64)
            if name in COUNTS
            else np.asarray(arrays[name])
            for name in Record._fields
            if name not in optional
        }
    )


def save_records(
    path: Path, rows: Sequence[RunResult], header: Mapping[str, Any] | None = None
) -> Path:
    """Writes the rows of a grid as one file, whole or not at all, and returns its path.

    ``header`` is whatever JSON the caller wants beside them (a results version, a
    digest); ``read_header`` gives it back.
    """
    arrays: dict[str, ndarray] = {}
    names: dict[str, str] = {}

    def stored(values: ndarray) -> str:
        digest = hashlib.sha256(values.tobytes())
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        name = names.setdefault(digest.hexdigest(), f"a{len(names)}")
        arrays.setdefault(name, values)
        return name

    lines = []
    for row in rows:
        record = {} if row.record is None else pack(row.record)
        history = {
            name: np.asarray(curve, "<f4")
            for name, curve in (row.history or {}).items()
        }
        lines.append(
            {
                "arm": row.arm,
                "swept": row.swept,
                "seed": row.seed,
                "reason": row.reason,
                "record": {name: stored(values) for name, values in record.items()},
                "history": None
                if row.history is None
                else {name: stored(values) for name, values in history.items()},
            }
        )
    return save_content(path, {"header": dict(header or {}), "rows": lines}, arrays)


def load_records(path: Path) -> list[RunResult]:
    """Returns the rows in a file that ``save_records`` wrote, in its order.

    Raises:
      InputError: no such file, or not a file of records.
    """
    content, arrays = load_content(path)
    try:
        return [
            RunResult(
                arm=line["arm"],
                swept=line["swept"],
                seed=line["seed"],
                record=unpack({f: arrays[a] for f, a in line["record"].items()})
                if line["record"]
                else None,
                reason=line["reason"],
                history=None
                if line["history"] is None
                else {name: arrays[a].tolist() for name, a in line["history"].items()},
            )
            for line in content["rows"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file of records ({error!r})") from error


def read_header(path: Path) -> dict[str, Any]:
    """Returns the caller's header of a file of records.

    Raises:
      InputError: no such file, or not a file of records.
    """
    header: dict[str, Any] = load_content(path)[0]["header"]
    return header


def save_content(
    path: Path, content: Mapping[str, Any], arrays: Mapping[str, ndarray]
) -> Path:
    """Writes a file of records: JSON content and arrays, the same bytes each time.

    Args:
      path: where; written whole or not at all.
      content: JSON with at least a "header", an object.
      arrays: whatever the content refers to by name.
    """
    text = json.dumps({"layout": LAYOUT, **content})
    json_bytes = np.frombuffer(text.encode(), np.uint8)
    return write_arrays(path, {HEADER: json_bytes, **arrays})


def load_content(path: Path) -> tuple[dict[str, Any], dict[str, ndarray]]:
    """Returns the JSON content and the arrays of a file that save_content wrote.

    Raises:
      InputError: no such file, or not a file of records.
    """
    arrays = read_arrays(path)
    try:
        content = dict(json.loads(arrays.pop(HEADER).tobytes().decode()))
        if content.pop("layout") != LAYOUT:
            raise ValueError(f"another layout than {LAYOUT}, which this code reads")
        content["header"] = dict(content["header"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file of records ({error!r})") from error
    return content, arrays
