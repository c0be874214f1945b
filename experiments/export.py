"""A run's vectors as files that a nearest-neighbour library loads as they are.

    users.npz   ids [v], vectors [v, d], seen_offsets [v + 1], seen_ids [s]
    items.npz   ids [i], vectors [i, d]
    meta.json   the data set, the metric, the temperature, the run

Ids are the data set's own. Users are those that the run evaluates; the v-th has seen
seen_ids[seen_offsets[v] : seen_offsets[v + 1]], which its lists leave out. Items are
the whole catalogue, in the order that settles ties. The vectors of either side are
computed without the other: one table of items serves every user.

The nearest items by meta.json's metric are the run's lists. With a serving prior the
vectors are one longer, so that <u, v> = temperature * (score / temperature + prior *
log q) still holds.
"""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.folders import RECORDS_VERSION, check_writable
from research.config import Config
from research.files import read_arrays, write_arrays, write_json
from research.positives import POSITIVES, log_share
from research.prepare import is_towers
from research.types import Fold, InputError

FILES = ("users.npz", "items.npz", "meta.json")


def check_export(config: Config, folder: Path) -> None:
    """Looks whether a run of the config could be exported there; makes nothing.

    Raises:
      InputError: the model has no vectors, or the folder can't be made or written to.
    """
    if not is_towers(config):
        raise InputError(f"model {config.model} has no vectors to export")
    if not POSITIVES.choose(config.positives).ranks_items:
        raise InputError(
            f"positives {config.positives}: only users and items are exported"
        )
    check_writable(folder, "export")


def exported(
    config: Config,
    fold: Fold,
    users: Float[np.ndarray, "v d"],
    items: Float[np.ndarray, "i d"],
    temperature: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays of users.npz and of items.npz.

    Args:
      config: the run; its prior is built into the vectors.
      fold: the phase whose evaluated users and catalogue the rows are.
      users: user vectors.
      items: item vectors.
      temperature: what serving divides by.
    """
    from research.evaluate.top_k import seen_items_of

    if config.prior:
        bias = temperature * config.prior * log_share(fold.fitted.item_counts)
        users = np.concatenate([users, np.ones((len(users), 1))], axis=1)
        items = np.concatenate([items, bias[:, None]], axis=1)
    offsets, seen = seen_items_of(fold)
    item_ids = fold.fitted.items.id
    return {
        "ids": fold.fitted.users.id[fold.evaluated],
        "vectors": users.astype(np.float32),
        "seen_offsets": offsets,
        "seen_ids": item_ids[seen],
    }, {"ids": item_ids, "vectors": items.astype(np.float32)}


def export(
    config: Config, fold: Fold, run: Path, digest: str, folder: Path
) -> list[Path]:
    """Writes a finished run's vectors into a folder: all three files, or none.

    An earlier export there is taken away first. meta.json is written last.

    Args:
      config: the run, its features named.
      fold: its phase.
      run: its folder, which holds vectors.npz.
      digest: of the data.
      folder: where the files go.

    Raises:
      InputError: the run's vectors are gone, or the folder can't be written to.
    """
    vectors = run / "vectors.npz"
    if not vectors.is_file():
        raise InputError(
            f"{run} has no vectors.npz: remove the folder to train the run again"
        )
    arrays = read_arrays(vectors)
    learned = arrays.get("temperature")
    temperature = config.temperature if learned is None else float(learned)
    users, items = exported(config, fold, arrays["users"], arrays["items"], temperature)
    cosine = config.output == "cosine" and not config.prior
    meta: dict[str, Any] = {
        "dataset": config.dataset,
        "data_digest": digest,
        "run": run.name,
        "results_version": RECORDS_VERSION,
        "metric": "cosine" if cosine else "inner product",
        "temperature": temperature,
        "prior": config.prior,
        "users": len(users["ids"]),
        "items": len(items["ids"]),
        "dim": users["vectors"].shape[1],
    }
    paths = [folder / name for name in FILES]
    try:
        for path in paths:
            path.unlink(missing_ok=True)
        write_arrays(paths[0], users, level=0)
        write_arrays(paths[1], items, level=0)
        write_json(paths[2], meta)
    except OSError as error:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        reason = error.strerror or error
        raise InputError(f"export folder {folder} can't be written: {reason}") from None
    return paths
