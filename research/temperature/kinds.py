"""The kinds of temperature: one number, one that moves, one per user or per item."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import lambertw

from research.config import Config
from research.negatives.source import Pool
from research.temperature import values_of
from research.types import Hyper, Pairs

BRANCH = -math.exp(-1.0)  # Lambert's W is real from here on
LEARNED = "log_temperature"


class Temperature(NamedTuple):
    """What scores are divided by: row, [] or [b], unless item [i] has each item's."""

    row: Float[Array, "..."]
    item: Float[Array, " i"] | None = None

    def own(self, candidate: Int[Array, " b"]) -> Float[Array, "..."]:
        """The temperature of the positives' scores: [] or [b]."""
        return self.row if self.item is None else self.item[candidate]

    def columns(self, ids: Int[Array, "..."]) -> Float[Array, "..."]:
        """That of a block's scores, ids [c] or [b, k]: [], [b, 1], [1, c] or [b, k]."""
        if self.item is not None:
            at = self.item[ids]
            return at[None, :] if at.ndim == 1 else at
        return self.row[:, None] if self.row.ndim else self.row


class UserTemperatures(NamedTuple):
    """Each user's temperature, and sum and number of the losses since it was set."""

    temperature: Float[Array, " u"]
    loss: Float[Array, " u"]
    rows: Float[Array, " u"]


class Moment(NamedTuple):
    """What the temperature of a step may depend on.

    Attributes:
      config: the run's; its kind may have values of structure.
      learned: params["loss"], which holds what a kind learns.
      users: state of the users, or () where no user has a temperature.
      pairs: the step's pairs.
      pool: the click share.
      progress: 0 at the first step, 1 at the last.
    """

    config: Config
    learned: dict[str, Float[Array, ""]]
    users: UserTemperatures | tuple[()]
    pairs: Pairs
    pool: Pool
    progress: Float[Array, ""]


def fixed(moment: Moment, hyper: Hyper) -> Temperature:
    """The config's temperature, at every step."""
    return Temperature(hyper["temperature"])


def learned(moment: Moment, hyper: Hyper) -> Temperature:
    """A temperature learned with the towers, through its logarithm."""
    return Temperature(jnp.exp(moment.learned[LEARNED]))


def scheduled(moment: Moment, hyper: Hyper) -> Temperature:
    """From temperature to the end, by progress: linear or a cosine."""
    start, end = hyper["temperature"], hyper["end"]
    left = 1.0 - moment.progress
    if values_of(moment.config)["schedule"] == "cosine":
        left = (1.0 + jnp.cos(jnp.pi * moment.progress)) / 2.0
    return Temperature(end + (start - end) * left)


def per_user(moment: Moment, hyper: Hyper) -> Temperature:
    """Each user's own temperature, from its losses of the last epoch [chen2023]."""
    assert isinstance(moment.users, UserTemperatures)
    return Temperature(moment.users.temperature[moment.pairs.query])


def by_popularity(moment: Moment, hyper: Hyper) -> Temperature:
    """Each item's own temperature, by its share of the clicks.

    t_j = temperature (q_j / q)^power, q the geometric mean over clicks, so that the
    average click keeps the temperature; within the bounds.
    """
    return Temperature(hyper["temperature"], _of_items(moment.pool, hyper))


def by_popularity_scale(pool: Pool, hyper: Hyper) -> Float[Array, " i"]:
    """temperature / t_j of each item, by the exact click share.

    Serving divides every score by one temperature, and an item's vector carries the
    rest: lists are by the logits s_j / t_j that were trained. Without it popular items
    stand further up than in training, as with a popularity prior.
    """
    return hyper["temperature"] / _of_items(pool, hyper)


def _of_items(pool: Pool, hyper: Hyper) -> Float[Array, " i"]:
    mean = jnp.sum(pool.counts * pool.log_share) / jnp.sum(pool.counts)
    power = hyper["power"] * (pool.log_share - mean)
    low, high = hyper["low"], hyper["high"]
    return jnp.clip(hyper["temperature"] * jnp.exp(power), low, high)


def learned_start(config: Config) -> dict[str, Float[Array, ""]]:
    """What params["loss"] holds for a learned temperature: its logarithm."""
    return {LEARNED: jnp.float32(math.log(config.temperature))}


def learned_end(
    config: Config, learned: dict[str, Float[Array, ""]], row: dict[str, float]
) -> float:
    """The learned temperature, which serving divides by."""
    return math.exp(float(learned[LEARNED]))


def within_bounds(
    learned: dict[str, Float[Array, ""]], hyper: Hyper
) -> dict[str, Float[Array, ""]]:
    """The learned values after a step, the temperature back within its bounds.

    A projection, so that at a bound the gradient still leads inwards.
    """
    low, high = hyper["low"], hyper["high"]
    within = jnp.clip(learned[LEARNED], jnp.log(low), jnp.log(high))
    return {**learned, LEARNED: within}


def init_users(config: Config, n: int) -> UserTemperatures:
    """All n users at the config's temperature."""
    start = jnp.full(n, config.temperature, jnp.float32)
    return UserTemperatures(start, jnp.zeros(n), jnp.zeros(n))


def observe_users(
    users: UserTemperatures, query: Int[Array, " b"], losses: Float[Array, " b"]
) -> UserTemperatures:
    """The state with a step's losses added to their users' sums."""
    return users._replace(
        loss=users.loss.at[query].add(losses), rows=users.rows.at[query].add(1.0)
    )


def refresh_users(users: UserTemperatures, config: Config) -> UserTemperatures:
    """Each user's temperature from the losses of an epoch, whose sums start anew.

    t_u = temperature exp(W(max(-1 / e, (l_u - mean l) / spread)))  [chen2023]

    W is Lambert's, l_u the user's mean loss. A user with a loss above the mean gets a
    larger temperature than the config's; the smallest is 1 / e of it. Differs from the
    paper: l_u is measured at the config's temperature and not at 1; that temperature is
    chosen and not computed from the gap of cosines; positives are divided by t_u like
    the negatives (its code keeps the common one there); bounds.
    """
    rows, total = np.asarray(users.rows), np.asarray(users.loss, np.float64)
    active = rows > 0
    if not active.any():
        return users
    own = values_of(config)
    mean = np.where(active, total / np.maximum(rows, 1.0), 0.0)
    over = np.where(active, mean - mean[active].mean(), 0.0) / own["spread"]
    w = lambertw(np.maximum(over, BRANCH + 1e-12)).real
    bounds = own["low"], own["high"]
    new = np.clip(config.temperature * np.exp(w), *bounds).astype(np.float32)
    # Two arrays of zeros, as the epoch takes over the buffer of each.
    return UserTemperatures(*map(jnp.asarray, (new, 0.0 * new, 0.0 * new)))
