"""The contract of a source of negatives, log q of a union, and stateless sources."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from research.config import REFERENCE, Config
from research.types import UNSEEN, Hyper, Pairs

SourceState = Any  # a tree of arrays
SourceStates = tuple[SourceState, ...]


# A uniform float32 takes 2^23 values only, so that in a large catalogue many items can
# never be drawn. Above COARSE items one number picks a block, another the item in it.
COARSE, BLOCK = 1 << 16, 1 << 10


class Cumulative(NamedTuple):
    """Cumulative sums of q, [i]; with many items those of blocks, and within each."""

    whole: Float[Array, " n"]
    within: Float[Array, "n k"] | None


class UserItems(NamedTuple):
    """The distinct items of each user in the training part, ascending.

    Those of user u are item[offsets[u] : offsets[u + 1]].
    """

    item: Int[Array, " e"]
    offsets: Int[Array, " u1"]


class Pool(NamedTuple):
    """What sources draw from: how often each candidate stands in the fitted pairs.

    log_share is log q of one draw from the pairs: exact, or as estimated so far
    (research/negatives/frequency.py). owned is None where no source asks for it.
    """

    counts: Float[Array, " i"]
    log_share: Float[Array, " i"]
    owned: UserItems | None = None

    @property
    def floor(self) -> Float[Array, ""]:
        """log(.3 / n), n the number of pairs: a finite log q for what has no pair."""
        return jnp.log(UNSEEN / jnp.sum(self.counts))


class Drawn(NamedTuple):
    """Negatives of one source: ids [c] shared by the rows, or [b, k] of each row's own.

    vectors is None where the candidate tower is still to encode them. kept, [c] or
    [b, c], is False for a column that can't be used in this step (a cache that isn't
    warm); None: all can. log_q is None where the columns are corrected by the union's
    q, as they should be; a cache that stored its q at enqueue gives that, [c].
    """

    ids: Int[Array, "..."]
    vectors: Float[Array, "... d"] | None = None
    kept: Bool[Array, "..."] | None = None
    log_q: Float[Array, " c"] | None = None


class Source(NamedTuple):
    """A source: a pure draw with explicit state, and its own log q for any id.

    Attributes:
      name: as in the registry.
      origin: where vectors come from: "batch" (the positives' own), "fresh" (encoded
        in this step) or "stored" (kept from earlier steps, no gradient).
      own: which column of a row is the row's positive itself and never a negative:
        "diagonal", "id" (wherever the id stands) or "none".
      init(pool, hyper): the state before the first step; () where none is needed.
      draw(key, batch, state, pool): the block.
      draws(state, pool, batch_size): number of draws that a row sees, for the mixture;
        0 while a cache isn't warm.
      log_q(ids, state, pool): log of the probability that one draw gives the id, for
        any ids; None where it is unknown (hard negatives).
      row_log_q(batch, state, pool): what is added to log q of every id in a row, [b],
        for a source whose draws depend on the row; it can't join a mixture.
      update(state, batch, vectors, pool): the state after a step that encoded the
        batch's positives as these vectors.
      refresh(state, users, items): the state before an epoch, given the vectors of
        all queries [u, d] and candidates [i, d]; None where a source doesn't use them.
    """

    name: str
    draw: Callable[[Key[Array, ""], Pairs, SourceState, Pool], Drawn]
    draws: Callable[[SourceState, Pool, int], Float[Array, ""]]
    log_q: Callable[[Int[Array, "..."], SourceState, Pool], Float[Array, "..."]] | None
    origin: Literal["batch", "fresh", "stored"] = "fresh"
    own: Literal["diagonal", "id", "none"] = "none"
    init: Callable[[Pool, Hyper], SourceState] = lambda pool, hyper: ()
    row_log_q: Callable[[Pairs, SourceState, Pool], Float[Array, " b"]] | None = None
    update: Callable[[SourceState, Pairs, Float[Array, "b d"], Pool], SourceState] = (
        lambda state, batch, vectors, pool: state
    )
    refresh: Callable[[SourceState, Array, Array], SourceState] | None = None


Sources = tuple[Source, ...]


def total_draws(
    sources: Sources, states: SourceStates, pool: Pool, batch_size: int
) -> Float[Array, ""]:
    """N, the number of draws that a row sees over all sources; at least 1.

    Only cold caches draw nothing, and then no column is kept: any finite log will do.
    Arguments are as in ``union_log_q``.
    """
    return jnp.maximum(jnp.sum(_draws(sources, states, pool, batch_size)), 1.0)


def union_log_q(
    ids: Int[Array, "..."],
    sources: Sources,
    states: SourceStates,
    pool: Pool,
    batch_size: int,
) -> Float[Array, "..."]:
    """log Q'(j) = log sum_b (n_b / N) q_b(j), for the draws n_b of each source b.

    The mixture of [yang2020], which names it without printing it: every column is
    corrected by the union's q, whichever source it came from, as the deterministic
    mixture of multiple importance sampling (the balance heuristic) [veach1995]. n_b
    counts draws, not the size of what is drawn from: a cache that isn't warm has n_b 0
    and no weight.

    An id that no source can draw has a Q' of 0. It is in no column, and as a positive
    it has the pool's floor, since its logit must be finite. Sources that draw clicks
    give the floor to an id without a pair themselves: beside r of their draws for each
    uniform one of I items its Q' is 1 + 0.3 r I / pairs times the exact one, which the
    source ``extra`` has (docs/deviations.md).

    Raises:
      ValueError: a source doesn't know its q.
    """
    share = _draws(sources, states, pool, batch_size)
    weight = jnp.log(share) - jnp.log(total_draws(sources, states, pool, batch_size))
    parts = _log_q(ids, sources, states, pool)
    total = jax.nn.logsumexp(
        jnp.stack([weight[b] + part for b, part in enumerate(parts)]), axis=0
    )
    return jnp.where(jnp.isneginf(total), pool.floor, total)


def union_log_inclusion(
    ids: Int[Array, "..."],
    sources: Sources,
    states: SourceStates,
    pool: Pool,
    batch_size: int,
) -> Float[Array, "..."]:
    """log P(j is drawn at least once) = log(1 - prod_b (1 - q_b(j))^n_b).

    For one source 1 - (1 - q)^n, the probability of [yi2019, section 3.2] to be in
    a batch. It corrects columns in which each id stands once: 1 / P weighs a distinct
    column as Horvitz and Thompson do [horvitz1952], where 1 / (n q) weighs a draw.
    Arguments and exceptions are as in ``union_log_q``.
    """
    share = _draws(sources, states, pool, batch_size)
    never = [
        share[b] * jnp.log1p(-jnp.exp(part))
        for b, part in enumerate(_log_q(ids, sources, states, pool))
    ]
    total = jnp.log(-jnp.expm1(jnp.sum(jnp.stack(never), axis=0)))
    return jnp.where(jnp.isfinite(total), total, pool.floor)


def _log_q(
    ids: Int[Array, "..."], sources: Sources, states: SourceStates, pool: Pool
) -> list[Float[Array, "..."]]:
    parts = []
    for source, state in zip(sources, states, strict=True):
        if source.log_q is None:
            raise ValueError(f"{source.name}: q is unknown")
        parts.append(source.log_q(ids, state, pool))
    return parts


def _draws(
    sources: Sources, states: SourceStates, pool: Pool, batch_size: int
) -> Float[Array, " n"]:
    both = zip(sources, states, strict=True)
    return jnp.stack([source.draws(state, pool, batch_size) for source, state in both])


def in_batch(draws: int, config: Config = REFERENCE) -> Source:
    """The other rows' positives: B - 1 draws from the click share, at no cost.

    q_j = C_j / sum C, the share of fitted pairs whose candidate is j  [yi2019, 3.2].
    Differs from the paper: q is per draw and not the probability to be in a batch,
    which matches keeping duplicate columns.
    """
    return Source(
        name="in-batch",
        origin="batch",
        own="diagonal",
        draw=lambda key, batch, state, pool: Drawn(batch.candidate),
        draws=lambda state, pool, batch_size: jnp.array(batch_size - 1.0),
        log_q=lambda ids, state, pool: pool.log_share[ids],
    )


def in_batch_part(draws: int, config: Config = REFERENCE) -> Source:
    """A random part of the batch's columns: fewer negatives from as many rows.

    Each row sees exactly ``draws`` of the other rows' positives: those at as many
    distinct distances around the batch, drawn anew in each step. That is one [b, b]
    mask over scores that are computed anyway. q is that of in-batch.
    """

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        b = batch.candidate.shape[0]
        distance = 1 + jax.random.permutation(key, b - 1)[:draws]
        chosen = jnp.zeros(b, bool).at[distance].set(True)
        row = jnp.arange(b, dtype=jnp.int32)
        kept = chosen[(row[None, :] - row[:, None]) % b]
        return Drawn(batch.candidate, kept=kept)

    return in_batch(0, config)._replace(
        name="in-batch-part",
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
    )


def uniform(draws: int, config: Config = REFERENCE) -> Source:
    """Draws from the catalogue with replacement, shared by all rows [yang2020]."""

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        return Drawn(jax.random.randint(key, (draws,), 0, pool.counts.shape[0]))

    return Source(
        name="uniform",
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=_uniform_log_q,
    )


def uniform_per_row(draws: int, config: Config = REFERENCE) -> Source:
    """As uniform, but each row draws its own: the k negatives of pointwise training."""

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        shape = (batch.candidate.shape[0], draws)
        return Drawn(jax.random.randint(key, shape, 0, pool.counts.shape[0]))

    return uniform(draws)._replace(name="uniform-per-row", draw=draw)


def popularity(draws: int, config: Config = REFERENCE) -> Source:
    """Draws from q_j = C_j^alpha / sum_k C_k^alpha, normalised, shared by all rows.

    alpha is hyper["alpha"]: 0 is uniform over the clicked items, 1 the click share.
    State: log q [i] and its cumulative sums. Source: [mikolov2013, section 2.2].
    """
    return Source(
        name="popularity",
        init=_powers,
        draw=lambda key, batch, state, pool: Drawn(_power_draw(key, state[1], draws)),
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=lambda ids, state, pool: state[0][ids],
    )


def popularity_per_row(draws: int, config: Config = REFERENCE) -> Source:
    """As popularity, but each row draws its own.

    A row's negatives have the same distribution as with shared draws, but errors of the
    sample are independent between rows, so the batch averages them.
    """

    def draw(key: Key[Array, ""], batch: Pairs, state: Any, pool: Pool) -> Drawn:
        rows = batch.candidate.shape[0]
        return Drawn(_power_draw(key, state[1], rows * draws).reshape(rows, draws))

    return popularity(draws)._replace(name="popularity-per-row", draw=draw)


def extra(draws: int, config: Config = REFERENCE) -> Source:
    """Draws each uniform with probability m, else from popularity^alpha.

    q_j = m / I + (1 - m) C_j^alpha / sum_k C_k^alpha, with m = hyper["mix"]: the
    sampling distribution of mixed negatives as one traced number [yang2020].
    Differs from the paper: there m is 1.
    State: that of popularity, and m.
    """

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        one, two, which = jax.random.split(key, 3)
        flat = jax.random.randint(one, (draws,), 0, pool.counts.shape[0])
        powers = _power_draw(two, state[1], draws)
        return Drawn(
            jnp.where(jax.random.bernoulli(which, state[2], (draws,)), flat, powers)
        )

    def log_q(ids, state, pool):  # type: ignore[no-untyped-def]
        seen = jnp.where(pool.counts[ids] > 0, state[0][ids], -jnp.inf)
        flat = jnp.log(state[2]) + _uniform_log_q(ids, state, pool)
        return jnp.logaddexp(flat, jnp.log1p(-state[2]) + seen)

    return Source(
        name="extra",
        init=lambda pool, hyper: (*_powers(pool, hyper), hyper["mix"]),
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=log_q,
    )


def _powers(pool: Pool, hyper: Hyper) -> tuple[Float[Array, " i"], Cumulative]:
    """log q of popularity^alpha, finite also where it is 0, and its cumulative sums."""
    seen = pool.counts > 0
    power = hyper["alpha"] * jnp.log(jnp.where(seen, pool.counts, 1.0))
    log_q = jax.nn.log_softmax(jnp.where(seen, power, -jnp.inf))
    # Only what is never drawn is floored: with alpha 2 a rare item lies below it.
    return jnp.where(seen, log_q, pool.floor), _cumulative(jnp.exp(log_q))


def _cumulative(q: Float[Array, " i"]) -> Cumulative:
    if len(q) <= COARSE:
        return Cumulative(jnp.cumsum(q), None)
    blocks = jnp.pad(q, (0, -len(q) % BLOCK)).reshape(-1, BLOCK)
    return Cumulative(jnp.cumsum(blocks.sum(axis=1)), jnp.cumsum(blocks, axis=1))


def _power_draw(
    key: Key[Array, ""], cumulative: Cumulative, draws: int
) -> Int[Array, " c"]:
    whole, within = cumulative
    if within is None:
        return _searched(key, whole, draws)
    one, two = jax.random.split(key)
    block = _searched(one, whole, draws)
    at = jax.random.uniform(two, (draws,)) * within[block, -1]
    ids, half = jnp.zeros(draws, jnp.int32), BLOCK // 2
    while half:  # binary search: how many of the block's sums are at most ``at``
        ids = jnp.where(within[block, ids + half - 1] <= at, ids + half, ids)
        half //= 2
    return block * BLOCK + ids


def _searched(
    key: Key[Array, ""], sums: Float[Array, " n"], draws: int
) -> Int[Array, " c"]:
    at = jax.random.uniform(key, (draws,)) * sums[-1]
    ids = jnp.searchsorted(sums, at, side="right")
    return jnp.minimum(ids, len(sums) - 1).astype(jnp.int32)


def catalogue(draws: int, config: Config = REFERENCE) -> Source:
    """Every candidate once, for the full softmax; log q is a constant."""
    return Source(
        name="catalogue",
        own="id",
        draw=lambda key, batch, state, pool: Drawn(
            jnp.arange(pool.counts.shape[0], dtype=jnp.int32)
        ),
        draws=lambda state, pool, batch_size: jnp.array(float(len(pool.counts))),
        log_q=_uniform_log_q,
    )


def _uniform_log_q(
    ids: Int[Array, "..."], state: object, pool: object
) -> Float[Array, "..."]:
    n = pool.counts.shape[0]  # type: ignore[attr-defined]
    return jnp.full(ids.shape, -jnp.log(float(n)))
