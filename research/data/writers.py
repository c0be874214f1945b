"""Writes a split of a data set as files for other libraries, or to be read back here.

Every format has the positives alone, in the order of (user, time), under the data set's
own ids. Files are whole or absent.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy import ndarray

from research.files import beside, replace, together
from research.registry import Registry
from research.splits import TEST, TRAIN, VALIDATION
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    Events,
    InputError,
    Table,
)

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
_TYPES = {CATEGORY: "category", NUMBER: "number", CATEGORIES: "list", TEXT: "text"}


class Written(NamedTuple):
    """What is written: a name, all positives, the part of each, whether rated."""

    name: str
    events: Events
    part: ndarray
    rated: bool


def columns_of(written: Written, keep: ndarray, names: dict[str, str]) -> "pa.Table":
    """Rows as a table, under the names that a format has for their columns."""
    import pyarrow as pa

    events = written.events
    columns: dict[str, ndarray] = {
        "user": events.users.names[events.user[keep]],
        "item": events.items.names[events.item[keep]],
    }
    if events.timed:
        columns["timestamp"] = events.timestamp[keep]
    if written.rated:
        columns["rating"] = events.rating[keep].astype(np.float64)
    columns["part"] = np.array(list(PARTS.values()))[written.part[keep]]
    return pa.table({names[n]: pa.array(c) for n, c in columns.items() if n in names})


def _by_part(written: Written, names: dict[str, str]) -> "dict[str, pa.Table]":
    """The rows of each part, by its name."""
    return {
        word: columns_of(written, written.part == part, names)
        for part, word in PARTS.items()
    }


def _text(table: "pa.Table", separator: str) -> bytes:
    """A table as text with a header; fields are quoted only where one needs it.

    Raises:
      InputError: a field holds the separator of a format that never quotes.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv

    def written(style: str) -> bytes:
        stream = io.BytesIO()
        options = pacsv.WriteOptions(
            include_header=False, delimiter=separator, quoting_style=style
        )
        pacsv.write_csv(table, stream, options)
        return stream.getvalue()

    names = io.StringIO()
    csv.writer(names, delimiter=separator, lineterminator="\n").writerow(
        table.column_names
    )
    try:
        body = written("none")
    except pa.ArrowInvalid:
        if separator != ",":
            raise InputError(
                "an id holds a tab, a quote or a new line: no .inter file can hold it"
            ) from None
        body = written("needed")
    return names.getvalue().encode() + body


def write_recbole(written: Written, folder: Path) -> dict[Path, bytes]:
    """RecBole's atomic files NAME/NAME.{train,valid,test}.inter.

    In RecBole: data_path is the folder, dataset NAME, benchmark_filename [train, valid,
    test].
    """
    names = {
        **{"user": "user_id:token", "item": "item_id:token"},
        **{"timestamp": "timestamp:float", "rating": "rating:float"},
    }
    tables = _by_part(written, names)
    tables["valid"] = tables.pop("validation")
    stem = folder / written.name / written.name
    return {beside(stem, f".{n}.inter"): _text(t, "\t") for n, t in tables.items()}


def write_recpack(written: Written, folder: Path) -> dict[Path, bytes]:
    """{train,validation,test}.csv with user, item, timestamp, rating: for RecPack.

    In RecPack: DataFramePreprocessor("item", "user", "timestamp").process_many(*frames)
    numbers the ids of the three frames alike; an InteractionMatrix takes them for
    numbers of rows and columns. Ids are text: read each frame with
    pandas.read_csv(path, dtype={"user": str, "item": str}, keep_default_na=False), as
    007 would become 7 and NA a missing value.
    """
    names = {name: name for name in ("user", "item", "timestamp", "rating")}
    tables = _by_part(written, names)
    return {folder / f"{part}.csv": _text(t, ",") for part, t in tables.items()}


def write_lenskit(written: Written, folder: Path) -> dict[Path, bytes]:
    """{train,validation,test}.parquet with user_id, item_id and more: for LensKit.

    In LensKit: from_interactions_df(pandas.read_parquet(...)).
    """
    import pyarrow.parquet as pq

    names = {"user": "user_id", "item": "item_id"}
    names |= {"timestamp": "timestamp", "rating": "rating"}
    files = {}
    for part, table in _by_part(written, names).items():
        stream = io.BytesIO()
        pq.write_table(table, stream)
        files[folder / f"{part}.parquet"] = stream.getvalue()
    return files


def write_parts(written: Written, folder: Path) -> dict[Path, bytes]:
    """interactions.csv with the column part, and users and items: a folder read here.

    --dataset FOLDER --split given is then the same split.
    """
    names = {name: name for name in ("user", "item", "timestamp", "rating", "part")}
    everything = np.ones(len(written.part), bool)
    events = written.events
    table = columns_of(written, everything, names)
    files = {}
    for side, of_side in (("user", events.users), ("item", events.items)):
        if of_side.columns:
            files[folder / f"{side}s.csv"] = _text(_side_table(side, of_side), ",")
    # last, as the folder can't be read without it
    return {**files, folder / "interactions.csv": _text(table, ",")}


def _side_table(side: str, table: Table) -> "pa.Table":
    """A table with the kinds of its columns in the header; empty where none is."""
    import pyarrow as pa

    columns = {side: pa.array(table.names).cast(pa.string())}
    for name, column in table.columns.items():
        columns[f"{name}:{_TYPES[column.kind]}"] = _texts(column)
    return pa.table(columns)


def _texts(column: Column) -> "pa.Array":
    import pyarrow as pa

    if column.kind == CATEGORIES:
        names = np.array(column.names, np.str_)
        return pa.array(["|".join(names[flags]) for flags in column.values])
    if column.kind == NUMBER:
        return pa.array(column.values.astype(np.float64), from_pandas=True)
    values = column.values
    if values.dtype.kind in "iu":
        return pa.array(["" if code < 0 else str(code) for code in values.tolist()])
    return pa.array(values)


def write_split(file_format: str, written: Written, folder: Path) -> list[Path]:
    """Writes a split and returns the paths; if a file can't be written, none is.

    Raises:
      InputError: an unknown format, an id that it can't hold, another file of one of
        the names (which may be the only copy of some data), or a full disk.
    """
    files = WRITERS.choose(file_format)(written, folder)
    for path, content in files.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise InputError(
                f"{path}: there is another file of this name: write into another "
                f"folder, or delete it first"
            )
    missing = {path: content for path, content in files.items() if not path.exists()}
    names = [str(path.relative_to(folder)) for path in missing]
    try:  # together: a part of a split would be read as another data set
        with together(folder, names) as part:
            for name, content in zip(names, missing.values(), strict=True):
                replace(part / name, content)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"data folder {folder} can't be written: {reason}") from None
    return list(files)


Writer = Callable[[Written, Path], dict[Path, bytes]]
WRITERS: Registry[Writer] = Registry(
    "format",
    {
        "recbole": write_recbole,
        "recpack": write_recpack,
        "lenskit": write_lenskit,
        "parts": write_parts,
    },
)
