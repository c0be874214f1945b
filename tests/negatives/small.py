"""A world of six items: what sources draw from, and the laws they should draw by.

The laws are written down here once more, in NumPy, and share no code with the sources.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from research.config import (
    Config,
    entries_of,
    with_values,
)
from research.logits.candidates import Block, candidate_logits, columns_of
from research.logits.masks import Rows, UserPositives, keep_columns
from research.logits.reducers import Dense
from research.negatives import make_sources
from research.negatives.laws import batch_of, hyper_of
from research.negatives.source import Drawn, Pool, Source

CLICKED = np.array([7, 1, 4, 3, 2, 11])

Law = Callable[[np.ndarray, Config], np.ndarray]


def with_own(config: Config, **own: float) -> Config:
    """The config with these values of all of its sources that have them."""
    sources = entries_of(config)["negatives"]
    values = {
        f"{source.name}.{key}": value
        for source in sources
        for key, value in own.items()
        if key in source.values
    }
    return with_values(config, values)


def own_of(config: Config, key: str) -> float:
    """That value of the config's first source that has one."""
    values = [source.values for source in entries_of(config)["negatives"]]
    return float(next(each[key] for each in values if key in each))


def click_share(counts: np.ndarray, config: Config) -> np.ndarray:
    return counts / counts.sum()


def flat(counts: np.ndarray, config: Config) -> np.ndarray:
    return np.full(len(counts), 1 / len(counts))


def power(counts: np.ndarray, config: Config) -> np.ndarray:
    alpha = own_of(config, "alpha")
    weight = np.array([float(c) ** alpha if c else 0.0 for c in counts])
    return weight / weight.sum()


def some_flat(counts: np.ndarray, config: Config) -> np.ndarray:
    m = own_of(config, "mix")
    return m * flat(counts, config) + (1 - m) * power(counts, config)


LAWS: dict[str, Law] = {
    "in-batch": click_share,
    "in-batch-part": click_share,
    "uniform": flat,
    "uniform-per-row": flat,
    "popularity": power,
    "popularity-per-row": power,
    "extra": some_flat,
    "catalogue": flat,
}


def ready(config: Config, pool: Pool) -> tuple[tuple[Source, ...], tuple[Any, ...]]:
    """The sources of a config, and their states before the first step."""
    sources = make_sources(config.negatives, config)
    return sources, tuple(s.init(pool, hyper_of(config)) for s in sources)


def negatives_of(
    source: Source,
    drawn: Drawn,
    candidate: jnp.ndarray,
    known: UserPositives | None = None,
    mask_same_item: bool = False,
    query: jnp.ndarray | None = None,
) -> jnp.ndarray:
    """True where a drawn column is a negative of the row, [b, c]."""
    rows = Rows(jnp.arange(candidate.shape[0]), candidate, known, query)
    return keep_columns(rows, columns_of(source, drawn, mask_same_item))


def blocks_of(
    config: Config,
    pool: Pool,
    ids: tuple[np.ndarray, ...],
    vectors: np.ndarray,
) -> tuple[Block, ...]:
    """Blocks as if each source had drawn these ids; vectors of the items, [i, d]."""
    sources, states = ready(config, pool)
    blocks = []
    for source, state, drawn in zip(sources, states, ids, strict=True):
        at = jnp.asarray(drawn, jnp.int32)
        blocks.append(Block(source, state, Drawn(at), jnp.asarray(vectors)[at]))
    return tuple(blocks)


def logits_of(
    config: Config,
    query: np.ndarray,
    vectors: np.ndarray,
    candidate: list[int] | np.ndarray,
    ids: tuple[np.ndarray, ...],
    pool: Pool,
    known: UserPositives | None = None,
) -> tuple[jnp.ndarray, Dense]:
    """candidate_logits of a config for ids given by hand.

    query [b, d] and vectors [i, d] may be traced.
    """
    batch, items = batch_of(candidate), jnp.asarray(vectors)
    return candidate_logits(
        config,
        jnp.asarray(query),
        items[batch.candidate],
        blocks_of(config, pool, ids, vectors),
        batch,
        pool,
        known,
        hyper_of(config),
    )
