"""The command encode: vectors and lists of users by a saved model (docs/models.md)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.commands.export import (
    Side,
    about_vectors,
    arrays_of,
    write_vectors,
)
from experiments.commands.flags import Prior
from experiments.output.folders import FINISHED, check_writable
from research.fields import ServingFields
from research.files import write_arrays
from research.notices import say
from research.saved.files import load_model
from research.serving import Serving, check_rule
from research.types import TEXT, InputError

if TYPE_CHECKING:
    from research.saved.model import Encoded, Lists, SavedModel


@dataclass(frozen=True)
class Encode:
    """Encode users by their histories as vectors and lists; new users are allowed."""

    model: Path
    """Folder of the model, from train --save."""
    histories: Path
    """A .csv file of user,item[,timestamp] in the data set's own ids."""
    out: Path
    """Output folder (users.npz, items.npz, meta.json, lists.csv), or a .npz file."""
    users: Path | None = None
    """A .csv file of the users' features: user and columns of the data set."""
    lists: int = 0
    """Length of each user's list; 0 writes no lists."""
    prior: Prior | None = None
    """Popularity prior in vectors and lists, or rule; default: the model's own."""
    exposure: float | None = None
    """Strength of log impressions taken out likewise; default: the model's own."""
    min_clicks: int | None = None
    """Leave out items with fewer training clicks; default: the model's own."""

    def __call__(self) -> int:
        """Encodes and writes."""
        if self.lists < 0:
            raise InputError(f"lists is {self.lists}: it must be at least 0")
        values = {name: getattr(self, name) for name in Serving._fields}
        numbers: dict[str, Any] = {
            name: value
            for name, value in values.items()
            if isinstance(value, float | int)
        }
        ServingFields(**numbers).check()
        alone = self.out.suffix == ".npz"
        if self.out.exists() and self.out.is_dir() == alone:
            kind = "a folder, not a .npz file" if alone else "a file, not a folder"
            raise InputError(f"out {self.out} is {kind}")
        check_writable(self.out.parent if alone else self.out, "output")
        model = load_model(self.model)
        encoded = model.encode(self.histories, self.users)
        serving = self._serving(model)
        lists = model.rank(encoded, self.lists, serving) if self.lists else None
        users, items = _arrays(model, encoded, serving)
        if alone:
            written = [_write_file(self.out, users, lists)]
        else:
            meta = about_vectors(
                {n: v for n, v in model.about.items() if n != "digest"},
                model.config, serving, model.temperature, users, items,
            )  # fmt: skip
            rows = None if lists is None else _rows(model, lists)
            written = write_vectors(self.out, users, items, meta, rows)
        for note in encoded.notes:
            say(note)
        new = len(encoded.ids) - int(np.isin(encoded.ids, model.users.names).sum())
        more = f", {new} of them new to the model" if new else ""
        print(f"encoded {len(encoded.ids)} users{more}")
        print(*(f"wrote {path}" for path in written), sep="\n")
        return FINISHED

    def _serving(self, model: "SavedModel") -> Serving:
        """The serving of the flags, else the model's own; rule becomes a number."""
        if not isinstance(self.prior, str):
            return model.serving(self.prior, self.exposure, self.min_clicks)
        check_rule(exposure=self.exposure or 0.0, ips=model.config.ips)
        return model.serving(model.rule_prior(), 0.0, self.min_clicks)


def _arrays(
    model: "SavedModel", encoded: "Encoded", serving: Serving
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    users = Side(encoded.ids, encoded.vectors)
    items = Side(model.items.names, model.item_vectors)
    bias = model.temperature * model.bias(serving)
    return arrays_of(users, items, bias, encoded.seen_offsets, encoded.seen_items)


def _write_file(
    path: Path, users: dict[str, np.ndarray], lists: "Lists | None"
) -> Path:
    if lists is not None:
        users = users | {"lists": lists.items, "scores": lists.scores}
    try:
        return write_arrays(path, users)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} can't be written: {reason}") from None


def _rows(model: "SavedModel", lists: "Lists") -> list[dict[str, Any]]:
    """One row per slot of a list: user, rank from 1, item, title if any, score."""
    items, titles = model.items, {}
    if items.of_kind(TEXT):
        titles = dict(zip(items.names.tolist(), items.titles().tolist(), strict=True))
    return [
        {
            **{"user": user, "rank": rank, "item": item},
            **({"title": titles[item]} if titles else {}),
            "score": float(score),
        }
        for user, items, scores in zip(
            lists.users.tolist(), lists.items.tolist(), lists.scores, strict=True
        )
        for rank, (item, score) in enumerate(zip(items, scores, strict=True), start=1)
    ]
