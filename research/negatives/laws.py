"""What every source of negatives is held to: it draws as its log q says.

tests/negatives has the laws of this project's sources, written down once more.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from research.config import Config, swept_fields, swept_values
from research.laws import Broken, Verdict, broken
from research.negatives import SourceEntry, make_sources
from research.negatives.source import Pool, Source
from research.positives import log_share
from research.types import Pairs

COUNTS = np.array([7, 1, 0, 3, 2, 11])  # item 2 was never clicked
BATCH, DRAWS = 4, 20_000
UNLIKELY = 1e-6  # a chi-square this rare is no accident


def hyper_of(config: Config) -> dict[str, jax.Array]:
    """What is swept, as it reaches sources and logits."""
    values = {name: getattr(config, name) for name in swept_fields()}
    values |= swept_values(config)
    return {name: jnp.float32(value) for name, value in values.items()}


def pool_of(counts: np.ndarray = COUNTS) -> Pool:
    """A pool in which the items have these clicks."""
    return Pool(jnp.asarray(counts, jnp.float32), jnp.asarray(log_share(counts)))


def batch_of(candidate: list[int] | np.ndarray | jax.Array) -> Pairs:
    """A batch of those positives, row b of query b."""
    n = len(candidate)
    rows = jnp.arange(n, dtype=jnp.int32)
    return Pairs(rows, rows, jnp.asarray(candidate, jnp.int32), jnp.ones(n))


def config_of(name: str, entry: SourceEntry) -> Config:
    """The config of a source alone; many draws where their number is free."""
    free = entry.columns == "draws" and not entry.cache
    draws = {"draws": DRAWS if free else 8, "part": BATCH - 1}.get(entry.columns)
    return Config(batch=BATCH, negatives=(f"{name}:{draws}" if draws else name,))


def verdict(name: str, entry: SourceEntry) -> Verdict:
    """The entry's checks; draws only where it is fresh, knows q and takes a number."""
    config = config_of(name, entry)
    found = [broken(_made, name, config)]
    reasons = {
        "its columns aren't drawn by number": entry.columns != "draws",
        "its vectors come from earlier steps": entry.origin != "fresh",
        "its q is unknown": not entry.knows_q,
        "its q depends on the user": entry.by_user,
    }
    why = next((reason for reason, holds in reasons.items() if holds), "")
    if not why and not found[0]:
        source, state = ready(config)
        found += [broken(check, source, state) for check in (finite_log_q, draws)]
    faults = tuple(filter(None, found))
    return Verdict(faults, f"draws against log q ({why})" if why else "")


def ready(config: Config) -> tuple[Source, Any]:
    """The config's only source, and its state before the first step."""
    (source,) = make_sources(config.negatives, config)
    return source, source.init(pool_of(), hyper_of(config))


def _made(name: str, config: Config) -> None:
    """It can be made, and has its entry's name."""
    (source,) = make_sources(config.negatives, config)
    if source.name != name:
        raise Broken(f"it is registered as '{name}' and calls itself '{source.name}'")


def finite_log_q(source: Source, state: Any) -> None:
    """Log q is a number or -inf, and the q of what can be drawn sum to 1."""
    log_q = _log_q(source, state)
    if log_q.shape != COUNTS.shape:
        raise Broken(f"log_q: {list(log_q.shape)} values for {len(COUNTS)} ids")
    if np.isnan(log_q).any() or np.isposinf(log_q).any():
        raise Broken(f"log_q: {log_q.tolist()}")
    # what was never clicked may have a floor, which is no probability
    totals = np.exp(log_q).sum(), np.exp(log_q[COUNTS > 0]).sum()
    if not any(abs(total - 1) < 1e-4 for total in totals):
        raise Broken(f"the q of all items sum to {totals[0]:.6g}")


def draws(source: Source, state: Any) -> None:
    """The ids exist, are as many as it says, and come up as often as log q says."""
    pool, batch = pool_of(), batch_of([0, 1, 3, 5])
    drawn = source.draw(jax.random.key(0), batch, state, pool)
    ids = np.asarray(drawn.ids)
    row = ids if ids.ndim == 1 else ids[0]
    if drawn.kept is not None:
        row = row[np.asarray(drawn.kept if drawn.kept.ndim == 1 else drawn.kept[0])]
    if len(row) != (n := float(source.draws(state, pool, BATCH))):
        raise Broken(f"draws() says {n:g}, a row has {len(row)} columns")
    if (outside := row[(row < 0) | (row >= len(COUNTS))]).size:
        raise Broken(f"drew id {outside[0]}: ids are 0 to {len(COUNTS) - 1}")
    seen = np.bincount(row, minlength=len(COUNTS))
    q = np.exp(_log_q(source, state))
    q[(COUNTS == 0) & (seen == 0)] = 0.0  # a floor, and never drawn
    q /= q.sum()
    never = (q == 0) & (seen > 0)
    chance = 0.0 if never.any() else _chance(seen, q)
    if chance < UNLIKELY:
        share = seen / len(row)
        item = np.argmax(np.where(never, np.inf, np.abs(share - q)))
        raise Broken(
            f"an item of {COUNTS[item]} of {COUNTS.sum()} clicks is {share[item]:.4f} "
            f"of {len(row)} draws, and log_q says {q[item]:.4f}"
        )


def _chance(seen: np.ndarray, q: np.ndarray) -> float:
    """That draws by q give a chi-square as large as these."""
    can = q > 0
    return float(stats.chisquare(seen[can], q[can] * seen.sum()).pvalue)


def _log_q(source: Source, state: Any) -> np.ndarray:
    assert source.log_q is not None
    ids = jnp.arange(len(COUNTS), dtype=jnp.int32)
    return np.asarray(source.log_q(ids, state, pool_of()), float)
