"""Impressions: how often each item was shown, and training weights made from it."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.types import InputError, Table

__all__ = ["IMPRESSIONS", "impressions_of", "inverse_weights", "ips_weights"]

IMPRESSIONS = "impressions"  # the column of items


def impressions_of(items: Table, who: str, shown: bool = False) -> Float[ndarray, " i"]:
    """How often each item was shown.

    Raises:
      InputError: the table has no such column, or the column no number for an item.
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
            f"{need} for every item ({int(bad.sum())} have none)"
        )
    return values


def ips_weights(
    items: Table, candidate: Int[ndarray, " n"], power: float
) -> Float[ndarray, " n"]:
    """Weights of pairs by inverse propensity scores [schnabel2016].

    The weight of a pair is (n + 1)^-power, for its item's n impressions, divided by the
    mean weight. With power 1 the loss is, in expectation, that of clicks under even
    exposure; with less, weights vary less.

    Raises:
      InputError: the table lacks the impressions of an item.
    """
    shown = impressions_of(items, "ips")
    return inverse_weights(np.log1p(shown)[candidate], power)


def inverse_weights(
    log_shown: Float[ndarray, " n"], power: float
) -> Float[ndarray, " n"]:
    """exp(-power log_shown), divided by its mean."""
    log_weight = -power * log_shown
    weight = np.exp(log_weight - log_weight.max())
    return (weight / weight.mean()).astype(np.float32)
