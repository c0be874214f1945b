"""A saved model as a folder: model.json, and the arrays that it names.

    model.json                 format, config, columns, digests
    arrays-<digest>.npz        parameters, ids, columns, clicks, item vectors

model.json is written last and names the arrays by their digest, so that a reader finds
the earlier model or the new one, whole. Nothing in it is ever unpickled.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from research.config import Config
from research.data.places import check_archive, safe_arrays
from research.files import (
    DAMAGED,
    alone,
    read_json,
    scratch,
    write_arrays,
    write_json,
)
from research.saved.model import SavedModel
from research.serving import Serving
from research.towers import check_encoder
from research.types import Column, InputError, Table

FORMAT = 2  # of the folder, and of what a tower makes of its arrays
HEADER = "model.json"


def save_model(model: SavedModel, folder: Path) -> list[Path]:
    """Writes the model into the folder; an earlier model there is replaced at the end.

    Raises:
      InputError: the folder can't be written to; an earlier model there is unharmed.
    """
    paths: list[list[str]] = []
    arrays = {"item_counts": model.item_counts, "item_vectors": model.item_vectors}
    for path, values in _leaves(model.params):
        arrays[f"param.{len(paths)}"] = values
        paths.append(path)
    columns = {}
    for side, table in (("users", model.users), ("items", model.items)):
        arrays[f"{side}.id"] = table.id
        if table.text is not None:
            arrays[f"{side}.text"] = table.text
        columns[side] = [[n, c.kind, c.names] for n, c in table.columns.items()]
        for n, column in enumerate(table.columns.values()):
            arrays[f"{side}.{n}"] = column.values
    header = {
        "format": FORMAT,
        "config": dataclasses.asdict(model.config),
        "temperature": model.temperature,
        "timed": model.timed,
        "about": dict(model.about),
        "params": paths,
        "columns": columns,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder), scratch(folder) as part:
            written = write_arrays(part / "arrays.npz", arrays, level=1)
            digest = _digest(written.read_bytes())
            target = folder / f"arrays-{digest[:12]}.npz"
            os.replace(written, target)
            header |= {"arrays": target.name, "arrays_digest": digest}
            whole = {**header, "digest": _digest(_canonical(header))}
            write_json(folder / HEADER, whole)
            for old in folder.glob("arrays-*.npz"):
                if old != target:
                    with contextlib.suppress(OSError):  # it only takes up room
                        old.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"model folder {folder} can't be written: {reason}") from None
    return [folder / HEADER, target]


def load_model(folder: Path | str) -> SavedModel:
    """The model that was saved into a folder, for encoding users and ranking items.

    Its methods ``encode`` and ``lists`` take histories as a csv file or a mapping, and
    return vectors and lists (docs/models.md).

    Args:
      folder: from ``train --save`` or ``save_model``.

    Raises:
      InputError: there is no model, it is of another format, or it was edited or
        damaged.
    """
    folder = Path(folder).expanduser()
    header = _header(folder)
    try:
        arrays = _arrays(folder, header)
    except InputError:
        if _header(folder) != header:  # another process has saved a model meanwhile
            return load_model(folder)
        raise
    try:
        config = Config(**{n: _frozen(v) for n, v in header["config"].items()})
        params: dict[str, Any] = {}
        for n, path in enumerate(header["params"]):
            inner = params
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = arrays[f"param.{n}"]
        # Flax leaves out a collection without leaves, and the loss may learn nothing.
        for part in ("user", "item", "loss"):  # those without parameters
            params.setdefault(part, {})
        users, items = (
            _table(side, header["columns"][side], arrays) for side in ("users", "items")
        )
        model = SavedModel(
            config, params, users, items, arrays["item_counts"], arrays["item_vectors"],
            float(header["temperature"]), bool(header["timed"]),
            {**header["about"], "digest": header["digest"]},
        )  # fmt: skip
    except (*DAMAGED, AttributeError) as error:
        raise InputError(
            f"{folder}: a model of another version: {type(error).__name__}: {error}"
        ) from None
    check_encoder(config)
    return model


def holds(folder: Path, run: str, code: str, serving: Serving) -> bool:
    """Whether the folder holds the undamaged model of a run, served in this way."""
    try:
        model = load_model(folder)
    except InputError:
        return False
    made = model.about.get("run"), model.about.get("code"), Serving.of(model.config)
    return made == (run, code, serving)


def _header(folder: Path) -> dict[str, Any]:
    """The header of a folder, compared with its digest."""
    path = folder / HEADER
    if not path.is_file():
        raise InputError(f"{folder} is no model folder: it has no {HEADER}")
    header = read_json(path)
    if header.get("format") != FORMAT:
        raise InputError(
            f"{folder}: a model of format {header.get('format')}, this is format "
            f"{FORMAT}: train and save it again"
        )
    digest = header.pop("digest", None)
    if digest != _digest(_canonical(header)):
        raise InputError(f"{path} was edited or damaged: its digest does not match")
    return {**header, "digest": digest}


def _arrays(folder: Path, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays that a header names, compared with their digest."""
    stored = folder / Path(str(header.get("arrays"))).name  # never outside the folder
    check_archive(stored)
    try:
        same = _digest(stored.read_bytes()) == header.get("arrays_digest")
    except OSError as error:
        raise InputError(f"{stored}: {error.strerror or error}") from None
    if not same:
        raise InputError(f"{stored} was edited or damaged: its digest does not match")
    return safe_arrays(stored)


def _table(side: str, columns: list[Any], arrays: Mapping[str, np.ndarray]) -> Table:
    made = {
        name: Column(kind, arrays[f"{side}.{n}"], tuple(names))
        for n, (name, kind, names) in enumerate(columns)
    }
    return Table(arrays[f"{side}.id"], made, arrays.get(f"{side}.text"))


def _leaves(
    tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Every array of nested mappings with its path, in order."""
    for name, inner in tree.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, (*path, name))
        else:
            yield [*path, name], np.asarray(inner)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
