"""How serving changes a finished model's scores: log q, exposure, items left out."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from research.exposure import impressions_of
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.types import InputError, Table

if TYPE_CHECKING:
    from research.config import Config

__all__ = ["AS_TRAINED", "Serving", "check_rule", "rule_prior"]


class Serving(NamedTuple):
    """How a model is served: score / temperature + prior log q - exposure log(n + 1).

    prior 1 and exposure 1 rank by clicks per impression, if the model was trained
    without log q.

    Attributes:
      prior: strength of log q, the log of each item's share of the training clicks.
      exposure: strength of log(n + 1), n the item's impressions.
      min_clicks: items with fewer training clicks are in no list.
    """

    prior: float = 0.0
    exposure: float = 0.0
    min_clicks: int = 0

    @classmethod
    def of(cls, config: "Config") -> "Serving":
        """The serving fields of a config."""
        return cls(*(getattr(config, name) for name in cls._fields))

    def put_into(self, config: "Config") -> "Config":
        """The config with these serving fields."""
        return dataclasses.replace(config, **self._asdict())

    def check(self, counts: Int[ndarray, " i"], items: Table, fewest: int = 1) -> None:
        """Checks that the items can be served so.

        Raises:
          InputError: exposure needs impressions that the table lacks, or min_clicks
            leaves too few items.
        """
        if self.exposure:
            impressions_of(items, "exposure")
        listed = int(self.lists(counts).sum())
        if self.min_clicks and listed < fewest:
            raise InputError(
                f"min_clicks is {self.min_clicks}: {listed} items have so many "
                f"training clicks, and lists need {fewest}"
            )

    def lists(self, counts: Int[ndarray, " i"]) -> Bool[ndarray, " i"]:
        """Which items may be in lists, by their training clicks."""
        return counts >= self.min_clicks

    def bias(self, counts: Int[ndarray, " i"], items: Table) -> Float[ndarray, " i"]:
        """What is added to each item's score; -inf leaves it out of lists.

        Raises:
          InputError: the table lacks the impressions of an item, or the prior or the
            exposure is too large a number.
        """
        log_q, listed = log_share(counts), self.lists(counts)
        with np.errstate(over="ignore", invalid="ignore"):
            added: Float[ndarray, " i"] = self.prior * log_q
            if self.exposure:
                shown = impressions_of(items, "exposure")
                added = added - self.exposure * np.log1p(shown)
            bias = np.where(listed, added, -np.inf).astype(log_q.dtype)
        if not np.isfinite(bias[listed]).all():
            name = "prior" if abs(self.prior) > abs(self.exposure) else "exposure"
            value = getattr(self, name)
            raise InputError(f"{name} is {value:g}: too large for any score")
        return bias


AS_TRAINED = Serving()


def rule_prior(log_q: Float[ndarray, " i"], items: Table, in_loss: float) -> float:
    """The popularity prior with which the total strength is that of the rule.

    Raises:
      InputError: the table has no such column, or an item has no impression.
    """
    shown = impressions_of(items, "the rule for the prior", shown=True)
    return correction_strength(log_q, np.log(shown)) - in_loss


def check_rule(**taken: float) -> None:
    """Refuses the rule's prior where a field takes exposure out item by item, too.

    Raises:
      InputError: one isn't 0.
    """
    for name, strength in taken.items():
        if strength:
            raise InputError(
                f"{name} is {strength:g} with prior rule: the rule takes exposure out "
                "by the prior; choose one of the two"
            )
