"""What divides the score: one number, one that moves, or one a user or an item."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import lambertw

from research.config import Config
from research.negatives.source import Hyper, Pool
from research.types import InputError, Pairs, choose

__all__ = [
    "KINDS",
    "Temperature",
    "UserTemperatures",
    "check_temperature",
    "init_users",
    "learned_end",
    "learned_start",
    "narrow_range",
    "observe_users",
    "project",
    "refresh_users",
    "temperature_of",
]

BRANCH = -math.exp(-1.0)  # Lambert's W is real from here on


class UserTemperatures(NamedTuple):
    """Each user's temperature; the sum and number of its losses since that was set."""

    temperature: Float[Array, " u"]
    loss: Float[Array, " u"]
    rows: Float[Array, " u"]


def init_users(config: Config, n: int) -> UserTemperatures | tuple[()]:
    """All users at the config's temperature; empty for the other kinds."""
    if config.temperature_kind != "per-user":
        return ()
    start = jnp.full(n, config.temperature, jnp.float32)
    return UserTemperatures(start, jnp.zeros(n), jnp.zeros(n))


def observe_users(
    users: UserTemperatures | tuple[()],
    query: Int[Array, " b"],
    losses: Float[Array, " b"],
) -> UserTemperatures | tuple[()]:
    """Adds a step's losses to their users' sums."""
    if not isinstance(users, UserTemperatures):
        return users
    return users._replace(
        loss=users.loss.at[query].add(losses), rows=users.rows.at[query].add(1.0)
    )


def refresh_users(users: UserTemperatures, config: Config) -> UserTemperatures:
    """Each user's temperature from the losses of an epoch, which are then forgotten.

    t_u = temperature exp(W(max(-1 / e, (l_u - mean l) / spread)))  [chen2023]

    W is Lambert's, l_u the user's mean loss. A user with a loss above the mean gets a
    larger temperature, 1 / e of the config's at the least. Differs from the paper: l_u
    is measured at the config's temperature and not at 1; that temperature is chosen and
    not computed from the gap of cosines; positives are divided by t_u like the
    negatives (its code keeps the common one there); bounds.
    """
    rows, total = np.asarray(users.rows), np.asarray(users.loss, np.float64)
    seen = rows > 0
    if not seen.any():
        return users
    mean = np.where(seen, total / np.maximum(rows, 1.0), 0.0)
    over = np.where(seen, mean - mean[seen].mean(), 0.0) / config.temperature_spread
    w = lambertw(np.maximum(over, BRANCH + 1e-12)).real
    bounds = config.temperature_low, config.temperature_high
    new = np.clip(config.temperature * np.exp(w), *bounds).astype(np.float32)
    # Two arrays of zeros, as the epoch takes over the buffer of each.
    return UserTemperatures(*map(jnp.asarray, (new, 0.0 * new, 0.0 * new)))


KINDS = ("fixed", "learned", "scheduled", "per-user", "by-popularity")
SCHEDULES = ("linear", "cosine")
LEARNED = "log_temperature"


class Temperature(NamedTuple):
    """Of the rows, [] or [b]; item [i] is each item's own, in place of it, or None."""

    row: Float[Array, "..."]
    item: Float[Array, " i"] | None = None

    def own(self, candidate: Int[Array, " b"]) -> Float[Array, "..."]:
        """Of the positives' scores: [] or [b]."""
        return self.row if self.item is None else self.item[candidate]

    def columns(self, ids: Int[Array, "..."]) -> Float[Array, "..."]:
        """Of a block's scores, for ids [c] or [b, k]: [], [b, 1], [1, c] or [b, k]."""
        if self.item is not None:
            at = self.item[ids]
            return at[None, :] if at.ndim == 1 else at
        return self.row[:, None] if self.row.ndim else self.row


def temperature_of(
    config: Config,
    hyper: Hyper,
    learned: dict[str, Float[Array, ""]],
    users: UserTemperatures | tuple[()],
    batch: Pairs,
    pool: Pool,
    progress: Float[Array, ""],
) -> Temperature:
    """The temperature of a step.

    scheduled: from temperature to temperature_end, by progress.
    by-popularity: t_j = temperature (q_j / q)^power, q the geometric mean over clicks,
    so that the average click keeps the temperature; within the bounds.

    Args:
      config: its temperature_kind and temperature_schedule.
      hyper: the other temperature fields, traced.
      learned: params["loss"], which holds log_temperature where it is learned.
      users: what was learned of the users, where each has a temperature.
      batch: the step's pairs.
      pool: the click share.
      progress: 0 at the first step, 1 at the last.
    """
    start = hyper["temperature"]
    if config.temperature_kind == "learned":
        return Temperature(jnp.exp(learned[LEARNED]))
    if config.temperature_kind == "scheduled":
        left = 1.0 - progress
        if config.temperature_schedule == "cosine":
            left = (1.0 + jnp.cos(jnp.pi * progress)) / 2.0
        end = hyper["temperature_end"]
        return Temperature(end + (start - end) * left)
    if isinstance(users, UserTemperatures):
        return Temperature(users.temperature[batch.query])
    if config.temperature_kind == "by-popularity":
        mean = jnp.sum(pool.counts * pool.log_share) / jnp.sum(pool.counts)
        power = hyper["temperature_power"] * (pool.log_share - mean)
        low, high = hyper["temperature_low"], hyper["temperature_high"]
        return Temperature(start, jnp.clip(start * jnp.exp(power), low, high))
    return Temperature(start)


def learned_start(config: Config) -> dict[str, Float[Array, ""]]:
    """What params["loss"] holds for a learned temperature: its logarithm."""
    if config.temperature_kind != "learned":
        return {}
    return {LEARNED: jnp.float32(math.log(config.temperature))}


def learned_end(config: Config, learned: dict[str, Float[Array, ""]]) -> float:
    """The temperature that serving divides by: the learned one, else the config's."""
    if LEARNED not in learned:
        return config.temperature
    return math.exp(float(learned[LEARNED]))


def project(
    learned: dict[str, Float[Array, ""]], hyper: Hyper
) -> dict[str, Float[Array, ""]]:
    """The learned values after a step, the temperature back within its bounds.

    A projection, so that at a bound the gradient still leads inwards.
    """
    if LEARNED not in learned:
        return learned
    low, high = hyper["temperature_low"], hyper["temperature_high"]
    within = jnp.clip(learned[LEARNED], jnp.log(low), jnp.log(high))
    return {**learned, LEARNED: within}


def check_temperature(config: Config) -> None:
    """Compares the fields of the temperature with each other.

    Raises:
      InputError: an unknown kind or schedule; a value that isn't finite or not above 0;
        bounds in the wrong order, or that leave the start out.
    """
    choose(config.temperature_kind, dict.fromkeys(KINDS), "temperature_kind")
    choose(config.temperature_schedule, dict.fromkeys(SCHEDULES), "schedule")
    ends = ("temperature_low", "temperature_high", "temperature_end")
    for name in (*ends, "temperature_power", "temperature_spread"):
        value = getattr(config, name)
        if not math.isfinite(value):
            raise InputError(f"{name} is {value}: it must be finite")
        if value <= 0 and name != "temperature_power":
            raise InputError(f"{name} is {value:g}: it must be above 0")
    low, high = config.temperature_low, config.temperature_high
    if low >= high:
        raise InputError(
            f"temperature_low is {low:g}: it must be below temperature_high ({high:g})"
        )
    bounded = config.temperature_kind in ("learned", "per-user", "by-popularity")
    if bounded and not low <= config.temperature <= high:
        raise InputError(
            f"temperature is {config.temperature:g}: {config.temperature_kind} starts "
            f"between temperature_low ({low:g}) and temperature_high ({high:g})"
        )


def narrow_range(config: Config, counts: Float[np.ndarray, " i"]) -> str | None:
    """A line where cosines can't express the catalogue's popularity, else None.

    Cosine logits span 2 / temperature. Trained under log q they have to tell
    log p(y|u), popularity included; where that spans more, the head is short-changed.
    """
    if config.output != "cosine" or config.logq <= 0:
        return None
    clicked = counts[counts > 0]
    spread = float(np.log(clicked.max() / clicked.min()))
    at = {"learned": config.temperature_low, "scheduled": config.temperature_end}
    temperature = at.get(config.temperature_kind, config.temperature)
    if 2.0 / temperature >= spread:
        return None
    return (
        f"warning: at temperature {temperature:g} cosine logits span "
        f"{2.0 / temperature:.1f} nats, the catalogue's log popularity {spread:.1f}: "
        f"under log q the head will be recommended too little; "
        f"{2.0 / spread:.2f} would do"
    )
