"""How often each item was shown, as the table of items tells; and training by it."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.types import InputError, Table

__all__ = ["IMPRESSIONS", "impressions_of", "inverse_weights", "ips_weights"]

IMPRESSIONS = "impressions"  # the column of items


def impressions_of(items: Table, who: str, shown: bool = False) -> Float[ndarray, " i"]:
    """How often each item was shown.

    Args:
      items: their table.
      who: needs it, for a message.
      shown: whether an item that was never shown is refused, too.

    Raises:
      InputError: no such column, or no number of an item's.
    """
    column = items.columns.get(IMPRESSIONS)
    if column is None:
        raise InputError(f"{who} needs a column {IMPRESSIONS} in the table of items")
    values = np.asarray(column.values, float)
    bad = ~((values > 0) if shown else (values >= 0)) | np.isinf(values)
    if bad.any():
        at = int(np.argmax(bad))
        need = "at least one" if shown else "a number"
        raise InputError(
            f"item {items.names[at]} has {values[at]:g} {IMPRESSIONS}: {who} needs "
            f"{need} of every item ({int(bad.sum())} have none)"
        )
    return values


def ips_weights(
    items: Table, candidate: Int[ndarray, " n"], power: float
) -> Float[ndarray, " n"]:
    """Weights of pairs by inverse propensity scores [schnabel2016].

    A pair counts (n + 1)^-power, n the impressions of its item, over the mean of that.
    With 1, the loss is that of clicks under even exposure, in expectation; with less,
    weights vary less.

    Args:
      items: their table.
      candidate: item of each pair, [n].
      power: of the inverse.

    Raises:
      InputError: the table has no impressions of every item.
    """
    shown = impressions_of(items, "ips")
    return inverse_weights(np.log1p(shown)[candidate], power)


def inverse_weights(
    log_shown: Float[ndarray, " n"], power: float
) -> Float[ndarray, " n"]:
    """exp(-power log_shown), over the mean."""
    log_weight = -power * log_shown
    weight = np.exp(log_weight - log_weight.max())
    return (weight / weight.mean()).astype(np.float32)
