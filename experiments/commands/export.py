"""A run's vectors as files that a nearest-neighbour library loads as they are.

    users.npz   ids [v], vectors [v, d], seen_offsets [v + 1], seen_ids [s]
    items.npz   ids [i], vectors [i, d]
    meta.json   the data set, the metric, the temperature, the run

Ids are the data set's own. Users are those that the run evaluates; the v-th has seen
seen_ids[seen_offsets[v] : seen_offsets[v + 1]], which its lists leave out. Items are
those that may be in lists, in the order that settles ties. The vectors of either side
are computed without the other: one table of items serves every user.

The nearest items by meta.json's metric are the run's lists. With a popularity prior the
vectors are one longer, so that <u, v> = temperature * (score / temperature + prior *
log q) still holds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from experiments.output.folders import RECORDS_VERSION, check_writable
from research.config import Config
from research.data import name_of
from research.files import read_arrays, together, write_arrays, write_csv, write_json
from research.positives import POSITIVES
from research.prepare import is_towers
from research.serving import Serving
from research.types import Fold, InputError

FILES = ("users.npz", "items.npz", "meta.json")
LISTS = "lists.csv"


def check_export(config: Config, folder: Path) -> None:
    """Checks that a run of the config can be exported there; writes nothing."""
    if not is_towers(config):
        raise InputError(f"model {config.model} has no vectors to export")
    if not POSITIVES.choose(config.positives).ranks_items:
        raise InputError(
            f"positives {config.positives}: only users and items are exported"
        )
    check_writable(folder, "export")


class Side(NamedTuple):
    """Raw ids and vectors of one side."""

    ids: np.ndarray
    vectors: Float[np.ndarray, "n d"]


def arrays_of(
    users: Side,
    items: Side,
    bias: Float[np.ndarray, " i"],
    seen_offsets: Int[np.ndarray, " v1"],
    seen_items: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays of users.npz and of items.npz.

    With one more dimension, where an item has its bias and a user 1, <user, item> +
    bias is one inner product. If every bias is 0 nothing is added; items with a bias of
    -inf are removed.
    """
    seen = {"seen_offsets": seen_offsets, "seen_ids": items.ids[seen_items]}
    listed = bias > -np.inf
    items, bias = Side(items.ids[listed], items.vectors[listed]), bias[listed]
    if bias.any():
        ones = np.ones((len(users.ids), 1))
        users = Side(users.ids, np.hstack([users.vectors, ones]))
        items = Side(items.ids, np.hstack([items.vectors, bias[:, None]]))
    of_users, of_items = (
        {"ids": side.ids, "vectors": side.vectors.astype(np.float32)}
        for side in (users, items)
    )
    return {**of_users, **seen}, of_items


def exported(
    config: Config,
    fold: Fold,
    users: Float[np.ndarray, "v d"],
    items: Float[np.ndarray, "i d"],
    temperature: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays of users.npz and of items.npz of a run."""
    from research.evaluate.top_k import seen_items_of

    fitted = fold.fitted
    bias = temperature * Serving.of(config).bias(fitted.item_counts, fitted.items)
    evaluated = Side(fitted.users.names[fold.evaluated], users)
    listed = Side(fitted.items.names, items)
    return arrays_of(evaluated, listed, bias, *seen_items_of(fold))


def export(
    config: Config, fold: Fold, run: Path, digest: str, folder: Path
) -> list[Path]:
    """Writes a finished run's vectors into a folder: all three files, or none."""
    vectors = run / "vectors.npz"
    if not vectors.is_file():
        raise InputError(
            f"{run} has no vectors.npz: remove the folder to train the run again"
        )
    arrays = read_arrays(vectors)
    temperature = float(arrays.get("temperature", config.temperature))
    users, items = exported(config, fold, arrays["users"], arrays["items"], temperature)
    about = {
        "dataset": name_of(config.dataset),
        "data_digest": digest,
        "run": run.name,
        "results_version": RECORDS_VERSION,
    }
    meta = about_vectors(about, config, Serving.of(config), temperature, users, items)
    return write_vectors(folder, users, items, meta)


def about_vectors(
    about: Mapping[str, Any],
    config: Config,
    serving: Serving,
    temperature: float,
    users: Mapping[str, np.ndarray],
    items: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The content of meta.json."""
    unit = config.output == "cosine" and config.serve_norm == "trained"
    cosine = unit and not (serving.prior or serving.exposure)
    return {
        **about,
        "metric": "cosine" if cosine else "inner product",
        "temperature": temperature,
        **serving._asdict(),
        "users": len(users["ids"]),
        "items": len(items["ids"]),
        "dim": users["vectors"].shape[1],
    }


def write_vectors(
    folder: Path,
    users: Mapping[str, np.ndarray],
    items: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    lists: Sequence[Mapping[str, Any]] | None = None,
) -> list[Path]:
    """Writes all files into a folder, or none; meta.json comes last.

    Files of an earlier call stay until all are written.
    """
    names = (FILES[0], FILES[1], LISTS, FILES[2])
    try:
        with together(folder, names) as part:
            write_arrays(part / names[0], users, level=0)
            write_arrays(part / names[1], items, level=0)
            if lists is not None:
                write_csv(part / names[2], lists)
            write_json(part / names[3], meta)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"export folder {folder} can't be written: {reason}") from None
    return [folder / name for name in names if name != LISTS or lists is not None]
