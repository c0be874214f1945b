"""A made world's clicks as one index array: a million items, a hundred million clicks.

Beside the clicks themselves (an item each, int32), the column of their users and their
places in time, no more lies in memory than the draws of a chunk of users. A user's
clicks hang on the seed and on the user alone: the numbers behind them are those of a
counter [salmon2011], at a place of the user's own. So chunks of any size, drawn in any
order, give the same world.
"""

import zlib

import numpy as np
from jaxtyping import Float, Int

from research.data.synthetic import (
    Synthetic,
    clicks_at,
    cumulated,
    make_synthetic,
    without_features,
)
from research.types import Events, Fold, InputError, Users

__all__ = ["clicks_of", "large_fold", "large_world"]

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
    """The world, which knows the truth, and the phase that its clicks make.

    Args:
      users: how many.
      items: how many.
      interactions: fitted clicks of all users together.
      seed: decides the world and its clicks.
      groups: see make_synthetic, as quality and exposure.
      quality: Zipf exponent of what users would choose by.
      exposure: Zipf exponent of what they are shown by.

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
    """A phase fitted on so many clicks; one more of each user is held out.

    Users have as many as one another, or one more. Time is the place among the events.

    Args:
      world: who likes and sees what.
      interactions: fitted clicks of all users together.
      seed: of the clicks.
      at_once: draws of a chunk; no click depends on it.

    Raises:
      InputError: a user would have no click, or the positions don't fit in int32.
    """
    users, items = len(world.users), len(world.quality)
    if not users <= interactions < LONGEST:
        raise InputError(
            f"{interactions} interactions of {users} users: each needs one, and there "
            f"may be at most {LONGEST - 1}"
        )
    each, rest = divmod(interactions, users)
    number = np.full(users, each) + (np.arange(users) < rest)
    offsets = np.concatenate([[0], np.cumsum(number)])
    item = np.empty(interactions, np.int32)
    held = np.empty(users, np.int32)
    upto, most = cumulated(world), each + 1
    step = max(at_once // (most + 1), 1)
    for start in range(0, users, step):
        rows = slice(start, min(start + step, users))
        clicks = clicks_of(world, upto, rows, most + 1, seed)
        held[rows] = clicks[:, 0]
        kept = np.arange(most) < number[rows, None]
        item[offsets[rows.start] : offsets[rows.stop]] = clicks[:, 1:][kept]
    place = np.arange(interactions, dtype=np.int32)
    return Fold(
        fitted=Events(
            user=np.repeat(np.arange(users, dtype=np.int32), number),
            item=item,
            rating=np.broadcast_to(np.float32(1), (interactions,)),
            timestamp=place,
            order=place,
            offsets=offsets,
            users=Users(np.arange(users), None, None, None, None),
            items=without_features(items),
        ),
        held_user=np.arange(users, dtype=np.int32),
        held_item=held,
        evaluated=np.arange(users),
    )


def clicks_of(
    world: Synthetic,
    upto: Float[np.ndarray, " i1"],
    rows: slice,
    each: int,
    seed: int,
) -> Int[np.ndarray, "t n"]:
    """The first ``each`` clicks of these users, which no other users' hang on.

    Args:
      world: the world.
      upto: of ``cumulated``.
      rows: the users.
      each: clicks a user; another number of them is another world.
      seed: of the clicks.
    """
    steps = -(-2 * each // A_BLOCK)  # of the counter, for a user's two numbers a click
    counter = np.random.Philox(key=[seed, zlib.crc32(b"clicks")])
    counter.advance(rows.start * steps)
    n = rows.stop - rows.start
    drawn = np.random.Generator(counter).random((n, steps * A_BLOCK))
    return clicks_at(world, upto, rows, drawn[:, :each], drawn[:, each : 2 * each])
