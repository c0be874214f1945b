"""A temperature for each user, by how well the user is learned (Adap-tau)."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import lambertw

from research.config import Config

__all__ = ["UserTemperatures", "init_users", "observe_users", "refresh_users"]

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
