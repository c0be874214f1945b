"""Synthetic data sets of any size, with known relevance and exposure of every item.

Item i belongs to a group; user u has a taste for groups, every item a quality and an
exposure, both of Zipf's form. A click is drawn from

    p(i | u) proportional to exp(taste <x_u, m_g(i)> + quality_i) exposure_i,

and the exponent is the relevance, what u would choose by if all items were shown alike.
Both are exact for any pair, and a click is drawn in O(log) of the sizes, since a user's
taste is the same for a whole group.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax

from research.types import Events, Fold, InputError, Table, check

CHUNK = 4096  # users whose clicks are drawn at once
RANK = 8


class Synthetic(NamedTuple):
    """A synthetic world: tastes, groups, and per item the logs of two weights.

    Items are sorted by group: those of group g are starts[g]:starts[g + 1].
    """

    users: Float[np.ndarray, "u r"]
    groups: Float[np.ndarray, "g r"]
    starts: Int[np.ndarray, " g1"]
    quality: Float[np.ndarray, " i"]
    exposure: Float[np.ndarray, " i"]

    @property
    def group(self) -> Int[np.ndarray, " i"]:
        """The group of each item."""
        return np.repeat(np.arange(len(self.groups)), np.diff(self.starts))


def make_synthetic(
    users: int,
    items: int,
    groups: int = 64,
    taste: float = 2.0,
    quality: float = 1.0,
    exposure: float = 0.0,
    seed: int = 0,
    correlation: float = 0.0,
) -> Synthetic:
    """A synthetic world drawn from a seed.

    Args:
      users: number of users.
      items: number of items.
      groups: number of groups of items, of sizes as equal as can be.
      taste: standard deviation of a user's liking of the groups, in nats.
      quality: Zipf exponent of the items' quality: log of it is -quality log rank.
      exposure: the same of their exposure, in an order of its own.
      seed: of all that is random.
      correlation: of the two orders, 0 for independent ones, from -1 to 1.

    Raises:
      InputError: a size below 1, more groups than items, taste or an exponent below 0,
        a correlation outside -1 to 1.
    """
    if min(users, items, groups) < 1 or groups > items:
        raise InputError(
            f"{users} users and {items} items in {groups} groups: expected at least 1 "
            f"of each, and at most as many groups as items"
        )
    for name, value in (("taste", taste), ("quality", quality), ("exposure", exposure)):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{name} is {value:g}: it must be finite and >= 0")
    if not abs(correlation) <= 1:
        raise InputError(f"correlation is {correlation:g}: it must lie in -1 to 1")
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((users, RANK), np.float32)
    m = draw.standard_normal((groups, RANK), np.float32)
    m *= taste / np.linalg.norm(m, axis=1, keepdims=True)
    log_rank = np.log(np.arange(1, items + 1))
    of_quality, own = draw.permutation(log_rank), draw.permutation(log_rank)
    mixed = correlation * of_quality + np.sqrt(1 - correlation**2) * own
    of_exposure = np.empty(items)
    of_exposure[np.argsort(mixed, kind="stable")] = log_rank
    return check(
        Synthetic(
            users=x,
            groups=m,
            starts=np.linspace(0, items, groups + 1).astype(np.int64),
            quality=-quality * of_quality,
            exposure=-exposure * of_exposure,
        )
    )


def relevance(world: Synthetic) -> Float[np.ndarray, "u i"]:
    """Log relevance of all items for all users, up to a constant per user."""
    liking = world.users @ world.groups.T
    return liking[:, world.group] + world.quality


def log_clicks(world: Synthetic) -> Float[np.ndarray, "u i"]:
    """log p(i | u), exact: relevance and exposure, normalised over the items."""
    return log_softmax(relevance(world) + world.exposure, axis=1)


def draw_clicks(
    world: Synthetic, each: int, seed: int = 0
) -> Iterator[Int[np.ndarray, "t n"]]:
    """Clicks of all users, ``each`` per user, a chunk of users at a time.

    With the seed of the world, tastes and clicks are made of the same random bits, if
    in another form and mostly for other users. The committed studies are drawn so.
    """
    draw, upto = np.random.default_rng(seed), _cumulated(world)
    for start in range(0, len(world.users), CHUNK):
        rows = slice(start, start + CHUNK)
        shape = len(world.users[rows]), each
        yield _clicks_at(world, upto, rows, draw.random(shape), draw.random(shape))


def _cumulated(world: Synthetic) -> Float[np.ndarray, " i1"]:
    """Mass of a click on all items before each item, and on all items."""
    mass = np.exp(world.quality + world.exposure)
    return np.concatenate([[0.0], np.cumsum(mass)])


def _clicks_at(
    world: Synthetic,
    upto: Float[np.ndarray, " i1"],
    rows: slice,
    which: Float[np.ndarray, "t n"],
    within: Float[np.ndarray, "t n"],
) -> Int[np.ndarray, "t n"]:
    """The clicks of some users by inversion of uniform numbers in [0, 1)."""
    edges = upto[world.starts]
    liking = world.users[rows] @ world.groups.T
    weight = np.exp(liking.astype(np.float64)) * np.diff(edges)
    cdf = np.cumsum(weight, axis=1)
    cdf /= cdf[:, -1:]
    # Row t's distribution lies in (t, t + 1]: one search serves all rows.
    row = np.arange(len(cdf))[:, None]
    flat = np.searchsorted((cdf + row).ravel(), row + which, side="right")
    group = np.minimum(flat - row * cdf.shape[1], cdf.shape[1] - 1)
    inside = edges[group] + within * (edges[group + 1] - edges[group])
    item = np.searchsorted(upto, inside, side="right") - 1
    # Rounding may step over a group's edge, never over more.
    item = np.clip(item, world.starts[group], world.starts[group + 1] - 1)
    return item.astype(np.int32)


def made_fold(world: Synthetic, each: int, seed: int = 0) -> Fold:
    """A phase fitted on ``each`` clicks per user; each user's last is held out.

    Clicks are drawn with replacement, so that a held-out one may be a training click,
    too. No list holds it then, whatever the model: all metrics are lower by that share.
    """
    chunks = draw_clicks(world, each + 1, seed)
    clicks = np.concatenate(list(chunks)).astype(np.int64)
    fitted, held_item = clicks[:, :each].ravel(), clicks[:, each]
    time = np.tile(np.arange(each), len(clicks))
    return _fold(world, fitted, np.arange(len(clicks) + 1) * each, time, held_item)


def _fold(
    world: Synthetic,
    item: Int[np.ndarray, " e"],
    offsets: Int[np.ndarray, " u1"],
    time: Int[np.ndarray, " e"],
    held_item: Int[np.ndarray, " u"],
) -> Fold:
    """The phase of the clicks of all users; users have the dtype of the items."""
    users = np.arange(len(world.users))
    return Fold(
        fitted=Events(
            user=np.repeat(users.astype(item.dtype), np.diff(offsets)),
            item=item,
            rating=np.broadcast_to(np.float32(1), item.shape),
            timestamp=time,
            order=np.arange(len(item), dtype=item.dtype),
            offsets=offsets,
            users=Table(users, {}),
            items=Table(np.arange(len(world.quality)), {}),
        ),
        held_user=users.astype(item.dtype),
        held_item=held_item,
        evaluated=users,
    )


AT_ONCE = 1 << 20  # draws of a chunk: some 50 MB while they are made
LONGEST = 1 << 31  # positions among the events are int32
A_BLOCK = 4  # numbers that one step of the counter gives


def large_world(
    users: int,
    items: int,
    interactions: int,
    seed: int = 0,
    groups: int = 64,
    quality: float = 1.0,
    exposure: float = 0.5,
) -> tuple[Synthetic, Fold]:
    """A world and the phase of its clicks, for sizes up to 2^31 clicks.

    Raises:
      InputError: see make_synthetic and large_fold.
    """
    world = make_synthetic(
        users, items, groups, quality=quality, exposure=exposure, seed=seed
    )
    return world, large_fold(world, interactions, seed)


def large_fold(
    world: Synthetic, interactions: int, seed: int = 0, at_once: int = AT_ONCE
) -> Fold:
    """A phase fitted on ``interactions`` clicks; one more of each user is held out.

    Numbers of clicks of two users differ by one at most. The time of a click is its
    place among the events.

    Raises:
      InputError: a user would have no click, or the positions don't fit in int32.
    """
    users = len(world.users)
    if not users <= interactions < LONGEST:
        raise InputError(
            f"{interactions} interactions of {users} users: each needs one, and there "
            f"may be at most {LONGEST - 1}"
        )
    each, rest = divmod(interactions, users)
    number = np.full(users, each) + (np.arange(users) < rest)
    offsets = np.concatenate([[0], np.cumsum(number)])
    item = np.empty(interactions, np.int32)
    held_item = np.empty(users, np.int32)
    upto, most = _cumulated(world), each + 1
    step = max(at_once // (most + 1), 1)
    for start in range(0, users, step):
        rows = slice(start, min(start + step, users))
        clicks = _clicks_of(world, upto, rows, most + 1, seed)
        held_item[rows] = clicks[:, 0]
        fitted = np.arange(most) < number[rows, None]
        item[offsets[rows.start] : offsets[rows.stop]] = clicks[:, 1:][fitted]
    time = np.arange(interactions, dtype=np.int32)
    return _fold(world, item, offsets, time, held_item)


def _clicks_of(
    world: Synthetic, upto: Float[np.ndarray, " i1"], rows: slice, each: int, seed: int
) -> Int[np.ndarray, "t n"]:
    """``each`` clicks of these users, which depend on no other users."""
    steps = -(-2 * each // A_BLOCK)  # of the counter: two numbers per click of a user
    counter = np.random.Philox(key=[seed, zlib.crc32(b"clicks")])
    counter.advance(rows.start * steps)
    n = rows.stop - rows.start
    uniform = np.random.Generator(counter).random((n, steps * A_BLOCK))
    within = uniform[:, each : 2 * each]
    return _clicks_at(world, upto, rows, uniform[:, :each], within)
